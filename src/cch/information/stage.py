"""The estimation stage: representations in, estimates of mutual information out.

The student's representation is that of the baseline: the criterion is meant to be known before
anything is distilled, and the paper's I(student; label) is one value for all levels.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.device import device_name, pick_device
from cch.base.errors import CchError
from cch.base.files import digest, write_json
from cch.base.progress import Progress
from cch.config import Compute
from cch.config.specs import EstimateSpec
from cch.information.estimator import Estimator, get_estimator
from cch.information.quantities import POINTS, ROLES
from cch.training.store import RunsFile

log = logging.getLogger("cch.information")

FORMAT = "cch-estimates-1"
BASELINE = "0"
SLICE_BYTES = 2**30


@dataclass(frozen=True)
class Pair:
    """What one estimate is made of: two variables on the same rows, and whose they are.

    Attributes:
        level: of the teacher's input, or None.
        seed: of the runs.
        runs: their ids.
        x: (n, dx).
        y: (n, dy), or (n,) labels.
        given: (n,) class labels that the information is conditional on, or None.
    """

    level: str | None
    seed: int
    runs: list[str]
    x: np.ndarray
    y: np.ndarray
    given: np.ndarray | None = None


def pairs(quantity: str, files: dict[str, RunsFile]) -> Iterator[Pair]:
    """Yield the pairs of a quantity, level by level and seed by seed.

    Information conditional on a label that is no class has none.

    Args:
        quantity: a key of ``ROLES``.
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
    conditional = quantity == "teacher-student-given-label"
    if conditional and labels.dtype.kind == "f":
        return
    students = None
    if "baseline" in ROLES[quantity]:
        students = files["baseline"].array(f"representation/{BASELINE}")
    levels = teacher.levels("representation")
    if quantity == "teacher-label" and all(run["level"] is None for run in teacher.runs):
        # What a teacher knows of the label is asked once, on its cleanest inputs.
        levels = levels[:1]
    for level in levels:
        for seed, x in enumerate(teacher.array(f"representation/{level}")):
            ids = _ids(teacher, seed, level)
            if students is None:
                yield Pair(level, seed, ids, x, labels[seed])
                continue
            ids += _ids(files["baseline"], seed, None)
            given = labels[seed] if conditional else None
            yield Pair(level, seed, ids, x, students[seed], given)


def _ids(file: RunsFile, seed: int, level: str | None) -> list[str]:
    """Id of the run of a seed; of that level's where every level has a run of its own."""
    return [
        run["id"]
        for run in file.runs
        if run["seed"] == seed and (run["level"] is None or run["level"] == level)
    ]


def estimate(
    spec: EstimateSpec, runs: Mapping[str, str], out: str | Path, compute: Compute
) -> dict[str, str]:
    """Estimate or bound every quantity of an estimator at every level and run, in nats.

    The generator of an estimate is keyed by estimator, quantity and seed, not by level: within a
    run the levels share the estimator's own randomness, so their differences are paired.

    Args:
        spec: the estimator with its options, and rows.
        runs: paths of the teacher's and the baseline's runs by role.
        out: the JSON file to write.
        compute: device and memory of estimators that train networks; others ignore them.

    Returns:
        What the record of the job says besides: the device.
    """
    device = pick_device(compute.device)
    files = {role: RunsFile(path) for role, path in runs.items()}
    estimator = with_resources(
        get_estimator(spec.estimator, spec.options), device, compute.memory_gb
    )
    estimates = [
        entry
        for quantity in getattr(estimator, "quantities", POINTS)
        for entry in _estimates(spec, estimator, quantity, files)
    ]
    for file in files.values():
        file.close()
    write_json(out, {"format": FORMAT, "study": spec.study, "unit": "nats", "estimates": estimates})
    return {"device": device_name(device)}


def _estimates(
    spec: EstimateSpec, estimator: Estimator, quantity: str, files: dict[str, RunsFile]
) -> Iterator[dict[str, Any]]:
    todo = list(pairs(quantity, files))
    estimator = estimator.of(quantity) if hasattr(estimator, "of") else estimator
    progress = Progress(f"{spec.study} {quantity} by {estimator.name}", len(todo), "estimates")
    for some in _slices(todo, spec.limit):
        arrays = [(pair.x[: spec.limit], pair.y[: spec.limit]) for pair in some]
        keys = [(quantity, pair.seed) for pair in some]
        given: dict[str, Any] = {}
        if any(pair.given is not None for pair in some):
            given["given"] = [pair.given[: spec.limit] for pair in some]
        found = estimator.estimate_many(arrays, keys=keys, **given)
        for pair, one in zip(some, found, strict=True):
            _warn(f"{spec.study} {quantity} level {pair.level} seed {pair.seed}", one.flags)
            yield _entry(pair, quantity, estimator.name, spec.rows, one.to_json())
        progress.advance(len(some))


def with_resources(estimator: Estimator, device: str, memory_gb: float) -> Estimator:
    """The estimator with what it may use, where it has such options."""
    given = {"device": device, "memory_gb": memory_gb}
    known = {option.name for option in fields(estimator)}  # type: ignore[arg-type]
    wanted = {name: value for name, value in given.items() if name in known}
    return replace(estimator, **wanted)  # type: ignore[type-var]


def _slices(todo: Sequence[Pair], limit: int) -> Iterator[list[Pair]]:
    """Cut into runs of pairs whose double-precision copies stay within ``SLICE_BYTES``."""
    some: list[Pair] = []
    held = 0
    for pair in todo:
        columns = pair.x.shape[1] + (pair.y.shape[1] if pair.y.ndim == 2 else 1)
        needed = 8 * min(len(pair.x), limit) * columns
        if some and held + needed > SLICE_BYTES:
            yield some
            some, held = [], 0
        some.append(pair)
        held += needed
    if some:
        yield some


def _warn(where: str, flags: Sequence[str]) -> None:
    for flag in flags:
        log.warning("%s: %s", where, flag)


def _entry(
    pair: Pair, quantity: str, estimator: str, rows: str, found: dict[str, Any]
) -> dict[str, Any]:
    identity = {
        "estimator": f"{estimator} {found['fit']['version']}",
        "options": found["fit"].get("options", {}),
        "quantity": quantity,
        "level": pair.level,
        "runs": pair.runs,
        "rows": rows,
        "n": found["n"],
        "seed": found["seed"],
    }
    return {
        "id": digest(identity)[:16],
        "estimator": estimator,
        "quantity": quantity,
        "level": pair.level,
        "rows": rows,
        "runs": pair.runs,
        **found,
        "generator_seed": found["seed"],
        "seed": pair.seed,
    }


def read_estimates(path: str | Path) -> list[dict[str, Any]]:
    """Return the entries of a file of estimates, each with its estimator and quantity.

    Raises:
        CchError: it is missing, no JSON, or of another format.
    """
    return read_entries(path, FORMAT, "estimates")


def read_entries(path: str | Path, wanted: str, key: str) -> list[dict[str, Any]]:
    """Return the entries under ``key`` of a JSON file whose format is ``wanted``.

    Raises:
        CchError: it is missing, no JSON, or of another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CchError(path, "there is no such file", "build it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CchError(path, f"is no JSON ({error})", "delete it and build it again") from None
    if not isinstance(content, dict) or content.get("format") != wanted:
        raise CchError(path, f"is not of format {wanted!r}", "build it again")
    return content[key]
