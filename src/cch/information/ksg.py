"""Nearest-neighbour estimates of mutual information: Kraskov's and, for class labels, Ross's.

A. Kraskov, H. Stoegbauer, P. Grassberger, "Estimating mutual information", Phys. Rev. E 69 (2004)
066138, algorithm 1 (Eq. 8); B. C. Ross, "Mutual information between discrete and continuous data
sets", PLoS ONE 9 (2014) e87357, Eq. 2. Distances are of the maximum norm.

Both assume that no two distances are equal, and representations behind a ReLU repeat values: whole
columns of exact zeros, rows that are equal. Columns are scaled to unit variance and moved by
keyed uniform noise of at most 1e-10, far above the rounding of the scaled values and far below
their float32 resolution. In rows that repeat in both variables the neighbours are then found
within the noise, which is independent in the two, and the local estimate tends to
log(N n_xy / (n_x n_y)), the pointwise mutual information of the repeated value; rows that repeat
in one variable only are counted as a whole, as they should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import digamma
from sklearn.neighbors import KDTree

from cch.errors import CchError
from cch.information import CheckedEstimator, Measured, Sample, register
from cch.rng import numpy_generator

JITTER = 1e-10


@dataclass(frozen=True)
class KSG(CheckedEstimator):
    """Kraskov's algorithm 1 for continuous y, Ross's estimator for labels.

    Args:
        k: neighbours.
    """

    name: ClassVar[str] = "ksg"

    k: int = 3

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise CchError(self.name, f"k is {self.k!r}, expected a whole number of at least 1")

    @property
    def version(self) -> str:
        """Version of this implementation."""
        return "1"

    def _measure(self, sample: Sample, seed: int) -> Measured:
        rows = len(sample.x)
        if self.k >= rows:
            raise CchError(self.name, f"k = {self.k} neighbours in {rows} rows", "lower k")
        generator = numpy_generator("ksg", seed)
        x = _scaled(sample.x[:, ~sample.constant_x], generator)
        if sample.discrete:
            return ross(x, sample.y, self.k)
        y = _scaled(sample.y[:, ~sample.constant_y], generator)
        return kraskov(x, y, self.k)


def _scaled(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return columns of mean 0 and variance 1 with the noise that separates equal values."""
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    return scaled + JITTER * generator.random(values.shape)


def kraskov(x: np.ndarray, y: np.ndarray, k: int) -> Measured:
    """Estimate I(x; y) in nats: psi(k) + psi(N) - <psi(n_x + 1) + psi(n_y + 1)>.

    Args:
        x: (n, dx), no repeated values.
        y: (n, dy), no repeated values.
        k: neighbours in the joint space.
    """
    # The neighbour at the very distance is not counted, the row itself is: n + 1 of the formula.
    radius = _just_below_neighbour(np.hstack((x, y)), k)
    near_x, near_y = (_within(values, radius) for values in (x, y))
    value = digamma(k) + digamma(len(x)) - np.mean(digamma(near_x) + digamma(near_y))
    return Measured(float(value), fit={"rows_estimated": len(x)})


def ross(x: np.ndarray, labels: np.ndarray, k: int) -> Measured:
    """Estimate I(x; labels) in nats: psi(N) - <psi(N_class)> + <psi(k)> - <psi(m)>.

    A class of fewer than k + 1 rows uses all its other rows as neighbours; a row that is alone in
    its class has no neighbour and is left out of N and of the means, as scikit-learn does.

    Args:
        x: (n, dx), no repeated values.
        labels: (n,) class codes 0..C-1.
        k: neighbours within the class.
    """
    size = np.bincount(labels)[labels]
    alone = int((size == 1).sum())
    x, labels, size = x[size > 1], labels[size > 1], size[size > 1]
    fit = {"rows_estimated": len(x), "rows_alone_in_class": alone}
    flags = [f"{alone} rows alone in their class left out"] if alone else []
    if len(np.unique(labels)) < 2:
        return Measured(float("nan"), fit, [*flags, "fewer than two classes with two rows"])
    neighbours = np.minimum(k, size - 1)
    radius = np.empty(len(x))
    for label in np.unique(labels):
        mine = labels == label
        radius[mine] = _just_below_neighbour(x[mine], int(neighbours[mine][0]))
    near = _within(x, radius)
    value = digamma(len(x)) + np.mean(digamma(neighbours) - digamma(size) - digamma(near))
    return Measured(float(value), fit, flags)


def _just_below_neighbour(values: np.ndarray, k: int) -> np.ndarray:
    """Return for each row the largest number below the distance to its k-th neighbour, (n,)."""
    # Every row finds itself first, at distance 0.
    distance, _ = KDTree(values, metric="chebyshev").query(values, k=k + 1)
    return np.nextafter(distance[:, k], 0)


def _within(values: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return for each row how many rows, itself included, lie within its radius, (n,)."""
    # SciPy's tree gives the same counts but took ten times as long in 64 columns.
    return KDTree(values, metric="chebyshev").query_radius(values, radius, count_only=True)


register(KSG())
