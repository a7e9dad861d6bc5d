"""Theorem 1: when the criterion says that distillation helps, and when it does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cch.information.gaussian import mutual_information_nats
from cch.information.units import Nats
from cch.paper.theory.model import JointGaussian
from cch.paper.theory.risk import help_margin


@dataclass(frozen=True)
class TheoremOne:
    """Theorem 1's conditions for one teacher weight, its verdict, and the truth of Eq. 17.

    Attributes:
        teacher_student: I(w1'x1; w*'x2) in nats.
        student_label: I(w*'x2; y) in nats.
        bounded: w1' Sigma_11 w1 <= Sigma_33.
        aligned: w1' Sigma_13 >= 0.
        margin: left side of Eq. 17, see ``help_margin``.
    """

    teacher_student: Nats
    student_label: Nats
    bounded: bool
    aligned: bool
    margin: float

    @property
    def criterion(self) -> bool:
        """Whether I(w1'x1; w*'x2) > I(w*'x2; y), the hypothesis by itself."""
        return self.teacher_student > self.student_label

    @property
    def holds(self) -> bool:
        """Whether all of Theorem 1's conditions hold."""
        return self.bounded and self.aligned and self.criterion

    @property
    def helps(self) -> bool:
        """Whether distillation lowers the asymptotic risk for small lambda, kappa > 1 (Eq. 17)."""
        return self.margin < 0


def representations(model: JointGaussian, weight: np.ndarray) -> np.ndarray:
    """Covariance of (t, s, y) = (w1'x1, w*'x2, y), (3, 3): all that Theorem 1 depends on."""
    weight, best = model.weight(weight), model.student_weight
    signal, label = model.s23 @ best, weight @ model.s13
    teacher, shared = weight @ model.s11 @ weight, weight @ model.s12 @ best
    return np.array(
        [[teacher, shared, label], [shared, signal, signal], [label, signal, model.s33]]
    )


def theorem_one(model: JointGaussian, weight: np.ndarray) -> TheoremOne:
    """Check Theorem 1's conditions, and Eq. 17, for a teacher weight w1, (q,).

    Three remarks on the theorem. The sentence after it says "and the teacher" where its hypothesis
    has the label. Eq. 19 divides by the student's variance where Sigma_33 belongs; the steps after
    it use the right one. From |rho_ts| > |rho_sl| Eq. 22 concludes rho_ts > rho_sl, which does not
    follow where rho_ts < 0; the theorem is true all the same, and without its condition
    w1' Sigma_13 >= 0, because by Cauchy and Schwarz::

        Cov(t, y - s) <= sd(t | s) sd(y | s) = sd(t) sd(y) sqrt((1 - rho_ts^2) (1 - rho_sl^2))

    which is below sd(y)^2 (1 - rho_sl^2) = sigma^2 for |rho_ts| > |rho_sl| and sd(t) <= sd(y).

    A teacher or student without variance shares no information: 0 nats.

    Raises:
        CchError: the weight does not fit.
    """
    covariance = representations(model, weight)
    return TheoremOne(
        teacher_student=_pair(covariance, 0, 1),
        student_label=_pair(covariance, 1, 2),
        bounded=bool(covariance[0, 0] <= covariance[2, 2] * (1 + 1e-12)),
        aligned=bool(covariance[0, 2] >= 0),
        margin=help_margin(model, weight),
    )


def correlations(model: JointGaussian, weight: np.ndarray) -> tuple[float, float, float]:
    """Return rho(t, s), rho(s, y), rho(t, y) of Eqs. 18 to 20; 0 where one has no variance.

    Correction: rho(t, y) is w1' Sigma_13 / sqrt(w1' Sigma_11 w1 Sigma_33); Eq. 19 has the
    student's variance in place of Sigma_33.

    Raises:
        CchError: the weight does not fit.
    """
    covariance = representations(model, weight)
    spread = np.sqrt(np.clip(np.diag(covariance), 0, None))
    scale = np.outer(spread, spread)
    rho = np.divide(covariance, scale, out=np.zeros((3, 3)), where=scale > 0)
    return float(rho[0, 1]), float(rho[1, 2]), float(rho[0, 2])


def _pair(covariance: np.ndarray, first: int, second: int) -> Nats:
    block = covariance[np.ix_([first, second], [first, second])]
    if not np.all(np.diag(block) > 0):
        return Nats(0.0)
    return Nats(mutual_information_nats(block, [0], [1]))
