"""Eq. 4's student at finite n and p: Monte Carlo of its excess risk.

Each replication has a generator of its own, so more replications, or another order of work, leave
the earlier ones as they are. All lambda of a replication share its rows: differences are paired.
"""

from __future__ import annotations

import numpy as np

from cch.base.errors import CchError
from cch.data.rng import numpy_generator
from cch.paper.theory.model import JointGaussian
from cch.paper.theory.risk import checked_lambda

BLOCK_BYTES = 2**26
"""Designs solved at once: the largest stack that stays about this large."""


def simulate(
    model: JointGaussian,
    weight: np.ndarray,
    lambdas: list[float],
    n: int,
    replications: int,
    key: tuple[object, ...],
) -> np.ndarray:
    """Return the excess risk (Eq. 5) of Eq. 4's estimator, (replications, len(lambdas)).

    Least squares where n >= p, the solution of least norm (Eq. 23) where n < p. The fits to y and
    to w1'x1 are made once; the student of every lambda is (w_y + lambda w_t) / (1 + lambda). The
    excess risk of a fitted student is (w - w*)' Sigma_22 (w - w*), without test rows.

    Args:
        model: the joint Gaussian.
        weight: teacher weight w1, (q,).
        lambdas: lambda of Eq. 4, each 0 or more.
        n: rows.
        replications: independent samples.
        key: what the draws are for; the generator of replication i is keyed by (*key, n, p, i).

    Raises:
        CchError: n or replications below 1, a lambda below 0, or a weight that does not fit.
    """
    if n < 1 or replications < 1:
        raise CchError("simulation", f"needs rows and replications, not {n} and {replications}")
    grid = np.array([checked_lambda(lam) for lam in lambdas])
    sampler = _Sampler(model, model.weight(weight), n, key)
    size = max(1, BLOCK_BYTES // (8 * n * model.p))
    starts = range(0, replications, size)
    blocks = [_moments(sampler, range(i, min(i + size, replications))) for i in starts]
    own, cross, teacher = np.concatenate(blocks, axis=1)[:, :, None]
    return (own + 2 * grid * cross + grid**2 * teacher) / (1 + grid) ** 2


def operations(n: int, p: int, replications: int) -> float:
    """Return the floating-point operations of ``simulate``: draws, moments and solutions."""
    least = min(n, p)
    return replications * (2 * n * p**2 + 2 * n * p * least + 2 * least**3 / 3)


class _Sampler:
    """Draws rows of x2 with y and t = w1'x1, which is all of x1 that Eq. 4 sees."""

    def __init__(
        self, model: JointGaussian, weight: np.ndarray, n: int, key: tuple[object, ...]
    ) -> None:
        self.n, self.p, self.key = n, model.p, key
        self.root = np.linalg.cholesky(model.s22)
        self.aim = model.student_weight
        self.mean = np.stack([self.aim, model.regression @ weight], axis=1)
        shared = weight @ model.shared_noise
        noise = np.array([[model.noise, shared], [shared, weight @ model.teacher_noise @ weight]])
        values, vectors = np.linalg.eigh(noise)
        # Either may be a function of x2, so a factor that does not mind a singular matrix.
        self.noise = vectors * np.sqrt(np.clip(values, 0, None))

    def draw(self, numbers: range) -> tuple[np.ndarray, np.ndarray]:
        """Return x2, (b, n, p), and (y, t), (b, n, 2), of the replications ``numbers``."""
        rows = np.empty((len(numbers), self.n, self.p))
        targets = np.empty((len(numbers), self.n, 2))
        for place, number in enumerate(numbers):
            generator = numpy_generator(*self.key, self.n, self.p, number)
            generator.standard_normal(out=rows[place])
            targets[place] = generator.standard_normal((self.n, 2))
        rows = rows @ self.root.T
        return rows, rows @ self.mean + targets @ self.noise.T


def _moments(sampler: _Sampler, numbers: range) -> np.ndarray:
    """Inner products, in the metric of Sigma_22, of w_y - w* and w_t - w*, (3, b)."""
    rows, targets = sampler.draw(numbers)
    across = rows.transpose(0, 2, 1)
    if sampler.n >= sampler.p:
        fits = np.linalg.solve(across @ rows, across @ targets)
    else:
        fits = across @ np.linalg.solve(rows @ across, targets)
    error = sampler.root.T @ (fits - sampler.aim[:, None])
    own, teacher = error[..., 0], error[..., 1]
    return np.stack([(own**2).sum(1), (own * teacher).sum(1), (teacher**2).sum(1)])
