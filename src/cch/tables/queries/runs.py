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
    role: Literal["teacher", "baseline", "student", "second-teacher"]
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
            found.flags.append(not_run(self.temperature, self.weight))
        add_metric(found, self.metric, path, runs)
        return found

    def depends_on(self, path: str) -> bool:
        """A baseline sees neither teacher nor degradation, a clean teacher no degradation."""
        unused: tuple[str, ...] = ()
        if self.role != "student":
            unused += ("distillation",)
        teaches = self.role in ("teacher", "second-teacher")
        if self.role == "baseline" or (teaches and not self.level):
            unused += ("degradation",)
        return super().depends_on(path) and not within(path, unused)

    def roles(self) -> tuple[str, ...]:
        """The role, after its teacher where it has one."""
        return ("teacher", "student") if self.role == "student" else (self.role,)


Side = tuple[str, list[dict[str, Any]]]
"""The path of a runs file, and runs of it in order of seed."""


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

    def sides(self, source: Source, level: str | None) -> tuple[Side, Side]:
        """The students and the baselines of a level."""
        baselines = selected_runs(source, "baseline", level, None, None)
        return self.students(source, level), (source.runs_path("baseline"), baselines)

    def students(self, source: Source, level: str | None) -> Side:
        """The students of a level; of all levels where it is None."""
        treatment = (level, self.temperature, self.weight)
        return source.runs_path("student"), selected_runs(source, "student", *treatment)

    def levels(self, source: Source) -> list[str | None]:
        """The levels of the sweep that the query belongs to."""
        _, runs = self.students(source, None)
        return list(dict.fromkeys(run["level"] for run in runs)) if self.level else [None]

    def answer(self, source: Source) -> Answer:
        """Mean over seeds of the difference, and its interval."""
        found = Answer(
            aggregation=f"mean over seeds of test {self.metric}, student minus baseline of that "
            "seed",
            signed=True,
        )
        sides = self.sides(source, self.level)
        if not sides[0][1]:
            found.flags.append(not_run(self.temperature, self.weight))
        add_differences(found, source, self.metric, *sides)
        return found


class EffectOf:
    """Turns the paired difference of the class beside it into a conclusion."""

    metric: str

    def answer(self, source: Source) -> Answer:
        """Helps, harms, equivalent or undecided."""
        found = super().answer(source)  # type: ignore[misc]
        levels = self.levels(source)  # type: ignore[attr-defined]
        sides = {level: self.sides(source, level) for level in levels}  # type: ignore[attr-defined]
        return judged(found, source, self.metric, sides, level=getattr(self, "level", None))

    @property
    def cell_kind(self) -> CellKind:
        """A conclusion in words."""
        return "conclusion"

    @property
    def every_level(self) -> bool:
        """Holm's correction counts the levels of the sweep."""
        return hasattr(self, "level")


@register
class Difference(PairedQuery):
    """Mean over seeds of student minus baseline, with its interval."""

    kind: Literal["difference"]


@register
class Effect(EffectOf, PairedQuery):
    """Whether distilling helped, by the paired difference and Holm's correction."""

    kind: Literal["effect"]


def selected_runs(
    source: Source, role: str, level: str | None, temperature: float | None, weight: float | None
) -> list[dict[str, Any]]:
    """Runs of a role at a level and, for students, of a treatment; in order of seed."""
    chosen = source.runs(role)
    taught = role in ("student", "two-teachers")
    per_level = taught or any(run["level"] is not None for run in chosen)
    if per_level and role != "baseline" and level is not None:
        chosen = [run for run in chosen if run["level"] == level]
    if taught:
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


def paired(
    first: list[dict[str, Any]], second: list[dict[str, Any]], metric: str, flags: list[str]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Usable runs with the usable run of the same seed among others; what lacks is flagged."""
    kept = usable_runs(first, metric, flags)
    by_seed = {run["seed"]: run for run in usable_runs(second, metric, flags)}
    return [(run, by_seed[run["seed"]]) for run in kept if run["seed"] in by_seed]


def add_differences(found: Answer, source: Source, metric: str, first: Side, second: Side) -> None:
    """Add the metric of the first file's runs minus that of the second's, by seed.

    The interval of their mean is added too; see ``cch.criterion.gain``.
    """
    (path, chosen), (rival_path, rivals) = first, second
    pairs = paired(chosen, rivals, metric, found.flags)
    for run, rival in pairs:
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
    # SciPy's import is slow, and only answers need it; layouts import this module.
    from cch.tables.gains import described, gain_of, interval_of

    gained = gain_of(source, metric, pairs, (path, rival_path))
    if gained:
        found.interval = interval_of(*gained)
        found.aggregation += f"; 95 % interval: {described(*gained)}"


def judged(
    difference: Answer,
    source: Source,
    metric: str,
    sides: dict[str | None, tuple[Side, Side]],
    level: str | None,
) -> Answer:
    """Return what distilling did at a level of a sweep, by its interval and Holm's correction.

    Args:
        difference: at that level.
        source: the files of the study.
        metric: that is compared.
        sides: the runs to compare at every level of the sweep.
        level: the level; None where there is but one.
    """
    from cch.criterion.gain import effects
    from cch.tables.gains import gain_of, interval_of

    gained = {
        one: gain_of(source, metric, paired(a[1], b[1], metric, []), (a[0], b[0]))
        for one, (a, b) in sides.items()
    }
    found = effects([one and one[0] for one in gained.values()], metric)
    text, p = dict(zip(gained, found, strict=True)).get(level, ("undecided", 1.0))
    aggregation = f"where the 95 % interval of the paired {metric} difference lies"
    interval, own = None, gained.get(level)
    if own:
        interval = interval_of(*own, p)
        aggregation += f"; p = {p:.3g} by Holm's correction for {len(gained)} levels"
    return replace(
        difference,
        values=[],
        text=text,
        interval=interval,
        aggregation=aggregation,
    )


def not_run(temperature: float | None, weight: float | None) -> str:
    """Return the flag of a cell whose treatment is not in the configuration."""
    wanted = f"T = {temperature:g}, λ = {weight:g}" if temperature else "it"
    return f"not run in this configuration: {wanted}"
