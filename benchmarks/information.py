"""Seconds of our estimators of mutual information beside those of other libraries.

    python benchmarks/information.py                       # all sections
    python benchmarks/information.py --only ksg,crossover
    python benchmarks/information.py --only ksg --threads 1 --repeats 9

The sides of a case are run in turn in this one process, forwards and backwards by rounds, after one
call of each that is not timed. "seconds" is the median of the rounds, the quickest and the slowest
stand beside it; "ratio" is the median over the first side's, so above 1 the first side is faster.
"nats" is what each side estimated, to show that all did the same work.

    latent     latentmi and latent-light beside the library, one estimate and ten
    ksg        Kraskov's and Ross's estimators beside latentmi's and scikit-learn's
    bounds     members as one stack beside one by one, at the size of cohorts and of images
    crossover  tree and brute force over rows and columns, and which of them is chosen

A section is a function of ``Options`` with an entry in ``SECTIONS``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

import common
from cch.data.rng import numpy_generator
from cch.information import neighbours
from cch.information.estimator import get_estimator
from cch.information.ksg import kraskov, kraskov_many, ross
from cch.information.units import from_bits

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "latentmi")
CORRELATION = 0.8
K = 3

Side = Callable[[], float]
"""Runs an estimate and returns its nats."""


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    threads: int
    repeats: int


# The frame


@dataclass(frozen=True)
class Timed:
    """One side of a case after all rounds."""

    seconds: list[float]
    nats: float

    @property
    def median(self) -> float:
        """Seconds that stand for the side."""
        return statistics.median(self.seconds)


def in_turn(sides: dict[str, Side], repeats: int, warm: bool = True) -> dict[str, Timed]:
    """Run each side once untimed (``warm``), then all in rounds whose order alternates."""
    nats = {name: side() for name, side in sides.items()} if warm else {}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            nats[name] = sides[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: Timed(seconds[name], nats[name]) for name in sides}


def compare(case: str, sides: dict[str, Side], options: Options, rounds: int | None = None) -> None:
    """Time a case and print a line for each side; the first side is ours.

    ``rounds`` is for sides of minutes: so many, none of them untimed.
    """
    timed = in_turn(sides, rounds or options.repeats, warm=rounds is None)
    ours = next(iter(timed.values())).median
    for number, (name, side) in enumerate(timed.items()):
        ratio = f"{side.median / ours:>8.2f}" if number else f"{'':>8}"
        print(
            f"{case if number == 0 else '':<38}{name:<26}{side.median:>10.4f}"
            f"{min(side.seconds):>10.4f}{max(side.seconds):>10.4f}{ratio}{side.nats:>10.4f}",
            flush=True,
        )
    return timed


def heading() -> None:
    print(
        f"{'case':<38}{'side':<26}{'seconds':>10}{'quickest':>10}{'slowest':>10}"
        f"{'ratio':>8}{'nats':>10}"
    )


def with_threads(threads: int, side: Side) -> Side:
    """Return ``side`` run on so many threads, whatever the others use."""

    def run() -> float:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return side()
        finally:
            torch.set_num_threads(before)

    return run


def gaussian_pairs(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated Gaussian columns, (rows, columns) each, the same in every run."""
    x, noise = numpy_generator("benchmark", rows, columns).normal(size=(2, rows, columns))
    return x, CORRELATION * x + np.sqrt(1 - CORRELATION**2) * noise


# Latent


def latent(options: Options) -> None:
    """The stacked estimators beside the library, n = 2,000, 64 + 64 columns."""
    print("one estimate at its own 300 epochs, 2 rounds; ten at 60 epochs, 1 round; none untimed\n")
    heading()
    kinds = ("latentmi", "latent-light", "latentmi-library")
    one = {kind: lambda kind=kind: latent_nats(kind, [2_000], 64, "cpu") for kind in kinds}
    library_over(compare("One estimate, n 2,000, 64 + 64", one, options, rounds=2))
    # Seconds are proportional to epochs, so ratios are not of them.
    ten = {
        kind: lambda kind=kind: latent_nats(kind, [2_000] * 10, 64, "cpu", epochs=60)
        for kind in kinds
    }
    library_over(compare("Ten estimates of 60 epochs", ten, options, rounds=1))
    if torch.cuda.is_available():
        latent_on_gpu(options)


def library_over(timed: dict[str, Timed]) -> None:
    library = timed["latentmi-library"].median
    for name in ("latentmi", "latent-light"):
        print(f"  the library takes {library / timed[name].median:.2f} times as long as {name}")


def latent_on_gpu(options: Options) -> None:
    """Fifty stacked runs at n = 20,000; the library's time is of two runs, times 25."""
    rows = [20_000] * 50
    sides: dict[str, Side] = {
        kind: lambda kind=kind: latent_nats(kind, rows, 64, "cuda")
        for kind in ("latentmi", "latent-light")
    }
    timed = in_turn(sides, 1)
    library = in_turn({"": lambda: latent_nats("latentmi-library", rows[:2], 64, "cuda")}, 1)[""]
    seconds = 25 * library.median
    for name, side in timed.items():
        print(f"GPU, 50 runs, n 20,000: {name} {side.median:.1f} s, {side.nats:.4f} nats")
        print(f"  library {seconds:.1f} s (2 runs times 25): ratio {seconds / side.median:.1f}")


def latent_nats(kind: str, rows: list[int], columns: int, device: str, epochs: int = 300) -> float:
    """Mean over estimates of a pair that 64 columns make from 8: representations are such."""
    pairs = [mixed_pairs(number, n, columns) for number, n in enumerate(rows)]
    estimator = get_estimator(kind, {"device": device, "epochs": epochs})
    keys = [("benchmark", number) for number in range(len(pairs))]
    return float(np.mean([one.value for one in estimator.estimate_many(pairs, keys=keys)]))


def mixed_pairs(number: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated Gaussian columns behind a random layer with ReLU, (rows, columns) each."""
    generator = numpy_generator("benchmark", "latent", number)
    x, noise = generator.normal(size=(2, rows, 8))
    y = CORRELATION * x + np.sqrt(1 - CORRELATION**2) * noise
    weights = generator.normal(size=(2, 8, columns))
    return np.maximum(x @ weights[0], 0), np.maximum(y @ weights[1], 0)


# Bounds


def bounds(options: Options) -> None:
    """Bounds of many members as one stack beside one by one; members are told by their numbers."""
    heading()
    for name, rows, columns, members in (
        ("infonce", 300, 64, 20),
        ("infonce", 2_000, 64, 10),
        ("infonce", 10_000, 256, 4),
        ("classifier", 10_000, 256, 4),
    ):
        pairs = [mixed_pairs(number, rows, columns) for number in range(members)]
        if name == "classifier":
            pairs = [(x, np.argmax(y[:, :10], axis=1)) for x, y in pairs]
        keys = [("benchmark", number) for number in range(members)]
        estimator = get_estimator(name)

        def together(estimator=estimator, pairs=pairs, keys=keys) -> float:
            return float(np.mean([e.value for e in estimator.estimate_many(pairs, keys=keys)]))

        def alone(estimator=estimator, pairs=pairs, keys=keys) -> float:
            each = zip(pairs, keys, strict=True)
            return float(np.mean([estimator.estimate(*pair, key=key).value for pair, key in each]))

        case = f"{members} {name}, n {rows:,}, {columns} columns"
        rounds = 1 if rows > 2_000 else 3
        compare(case, {"one stack": together, "one by one": alone}, options, rounds)


# KSG


def ksg(options: Options) -> None:
    """Kraskov's estimator beside latentmi's, alone and stacked; Ross's beside scikit-learn's."""
    print("latentmi and scikit-learn search their trees on one thread\n")
    heading()
    for rows, columns in ((10_000, 8), (30_000, 8), (2_000, 64)):
        kraskov_case(rows, columns, options)
    for pairs, rows in ((50, 85), (10, 1_000)):
        stacked_case(pairs, rows, 8, options)
    ross_case(10_000, 8, options)


def latentmi_nats(x: np.ndarray, y: np.ndarray) -> float:
    from latentmi import ksg as library

    return from_bits(float(library.mi(x, y, k=K).mean()))


def kraskov_case(rows: int, columns: int, options: Options) -> None:
    x, y = gaussian_pairs(rows, columns)
    chosen = neighbours.choose(rows, 2 * columns)
    other = "brute" if chosen == "tree" else "tree"
    sides: dict[str, Side] = {f"cch ({chosen})": lambda: kraskov(x, y, K).value}
    if options.threads > 1:
        sides["cch, one thread"] = with_threads(1, sides[f"cch ({chosen})"])
    if rows <= 10_000:
        sides[f"cch, {other} instead"] = lambda: kraskov(x, y, K, backend=other).value
    if torch.cuda.is_available():
        sides["cch, GPU"] = lambda: kraskov(x, y, K, device="cuda").value
    sides["latentmi.ksg.mi"] = lambda: latentmi_nats(x, y)
    compare(f"Kraskov, n {rows:,}, {columns} + {columns}", sides, options)


def stacked_case(pairs: int, rows: int, columns: int, options: Options) -> None:
    x, y = (values.reshape(pairs, rows, -1) for values in gaussian_pairs(pairs * rows, columns))
    each = list(zip(x, y, strict=True))
    sides: dict[str, Side] = {
        "cch, stacked": lambda: float(kraskov_many(x, y, K).mean()),
        "cch, one by one": lambda: float(np.mean([kraskov(*xy, K).value for xy in each])),
        "latentmi.ksg.mi": lambda: float(np.mean([latentmi_nats(*xy) for xy in each])),
    }
    compare(f"{pairs} times n {rows:,}, {columns} + {columns}", sides, options)


def ross_case(rows: int, columns: int, options: Options) -> None:
    """Scikit-learn measures one column at a time, so ours is asked for each column too."""
    from sklearn.feature_selection import mutual_info_classif

    generator = numpy_generator("benchmark", "ross")
    labels = generator.integers(0, 5, rows)
    x = generator.normal(size=(rows, columns)) + labels[:, None]

    def sklearn_mean() -> float:
        return float(mutual_info_classif(x, labels, n_neighbors=K, random_state=0).mean())

    sides: dict[str, Side] = {
        "cch": lambda: float(np.mean([ross(c[:, None], labels, K).value for c in x.T])),
        "mutual_info_classif": sklearn_mean,
    }
    compare(f"Ross, n {rows:,}, {columns} columns one by one", sides, options)


def crossover(options: Options) -> None:
    """Where brute force overtakes the trees: what ``neighbours.choose`` was set by."""
    print(f"{'columns':>8}{'rows':>8}{'tree':>10}{'brute':>10}{'tree/brute':>12}  chosen")
    for columns in (1, 2, 4, 8, 16):
        for rows in (100, 300, 1_000, 3_000, 10_000):
            x, y = gaussian_pairs(rows, columns)
            sides: dict[str, Side] = {
                way: lambda way=way, x=x, y=y: kraskov(x, y, K, backend=way).value
                for way in ("tree", "brute")
            }
            tree, brute = (side.median for side in in_turn(sides, options.repeats).values())
            print(
                f"{f'{columns} + {columns}':>8}{rows:>8}{tree:>10.4f}{brute:>10.4f}"
                f"{tree / brute:>12.2f}  {neighbours.choose(rows, 2 * columns)}",
                flush=True,
            )


SECTIONS: dict[str, Callable[[Options], None]] = {
    "latent": latent,
    "bounds": bounds,
    "ksg": ksg,
    "crossover": crossover,
}


# The command line


def main() -> None:
    asked = common.parser(__doc__, SECTIONS, "rounds").parse_args()
    options = Options(asked.threads, asked.repeats)
    torch.set_num_threads(options.threads)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(common.machine(LIBRARIES, options.threads, options.repeats, f"GPU {gpu}, "))
    for name in asked.only:
        print(f"\n{name}: {SECTIONS[name].__doc__}")
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
