"""Queries over the fusions of a study: a metric of an arm, and paired differences of two."""

from __future__ import annotations

from typing import ClassVar, Literal

from cch.tables.queries.base import Answer, Query, register
from cch.tables.queries.runs import EffectOf, Side, add_differences, add_metric
from cch.tables.source import Source
from cch.training.plan import Arm

NONE = "this configuration fuses nothing here"


class FusionQuery(Query):
    """A query over the fusions of a study."""

    unused: ClassVar[tuple[str, ...]] = ("information",)
    arm: Arm
    metric: str

    def inputs(self, source: Source) -> set[str]:
        """The fusions, where the study has any."""
        return {source.runs_path("fusion")} if source.study.fusion else set()

    def roles(self) -> tuple[str, ...]:
        """The fusions, which are trained from no other runs."""
        return ("fusion",)


@register
class FusionMetric(FusionQuery):
    """Mean of a test metric over the fusions of one arm."""

    kind: Literal["fusion"]

    def answer(self, source: Source) -> Answer:
        """Mean over seeds."""
        found = Answer(aggregation=f"mean of test {self.metric} over seeds, last epoch")
        if not source.study.fusion:
            found.flags.append(NONE)
            return found
        add_metric(found, self.metric, *_arm(source, self.arm))
        return found


class PairedFusionQuery(FusionQuery):
    """One arm minus another of the same seed."""

    minus: Arm = "direct"

    def answer(self, source: Source) -> Answer:
        """Mean over seeds of the difference."""
        found = Answer(
            aggregation=f"mean over seeds of test {self.metric}, fusion {self.arm} minus "
            f"{self.minus} of that seed",
            signed=True,
        )
        if not source.study.fusion:
            found.flags.append(NONE)
            return found
        add_differences(found, source, self.metric, *self.sides(source))
        return found

    def sides(self, source: Source, level: None = None) -> tuple[Side, Side]:
        """The runs of both arms; a fusion has no levels."""
        return _arm(source, self.arm), _arm(source, self.minus)

    def levels(self, source: Source) -> list[None]:
        """No levels: one comparison, where the study has fusions."""
        return [None] if source.study.fusion else []


@register
class FusionDifference(PairedFusionQuery):
    """Mean over seeds of one arm minus another."""

    kind: Literal["fusion-difference"]


@register
class FusionEffect(EffectOf, PairedFusionQuery):
    """Whether an arm does better than another, by the interval of that paired difference."""

    kind: Literal["fusion-effect"]


def _arm(source: Source, arm: str) -> Side:
    """The path of the fusions, and the runs of an arm in order of seed."""
    chosen = [run for run in source.runs("fusion") if run["arm"] == arm]
    return source.runs_path("fusion"), sorted(chosen, key=lambda run: run["seed"])
