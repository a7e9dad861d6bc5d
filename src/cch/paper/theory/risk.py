"""Excess risk of the distilled student, in the limit and at finite n (Appendix A).

One formula serves both regimes. With B = Sigma_22^-1 Sigma_12', the effective label of Eq. 9 has

    w-bar = (w* + lambda B w1) / (1 + lambda)                              (Eq. 10)
    sigma-bar^2 = Var(y + lambda w1'x1 | x2) / (1 + lambda)^2              (Eqs. 11, 30)

and with A = (Sigma_22 + tau I)^-1 Sigma_22, Omega = tr(A^2) / n, the least-squares student of
least norm is distributed as A w-bar + noise, so that its excess risk tends to

    R-bar = |A w-bar - w*|^2 + Omega / (1 - Omega) (sigma-bar^2 + |(I - A) w-bar|^2)

in the norm |v|^2 = v' Sigma_22 v. For kappa > 1, tau = 0, A = I and Omega = 1 / kappa: Eq. 13. For
kappa < 1, tau solves tr(A) = n: Eqs. 25 to 30, of which this is the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from cch.base.errors import CchError
from cch.paper.theory.model import JointGaussian


@dataclass(frozen=True)
class EffectiveLabel:
    """The label that the distilled student is fitted to: ybar = wbar'x2 + N(0, variance).

    Attributes:
        weight: w-bar, (p,) (Eq. 10).
        variance: sigma-bar^2 (Eqs. 11, 30).
    """

    weight: np.ndarray
    variance: float


@dataclass(frozen=True)
class Regime:
    """What kappa = n / p and the spectrum of Sigma_22 do to least squares.

    Attributes:
        tau: the ridge that interpolation acts like; 0 for kappa > 1.
        omega: tr((Sigma_22 + tau I)^-2 Sigma_22^2) / n; 1 / kappa for kappa > 1.
        kept: eigenvalues of A, the part of each direction that is learnt, (p,), in the order of
            ``JointGaussian.spectrum``.
    """

    tau: float
    omega: float
    kept: np.ndarray

    @property
    def inflation(self) -> float:
        """Omega / (1 - Omega); 1 / (kappa - 1) for kappa > 1."""
        return self.omega / (1 - self.omega)


def effective_label(model: JointGaussian, weight: np.ndarray, lam: float) -> EffectiveLabel:
    """Return w-bar and sigma-bar^2 of Eqs. 9 to 11 and 30.

    Args:
        model: the joint Gaussian.
        weight: teacher weight w1, (q,).
        lam: lambda of Eq. 4.

    Raises:
        CchError: lambda is below 0 or not finite, or the weight does not fit.
    """
    lam, weight = checked_lambda(lam), model.weight(weight)
    mean = (model.student_weight + lam * (model.regression @ weight)) / (1 + lam)
    variance = (
        model.noise
        + 2 * lam * (weight @ model.shared_noise)
        + lam**2 * (weight @ model.teacher_noise @ weight)
    ) / (1 + lam) ** 2
    return EffectiveLabel(mean, max(float(variance), 0.0))


def regime(model: JointGaussian, kappa: float) -> Regime:
    """Return tau and Omega at kappa = n / p (before Eq. 26).

    For kappa < 1, tau is the root of tr((Sigma_22 + tau I)^-1 Sigma_22) / p = kappa, found between
    0, where the left side is 1, and tr(Sigma_22) / (p kappa), where it is below kappa.

    Raises:
        CchError: kappa is not positive, or 1, where the risk is infinite.
    """
    if not (math.isfinite(kappa) and kappa > 0):
        raise CchError("kappa", f"must be a positive number, not {kappa}")
    if kappa == 1:
        raise CchError("kappa", "is 1, where the risk is infinite", "take n apart from p")
    if kappa > 1:
        return Regime(0.0, 1 / kappa, np.ones(model.p))
    values = model.spectrum
    top = float(values.mean()) / kappa
    tau = float(
        brentq(
            lambda t: float(np.mean(values / (values + t))) - kappa,
            *(0.0, top),
            xtol=1e-15 * top,
            rtol=4 * np.finfo(float).eps,
        )
    )
    kept = values / (values + tau)
    return Regime(tau, float(np.mean(kept**2)) / kappa, kept)


def asymptotic_risk(model: JointGaussian, weight: np.ndarray, lam: float, kappa: float) -> float:
    """Return the limit of the excess risk R(lambda, w1) of Eq. 5 for n, p -> infinity, n/p = kappa.

    kappa > 1 (Eq. 13)::

        (lambda / (1 + lambda))^2 |B w1 - w*|^2 + sigma-bar^2 / (kappa - 1)

    kappa < 1 (Eqs. 25 to 30)::

        |A w-bar - w*|^2 + Omega / (1 - Omega) (sigma-bar^2 + |(I - A) w-bar|^2)

    Corrections. Eq. 13: the first line misses the transpose of its first factor and writes
    sigma-tilde for sigma-bar. Eq. 12: g has p entries, not n. Eq. 25: gamma stands without the
    square that Eq. 27 gives it. Eq. 28: the quadratic forms miss the transpose of their first
    factor; Omega with its 1/n is right, because E[theta_2' Sigma_22 theta_2] is
    (sigma-bar / sigma)^2 kappa Omega and kappa cancels against Eq. 27. Eqs. 26 to 29 divide by
    sigma-bar and by sigma, which may be 0; this form does not. Exact values at finite n:
    ``finite_risk``.

    Args:
        model: the joint Gaussian.
        weight: teacher weight w1, (q,).
        lam: lambda of Eq. 4.
        kappa: n / p, not 1.

    Raises:
        CchError: kappa is 1 or not positive, lambda is below 0, or the weight does not fit.
    """
    state, label = regime(model, kappa), effective_label(model, weight, lam)
    learnt, aim = model.axes.T @ label.weight, model.axes.T @ model.student_weight
    shift = model.spectrum @ (state.kept * learnt - aim) ** 2
    unlearnt = model.spectrum @ ((1 - state.kept) * learnt) ** 2
    return float(shift + state.inflation * (label.variance + unlearnt))


def finite_risk(model: JointGaussian, weight: np.ndarray, lam: float, n: int) -> float:
    """Return the expected excess risk E[R(lambda, w1)] of n rows, exactly.

    n > p + 1, from the mean Sigma_22^-1 / (n - p - 1) of an inverse Wishart matrix::

        (lambda / (1 + lambda))^2 |B w1 - w*|^2 + sigma-bar^2 p / (n - p - 1)

    The factor 1 / (kappa - 1) of Eq. 13 is p / (n - p - 1) at finite n; they differ by the factor
    1 + 1 / (n - p - 1). For n < p - 1 there is such a form only where Sigma_22 is a multiple of I::

        |w*|^2 - 2 (n / p) (w-bar, w*) + (n / p) |w-bar|^2 + sigma-bar^2 n / (p - n - 1)

    Raises:
        CchError: n is within 1 of p, where the mean is infinite, or below it with Sigma_22 no
            multiple of I; else as ``asymptotic_risk``.
    """
    p, label = model.p, effective_label(model, weight, lam)
    if n < 1 or abs(n - p) < 2:
        raise CchError("n", f"is {n} for p = {p}", f"take n >= {p + 2} or 1 <= n <= {p - 2}")
    if n > p:
        shift = label.weight - model.student_weight
        return float(shift @ model.s22 @ shift + label.variance * p / (n - p - 1))
    if model.spectrum[-1] > model.spectrum[0] * (1 + 1e-9):
        raise CchError(
            "n", f"is {n} < p = {p}, and Sigma_22 is no multiple of I", "use asymptotic_risk"
        )
    aim, learnt, scale = model.student_weight, label.weight, float(model.spectrum[0])
    shift = aim @ aim + (n / p) * (learnt @ learnt - 2 * (learnt @ aim))
    return float(scale * shift + label.variance * n / (p - n - 1))


def help_margin(model: JointGaussian, weight: np.ndarray) -> float:
    """Return the left side of Eq. 17; distillation helps for small lambda where it is below 0::

        w1'(Sigma_13 - Sigma_12 w*) - sigma^2 = Cov(w1'x1, y | x2) - Var(y | x2)

    Correction: Eq. 17 writes w-hat where Eq. 16 has w1. With s = w*'x2 and t = w1'x1 it says that
    the regression of t on the student's residual y - s has a slope below 1. It does not depend on
    kappa > 1. The silent teacher w1 = 0 fulfils it: that much of what helps is shrinkage.

    Raises:
        CchError: the weight does not fit.
    """
    return float(model.weight(weight) @ model.shared_noise - model.noise)


def risk_slope(model: JointGaussian, weight: np.ndarray, kappa: float) -> float:
    """Return the derivative of ``asymptotic_risk`` in lambda at 0.

    For kappa > 1 it is 2 / (kappa - 1) times ``help_margin`` (Eq. 16). For kappa < 1, which the
    paper leaves out::

        2 (A w* - w*)' Sigma_22 A (B w1 - w*)
        + 2 Omega / (1 - Omega) (help_margin + ((I - A) w*)' Sigma_22 (I - A) (B w1 - w*))

    Raises:
        CchError: as ``asymptotic_risk``.
    """
    state = regime(model, kappa)
    margin = help_margin(model, weight)
    aim = model.axes.T @ model.student_weight
    toward = model.axes.T @ (model.regression @ model.weight(weight)) - aim
    lost = 1 - state.kept
    shift = -model.spectrum @ (lost * aim * state.kept * toward)
    unlearnt = model.spectrum @ (lost**2 * aim * toward)
    return float(2 * shift + 2 * state.inflation * (margin + unlearnt))


def break_even(model: JointGaussian, weight: np.ndarray, kappa: float) -> float:
    """Return the largest lambda up to which distillation helps: R-bar(lambda) < R-bar(0) below it.

    (1 + lambda)^2 R-bar(lambda) = a + 2 b lambda + c lambda^2, so that R-bar(lambda) < a where
    lambda (c - a) < 2 (a - b): it is 2 (a - b) / (c - a) for a > b and c > a. It is 0 where
    distillation helps for no small lambda (it may for large ones, where c < a) and infinite where
    it helps for all. Theorem 1 says "for small lambda" and no more; for kappa > 1 this bound
    shrinks as 1 / (kappa - 1).

    Raises:
        CchError: as ``asymptotic_risk``.
    """
    start = asymptotic_risk(model, weight, 0.0, kappa)
    slope = risk_slope(model, weight, kappa)
    if slope >= 0:
        return 0.0
    # At lambda = 1, 4 R-bar(1) = a + 2 b + c, and b = a + slope / 2.
    curvature = 4 * asymptotic_risk(model, weight, 1.0, kappa) - 3 * start - slope
    return float("inf") if curvature <= start else -slope / (curvature - start)


def optimal_weight(model: JointGaussian, lam: float, kappa: float) -> np.ndarray:
    """Return the teacher weight w1 that minimises ``asymptotic_risk`` at this lambda, (q,).

    For kappa > 1 it solves Eq. 14::

        lambda (Sigma_12 Sigma_22^-1 Sigma_12' + (Sigma_11 - Sigma_12 Sigma_22^-1 Sigma_12')
                / (kappa - 1)) w1 = lambda Sigma_12 w* - (Sigma_13 - Sigma_12 w*) / (kappa - 1)

    Corrections: Eq. 14 has the transposes of Sigma_12 the other way round in its first term and
    before w*; signs and factors are right. The matrix is positive definite with Sigma_11, so the
    minimum is unique for every lambda > 0, not for almost every. It is 0 for all lambda where
    Sigma_12 w* = Sigma_13 = 0, and then Theorem 2's first claim fails.

    For kappa < 1 the risk is a convex quadratic in w1 as well; the paper speaks of the saddle
    points of Eq. 28. The shortest minimiser is returned where there are several.

    Raises:
        CchError: lambda is not above 0; else as ``asymptotic_risk``.
    """
    if checked_lambda(lam) == 0:
        raise CchError("lambda", "is 0, where the teacher has no influence", "take it above 0")
    state = regime(model, kappa)
    aim = model.axes.T @ model.student_weight
    mixed = model.axes.T @ model.regression  # B in the eigenbasis of Sigma_22
    kept, lost, k = state.kept, 1 - state.kept, state.inflation
    form = mixed.T @ ((model.spectrum * (kept**2 + k * lost**2))[:, None] * mixed)
    matrix = lam * (form + k * model.teacher_noise)
    # The gradient of the shift at w1 = 0 pulls to (1 + lambda) w* - A w*.
    pull = kept * (1 + lam - kept) - k * lost**2
    right = mixed.T @ (model.spectrum * pull * aim) - k * model.shared_noise
    return np.linalg.lstsq(matrix, right, rcond=None)[0]


def surrogate_weight(model: JointGaussian, kappa: float) -> np.ndarray:
    """Return Eq. 15's optimal teacher weight, (q,), where x1 and y are independent given x2::

        (kappa - 1) (Sigma_11 + (kappa - 2) Sigma_12 Sigma_22^-1 Sigma_12')^-1 Sigma_12 w*

    It does not depend on lambda. Correction: Eq. 15 has Sigma_12' before w*.

    Raises:
        CchError: kappa is not above 1, or x1 and y are dependent given x2.
    """
    if not kappa > 1:
        raise CchError("kappa", f"is {kappa}; Eq. 15 needs kappa > 1")
    scale = math.sqrt(float(np.max(np.diag(model.s11))) * model.s33)
    if np.abs(model.shared_noise).max() > 1e-9 * scale:
        raise CchError("x1, y", "are dependent given x2", "use optimal_weight (Eq. 14)")
    matrix = model.s11 + (kappa - 2) * (model.s12 @ model.regression)
    return np.linalg.lstsq(matrix, (kappa - 1) * (model.s12 @ model.student_weight), rcond=None)[0]


def checked_lambda(lam: float) -> float:
    """Return lambda of Eq. 4.

    Raises:
        CchError: it is below 0 or not finite.
    """
    if not (math.isfinite(lam) and lam >= 0):
        raise CchError("lambda", f"must be 0 or more, not {lam}")
    return float(lam)
