"""Decide the criterion by confidence bounds: a lower bound of one side, an upper of the other.

By the chain rule, exactly::

    I(T; S) - I(S; Y) = I(T; S | Y) - I(S; Y | T)

with T the teacher's representation, S the student's, Y the label, and
I(S; Y) <= H(Y), I(S; Y | T) <= H(Y | T) <= cross-entropy of any classifier of Y from T. So the
criterion I(T; S) > I(S; Y) holds where one of these does:

- bound (a): a lower bound of I(T; S) exceeds H(Y), or another upper bound of I(S; Y);
- bound (b): a lower bound of I(T; S | Y) exceeds the held-out cross-entropy of Y from T.

Data alone give no upper bound of I(T; S), so "fails" is said only by a closed form.

**Error.** A bound is a statistic of held-out rows less (or plus) its allowance: its standard error
times Student's t at a confidence. A claim at error alpha takes each side that is not known exactly
at error alpha / 2, so that both hold together; both get the fewer degrees of freedom of the two.

**Runs.** The claim is about the mean over runs. Runs share rows, so their bounds are dependent in
an unknown way. The error of the mean is the mean of the errors: the standard deviation of a mean is
at most the mean of the standard deviations, whatever the dependence. It gets the fewest degrees.

**Several claims.** Holm's procedure (Scandinavian Journal of Statistics 6 (1979) 65) over all
grounds, estimators and levels of a sweep, or all teachers, keeps the probability of any false
"holds" below alpha. A claim's bounds and margin are those at the error it was tested at, so its
margin is above zero exactly where it is accepted. Each margin is a lower confidence limit of its
gap at that error; the verdicts hold together, the sizes of several margins do not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
from scipy.special import stdtr, stdtrit

from cch.base.errors import CchError
from cch.criterion.closed_form import ClosedForm
from cch.criterion.inference import holm
from cch.information.units import Nats

CONFIDENCE = 0.95
"""Of all claims of a sweep together."""

Answer = Literal["holds", "fails", "undecided"]
Ground = Literal["bound (a)", "bound (b)", "closed form of inputs"]
Level = TypeVar("Level", bound=Hashable)


@dataclass(frozen=True)
class Side:
    """One side of a claim, in nats.

    Attributes:
        mean: without an allowance.
        error: standard error; 0 for what is known exactly.
        degrees: degrees of freedom of the error.
    """

    mean: Nats
    error: float = 0.0
    degrees: float = math.inf

    @classmethod
    def of_bound(
        cls, limit: float, confidence: float, mean: float, degrees: float | None = None
    ) -> Side:
        """Return the side of a bound.

        Args:
            limit: what the bound says, nats.
            confidence: of the limit, one-sided.
            mean: the bound without its allowance.
            degrees: degrees of freedom of the allowance; None for a normal one.

        Raises:
            CchError: the confidence is not between 0.5 and 1.
        """
        if not 0.5 < confidence < 1:
            raise CchError("bound", f"has confidence {confidence!r}, expected 0.5 to 1")
        degrees = math.inf if degrees is None else degrees
        return cls(Nats(mean), abs(mean - limit) / float(stdtrit(degrees, confidence)), degrees)

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Side | None:
        """Return the side of a bound as ``Estimate.to_json`` has it; None where it failed."""
        if entry["value"] is None:
            return None
        degrees = entry["fit"].get("degrees_of_freedom")
        return cls.of_bound(entry["value"], entry["confidence"], entry["fit"]["mean"], degrees)

    @classmethod
    def over_runs(cls, runs: Sequence[Side]) -> Side:
        """Return the side of the mean over runs, whatever their dependence."""
        mean, error = (np.mean([getattr(run, part) for run in runs]) for part in ("mean", "error"))
        return cls(Nats(float(mean)), float(error), min(run.degrees for run in runs))


@dataclass(frozen=True)
class Claim:
    """That a lower bound exceeds an upper one; either decides that the criterion holds.

    Attributes:
        ground: what is compared.
        by: the estimators of the bounds.
        below: what is bounded from below.
        above: what is bounded from above.
        runs: over which both are means.
    """

    ground: Ground
    by: str
    below: Side
    above: Side
    runs: int = 1

    @property
    def uncertain(self) -> int:
        """Number of sides that are not known exactly."""
        return (self.below.error > 0) + (self.above.error > 0)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of both allowances."""
        return min(self.below.degrees, self.above.degrees)

    @property
    def apart(self) -> float:
        """How many errors lie between the sides."""
        difference = self.below.mean - self.above.mean
        if not self.uncertain:
            return math.copysign(math.inf, difference) if difference else -math.inf
        return difference / (self.below.error + self.above.error)

    @property
    def p(self) -> float:
        """Smallest error at which the margin is above zero; it may be too small for a float."""
        return min(1.0, max(1, self.uncertain) * float(stdtr(self.degrees, -self.apart)))

    def at(self, error: float) -> tuple[Nats, Nats]:
        """Return the lower and the upper bound that hold jointly with probability 1 - ``error``."""
        reach = -float(stdtrit(self.degrees, error / max(1, self.uncertain)))
        low, high = (
            side.mean + sign * reach * side.error if side.error else side.mean
            for side, sign in ((self.below, -1), (self.above, 1))
        )
        return Nats(low), Nats(high)


@dataclass(frozen=True)
class GroundVerdict:
    """The criterion at one level, with its ground; amounts in nats.

    Attributes:
        verdict: "holds", "fails" or "undecided".
        ground: what decides; None where nothing does.
        margin: lower less upper bound; of the claim nearest to a decision where nothing decides,
            and None where there is no claim, or the margin is infinite.
        lower: lower bound of that claim.
        upper: upper bound of that claim.
        confidence: that both bounds hold together; 1 for a closed form.
        p: of that claim, before the correction for several.
        by: estimators of the bounds.
        runs: over which both bounds are means.
        flags: what a reader must know, in words.
    """

    verdict: Answer
    ground: Ground | None = None
    margin: Nats | None = None
    lower: Nats | None = None
    upper: Nats | None = None
    confidence: float | None = None
    p: float | None = None
    by: str | None = None
    runs: int = 0
    flags: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a dict that JSON holds without loss."""
        return asdict(self)


def entropy_side(labels: np.ndarray) -> Side:
    """Return H(Y) of class labels (n,), to be bounded from above.

    The plug-in entropy with Miller and Madow's correction, (classes - 1) / 2n, and its standard
    error, sd(-ln p(y)) / sqrt(n); exactly ln(classes) where the corrected entropy reaches that. The
    error may carry the bound above ln(classes), which costs power and is never wrong.
    """
    _, codes, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    n, surprise = len(codes), -np.log(counts / counts.sum())[codes]
    mean = float(surprise.mean()) + (len(counts) - 1) / (2 * n)
    if mean >= math.log(len(counts)):
        return Side(Nats(math.log(len(counts))))
    return Side(Nats(mean), float(surprise.std() / math.sqrt(n)))


Sides = Sequence[Side | None]
"""A side of each run; None where it is missing."""


def claims(
    teacher_student: Mapping[str, Sides],
    student_label: Mapping[str, Sides],
    teacher_student_given_label: Mapping[str, Sides],
    label_given_teacher: Mapping[str, Sides],
) -> list[Claim]:
    """Return the claims that bounds make of one level, or of one teacher.

    Args:
        teacher_student: lower bounds of I(T; S) by estimator, run by run.
        student_label: upper bounds of I(S; Y) by name, of the same runs: H(Y) or a closed form.
        teacher_student_given_label: lower bounds of I(T; S | Y).
        label_given_teacher: upper bounds of H(Y | T).
    """
    pairs: list[tuple[Ground, Mapping[str, Sides], Mapping[str, Sides]]] = [
        ("bound (a)", teacher_student, student_label),
        ("bound (b)", teacher_student_given_label, label_given_teacher),
    ]
    found = []
    for ground, lower, upper in pairs:
        for below, above in itertools.product(lower, upper):
            both = zip(lower[below], upper[above], strict=True)
            kept = [(a, b) for a, b in both if a is not None and b is not None]
            if kept:
                low, high = (Side.over_runs(side) for side in zip(*kept, strict=True))
                found.append(Claim(ground, f"{below}, {above}", low, high, len(kept)))
    return found


def decide(
    given: Mapping[Level, Sequence[Claim]],
    closed: Mapping[Level, ClosedForm] | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> dict[Level, GroundVerdict]:
    """Decide the criterion at every level; see the top of this module.

    Args:
        given: claims by level, or by teacher.
        closed: what is known exactly of the inputs; it decides where no bound does.
        confidence: that no "holds" by bounds is wrong.

    Raises:
        CchError: ``confidence`` is not between 0.5 and 1.
    """
    if not 0.5 < confidence < 1:
        raise CchError("criterion", f"confidence is {confidence!r}, expected between 0.5 and 1")
    errors = iter(holm_errors([one for some in given.values() for one in some], 1 - confidence))
    verdicts = {}
    for level, some in given.items():
        tested = [_tested(claim, next(errors)) for claim in some]
        best = max(tested, key=lambda one: one.margin or 0.0, default=GroundVerdict("undecided"))
        exact = (closed or {}).get(level)
        if best.verdict == "undecided" and exact is not None:
            best = _exact(exact)
        verdicts[level] = best
    return verdicts


def holm_errors(every: Sequence[Claim], error: float) -> list[float]:
    """Return the error at which Holm's procedure tests each claim, in the order given.

    The claim of the i-th smallest p of m is tested at error / (m - i + 1); after the first that is
    not accepted, all later ones are compared with its level. A claim is accepted exactly where its
    p is below its level.
    """
    # Where p is too small for a float, the distance in errors tells the order.
    order = sorted(range(len(every)), key=lambda place: (every[place].p, -every[place].apart))
    accepted = sum(p < error for p in holm([every[place].p for place in order]))
    tested = [0.0] * len(every)
    for rank, place in enumerate(order):
        tested[place] = error / (len(every) - min(rank, accepted))
    return tested


def _tested(claim: Claim, error: float) -> GroundVerdict:
    low, high = claim.at(error)
    holds = low > high
    return GroundVerdict(
        verdict="holds" if holds else "undecided",
        ground=claim.ground if holds else None,
        margin=Nats(low - high),
        lower=low,
        upper=high,
        confidence=1 - error,
        p=claim.p,
        by=f"{claim.ground}: {claim.by}",
        runs=claim.runs,
    )


def _exact(exact: ClosedForm) -> GroundVerdict:
    """The verdict of a closed form, which is about the inputs."""
    low, high = exact.teacher_student, exact.student_label
    finite = math.isfinite(low) and math.isfinite(high)
    return GroundVerdict(
        verdict="holds" if low > high else "fails",
        ground="closed form of inputs",
        margin=Nats(low - high) if finite else None,
        lower=Nats(low) if math.isfinite(low) else None,
        upper=Nats(high) if math.isfinite(high) else None,
        confidence=1.0,
        by="inputs",
        flags=["of the inputs, not of the representations"]
        + ([] if finite else ["infinite: one side determines the other"]),
    )
