"""The gap I(teacher; student) - I(student; label) by estimators, with what is uncertain about it.

The paper compares two point estimates (Section 3, Theorem 1). Both are noisy and biased. This
module gives their difference, an interval for noise, and a sensitivity analysis for bias. It is
evidence and decides nothing: the bias of an estimator depends on the family of distributions, and
a study's own is not known.

For one teacher, in nats, over R runs r with both estimates:

- gap = mean over r of (I_TS_r - I_SL_r); its run-to-run part is s / sqrt(R), with s the standard
  deviation (ddof 1) of the paired differences.
- Estimator noise: the calibrated standard deviation of ONE estimate on fresh data of the study's
  columns and class mix, for each of the two quantities at its mean estimate. The runs share their
  rows, so their spread leaves out what a finite sample does. The two estimates share rows too, and
  their covariance is not known; the standard deviation of a difference is at most the sum::

      se^2 = s^2 / R + (noise_TS + noise_SL)^2

  The estimator's own randomness is part of both s and the noises and counts twice.
- The interval is gap -+ t se, with Student's t at 95 %. Its degrees of freedom are the effective
  ones of Welch and Satterthwaite for a sum of independent variances: (sum v)^2 / sum(v^2 / f),
  where s^2 / R has f = R - 1 and the noises the fewer degrees of their two calibrations.

The sensitivity analysis takes the bias off each quantity alone:

- Its error e has e^2 = spread^2 + noise^2 + noise^2 / repeats: runs, noise, and the error of the
  calibration itself. The truths at which the estimator gives mean -+ t e are a set
  (``cch.information.calibration_model.Response.read``): the error is carried through the slope of
  the response, a plateau has no upper end, and nothing is read beyond what was tried. A known
  ceiling (H(Y), or a closed form of I(X2; Y)) and zero cut it off.
- Either number may be biased or not: a quantity lies between the ends of its raw interval and its
  set. The gap lies between the extreme corners, lowest I_TS less highest I_SL and highest I_TS
  less lowest I_SL. Subtracting ends adds the two errors, whatever their covariance.

Where something is missing the interval says less, and a flag says so. Without calibration there is
no noise and no sensitivity, only run-to-run spread; when that is missing too (one run, runs that
are equal because the estimator draws nothing, or runs that are seeds of the estimator on the same
arrays) nothing measures the error, and there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from cch.base.errors import CchError
from cch.criterion.inference import effective_degrees_of_freedom, student_quantile
from cch.information.calibration_model import Reading
from cch.information.units import Nats

LEVEL = 0.95
"""Coverage of the interval."""

ROUNDING = 1e-8
"""A run-to-run standard error below this, in nats, is rounding: the runs are equal."""


class Response(Protocol):
    """What the gap needs of a calibration: how one estimator responds, in nats."""

    @property
    def repeats(self) -> int:
        """Estimates behind each standard deviation."""

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the noise."""

    @property
    def ceiling(self) -> float | None:
        """What the truth cannot exceed, or None."""

    def noise_at(self, value: float) -> float:
        """Return the standard deviation of one estimate on fresh data at the level ``value``."""

    def read(self, value: float, reach: float, ceiling: float | None) -> Reading:
        """Return truths up to ``ceiling`` at which the estimator gives ``value`` -+ ``reach``."""


@dataclass(frozen=True)
class Quantity:
    """One of the two quantities over the runs that were kept.

    Attributes:
        mean: mean estimate.
        spread: run-to-run standard error of the mean; None with fewer than two runs.
        noise: calibrated standard deviation of one estimate; None without calibration.
        freedom: degrees of freedom of ``noise``; None without calibration.
        debiased: the truths that give such estimates; None without calibration.
    """

    mean: Nats
    spread: Nats | None
    noise: Nats | None = None
    freedom: int | None = None
    debiased: Reading | None = None


@dataclass(frozen=True)
class Span:
    """From ``low`` to ``high``, in nats; None at an open end."""

    low: Nats | None
    high: Nats | None


@dataclass(frozen=True)
class GapEstimate:
    """The gap for one teacher; all amounts in nats, None where they cannot be known.

    Attributes:
        gap: mean of I_TS - I_SL over the runs.
        se: standard error of the gap: runs and estimator noise.
        low: lower end of the interval for noise.
        high: upper end of the interval for noise.
        freedom: effective degrees of freedom of ``se``.
        level: coverage of the interval.
        runs: runs that have both estimates.
        spread: the run-to-run part of ``se``, of the paired differences.
        teacher_student: I(teacher; student).
        student_label: I(student; label).
        sensitivity: the gap over all combinations of raw and debiased estimates; None unless both
            are calibrated.
        entropy: H(Y), which I(student; label) cannot exceed; None for a continuous label.
        flags: what a reader must know, in words.
    """

    gap: Nats | None = None
    se: Nats | None = None
    low: Nats | None = None
    high: Nats | None = None
    freedom: float | None = None
    level: float = LEVEL
    runs: int = 0
    spread: Nats | None = None
    teacher_student: Quantity | None = None
    student_label: Quantity | None = None
    sensitivity: Span | None = None
    entropy: Nats | None = None
    flags: list[str] = field(default_factory=list)

    @property
    def sensitivity_flags(self) -> list[str]:
        """What a reader of the debiased quantities must know, in words."""
        sides = (
            ("I(teacher; student)", self.teacher_student),
            ("I(student; label)", self.student_label),
        )
        return [
            f"{name} = {side.mean:.4f} nats: {flag}"
            for name, side in sides
            if side is not None and side.debiased is not None
            for flag in side.debiased.flags
        ]

    def to_json(self) -> dict[str, Any]:
        """Return it as a dict that JSON holds without loss."""
        return asdict(self)


def judge(
    teacher_student: Sequence[Nats | None],
    student_label: Sequence[Nats | None],
    ts_response: Response | None = None,
    sl_response: Response | None = None,
    entropy: Nats | None = None,
    *,
    level: float = LEVEL,
    same_arrays: bool = False,
) -> GapEstimate:
    """Return the gap for one teacher, its interval and sensitivity; see the top of this module.

    Args:
        teacher_student: I(teacher; student) of each run; None or NaN where the estimate failed.
        student_label: I(student; label) of the same runs in the same order.
        ts_response: calibration of the estimator for I(teacher; student).
        sl_response: calibration of the estimator for I(student; label).
        entropy: H(Y) of the labels.
        level: coverage of the interval, between 0 and 1.
        same_arrays: the runs are seeds of the estimator on the same arrays, so that their spread
            says what the estimator draws (KSG: the jitter of tied values) and nothing of the gap.

    Raises:
        CchError: the two quantities have different numbers of runs, or ``level`` is none.
    """
    if len(teacher_student) != len(student_label):
        raise CchError(
            "criterion",
            f"{len(teacher_student)} runs of I(teacher; student) but {len(student_label)} of "
            "I(student; label)",
            "give both of every run",
        )
    if not 0 < level < 1:
        raise CchError("criterion", f"level is {level!r}, expected between 0 and 1")
    ts, sl, flags = _kept(teacher_student, student_label)
    if not len(ts):
        return GapEstimate(level=level, entropy=entropy, flags=flags)
    closed = None if sl_response is None else sl_response.ceiling
    ceiling = min((one for one in (entropy, closed) if one is not None), default=None)
    ts_side = _quantity(ts, ts_response, level, None)
    sl_side = _quantity(sl, sl_response, level, ceiling)
    sides = {"I(teacher; student)": ts_side, "I(student; label)": sl_side}
    flags += _calibration_flags(sides, ts - sl, same_arrays)
    flags += _range_flags(sides, sl, entropy, level)
    gap, (se, freedom) = float((ts - sl).mean()), _error(ts - sl, ts_side, sl_side, same_arrays)
    low = high = None
    if se is not None and freedom > 0:
        reach = student_quantile(level, freedom) * se
        low, high = Nats(gap - reach), Nats(gap + reach)
    return GapEstimate(
        gap=Nats(gap),
        se=se,
        low=low,
        high=high,
        freedom=freedom if math.isfinite(freedom) else None,
        level=level,
        runs=len(ts),
        spread=_standard_error(ts - sl),
        teacher_student=ts_side,
        student_label=sl_side,
        sensitivity=_sensitivity(ts_side, sl_side, level, len(ts), ceiling),
        entropy=entropy,
        flags=flags,
    )


def _kept(
    teacher_student: Sequence[Nats | None], student_label: Sequence[Nats | None]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the runs that have both estimates, and flags for those left out."""
    ts, sl = (
        np.array([math.nan if value is None else value for value in values], dtype=np.float64)
        for values in (teacher_student, student_label)
    )
    whole = np.isfinite(ts) & np.isfinite(sl)
    flags = []
    if lost := int((~whole).sum()):
        flags.append(f"{lost} of {len(ts)} runs left out: an estimate is missing")
    if whole.sum() < 2:
        flags.append("no run" if not whole.any() else "one run: run-to-run spread unknown")
    return ts[whole], sl[whole], flags


def _quantity(
    values: np.ndarray, response: Response | None, level: float, ceiling: float | None
) -> Quantity:
    mean = Nats(float(values.mean()))
    spread = _standard_error(values)
    if response is None:
        return Quantity(mean, spread)
    side = Quantity(mean, spread, Nats(float(response.noise_at(mean))), response.freedom)
    reach = _reach(side, level, len(values), 1 + 1 / response.repeats)
    read = response.read(mean, reach, ceiling) if math.isfinite(reach) else Reading(None, None)
    return replace(side, debiased=read)


def _reach(side: Quantity, level: float, runs: int, factor: float = 1.0) -> float:
    """Half the width of a quantity's interval: runs, and noise of ``factor`` times its variance."""
    parts = [] if side.noise is None else [(factor * side.noise**2, side.freedom or 0)]
    if side.spread is not None and side.spread >= ROUNDING:
        parts.append((side.spread**2, runs - 1))
    se = math.sqrt(sum(variance for variance, _ in parts))
    return student_quantile(level, effective_degrees_of_freedom(parts)) * se if se else 0.0


def _sensitivity(
    ts: Quantity, sl: Quantity, level: float, runs: int, ceiling: float | None
) -> Span | None:
    """The extreme corners of the gap: each quantity raw or debiased."""
    if ts.debiased is None or sl.debiased is None:
        return None
    ts_low, ts_high = _ends(ts, level, runs, math.inf)
    sl_low, sl_high = _ends(sl, level, runs, math.inf if ceiling is None else ceiling)
    low, high = ts_low - sl_high, ts_high - sl_low
    return Span(*(Nats(end) if math.isfinite(end) else None for end in (low, high)))


def _ends(side: Quantity, level: float, runs: int, ceiling: float) -> tuple[float, float]:
    """The ends of a quantity, raw and debiased together, between zero and a ceiling."""
    reach, read = _reach(side, level, runs), side.debiased
    low, high = side.mean - reach, side.mean + reach
    if read is not None and read.low is not None:
        low, high = min(low, read.low), max(high, math.inf if read.high is None else read.high)
    return min(max(low, 0.0), ceiling), min(max(high, 0.0), ceiling)


def _standard_error(values: np.ndarray) -> Nats | None:
    runs = len(values)
    return Nats(float(values.std(ddof=1) / math.sqrt(runs))) if runs > 1 else None


def _error(
    gaps: np.ndarray, ts: Quantity, sl: Quantity, same_arrays: bool
) -> tuple[Nats | None, float]:
    """Return the standard error of the gap and its effective degrees of freedom.

    The standard error is None where nothing measures it: one run that is not calibrated on both
    sides, or runs that are equal, or of the same arrays, and not calibrated at all.
    """
    spread = _standard_error(gaps)
    sides = [side for side in (ts, sl) if side.noise is not None]
    # The two estimates share their rows: their noises add, whatever their covariance.
    noise = sum(side.noise or 0.0 for side in sides)
    parts = [(noise**2, min(side.freedom or 0 for side in sides))] if sides else []
    if spread is None:
        if len(sides) < 2:
            return None, math.inf
    elif not parts and (same_arrays or spread < ROUNDING):
        return None, math.inf
    else:
        parts.append((spread**2, len(gaps) - 1))
    total = sum(variance for variance, _ in parts)
    return Nats(math.sqrt(total)), effective_degrees_of_freedom(parts)


def _calibration_flags(
    sides: dict[str, Quantity], gaps: np.ndarray, same_arrays: bool
) -> list[str]:
    flags = []
    missing = [name for name, side in sides.items() if side.noise is None]
    if len(missing) == 2:
        flags.append("no calibration: estimator noise and bias unknown")
        se = _standard_error(gaps)
        if se is not None and se < ROUNDING:
            flags.append("runs are equal: they do not measure noise")
        elif len(gaps) > 1 and same_arrays:
            flags.append("runs share their rows: they do not measure noise")
    elif missing:
        flags.append(f"no calibration of {missing[0]}: its noise and the sensitivity unknown")
    for name, side in sides.items():
        if side.freedom is not None and side.freedom < 1:
            flags.append(f"{name}: one calibration repeat measures no noise")
    return flags


def _range_flags(
    sides: dict[str, Quantity], student_label: np.ndarray, entropy: Nats | None, level: float
) -> list[str]:
    """Return flags for I < 0 beyond noise and for I(student; label) > H(Y)."""
    flags = []
    for name, side in sides.items():
        parts = [] if side.spread is None else [(side.spread**2, len(student_label) - 1)]
        if side.noise is not None:
            parts.append((side.noise**2, side.freedom or 0))
        se = math.sqrt(sum(variance for variance, _ in parts))
        reach = student_quantile(level, effective_degrees_of_freedom(parts)) * se if se else 0.0
        if side.mean + reach < 0:
            noise = "beyond noise" if se else "(noise unknown)"
            flags.append(f"{name} = {side.mean:.4f} nats is below zero {noise}")
    above = 0 if entropy is None else int((student_label > entropy).sum())
    if above:
        flags.append(
            f"I(student; label) exceeds H(Y) = {entropy:.4f} nats in {above} of "
            f"{len(student_label)} runs"
        )
    return flags
