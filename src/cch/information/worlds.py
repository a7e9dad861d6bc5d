"""Generated worlds: joint distributions of teacher, student and label with a known gap."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from cch.config import GapWorlds


@dataclass(frozen=True)
class World:
    """One distribution and sample size; ``cch.information.known.gap_worlds`` draws from it.

    Attributes:
        rows: sample size n.
        columns: of the teacher's representation, and as many of the student's.
        rank: number of Gaussian canonical pairs that teacher and student share.
        gap: true I(teacher; student) - I(student; label), nats.
        teacher_knows_label: whether the teacher determines the label (true) or is independent of
            it (false).
        student_label: true I(student; label), nats.
        classes: number of classes of the label, of equal size.
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
        """Key of the row in tables; all worlds have the same ``student_label`` and ``classes``."""
        known = "-known" if self.teacher_knows_label else ""
        return f"n{self.rows}-d{self.columns}-r{self.rank}-g{self.gap:g}{known}"


def worlds(asked: GapWorlds) -> list[World]:
    """Return all combinations of the configured settings; rows vary fastest.

    Gaps below 0 are left out where the teacher determines the label: I(teacher; student) is then
    at least I(student; label).
    """
    grid = itertools.product(
        asked.teacher_knows_label, asked.gaps, asked.columns, asked.ranks, asked.rows
    )
    return [
        World(rows, columns, rank, gap, knows, asked.student_label, asked.classes)
        for knows, gap, columns, rank, rows in grid
        if gap > 0 or not knows
    ]
