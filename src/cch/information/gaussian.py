"""Mutual information and best linear risks of Gaussian vectors, in closed form, in nats.

For a Gaussian vector with covariance S and two groups a, b of its coordinates::

    I(a; b) = 1/2 ln( det S_aa det S_bb / det S_(a,b)(a,b) )
            = -1/2 sum_i ln(1 - rho_i^2)

with the canonical correlations rho_i between a and b (Cover and Thomas, Elements of Information
Theory, chapter 8).

Appendix B's sampler is not Eq. 7 of the paper, which is no covariance at p = 100. Given the label
its coordinate pairs (X1_j, X2_j) are independent and alike, and they are correlated with one
another through the label; see ``SyntheticModel``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.synthetic import ROUNDING, Conditional, conditional

CERTAIN = 1e-12
"""A canonical correlation within this of 1 is 1: one group then determines part of the other."""

Index = Sequence[int] | slice | np.ndarray


def mutual_information_nats(covariance: np.ndarray, a: Index, b: Index) -> float:
    """Return I(z_a; z_b) in nats for z ~ N(0, ``covariance``).

    It is computed from the canonical correlations, because the difference of three log
    determinants loses a small information among large ones. It is infinite where one group
    determines part of the other: a canonical correlation within 1e-12 of 1, so at most 13.6 nats
    are told apart from infinity for each pair of canonical variables.

    Args:
        covariance: (d, d), symmetric.
        a: coordinates of the first group.
        b: coordinates of the second group.

    Raises:
        CchError: ``covariance`` is none (not square, symmetric, finite or positive semidefinite),
            a group is empty or linearly dependent within itself.
    """
    covariance = _checked(covariance)
    return _information(
        covariance[a][:, a], covariance[a][:, b], covariance[b][:, b], "the given groups"
    )


def linear_information_nats(
    covariance: np.ndarray, a: Index, b: Index, left: np.ndarray, right: np.ndarray
) -> float:
    """Return I(A x; B y) in nats for x = z_a, y = z_b, z ~ N(0, ``covariance``).

    Args:
        covariance: (d, d), symmetric.
        a: coordinates of x.
        b: coordinates of y.
        left: A, (k, len(a)), rows linearly independent.
        right: B, (m, len(b)), rows linearly independent.

    Raises:
        CchError: as ``mutual_information_nats``, of the covariance of (A x, B y); or a matrix
            does not fit its group.
    """
    covariance = _checked(covariance)
    left, right = np.atleast_2d(left), np.atleast_2d(right)
    xx, xy, yy = covariance[a][:, a], covariance[a][:, b], covariance[b][:, b]
    for name, matrix, block in (("left", left, xx), ("right", right, yy)):
        if matrix.shape[1] != len(block):
            raise CchError(name, f"has {matrix.shape[1]} columns for {len(block)} coordinates")
    return _information(
        left @ xx @ left.T, left @ xy @ right.T, right @ yy @ right.T, "the linear representations"
    )


def conditional_variance(covariance: np.ndarray, target: int, given: Index) -> float:
    """Return E[(z_t - E[z_t | z_given])^2], the risk of the best predictor, which is linear::

        S_tt - S_tg S_gg^-1 S_gt

    Raises:
        CchError: ``covariance`` is none, or the given coordinates are linearly dependent.
    """
    covariance = _checked(covariance)
    whiten = _whitening(covariance[given][:, given], "the given coordinates")
    return float(covariance[target, target] - np.sum((covariance[target][given] @ whiten) ** 2))


def _checked(covariance: np.ndarray) -> np.ndarray:
    covariance = np.asarray(covariance, dtype=np.float64)
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise CchError("covariance", f"has shape {covariance.shape}, expected a square matrix")
    if not np.isfinite(covariance).all():
        raise CchError("covariance", "contains NaN or infinity")
    if not np.allclose(covariance, covariance.T, rtol=1e-10, atol=1e-12 * np.abs(covariance).max()):
        raise CchError("covariance", "is not symmetric")
    return covariance


def _whitening(block: np.ndarray, what: str) -> np.ndarray:
    """Return W with W^T block W = I."""
    if not len(block):
        raise CchError(what, "are empty")
    values, vectors = np.linalg.eigh(block)
    if values[0] <= len(block) * np.finfo(float).eps * values[-1]:
        raise CchError(
            what,
            f"have a singular covariance (smallest eigenvalue {values[0]:.3g})",
            "leave out what depends on the rest",
        )
    return vectors / np.sqrt(values)


def _information(aa: np.ndarray, ab: np.ndarray, bb: np.ndarray, what: str) -> float:
    correlation = np.linalg.svd(
        _whitening(aa, what).T @ ab @ _whitening(bb, what), compute_uv=False
    )
    largest = float(correlation.max())
    if largest > 1 + 1e-9:
        raise CchError(
            "covariance", f"is none: it implies a canonical correlation of {largest:.4g} > 1"
        )
    if largest > 1 - CERTAIN:
        return float("inf")
    return float(-0.5 * np.log1p(-(correlation**2)).sum())


@dataclass(frozen=True)
class SyntheticModel:
    """Appendix B's joint Gaussian of (X1, X2, Y), zero mean, X1 and X2 of p = ``features``.

    With r = sigma_12, s = sigma_13, t = sigma_23, phi = 1 - t^2, J the matrix of ones, its
    covariances follow from the sampler::

        Cov(X1, X1) = (1 - s^2) I + s^2 J      Cov(X1, Y) = s 1
        Cov(X2, X2) = (1 - t^2) I + t^2 J      Cov(X2, Y) = t 1
        Cov(X1, X2) = (r - s t) I + s t J      Var(Y) = 1

    All are diagonal in one basis: the mean of the coordinates, and p - 1 directions orthogonal to
    it, which carry nothing about Y.

    Raises:
        CchError: the three correlations belong to no Gaussian.
    """

    features: int
    sigma_12: float
    sigma_13: float = 0.9
    sigma_23: float = 0.4

    def __post_init__(self) -> None:
        if self.features < 1:
            raise CchError("features", f"must be at least 1, not {self.features}")
        if abs(self.sigma_13) >= 1:
            raise CchError("sigma_13", f"must lie between -1 and 1, not {self.sigma_13}")
        conditional(self.sigma_12, self.sigma_13, self.sigma_23)

    @property
    def law(self) -> Conditional:
        """The a, b and v of Appendix B."""
        return conditional(self.sigma_12, self.sigma_13, self.sigma_23)

    @property
    def x1(self) -> slice:
        """Where the teacher modality stands in ``covariance``."""
        return slice(0, self.features)

    @property
    def x2(self) -> slice:
        """Where the student modality stands in ``covariance``."""
        return slice(self.features, 2 * self.features)

    @property
    def y(self) -> slice:
        """Where the label stands in ``covariance``."""
        return slice(2 * self.features, 2 * self.features + 1)

    def covariance(self) -> np.ndarray:
        """Covariance of (X1, X2, Y), (2p + 1, 2p + 1) float64; the formulas are in the class."""
        s, t = self.sigma_13, self.sigma_23
        loading = np.repeat([s, t, 1.0], [self.features, self.features, 1])
        within = np.array([[1 - s**2, self.sigma_12 - s * t], [self.sigma_12 - s * t, 1 - t**2]])
        covariance = np.outer(loading, loading)
        covariance[: self.y.start, : self.y.start] += np.kron(within, np.eye(self.features))
        return covariance

    def teacher_student_nats(self) -> float:
        """I(X1; X2) in nats, with q = p - 1::

            -1/2 ln(1 - m) - q/2 ln(v / (1 - s^2))
            1 - m = (1 - r^2 + q (s^2 + t^2 - 2 r s t)) / ((1 + q s^2) (1 + q t^2))

        The first term is what the two means share, the second what the q orthogonal directions
        share. Infinite where v = 0 and p > 1. Over sigma_12 it falls until near
        sigma_13 sigma_23 and rises after it: it is not monotone, as Section 4.1 says of Eq. 7.
        """
        rest = self.features - 1
        shared = self.linear_teacher_student_nats()
        if rest == 0:
            return shared
        v = self.law.v
        return float("inf") if v == 0 else shared - rest / 2 * np.log(v / (1 - self.sigma_13**2))

    def linear_teacher_student_nats(self) -> float:
        """I(E[Y | X1]; E[Y | X2]) in nats: of the best linear representations of Theorem 1.

        Both are multiples of the mean of the coordinates, so it is -1/2 ln(1 - m) of
        ``teacher_student_nats``, also where sigma_13 or sigma_23 is 0 (the means' information).
        """
        q, r, s, t = self.features - 1, self.sigma_12, self.sigma_13, self.sigma_23
        joint = 1 - r**2 + q * (s**2 + t**2 - 2 * r * s * t)
        apart = (1 + q * s**2) * (1 + q * t**2)
        return 0.5 * float(np.log(apart / joint)) if joint > ROUNDING else float("inf")

    def teacher_label_nats(self) -> float:
        """I(X1; Y) = 1/2 ln(1 + p s^2 / (1 - s^2)) in nats."""
        return _label_nats(self._signal(self.sigma_13))

    def student_label_nats(self) -> float:
        """I(X2; Y) = 1/2 ln(1 + p t^2 / (1 - t^2)) in nats."""
        return _label_nats(self._signal(self.sigma_23))

    def joint_label_nats(self) -> float:
        """I(X1, X2; Y) = 1/2 ln(1 + p (t^2 / phi + b^2 / v)) in nats; infinite at v = 0, b != 0."""
        return _label_nats(self._joint_signal())

    def teacher_risk(self) -> float:
        """E[(Y - E[Y | X1])^2] = (1 - s^2) / (1 + (p - 1) s^2), the best linear risk on X1."""
        return 1 / (1 + self._signal(self.sigma_13))

    def student_risk(self) -> float:
        """E[(Y - E[Y | X2])^2] = (1 - t^2) / (1 + (p - 1) t^2), the best linear risk on X2."""
        return 1 / (1 + self._signal(self.sigma_23))

    def joint_risk(self) -> float:
        """E[(Y - E[Y | X1, X2])^2] = 1 / (1 + p (t^2 / phi + b^2 / v)), the best linear risk."""
        return 1 / (1 + self._joint_signal())

    def _signal(self, correlation: float) -> float:
        """Variance that Y adds to the mean of one modality, over the variance that it leaves."""
        return self.features * correlation**2 / (1 - correlation**2)

    def _joint_signal(self) -> float:
        _, b, v = self.law
        if v == 0:
            # X1 - a X2 = b Y then: it gives Y away, or (b = 0) nothing beyond X2.
            return self._signal(self.sigma_23) if abs(b) < ROUNDING else float("inf")
        return self._signal(self.sigma_23) + self.features * b**2 / v


def _label_nats(signal: float) -> float:
    return 0.5 * float(np.log1p(signal))
