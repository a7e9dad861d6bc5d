"""Queries over estimates: a quantity, the gap of two, and its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from cch.config import Study
from cch.tables.documents import Member
from cch.tables.queries.base import Answer, Query, register
from cch.tables.source import Source

if TYPE_CHECKING:
    from cch.criterion.gap import GapEstimate


class EstimateQuery(Query):
    """A query over estimates of one estimator; no student is trained for them."""

    unused: ClassVar[tuple[str, ...]] = ("distillation", "fusion", "seeds", "metric")
    estimator: str

    def inputs(self, source: Source) -> set[str]:
        """The estimates, where this configuration makes them."""
        return {source.estimates_path(self.estimator)} if self.estimated(source) else set()

    def roles(self) -> tuple[str, ...]:
        """Those whose representations are read."""
        return ("teacher", "baseline")

    def estimators(self, study: Study) -> tuple[str, ...]:
        """Its own."""
        return (self.estimator,)

    def estimated(self, source: Source) -> bool:
        """Whether this configuration uses the estimator."""
        return self.estimator in (*source.study.information.estimators, *source.study.bounds)

    def estimates(self, source: Source, quantity: str, level: str | None) -> list[dict[str, Any]]:
        """Estimates of a quantity at a level, in order of seed; some quantities have no level."""
        every = source.estimates(self.estimator, quantity)
        return sorted(
            (e for e in every if e["level"] is None or level is None or e["level"] == level),
            key=lambda e: e["seed"],
        )

    def member(self, source: Source, estimate: dict[str, Any]) -> Member:
        """An estimate as a member."""
        return Member(
            kind="estimate",
            id=estimate["id"],
            file=source.estimates_path(self.estimator),
            seed=estimate["seed"],
            value=estimate["value"],
        )


@register
class Information(EstimateQuery):
    """Mean of mutual-information estimates over runs, in nats, or their standard deviation."""

    kind: Literal["information"]
    measure: Literal["mean", "sd"] = "mean"
    quantity: Literal[
        "teacher-student",
        "student-label",
        "teacher-label",
        "teacher-student-given-label",
        "label-given-teacher",
    ]
    level: str | None = None

    def answer(self, source: Source) -> Answer:
        """Mean or standard deviation over runs."""
        found = Answer(
            aggregation=f"{self.measure} of estimates over runs",
            unit="nats",
            spread=self.measure == "sd",
        )
        if not self.estimated(source):
            found.flags.append(_not_estimated(self.estimator))
            return found
        for estimate in self.estimates(source, self.quantity, self.level):
            found.flags += [f"seed {estimate['seed']}: {flag}" for flag in estimate["flags"]]
            if estimate["value"] is not None:
                found.add(self.member(source, estimate))
        return found

    def at_first_level(self, study: Study) -> bool:
        """Quantities without a degraded side; a teacher of one level has that level's input."""
        own_teachers = study.degradation.kind == "modality"
        without_level = ("student-label",) if own_teachers else ("student-label", "teacher-label")
        return self.level is None and self.quantity in without_level


class GapQuery(EstimateQuery):
    """A query about I(teacher; student) - I(student; label), paired by run."""

    level: str | None = None

    def gap(self, source: Source) -> Answer:
        """Mean over runs of the gap, in nats."""
        found = Answer(
            aggregation="mean over runs of I(teacher; student) minus I(student; label) of that run",
            unit="nats",
            signed=True,
        )
        if not self.estimated(source):
            found.flags.append(_not_estimated(self.estimator))
            return found
        labels = {e["seed"]: e for e in self.estimates(source, "student-label", None)}
        for estimate in self.estimates(source, "teacher-student", self.level):
            other = labels.get(estimate["seed"])
            if other is None or estimate["value"] is None or other["value"] is None:
                found.flags.append(f"seed {estimate['seed']}: an estimate is missing")
                continue
            member = self.member(source, estimate | {"value": estimate["value"] - other["value"]})
            minus = {"minus": other["id"], "minus_file": member.file}
            found.add(member.model_copy(update=minus))
        return found


@register
class Gap(GapQuery):
    """Mean over runs of the gap, in nats."""

    kind: Literal["gap"]

    def answer(self, source: Source) -> Answer:
        """Mean over runs."""
        return self.gap(source)


class JudgedQuery(GapQuery):
    """A query about the gap with what its calibration says of it."""

    def inputs(self, source: Source) -> set[str]:
        """The estimates, and the calibration of the estimator where there is one."""
        files = super().inputs(source)
        if self.estimated(source) and self.estimator in source.study.information.calibrated:
            files.add(source.calibration_path(self.estimator))
        return files

    def judged(self, source: Source) -> GapEstimate:
        """The gap at the level, its interval and sensitivity."""
        # SciPy's import is slow, and only answers need it; layouts import this module.
        from cch.tables.verdict_cells import estimated_gap

        return estimated_gap(
            source,
            self.estimator,
            self.estimates(source, "teacher-student", self.level),
            self.estimates(source, "student-label", None),
        )


@register
class Sensitivity(JudgedQuery):
    """An end of what a quantity or the gap comes to at a level once bias is taken off, in nats.

    Of a quantity it is the truths at which its estimator gives what it gave; of the gap, all
    combinations of raw and debiased estimates.
    """

    kind: Literal["sensitivity"]
    of: Literal["teacher-student", "student-label", "gap"]
    end: Literal["low", "high"]

    def answer(self, source: Source) -> Answer:
        """The end in nats, ``open`` where there is none, or that nothing can be read."""
        gap = self.judged(source)
        sides = {"teacher-student": gap.teacher_student, "student-label": gap.student_label}
        side = sides.get(self.of)
        span = gap.sensitivity if self.of == "gap" else side and side.debiased
        found = Answer(
            members=self.gap(source).members,
            flags=gap.flags + gap.sensitivity_flags,
            aggregation=f"{self.end} end of the debiased {self.of}",
        )
        unread = span is None or (self.of != "gap" and span.low is None)
        found.exact = None if unread else getattr(span, self.end)
        if found.exact is None:
            found.text = "no reading" if unread else "open"
        else:
            found.unit, found.signed = "nats", self.of == "gap"
        return found


@register
class GapInterval(JudgedQuery):
    """An end of the 95 % interval around an estimator's gap, in nats."""

    kind: Literal["gap-interval"]
    end: Literal["low", "high"]

    def answer(self, source: Source) -> Answer:
        """The end of the interval."""
        gap = self.judged(source)
        found = Answer(members=self.gap(source).members, flags=list(gap.flags))
        found.exact, found.unit = getattr(gap, self.end), "nats"
        found.signed = True
        found.aggregation = f"{self.end} end of the gap's {gap.level:.0%} interval"
        if found.exact is None:
            found.flags.append("no interval")
        return found


def _not_estimated(estimator: str) -> str:
    return f"not estimated in this configuration: {estimator}"
