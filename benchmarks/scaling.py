"""Time against members of a stack, rows and workers, and where the machine saturates.

    python benchmarks/scaling.py                           # all three, a few minutes
    python benchmarks/scaling.py --only members,rows --repeats 3 --threads 1
    python benchmarks/scaling.py --device cuda             # workers then share the GPU

What is trained is a cohort's student (100-64-5, Adam, batches of 64); the median of the rounds of
each size counts:

    members   1 to 64 in one stack, 744 rows each
    rows      128 to 16,384 of 16 members
    workers   processes, each with a stack of 16 members and one thread, all at once

"a second" is what the machine does in all: member-epochs, or member-rows for `rows`. The machine is
saturated at the first size beyond which no larger one does more than a tenth more.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import common
from cch.config import Network, Training
from cch.data.rng import torch_generator
from cch.training.stack import Member, train_stack

SECTIONS = ("members", "rows", "workers")
FEATURES, CLASSES, ROWS, MEMBERS = 100, 5, 744, 16
NETWORK = Network(hidden=[64])
ENOUGH = 1.1
"""Doing this much more is worth a larger size."""


class Point(NamedTuple):
    """One size: seconds of an epoch, and what was done in a second."""

    size: int
    seconds: float
    rate: float


def train(members: int, rows: int, epochs: int, device: str) -> None:
    """Train a stack on random data, the same in every run; five members share a seed."""
    draw = torch_generator("scaling", rows)
    train_stack(
        network=NETWORK,
        training=Training(optimizer="adam", learning_rate=0.01, batch_size=64, epochs=epochs),
        task="classification",
        inputs=torch.randn(rows, FEATURES, generator=draw),
        labels=torch.randint(0, CLASSES, (rows,), generator=draw),
        row_sets=[torch.arange(rows)],
        members=[Member(key=("student", number // 5)) for number in range(members)],
        outputs=CLASSES,
        device=device,
        label="scaling",
    )


def typical(work: Callable[[], float], repeats: int) -> float:
    """Seconds of the median round."""
    return statistics.median(work() for _ in range(repeats))


def timed(*what: Any) -> float:
    start = time.perf_counter()
    train(*what)
    return time.perf_counter() - start


def over_members(sizes: Sequence[int], repeats: int, device: str) -> list[Point]:
    epochs = 10
    points = []
    for size in sizes:
        seconds = typical(lambda size=size: timed(size, ROWS, epochs, device), repeats)
        points.append(Point(size, seconds / epochs, size * epochs / seconds))
    return points


def over_rows(sizes: Sequence[int], repeats: int, device: str) -> list[Point]:
    points = []
    for size in sizes:
        # About as many steps for small samples as for large ones, within reason.
        epochs = max(1, 4096 // size)
        seconds = typical(lambda n=size, e=epochs: timed(MEMBERS, n, e, device), repeats)
        points.append(Point(size, seconds / epochs, MEMBERS * size * epochs / seconds))
    return points


def worker(barrier: Any, queue: Any, repeats: int, epochs: int, device: str) -> None:
    """One process: starts each round with the others and says when it began and ended."""
    torch.set_num_threads(1)
    train(MEMBERS, ROWS, 1, device)
    for round_ in range(repeats):
        barrier.wait()
        start = time.monotonic()
        train(MEMBERS, ROWS, epochs, device)
        queue.put((round_, start, time.monotonic()))


def over_workers(sizes: Sequence[int], repeats: int, device: str) -> list[Point]:
    epochs, points = 60, []
    context = multiprocessing.get_context("spawn")
    for size in sizes:
        barrier, queue = context.Barrier(size), context.Queue()
        what = (barrier, queue, repeats, epochs, device)
        processes = [context.Process(target=worker, args=what) for _ in range(size)]
        for process in processes:
            process.start()
        said = [queue.get() for _ in range(size * repeats)]
        for process in processes:
            process.join()
        rounds = [[(a, b) for n, a, b in said if n == number] for number in range(repeats)]
        seconds = statistics.median(max(b for _, b in r) - min(a for a, _ in r) for r in rounds)
        points.append(Point(size, seconds / epochs, size * MEMBERS * epochs / seconds))
    return points


def saturation(points: Sequence[Point]) -> int | None:
    """The first size beyond which none does a tenth more; None where the last still did."""
    for number, point in enumerate(points[:-1]):
        if max(later.rate for later in points[number:]) < ENOUGH * point.rate:
            return point.size
    return None


def table(name: str, points: Sequence[Point]) -> str:
    """What was measured, and where the machine saturates."""
    unit = "member-rows" if name == "rows" else "member-epochs"
    lines = [f"{name:>9}{'s an epoch':>12}{unit + ' a second':>26}{'of the first':>14}"]
    lines += [
        f"{point.size:>9}{point.seconds:>12.4f}{point.rate:>26,.0f}"
        f"{point.rate / points[0].rate:>13.1f}x"
        for point in points
    ]
    reached = saturation(points)
    where = f"saturated at {reached}" if reached else f"not saturated at {points[-1].size}"
    return "\n".join([*lines, f"{name}: {where}", ""])


def draw(found: dict[str, list[Point]], path: Path) -> None:
    """A panel for each section, both axes logarithmic: flat is free, the slope of one saturated."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(4 * len(found), 3.4), squeeze=False)
    for axis, (name, points) in zip(axes[0], found.items(), strict=True):
        sizes, last = [point.size for point in points], points[-1]
        axis.loglog(sizes, [point.seconds for point in points], "o-", label="measured")
        line = [last.seconds * size / last.size for size in sizes]
        axis.loglog(sizes, line, "--", color="grey", label="in proportion")
        axis.set_xticks(sizes, [str(size) for size in sizes], fontsize="small")
        axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axis.set(xlabel=name, ylabel="seconds an epoch")
        reached = saturation(points)
        if reached:
            axis.axvline(reached, linestyle=":", color="black", label=f"saturated at {reached}")
        axis.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def powers(first: int, last: int) -> list[int]:
    """Powers of two from first to last."""
    return [2**n for n in range(first.bit_length() - 1, last.bit_length())]


def main() -> None:
    parser = common.parser(__doc__, SECTIONS, "rounds")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--most-members", type=int, default=64, help="of one stack")
    parser.add_argument("--most-rows", type=int, default=16_384, help="of one member")
    parser.add_argument("--most-workers", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--figure", type=Path, default=Path("scaling.png"), help="PNG to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    gpu = f"{torch.cuda.get_device_name()}, " if options.device != "cpu" else ""
    print(common.machine(["torch"], options.threads, options.repeats, gpu), "\n")
    sections: dict[str, tuple[Callable[..., list[Point]], list[int]]] = {
        "members": (over_members, powers(1, options.most_members)),
        "rows": (over_rows, powers(128, options.most_rows)),
        "workers": (over_workers, powers(1, options.most_workers)),
    }
    train(2, 128, 1, options.device)
    found = {}
    for name in options.only:
        measure, sizes = sections[name]
        found[name] = measure(sizes, options.repeats, options.device)
        print(table(name, found[name]), flush=True)
    draw(found, options.figure)
    print(f"wrote {options.figure}")


if __name__ == "__main__":
    main()
