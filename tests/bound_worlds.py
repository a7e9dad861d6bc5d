"""Worlds in which I(T; S) - I(S; Y) is known: Gaussian pairs beside a label that one side shows.

Given the label, T and S are Gaussian pairs of known information, changed by functions that lose
nothing. The label is balanced and independent of both pairs; who shows it has it as columns of its
own. Where S shows it and T does not, I(T; S) is that of the pairs and I(S; Y) is H(Y). Where T
shows it, I(S; Y | T) is 0, so that the gap is I(T; S | Y), that of the pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cch.information.known import gaussian_pairs


@dataclass(frozen=True)
class World:
    """One setting; ``gap`` is I(T; S) - I(S; Y) in nats.

    ``shape``: linear, relu (both signs of every column) or heavy (sinh of every column).
    ``shown``: who shows the label: student, teacher or both.
    """

    rows: int
    rank: int
    shape: str
    shown: str
    gap: float
    classes: int = 2

    @property
    def columns(self) -> int:
        return max(8, self.rank)

    @property
    def truth(self) -> float:
        """I(T; S | Y)."""
        return self.gap + (math.log(self.classes) if self.shown == "student" else 0.0)

    def draw(self, key: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """T (n, dt), S (n, ds) and labels (n,)."""
        (x,), (y,) = gaussian_pairs(
            self.rows,
            self.columns,
            self.columns,
            self.truth,
            keys=[("world", key)],
            rank=self.rank,
        )
        labels = np.random.default_rng(key).permutation(np.arange(self.rows) % self.classes)
        codes = np.eye(self.classes)[labels]
        sides = []
        for name, values in (("teacher", x), ("student", y)):
            if self.shape == "relu":
                values = np.maximum(np.hstack([values, -values]), 0)
            elif self.shape == "heavy":
                values = np.sinh(1.5 * values)
            sides.append(np.hstack([values, codes]) if self.shown in (name, "both") else values)
        return *sides, labels
