"""How much of the region where distillation helps Theorem 1 finds.

Whether Theorem 1 applies and whether Eq. 17 holds depend on three correlations alone, of
t = w1'x1, s = w*'x2 and y, and on the spread of t beside that of y. Every positive semidefinite
correlation matrix occurs. In a plane of one rho(t, y) = c, with x = rho(s, y) >= 0 and
z = rho(t, s)::

    possible      |z - c x| <= sqrt((1 - c^2) (1 - x^2))
    helps         z x > c - (1 - x^2) r,    r = sd(y) / sd(t)             (Eq. 21)
    criterion     |z| > x
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cch.base.errors import CchError

NODES = 20_000
"""Midpoints of rho(s, y) in 0..1; the areas are then right to about 1e-6."""


@dataclass(frozen=True)
class Edges:
    """Where the regions begin and end over rho(s, y), all (m,) values of rho(t, s).

    Attributes:
        student_label: rho(s, y).
        low: smallest possible rho(t, s).
        high: largest possible rho(t, s).
        helps: distillation helps above it; within low..high.
    """

    student_label: np.ndarray
    low: np.ndarray
    high: np.ndarray
    helps: np.ndarray


@dataclass(frozen=True)
class Areas:
    """Areas in the plane of rho(s, y) in 0..1 and rho(t, s), at one rho(t, y).

    Attributes:
        possible: where the correlations belong to a Gaussian.
        helps: where distillation helps for small lambda (Eq. 17).
        criterion: where I(t; s) > I(s; y); it lies within ``helps``.
        residual: where Var(t | s) < Var(y | s), a weaker condition that suffices as well (see
            ``cch.paper.theory.criterion.theorem_one``); it lies between the two.
    """

    possible: float
    helps: float
    criterion: float
    residual: float

    @property
    def found(self) -> float:
        """Share of the helping region that the criterion finds."""
        return self.criterion / self.helps


def teacher_ratio(teacher_label: float, *, best: bool) -> float:
    """Return r = sd(y) / sd(t): 1 / rho(t, y) for the best teacher, 1 at Theorem 1's bound.

    The best teacher is w1 = Sigma_11^-1 Sigma_13, whose Var(t) is rho(t, y)^2 Var(y). Theorem 1
    allows no teacher of a larger spread than y.
    """
    return 1 / teacher_label if best else 1.0


def edges(teacher_label: float, ratio: float, student_label: np.ndarray) -> Edges:
    """Return the edges of the regions; ``student_label`` is rho(s, y) in (0, 1), (m,).

    Raises:
        CchError: rho(t, y) is not in (0, 1), or r < 1, which Theorem 1 does not allow.
    """
    if not 0 < teacher_label < 1:
        raise CchError("rho(t, y)", f"must lie between 0 and 1, not {teacher_label}")
    if not ratio >= 1:
        raise CchError("sd(y) / sd(t)", f"is {ratio}; Theorem 1 needs at least 1")
    c, x = teacher_label, np.asarray(student_label, np.float64)
    half = np.sqrt((1 - c**2) * (1 - x**2))
    low, high = c * x - half, c * x + half
    return Edges(x, low, high, np.clip((c - (1 - x**2) * ratio) / x, low, high))


def areas(teacher_label: float, ratio: float, nodes: int = NODES) -> Areas:
    """Integrate the regions at one rho(t, y) by the midpoint rule.

    Raises:
        CchError: as ``edges``.
    """
    x = (np.arange(nodes) + 0.5) / nodes
    edge = edges(teacher_label, ratio, x)
    # Var(t | s) < Var(y | s) is z^2 > 1 - r^2 (1 - x^2).
    bound = np.sqrt(np.clip(1 - ratio**2 * (1 - x**2), 0, None))
    return Areas(
        possible=float(np.mean(edge.high - edge.low)),
        helps=float(np.mean(edge.high - edge.helps)),
        criterion=float(np.mean(_outside(edge, x))),
        residual=float(np.mean(_outside(edge, bound))),
    )


def _outside(edge: Edges, bound: np.ndarray) -> np.ndarray:
    """Length of the possible z with |z| > bound."""
    above = np.clip(edge.high - np.maximum(bound, edge.low), 0, None)
    below = np.clip(np.minimum(-bound, edge.high) - edge.low, 0, None)
    return above + below


def overall(*, best: bool, nodes: int = 400) -> Areas:
    """Integrate over rho(t, y) in 0..1 too: the mean over uniform correlations, both >= 0."""
    values = (np.arange(nodes) + 0.5) / nodes
    parts = [areas(float(c), teacher_ratio(float(c), best=best), nodes) for c in values]
    return Areas(
        *(
            float(np.mean([getattr(part, name) for part in parts]))
            for name in ("possible", "helps", "criterion", "residual")
        )
    )
