"""Calibration: what an estimator says where the truth is known, at a study's own sizes.

An estimate of mutual information has a bias and a noise of its own that depend on rows, columns
and the mix of classes. Both are measured on the study's own pair with one side permuted (truth
zero), and on samples of known information of the same shape (``cch.information.known``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cch.base.errors import CchError
from cch.information.calibration_model import Case, CaseResult, Reading, Response
from cch.information.estimator import Estimator, entropy_of_labels
from cch.information.known import RANK, carrying, class_mixture, gaussian_pairs, permuted, spectrum
from cch.information.units import Nats

__all__ = [
    "Case",
    "CaseResult",
    "Reading",
    "Response",
    "calibrate_continuous",
    "calibrate_labels",
    "sweep_settings",
]


def calibrate_continuous(
    estimator: Estimator,
    n: int,
    dx: int,
    dy: int,
    *,
    truths: Sequence[float],
    repeats: int,
    rank: int = RANK,
    key: tuple[Any, ...],
    pair: tuple[np.ndarray, np.ndarray] | None = None,
    quantity: str = "teacher-student",
) -> list[CaseResult]:
    """Calibrate an estimator for two continuous variables.

    Args:
        estimator: what is calibrated, with its options.
        n: rows.
        dx: columns of x.
        dy: columns of y.
        truths: of the Gaussian cases, in nats.
        repeats: samples of each case.
        rank: canonical pairs that carry the information of a Gaussian case, at most.
        key: what the samples and the estimator's generators are keyed by.
        pair: the study's own x (n, dx) and y (n, dy) for the permutation null; without it the null
            is of independent Gaussian samples.
        quantity: what the cases speak for.

    Returns:
        The null first, then the cases in the order of ``truths``.

    Raises:
        CchError: as the estimator's ``estimate`` and ``cch.information.known``.
    """
    cases, samples = [], []
    base = Case("gaussian", quantity, Nats(0.0), n, dx, dy)
    spectra = None
    if pair is not None:
        spectra = spectrum(pair[0]), spectrum(pair[1])
        base = replace(base, spectrum="study")
        cases.append(replace(base, kind="permutation-null"))
        samples.append(_null(pair, n, repeats, key))
    base = replace(base, rank=carrying(rank, *(spectra or (np.ones(dx), np.ones(dy)))))
    for truth in truths if pair is not None else [0.0, *truths]:
        cases.append(replace(base, truth=Nats(float(truth))))
        keys = _keys(key, "gaussian", truth, repeats)
        x, y = gaussian_pairs(n, dx, dy, truth, keys=keys, rank=rank, spectra=spectra)
        samples.append(list(zip(_single(x), _single(y), strict=True)))
    return _estimated(estimator, cases, samples, key)


def calibrate_labels(
    estimator: Estimator,
    n: int,
    dx: int,
    class_counts: Sequence[int],
    *,
    shares: Sequence[float],
    repeats: int,
    key: tuple[Any, ...],
    pair: tuple[np.ndarray, np.ndarray] | None = None,
    quantity: str = "student-label",
) -> list[CaseResult]:
    """Calibrate an estimator for a representation and class labels.

    Args:
        estimator: what is calibrated, with its options.
        n: rows.
        dx: columns of x.
        class_counts: rows of each class, exact in every sample; they add up to n.
        shares: truths as parts of H(Y) = the entropy of ``class_counts``, below 1.
        repeats: samples of each case.
        key: what the samples and the estimator's generators are keyed by.
        pair: the study's own x (n, dx) and labels (n,) for the permutation null; without it the
            null is a class mixture without separation. The class mixtures take the spectrum of x
            within classes, or a flat one where the class determines x.
        quantity: what the cases speak for.

    Returns:
        The null first, then the cases in the order of ``shares``.

    Raises:
        CchError: as the estimator's ``estimate`` and ``cch.information.known``.
    """
    counts = tuple(int(count) for count in class_counts if count)
    entropy = entropy_of_labels(np.repeat(np.arange(len(counts)), counts))
    mix = np.array(counts) / sum(counts)
    cases, samples = [], []
    base = Case("class-mixture", quantity, Nats(0.0), n, dx, class_counts=counts)
    own = None
    if pair is not None:
        cases.append(replace(base, kind="permutation-null", spectrum="study"))
        samples.append(_null(pair, n, repeats, key))
        within = spectrum(*pair)
        if within.any():
            own, base = within, replace(base, spectrum="study")
    for share in shares if pair is not None else [0.0, *shares]:
        truth = Nats(share * entropy)
        cases.append(replace(base, truth=truth, share=float(share)))
        keys = _keys(key, "class-mixture", share, repeats)
        x, labels = class_mixture(n, dx, mix, truth, keys=keys, counts=counts, spectrum_x=own)
        samples.append(list(zip(_single(x), labels, strict=True)))
    return _estimated(estimator, cases, samples, key)


def _single(values: np.ndarray) -> np.ndarray:
    """Samples as representations are stored: in float32, and half the memory."""
    return values.astype(np.float32)


def _keys(key: tuple[Any, ...], kind: str, size: float, repeats: int) -> list[tuple[Any, ...]]:
    return [(*key, kind, float(size), repeat) for repeat in range(repeats)]


def _null(
    pair: tuple[np.ndarray, np.ndarray], n: int, repeats: int, key: tuple[Any, ...]
) -> list[tuple[np.ndarray, np.ndarray]]:
    x, y = pair
    if len(x) != n or len(y) != n:
        raise CchError("calibrate", f"the pair has {len(x)} and {len(y)} rows, expected {n}")
    return [(x, mixed) for mixed in permuted(y, keys=_keys(key, "null", 0, repeats))]


def _estimated(
    estimator: Estimator,
    cases: Sequence[Case],
    samples: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]],
    key: tuple[Any, ...],
) -> list[CaseResult]:
    """Estimate all samples of all cases in one call, so that stacked estimators train together."""
    pairs = [pair for sample in samples for pair in sample]
    keys = [
        (*key, case.kind, case.name, repeat)
        for case, sample in zip(cases, samples, strict=True)
        for repeat in range(len(sample))
    ]
    found = iter(estimator.estimate_many(pairs, keys=keys))
    results = []
    for case, sample in zip(cases, samples, strict=True):
        mine = [next(found) for _ in sample]
        values = [float(one.value) for one in mine if one.value is not None]
        said = [flag for one in mine for flag in one.flags]
        flags = [f"{flag} ({said.count(flag)} of {len(mine)})" for flag in dict.fromkeys(said)]
        results.append(CaseResult(case, values, len(mine) - len(values), flags))
    return results


def sweep_settings(
    estimator: Estimator,
    grid: Mapping[str, Sequence[bool | int | float]],
    calibrate: Callable[[Estimator], list[CaseResult]],
) -> list[CaseResult]:
    """Calibrate an estimator at every combination of some of its own settings.

    Samples and the estimator's generators are keyed by the case and not by the settings, so that
    results at different settings are paired.

    Args:
        estimator: a dataclass whose fields are its options.
        grid: values by option, e.g. ``{"k": [3, 5, 10]}``.
        calibrate: runs the cases with an estimator.

    Returns:
        The results of all combinations, ``case.options`` naming each.

    Raises:
        CchError: the estimator has no such option, or refuses a value.
    """
    results = []
    for values in itertools.product(*grid.values()) if grid else ():
        options = dict(zip(grid, values, strict=True))
        unknown = [name for name in options if name not in estimator.__dataclass_fields__]
        if unknown:
            raise CchError(estimator.name, f"has no option {unknown[0]!r}")
        varied = replace(estimator, **options)  # type: ignore[type-var]
        for result in calibrate(varied):
            results.append(replace(result, case=replace(result.case, options=options)))
    return results
