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
        student_label: I(student; label), nats.
        classes: of the label, of equal size.
    """

    rows: int
    columns: int
    rank: int
    gap: float
    student_label: float
    classes: int

    @property
    def name(self) -> str:
        """Name in tables, of what a configuration has several of."""
        return f"n{self.rows}-d{self.columns}-r{self.rank}-g{self.gap:g}"


def worlds(asked: GapWorlds) -> list[World]:
    """Return all worlds of a configuration: gaps, columns, ranks, and rows fastest."""
    grid = itertools.product(asked.gaps, asked.columns, asked.ranks, asked.rows)
    return [
        World(rows, columns, rank, gap, asked.student_label, asked.classes)
        for gap, columns, rank, rows in grid
    ]
