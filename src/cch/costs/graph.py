"""The jobs of a configuration, as Snakemake would plan them from nothing; nothing is started.

``cch.planning`` says what each file is made from; here that is followed from the files that are
asked for back to the raw ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cch.paths import ROLES
from cch.planning import Plan

DRAWN = {
    "curves": "plot_curves",
    "architecture": "plot_architecture",
    "calibration": "plot_calibration",
    "samples": "plot_samples",
}
"""The rule that draws a layout, by its kind; a table has none."""

PAGES = ("ledger", "compare", "build_report")


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        rule: the workflow's name for what it does.
        about: what of: a study and a role, a dataset, a table; as in the names of its logs.
        outputs: files that others read.
        inputs: files that it reads.
        study: the first study of the configuration that it is for; None for the theory and pages.
    """

    rule: str
    about: tuple[str, ...]
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    study: str | None = None

    @property
    def benchmark(self) -> str:
        """Where Snakemake notes its seconds, below ``<results>/benchmarks``."""
        folder = {
            "prepare_dataset": "prepare",
            "select_features": "select",
            "estimate_information": "estimate",
            "calibrate_estimator": "calibrate",
            "tabulate": "tabulate",
        }.get(self.rule)
        if self.rule in PAGES:
            return {"compare": "comparison", "build_report": "report"}.get(self.rule, self.rule)
        if self.rule == "theory_simulate":
            return "theory/simulate"
        if "theory" in self.rule:
            return f"theory/{'plot' if 'plot' in self.rule else 'tabulate'}.{self.about[0]}"
        folder = folder or self.rule.split("_")[0]
        return f"{folder}/{'.'.join(self.about)}"


def planned(plan: Plan, targets: Iterable[str]) -> list[Job]:
    """Return the jobs that make these files, and all that they need, from nothing.

    The target rules themselves, which do nothing, are left out.
    """
    makers = {path: job for job in _possible(plan) for path in job.outputs}
    needed: dict[Job, None] = {}
    waiting = list(targets)[::-1]
    while waiting:
        job = makers.get(waiting.pop())
        if job is not None and job not in needed:
            needed[job] = None
            waiting += job.inputs[::-1]
    return list(needed)


def everything(plan: Plan) -> list[Job]:
    """Return the jobs of the target ``all``."""
    return planned(plan, [*plan.everything(), plan.report])


def _possible(plan: Plan) -> Iterator[Job]:
    """Every job that this configuration could ask for."""
    yield from _raw_and_datasets(plan)
    for study in plan.config.studies:
        yield from _of_study(plan, study)
    for name in plan.layouts:
        yield from _of_layout(plan, name)
    yield from _of_theory(plan)
    documents = tuple(plan.documents(plan.available()))
    yield Job("ledger", (), tuple(plan.ledger), documents)
    yield Job("compare", (), (plan.comparison,), documents)
    yield Job("build_report", (), (plan.report,), tuple(plan.everything()))


def _raw_and_datasets(plan: Plan) -> Iterator[Job]:
    studies = plan.config.studies
    # Studies of `all` first: what is shared with one that is left out belongs to the other.
    ordered = sorted(studies, key=lambda name: bool(plan.unavailable(name)))
    first = {studies[name].dataset: name for name in reversed(ordered)}
    seen: set[str] = set()
    for name, dataset in ((study.dataset, study.dataset) for study in studies.values()):
        raw = tuple(plan.raw_list(dataset))
        for path in raw:
            if path not in seen:
                yield Job("fetch_raw", (path,), (path,), (), first[name])
        seen.update(raw)
        if dataset not in seen:
            yield Job(
                "prepare_dataset", (dataset,), (plan.paths.dataset(dataset),), raw, first[name]
            )
        seen.add(dataset)
    for (dataset, selection), (study, _) in plan.selections.items():
        users = [s for s in ordered if _selects(plan, s, dataset, selection)]
        output = plan.paths.features(dataset, selection)
        about, owner = (dataset, selection), users[0] if users else study
        yield Job("select_features", about, (output,), (plan.paths.dataset(dataset),), owner)


def _selects(plan: Plan, study: str, dataset: str, selection: str) -> bool:
    wanted = plan.paths.features(dataset, selection)
    roles = ("teacher", "baseline")
    return any(wanted in plan.training_inputs(study, role).values() for role in roles)


def _of_study(plan: Plan, study: str) -> Iterator[Job]:
    paths, spec = plan.paths, plan.config.studies[study]
    for role in ("teacher", "baseline", "student", "fusion"):
        inputs = tuple(plan.training_inputs(study, role).values())
        yield Job(f"train_{role}", (study, role), (paths.runs(study, role),), inputs, study)
    for estimator in spec.information.estimators:
        for quantity in ROLES:
            yield Job(
                "estimate_information",
                (study, estimator, quantity),
                (paths.information(study, estimator, quantity),),
                tuple(plan.information_inputs(study, quantity).values()),
                study,
            )
        yield Job(
            "calibrate_estimator",
            (study, estimator),
            (paths.calibration(study, estimator),),
            tuple(plan.calibration_inputs(study).values()),
            study,
        )


def _of_layout(plan: Plan, name: str) -> Iterator[Job]:
    layout = plan.layouts[name]
    files = plan.layout_files(name)
    tables = tuple(path for path in files if path.startswith(f"{plan.paths.results}/tables/"))
    figures = tuple(path for path in files if path not in tables)
    if tables:
        yield Job("tabulate", (name,), tables, tuple(plan.layout_inputs(name)), layout.study)
    if figures:
        read = (plan.paths.table(name),) if tables else (plan.sample_dataset(name),)
        yield Job(DRAWN[layout.kind], (name,), figures, read, layout.study)


def _of_theory(plan: Plan) -> Iterator[Job]:
    yield Job("theory_simulate", (), (plan.paths.theory,), ())
    files = plan.theory_targets()
    for table in dict.fromkeys(plan.theory_figures.values()):
        made = tuple(path for path in files[table] if "/tables/" in path)
        yield Job("theory_tabulate", (table,), made, (plan.paths.theory,))
    for figure, table in plan.theory_figures.items():
        made = tuple(path for path in files[figure] if "/figures/" in path)
        yield Job("plot_theory", (figure,), made, (plan.paths.table(table),))
