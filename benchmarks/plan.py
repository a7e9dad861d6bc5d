"""Estimated seconds and memory beside those of a finished run: ``cch plan`` against the files.

    python benchmarks/plan.py results/demo --configfile presets/demo.yaml
    python benchmarks/plan.py results/open --configfile presets/open.yaml --jobs

Reads the benchmark files that Snakemake left in the folder of results, and only of jobs that have
one. "wall" is the clock, "processor" the processor time that Snakemake sampled, which misses up to
the last half minute of a job; on an idle machine and one thread they are nearly the same, and a job
that shared its cores lies between them. Prints, for each kind of job, sums and their ratios.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from cch import CHECKOUT
from cch.config import read
from cch.costs import cost, step_of
from cch.costs.graph import Job, everything, planned
from cch.costs.sizes import size
from cch.planning import Plan


def measured(path: Path) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of processor time and megabytes of a benchmark file."""
    with open(path, newline="", encoding="utf-8") as file:
        last = list(csv.DictReader(file, delimiter="\t"))[-1]
    return tuple(_number(last[name]) for name in ("s", "cpu_time", "max_rss"))


def _number(text: str) -> float:
    return float(text) if text not in ("NA", "-") else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of a finished run")
    parser.add_argument("--configfile", type=Path, action="append", default=[], help="overlay")
    parser.add_argument("--jobs", action="store_true", help="every job, not only sums")
    options = parser.parse_args()
    raw = read(options.configfile) | {"results": str(options.results)}
    plan = Plan(raw, CHECKOUT)
    names = {study.dataset for study in plan.config.studies.values()}
    sizes = {name: size(plan.config, name, plan.paths.dataset(name)) for name in names}
    found: dict[str, list[tuple[Job, tuple[float, ...]]]] = defaultdict(list)
    # Also what `all` leaves out here, where raw files are not at hand any more.
    targets = [path for files in plan.targets().values() for path in files]
    for job in dict.fromkeys([*everything(plan), *planned(plan, targets)]):
        path = options.results / "benchmarks" / f"{job.benchmark}.tsv"
        if path.is_file():
            taken = cost(plan, job, sizes)
            numbers = (taken.cpu, *measured(path), taken.cpu_bytes / 2**20)
            found[step_of(job)].append((job, numbers))
    if not found:
        parser.error(f"{options.results}: no benchmark file of this configuration's jobs")
    if options.jobs:
        print_jobs(found)
    print_sums(found)


def print_jobs(found: dict[str, list[tuple[Job, tuple[float, ...]]]]) -> None:
    print(f"{'job':<52}{'estimate':>10}{'wall':>9}{'processor':>11}{'MB est.':>9}{'MB':>7}")
    for jobs in found.values():
        for job, (estimate, wall, processor, held, memory) in jobs:
            print(
                f"{job.benchmark:<52}{estimate:>10.1f}{wall:>9.1f}{processor:>11.1f}"
                f"{memory:>9.0f}{held:>7.0f}"
            )


def print_sums(found: dict[str, list[tuple[Job, tuple[float, ...]]]]) -> None:
    print(
        f"{'kind':<12}{'jobs':>5}{'estimate':>10}{'wall':>9}{'processor':>11}{'/wall':>8}"
        f"{'/processor':>12}{'memory ratio, least to most':>30}"
    )
    total = [0.0, 0.0, 0.0, 0]
    for kind, jobs in found.items():
        sums = [sum(numbers[i] for _, numbers in jobs) for i in range(3)]
        ratios = sorted(numbers[4] / numbers[3] for _, numbers in jobs if numbers[3])
        total = [a + b for a, b in zip(total, (*sums, len(jobs)), strict=True)]
        print(line(kind, len(jobs), sums) + f"{ratios[0]:>24.2f}{ratios[-1]:>6.2f}")
    print(line("all", int(total[3]), total[:3]))


def line(kind: str, jobs: int, sums: list[float]) -> str:
    estimate, wall, processor = sums
    return (
        f"{kind:<12}{jobs:>5}{estimate:>10.0f}{wall:>9.0f}{processor:>11.0f}"
        f"{estimate / wall:>8.2f}{estimate / processor:>12.2f}"
    )


if __name__ == "__main__":
    main()
