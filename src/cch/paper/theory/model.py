"""The joint Gaussian of teacher input, student input and label (Eq. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cch.base.errors import CchError
from cch.information.gaussian import SyntheticModel, conditional_variance

ROUNDING = 1e-10
"""An eigenvalue this far below 0, relative to the largest, is rounding; further is an error."""


@dataclass(frozen=True, eq=False)
class JointGaussian:
    """(x1, x2, y) ~ N(0, Sigma) with x1 in R^q, x2 in R^p and y in R (Eq. 3).

    The paper has q = p; nothing here needs it.

    Attributes:
        s11: Cov(x1, x1), (q, q).
        s12: Cov(x1, x2), (q, p).
        s13: Cov(x1, y), (q,).
        s22: Cov(x2, x2), (p, p), positive definite.
        s23: Cov(x2, y), (p,).
        s33: Var(y), positive.

    Raises:
        CchError: blocks that do not fit each other, or that are no covariance together.
    """

    s11: np.ndarray
    s12: np.ndarray
    s13: np.ndarray
    s22: np.ndarray
    s23: np.ndarray
    s33: float

    def __post_init__(self) -> None:
        for name in ("s11", "s12", "s13", "s22", "s23"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        object.__setattr__(self, "s33", float(self.s33))
        self._check_shapes()
        whole = self.covariance()
        if not np.isfinite(whole).all():
            raise CchError("covariance", "contains NaN or infinity")
        for name in ("s11", "s22"):
            block = getattr(self, name)
            if not np.allclose(block, block.T, rtol=1e-10, atol=1e-12 * np.abs(whole).max()):
                raise CchError(f"covariance, block {name}", "is not symmetric")
        values = np.linalg.eigvalsh(whole)
        if values[0] < -ROUNDING * values[-1]:
            raise CchError("covariance", f"is none: it has the eigenvalue {values[0]:.4g} < 0")
        if not self.s33 > 0:
            raise CchError("covariance", f"gives the label the variance {self.s33:.4g}")
        if self.spectrum[0] <= self.p * np.finfo(float).eps * self.spectrum[-1]:
            raise CchError(
                "covariance, block s22",
                f"is singular (smallest eigenvalue {self.spectrum[0]:.3g})",
                "leave out student features that depend on the others",
            )

    def _check_shapes(self) -> None:
        if self.s13.ndim != 1 or self.s23.ndim != 1 or not self.s13.size or not self.s23.size:
            raise CchError("covariance", "blocks s13 and s23 must be vectors that are not empty")
        q, p = len(self.s13), len(self.s23)
        for name, shape in (("s11", (q, q)), ("s12", (q, p)), ("s22", (p, p))):
            if getattr(self, name).shape != shape:
                raise CchError(
                    f"covariance, block {name}",
                    f"has shape {getattr(self, name).shape}, expected {shape}",
                )

    @classmethod
    def from_covariance(cls, covariance: np.ndarray, q: int) -> JointGaussian:
        """Split the covariance of (x1, x2, y), (q + p + 1, q + p + 1), with y last.

        Raises:
            CchError: it is not square, not symmetric, or leaves no features for x1 or x2.
        """
        whole = np.asarray(covariance, np.float64)
        if whole.ndim != 2 or whole.shape[0] != whole.shape[1]:
            raise CchError("covariance", f"has shape {whole.shape}, expected a square matrix")
        if not np.isfinite(whole).all():
            raise CchError("covariance", "contains NaN or infinity")
        if not 0 < q < len(whole) - 1:
            raise CchError("q", f"is {q}; x1 and x2 share {len(whole) - 1} coordinates")
        if not np.allclose(whole, whole.T, rtol=1e-10, atol=1e-12 * np.abs(whole).max()):
            raise CchError("covariance", "is not symmetric")
        one, two = slice(0, q), slice(q, len(whole) - 1)
        return cls(
            *(whole[one, one], whole[one, two], whole[one, -1]),
            *(whole[two, two], whole[two, -1], whole[-1, -1]),
        )

    @classmethod
    def standardised(
        cls, features: int, sigma_12: float, sigma_13: float, sigma_23: float
    ) -> JointGaussian:
        """Return Section 4.1's model as the theory needs it, with p = q = ``features``::

            Sigma_11 = Sigma_22 = I    Sigma_12 = sigma_12 I    Var(y) = 1
            Sigma_13 = sigma_13 1 / sqrt(p)    Sigma_23 = sigma_23 1 / sqrt(p)

        Correction to Eq. 7, which has Sigma_13 = sigma_13 1: that is no covariance at p = 100, and
        its operator norm grows with p, against the assumption of Section 3. With 1 / sqrt(p) the
        sigma_ij are the correlations of w1'x1, w*'x2 and y (w1 the optimal teacher), and
        sigma_13 = 0.9, sigma_23 = 0.4 leave sigma_12 in [-0.04, 0.76], the paper's [0, 0.7].

        Raises:
            CchError: the correlations belong to no Gaussian.
        """
        if features < 1:
            raise CchError("features", f"must be at least 1, not {features}")
        along = np.full(features, features**-0.5)
        identity = np.eye(features)
        return cls(identity, sigma_12 * identity, sigma_13 * along, identity, sigma_23 * along, 1.0)

    @classmethod
    def appendix_b(cls, model: SyntheticModel) -> JointGaussian:
        """Return the law of Appendix B's sampler, whose coordinates are correlated through y."""
        return cls.from_covariance(model.covariance(), model.features)

    @property
    def p(self) -> int:
        """Features of the student."""
        return len(self.s23)

    @property
    def q(self) -> int:
        """Features of the teacher."""
        return len(self.s13)

    def covariance(self) -> np.ndarray:
        """Covariance of (x1, x2, y), (q + p + 1, q + p + 1)."""
        return np.block(
            [
                [self.s11, self.s12, self.s13[:, None]],
                [self.s12.T, self.s22, self.s23[:, None]],
                [self.s13[None], self.s23[None], np.array([[self.s33]])],
            ]
        )

    @cached_property
    def _eigen(self) -> tuple[np.ndarray, np.ndarray]:
        return np.linalg.eigh(self.s22)

    @property
    def spectrum(self) -> np.ndarray:
        """Eigenvalues of Sigma_22 in rising order, (p,)."""
        return self._eigen[0]

    @property
    def axes(self) -> np.ndarray:
        """Eigenvectors of Sigma_22 as columns, (p, p)."""
        return self._eigen[1]

    @cached_property
    def student_weight(self) -> np.ndarray:
        """w* = Sigma_22^-1 Sigma_23, the best student weight, (p,) (Theorem 1)."""
        return np.linalg.solve(self.s22, self.s23)

    @cached_property
    def teacher_weight(self) -> np.ndarray:
        """Sigma_11^-1 Sigma_13, the best teacher weight, (q,) (after Theorem 1).

        The shortest one where Sigma_11 is singular. The paper calls it w* below Eq. 14; w* is the
        student's.
        """
        return np.linalg.lstsq(self.s11, self.s13, rcond=None)[0]

    @cached_property
    def noise(self) -> float:
        """sigma^2 = Var(y | x2) = Sigma_33 - w*' Sigma_22 w*, the best student's risk (Eq. 5)."""
        student = slice(self.q, self.q + self.p)
        return max(conditional_variance(self.covariance(), -1, student), 0.0)

    @cached_property
    def regression(self) -> np.ndarray:
        """B = Sigma_22^-1 Sigma_12', (p, q): E[w1'x1 | x2] = (B w1)'x2."""
        return np.linalg.solve(self.s22, self.s12.T)

    @cached_property
    def teacher_noise(self) -> np.ndarray:
        """Cov(x1, x1 | x2) = Sigma_11 - Sigma_12 Sigma_22^-1 Sigma_12', (q, q)."""
        return self.s11 - self.s12 @ self.regression

    @cached_property
    def shared_noise(self) -> np.ndarray:
        """Cov(x1, y | x2) = Sigma_13 - Sigma_12 w*, (q,): what Eqs. 13 to 17 turn on."""
        return self.s13 - self.s12 @ self.student_weight

    def weight(self, given: np.ndarray) -> np.ndarray:
        """Check a teacher weight w1, (q,).

        Raises:
            CchError: it has another shape or is not finite.
        """
        given = np.asarray(given, np.float64)
        if given.shape != (self.q,):
            raise CchError("teacher weight", f"has shape {given.shape}, expected ({self.q},)")
        if not np.isfinite(given).all():
            raise CchError("teacher weight", "contains NaN or infinity")
        return given
