"""Counts of samples that were put on the right side of 0, on the wrong one, or on none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import betaincinv

COUNTS = "-counts"
"""What the key of a column of counts ends with, after the estimator."""


@dataclass(frozen=True)
class Outcomes:
    """How many samples were put on which side of 0."""

    wrong: int
    undecided: int
    right: int

    @classmethod
    def of(cls, amounts: Sequence[float], gap: float, bounds: bool) -> Self:
        """Count what amounts say of a true gap.

        Args:
            amounts: estimated gaps, or margins of bounds, one a sample; nats.
            gap: the true one, not 0.
            bounds: whether an amount of 0 or below says nothing.
        """
        said = np.sign(amounts)
        if bounds:
            said = np.maximum(said, 0)
        counts = (int((said == side).sum()) for side in (-np.sign(gap), 0, np.sign(gap)))
        return cls(*counts)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the outcomes that ``text`` states."""
        return cls(*map(int, text.split(" / ")))

    @property
    def text(self) -> str:
        """The three counts, as tables have them."""
        return f"{self.wrong} / {self.undecided} / {self.right}"

    @property
    def samples(self) -> int:
        """How many were counted."""
        return self.wrong + self.undecided + self.right

    @property
    def share(self) -> float:
        """Share on the wrong side."""
        return self.wrong / self.samples

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the probability behind ``share``."""
        return proportion_interval(self.wrong, self.samples)


def proportion_interval(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Clopper and Pearson's interval of a probability, given ``count`` of ``n``.

    C. Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934) 404. Its coverage is at least ``confidence``.
    """
    tail = (1 - confidence) / 2
    low = float(betaincinv(count, n - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return low, high
