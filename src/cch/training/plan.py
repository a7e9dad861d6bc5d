"""The runs of a study: who is trained, with which random numbers, and under which identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from cch.config import Study
from cch.files import digest

Role = Literal["teacher", "baseline", "student", "fusion"]
Arm = Literal["direct", "kd", "heads"]
"""What a fusion minimises; see ``cch.training.fusion``."""


def level_name(level: float) -> str:
    """How a degradation level is written in ids, keys and file contents: ``0``, ``0.5``, ``2``."""
    return f"{level:g}"


@dataclass(frozen=True)
class Run:
    """One model to be trained.

    Attributes:
        role: teacher, baseline (student without distillation), student or fusion.
        modality: what the model reads; of a fusion the teacher's and the student's.
        seed: which repetition; within a seed everything but the treatment is shared.
        level: degradation level of the teacher's input (students; teachers where every level has
            a teacher of its own), else None.
        temperature, weight: of the distillation loss; weight 0 for teachers and baselines.
        arm: what a fusion minimises (``cch.training.fusion``), else None.
    """

    role: Role
    modality: str
    seed: int
    level: float | None = None
    temperature: float = 1.0
    weight: float = 0.0
    arm: Arm | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Key of the run's generators: initial weights and batch order.

        Common random numbers: the baseline and all students of a seed share it, so their
        differences are paired; so do the arms of a fusion, and the same roles of another study
        with that seed.
        """
        part = self.role if self.role in ("teacher", "fusion") else "student"
        return (part, self.seed)


def teacher_modality(study: Study, level: float) -> str:
    """The teacher's modality at a level: one for all, or one for each level."""
    if study.degradation.kind == "modality":
        return f"{study.teacher}@{level_name(level)}"
    return study.teacher


def teacher_runs(study: Study) -> list[Run]:
    """One teacher a seed, or one a seed and level where every level is a modality of its own."""
    seeds = range(study.seeds)
    if study.degradation.kind != "modality":
        return [Run("teacher", study.teacher, seed) for seed in seeds]
    return [
        Run("teacher", teacher_modality(study, level), seed, level)
        for level in study.degradation.levels
        for seed in seeds
    ]


def baseline_runs(study: Study) -> list[Run]:
    """One student without distillation a seed; it depends on no level of the teacher."""
    return [Run("baseline", study.student, seed) for seed in range(study.seeds)]


def student_runs(study: Study) -> list[Run]:
    """One student for every level, temperature, weight and seed."""
    return [
        Run("student", study.student, seed, level, temperature, weight)
        for level in study.degradation.levels
        for temperature in study.distillation.temperatures
        for weight in study.distillation.weights
        for seed in range(study.seeds)
    ]


def fusion_runs(study: Study) -> list[Run]:
    """One fusion for every arm and seed; none where the study has no fusion."""
    if study.fusion is None:
        return []
    pair = f"{study.teacher}+{study.student}"
    temperature, weight = study.fusion.temperature, study.fusion.weight
    return [
        Run("fusion", pair, seed, None, temperature, weight if arm == "kd" else 0.0, arm)
        for arm in get_args(Arm)
        for seed in range(study.seeds)
    ]


def run_id(run: Run, study: Study, dataset_digest: str, teacher: str | None = None) -> str:
    """Identity of a run: a digest of everything that determines its numbers.

    Args:
        run: the run.
        study: the study that it belongs to.
        dataset_digest: SHA-256 of the dataset file.
        teacher: id of the teacher that it is distilled from (students).
    """
    identity: dict[str, Any] = {
        "dataset": dataset_digest,
        "role": run.role,
        "modality": run.modality,
        "split": study.split.model_dump(mode="json") if study.split else "dataset",
        "seed": run.seed,
        "level": run.level,
    }
    if study.inputs != "stored":
        identity["inputs"] = study.inputs
    parts = ["selection"] if study.selection else []
    parts += ["fusion"] if run.role == "fusion" else ["network", "training"]
    identity |= {part: getattr(study, part).model_dump(mode="json") for part in parts}
    if run.role == "fusion":
        identity["arm"] = run.arm
    if run.role == "student":
        identity |= {
            "teacher": teacher,
            "degradation": study.degradation.model_dump(mode="json", exclude={"levels", "symbol"}),
            "temperature": run.temperature,
            "weight": run.weight,
        }
    return digest(identity)[:16]
