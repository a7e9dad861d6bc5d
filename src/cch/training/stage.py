"""The training stage: a dataset file in, a runs file out; one call for each role of a study.

Teachers are trained on clean inputs and frozen; degradation is applied to their inputs when they
produce soft targets and the representations that information is estimated on (Algorithm 1).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from cch.config import Compute, Study
from cch.device import device_name, pick_device
from cch.errors import CchError
from cch.files import sha256_file
from cch.paired import PairedDataset, Part
from cch.training.fusion import FusionMember, train_fusion
from cch.training.inputs import Inputs
from cch.training.metrics import evaluate
from cch.training.plan import (
    Arm,
    Run,
    baseline_runs,
    fusion_runs,
    level_name,
    run_id,
    student_runs,
    teacher_modality,
    teacher_runs,
)
from cch.training.stack import Member, Prediction, TrainedStack, train_stack
from cch.training.store import RunsFile, write_runs

log = logging.getLogger("cch.training")

KEPT_ROWS = 10_000
"""Rows whose representations are stored: the most that `information.limit` may ask for, so that
asking for fewer or more trains nothing again."""


@dataclass
class Laboratory:
    """What all roles of a study share: its dataset, the rows of each seed, the device.

    Args:
        name: the study's name.
        study: its configuration.
        dataset: the dataset, opened.
        compute: device, memory and threads.
        facts: what the record of the job says besides; filled in here.
        features: selection files by modality, where the study selects.
    """

    name: str
    study: Study
    dataset: PairedDataset
    compute: Compute
    facts: dict[str, Any] = field(default_factory=dict)
    features: Mapping[str, str | Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dataset_digest = sha256_file(self.dataset.path)
        self.device = pick_device(self.compute.device)
        self.facts["device"] = device_name(self.device)
        split = self.study.split.build(self.study.dataset) if self.study.split else None
        seeds = range(self.study.seeds)
        self.train_rows = np.stack([self.dataset.rows("train", seed, split) for seed in seeds])
        self.test_rows = np.stack([self.dataset.rows("test", seed, split) for seed in seeds])
        wanted = self.study.information
        parts = get_args(Part) if wanted.rows == "all" else (wanted.rows,)
        pool = [
            np.sort(np.concatenate([self.dataset.rows(part, seed, split) for part in parts]))
            for seed in range(wanted.runs)
        ]
        self.information_rows = np.stack(pool)[:, :KEPT_ROWS]
        self.inputs = Inputs(self.study, self.dataset, self.train_rows, self.features)

    @property
    def outputs(self) -> int:
        """Number of network outputs: classes, or one for regression."""
        return len(self.dataset.class_names) if self.dataset.task == "classification" else 1

    def train(
        self,
        modality: str,
        runs: Sequence[Run],
        soft_targets: torch.Tensor | None = None,
        teachers: Sequence[int] | None = None,
    ) -> TrainedStack:
        """Train ``runs``, all on one modality, in one stack."""
        members = [
            Member(
                key=run.key,
                rows=run.seed,
                teacher=None if teachers is None else teachers[index],
                temperature=run.temperature,
                weight=run.weight,
            )
            for index, run in enumerate(runs)
        ]
        trained = train_stack(
            network=self.study.network,
            training=self.study.training,
            task=self.dataset.task,
            inputs=torch.from_numpy(self.inputs.table(modality)),
            input_scale=self.inputs.scale(modality),
            members=members,
            soft_targets=soft_targets,
            channels=self.dataset.channels(modality),
            **self.shared(runs[0].role),
        )
        self.facts.setdefault("stacks", []).append(trained.chunks)
        return trained

    def shared(self, role: str) -> dict[str, Any]:
        """What networks and fusions are trained with alike."""
        places = self.inputs.places(self.train_rows, range(self.study.seeds))
        return {
            "labels": torch.from_numpy(self.inputs.labels()),
            "row_sets": [torch.from_numpy(rows) for rows in places],
            "outputs": self.outputs,
            "device": self.device,
            "memory_bytes": int(self.compute.memory_gb * 2**30),
            "label": f"{self.name} {role}",
        }

    def predict(
        self,
        trained: TrainedStack,
        modality: str,
        level: float,
        rows: np.ndarray,
        representation: bool = False,
    ) -> Prediction:
        """What the first S' members of a stack, one a seed, say about degraded inputs.

        Args:
            trained: a stack with one member a seed.
            modality: what they read.
            level: how much it is degraded; 0 leaves it clean.
            rows: (S', n) row numbers for each seed.
            representation: whether the penultimate activations are wanted too.
        """
        outputs = [
            trained.predict(
                torch.from_numpy(values),
                torch.from_numpy(places),
                members=members,
                representation=representation,
            )
            for members, values, places in self.inputs.seen(modality, level, rows, range(len(rows)))
        ]
        return Prediction(
            torch.cat([output.logits for output in outputs]),
            torch.cat([output.representation for output in outputs]) if representation else None,
        )

    def header(self, role: str, modality: str) -> dict[str, Any]:
        """What a runs file says about itself."""
        return {
            "study": self.name,
            "role": role,
            "task": self.dataset.task,
            "class_names": self.dataset.class_names,
            "dataset": self.dataset_digest,
            "inputs": self.inputs.table(modality).shape[1],
            "channels": self.dataset.channels(modality),
            "outputs": self.outputs,
            "train_rows": int(self.train_rows.shape[1]),
            "test_rows": int(self.test_rows.shape[1]),
        }

    def rows_and_labels(self) -> dict[str, np.ndarray]:
        """The arrays that let a reader match stored outputs with samples."""
        return {
            "test_rows": self.test_rows,
            "test_label": self.dataset.label[self.test_rows],
            "information_rows": self.information_rows,
            "information_label": self.dataset.label[self.information_rows],
        }

    def describe(self, run: Run, identity: str, logits: np.ndarray, diverged: int | None) -> dict:
        """The entry of one run in the file: identity, treatment, metrics at the last epoch."""
        if diverged is not None:
            log.warning(
                "%s: %s seed %d diverged in epoch %d; it is reported and left out of every mean",
                self.name,
                run.role,
                run.seed,
                diverged,
            )
        label = self.dataset.label[self.test_rows[run.seed]]
        return {
            "id": identity,
            "role": run.role,
            "modality": run.modality,
            "seed": run.seed,
            "level": None if run.level is None else level_name(run.level),
            "temperature": run.temperature,
            "weight": run.weight,
            "diverged": diverged,
            **({"arm": run.arm} if run.arm else {}),
            "metrics": evaluate(logits, label, self.dataset.task),
        }


def train_role(
    lab: Laboratory,
    role: str,
    out: str | Path,
    teacher: str | Path | None = None,
    arms: Sequence[Arm] | None = None,
) -> None:
    """Train all runs of a role and write them.

    Args:
        lab: the study's.
        role: teacher, baseline, student or fusion.
        out: the runs file to write.
        teacher: runs of their teachers, which students need.
        arms: fusions of these alone; all where None.

    Raises:
        CchError: students without teachers, teachers of another dataset, fusions that the study
            does not ask for, or what training itself raises.
    """
    if role == "teacher":
        train_teachers(lab, out)
    elif role == "baseline":
        train_baselines(lab, out)
    elif role == "fusion":
        train_fusions(lab, out, arms)
    elif teacher is None:
        raise CchError(lab.name, "students need the runs of their teachers")
    else:
        train_students(lab, teacher, out)


def train_teachers(lab: Laboratory, out: str | Path) -> None:
    """Train the teachers of a study; store soft targets and representations at every level."""
    study, entries, arrays = lab.study, [], lab.rows_and_labels()
    by_modality: dict[str, list[Run]] = {}
    for run in teacher_runs(study):
        by_modality.setdefault(run.modality, []).append(run)
    logits, losses = [], []
    for modality, runs in by_modality.items():
        trained = lab.train(modality, runs)
        clean = lab.predict(trained, modality, 0.0, lab.test_rows).logits.numpy()
        mine = [
            lab.describe(run, run_id(run, study, lab.dataset_digest), *outcome)
            for run, *outcome in zip(runs, clean, trained.diverged, strict=True)
        ]
        for level in study.degradation.levels:
            if teacher_modality(study, level) == modality:
                _add_level(lab, trained, modality, level, arrays, mine)
        entries += mine
        logits.append(clean)
        losses.append(trained.losses.numpy())
    arrays |= {"logits": np.concatenate(logits), "loss": np.concatenate(losses)}
    write_runs(out, lab.header("teacher", next(iter(by_modality))), entries, arrays)


def _add_level(
    lab: Laboratory,
    trained: TrainedStack,
    modality: str,
    level: float,
    arrays: dict[str, np.ndarray],
    entries: list[dict[str, Any]],
) -> None:
    """Add what frozen teachers say at a level: soft targets, representations, test metrics."""
    name = level_name(level)
    # Where every level is a modality of its own, the level is in the data already.
    amount = 0.0 if lab.study.degradation.kind == "modality" else level
    soft = lab.predict(trained, modality, amount, lab.train_rows)
    arrays[f"soft_target/{name}"] = soft.logits.numpy()
    seen = lab.predict(trained, modality, amount, lab.information_rows, representation=True)
    arrays[f"representation/{name}"] = seen.representation.numpy()
    outputs = lab.predict(trained, modality, amount, lab.test_rows).logits.numpy()
    for seed, entry in enumerate(entries):
        label = lab.dataset.label[lab.test_rows[seed]]
        metrics = evaluate(outputs[seed], label, lab.dataset.task)
        entry.setdefault("degraded", {})[name] = metrics


def train_baselines(lab: Laboratory, out: str | Path) -> None:
    """Train the students without distillation; store their representations."""
    runs = baseline_runs(lab.study)
    trained = lab.train(lab.study.student, runs)
    logits = lab.predict(trained, lab.study.student, 0.0, lab.test_rows).logits.numpy()
    seen = lab.predict(trained, lab.study.student, 0.0, lab.information_rows, representation=True)
    arrays = lab.rows_and_labels() | {
        f"representation/{level_name(0)}": seen.representation.numpy(),
        "logits": logits,
        "loss": trained.losses.numpy(),
    }
    entries = [
        lab.describe(run, run_id(run, lab.study, lab.dataset_digest), *outcome)
        for run, *outcome in zip(runs, logits, trained.diverged, strict=True)
    ]
    write_runs(out, lab.header("baseline", lab.study.student), entries, arrays)


def train_students(lab: Laboratory, teacher: str | Path, out: str | Path) -> None:
    """Train the distilled students of all levels, temperatures and weights in one stack."""
    study = lab.study
    with RunsFile(teacher) as file:
        if file.header["dataset"] != lab.dataset_digest:
            raise CchError(file.path, "was trained on another dataset file", "train it again")
        teachers = {(run["seed"], run["level"]): run["id"] for run in file.runs}
        soft = np.concatenate(
            [file.array(f"soft_target/{level_name(level)}") for level in study.degradation.levels]
        )
    runs = student_runs(study)
    place = {level: number for number, level in enumerate(study.degradation.levels)}
    positions = [place[run.level] * study.seeds + run.seed for run in runs]
    trained = lab.train(study.student, runs, torch.from_numpy(soft), positions)
    seeds = [run.seed for run in runs]
    rows = torch.from_numpy(lab.inputs.places(lab.test_rows[seeds], seeds))
    inputs = torch.from_numpy(lab.inputs.table(study.student))
    logits = trained.predict(inputs, rows, representation=False).logits.numpy()
    entries = []
    for run, *outcome in zip(runs, logits, trained.diverged, strict=True):
        own = teachers.get((run.seed, level_name(run.level))) or teachers[run.seed, None]
        identity = run_id(run, study, lab.dataset_digest, own)
        entries.append(lab.describe(run, identity, *outcome) | {"teacher": own})
    arrays = lab.rows_and_labels() | {"logits": logits, "loss": trained.losses.numpy()}
    write_runs(out, lab.header("student", study.student), entries, arrays)


def train_fusions(lab: Laboratory, out: str | Path, arms: Sequence[Arm] | None = None) -> None:
    """Train the fusions of a study, all arms or some, in one stack (Fig. 3)."""
    study = lab.study
    runs = [run for run in fusion_runs(study) if arms is None or run.arm in arms]
    if study.fusion is None:
        raise CchError(f"studies.{lab.name}", "has no `fusion`", "say how to fuse")
    tables = [
        torch.from_numpy(lab.inputs.table(modality)).float() * lab.inputs.scale(modality)
        for modality in (study.teacher, study.student)
    ]
    trained = train_fusion(
        fusion=study.fusion,
        teacher_inputs=tables[0],
        student_inputs=tables[1],
        members=[FusionMember(run.key, run.seed, run.arm or "direct") for run in runs],
        **lab.shared("fusion"),
    )
    lab.facts.setdefault("stacks", []).append(trained.chunks)
    seeds = [run.seed for run in runs]
    rows = torch.from_numpy(lab.inputs.places(lab.test_rows[seeds], seeds))
    logits = trained.predict(*tables, rows, representation=False).logits.numpy()
    entries = [
        lab.describe(run, run_id(run, study, lab.dataset_digest), *outcome)
        for run, *outcome in zip(runs, logits, trained.diverged, strict=True)
    ]
    arrays = lab.rows_and_labels() | {"logits": logits, "loss": trained.losses.numpy()}
    write_runs(out, lab.header("fusion", study.student), entries, arrays)
