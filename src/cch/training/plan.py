"""The runs of a study: who is trained, with which random numbers, and under which identity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from cch.base.files import digest
from cch.config.specs import (
    BaselineSpec,
    FusionSpec,
    Role,
    SecondTeacherSpec,
    StudentSpec,
    TeacherSpec,
    TrainSpec,
    TwoTeachersSpec,
)

Arm = Literal["direct", "kd", "heads", "three"]
"""What a fusion minimises, and of what; see ``cch.training.fusion``."""

TargetSource = Literal["second", "mean", "better"]
"""Targets that a student in a study of two teachers learns: the second teacher's, the mean of both,
or the better one's; see ``cch.training.two_teachers``."""


def level_name(level: float) -> str:
    """How a degradation level is written in ids, keys and file contents: ``0``, ``0.5``, ``2``."""
    return f"{level:g}"


@dataclass(frozen=True)
class Run:
    """One model to be trained.

    Attributes:
        role: teacher, baseline (student without distillation), student or fusion. A second teacher
            is a teacher and a student of two teachers a student, so that ids and initial weights
            are those of a study with that teacher alone.
        modality: what the model reads; of a fusion the teacher's and the student's, of three also
            the second teacher's.
        seed: which repetition; within a seed everything but the treatment is shared.
        level: degradation level of the teacher's input (students; teachers where every level has
            a teacher of its own), else None.
        temperature, weight: of the distillation loss; weight 0 for teachers and baselines.
        arm: of a fusion, else None.
        targets: which ones a student in a study of two teachers learns, else None.
    """

    role: Role
    modality: str
    seed: int
    level: float | None = None
    temperature: float = 1.0
    weight: float = 0.0
    arm: Arm | None = None
    targets: TargetSource | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Key of the run's generators: initial weights and batch order.

        Common random numbers: the baseline and all students of a seed share it, so their
        differences are paired; so do the arms of a fusion, and the same roles of another study
        with that seed.
        """
        part = self.role if self.role in ("teacher", "fusion") else "student"
        return (part, self.seed)


def teacher_modality(spec: TeacherSpec | SecondTeacherSpec, level: float) -> str:
    """The teacher's modality at a level: one for all, or one for each level."""
    if spec.degradation.kind == "modality":
        return f"{spec.modality}@{level_name(level)}"
    return spec.modality


def teacher_runs(spec: TeacherSpec | SecondTeacherSpec) -> list[Run]:
    """One teacher a seed, or one a seed and level where every level is a modality of its own."""
    seeds = range(spec.seeds)
    if spec.degradation.kind != "modality":
        return [Run("teacher", spec.modality, seed) for seed in seeds]
    return [
        Run("teacher", teacher_modality(spec, level), seed, level)
        for level in spec.degradation.levels
        for seed in seeds
    ]


def baseline_runs(spec: BaselineSpec) -> list[Run]:
    """One student without distillation a seed; it depends on no level of the teacher."""
    return [Run("baseline", spec.student, seed) for seed in range(spec.seeds)]


def two_teacher_runs(spec: TwoTeachersSpec) -> list[Run]:
    """Return the same students once for each ``TargetSource``."""
    students, sources = student_runs(spec), get_args(TargetSource)
    return [replace(run, targets=source) for source in sources for run in students]


def student_runs(spec: StudentSpec | TwoTeachersSpec) -> list[Run]:
    """One student for every level, temperature, weight and seed."""
    return [
        Run("student", spec.student, seed, level, temperature, weight)
        for level in spec.degradation.levels
        for temperature in spec.distillation.temperatures
        for weight in spec.distillation.weights
        for seed in range(spec.seeds)
    ]


def fusion_runs(spec: FusionSpec) -> list[Run]:
    """One fusion for every arm and seed; none where the study has no fusion.

    The arm ``three`` is there where the study has a second teacher.
    """
    if spec.fusion is None:
        return []
    pair = f"{spec.teacher}+{spec.student}"
    three = f"{pair}+{spec.second_teacher}"
    arms = [arm for arm in get_args(Arm) if arm != "three" or spec.second_teacher is not None]
    temperature, weight = spec.fusion.temperature, spec.fusion.weight
    return [
        Run(
            "fusion",
            three if arm == "three" else pair,
            seed,
            temperature=temperature,
            weight=weight if arm == "kd" else 0.0,
            arm=arm,
        )
        for arm in arms
        for seed in range(spec.seeds)
    ]


def run_id(
    run: Run, spec: TrainSpec, dataset_digest: str, teacher: str | list[str] | None = None
) -> str:
    """Identity of a run: a digest of everything that determines its numbers.

    A student of the second teacher has the id that it has in a study with that teacher alone.

    Args:
        run: the run.
        spec: the specification that it belongs to.
        dataset_digest: SHA-256 of the dataset file.
        teacher: id of the teacher that it is distilled from (students), or ids of both.
    """
    identity: dict[str, Any] = {
        "dataset": dataset_digest,
        "role": run.role,
        "modality": run.modality,
        "split": spec.split.model_dump(mode="json") if spec.split else "dataset",
        "seed": run.seed,
        "level": run.level,
    }
    if spec.inputs != "stored":
        identity["inputs"] = spec.inputs
    parts = ["selection"] if spec.selection else []
    parts += ["fusion"] if run.role == "fusion" else ["network", "training"]
    identity |= {part: getattr(spec, part).model_dump(mode="json") for part in parts}
    if run.role == "fusion":
        identity["arm"] = run.arm
    if run.role == "student":
        identity |= {
            "teacher": teacher,
            "degradation": spec.degradation.model_dump(mode="json", include={"kind", "scale"}),
            "temperature": run.temperature,
            "weight": run.weight,
        }
    if run.targets in ("mean", "better"):
        identity["targets"] = run.targets
    return digest(identity)[:16]
