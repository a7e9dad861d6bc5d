"""Seconds of our mRMR beside the library's, on made-up expression data.

    python benchmarks/selection.py                     # both sections
    python benchmarks/selection.py --only large
    python benchmarks/selection.py --features 4000     # a quick look at the ratio

"seconds" is the median of the rounds, the quickest and the slowest stand beside it; "ratio" is the
library's median over ours. The library is timed once, for it takes minutes, and ours in all rounds,
half of them before it and half after, following one call that is not timed. "equal" says whether
the library chose the same list in the same order.

    large  ours alone, 60,660 features, 744 cases, K = 100
    ratio  ours beside mrmr_classif, 20,000 features, 744 cases, K = 20

The library's frame of redundancies takes 3.2 GB at 20,000 features and 29 GB at 60,660.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from mrmr import mrmr_classif
from threadpoolctl import threadpool_limits

import common
from cch.data.mrmr import mrmr
from cch.data.rng import numpy_generator

LIBRARIES = ("mrmr-selection", "numpy", "pandas", "scikit-learn")
CASES = 744
CLASSES = 5
FACTORS = 50


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    threads: int
    repeats: int
    features: int


def expression(features: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that share factors, some of which differ between classes.

    Returns:
        (744, features) float32, and (744,) int64 classes; the same in every run.
    """
    generator = numpy_generator("benchmark", "selection", features)
    label = generator.integers(0, CLASSES, CASES)
    factor = generator.normal(size=(CASES, FACTORS))
    factor[:, : FACTORS // 5] += generator.normal(size=(CLASSES, FACTORS // 5))[label]
    weight = generator.normal(size=(FACTORS, features)) * (generator.random(features) < 0.5)
    values = factor @ weight / np.sqrt(FACTORS)
    values += generator.normal(size=values.shape)
    return (values + 5).astype(np.float32), label


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratio(options: Options) -> None:
    """Ours beside the library at its own settings, with a process for each thread of ours."""
    values, label = expression(options.features)
    wanted = 20
    frame, series = pd.DataFrame(values.astype(np.float64)), pd.Series(label)
    listed: dict[str, list[int]] = {}

    def ours() -> None:
        listed["ours"] = mrmr(values, label, wanted).index.tolist()

    def library() -> None:
        listed["library"] = mrmr_classif(
            frame, series, wanted, n_jobs=options.threads, show_progress=False
        )

    ours()
    half = (options.repeats + 1) // 2
    mine = [seconds(ours) for _ in range(half)]
    theirs = [seconds(library)]
    mine += [seconds(ours) for _ in range(options.repeats - half)]
    case = f"{options.features:,} x {CASES}, K = {wanted}"
    line(case, "cch.data.mrmr.mrmr", mine)
    line("", "mrmr_classif", theirs, f"{statistics.median(theirs) / statistics.median(mine):>9.1f}")
    print(f"\nthe library takes {theirs[0] / statistics.median(mine):.1f} times as long as ours")
    print(f"equal: {'yes' if listed['ours'] == listed['library'] else 'NO'}")


def large(options: Options) -> None:
    """Ours alone at the size of all genes."""
    features, wanted = 60_660, 100
    values, label = expression(features)
    mrmr(values, label, wanted)
    times = [seconds(lambda: mrmr(values, label, wanted)) for _ in range(options.repeats)]
    line(f"{features:,} x {CASES}, K = {wanted}", "cch.data.mrmr.mrmr", times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.1f} GiB")


def line(case: str, side: str, times: list[float], ratio: str = "") -> None:
    if case:
        print(
            f"{'case':<28}{'side':<22}{'n':>4}{'seconds':>10}{'quickest':>10}{'slowest':>10}"
            f"{'ratio':>9}"
        )
    print(
        f"{case:<28}{side:<22}{len(times):>4}{statistics.median(times):>10.2f}{min(times):>10.2f}"
        f"{max(times):>10.2f}{ratio}",
        flush=True,
    )


SECTIONS: dict[str, Callable[[Options], None]] = {"large": large, "ratio": ratio}


def main() -> None:
    parser = common.parser(__doc__, SECTIONS, "rounds of ours")
    parser.add_argument("--features", type=int, default=20_000, help="features of the ratio")
    asked = parser.parse_args()
    if asked.features < 20:
        sys.exit("selection.py: --features is at least 20")
    options = Options(asked.threads, asked.repeats, asked.features)
    print(common.machine(LIBRARIES, options.threads, options.repeats))
    with threadpool_limits(options.threads):
        for name in asked.only:
            print(f"\n{name}: {SECTIONS[name].__doc__}\n")
            SECTIONS[name](options)


if __name__ == "__main__":
    main()
