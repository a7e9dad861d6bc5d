"""Student's t quantile, Welch-Satterthwaite degrees of freedom, and Holm-adjusted p-values.

SciPy has no Holm correction: ``scipy.stats.false_discovery_control`` (Benjamini and Hochberg)
controls the false discovery rate, Holm's the family-wise error rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import stdtrit


def effective_degrees_of_freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Return the degrees of freedom of a sum of variance estimates, (sum v)^2 / sum(v^2 / f).

    B. L. Welch, Biometrika 34 (1947) 28; F. E. Satterthwaite, Biometrics 2 (1946) 110.

    Args:
        parts: independent variance estimates v with their degrees of freedom f. Those with v = 0
            are left out.

    Returns:
        Infinity where all v are 0; 0 where some v above 0 has f = 0.
    """
    parts = [(variance, freedom) for variance, freedom in parts if variance > 0]
    if not parts:
        return math.inf
    if any(freedom < 1 for _, freedom in parts):
        return 0.0
    total = sum(variance for variance, _ in parts)
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def student_quantile(level: float, freedom: float) -> float:
    """Return t with P(|T| <= t) = ``level`` for Student's T.

    Args:
        level: two-sided confidence, 0 to 1.
        freedom: degrees of freedom; at 0 the result is infinite.
    """
    return float(stdtrit(freedom, (1 + level) / 2)) if freedom > 0 else math.inf


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm-adjusted p-values, in the order given.

    A hypothesis is rejected at family-wise error alpha where its adjusted p is at most alpha.
    S. Holm, Scandinavian Journal of Statistics 6 (1979) 65.
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted
