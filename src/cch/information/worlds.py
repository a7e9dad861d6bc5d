"""Worlds in which the gap of the criterion is known: their settings and names."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from cch.config import GapWorlds


@dataclass(frozen=True)
class World:
    """One setting in which the gap is known; ``cch.information.known.gap_worlds`` draws it.

    Attributes:
        rows: n.
        columns: of teacher and student.
        rank: canonical pairs.
        gap: I(teacher; student) - I(student; label), nats.
        teacher_knows_label: whether the teacher determines the label.
        student_label: I(student; label), nats.
        classes: of the label, of equal size.
    """

    rows: int
    columns: int
    rank: int
    gap: float
    teacher_knows_label: bool
    student_label: float
    classes: int

    @property
    def name(self) -> str:
        """Name in tables, of what a configuration has several of."""
        known = "-known" if self.teacher_knows_label else ""
        return f"n{self.rows}-d{self.columns}-r{self.rank}-g{self.gap:g}{known}"


def worlds(asked: GapWorlds) -> list[World]:
    """Return all worlds of a configuration: teachers, gaps, columns, ranks, and rows fastest.

    A teacher that determines the label has no gap below 0, since I(teacher; student) is then at
    least I(student; label).
    """
    grid = itertools.product(
        asked.teacher_knows_label, asked.gaps, asked.columns, asked.ranks, asked.rows
    )
    return [
        World(rows, columns, rank, gap, knows, asked.student_label, asked.classes)
        for knows, gap, columns, rank, rows in grid
        if gap > 0 or not knows
    ]
