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

from cch.base.device import device_name, pick_device
from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.config import Compute
from cch.config.specs import (
    BaselineSpec,
    FusionSpec,
    SecondTeacherSpec,
    StoredRows,
    StudentSpec,
    TeacherSpec,
    TrainSpec,
    TwoTeachersSpec,
)
from cch.data.paired import PairedDataset, Part, split_of
from cch.training.fusion import FusionMember, train_fusion
from cch.training.inputs import Inputs
from cch.training.metrics import evaluate
from cch.training.plan import (
    Run,
    baseline_runs,
    fusion_runs,
    level_name,
    run_id,
    student_runs,
    teacher_modality,
    teacher_runs,
    two_teacher_runs,
)
from cch.training.stack import Member, Prediction, TrainedStack, train_stack
from cch.training.store import RunsFile, write_runs
from cch.training.two_teachers import index_of_better, mean_targets, validation_split

log = logging.getLogger("cch.training")

KEPT_ROWS = 10_000
"""Rows whose representations are stored: the most that `information.limit` may ask for, so that
asking for fewer or more trains nothing again."""


@dataclass
class StudyContext:
    """What training the runs of a role takes: the dataset, the rows of each seed, the device.

    Args:
        spec: what determines the runs.
        dataset: the dataset, opened.
        compute: device, memory and threads.
        facts: what the record of the job says besides; filled in here.
        features: selection files by modality, where the study selects.
    """

    spec: TrainSpec
    dataset: PairedDataset
    compute: Compute
    facts: dict[str, Any] = field(default_factory=dict)
    features: Mapping[str, str | Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dataset_digest = sha256_file(self.dataset.path)
        self.device = pick_device(self.compute.device)
        self.facts["device"] = device_name(self.device)
        split = split_of(self.spec.split, self.spec.dataset)
        seeds = range(self.spec.seeds)
        self.train_rows = np.stack([self.dataset.rows("train", seed, split) for seed in seeds])
        self.test_rows = np.stack([self.dataset.rows("test", seed, split) for seed in seeds])
        self.inputs = Inputs(self.spec, self.dataset, self.train_rows, self.features)

    def information_rows(self, wanted: StoredRows) -> np.ndarray:
        """Rows (S', n) whose representations are stored, of the first seeds."""
        split = split_of(self.spec.split, self.spec.dataset)
        parts = get_args(Part) if wanted.rows == "all" else (wanted.rows,)
        pool = [
            np.sort(np.concatenate([self.dataset.rows(part, seed, split) for part in parts]))
            for seed in range(wanted.runs)
        ]
        return np.stack(pool)[:, :KEPT_ROWS]

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
        rows: np.ndarray | None = None,
    ) -> TrainedStack:
        """Train ``runs``, all on one modality, in one stack; on fewer ``rows`` (S, n) if given."""
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
            network=self.spec.network,
            training=self.spec.training,
            task=self.dataset.task,
            inputs=torch.from_numpy(self.inputs.table(modality)),
            input_scale=self.inputs.scale(modality),
            members=members,
            soft_targets=soft_targets,
            channels=self.dataset.channels(modality),
            **self.shared(rows),
        )
        self.facts.setdefault("stacks", []).append(trained.chunks)
        return trained

    def shared(self, rows: np.ndarray | None = None) -> dict[str, Any]:
        """Return the arguments that ``train_stack`` and ``train_fusion`` have in common.

        Args:
            rows: (S, n) training rows of each seed, if not all of them.
        """
        rows = self.train_rows if rows is None else rows
        places = self.inputs.places(rows, range(self.spec.seeds))
        return {
            "labels": torch.from_numpy(self.inputs.labels()),
            "row_sets": [torch.from_numpy(rows) for rows in places],
            "outputs": self.outputs,
            "device": self.device,
            "memory_bytes": int(self.compute.memory_gb * 2**30),
            "label": f"{self.spec.study} {self.spec.role}",
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
            "study": self.spec.study,
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

    def tested(self) -> dict[str, np.ndarray]:
        """The arrays that let a reader match stored outputs with samples."""
        found = {"test_rows": self.test_rows, "test_label": self.dataset.label[self.test_rows]}
        group = self.dataset.group
        return found if group is None else found | {"test_group": group[self.test_rows]}

    def informed(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The same of stored representations."""
        return {"information_rows": rows, "information_label": self.dataset.label[rows]}

    def describe(self, run: Run, identity: str, logits: np.ndarray, diverged: int | None) -> dict:
        """The entry of one run in the file: identity, treatment, metrics at the last epoch."""
        if diverged is not None:
            log.warning(
                "%s: %s seed %d diverged in epoch %d; it is reported and left out of every mean",
                self.spec.study,
                self.spec.role,
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
            **({"targets": run.targets} if run.targets else {}),
            "metrics": evaluate(logits, label, self.dataset.task),
        }


def train(
    spec: TrainSpec,
    dataset: str | Path,
    out: str | Path,
    *,
    compute: Compute,
    teacher: str | Path | None = None,
    second_teacher: str | Path | None = None,
    features: Mapping[str, str | Path] | None = None,
) -> dict[str, Any]:
    """Train all runs of a role and write them.

    Args:
        spec: what determines the runs.
        dataset: the dataset file.
        out: the runs file to write.
        compute: device, memory and threads.
        teacher: runs of their teachers, which students need.
        second_teacher: runs of the second teachers, which students of two need too.
        features: selection files by modality, where the study selects.

    Returns:
        What the record of the job says besides: device, and how the runs were stacked.

    Raises:
        CchError: students without teachers, teachers of another dataset, a selection of another
            dataset, or what training itself raises.
    """
    with PairedDataset(dataset) as opened:
        context = StudyContext(spec, opened, compute, features=features or {})
        if isinstance(spec, TeacherSpec | SecondTeacherSpec):
            train_teachers(context, spec, out)
        elif isinstance(spec, BaselineSpec):
            train_baselines(context, spec, out)
        elif isinstance(spec, FusionSpec):
            train_fusions(context, spec, out)
        elif teacher is None:
            raise CchError(spec.study, "students need the runs of their teachers")
        elif isinstance(spec, StudentSpec):
            train_students(context, spec, teacher, out)
        elif second_teacher is None:
            raise CchError(
                spec.study, "the runs of its second teachers are missing", "pass `second_teacher`"
            )
        else:
            train_two_teachers(context, spec, (teacher, second_teacher), out)
    return context.facts


def train_teachers(
    context: StudyContext, spec: TeacherSpec | SecondTeacherSpec, out: str | Path
) -> None:
    """Train the teachers of a study; store soft targets and representations at every level."""
    seen = context.information_rows(spec.information)
    arrays = context.tested() | context.informed(seen)
    entries: list[dict[str, Any]] = []
    by_modality: dict[str, list[Run]] = {}
    for run in teacher_runs(spec):
        by_modality.setdefault(run.modality, []).append(run)
    logits, losses = [], []
    for modality, runs in by_modality.items():
        trained = context.train(modality, runs)
        clean = context.predict(trained, modality, 0.0, context.test_rows).logits.numpy()
        mine = [
            context.describe(run, run_id(run, spec, context.dataset_digest), *outcome)
            for run, *outcome in zip(runs, clean, trained.diverged, strict=True)
        ]
        for level in spec.degradation.levels:
            if teacher_modality(spec, level) == modality:
                # Where every level is a modality of its own, the level is in the data already.
                amount = 0.0 if spec.degradation.kind == "modality" else level
                soft = context.predict(trained, modality, amount, context.train_rows)
                found = context.predict(trained, modality, amount, seen, representation=True)
                arrays[f"soft_target/{level_name(level)}"] = soft.logits.numpy()
                arrays[f"representation/{level_name(level)}"] = found.representation.numpy()
                _add_degraded(context, trained, modality, level, amount, mine)
        entries += mine
        logits.append(clean)
        losses.append(trained.losses.numpy())
    arrays |= {"logits": np.concatenate(logits), "loss": np.concatenate(losses)}
    write_runs(out, context.header(spec.role, next(iter(by_modality))), entries, arrays)


def _add_degraded(
    context: StudyContext,
    trained: TrainedStack,
    modality: str,
    level: float,
    amount: float,
    entries: list[dict[str, Any]],
) -> None:
    """Add to the teachers' entries their test metrics at a level."""
    outputs = context.predict(trained, modality, amount, context.test_rows).logits.numpy()
    for seed, entry in enumerate(entries):
        label = context.dataset.label[context.test_rows[seed]]
        metrics = evaluate(outputs[seed], label, context.dataset.task)
        entry.setdefault("degraded", {})[level_name(level)] = metrics


def train_baselines(context: StudyContext, spec: BaselineSpec, out: str | Path) -> None:
    """Train the students without distillation; store their representations."""
    runs, seen = baseline_runs(spec), context.information_rows(spec.information)
    trained = context.train(spec.student, runs)
    logits = context.predict(trained, spec.student, 0.0, context.test_rows).logits.numpy()
    found = context.predict(trained, spec.student, 0.0, seen, representation=True)
    arrays = (
        context.tested()
        | context.informed(seen)
        | {
            f"representation/{level_name(0)}": found.representation.numpy(),
            "logits": logits,
            "loss": trained.losses.numpy(),
        }
    )
    entries = [
        context.describe(run, run_id(run, spec, context.dataset_digest), *outcome)
        for run, *outcome in zip(runs, logits, trained.diverged, strict=True)
    ]
    write_runs(out, context.header("baseline", spec.student), entries, arrays)


def train_students(
    context: StudyContext, spec: StudentSpec, teacher: str | Path, out: str | Path
) -> None:
    """Train the distilled students of all levels, temperatures and weights in one stack."""
    teachers, targets = _soft_targets(context, teacher, spec.degradation.levels)
    runs = student_runs(spec)
    trained, logits = _train_students(
        context, spec.student, runs, [run.level for run in runs], targets
    )
    entries = []
    for run, *outcome in zip(runs, logits, trained.diverged, strict=True):
        own = teachers.get((run.seed, level_name(run.level))) or teachers[run.seed, None]
        identity = run_id(run, spec, context.dataset_digest, own)
        entries.append(context.describe(run, identity, *outcome) | {"teacher": own})
    arrays = context.tested() | {"logits": logits, "loss": trained.losses.numpy()}
    write_runs(out, context.header("student", spec.student), entries, arrays)


def _soft_targets(
    context: StudyContext, teacher: str | Path, levels: Sequence[float]
) -> tuple[dict[tuple[int, str | None], str], dict[Any, np.ndarray]]:
    """Return the ids of teachers by seed and level, and their soft targets (S, n, K) by level.

    Raises:
        CchError: the teachers were trained on another dataset file.
    """
    with RunsFile(teacher) as file:
        if file.header["dataset"] != context.dataset_digest:
            raise CchError(file.path, "was trained on another dataset file", "train it again")
        identities = {(run["seed"], run["level"]): run["id"] for run in file.runs}
        return identities, {x: file.array(f"soft_target/{level_name(x)}") for x in levels}


def _train_students(
    context: StudyContext,
    modality: str,
    runs: Sequence[Run],
    keys: Sequence[Any],
    targets: Mapping[Any, np.ndarray],
) -> tuple[TrainedStack, np.ndarray]:
    """Return trained students, and their logits on test rows, (M, n_test, K).

    Args:
        context: of the study.
        modality: what the students read.
        runs: the students.
        keys: for each of them the key of its targets.
        targets: soft targets (S, n, K) by key.
    """
    place = {key: number for number, key in enumerate(targets)}
    positions = [
        place[key] * context.spec.seeds + run.seed for run, key in zip(runs, keys, strict=True)
    ]
    soft = torch.from_numpy(np.concatenate(list(targets.values())))
    trained = context.train(modality, runs, soft, positions)
    seeds = [run.seed for run in runs]
    rows = torch.from_numpy(context.inputs.places(context.test_rows[seeds], seeds))
    inputs = torch.from_numpy(context.inputs.table(modality))
    return trained, trained.predict(inputs, rows, representation=False).logits.numpy()


def train_two_teachers(
    context: StudyContext, spec: TwoTeachersSpec, files: Sequence[str | Path], out: str | Path
) -> None:
    """Train the students of two teachers in one stack (``cch.training.two_teachers``).

    Args:
        context: of the study.
        spec: what determines the runs.
        files: runs of the first and of the second teachers.
        out: the runs file to write.
    """
    levels, task = spec.degradation.levels, context.dataset.task
    identities, soft = zip(*(_soft_targets(context, file, levels) for file in files), strict=True)
    arrays, scores = _score_teachers(context, spec)
    chosen = {
        level: np.array([index_of_better(pair, spec.metric) for pair in scores[level]])
        for level in levels
    }
    targets: dict[Any, np.ndarray] = {}
    for level in levels:
        first, second = (one[level] for one in soft)
        targets["second", level] = second
        targets["better", level] = np.where(chosen[level][:, None, None] == 1, second, first)
        for temperature in spec.distillation.temperatures:
            mean = mean_targets(first, second, temperature, task)
            targets["mean", level, temperature] = mean
    runs = two_teacher_runs(spec)
    keys = [
        (run.targets, run.level, *([run.temperature] if run.targets == "mean" else []))
        for run in runs
    ]
    trained, logits = _train_students(context, spec.student, runs, keys, targets)
    names, entries = (spec.teacher, spec.second_teacher), []
    for run, *outcome in zip(runs, logits, trained.diverged, strict=True):
        teacher_ids = [ids[run.seed, None] for ids in identities]
        taken = 1 if run.targets == "second" else chosen[run.level][run.seed]
        own = teacher_ids if run.targets == "mean" else teacher_ids[taken]
        entry = context.describe(run, run_id(run, spec, context.dataset_digest, own), *outcome)
        entry["teacher"] = own
        if run.targets == "better":
            pair = scores[run.level][run.seed]
            entry |= {"chosen": names[taken], "validation": dict(zip(names, pair, strict=True))}
        entries.append(entry)
    context.facts["chosen"] = {
        level_name(level): dict(zip(names, np.bincount(one, minlength=2).tolist(), strict=True))
        for level, one in chosen.items()
    }
    arrays |= context.tested() | {"logits": logits, "loss": trained.losses.numpy()}
    write_runs(out, context.header(spec.role, spec.student), entries, arrays)


def _score_teachers(
    context: StudyContext, spec: TwoTeachersSpec
) -> tuple[dict[str, np.ndarray], dict[float, list[list[float | None]]]]:
    """Score teachers of both modalities on validation rows, which they are not trained on.

    Returns:
        Arrays of the runs file that let a reader repeat the choice, and for each level and seed
        the metric of both.
    """
    held, rest = validation_split(context.train_rows, context.dataset.label, spec.dataset)
    label, levels = context.dataset.label[held], spec.degradation.levels
    arrays = {"validation_rows": held, "validation_label": label}
    said: dict[float, list[np.ndarray]] = {level: [] for level in levels}
    for modality in (spec.teacher, spec.second_teacher):
        runs = [Run("teacher", modality, seed) for seed in range(spec.seeds)]
        trained = context.train(modality, runs, rows=rest)
        for run, epoch in zip(runs, trained.diverged, strict=True):
            if epoch is not None:
                log.warning(
                    "%s: the %s teacher that is scored on validation rows, seed %d, diverged in "
                    "epoch %d; the other one is chosen",
                    *(spec.study, modality, run.seed, epoch),
                )
        for level in levels:
            said[level].append(context.predict(trained, modality, level, held).logits.numpy())
    scores = {}
    for level, both in said.items():
        arrays[f"validation_logits/{level_name(level)}"] = np.stack(both)
        scores[level] = [
            [evaluate(one[seed], label[seed], context.dataset.task)[spec.metric] for one in both]
            for seed in range(spec.seeds)
        ]
    return arrays, scores


def train_fusions(context: StudyContext, spec: FusionSpec, out: str | Path) -> None:
    """Train the fusions of a study: those of two modalities in one stack, of three in another."""
    tables = {
        modality: torch.from_numpy(context.inputs.table(modality)).float()
        * context.inputs.scale(modality)
        for modality in (spec.teacher, spec.student, spec.second_teacher)
        if modality is not None
    }
    every = fusion_runs(spec)
    entries: list[dict[str, Any]] = []
    logits, losses = [], []
    for three in (False, True):
        runs = [run for run in every if (run.arm == "three") == three]
        if not runs:
            continue
        third = tables[spec.second_teacher] if three else None
        trained = train_fusion(
            fusion=spec.fusion,
            teacher_inputs=tables[spec.teacher],
            student_inputs=tables[spec.student],
            second_teacher_inputs=third,
            members=[FusionMember(run.key, run.seed, run.arm) for run in runs],
            **context.shared(),
        )
        context.facts.setdefault("stacks", []).append(trained.chunks)
        seeds = [run.seed for run in runs]
        rows = torch.from_numpy(context.inputs.places(context.test_rows[seeds], seeds))
        both = (tables[spec.teacher], tables[spec.student])
        said = trained.predict(*both, rows, second_teacher_inputs=third, representation=False)
        logits.append(said.logits.numpy())
        losses.append(trained.losses.numpy())
        entries += [
            context.describe(run, run_id(run, spec, context.dataset_digest), *outcome)
            for run, *outcome in zip(runs, logits[-1], trained.diverged, strict=True)
        ]
    arrays = context.tested() | {"logits": np.concatenate(logits), "loss": np.concatenate(losses)}
    write_runs(out, context.header("fusion", spec.student), entries, arrays)
