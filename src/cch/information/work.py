"""The work of estimates, of calibrations and of decision errors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from cch.config import Study
from cch.config.specs import CalibrateSpec, DecisionSpec, EstimateSpec
from cch.config.work import Size, Work
from cch.information.decision_error import estimator_of, quantities
from cch.information.estimator import get_estimator
from cch.information.quantities import POINTS, ROLES
from cch.information.worlds import worlds


def estimate_work(spec: EstimateSpec, study: Study, size: Size | None) -> Work:
    """Return the work of a study's estimates."""
    levels, runs = len(study.degradation.levels), study.information.runs
    # What a teacher of all levels knows of the label is asked once.
    once = {"student-label"} | (
        {"teacher-label"} if study.degradation.kind != "modality" else set()
    )
    counts = {
        quantity: runs * (1 if quantity in once else levels)
        for quantity in getattr(get_estimator(spec.estimator), "quantities", POINTS)
        if quantity != "teacher-student-given-label" or _labels(study)
    }
    return _sum([spec.options], counts, spec, study, size)


def calibrate_work(spec: CalibrateSpec, study: Study, size: Size | None) -> Work:
    """Return the work of a study's calibrations."""
    asked, varied = spec.calibration, []
    if grid := asked.settings.get(spec.estimator):
        every = itertools.product(*grid.values())
        varied = [spec.options | dict(zip(grid, values, strict=True)) for values in every]
    # Beside them there is always the case without any information.
    label = 1 + len(asked.shares if _labels(study) else asked.truths)
    once = {"teacher-student": (1 + len(asked.truths)) * asked.repeats}
    once["student-label"] = label * asked.repeats
    levels = len(study.degradation.levels)
    own = once | {"teacher-student": levels * once["teacher-student"]}
    few = spec.model_copy(update={"limit": min(spec.limit, asked.rows)})
    # Other settings are looked at on the first level's pair.
    parts = [_sum([spec.options], own, few, study, size), _sum(varied, once, few, study, size)]
    return Work.total(parts[: 1 + bool(varied)])


def decision_work(spec: DecisionSpec) -> Work:
    """Return the work of one estimator's estimates in worlds of known gap."""
    parts = []
    for world, quantity in itertools.product(worlds(spec), quantities(spec)):
        labels = "teacher-student" not in quantity
        sizes = (world.rows, world.columns, world.classes if labels else world.columns)
        estimator = get_estimator(estimator_of(spec, quantity))
        one = getattr(estimator, "work", lambda *_: None)(*sizes, labels)
        operations = None if one is None else spec.repeats * one
        parts.append(Work(operations, estimates=spec.repeats))
    return Work.total(parts)


def _sum(
    options: Iterable[Mapping[str, Any]],
    counts: Mapping[str, int],
    spec: EstimateSpec,
    study: Study,
    size: Size | None,
) -> Work:
    """The work of so many estimates of each quantity, at each of these options of the estimator."""
    operations, held, estimates, units = 0.0, 0, 0, study.network.hidden[-1]
    known = size is not None
    for given, (quantity, count) in itertools.product(options, counts.items()):
        estimates += count
        if size is not None:
            rows = min(size.rows_of(spec.rows, study.split), spec.limit)
            label = len(ROLES[quantity]) == 1
            sizes = (rows, units, size.outputs if label else units)
            work = getattr(get_estimator(spec.estimator, given), "work", lambda *_: None)
            one = work(*sizes, label and _labels(study))
            known = known and one is not None
            operations += count * (one or 0)
            held += 4 * count * rows * (sizes[1] + sizes[2])
    return Work(operations if known else None, held if known else None, estimates=estimates)


def _labels(study: Study) -> bool:
    """Whether the label is a class."""
    return study.metric != "mse"
