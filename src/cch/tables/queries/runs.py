"""Queries over the runs of a study: a metric, a paired difference, and whether distilling helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

from cch.tables.documents import CellKind, Member
from cch.tables.queries.base import Answer, Query, register, within
from cch.tables.source import Source


class RunQuery(Query):
    """A query over test metrics of teachers, baselines and students."""

    unused: ClassVar[tuple[str, ...]] = ("information", "fusion")


@register
class Metric(RunQuery):
    """Mean of a test metric over the runs of a role."""

    kind: Literal["metric"]
    role: Literal["teacher", "baseline", "student"]
    metric: str
    level: str | None = None
    temperature: float | None = None
    weight: float | None = None

    def inputs(self, source: Source) -> set[str]:
        """The runs of the role."""
        return {source.runs_path(self.role)}

    def answer(self, source: Source) -> Answer:
        """Mean over seeds."""
        path = source.runs_path(self.role)
        found = Answer(aggregation=f"mean of test {self.metric} over seeds, last epoch")
        runs = selected_runs(source, self.role, self.level, self.temperature, self.weight)
        if not runs:
            found.flags.append(_not_run(self.temperature, self.weight))
        add_metric(found, self.metric, path, runs)
        return found

    def depends_on(self, path: str) -> bool:
        """A baseline sees neither teacher nor degradation, a clean teacher no degradation."""
        unused: tuple[str, ...] = ()
        if self.role != "student":
            unused += ("distillation",)
        if self.role == "baseline" or (self.role == "teacher" and not self.level):
            unused += ("degradation",)
        return super().depends_on(path) and not within(path, unused)

    def roles(self) -> tuple[str, ...]:
        """The role, after its teacher where it has one."""
        return ("teacher", "student") if self.role == "student" else (self.role,)


class PairedQuery(RunQuery):
    """Student minus baseline of the same seed: paired, they share all but the distillation."""

    metric: str
    level: str | None = None
    temperature: float
    weight: float

    def inputs(self, source: Source) -> set[str]:
        """The runs of student and baseline."""
        return {source.runs_path("student"), source.runs_path("baseline")}

    def roles(self) -> tuple[str, ...]:
        """Both, and the student's teacher."""
        return ("teacher", "baseline", "student")

    def answer(self, source: Source) -> Answer:
        """Mean over seeds of the difference."""
        found = Answer(
            aggregation=f"mean over seeds of test {self.metric}, student minus baseline of that "
            "seed",
            signed=True,
        )
        treatment = (self.level, self.temperature, self.weight)
        students = selected_runs(source, "student", *treatment)
        if not students:
            found.flags.append(_not_run(self.temperature, self.weight))
        baselines = selected_runs(source, "baseline", *treatment)
        add_differences(
            found,
            self.metric,
            (source.runs_path("student"), students),
            (source.runs_path("baseline"), baselines),
        )
        return found


class EffectOf:
    """Turns the paired difference of the class beside it into a conclusion."""

    metric: str

    def answer(self, source: Source) -> Answer:
        """Helps, harms or undecided."""
        return judged(super().answer(source), self.metric)  # type: ignore[misc]

    @property
    def cell_kind(self) -> CellKind:
        """A conclusion in words."""
        return "conclusion"


@register
class Difference(PairedQuery):
    """Mean over seeds of student minus baseline."""

    kind: Literal["difference"]


@register
class Effect(EffectOf, PairedQuery):
    """Whether distilling helped, by the interval of the paired difference over seeds."""

    kind: Literal["effect"]


def selected_runs(
    source: Source, role: str, level: str | None, temperature: float | None, weight: float | None
) -> list[dict[str, Any]]:
    """Runs of a role at a level and, for students, of a treatment; in order of seed."""
    chosen = source.runs(role)
    per_level = role == "student" or any(run["level"] is not None for run in chosen)
    if per_level and role != "baseline" and level is not None:
        chosen = [run for run in chosen if run["level"] == level]
    if role == "student":
        treatment = (temperature, weight)
        chosen = [run for run in chosen if (run["temperature"], run["weight"]) == treatment]
    return sorted(chosen, key=lambda run: run["seed"])


def usable_runs(runs: list[dict[str, Any]], metric: str, flags: list[str]) -> list[dict[str, Any]]:
    """Runs that did not diverge and have the metric; the others are named in ``flags``."""
    diverged = [run["seed"] for run in runs if run["diverged"] is not None]
    if diverged:
        flags.append(f"{len(diverged)} of {len(runs)} runs diverged: seeds {diverged}")
    kept = [run for run in runs if run["diverged"] is None]
    missing = [run["seed"] for run in kept if run["metrics"].get(metric) is None]
    if missing:
        flags.append(f"{metric} is not defined for seeds {missing}")
    return [run for run in kept if run["metrics"].get(metric) is not None]


def add_metric(found: Answer, metric: str, path: str, runs: list[dict[str, Any]]) -> None:
    """Add the metric of every usable run of a file."""
    for run in usable_runs(runs, metric, found.flags):
        value = run["metrics"][metric]
        found.add(Member(kind="run", id=run["id"], file=path, seed=run["seed"], value=value))


def add_differences(
    found: Answer,
    metric: str,
    first: tuple[str, list[dict[str, Any]]],
    second: tuple[str, list[dict[str, Any]]],
) -> None:
    """Add the metric of the first file's runs minus that of the second's, by seed."""
    (path, chosen), (rival_path, rivals) = first, second
    kept = usable_runs(chosen, metric, found.flags)
    by_seed = {run["seed"]: run for run in usable_runs(rivals, metric, found.flags)}
    for run in kept:
        rival = by_seed.get(run["seed"])
        if rival is None:
            continue
        found.add(
            Member(
                kind="run",
                id=run["id"],
                file=path,
                seed=run["seed"],
                value=run["metrics"][metric] - rival["metrics"][metric],
                minus=rival["id"],
                minus_file=rival_path,
            )
        )


def judged(difference: Answer, metric: str) -> Answer:
    """Return whether a paired difference helps, by its 95 % interval."""
    # SciPy's import is slow, and only answers need it; layouts import this module.
    from cch.tables.verdict_cells import effect

    text, low, high = effect(difference.values, lower_is_better=metric == "mse")
    aggregation = f"where the 95 % interval of the paired {metric} difference lies"
    if len(difference.values) > 1:
        aggregation += f": {low:.4f} to {high:.4f}, n = {len(difference.values)}"
    return replace(difference, values=[], text=text, aggregation=aggregation)


def _not_run(temperature: float | None, weight: float | None) -> str:
    wanted = f"T = {temperature:g}, λ = {weight:g}" if temperature else "it"
    return f"not run in this configuration: {wanted}"
