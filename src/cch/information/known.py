"""Keyed samples whose mutual information is known: what an estimator is calibrated on.

Three kinds. Gaussian pairs, whose information is a closed form of their canonical correlations; a
mixture of unit Gaussians, one a class, whose information with the class is integrated numerically;
and any pair with the rows of one side permuted, whose information is zero.

The information of a mixture with means at the vertices of a simplex needs no sampling. In the
space of its C vertices x | c ~ N(s e_c, I), so the likelihood of class j relative to a common
factor is w_j = p_j exp(s x_j), the w_j are independent given c, and with z ~ N(0, 1)::

    I(X; Y) = s^2 - sum_c p_c E[ln S_c],   S_c = sum_j p_j exp(s z_j + s^2 [j = c])
    E[ln S] = integral over u of exp(-e^u) - prod_j E[exp(-e^u w_j)]

The second line is E[ln S] = integral over t > 0 of (e^-t - E[e^(-t S)]) / t at t = e^u. All
factors are one function of one variable, shifted.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import helmert
from scipy.optimize import brentq

from cch.base.errors import CchError
from cch.data.rng import numpy_generator
from cch.information.estimator import constant_columns
from cch.information.gaussian import mutual_information_nats
from cch.information.units import Nats

RANK = 8
"""Canonical pairs of a Gaussian case: representations are of low rank, whatever their width."""

_TAIL = 9.0
"""Standard deviations at which integrals end; beyond lie 2e-19 of a normal distribution."""

Key = tuple[Any, ...]
Shares = tuple[float, ...]


def canonical_correlation(truth: float, pairs: int) -> float:
    """Return the correlation of each of ``pairs`` canonical pairs that carry ``truth`` nats in all.

    Raises:
        CchError: ``truth`` is negative or not finite, or there are no pairs.
    """
    if not 0 <= truth < np.inf or pairs < 1:
        raise CchError("known", f"{truth} nats over {pairs} canonical pairs cannot be")
    return float(np.sqrt(-np.expm1(-2 * truth / pairs)))


def spectrum(values: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Return the spectrum of representations (n, d): of their correlation matrix, (d,), falling.

    Eigenvalues below 1e-6 of the largest are rounding and count as zero; a column without spread
    adds a zero.

    Args:
        values: (n, d).
        labels: (n,) classes; with them the spectrum is that within classes: of the columns, scaled
            by their total spread, about the means of their class. It is all zero where the class
            determines the representation.
    """
    values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    spread = values[:, ~constant_columns(values)]
    found = np.zeros(values.shape[1])
    if spread.shape[1]:
        scaled = (spread - spread.mean(axis=0)) / spread.std(axis=0)
        if labels is not None:
            scaled -= _class_means_of(scaled, labels)
        singular = np.linalg.svd(scaled, compute_uv=False) ** 2 / len(scaled)
        # Within classes the columns have less than unit variance; what is left of 1e-9 is rounding.
        least = max(1e-6 * singular[0], 0.0 if labels is None else 1e-9)
        found[: len(singular)] = np.where(singular < least, 0.0, singular)
    return found


def _class_means_of(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean of each row's class, (n, d)."""
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, codes, values)
    return (sums / counts[:, None])[codes]


def _scales(wanted: np.ndarray | None, d: int) -> np.ndarray:
    """Standard deviations along the axes before rotation, (d,); all 1 without a spectrum."""
    if wanted is None:
        return np.ones(d)
    if np.shape(wanted) != (d,) or not np.max(wanted) > 0 or np.min(wanted) < 0:
        raise CchError("known", f"a spectrum of shape {np.shape(wanted)} does not fit {d} columns")
    return np.sqrt(np.sort(wanted)[::-1])


def gaussian_pairs(
    n: int,
    dx: int,
    dy: int,
    truth: float,
    *,
    keys: Sequence[Key],
    rank: int = RANK,
    spectra: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw Gaussian pairs whose information is ``truth`` nats.

    Canonical pairs carry it in equal parts: ``rank`` of them, or as many as the narrower side has
    directions of any variance. They lie along the leading directions of each side's spectrum; a
    random orthogonal rotation of each side spreads them over all its columns. The spectrum changes
    how hard the pair is for an estimator, and not its information.

    Args:
        n: rows.
        dx: columns of x.
        dy: columns of y.
        truth: I(x; y) in nats.
        keys: one for each sample.
        rank: canonical pairs at most.
        spectra: variances along the principal directions of x (dx,) and y (dy,), see
            ``spectrum``; without them all are 1.

    Returns:
        x (len(keys), n, dx) and y (len(keys), n, dy), float64.

    Raises:
        CchError: as ``canonical_correlation``, or a spectrum that does not fit.
    """
    scale_x, scale_y = (
        _scales(wanted, d) for wanted, d in zip(spectra or (None, None), (dx, dy), strict=True)
    )
    pairs = carrying(rank, scale_x, scale_y)
    rho = canonical_correlation(truth, pairs)
    x, y = np.empty((len(keys), n, dx)), np.empty((len(keys), n, dy))
    turn_x, turn_y = np.empty((len(keys), dx, dx)), np.empty((len(keys), dy, dy))
    for i, key in enumerate(keys):
        generator = numpy_generator("known", "gaussian", *key)
        generator.standard_normal(out=x[i])
        generator.standard_normal(out=y[i])
        turn_x[i], turn_y[i] = generator.normal(size=(dx, dx)), generator.normal(size=(dy, dy))
    y[..., :pairs] = rho * x[..., :pairs] + np.sqrt(1 - rho**2) * y[..., :pairs]
    return (x * scale_x) @ _orthogonal(turn_x), (y * scale_y) @ _orthogonal(turn_y)


def carrying(rank: int, *spectra: np.ndarray) -> int:
    """Return how many canonical pairs carry the information: see ``gaussian_pairs``."""
    return min(rank, *(int((np.asarray(one) > 0).sum()) for one in spectra))


def gaussian_covariance(dx: int, dy: int, truth: float, rank: int = RANK) -> np.ndarray:
    """Return the covariance of (x, y) of ``gaussian_pairs`` before its rotations, which keep I."""
    pairs = min(rank, dx, dy)
    covariance = np.eye(dx + dy)
    first = np.arange(pairs)
    rho = canonical_correlation(truth, pairs)
    covariance[first, dx + first] = covariance[dx + first, first] = rho
    return covariance


def gaussian_truth(dx: int, dy: int, truth: float, rank: int = RANK) -> Nats:
    """Return I(x; y) in nats of ``gaussian_pairs`` from its covariance, by the closed form."""
    covariance = gaussian_covariance(dx, dy, truth, rank)
    return Nats(mutual_information_nats(covariance, slice(0, dx), slice(dx, dx + dy)))


def _orthogonal(normal: np.ndarray) -> np.ndarray:
    """Return uniformly distributed orthogonal matrices from normal ones, (..., d, d)."""
    q, r = np.linalg.qr(normal)
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]


def permuted(y: np.ndarray, *, keys: Sequence[Key]) -> list[np.ndarray]:
    """Return ``y`` (n, ...) with its rows in a random order, once for each key.

    Beside the x it came with, its true information is zero while both marginals stay.
    """
    return [y[numpy_generator("known", "permuted", *key).permutation(len(y))] for key in keys]


# Class mixtures


def class_means(classes: int, d: int) -> np.ndarray:
    """Return the means of a class mixture at separation 1, (classes, k), k <= d.

    The vertices of a simplex where it fits (d >= classes - 1), else points on a circle, or on a
    line for d = 1. Neighbours are 1 apart.

    Raises:
        CchError: fewer than two classes or no column.
    """
    if classes < 2 or d < 1:
        raise CchError("known", f"a mixture of {classes} classes in {d} columns cannot be")
    if d >= classes - 1:
        # A basis by formula: one by decomposition is arbitrary, for all its values are equal, and
        # would be another on another processor.
        return helmert(classes).T / np.sqrt(2)
    if d == 1:
        return (np.arange(classes) - (classes - 1) / 2)[:, None]
    angle = 2 * np.pi * np.arange(classes) / classes
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) / (2 * np.sin(np.pi / classes))


def mixture_information(shares: Sequence[float], separation: float, d: int) -> Nats:
    """Return I(X; Y) in nats for x | c ~ N(separation * mean_c, I_d), P(c) = ``shares``.

    By numerical integration: one-dimensional integrals for a simplex of means (see the module),
    the density on a grid for means on a line or circle. Errors are below 1e-6 nats.

    Args:
        shares: of the classes, positive, adding up to 1.
        separation: distance of neighbouring means, at least 0.
        d: columns of x.

    Raises:
        CchError: the shares are none, or as ``class_means``.
    """
    return _information(_checked(shares), float(separation), int(d))


@functools.lru_cache(maxsize=4096)
def _information(shares: Shares, separation: float, d: int) -> Nats:
    means = class_means(len(shares), d)
    if separation == 0:
        return Nats(0.0)
    p = np.array(shares)
    if d >= len(p) - 1:
        return Nats(_simplex_information(p, separation / np.sqrt(2)))
    return Nats(_grid_information(p, separation * means))


def _checked(shares: Sequence[float]) -> Shares:
    p = np.asarray(shares, dtype=np.float64)
    if p.ndim != 1 or not np.isfinite(p).all() or (p <= 0).any() or abs(p.sum() - 1) > 1e-9:
        raise CchError("known", f"{list(shares)} are no shares of classes")
    return tuple(float(share) for share in p / p.sum())


def _simplex_information(p: np.ndarray, s: float) -> float:
    """I(X; Y) for means s e_c; the formulas are in the module's docstring.

    Sums over even grids stand for the integrals: both integrands are analytic and vanish at both
    ends, where such sums converge exponentially.
    """
    step = 0.02
    reach = _TAIL * s + 4
    largest = float(np.abs(np.log(p)).max()) + s**2
    u = np.arange(-largest - reach - 40, largest + reach, step)
    z = np.arange(-_TAIL, _TAIL, min(step, 0.2 / s))
    weight = np.exp(-0.5 * z**2)
    # E[exp(-exp(v + s z))] is 1 far below and 0 far above 0; between it is tabulated once.
    v = np.arange(-reach - 40, reach, step)
    table = np.empty(len(v))
    for part in np.array_split(np.arange(len(v)), max(1, len(v) * len(z) // 10**6)):
        table[part] = np.exp(-np.exp(np.minimum(v[part, None] + s * z, 30.0))) @ weight
    curve = CubicSpline(v, table / weight.sum())

    def factor(at: np.ndarray) -> np.ndarray:
        return np.where(at < v[0], 1.0, np.where(at > v[-1], 0.0, curve(np.clip(at, v[0], v[-1]))))

    apart = np.stack([factor(u + np.log(share)) for share in p])
    own = np.stack([factor(u + np.log(share) + s**2) for share in p])
    logs = np.empty(len(p))
    for c in range(len(p)):
        product = own[c] * np.prod(np.delete(apart, c, axis=0), axis=0)
        logs[c] = np.sum(np.exp(-np.exp(np.minimum(u, 30.0))) - product) * step
    return float(s**2 - p @ logs)


def _grid_information(p: np.ndarray, means: np.ndarray) -> float:
    """I(X; Y) = sum_c p_c E[ln (f_c / f)] for means (C, 1 or 2), on an even grid of the plane."""
    step = 0.02 if means.shape[1] == 1 else 0.1
    axes = [np.arange(m.min() - _TAIL, m.max() + _TAIL, step) for m in means.T]
    total = 0.0
    # Line by line of the first axis, so that memory stays with one line of the grid.
    for first in axes[0]:
        log_density = -0.5 * (first - means[:, 0]) ** 2 - 0.5 * means.shape[1] * np.log(2 * np.pi)
        if means.shape[1] == 2:
            log_density = log_density[:, None] - 0.5 * (axes[1] - means[:, 1:]) ** 2
        joint = p @ np.exp(log_density)
        ratio = log_density - np.log(np.maximum(joint, 1e-300))
        total += float(np.sum(p @ (np.exp(log_density) * ratio)))
    return total * step ** means.shape[1]


@functools.lru_cache(maxsize=1024)
def _separation(shares: Shares, truth: float, d: int) -> float:
    entropy = float(-np.sum(np.array(shares) * np.log(shares)))
    if not 0 <= truth < entropy:
        raise CchError(
            "known",
            f"I(X; Y) = {truth:.4f} nats cannot be",
            f"it lies in 0 to H(Y) = {entropy:.4f}",
        )
    if truth == 0:
        return 0.0

    def excess(separation: float) -> float:
        return _information(shares, separation, d) - truth

    high = 1.0
    while excess(high) < 0:
        high *= 2
        if high > 64:
            raise CchError("known", f"{truth} nats are too near to H(Y)", "ask for less")
    return float(brentq(excess, 0.0, high, xtol=1e-7))


def mixture_separation(shares: Sequence[float], truth: float, d: int) -> float:
    """Return the distance of neighbouring means at which I(X; Y) is ``truth`` nats.

    Raises:
        CchError: ``truth`` is negative or not below H(Y), or as ``mixture_information``.
    """
    return _separation(_checked(shares), float(truth), int(d))


def class_mixture(
    n: int,
    dx: int,
    shares: Sequence[float],
    truth: float,
    *,
    keys: Sequence[Key],
    counts: Sequence[int] | None = None,
    spectrum_x: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw class mixtures whose I(x; label) is ``truth`` nats.

    The means lie along the leading directions of the spectrum within a class, in units of its
    standard deviations; a random orthogonal rotation spreads them over all columns.

    Args:
        n: rows.
        dx: columns of x.
        shares: of the classes.
        truth: I(x; label) in nats, below H(Y).
        keys: one for each sample.
        counts: rows of each class, exactly; without it every row draws its class by ``shares``.
        spectrum_x: variances along the principal directions of x within a class (dx,); without it
            all are 1. With fewer than classes - 1 that are not zero the means lie on a circle or
            line.

    Returns:
        x (len(keys), n, dx) float64 and labels (len(keys), n) int64.

    Raises:
        CchError: as ``mixture_separation``, or the counts do not add up to n.
    """
    p = _checked(shares)
    if counts is not None and (len(counts) != len(p) or sum(counts) != n):
        raise CchError("known", f"counts {list(counts)} are no {n} rows of {len(p)} classes")
    scale = _scales(spectrum_x, dx)
    within = int((scale > 0).sum())
    means = mixture_separation(p, truth, within) * class_means(len(p), within)
    x, labels = np.empty((len(keys), n, dx)), np.empty((len(keys), n), dtype=np.int64)
    turn = np.empty((len(keys), dx, dx))
    for i, key in enumerate(keys):
        generator = numpy_generator("known", "class-mixture", *key)
        if counts is None:
            labels[i] = generator.choice(len(p), size=n, p=p)
        else:
            labels[i] = generator.permutation(np.repeat(np.arange(len(p)), counts))
        generator.standard_normal(out=x[i])
        turn[i] = generator.normal(size=(dx, dx))
    x[..., : means.shape[1]] += means[labels]
    return (x * scale) @ _orthogonal(turn), labels


# Worlds of a known gap


def gap_worlds(
    n: int,
    d: int,
    gap: float,
    student_label: float,
    *,
    keys: Sequence[Key],
    rank: int = RANK,
    classes: int = 2,
    teacher_knows_label: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw teacher, student and label whose I(teacher; student) - I(student; label) is ``gap``.

    Each side has ``d - (classes - 1)`` columns of ``gaussian_pairs`` and ``classes - 1`` others,
    independent of the pairs. The student's others are a ``class_mixture``. The teacher's others are

    - noise, where ``teacher_knows_label`` is false: the pairs carry ``gap + student_label``;
    - the class means without noise, where it is true: the pairs carry ``gap``, and the label adds
      I(student; label).

    I(teacher; student) is ``gap + student_label`` in both cases. A random orthogonal rotation of
    each side, which keeps all information, mixes its columns.

    Args:
        n: rows.
        d: columns of the teacher, and as many of the student.
        gap: nats, at least ``-student_label``, and at least 0 where the teacher knows the label.
        student_label: I(student; label) in nats, below ln(classes).
        keys: of the random generators, one for each sample.
        rank: number of canonical pairs.
        classes: number of classes of the label; their sizes differ by at most one row.
        teacher_knows_label: whether the teacher determines the label or is independent of it.

    Returns:
        Teacher and student, (len(keys), n, d) float64 each, and labels, (len(keys), n) int64.

    Raises:
        CchError: as ``gaussian_pairs`` and ``class_mixture``.
    """
    apart = classes - 1
    shared = gap if teacher_knows_label else gap + student_label
    pairs = gaussian_pairs(n, d - apart, d - apart, shared, keys=keys, rank=rank)
    shares, counts = np.full(classes, 1 / classes), np.bincount(np.arange(n) % classes)
    own, labels = class_mixture(n, apart, shares, student_label, keys=keys, counts=counts.tolist())
    generators = [numpy_generator("known", "gap-world", *key) for key in keys]
    if teacher_knows_label:
        shown = 2 * class_means(classes, apart)[labels]
    else:
        shown = np.stack([generator.normal(size=(n, apart)) for generator in generators])
    sides = [
        np.concatenate(parts, axis=2)
        @ _orthogonal(np.stack([generator.normal(size=(d, d)) for generator in generators]))
        for parts in zip(pairs, (shown, own), strict=True)
    ]
    return sides[0], sides[1], labels
