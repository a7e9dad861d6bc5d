"""Queries over the students of two teachers, and how often each was chosen as the better one."""

from __future__ import annotations

from typing import ClassVar, Literal

from cch.tables.documents import CellKind, Member
from cch.tables.queries.base import Answer, register
from cch.tables.queries.runs import (
    EffectOf,
    PairedQuery,
    RunQuery,
    Side,
    add_metric,
    not_run,
    selected_runs,
)
from cch.tables.source import Source
from cch.training.plan import TargetSource

ROLES = ("teacher", "second-teacher", "two-teachers")


class TwoTeachersQuery(PairedQuery):
    """A query over the students that learn from one ``TargetSource``."""

    targets: TargetSource

    def inputs(self, source: Source) -> set[str]:
        """The runs of students and baseline."""
        return {source.runs_path("two-teachers"), source.runs_path("baseline")}

    def roles(self) -> tuple[str, ...]:
        """Roles of the teachers, the students and the baseline."""
        return (*ROLES, "baseline")

    def students(self, source: Source, level: str | None) -> Side:
        """The students of a level; of all levels where it is None."""
        treatment = (level, self.temperature, self.weight)
        runs = selected_runs(source, "two-teachers", *treatment)
        return source.runs_path("two-teachers"), [r for r in runs if r["targets"] == self.targets]


@register
class TwoTeachersMetric(TwoTeachersQuery):
    """Mean of a test metric over the students of one kind."""

    kind: Literal["two-teachers"]

    def inputs(self, source: Source) -> set[str]:
        """The runs of the students."""
        return {source.runs_path("two-teachers")}

    def roles(self) -> tuple[str, ...]:
        """The students, after their teachers."""
        return ROLES

    def answer(self, source: Source) -> Answer:
        """Mean over seeds."""
        found = Answer(aggregation=f"mean of test {self.metric} over seeds, last epoch")
        path, runs = self.students(source, self.level)
        if not runs:
            found.flags.append(not_run(self.temperature, self.weight))
        add_metric(found, self.metric, path, runs)
        return found


@register
class TwoTeachersDifference(TwoTeachersQuery):
    """Mean over seeds of student minus baseline, with its interval."""

    kind: Literal["two-teachers-difference"]


@register
class TwoTeachersEffect(EffectOf, TwoTeachersQuery):
    """Whether distilling helped, by the paired difference and Holm's correction."""

    kind: Literal["two-teachers-effect"]


@register
class BetterTeacher(RunQuery):
    """How often each teacher was the better one on validation rows, e.g. ``rppa 12, mirna 8``."""

    unused: ClassVar[tuple[str, ...]] = (*RunQuery.unused, "distillation")
    kind: Literal["better-teacher"]
    level: str

    def inputs(self, source: Source) -> set[str]:
        """The runs of the students, whose file holds the choice."""
        return {source.runs_path("two-teachers")}

    def roles(self) -> tuple[str, ...]:
        """The students, after their teachers."""
        return ROLES

    def answer(self, source: Source) -> Answer:
        """The count of each teacher over seeds; the value of a seed is 1 for the second."""
        study = source.study
        # The choice depends on no temperature and no weight.
        treatment = study.distillation.temperatures[0], study.distillation.weights[0]
        runs = selected_runs(source, "two-teachers", self.level, *treatment)
        runs = [run for run in runs if run["targets"] == "better"]
        found = Answer(aggregation="seeds in which each did better on validation rows")
        path = source.runs_path("two-teachers")
        for run in runs:
            second = float(run["chosen"] == study.second_teacher)
            about = {"kind": "run", "id": run["id"], "file": path, "seed": run["seed"]}
            found.members.append(Member(**about, value=second))
        names = [run["chosen"] for run in runs]
        both = (study.teacher, study.second_teacher)
        found.text = ", ".join(f"{name} {names.count(name)}" for name in both)
        return found

    @property
    def cell_kind(self) -> CellKind:
        """A conclusion in words."""
        return "conclusion"
