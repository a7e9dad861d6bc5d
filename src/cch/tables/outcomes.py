"""Counts of samples in which the sign of a known gap was decided wrong, not at all, or right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import betaincinv

COUNTS_SUFFIX = "-counts"
"""Appended to an estimator's name for the key of its column of counts."""


@dataclass(frozen=True)
class Outcomes:
    """Numbers of samples by decision.

    Attributes:
        wrong: decided for the sign that the true gap has not.
        undecided: not decided; of a point estimator, an estimated gap of exactly 0.
        right: decided for the sign of the true gap.
    """

    wrong: int
    undecided: int
    right: int

    @classmethod
    def of(cls, amounts: Sequence[float], gap: float, bounds: bool) -> Self:
        """Count decisions on the sign of a gap.

        Args:
            amounts: estimated gaps, or margins of bounds, one a sample; nats.
            gap: the true gap, not 0.
            bounds: whether the amounts are margins of bounds, which decide only above 0.
        """
        decided = np.sign(amounts)
        if bounds:
            decided = np.maximum(decided, 0)
        counts = (int((decided == sign).sum()) for sign in (-np.sign(gap), 0, np.sign(gap)))
        return cls(*counts)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the outcomes of ``text``, as the property of that name writes them."""
        return cls(*map(int, text.split(" / ")))

    @property
    def text(self) -> str:
        """``wrong / undecided / right``."""
        return f"{self.wrong} / {self.undecided} / {self.right}"

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.wrong + self.undecided + self.right

    @property
    def share(self) -> float:
        """Share of samples that were decided wrong."""
        return self.wrong / self.samples

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the probability of a wrong decision."""
        return clopper_pearson(self.wrong, self.samples)


def clopper_pearson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided confidence interval of a binomial probability.

    C. Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934) 404. Its coverage is at least ``confidence``.

    Args:
        count: successes, 0 to n.
        n: independent trials, at least 1.
        confidence: of the interval.
    """
    tail = (1 - confidence) / 2
    low = float(betaincinv(count, n - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return low, high
