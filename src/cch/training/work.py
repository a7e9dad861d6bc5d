"""The work of training and of selecting features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

from cch.config.specs import (
    FusionSpec,
    SecondTeacherSpec,
    SelectSpec,
    StudentSpec,
    TeacherSpec,
    TrainSpec,
    TwoTeachersSpec,
)
from cch.config.work import Size, Work
from cch.training.plan import (
    Arm,
    Run,
    baseline_runs,
    fusion_runs,
    student_runs,
    teacher_runs,
    two_teacher_runs,
)
from cch.training.two_teachers import VALIDATION_FRACTION

TRAINING_STEP = 6
"""Operations of a weight for a row in training: two forwards, four backwards."""


def weights(units: Sequence[int]) -> int:
    """Return the weights of a fully connected network, from its inputs to its outputs."""
    return sum(before * after for before, after in pairwise(units))


def training_work(spec: TrainSpec, size: Size | None) -> Work:
    """Return what training the runs of a role takes.

    Operations are those of the layers' products over all rows, epochs and members; activations,
    the optimiser and predictions are left out. Bytes are of inputs and stored outputs.
    """
    if isinstance(spec, TwoTeachersSpec):
        return _two_teachers_work(spec, size)
    runs = runs_of(spec)
    if size is None:
        return Work(None, runs=len(runs))
    rows, outputs = size.split(spec.split), size.outputs
    if isinstance(spec, FusionSpec):
        names = [spec.teacher, spec.student, *filter(None, [spec.second_teacher])]
        read = [_features(spec, size, name) for name in names]
        units, training = spec.fusion.encoder, spec.fusion.training
        parts = [weights([width, units, outputs]) + units * outputs for width in read]
        # Only the arm `three` reads the third modality.
        one = sum(parts[:2]) + sum(parts[2:]) // len(get_args(Arm))
    else:
        teaches = isinstance(spec, TeacherSpec | SecondTeacherSpec)
        name = spec.modality if teaches else spec.student
        read, training = [_features(spec, size, name)], spec.training
        one = weights([*read, *spec.network.hidden, outputs])
    stored = len(runs) * rows["test"] * outputs
    if isinstance(spec, TeacherSpec | SecondTeacherSpec):
        stored += spec.seeds * len(spec.degradation.levels) * rows["train"] * outputs
    held = 4 * (sum(rows.values()) * sum(read) + stored)
    per_member = TRAINING_STEP * one * rows["train"] * training.epochs
    return Work(per_member * len(runs), held, runs=len(runs))


def _two_teachers_work(spec: TwoTeachersSpec, size: Size | None) -> Work:
    """Return the work of the students, and of the teachers that are scored on validation rows."""
    students, choosing = len(runs_of(spec)), 2 * spec.seeds
    if size is None:
        return Work(None, runs=students + choosing)
    rows, outputs = size.split(spec.split), size.outputs
    names = (spec.teacher, spec.second_teacher, spec.student)
    read = [_features(spec, size, name) for name in names]
    first, second, own = (weights([width, *spec.network.hidden, outputs]) for width in read)
    trained = students * own + (1 - VALIDATION_FRACTION) * spec.seeds * (first + second)
    validation = round(VALIDATION_FRACTION * rows["train"])
    scored = choosing * len(spec.degradation.levels) * validation
    stored = (students * rows["test"] + scored) * outputs
    held = 4 * (sum(rows.values()) * sum(read) + stored)
    operations = TRAINING_STEP * trained * rows["train"] * spec.training.epochs
    return Work(operations, held, runs=students + choosing)


def runs_of(spec: TrainSpec) -> list[Run]:
    """Return the runs of a specification."""
    if isinstance(spec, TeacherSpec | SecondTeacherSpec):
        return teacher_runs(spec)
    if isinstance(spec, TwoTeachersSpec):
        return two_teacher_runs(spec)
    if isinstance(spec, StudentSpec):
        return student_runs(spec)
    return fusion_runs(spec) if isinstance(spec, FusionSpec) else baseline_runs(spec)


def _features(spec: TrainSpec, size: Size, modality: str) -> int:
    """Inputs of the networks that read a modality."""
    wanted = spec.selection.features if spec.selection else None
    return min(size.features[modality], wanted or size.features[modality])


def selection_work(spec: SelectSpec, size: Size | None) -> Work:
    """Return what choosing the features of a modality takes, in every split.

    Each chosen feature is correlated with all others once, after the F-statistics of all.
    """
    if size is None:
        return Work(None)
    used = size.rows_of(spec.selection.rows, spec.split)
    features = size.features[spec.modality]
    chosen = min(spec.selection.features or features, features)
    # Where all are kept, none is correlated with others.
    passes = 1 + (chosen if chosen < features else 0)
    values = used * features
    return Work(2 * spec.seeds * passes * values, 4 * size.rows_of("all", None) * features)
