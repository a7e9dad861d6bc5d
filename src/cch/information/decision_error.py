"""How often an estimator puts the gap of the criterion on the wrong side of 0.

In generated worlds both I(teacher; student) and I(student; label) are known
(``cch.information.known.gap_worlds``). Each is drawn ``repeats`` times, and what an estimator says
of every sample is kept. A point estimator decides by the sign of its estimated gap. Bounds decide
as ``cch.criterion.ground`` does, which the tables apply to what is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.device import device_name, pick_device
from cch.base.files import digest, write_json
from cch.base.progress import Progress
from cch.config import Compute
from cch.config.registry import CLASSIFIER
from cch.config.specs import DecisionSpec
from cch.information.estimator import Estimate, Estimator, get_estimator
from cch.information.known import gap_worlds
from cch.information.stage import with_resources
from cch.information.worlds import World, worlds

FORMAT = "cch-decision-error-1"

POINTS = ("teacher-student", "student-label")
"""The terms of the gap, which point estimators estimate."""

BOUNDS = ("teacher-student", "teacher-student-given-label", "label-given-teacher")
"""What the criterion compares by bounds; the last one is the classifier's."""

CHUNK_BYTES = 2**28
"""Samples of one world that are held at once; no number depends on it."""

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Teacher and student, (repeats, n, d) each, and labels, (repeats, n)."""


def quantities(spec: DecisionSpec) -> tuple[str, ...]:
    """Return what is estimated in every sample."""
    return BOUNDS if spec.bounds else POINTS


def estimator_of(spec: DecisionSpec, quantity: str) -> str:
    """Return the name of the estimator of a quantity."""
    return CLASSIFIER if quantity == "label-given-teacher" else spec.estimator


def write_decisions(spec: DecisionSpec, out: str | Path, compute: Compute) -> dict[str, str]:
    """Estimate in every world of ``spec`` and write what was found, in nats.

    Args:
        spec: estimator, worlds and repeats.
        out: the JSON file to write.
        compute: device and memory of estimators that train networks; others ignore them.

    Returns:
        What the record of the job says besides: the device.
    """
    device = pick_device(compute.device)

    def estimator(name: str) -> Estimator:
        return with_resources(get_estimator(name), device, compute.memory_gb)

    every = worlds(spec)
    progress = Progress(f"decision error of {spec.estimator}", len(every), "worlds")
    results = []
    for world in every:
        results += estimated(world, spec, estimator)
        progress.advance()
    write_json(out, {"format": FORMAT, "unit": "nats", "results": results})
    return {"device": device_name(device)}


def estimated(
    world: World, spec: DecisionSpec, estimator: Callable[[str], Estimator] = get_estimator
) -> Iterator[dict[str, Any]]:
    """Yield an entry for each quantity of a world, with the values of all repeats.

    Args:
        world: where to estimate.
        spec: estimator and number of repeats.
        estimator: returns an estimator by name.
    """
    by = {name: estimator(estimator_of(spec, name)).of(name) for name in quantities(spec)}
    found: dict[str, list[Estimate]] = {quantity: [] for quantity in by}
    for start in range(0, spec.repeats, chunk(world)):
        some = range(start, min(start + chunk(world), spec.repeats))
        sample = draw(world, some)
        for quantity, one in by.items():
            found[quantity] += _estimates(world, quantity, one, sample, some)
    for quantity, estimates in found.items():
        yield _entry(world, quantity, by[quantity], estimates)


def draw(world: World, repeats: range) -> Sample:
    """Draw some repeats of a world."""
    keys = [(*asdict(world).values(), repeat) for repeat in repeats]
    return gap_worlds(
        world.rows, world.columns, world.gap, world.student_label,
        keys=keys, rank=world.rank, classes=world.classes,
    )  # fmt: skip


def chunk(world: World) -> int:
    """Return how many samples of a world are held at once."""
    return max(1, CHUNK_BYTES // (16 * world.rows * world.columns))


def _estimates(
    world: World, quantity: str, estimator: Estimator, sample: Sample, repeats: range
) -> list[Estimate]:
    """Estimate a quantity in some repeats of a world; all estimates are made in one call."""
    teacher, student, labels = sample
    sides = {
        "teacher-student": (teacher, student),
        "teacher-student-given-label": (teacher, student),
        "student-label": (student, labels),
        "label-given-teacher": (teacher, labels),
    }
    pairs = list(zip(*sides[quantity], strict=True))
    keys = [("decision-error", *asdict(world).values(), quantity, repeat) for repeat in repeats]
    if quantity.endswith("-given-label"):
        return estimator.estimate_many(pairs, keys=keys, given=list(labels))
    return estimator.estimate_many(pairs, keys=keys)


def _entry(
    world: World, quantity: str, estimator: Estimator, found: Sequence[Estimate]
) -> dict[str, Any]:
    """What was found of one quantity, with an identity that does not depend on the values."""
    about = {
        "estimator": estimator.name,
        "version": estimator.version,
        "quantity": quantity,
        "name": world.name,
        "level": None,
        **asdict(world),
        "kind": found[0].kind,
        "confidence": found[0].confidence,
    }
    content = {"values": [one.value for one in found]}
    if found[0].kind != "point":
        for part in ("mean", "degrees_of_freedom"):
            content[part] = [one.fit.get(part) for one in found]
    return {"id": digest(about)[:16], **about, **content}
