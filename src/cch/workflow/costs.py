"""Jobs, runs, work, time and memory of a configuration, before anything is started: ``cch plan``.

The jobs are those of Snakemake's own graph, as if no output existed. A job's work follows from its
specification (``cch.config.work``). Seconds are work divided by a throughput measured on this
machine or in an earlier run. Unknown values are counted as unknown.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from cch import CHECKOUT
from cch.base.errors import CchError
from cch.config import Config, Dataset, Study, Theory
from cch.config.specs import (
    CalibrateSpec,
    DecisionSpec,
    EstimateSpec,
    SelectSpec,
    Step,
    read_train_spec,
)
from cch.config.work import Size, Work, dataset_size
from cch.records.record import read_record, specification
from cch.workflow.planning import Plan

BENCHMARKS = "benchmarks"

OTHER = "of no study"
"""Row of downloads, the theory and pages."""

UNKNOWN = Work(None)

RECORDS = {
    "train": "runs",
    "select": "features",
    "estimate": "information",
    "calibrate": "calibration",
}
"""Folder of the records of a stage, by the folder of its benchmark files."""


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        rule: its rule.
        study: the first study that needs it, or ``OTHER``.
        memory_mb: requested at the first attempt.
        benchmark: its file below the folder of benchmark files.
        kind: stage and estimators; jobs of one kind have about the same throughput.
        work: what it computes.
    """

    rule: str
    study: str
    memory_mb: int
    benchmark: str
    kind: str
    work: Work


# Jobs


def planned(plan: Plan, targets: Sequence[str] = ()) -> list[Job]:
    """Return the jobs of targets (default ``all``) as if no output existed, without targets."""
    works = Works(plan.config.studies, plan.config.datasets, plan.paths.dataset)
    jobs = []
    for job in snakemake_jobs(plan.config.model_dump(mode="json"), targets):
        name, spec = job.rule.name, job.params.get("spec")
        benchmark = Path(str(job.benchmark or f"{name}.tsv"))
        jobs.append(
            Job(
                rule=name,
                study=_study(plan, name, job.wildcards_dict),
                memory_mb=job.resources.get("mem_mb", 0),
                benchmark=_within(benchmark),
                kind=_kind(_stage(benchmark), spec),
                work=works.of(name, spec),
            )
        )
    return jobs


def snakemake_jobs(configuration: dict[str, Any], targets: Sequence[str] = ()) -> list[Any]:
    """Return the jobs of Snakemake's graph as if no output existed; nothing is started.

    Args:
        configuration: complete.
        targets: names or files; default ``all``.

    Returns:
        Snakemake's own jobs without those of targets: ``rule.name``, ``wildcards_dict``,
        ``input``, ``output``, ``params``, ``resources``, ``benchmark``.

    Raises:
        CchError: no rule makes a target.
    """
    from snakemake.api import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        ResourceSettings,
        SnakemakeApi,
        StorageSettings,
    )
    from snakemake.exceptions import MissingRuleException

    settings = ConfigSettings(config=configuration, replace_workflow_config=True)
    output = OutputSettings(dryrun=True, log_level_override=logging.ERROR)
    with SnakemakeApi(output) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=settings,
            storage_settings=StorageSettings(),
            snakefile=CHECKOUT / "Snakefile",
        )
        wanted = DAGSettings(forceall=True, targets=frozenset(targets))
        graph = workflow.dag(dag_settings=wanted)
        # The summary is the cheapest call of the interface that builds the graph.
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                graph.summary()
        except MissingRuleException as error:
            raise CchError("target", str(error).partition(" (")[0]) from None
        return [job for job in workflow._workflow.dag.jobs if job.output]


def _study(plan: Plan, rule: str, wildcards: dict[str, str]) -> str:
    """Return the first study that needs a job."""
    studies = plan.config.studies
    named = wildcards.get("study", rule.removeprefix("study_"))
    if named in studies:
        return named
    layout = plan.layouts.get(rule.removeprefix("tabulate_"))
    if layout is not None:
        return layout.study
    users = [name for name, study in studies.items() if study.dataset == wildcards.get("dataset")]
    return next((name for name in users if not plan.unavailable(name)), OTHER)


def _within(benchmark: Path) -> str:
    """Return a benchmark file relative to its root, as ``train/mnistm-a18.teacher.tsv``."""
    folder = benchmark.parent.name
    return f"{folder}/{benchmark.name}" if folder not in ("", BENCHMARKS) else benchmark.name


def _stage(benchmark: Path) -> str:
    """Return the stage of a job: the folder or the name of its benchmark file."""
    return _within(benchmark).partition("/")[0].removesuffix(".tsv")


def _kind(stage: str, spec: Any) -> str:
    try:
        return "/".join(filter(None, (stage, json.loads(spec).get("estimator"))))
    except (TypeError, ValueError, AttributeError):
        return stage


@dataclass
class Works:
    """Work of jobs by their specifications.

    Args:
        studies: the studies of the configuration.
        datasets: its datasets.
        path: the file of a dataset, which may be missing.
    """

    studies: dict[str, Study]
    datasets: dict[str, Dataset]
    path: Callable[[str], str]

    def of(self, rule: str, spec: Any) -> Work:
        """Return the work of a job; unknown for rules without a formula."""
        # Estimators bring torch.
        from cch.information.work import calibrate_work, decision_work, estimate_work
        from cch.paper.theory.stage import simulation_work
        from cch.training.work import selection_work, training_work

        if rule.startswith("study_"):
            steps = [Step.model_validate_json(one) for one in spec]
            return Work.total(self.of(step.stage, step.spec) for step in steps)
        if rule == "simulate_theory":
            return simulation_work(Theory.model_validate_json(spec))
        if rule == "estimate_decision":
            return decision_work(DecisionSpec.model_validate_json(spec))
        if rule == "train":
            train = read_train_spec(spec)
            return training_work(train, self.size(train.dataset))
        if rule == "select_features":
            select = SelectSpec.model_validate_json(spec)
            return selection_work(select, self.size(select.dataset))
        if rule in ("estimate", "calibrate"):
            made = EstimateSpec if rule == "estimate" else CalibrateSpec
            given = made.model_validate_json(spec)
            study = self.studies[given.study]
            function: Any = estimate_work if rule == "estimate" else calibrate_work
            return function(given, study, self.size(study.dataset))
        return UNKNOWN

    def size(self, name: str) -> Size | None:
        """Return the sizes of a dataset, or None."""
        return dataset_size(self.datasets.get(name), self.path(name))


# Throughput


@dataclass(frozen=True)
class Probe:
    """The throughput of matrix products on this machine.

    Attributes:
        device: cpu or cuda.
        threads: of the CPU.
        rate: floating-point operations a second.
    """

    device: str
    threads: int
    rate: float

    @property
    def said(self) -> str:
        """Where it was measured, and what its seconds include."""
        where = f"{self.threads} threads of the CPU" if self.device == "cpu" else "the GPU"
        return (
            f"seconds: of the products alone, at {self.rate / 1e9:,.1f} GFLOP/s as measured now on "
            f"{where}; jobs take longer, most of all small ones"
        )

    def seconds(self, job: Job) -> float | None:
        """Seconds of a job at this rate."""
        return None if job.work.operations is None else job.work.operations / self.rate


def probe(device: str, threads: int, seconds: float = 1.0) -> Probe:
    """Measure stacked matrix products, forward and backward, as in training."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    members, rows, units = 16, 256, 256
    x = torch.rand(members, rows, units, device=device)
    w = torch.rand(members, units, units, device=device)
    done, start, taken = 0, 0.0, 0.0
    while taken < seconds:
        # The first round loads the library and is not counted.
        if done == 1:
            start = time.perf_counter()
        for _ in range(10):
            y = x @ w
            _ = x.transpose(1, 2) @ y, y @ w.transpose(1, 2)
        if device != "cpu":
            torch.cuda.synchronize()
        done += 1
        taken = time.perf_counter() - start if done > 1 else 0.0
    torch.set_num_threads(before)
    return Probe(device, threads, 10 * (done - 1) * 6 * members * rows * units**2 / taken)


class Benchmarks:
    """The throughput of an earlier run, from its benchmark files and records.

    Jobs of known work take the fitted line of their kind, others the mean of their stage.

    Raises:
        CchError: the folder holds no benchmark files.
    """

    def __init__(self, results: Path) -> None:
        self.means: dict[str, float] = {}
        self.lines: dict[str, tuple[float, float]] = {}
        devices: set[str] = set()
        found: dict[str, list[float]] = defaultdict(list)
        points: dict[str, list[tuple[float, float]]] = defaultdict(list)
        folder = results / BENCHMARKS
        works = _works_of(results)
        for path in sorted(folder.rglob("*.tsv")):
            stage = _stage(path)
            with path.open(encoding="utf-8") as file:
                seconds = float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])
            found[stage].append(seconds)
            record = _record_of(results, stage, path.stem)
            spec = record.get("params", {}).get("spec")
            work = works.of(record.get("rule", ""), spec)
            if work.operations is not None:
                points[_kind(stage, spec)].append((work.operations, seconds))
                devices.add(record.get("device", "cpu"))
        if not found:
            raise CchError(results, "holds no benchmark files", "name the folder of a run")
        self.means = {stage: sum(all_) / len(all_) for stage, all_ in found.items()}
        self.lines = {kind: _line(some) for kind, some in points.items()}
        jobs = sum(map(len, found.values()))
        made = f" ({', '.join(sorted(devices))})" if devices else ""
        self.said = (
            f"seconds: as {jobs} jobs in {results} took them{made}; larger ones are extrapolated"
        )

    def seconds(self, job: Job) -> float | None:
        """Seconds of a job, by jobs of its kind."""
        work, line = job.work.operations, self.lines.get(job.kind)
        if work is not None:
            return None if line is None else line[0] + line[1] * work
        # A mean does not apply to jobs whose size may differ from the earlier run's.
        stage = job.kind.partition("/")[0]
        return None if stage in RECORDS else self.means.get(stage)


def _record_of(results: Path, stage: str, name: str) -> dict[str, Any]:
    """Return the record of a benchmark file's job, or an empty mapping."""
    if stage not in RECORDS:
        path = results / stage / "simulation.record.json"
    else:
        owner, _, rest = name.partition(".")
        path = results / RECORDS[stage] / owner / f"{rest}.record.json"
    return read_record(path) if path.is_file() else {}


def _works_of(results: Path) -> Works:
    """Return the works of a finished run, by the configuration in its tables' records."""
    studies: dict[str, Study] = {}
    datasets: dict[str, Dataset] = {}
    for path in sorted((results / "tables").glob("*.record.json")):
        given = specification(read_record(path)).get("config")
        if given:
            config = Config.model_validate(given)
            studies |= config.studies
            datasets |= config.datasets
    return Works(studies, datasets, lambda name: str(results / "datasets" / f"{name}.h5"))


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Fit seconds per start and per operation, both nonnegative, by least relative squares."""
    import numpy as np
    from scipy.optimize import nnls

    work, seconds = np.array(points, dtype=float).T
    scale = work.max() or 1.0
    parts = np.stack([np.ones_like(work), work / scale], axis=1)
    (start, each), _ = nnls(parts / seconds[:, None], np.ones_like(work))
    return float(start), float(each / scale)


# Result


@dataclass(frozen=True)
class Costs:
    """Costs of a configuration.

    Attributes:
        names: the studies in the order of the configuration, and ``OTHER``.
        jobs: of the targets, from nothing.
        throughput: source of the seconds.
        absent: studies left out of the targets, with reasons.
    """

    names: list[str]
    jobs: list[Job]
    throughput: Probe | Benchmarks
    absent: dict[str, str]

    def parts(self) -> list[dict[str, Any]]:
        """Return sums over the jobs of each study, of no study, and of all.

        Sums are over known values; the number of jobs with unknown values is beside them.
        """
        groups = {name: [job for job in self.jobs if job.study == name] for name in self.names}
        groups = {name: jobs for name, jobs in groups.items() if jobs} | {"total": self.jobs}
        return [self._summed(name, jobs) for name, jobs in groups.items()]

    def _summed(self, name: str, jobs: list[Job]) -> dict[str, Any]:
        works, seconds = [job.work for job in jobs], [self.throughput.seconds(job) for job in jobs]
        return {
            "name": name,
            "jobs": len(jobs),
            "runs": sum(work.runs for work in works),
            "estimates": sum(work.estimates for work in works),
            "operations": sum(work.operations or 0 for work in works),
            "bytes": sum(work.bytes or 0 for work in works),
            "jobs_of_unknown_work": sum(work.operations is None for work in works),
            "seconds": sum(one or 0 for one in seconds),
            "jobs_of_unknown_seconds": seconds.count(None),
            "memory_mb": max((job.memory_mb for job in jobs), default=0),
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        *parts, total = self.parts()
        said = {"throughput": self.throughput.said, "left_out": self.absent}
        return {"format": "cch-plan-2", "studies": parts, "total": total, **said}

    def table(self) -> Table:
        """Return one row for each study, for jobs of no study, and for all."""
        table = Table(title="From nothing", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("study", "jobs", "runs", "estimates", "work", "time", "unknown", "memory"):
            table.add_column(name, justify="left" if name == "study" else "right", no_wrap=True)
        for found in self.parts():
            if found["name"] == "total":
                table.add_section()
            counts = (found[name] for name in ("jobs", "runs", "estimates"))
            table.add_row(
                found["name"],
                *(f"{count:,}" if count else "" for count in counts),
                operations(found["operations"]),
                _at_least(found["seconds"], found["jobs_of_unknown_seconds"]),
                str(found["jobs_of_unknown_seconds"] or ""),
                f"{found['memory_mb'] / 1024:.1f} GiB" if found["memory_mb"] else "",
            )
        return table

    def notes(self) -> list[str]:
        """Return lines of explanation below the table."""
        rules: dict[str, int] = defaultdict(int)
        for job in self.jobs:
            if self.throughput.seconds(job) is None:
                rules[job.rule.partition("-")[0].partition("_")[0]] += 1
        said = [
            "estimates: those of calibrations too; work: floating-point operations, to the last "
            "epoch, where the sizes of the dataset are known: it is prepared, or says them",
            self.throughput.said,
            "memory: what the largest job asks a scheduler for",
        ]
        if rules:
            named = ", ".join(f"{count} {rule}" for rule, count in sorted(rules.items()))
            said.append(f"unknown: seconds of {sum(rules.values())} jobs: {named}")
        return said + [f"left out: {name}: {why}" for name, why in self.absent.items()]


def costs(plan: Plan, earlier: Path | None = None, targets: Sequence[str] = ()) -> Costs:
    """Return the costs of a configuration as if no output existed; nothing is started.

    Args:
        plan: of the configuration.
        targets: what to make, as for Snakemake; default ``all``.
        earlier: results of an earlier run with benchmark files; default: measure the throughput
            of this machine, on its GPU if there is one and the configuration allows it.

    Raises:
        CchError: the earlier run left no benchmark files, or a target is unknown.
    """
    for target in targets:
        plan.check_target(target)
    jobs = planned(plan, targets)
    compute = plan.config.compute
    if earlier is not None:
        throughput: Probe | Benchmarks = Benchmarks(earlier)
    else:
        from cch.base.device import pick_device

        throughput = probe(pick_device(compute.device), compute.threads)
    return Costs([*plan.config.studies, OTHER], jobs, throughput, plan.left_out(targets))


def operations(count: float) -> str:
    """Format a number of floating-point operations, as ``1.2 TFLOP``; '' for zero."""
    if not count:
        return ""
    power = min(6, max(2, int(math.log10(count)) // 3))
    return f"{count / 1000**power:,.1f} {'MGTPE'[power - 2]}FLOP"


def _at_least(seconds: float, unknown: int) -> str:
    """Format a sum of seconds; with ``≥`` where some are unknown."""
    if not seconds:
        return "unknown"
    return f"{'≥ ' if unknown else ''}{duration(seconds)}"


def duration(seconds: float) -> str:
    """Format seconds as ``42 s``, ``12 min``, ``3.4 h`` or ``5.1 d``."""
    for least, unit, name in ((2 * 86_400, 86_400, "d"), (2 * 3600, 3600, "h")):
        if seconds >= least:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
