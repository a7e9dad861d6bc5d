"""Score registered estimators on tasks whose mutual information is known.

    benchmarks/known_mi/run --estimators ksg,mine

sets up what is needed and runs this; alone, it takes the file that ``write_samples.py`` wrote:

    python benchmarks/known_mi/score.py results/known-mi/samples.h5 --estimators ksg,mine

Pairs go to ``estimate_many`` many at once, so networks of equal shape train as one stack over tasks
and seeds. What was estimated is kept beside the table and not made again, so a long run can be
stopped and goes on. Written are a table (Markdown) and everything in it unrounded (JSON), in nats:

    mean absolute error   over all estimates, a task and seed each
    mean bias             of the same; negative where an estimator says too little
    spread                standard deviation over seeds, root of its mean square over tasks
    rank correlation      Spearman's, between truths and mean estimates of tasks; truths repeat

A last table lays each estimator beside the first, on the same samples: the mean difference over
tasks with its standard error, and at how many tasks the two are more than two standard errors apart
(of paired differences, their variance pooled over tasks). Of bounds it is said how many lie beyond
the truth, beside how many their confidence allows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from scipy.stats import spearmanr

from cch.base.errors import CchError
from cch.base.files import digest, sha256_file, write_json, write_text
from cch.information.estimator import RESOURCES, Estimator, get_estimator

FORMAT = "cch-known-mi-1"
THEIRS = "ksg of benchmark-mi"
TOGETHER = 30
"""Pairs between two saves."""


@dataclass(frozen=True)
class Task:
    """One task: samples x (seeds, n, dx) and y (seeds, n, dy), and what is known of them."""

    key: str
    name: str
    truth: float
    x: np.ndarray
    y: np.ndarray
    theirs: np.ndarray

    @property
    def pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(x, y) of each seed."""
        return list(zip(self.x, self.y, strict=True))


@dataclass(frozen=True)
class Score:
    """What one estimator said of every task: values (tasks, seeds) in nats, NaN where it failed."""

    name: str
    values: np.ndarray
    details: dict[str, Any]

    def summary(self, truths: np.ndarray) -> dict[str, Any]:
        """Return the summary that the module docstring defines, for true values (tasks,)."""
        errors = self.values - truths[:, None]
        done = np.isfinite(self.values).any(axis=1)
        means = np.array([_mean(row) for row in self.values])
        spread = np.array([_deviation(row) for row in self.values])
        return {
            "n": int(np.isfinite(errors).sum()),
            "failed": int((~np.isfinite(errors)).sum()),
            "mean_absolute_error": _mean(np.abs(errors).ravel()),
            "mean_bias": _mean(errors.ravel()),
            "spread": _mean(spread**2) ** 0.5,
            "rank_correlation": _ranks(truths[done], means[done]),
        }


def _ranks(truths: np.ndarray, means: np.ndarray) -> float:
    if len(set(truths)) < 2 or len(set(means)) < 2:
        return float("nan")
    return float(spearmanr(truths, means).statistic)


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _deviation(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std(ddof=1)) if len(finite) > 1 else float("nan")


def read(path: Path, wanted: Sequence[str], seeds: int | None) -> list[Task]:
    """Read the tasks whose key or name holds one of ``wanted`` (all where it is empty)."""
    if not path.exists():
        raise CchError(path, "does not exist", "run benchmarks/known_mi/run")
    with h5py.File(path, "r", track_order=True) as file:
        if file.attrs.get("format") != FORMAT:
            raise CchError(path, f"is not of format {FORMAT}", "run benchmarks/known_mi/run")
        tasks = [
            Task(
                key,
                str(group.attrs["name"]),
                float(group.attrs["mutual_information"]),
                *(group[name][:seeds] for name in ("x", "y", "ksg")),
            )
            for key, group in file.items()
            if not wanted or any(word in f"{key} {group.attrs['name']}" for word in wanted)
        ]
    if not tasks:
        raise CchError(path, f"no task is called like {', '.join(wanted)}")
    return tasks


class Kept:
    """Estimates already made, in a file beside the table: what was stopped goes on there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        if path.exists():
            self.found = json.loads(path.read_text(encoding="utf-8"))

    def add(self, found: dict[str, dict[str, Any]]) -> None:
        """Keep more estimates by identity."""
        self.found |= found
        write_json(self.path, self.found)


def score(estimator: Estimator, tasks: Sequence[Task], samples: str, kept: Kept) -> Score:
    """Estimate on every task and seed, ``TOGETHER`` at a time, but for those that are kept."""
    asked = [(task, seed) for task in tasks for seed in range(len(task.x))]
    identity = {"estimator": estimator.name, "version": estimator.version, "samples": samples}
    identity["options"] = {
        name: value for name, value in asdict(estimator).items() if name not in RESOURCES
    }
    names = {(task.key, seed): digest([identity, task.key, seed]) for task, seed in asked}
    todo = [(task, seed) for task, seed in asked if names[task.key, seed] not in kept.found]
    for start in range(0, len(todo), TOGETHER):
        some = todo[start : start + TOGETHER]
        begun = time.perf_counter()
        found = estimator.estimate_many(
            [task.pairs[seed] for task, seed in some],
            keys=[("known-mi", task.key, seed) for task, seed in some],
        )
        each = (time.perf_counter() - begun) / len(some)
        kept.add(
            {
                names[task.key, seed]: {"value": one.value, "flags": one.flags, "seconds": each}
                for (task, seed), one in zip(some, found, strict=True)
            }
        )
        print(f"{estimator.name}: {start + len(some)} of {len(todo)}", file=sys.stderr, flush=True)
    ours = [kept.found[names[task.key, seed]] for task, seed in asked]
    values = np.array([np.nan if one["value"] is None else one["value"] for one in ours])
    details = {
        "version": estimator.version,
        "options": identity["options"],
        "seconds_per_estimate": float(np.mean([one["seconds"] for one in ours])),
        "threads": torch.get_num_threads(),
        "confidence": getattr(estimator, "confidence", None),
        "flags": {
            f"{task.key}/{seed}": one["flags"]
            for (task, seed), one in zip(asked, ours, strict=True)
            if one["flags"]
        },
    }
    return Score(estimator.name, values.reshape(len(tasks), -1), details)


def table(tasks: Sequence[Task], scores: Sequence[Score]) -> str:
    """Return the Markdown table of tasks and the summary below it."""
    rows, seeds = tasks[0].x.shape[1], len(tasks[0].x)
    lines = [
        f"Nats; n = {rows:,} rows; mean ± standard deviation over {seeds} samples of each task.",
        "",
        _row(["task", "dx", "dy", "true", *(one.name for one in scores)]),
        _row(["---", *["---:"] * (3 + len(scores))]),
    ]
    for place, task in enumerate(tasks):
        cells = [_cell(one.values[place]) for one in scores]
        sizes = [str(task.x.shape[2]), str(task.y.shape[2])]
        lines.append(_row([task.name, *sizes, f"{task.truth:.3f}", *cells]))
    truths = np.array([task.truth for task in tasks])
    names = ["n", "failed", "mean_absolute_error", "mean_bias", "spread", "rank_correlation"]
    lines += ["", _row(["estimator", *(name.replace("_", " ") for name in names)])]
    lines.append(_row(["---", *["---:"] * len(names)]))
    for one in scores:
        summary = one.summary(truths)
        shown = [f"{summary[name]:.3f}" if name[0] in "msr" else summary[name] for name in names]
        lines.append(_row([one.name, *map(str, shown)]))
    return "\n".join(lines) + "\n"


def beside_first(tasks: Sequence[Task], scores: Sequence[Score]) -> str:
    """Return the Markdown table of each estimator's differences from the first, by columns."""
    columns = np.array([max(task.x.shape[2], task.y.shape[2]) for task in tasks])
    edges = sorted({int(count) for count in columns})
    groups = [(str(count), columns == count) for count in edges] + [("all", columns > 0)]
    lines = [
        _row(["estimator", "columns", "tasks", f"minus {scores[0].name}", "apart"]),
        _row(["---", "---:", "---:", "---:", "---:"]),
    ]
    for one in scores[1:]:
        paired = one.values - scores[0].values
        pooled = np.nanmean([_deviation(row) ** 2 for row in paired])
        limit = 2 * float(np.sqrt(pooled / paired.shape[1]))
        means = np.array([_mean(row) for row in paired])
        for name, some in groups:
            done = means[some & np.isfinite(means)]
            # One task has no standard error, and none no mean.
            error = f" ± {_deviation(done) / len(done) ** 0.5:.3f}" if len(done) > 1 else ""
            mean = f"{_mean(done):.3f}".replace("-", "\N{MINUS SIGN}") if len(done) else "failed"
            apart = int((np.abs(done) > limit).sum())
            lines.append(_row([one.name, name, str(len(done)), mean + error, str(apart)]))
    return "\n".join(lines) + "\n"


def violations(tasks: Sequence[Task], scores: Sequence[Score]) -> list[str]:
    """Return a line for each lower bound: how many of its limits lie above the truth."""
    truths = np.array([task.truth for task in tasks])[:, None]
    lines = []
    for one in scores:
        confidence = one.details.get("confidence")
        if confidence is None:
            continue
        made = np.isfinite(one.values)
        above = int((one.values[made] > np.broadcast_to(truths, made.shape)[made]).sum())
        lines.append(
            f"{one.name}: {above} of {int(made.sum())} limits above the truth; at {confidence:g} "
            f"confidence {(1 - confidence) * made.sum():.1f} may be\n"
        )
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(values: np.ndarray) -> str:
    failed = int((~np.isfinite(values)).sum())
    if failed == len(values):
        return "failed"
    note = f" ({failed} failed)" if failed else ""
    spread = f" ± {_deviation(values):.3f}" if len(values) - failed > 1 else ""
    return f"{_mean(values):.3f}{spread}{note}".replace("-", "\N{MINUS SIGN}")


def as_json(path: Path, tasks: Sequence[Task], scores: Sequence[Score]) -> dict[str, Any]:
    """Return all that the table shows, unrounded."""
    truths = np.array([task.truth for task in tasks])
    with h5py.File(path, "r") as file:
        attributes = {name: _plain(value) for name, value in file.attrs.items()}
    return {
        "unit": "nats",
        "samples": attributes | {"sha256": sha256_file(path)},
        "estimators": {
            one.name: one.details | {"summary": _plain(one.summary(truths))} for one in scores
        },
        "tasks": [
            {
                "task": task.key,
                "name": task.name,
                "n": task.x.shape[1],
                "dx": task.x.shape[2],
                "dy": task.y.shape[2],
                "true": task.truth,
                "estimates": {one.name: _plain(one.values[place]) for one in scores},
            }
            for place, task in enumerate(tasks)
        ],
    }


def _plain(value: Any) -> Any:
    """Return what JSON holds: None for NaN."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(inner) for inner in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def with_options(name: str, settings: Sequence[str]) -> Estimator:
    """Return an estimator with the settings (``name.option=value``) that are meant for it."""
    options = {}
    for setting in settings:
        target, _, value = setting.partition("=")
        owner, _, option = target.partition(".")
        if not value or not option:
            raise CchError("--option", f"{setting!r} is not like latentmi.epochs=150")
        if owner == name:
            try:
                options[option] = json.loads(value)
            except ValueError:
                options[option] = value
    return get_estimator(name, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", type=Path, help="what write_samples.py wrote")
    parser.add_argument("--estimators", default="ksg,mine", help="registered names, by commas")
    parser.add_argument("--tasks", default="", help="only tasks whose names hold one of these")
    parser.add_argument("--seeds", type=int, help="only the first samples of each task")
    parser.add_argument("--option", action="append", default=[], metavar="NAME.OPTION=VALUE")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--out", type=Path, help="table and JSON; the samples' folder if left out")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = [name for name in options.estimators.split(",") if name]
    chosen = [with_options(name, options.option) for name in names]
    tasks = read(options.samples, [w for w in options.tasks.split(",") if w], options.seeds)
    scores = []
    out = options.out or options.samples.parent
    samples, kept = sha256_file(options.samples), Kept(out / "estimates.json")
    for estimator in chosen:
        scores.append(score(estimator, tasks, samples, kept))
        each = scores[-1].details["seconds_per_estimate"]
        print(f"{estimator.name}: {each:.2f} s an estimate", file=sys.stderr, flush=True)
    scores.append(Score(THEIRS, np.stack([task.theirs for task in tasks]), {"options": {}}))
    parts = [table(tasks, scores), beside_first(tasks, scores), *violations(tasks, scores)]
    text = "\n".join(parts)
    write_json(out / "scores.json", as_json(options.samples, tasks, scores))
    write_text(out / "scores.md", text)
    print(text)


if __name__ == "__main__":
    try:
        main()
    except CchError as error:
        sys.exit(f"score.py: {error}")
