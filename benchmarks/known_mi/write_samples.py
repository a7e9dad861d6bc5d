"""Write samples of benchmark-mi's tasks, their true information and its own Kraskov estimates.

P. Czyz, F. Grabowski, J. E. Vogt, N. Beerenwinkel, A. Marx, "Beyond normal: On the evaluation of
mutual information estimators", NeurIPS 2023: 40 tasks whose mutual information is known. Runs in
the environment of ``environment.txt``; ``benchmarks/known_mi/run`` sees to that.

    python write_samples.py samples.h5 --rows 2000 --seeds 3

The file has a group for each task, in the package's order: ``x`` (seeds, n, dx), ``y`` (seeds, n,
dy), ``ksg`` (seeds,) in nats; attributes ``name``, ``mutual_information`` in nats.
"""

from __future__ import annotations

import argparse
import os
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
from bmi.benchmark import BENCHMARK_TASKS
from bmi.estimators import KSGEnsembleFirstEstimator

FORMAT = "cch-known-mi-1"
KSG = "benchmark-mi's KSGEnsembleFirstEstimator as it comes: mean of k = 5 and 10, Euclidean"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="HDF5 file to write")
    parser.add_argument("--rows", type=int, default=2000, help="n of each sample")
    parser.add_argument(
        "--seeds", type=int, default=3, help="samples of each task: seeds 0, 1, ..."
    )
    options = parser.parse_args()
    part = options.out.with_name(options.out.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(part, "w", track_order=True) as file:
        file.attrs.update(
            format=FORMAT,
            package=f"benchmark-mi {metadata.version('benchmark-mi')}",
            rows=options.rows,
            seeds=options.seeds,
            ksg=KSG,
        )
        for number, (key, task) in enumerate(BENCHMARK_TASKS.items(), start=1):
            write_task(file.create_group(key), task, options.rows, options.seeds)
            print(f"{number}/{len(BENCHMARK_TASKS)} {task.name}", flush=True)
    os.replace(part, options.out)


def write_task(group: h5py.Group, task: object, rows: int, seeds: int) -> None:
    """Draw a task's samples and write them beside what is known and estimated of them."""
    drawn = [task.sample(rows, seed=seed) for seed in range(seeds)]
    x, y = (np.stack([np.asarray(side) for side in sides]) for sides in zip(*drawn, strict=True))
    ksg = [KSGEnsembleFirstEstimator().estimate(*pair) for pair in zip(x, y, strict=True)]
    group.attrs.update(name=task.name, mutual_information=float(task.mutual_information))
    for name, values in (("x", x), ("y", y), ("ksg", np.array(ksg, dtype=np.float64))):
        group.create_dataset(name, data=values)


if __name__ == "__main__":
    main()
