"""Estimates on samples whose true gap, I(teacher; student) - I(student; label), is known.

Each world (``cch.information.worlds``) is drawn ``repeats`` times, and every estimate is stored.
``cch.tables.decision_error`` counts from them how often the estimated sign of the gap is wrong.
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

POINT_QUANTITIES = ("teacher-student", "student-label")
"""The two terms of the gap."""

BOUND_QUANTITIES = ("teacher-student", "teacher-student-given-label", "label-given-teacher")
"""I(T; S), I(T; S | Y) and H(Y | T) of bounds (a) and (b) of ``cch.criterion.ground``."""

CHUNK_BYTES = 2**28
"""Memory for samples of one world; estimates do not depend on it."""

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Teacher and student, (repeats, n, d) each, and labels, (repeats, n)."""


def quantities(spec: DecisionSpec) -> tuple[str, ...]:
    """Return the quantities that are estimated on every sample."""
    return BOUND_QUANTITIES if spec.bounds else POINT_QUANTITIES


def estimator_of(spec: DecisionSpec, quantity: str) -> str:
    """Return the name of the estimator of a quantity; H(Y | T) is the classifier's."""
    return CLASSIFIER if quantity == "label-given-teacher" else spec.estimator


def write_decisions(spec: DecisionSpec, out: str | Path, compute: Compute) -> dict[str, str]:
    """Estimate in every world of ``spec`` and write the estimates, in nats.

    Args:
        spec: estimator, worlds and repeats.
        out: the JSON file to write.
        compute: device and memory of estimators that train networks; others ignore them.

    Returns:
        Additional facts for the record of the job: the device.
    """
    device = pick_device(compute.device)

    def estimator(name: str) -> Estimator:
        return with_resources(get_estimator(name), device, compute.memory_gb)

    all_worlds = worlds(spec)
    progress = Progress(f"decision error of {spec.estimator}", len(all_worlds), "worlds")
    results = []
    for world in all_worlds:
        results += estimate_world(world, spec, estimator)
        progress.advance()
    write_json(out, {"format": FORMAT, "unit": "nats", "results": results})
    return {"device": device_name(device)}


def estimate_world(
    world: World, spec: DecisionSpec, estimator: Callable[[str], Estimator] = get_estimator
) -> Iterator[dict[str, Any]]:
    """Yield a JSON-able entry for each quantity of a world, with the values of all repeats.

    Args:
        world: the distribution and sample size.
        spec: estimator and number of repeats.
        estimator: returns an estimator by name.
    """
    estimators = {name: estimator(estimator_of(spec, name)).of(name) for name in quantities(spec)}
    estimates: dict[str, list[Estimate]] = {quantity: [] for quantity in estimators}
    for start in range(0, spec.repeats, chunk(world)):
        repeats = range(start, min(start + chunk(world), spec.repeats))
        sample = draw(world, repeats)
        for quantity, one in estimators.items():
            estimates[quantity] += _estimates(world, quantity, one, sample, repeats)
    for quantity, found in estimates.items():
        yield _entry(world, quantity, estimators[quantity], found)


def draw(world: World, repeats: range) -> Sample:
    """Draw the samples of the given repeats; a sample depends on its world and number alone."""
    keys = [(*asdict(world).values(), repeat) for repeat in repeats]
    return gap_worlds(
        world.rows, world.columns, world.gap, world.student_label,
        keys=keys, rank=world.rank, classes=world.classes,
        teacher_knows_label=world.teacher_knows_label,
    )  # fmt: skip


def chunk(world: World) -> int:
    """Return how many samples of a world are held in memory at once, at least 1."""
    # Teacher and student, 8 bytes a number.
    return max(1, CHUNK_BYTES // (16 * world.rows * world.columns))


def _estimates(
    world: World, quantity: str, estimator: Estimator, sample: Sample, repeats: range
) -> list[Estimate]:
    """Return a quantity's estimates on the samples of some repeats, made in one call."""
    teacher, student, labels = sample
    variables = {
        "teacher-student": (teacher, student),
        "teacher-student-given-label": (teacher, student),
        "student-label": (student, labels),
        "label-given-teacher": (teacher, labels),
    }
    pairs = list(zip(*variables[quantity], strict=True))
    keys = [("decision-error", *asdict(world).values(), quantity, repeat) for repeat in repeats]
    if quantity.endswith("-given-label"):
        return estimator.estimate_many(pairs, keys=keys, given=list(labels))
    return estimator.estimate_many(pairs, keys=keys)


def _entry(
    world: World, quantity: str, estimator: Estimator, found: Sequence[Estimate]
) -> dict[str, Any]:
    """Return the stored entry of one quantity; its ``id`` does not depend on the values."""
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
