"""Textbook inference: Student's quantile, degrees of freedom of a sum of variances, Holm.

SciPy has no Holm correction; ``scipy.stats.false_discovery_control`` is Benjamini and Hochberg's,
which controls another error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import stdtrit


def effective_freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Return Welch and Satterthwaite's degrees of freedom, (sum v)^2 / sum(v^2 / f).

    B. L. Welch, Biometrika 34 (1947) 28; F. E. Satterthwaite, Biometrics 2 (1946) 110.

    Args:
        parts: independent variances v and their degrees of freedom f; a part without degrees of
            freedom (f = 0) and above zero leaves none, and parts of zero count for nothing.
    """
    parts = [(variance, freedom) for variance, freedom in parts if variance > 0]
    if not parts:
        return math.inf
    if any(freedom < 1 for _, freedom in parts):
        return 0.0
    total = sum(variance for variance, _ in parts)
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def quantile(level: float, freedom: float) -> float:
    """Return Student's two-sided quantile; infinite where no degree of freedom is left."""
    return float(stdtrit(freedom, (1 + level) / 2)) if freedom > 0 else math.inf


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's step-down procedure, in their order.

    S. Holm, Scandinavian Journal of Statistics 6 (1979) 65.
    """
    found, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        found[place] = largest
    return found
