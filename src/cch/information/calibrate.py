"""Calibration: what an estimator says where the truth is known, at a study's own sizes.

An estimate of mutual information has a bias and a noise of its own that depend on rows, columns
and the mix of classes. Both are measured on the study's own pair with one side permuted (truth
zero), and on samples of known information of the same shape (``cch.information.known``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from cch.errors import CchError
from cch.information import Estimator, entropy_of_labels
from cch.information.known import (
    RANK,
    carrying,
    class_mixture,
    gaussian_pairs,
    permuted,
    spectrum,
)
from cch.units import Nats

Kind = Literal["permutation-null", "gaussian", "class-mixture"]
Options = Mapping[str, bool | int | float]


@dataclass(frozen=True)
class Case:
    """One situation of known truth.

    Attributes:
        kind: where its samples come from; see ``cch.information.known``.
        quantity: teacher-student, student-label or teacher-label: what it speaks for.
        truth: I(x; y) in nats.
        rows: n of each sample.
        dx: columns of x.
        dy: columns of y; None for labels.
        class_counts: rows of each class; None for a continuous y.
        rank: canonical pairs that carry the information; Gaussian cases only.
        share: truth / H(Y); class mixtures only.
        spectrum: of the sample: ``study`` where it is that of the study's own pair, ``flat`` where
            all principal variances are alike.
        options: settings of the estimator that were varied; empty for those of the study.
    """

    kind: Kind
    quantity: str
    truth: Nats
    rows: int
    dx: int
    dy: int | None = None
    class_counts: tuple[int, ...] | None = None
    rank: int | None = None
    share: float | None = None
    spectrum: Literal["study", "flat"] = "flat"
    options: dict[str, bool | int | float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name within its quantity and options: ``null``, ``0.25`` (nats), ``h0.5`` (of H(Y))."""
        if self.truth == 0:
            return "null"
        return f"h{self.share:g}" if self.share is not None else f"{self.truth:g}"


@dataclass(frozen=True)
class CaseResult:
    """What an estimator gave in one case, sample by sample.

    Attributes:
        case: the situation.
        values: estimates in nats; those that failed are left out.
        failed: how many failed.
        flags: what the estimates were flagged with, each flag once with how often.
    """

    case: Case
    values: list[float]
    failed: int = 0
    flags: list[str] = field(default_factory=list)

    @property
    def repeats(self) -> int:
        """Number of values."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean estimate in nats; None where all failed."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def bias(self) -> float | None:
        """Mean estimate minus truth, in nats; None where all failed."""
        return None if self.mean is None else self.mean - self.case.truth

    @property
    def sd(self) -> float | None:
        """Standard deviation of a single estimate, in nats; None for fewer than two values."""
        return float(np.std(self.values, ddof=1)) if self.repeats > 1 else None

    def to_json(self) -> dict[str, Any]:
        """The result as a dict that JSON holds without loss, its summary included."""
        return {
            **asdict(self.case),
            "name": self.case.name,
            "values": list(self.values),
            "repeats": self.repeats,
            "bias": self.bias,
            "sd": self.sd,
            "failed": self.failed,
            "flags": list(self.flags),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CaseResult:
        """The result of ``to_json``."""
        known = {name: content[name] for name in Case.__dataclass_fields__}
        counts = known["class_counts"]
        known["class_counts"] = None if counts is None else tuple(counts)
        return cls(Case(**known), content["values"], content["failed"], content["flags"])


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
            null is a class mixture without separation. The class mixtures take its spectrum.
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
        own = spectrum(pair[0])
        base = replace(base, spectrum="study")
        cases.append(replace(base, kind="permutation-null"))
        samples.append(_null(pair, n, repeats, key))
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


class Reading(NamedTuple):
    """What calibration says at one estimate: nats, and whether it lies outside what was tried."""

    bias: float
    noise: float
    outside: bool


@dataclass(frozen=True)
class Response:
    """Bias and noise of an estimator as functions of the value that it gives.

    Between the mean estimates of neighbouring cases both are linear. A mean that does not rise
    with the truth (noise, or an estimator that no longer responds) is pooled with its neighbours
    until the means rise; a pool stands at its mean value with its mean truth and the root mean
    square of its noises. Outside the calibrated values the nearest end holds, and is flagged.

    Attributes:
        values: mean estimates in nats, rising.
        bias: mean estimate minus truth at each of them, in nats.
        noise: standard deviation of a single estimate at each of them, in nats.
        repeats: estimates behind each standard deviation; of several cases the fewest.
    """

    values: tuple[float, ...]
    bias: tuple[float, ...]
    noise: tuple[float, ...]
    repeats: int

    @classmethod
    def of(cls, results: Sequence[CaseResult]) -> Response:
        """Build the response from the cases of one quantity at one setting.

        Raises:
            CchError: the results mix quantities or settings, or no case has two values.
        """
        if len({(r.case.quantity, str(r.case.options)) for r in results}) > 1:
            raise CchError("calibration", "results mix quantities or settings", "give those of one")
        usable = sorted((r for r in results if r.sd is not None), key=lambda r: r.case.truth)
        if not usable:
            raise CchError(
                "calibration", "no case has two estimates", "calibrate with more repeats"
            )
        pools: list[list[CaseResult]] = []
        for result in usable:
            pools.append([result])
            while len(pools) > 1 and _pooled(pools[-2])[0] >= _pooled(pools[-1])[0]:
                pools[-2:] = [pools[-2] + pools[-1]]
        values, bias, noise = zip(*map(_pooled, pools), strict=True)
        return cls(values, bias, noise, min(result.repeats for result in usable))

    def at(self, value: float) -> Reading:
        """Bias, noise and whether ``value`` (nats) lies outside the calibrated values."""
        outside = not self.values[0] <= value <= self.values[-1]
        bias = float(np.interp(value, self.values, self.bias))
        return Reading(bias, float(np.interp(value, self.values, self.noise)), outside)

    def bias_at(self, value: float) -> float:
        """Bias in nats of an estimate of ``value`` nats."""
        return self.at(value).bias

    def noise_at(self, value: float) -> float:
        """Standard deviation in nats of a single estimate of ``value`` nats."""
        return self.at(value).noise

    def outside(self, value: float) -> bool:
        """Whether an estimate lies outside the calibrated values, where the nearest end holds."""
        return self.at(value).outside

    def calibrated(self, value: float) -> float:
        """The estimate without its bias, in nats."""
        return value - self.bias_at(value)

    def to_json(self) -> dict[str, Any]:
        """The response as a dict that JSON holds without loss."""
        curves = {name: list(getattr(self, name)) for name in ("values", "bias", "noise")}
        return {"unit": "nats", **curves, "repeats": self.repeats}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Response:
        """The response of ``to_json``."""
        curves = (tuple(content[name]) for name in ("values", "bias", "noise"))
        return cls(*curves, content["repeats"])


def _pooled(pool: Sequence[CaseResult]) -> tuple[float, float, float]:
    """Mean value, bias and noise of a pool of cases, each counting alike."""
    value = float(np.mean([result.mean for result in pool]))
    truth = float(np.mean([result.case.truth for result in pool]))
    noise = float(np.sqrt(np.mean([result.sd**2 for result in pool])))  # type: ignore[operator]
    return value, value - truth, noise
