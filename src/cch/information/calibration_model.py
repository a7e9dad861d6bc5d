"""How an estimator responds where the truth is known: results of cases, bias and noise from them.

Nothing here estimates, and nothing heavy is imported: tables read calibrations through it. The
estimates are made by ``cch.information.calibrate``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from cch.base.errors import CchError
from cch.information.units import Nats

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
