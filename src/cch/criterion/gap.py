"""The criterion (CCH): does I(teacher; student) exceed I(student; label), given what is uncertain?

The paper compares two point estimates (Section 3, Theorem 1). Both are noisy and biased, so this
module puts an interval around their difference and says "undecided" where it contains zero.

For one teacher, in nats, over R runs r with both estimates:

- gap = mean over r of (I_TS_r - I_SL_r); its run-to-run part is s / sqrt(R), with s the standard
  deviation (ddof 1) of the paired differences.
- Estimator noise: the calibrated standard deviation of ONE estimate on fresh data of the study's
  n, d and class mix, for each of the two quantities at the level of its mean estimate. The runs
  share their rows, so their spread leaves out what a finite sample does. Then::

      se^2 = s^2 / R + noise_TS^2 + noise_SL^2

  This is conservative: the estimator's own randomness is part of both s and the noises and counts
  twice. The two noises are taken as independent.
- Bias: calibrated gap = gap - (bias_TS - bias_SL). Its own error, about noise / sqrt(repeats), is
  not added.
- The interval spans both readings::

      [min(gap, calibrated gap) - t se, max(gap, calibrated gap) + t se]

  with Student's t at 95 %. Its degrees of freedom are the effective ones of Welch and
  Satterthwaite for a sum of independent variances: (sum v)^2 / sum(v^2 / f), where the run part
  s^2 / R has f = R - 1 and each noise^2 has the repeats of its calibration less one.
- The verdict: "holds" when the whole interval is above zero, "fails" when it is below, and
  "undecided" otherwise.

Where something is missing the interval says less, and a flag says so. One run has no run-to-run
part: with calibration the noises alone make the interval. Without calibration there is no bias and
no noise, only run-to-run spread; when that is missing too (one run, runs that are equal because
the estimator draws nothing, or runs that are seeds of the estimator on the same arrays) nothing
measures the error, there is no interval, and the verdict is "undecided".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Protocol

import numpy as np
from scipy.special import stdtrit

from cch.base.errors import CchError
from cch.information.units import Nats

LEVEL = 0.95
"""Coverage of the interval."""

ROUNDING = 1e-8
"""A run-to-run standard error below this, in nats, is rounding: the runs are equal."""

HOLDS: Final = "holds"
FAILS: Final = "fails"
UNDECIDED: Final = "undecided"
Answer = Literal["holds", "fails", "undecided"]


class Response(Protocol):
    """What the criterion needs of a calibration: how one estimator errs at a level, in nats."""

    @property
    def repeats(self) -> int:
        """Estimates behind each standard deviation."""

    def bias_at(self, value: float) -> float:
        """Return the mean error of an estimate at the level ``value``."""

    def noise_at(self, value: float) -> float:
        """Return the standard deviation of one estimate on fresh data at the level ``value``."""

    def outside(self, value: float) -> bool:
        """Return whether ``value`` lies outside what was calibrated."""


@dataclass(frozen=True)
class Quantity:
    """One of the two quantities over the runs that were kept.

    Attributes:
        mean: mean estimate.
        spread: run-to-run standard error of the mean; None with fewer than two runs.
        noise: calibrated standard deviation of one estimate; None without calibration.
        bias: calibrated mean error; None without calibration.
        repeats: estimates behind ``noise``; None without calibration.
    """

    mean: Nats
    spread: Nats | None
    noise: Nats | None = None
    bias: Nats | None = None
    repeats: int | None = None


@dataclass(frozen=True)
class Verdict:
    """The criterion for one teacher; all amounts in nats, None where they cannot be known.

    Attributes:
        verdict: "holds", "fails" or "undecided".
        gap: mean of I_TS - I_SL over the runs.
        calibrated_gap: the gap less the difference of the calibrated biases.
        se: standard error of the gap: runs and estimator noise.
        low: lower end of the interval.
        high: upper end of the interval.
        freedom: effective degrees of freedom of ``se``.
        level: coverage of the interval.
        runs: runs that have both estimates.
        spread: the run-to-run part of ``se``, of the paired differences.
        teacher_student: I(teacher; student).
        student_label: I(student; label).
        entropy: H(Y), which I(student; label) cannot exceed; None for a continuous label.
        flags: what a reader must know, in words.
    """

    verdict: Answer
    gap: Nats | None = None
    calibrated_gap: Nats | None = None
    se: Nats | None = None
    low: Nats | None = None
    high: Nats | None = None
    freedom: float | None = None
    level: float = LEVEL
    runs: int = 0
    spread: Nats | None = None
    teacher_student: Quantity | None = None
    student_label: Quantity | None = None
    entropy: Nats | None = None
    flags: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a dict that JSON holds without loss."""
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
) -> Verdict:
    """Judge the criterion for one teacher; the rule stands at the top of this module.

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
        return Verdict(UNDECIDED, level=level, entropy=entropy, flags=flags)
    ts_side, sl_side = _quantity(ts, ts_response), _quantity(sl, sl_response)
    sides = {"I(teacher; student)": ts_side, "I(student; label)": sl_side}
    flags += _calibration_flags(sides, (ts_response, sl_response), ts - sl, same_arrays)
    flags += _bound_flags(sides, sl, entropy, level)
    return _judged(ts - sl, ts_side, sl_side, entropy, level, flags, same_arrays)


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


def _quantity(values: np.ndarray, response: Response | None) -> Quantity:
    mean = Nats(float(values.mean()))
    spread = _standard_error(values)
    if response is None:
        return Quantity(mean, spread)
    noise, bias = Nats(float(response.noise_at(mean))), Nats(float(response.bias_at(mean)))
    return Quantity(mean, spread, noise, bias, response.repeats)


def _standard_error(values: np.ndarray) -> Nats | None:
    runs = len(values)
    return Nats(float(values.std(ddof=1) / math.sqrt(runs))) if runs > 1 else None


def _judged(
    gaps: np.ndarray,
    ts: Quantity,
    sl: Quantity,
    entropy: Nats | None,
    level: float,
    flags: list[str],
    same_arrays: bool,
) -> Verdict:
    """Put the parts together: interval and verdict."""
    gap = float(gaps.mean())
    readings = [gap]
    if ts.bias is not None and sl.bias is not None:
        readings.append(gap - (ts.bias - sl.bias))
    se, freedom = _error(gaps, ts, sl, same_arrays)
    low = high = None
    verdict: Answer = UNDECIDED
    if se is not None and freedom > 0:
        reach = quantile(level, freedom) * se
        low, high = Nats(min(readings) - reach), Nats(max(readings) + reach)
        verdict = HOLDS if low > 0 else FAILS if high < 0 else UNDECIDED
    return Verdict(
        verdict=verdict,
        gap=Nats(gap),
        calibrated_gap=Nats(readings[1]) if len(readings) > 1 else None,
        se=se,
        low=low,
        high=high,
        freedom=freedom if math.isfinite(freedom) else None,
        level=level,
        runs=len(gaps),
        spread=_standard_error(gaps),
        teacher_student=ts,
        student_label=sl,
        entropy=entropy,
        flags=flags,
    )


def _error(
    gaps: np.ndarray, ts: Quantity, sl: Quantity, same_arrays: bool
) -> tuple[Nats | None, float]:
    """Return the standard error of the gap and its effective degrees of freedom.

    The standard error is None where nothing measures it: one run that is not calibrated on both
    sides, or runs that are equal, or of the same arrays, and not calibrated at all.
    """
    spread = _standard_error(gaps)
    parts = [
        (side.noise**2, (side.repeats or 1) - 1) for side in (ts, sl) if side.noise is not None
    ]
    if spread is None:
        if len(parts) < 2:
            return None, math.inf
    elif not parts and (same_arrays or spread < ROUNDING):
        return None, math.inf
    else:
        parts.append((spread**2, len(gaps) - 1))
    return Nats(math.sqrt(sum(variance for variance, _ in parts))), effective_freedom(parts)


def effective_freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Return Welch and Satterthwaite's degrees of freedom, (sum v)^2 / sum(v^2 / f).

    B. L. Welch, Biometrika 34 (1947) 28; F. E. Satterthwaite, Biometrics 2 (1946) 110.

    Args:
        parts: independent variances v and their degrees of freedom f; a part without degrees of
            freedom (f = 0) and above zero leaves none, and parts of zero count for nothing.
    """
    parts = [(variance, freedom) for variance, freedom in parts if variance > 0]
    if not parts:
        return math.inf
    if any(freedom < 1 for _, freedom in parts):
        return 0.0
    total = sum(variance for variance, _ in parts)
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def quantile(level: float, freedom: float) -> float:
    """Return Student's two-sided quantile; infinite where no degree of freedom is left."""
    return float(stdtrit(freedom, (1 + level) / 2)) if freedom > 0 else math.inf


def _calibration_flags(
    sides: dict[str, Quantity],
    responses: Sequence[Response | None],
    gaps: np.ndarray,
    same_arrays: bool,
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
        flags.append(f"no calibration of {missing[0]}: its noise and the gap's bias unknown")
    for (name, side), response in zip(sides.items(), responses, strict=True):
        if side.repeats is not None and side.repeats < 2:
            flags.append(f"{name}: one calibration repeat measures no noise")
        if response is not None and response.outside(side.mean):
            flags.append(f"{name} = {side.mean:.4f} nats is outside the calibrated range")
    return flags


def _bound_flags(
    sides: dict[str, Quantity], student_label: np.ndarray, entropy: Nats | None, level: float
) -> list[str]:
    """Return flags for I < 0 beyond noise and for I(student; label) > H(Y)."""
    flags = []
    for name, side in sides.items():
        parts = [] if side.spread is None else [(side.spread**2, len(student_label) - 1)]
        if side.noise is not None:
            parts.append((side.noise**2, (side.repeats or 1) - 1))
        se = math.sqrt(sum(variance for variance, _ in parts))
        reach = quantile(level, effective_freedom(parts)) * se if se else 0.0
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
