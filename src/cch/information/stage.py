"""The estimation stage: representations in, estimates of one quantity by one estimator out.

The student's representation is that of the baseline: the criterion is meant to be known before
anything is distilled, and the paper's I(student; label) is one value for all levels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cch.config import Information
from cch.files import digest, write_json
from cch.information import get_estimator
from cch.paths import ROLES
from cch.progress import Progress
from cch.training.store import RunsFile

log = logging.getLogger("cch.information")

FORMAT = "cch-estimates-1"
BASELINE = "0"


@dataclass(frozen=True)
class Pair:
    """What one estimate is made of: two variables on the same rows, and whose they are."""

    level: str | None
    seed: int
    runs: list[str]
    x: np.ndarray
    y: np.ndarray


def pairs(quantity: str, files: dict[str, RunsFile]) -> Iterator[Pair]:
    """Yield the pairs of a quantity, level by level and seed by seed.

    Args:
        quantity: teacher-student, student-label or teacher-label.
        files: runs files by role; only the roles that the quantity names are read.
    """
    if quantity == "student-label":
        students, ids = files["baseline"].array(f"representation/{BASELINE}"), None
        labels = files["baseline"].array("information_label")
        for seed, (x, y) in enumerate(zip(students, labels, strict=True)):
            ids = _ids(files["baseline"], seed, None)
            yield Pair(None, seed, ids, x, y)
        return
    teacher = files["teacher"]
    labels = teacher.array("information_label")
    students = (
        files["baseline"].array(f"representation/{BASELINE}")
        if quantity == "teacher-student"
        else None
    )
    levels = teacher.levels("representation")
    if students is None and all(run["level"] is None for run in teacher.runs):
        # What a teacher knows of the label is asked once, on its cleanest inputs.
        levels = levels[:1]
    for level in levels:
        for seed, x in enumerate(teacher.array(f"representation/{level}")):
            ids = _ids(teacher, seed, level)
            if students is None:
                yield Pair(level, seed, ids, x, labels[seed])
            else:
                yield Pair(
                    level, seed, ids + _ids(files["baseline"], seed, None), x, students[seed]
                )


def _ids(file: RunsFile, seed: int, level: str | None) -> list[str]:
    """Id of the run of a seed; of that level's where every level has a run of its own."""
    return [
        run["id"]
        for run in file.runs
        if run["seed"] == seed and (run["level"] is None or run["level"] == level)
    ]


def estimate(
    study: str,
    spec: Information,
    estimator_name: str,
    quantity: str,
    runs: dict[str, str],
    out: str | Path,
    device: str = "cpu",
) -> None:
    """Estimate one quantity at every level and run, in nats, and write the estimates.

    The generator of an estimate is keyed by estimator, quantity and seed, not by level: within a
    run the levels share the estimator's own randomness, so their differences are paired.

    Args:
        study: name of the study, for the log.
        spec: which rows, and options of estimators.
        estimator_name: a registered estimator.
        quantity: teacher-student, student-label or teacher-label.
        runs: paths of runs files by role.
        out: the JSON file to write.
        device: torch device of estimators that train networks; others ignore it.
    """
    estimator = get_estimator(estimator_name, spec.options.get(estimator_name))
    if hasattr(estimator, "device"):
        estimator = replace(estimator, device=device)
    files = {role: RunsFile(runs[role]) for role in ROLES[quantity]}
    todo = list(pairs(quantity, files))
    progress = Progress(f"{study} {quantity} by {estimator_name}", len(todo), "estimates")
    estimates = []
    for pair in todo:
        x, y = pair.x[: spec.limit], pair.y[: spec.limit]
        found = estimator.estimate(x, y, key=(quantity, pair.seed)).to_json()
        for flag in found["flags"]:
            log.warning("%s %s level %s seed %d: %s", study, quantity, pair.level, pair.seed, flag)
        estimates.append(_entry(pair, quantity, estimator_name, spec, found))
        progress.advance()
    for file in files.values():
        file.close()
    write_json(
        out,
        {
            "format": FORMAT,
            "study": study,
            "estimator": estimator_name,
            "quantity": quantity,
            "unit": "nats",
            "estimates": estimates,
        },
    )


def _entry(
    pair: Pair, quantity: str, estimator: str, spec: Information, found: dict[str, Any]
) -> dict[str, Any]:
    identity = {
        "estimator": f"{estimator} {found['fit']['version']}",
        "options": found["fit"].get("options", {}),
        "quantity": quantity,
        "level": pair.level,
        "runs": pair.runs,
        "rows": spec.rows,
        "n": found["n"],
        "seed": found["seed"],
    }
    return {
        "id": digest(identity)[:16],
        "level": pair.level,
        "rows": spec.rows,
        "runs": pair.runs,
        **found,
        "generator_seed": found["seed"],
        "seed": pair.seed,
    }
