"""Gains of a study with their errors, from the predictions that its runs files store."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from cch.criterion.gain import DRAWS, Design, Gain, gain, resampled
from cch.tables.documents import Interval
from cch.tables.source import Source
from cch.training.store import RunsFile

Pair = tuple[dict[str, Any], dict[str, Any]]
"""A run and the run of its seed that is subtracted."""


def gain_of(
    source: Source, metric: str, pairs: Sequence[Pair], paths: tuple[str, str]
) -> tuple[Gain, Design] | None:
    """Return the gain of pairs of runs, and the study's design; None below two pairs.

    Args:
        source: the files of the study.
        metric: of both runs.
        pairs: in order of seed.
        paths: the runs files of the first and of the second runs.
    """
    if len(pairs) < 2:
        return None
    design = _design(paths[0], source.digest(paths[0]), source.study.split is not None)
    differences = [run["metrics"][metric] - other["metrics"][metric] for run, other in pairs]
    drawn = None
    if design.kind != "draws":
        first, second = (
            _columns(source, metric, path, [pair[side] for pair in pairs])
            for side, path in enumerate(paths)
        )
        drawn = first - second
    found = gain(differences, design, drawn)
    return None if found is None else (found, design)


def interval_of(found: Gain, design: Design, p: float | None = None) -> Interval:
    """Return what a cell stores of a gain.

    Args:
        found: the gain.
        design: of its study.
        p: in place of its own p-value: one corrected for the levels of a sweep.
    """
    low, high = found.interval
    corrected = found.corrected_interval
    return Interval(
        low=low,
        high=high,
        se=found.error,
        p=found.p if p is None else p,
        design=design.kind,
        units=found.units,
        grouped=design.grouped,
        corrected=None if corrected is None else (corrected[0], corrected[1]),
    )


def described(found: Gain, design: Design) -> str:
    """How the interval came about, in words."""
    if design.kind == "draws":
        return "seeds are independent draws of all rows"
    cases = f"{found.units} {'groups of rows' if design.grouped else 'cases'}"
    if found.corrected_interval is None:
        return f"{cases} of the test set resampled, and {found.seeds} seeds"
    low, high = found.corrected_interval
    return (
        f"{cases} resampled over {found.seeds} splits; by Nadeau and Bengio's error "
        f"{low:.4f} to {high:.4f}"
    )


def _columns(source: Source, metric: str, path: str, runs: Sequence[dict[str, Any]]) -> np.ndarray:
    """A metric of some runs of a file under every draw of cases, (draws, S)."""
    random = source.study.split is not None
    known = _resampled(path, source.digest(path), source.name, random, metric)
    return known[1][:, [known[0][run["id"]] for run in runs]]


# Several tables of a job read the same runs. A file is known by its bytes, not by its path alone.


@lru_cache(maxsize=16)
def _design(path: str, digest: str, random: bool) -> Design:
    with RunsFile(path) as file:
        group = file.array("test_group") if file.holds("test_group") else None
        rows, train_rows = file.array("test_rows"), file.header["train_rows"]
    return Design.of(rows, train_rows, random=random, group=group)


@lru_cache(maxsize=8)
def _resampled(
    path: str, digest: str, study: str, random: bool, metric: str
) -> tuple[dict[str, int], np.ndarray]:
    """The column of every run, and (draws, R) values of a metric of all runs of a file."""
    design = _design(path, digest, random)
    with RunsFile(path) as file:
        logits, label, runs = file.array("logits"), file.array("test_label"), file.runs
    seed = np.array([run["seed"] for run in runs])
    values = resampled(metric, logits, label, seed, design, ("gain", study), DRAWS)
    return {run["id"]: number for number, run in enumerate(runs)}, values
