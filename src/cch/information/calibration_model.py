"""How an estimator responds where the truth is known: results of cases, bias and noise from them.

Nothing here estimates, and nothing heavy is imported: tables read calibrations through it. The
estimates are made by ``cch.information.calibrate``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

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
        ceiling: nats that the truth of the study's own pair cannot exceed: H(Y), or a closed form;
            None where none is known.
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
    ceiling: Nats | None = None
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


@dataclass(frozen=True)
class Reading:
    """The truths at which an estimator gives a value, in nats: a set from ``low`` to ``high``.

    Attributes:
        low: its left end; None where not even independent samples gave as little, so that there
            is no reading.
        high: its right end; None where it is open: the estimator no longer responds there, or
            nothing that was tried gave as much.
        flags: what a reader must know, in words.
    """

    low: Nats | None
    high: Nats | None
    flags: tuple[str, ...] = ()


BELOW = "below every calibrated estimate: no reading"
OPEN = "no upper end: the estimator no longer tells larger truths apart"
CUT_OFF = "debiased beyond the largest possible value, H(Y) or a closed form, and cut off there"


@dataclass(frozen=True)
class Response:
    """What an estimator gives as a function of the truth, and the inverse of that as a set.

    Between the mean estimates of neighbouring cases the response is linear. A mean that does not
    rise with the truth (noise, or an estimator that no longer responds) is pooled with its
    neighbours until the means rise; a pool is a plateau from its first to its last truth. Nothing
    is said beyond what was tried: the inverse of the last plateau, and of all above it, has no
    right end.

    Attributes:
        truths: smallest truth of each plateau, increasing, in nats.
        ends: largest truth of each plateau; of a single case its truth.
        values: mean estimate on each, rising.
        noise: standard deviation of a single estimate on each.
        repeats: estimates behind each standard deviation; of several cases the fewest.
        freedom: degrees of freedom of the noise, of all cases together.
        rows: of each sample.
        ceiling: that a truth of the study's own pair cannot exceed, or None.
    """

    truths: tuple[float, ...]
    ends: tuple[float, ...]
    values: tuple[float, ...]
    noise: tuple[float, ...]
    repeats: int
    freedom: int
    rows: int
    ceiling: float | None = None

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
            while len(pools) > 1 and _value(pools[-2]) >= _value(pools[-1]):
                pools[-2:] = [pools[-2] + pools[-1]]
        case = usable[0].case
        return cls(
            truths=tuple(pool[0].case.truth for pool in pools),
            ends=tuple(pool[-1].case.truth for pool in pools),
            values=tuple(map(_value, pools)),
            noise=tuple(map(_noise, pools)),
            repeats=min(result.repeats for result in usable),
            freedom=sum(result.repeats - 1 for result in usable),
            rows=case.rows,
            ceiling=case.ceiling,
        )

    def noise_at(self, value: float) -> float:
        """Standard deviation in nats of a single estimate of ``value`` nats.

        The larger of that between neighbouring cases and the root mean square of all: few repeats
        measure the noise of one case poorly.
        """
        near = float(np.interp(value, self.values, self.noise))
        return max(near, float(np.sqrt(np.mean(np.square(self.noise)))))

    def read(self, value: float, reach: float = 0.0, ceiling: float | None = None) -> Reading:
        """Return the truths at which estimates of ``value`` -+ ``reach`` are given.

        The inverse carries an error over: it is divided by the slope of the response.

        Args:
            value: an estimate, in nats.
            reach: its error times a quantile, in nats.
            ceiling: what a truth cannot exceed, beside the response's own ceiling.
        """
        least, most = value - reach, value + reach
        if most < self.values[0]:
            return Reading(None, None, (BELOW,))
        low, high = self._left(least), self._right(most)
        flags = [OPEN] if high is None else []
        ceilings = [one for one in (ceiling, self.ceiling) if one is not None]
        if ceilings and (high is None or high > min(ceilings)):
            low, high = min(low, *ceilings), min(ceilings)
            flags = [CUT_OFF]
        return Reading(Nats(low), None if high is None else Nats(high), tuple(flags))

    def _left(self, value: float) -> float:
        """The smallest truth at which the response is at least ``value``, of those tried."""
        if value >= self.values[-1]:
            return self.truths[-1]
        place = int(np.searchsorted(self.values, value))
        return self.truths[0] if place == 0 else self._between(place, value)

    def _right(self, value: float) -> float | None:
        """The largest truth at which the response is at most ``value``; None where it is open."""
        if value >= self.values[-1]:
            alone = value == self.values[-1] and self.truths[-1] == self.ends[-1]
            return self.ends[-1] if alone else None
        place = int(np.searchsorted(self.values, value, side="right"))
        return self._between(place, value)

    def _between(self, place: int, value: float) -> float:
        """The truth of ``value`` on the line from plateau ``place`` - 1 to the next."""
        below, above = self.values[place - 1 : place + 1]
        left, right = self.ends[place - 1], self.truths[place]
        return left + (right - left) * (value - below) / (above - below)

    def to_json(self) -> dict[str, Any]:
        """The response as a dict that JSON holds without loss."""
        return {"unit": "nats"} | {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Response:
        """The response of ``to_json``."""
        given = {name: content[name] for name in cls.__dataclass_fields__}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def _value(pool: Sequence[CaseResult]) -> float:
    """Mean estimate of a pool of cases, each counting alike."""
    return float(np.mean([result.mean for result in pool]))


def _noise(pool: Sequence[CaseResult]) -> float:
    """Root mean square of the noises of a pool."""
    return float(np.sqrt(np.mean([result.sd**2 for result in pool])))  # type: ignore[operator]
