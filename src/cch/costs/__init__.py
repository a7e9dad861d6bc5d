"""What a configuration takes before anything of it is started: jobs, runs, time, memory.

``cch plan`` prints it. The jobs are those of ``snakemake`` from nothing (``costs.graph``), sizes
come from the configuration or from data that are there (``costs.sizes``), seconds from measured
throughput (``costs.throughput``).
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from cch.costs import throughput
from cch.costs.graph import Job, everything, planned
from cch.costs.sizes import Size, size
from cch.costs.throughput import Cost
from cch.planning import Plan

STEPS = ("prepare", "select", "train", "estimate", "calibrate", "tables")
"""Kinds of job in the order of the work; downloads and pages stand apart."""

OTHER = "theory and pages"
"""The row of what is of no study."""


def step_of(job: Job) -> str:
    """Which kind of work a job is: one of ``STEPS``, ``fetch``, ``theory`` or ``pages``."""
    if job.study is None:
        return "theory" if "theory" in job.rule else "pages"
    first = job.rule.split("_")[0]
    return "tables" if first in ("tabulate", "plot") else first


@dataclass
class Part:
    """Jobs that belong together, with what they take.

    Attributes:
        name: a study, or ``OTHER``.
        left_out: why ``all`` leaves it out; empty where it does not.
        jobs: the jobs with their costs.
    """

    name: str
    left_out: str = ""
    jobs: list[tuple[Job, Cost]] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Number of jobs by kind of work."""
        return Counter(step_of(job) for job, _ in self.jobs)

    def sum(self, name: str) -> float:
        """Sum of a part of the costs; seconds on a GPU are of jobs that compute on one."""
        return sum(getattr(cost, name) or 0 for _, cost in self.jobs)

    def most(self, name: str) -> float:
        """The largest of a part of the costs."""
        return max((getattr(cost, name) or 0 for _, cost in self.jobs), default=0)

    def to_json(self) -> dict[str, Any]:
        """Plain values: seconds and bytes."""
        beside = sum(cost.cpu for _, cost in self.jobs if cost.gpu is None)
        return {
            "name": self.name,
            "left_out": self.left_out,
            "jobs": {**self.counts, "total": len(self.jobs)},
            "runs": int(self.sum("runs")),
            "estimates": int(self.sum("estimates")),
            "calibration_estimates": int(self.sum("calibrating")),
            "cpu": {
                "seconds": round(self.sum("cpu"), 1),
                "peak_bytes": round(self.most("cpu_bytes")),
            },
            "gpu": {
                "seconds": round(self.sum("gpu"), 1),
                "seconds_on_cpu_beside": round(beside, 1),
                "peak_bytes": round(self.most("gpu_bytes")),
            },
        }


@dataclass(frozen=True)
class Costs:
    """What a configuration takes.

    Attributes:
        parts: studies of ``all``, and what is of no study.
        left_out: studies that ``all`` leaves out.
        assumed: sizes that are not known, in words.
        download_bytes: of raw files whose size is known.
    """

    parts: list[Part]
    left_out: list[Part]
    assumed: list[str]
    download_bytes: int

    @property
    def total(self) -> Part:
        """Everything in ``all``."""
        return Part("all", jobs=[pair for part in self.parts for pair in part.jobs])

    def longest(self, device: str) -> tuple[Job, float]:
        """The job of ``all`` that takes most seconds on cpu or gpu."""
        job, cost = max(self.total.jobs, key=lambda pair: getattr(pair[1], device) or 0)
        return job, getattr(cost, device) or 0

    def to_json(self) -> dict[str, Any]:
        """Plain values, for programs."""
        longest = {device: self.longest(device) for device in ("cpu", "gpu")}
        return {
            "format": "cch-plan-1",
            "cpu": "seconds on one thread, from measured throughput",
            "gpu": "estimates: no GPU was measured",
            "studies": [part.to_json() for part in self.parts],
            "left_out": [part.to_json() for part in self.left_out],
            "total": self.total.to_json(),
            "longest": {
                device: {"job": job.benchmark, "seconds": round(seconds, 1)}
                for device, (job, seconds) in longest.items()
            },
            "assumed": self.assumed,
            "download_bytes": self.download_bytes,
        }


def costs(plan: Plan) -> Costs:
    """Return what a configuration takes from nothing; nothing is started or written."""
    sizes = {
        name: size(plan.config, name, plan.paths.dataset(name))
        for name in dict.fromkeys(study.dataset for study in plan.config.studies.values())
    }
    jobs = everything(plan)
    absent = plan.absent()
    parts = _parts(plan, jobs, sizes)
    wanted = [path for name in absent for path in plan.targets()[name]]
    more = [job for job in planned(plan, wanted) if job not in set(jobs)]
    left_out = [replace(part, left_out=absent[part.name]) for part in _parts(plan, more, sizes)]
    assumed = [f"{name}: {known.assumed}" for name, known in sizes.items() if known.assumed]
    return Costs(parts, left_out, assumed, _download_bytes(plan, jobs))


def _parts(plan: Plan, jobs: Iterable[Job], sizes: dict[str, Size]) -> list[Part]:
    """Jobs with their costs by study, in the order of the configuration."""
    parts: dict[str, Part] = {}
    for job in jobs:
        name = job.study or OTHER
        parts.setdefault(name, Part(name)).jobs.append((job, cost(plan, job, sizes)))
    return [parts[name] for name in (*plan.config.studies, OTHER) if name in parts]


def _download_bytes(plan: Plan, jobs: Iterable[Job]) -> int:
    known = {
        plan.paths.raw(source, entry.name): entry.bytes or 0
        for source, about in plan.table.sources.items()
        for entry in about.files
    }
    return sum(known[job.outputs[0]] for job in jobs if job.rule == "fetch_raw")


SPARE_MINUTES = 60
"""What a time limit has beyond the estimate: schedulers kill, and estimates err."""

SPARE = {"cpu": 2, "gpu": 5}
"""Factors on the estimate; on a GPU it rests on assumed speeds."""


@functools.cache
def time_limit(plan: Plan, rules: str) -> int:
    """Return how many minutes a scheduler should give the longest job of a configuration.

    Args:
        plan: of the configuration.
        rules: how the names of the rules begin that are meant.
    """
    found = costs(plan)
    parts = (*found.parts, *found.left_out)
    taken = [cost for part in parts for job, cost in part.jobs if job.rule.startswith(rules)]
    cpu = plan.config.compute.device == "cpu"
    seconds = (SPARE["cpu"] * one.cpu if cpu else SPARE["gpu"] * (one.gpu or 0) for one in taken)
    return SPARE_MINUTES + math.ceil(max(seconds, default=0) / 60)


def cost(plan: Plan, job: Job, sizes: dict[str, Size]) -> Cost:
    """Return what one job takes; ``sizes`` are those of the datasets by name."""
    studies, memory = plan.config.studies, plan.config.compute.memory_gb
    if job.rule == "prepare_dataset":
        (dataset,) = job.about
        return throughput.preparing(plan.config.datasets[dataset].kind, sizes[dataset])
    if job.rule == "select_features":
        dataset, _ = job.about
        name, modality = plan.selections[job.about[0], job.about[1]]
        return throughput.selecting(studies[name], sizes[dataset], modality)
    if job.rule == "theory_simulate":
        return throughput.theory(plan.config.theory)
    if not job.rule.startswith(("train", "estimate", "calibrate")):
        return throughput.fixed(job.rule)
    study = studies[job.about[0]]
    known = sizes[study.dataset]
    if job.rule.startswith("train"):
        return throughput.training(study, job.about[1], known, memory)
    if job.rule == "estimate_information":
        batches = [throughput.estimating(study, known, job.about[2])]
    else:
        batches = throughput.calibrating(study, known, job.about[1])
    calibrates = job.rule == "calibrate_estimator"
    return throughput.estimation(study, job.about[1], batches, memory, calibrates)
