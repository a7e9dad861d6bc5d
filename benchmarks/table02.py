"""What Table 2 costs at full n and 50 runs, estimated from shorter fits of one run.

    nice python benchmarks/table02.py                 # one thread, CPU
    nice python benchmarks/table02.py --epochs 20

Each quantity is one job of 50 runs on CMU-MOSEI's 4,662 test rows: 128 columns with 128, or 128
with two classes. Measured is one run, fits of ``--epochs`` instead of all; a fit's seconds are
taken to be proportional to its epochs, and a job's to its runs. Fits that stop early make that an
upper bound, stacks of runs make it smaller still. KSG has no epochs and is measured whole. Seconds
are of processor time on one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch

from cch.data.datasets.mosei import OFFICIAL
from cch.data.rng import numpy_generator
from cch.information.estimator import get_estimator

RUNS, COLUMNS = 50, 128
ROWS = OFFICIAL["test"]["segments"]
PAIRS, LABELS = 2, 3
"""How many of Table 2's quantities are between representations, and with the label."""


@dataclass(frozen=True)
class Cost:
    """Seconds of one run of a quantity; ``measured`` of them were, the rest is proportion."""

    seconds: float
    measured: float
    nats: float


def pair(discrete: bool) -> tuple[np.ndarray, np.ndarray]:
    """Representations behind a ReLU that share eight dimensions, or one with a label."""
    generator = numpy_generator("benchmark", "table02")
    x, noise = generator.normal(size=(2, ROWS, 8))
    weights = generator.normal(size=(2, 8, COLUMNS))
    codes = np.maximum(x @ weights[0], 0)
    if discrete:
        return codes, (x[:, 0] + noise[:, 0] > 0).astype(np.int64)
    return codes, np.maximum((0.8 * x + 0.6 * noise) @ weights[1], 0)


def measure(name: str, discrete: bool, epochs: int) -> Cost:
    """Time a fit of ``epochs``, less one of a single epoch, and bring it to all epochs."""
    x, y = pair(discrete)

    def run(options: dict[str, int]) -> tuple[float, float]:
        estimator = get_estimator(name, {"device": "cpu", **options})
        start = time.process_time()
        one = estimator.estimate_many([(x, y)], keys=[("benchmark", "table02")])[0]
        return time.process_time() - start, float(one.value)

    whole = getattr(get_estimator(name, {}), "epochs", None)
    if whole is None:
        seconds, nats = run({})
        return Cost(seconds, seconds, nats)
    first, _ = run({"epochs": 1})
    seconds, nats = run({"epochs": epochs})
    each = (seconds - first) / (epochs - 1)
    return Cost(first + (whole - 1) * each, first + seconds, nats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6, help="of the fits measured, at least 2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{ROWS:,} rows, {RUNS} runs a job; one thread, seconds of processor time\n")
    print(f"{'estimator':14}{'quantity':18}{'measured':>10}{'one run':>10}{'job, hours':>12}")
    for name in ("latentmi", "latent-light", "mine", "ksg"):
        total = 0.0
        for discrete, count in ((False, PAIRS), (True, LABELS)):
            cost = measure(name, discrete, options.epochs)
            hours = RUNS * cost.seconds / 3600
            total += count * hours
            what = "128 with label" if discrete else "128 with 128"
            print(
                f"{name:14}{what:18}{cost.measured:>10.1f}{cost.seconds:>10.1f}{hours:>12.2f}",
                flush=True,
            )
        print(f"{name:14}{'five quantities':18}{'':>20}{total:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
