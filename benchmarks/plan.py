"""Seconds that ``cch plan`` says beside those of a finished run's benchmark files, by stage.

    python benchmarks/plan.py results/demo --configfile presets/demo.yaml
    python benchmarks/plan.py results/demo --configfile presets/demo.yaml --from results/open

Seconds are by a probe of this machine, or by the benchmark files of an earlier run. Only jobs that
have a benchmark file in the folder of results and seconds that are known count.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from cch import CHECKOUT
from cch.config import read
from cch.workflow.costs import BENCHMARKS, costs
from cch.workflow.planning import Plan


def measured(path: Path) -> float:
    """Seconds by the clock of a benchmark file."""
    with path.open(encoding="utf-8") as file:
        return float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of a finished run")
    parser.add_argument("--configfile", type=Path, action="append", default=[], help="overlay")
    parser.add_argument("--from", dest="earlier", type=Path, help="results of an earlier run")
    options = parser.parse_args()
    plan = Plan(read(options.configfile) | {"results": str(options.results)}, CHECKOUT)
    found = costs(plan, options.earlier)
    sums: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job in found.jobs:
        path, seconds = options.results / BENCHMARKS / job.benchmark, found.throughput.seconds(job)
        if path.is_file() and seconds is not None:
            sums[job.kind.partition("/")[0]].append((seconds, measured(path)))
    if not sums:
        parser.error(f"{options.results}: no benchmark file of a job whose seconds are known")
    print(found.throughput.said)
    print(
        f"{'stage':<12}{'jobs':>5}{'said':>10}{'measured':>10}{'ratio':>8}{'least':>8}{'most':>8}"
    )
    for stage, pairs in sums.items():
        said, taken = (sum(side) for side in zip(*pairs, strict=True))
        ratios = sorted(a / b for a, b in pairs)
        print(
            f"{stage:<12}{len(pairs):>5}{said:>10.1f}{taken:>10.1f}{said / taken:>8.2f}"
            f"{ratios[0]:>8.2f}{ratios[-1]:>8.2f}"
        )


if __name__ == "__main__":
    main()
