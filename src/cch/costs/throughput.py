"""What a job takes: seconds on one thread of a CPU and on a GPU, and memory.

The CPU's numbers were fitted to the benchmark files of finished runs on a virtual machine with two
cores of an AMD EPYC, one thread a job: the demo (``make demo``) and the ``open`` preset
(``snakemake --cores 2 synthetic mnistm brca kipan lihc --configfile presets/open.yaml``), 87
training jobs and 190 of estimation and calibration, by non-negative least squares of relative
errors. Where other work shared the cores, seconds of processor time were taken in place of the
clock. ``python benchmarks/plan.py`` sets the estimates beside such files, kind by kind. A run that
the fit had not seen, CMU-MOSI of the same preset (39 jobs), took 13 minutes of job time by the
clock and is estimated at 1.19 times that, by kind at 0.92 to 1.28.

The GPU's are assumptions: no GPU was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cch.config import Network, Study, Theory, Training
from cch.costs.sizes import Size
from cch.information import get_estimator
from cch.information.autoencoders import Shape
from cch.networks import Stacked, StackedMLP
from cch.paths import ROLES
from cch.training.fusion import StackedFusion
from cch.training.plan import Run, baseline_runs, fusion_runs, student_runs, teacher_runs
from cch.training.stack import CPU_LEAST_MEMBERS, CPU_STEP_BYTES
from cch.training.stage import KEPT_ROWS

MB, GB = 2**20, 2**30


@dataclass(frozen=True)
class Cost:
    """What a job takes.

    Attributes:
        cpu: seconds on one thread.
        cpu_bytes: its peak there, the interpreter and its libraries included.
        gpu: seconds on a GPU; None where the job computes on none.
        gpu_bytes: memory of the GPU.
        runs: trained models.
        estimates: of mutual information for the tables.
        calibrating: estimates on samples of known information.
    """

    cpu: float
    cpu_bytes: float
    gpu: float | None = None
    gpu_bytes: float = 0
    runs: int = 0
    estimates: int = 0
    calibrating: int = 0


# Training. The fit is within a third of every job of the demo and the open preset that took more
# than a minute (the three stacks of `synthetic` 0.82 to 1.0, of `mnistm-a20` 0.83 to 1.04, the
# fusions of a hundred splits 0.88 to 1.25 of the measured seconds).
TRAIN_START = 6.4
"""Seconds of a job before its first step: process, imports, data; and of writing."""
TRAIN_STEP = 0.31e-3
"""Of a step of a stack, whatever its size."""
TRAIN_MEMBER_STEP = 3.7e-6
"""Of a member in a step."""
TRAIN_PARAMETER_ROW = 29e-12
"""Of a parameter for every row: forward, backward."""
TRAIN_ACTIVATION_ROW = 8.6e-9
"""Of a hidden unit for every row, once more each for its normalisation and its dropout."""
TRAIN_PARAMETER_STEP = 2.7e-9
"""Of a parameter in a step: the optimiser."""

# Estimation, early stopping included: seconds at the most epochs that the configuration allows.
KSG_START, LATENT_START, MINE_START = 4.6, 6.3, 6.6
KSG_ESTIMATE, KSG_PAIR = 0.02, 0.53e-9
"""Of an estimate; of a pair of rows for every column. One estimate of 4,662 rows and 256 columns
took 3.7 s (`benchmarks/table02.py`), this gives 3.0."""
LATENT_EPOCH = 4.7e-3
"""Of an epoch of a stack of small autoencoders."""
LATENT_PARAMETER_ROW = 64e-12
"""Of a parameter for every row and epoch in small autoencoders (`latent-light`)."""
LIBRARY_PARAMETER_ROW = 57e-12
"""The same in the library's large ones, one after another. Its estimate of 4,662 rows and 128 + 128
columns was put at 416 s by `benchmarks/table02.py --epochs 20`, this gives 370."""
MINE_EPOCH, MINE_ROW = 3.4e-3, 1.75e-6
"""Of an epoch of a stack; of a row of a member in it."""

# mRMR: `select` of the cohorts at 5, 20 and 100 splits, and of the demo.
SELECT_START = 2.0
SELECT_FEATURE = 4.5e-3
"""Of a feature that is chosen in a split."""
SELECT_VALUE = 0.8e-9
"""Of a value for every feature that is chosen."""

# Preparation: seconds and bytes for every number in the file, by kind.
PREPARE_START = 1.3
PREPARE = {
    "synthetic": (25e-9, 4.0),
    "mnistm": (20e-9, 2.5),
    "mosei": (250e-9, 12.0),
    "mosi": (50e-9, 12.0),
    "tcga": (150e-9, 16.0),
    "matrices": (150e-9, 16.0),
}

FIXED = {
    "fetch_raw": 0.0,
    "tabulate": 1.9,
    "plot_curves": 2.9,
    "plot_architecture": 2.9,
    "plot_calibration": 2.9,
    "plot_samples": 3.1,
    "theory_tabulate": 6.0,
    "plot_theory": 7.8,
    "ledger": 2.0,
    "compare": 1.6,
    "build_report": 1.5,
}
"""Seconds of jobs whose size hardly matters, in the demo; downloads are the network's."""

THEORY_START, THEORY_REPLICATION = 4.0, 16e-3
"""Of `theory_simulate`, and of a replication at 100 features."""

PYTHON_BYTES, TABLE_BYTES, TORCH_BYTES = 90 * MB, 200 * MB, 460 * MB
"""What the interpreter holds with the libraries of a preparation, a table or figure, a stack."""

# Assumed of a GPU, not measured: a step of small kernels waits for their launches, and small
# products reach a few per cent of the peak.
GPU_START = 12.0
GPU_STEP = 2e-3
GPU_LATENT_STEP = 6e-3
GPU_FLOPS = 3e12
GPU_DOUBLE_FLOPS = 3e11
GPU_CONTEXT_BYTES = 600 * MB


class Stack(NamedTuple):
    """Members of one architecture that are trained together."""

    members: int
    groups: int
    network: Stacked
    activations: int

    @property
    def parameters(self) -> int:
        """Of one member, with the units that the engine fills the layers up with."""
        return sum(part.numel() for part in self.network.parameters())


def training(study: Study, role: str, size: Size, memory_gb: float) -> Cost:
    """Return what training a role of a study takes.

    Args:
        study: its configuration.
        role: teacher, baseline, student or fusion.
        size: of its dataset.
        memory_gb: budget of a stack.
    """
    spec = study.training if study.fusion is None or role != "fusion" else study.fusion.training
    stacks = _stacks(study, role, size)
    rows = parts_of(study, size)["train"]
    table = _table_bytes(study, size, role)
    examples = table + _soft_target_bytes(study, size, role) + 8 * rows * study.seeds
    copies = 2 + (2 if spec.optimizer != "sgd" else int(spec.momentum > 0))
    budget = memory_gb * GB - examples
    cpu, gpu, step, device = TRAIN_START, GPU_START, 0.0, 0.0
    for stack in stacks:
        each = stack.network.step_bytes(min(spec.batch_size, rows), copies)
        fitting = max(1, int(budget // (each + 24 * rows)))
        near = min(fitting, max(CPU_LEAST_MEMBERS, CPU_STEP_BYTES // each))
        cpu += _training_seconds(stack, spec, rows, _chunks(stack, near))
        gpu += _gpu_training_seconds(stack, spec, rows, _chunks(stack, fitting))
        step = max(step, min(near, stack.members) * (each + 24 * rows))
        device = max(device, min(fitting, stack.members) * (each + 24 * rows))
    kept = _stored_bytes(study, size, role)
    return Cost(
        cpu,
        TORCH_BYTES + 2 * table + examples + step + kept,
        gpu,
        GPU_CONTEXT_BYTES + examples + device,
        runs=sum(stack.members for stack in stacks),
    )


def _stacks(study: Study, role: str, size: Size) -> list[Stack]:
    if role == "fusion":
        return [_fusion_stack(study, size)]
    modality = study.teacher if role == "teacher" else study.student
    inputs = _inputs(study, size, modality)
    network = study.network
    activations = sum(network.hidden) * (1 + network.batch_norm + (network.dropout > 0))
    lone = StackedMLP(network, inputs, size.outputs, 1, device="meta")
    wanted: dict[str, list[Run]] = {}
    runs = {"teacher": teacher_runs, "baseline": baseline_runs, "student": student_runs}[role]
    for run in runs(study):
        wanted.setdefault(run.modality, []).append(run)
    return [Stack(len(m), study.seeds, lone, activations) for m in wanted.values()]


def _fusion_stack(study: Study, size: Size) -> Stack:
    assert study.fusion is not None
    units, outputs = study.fusion.encoder, size.outputs
    features = tuple(_inputs(study, size, m) for m in (study.teacher, study.student))
    network = Network(
        hidden=[units], batch_norm=study.fusion.batch_norm, dropout=study.fusion.dropout
    )
    lone = StackedFusion(network, features, outputs, 1, device="meta")
    activations = 2 * units * (1 + network.batch_norm + (network.dropout > 0))
    return Stack(len(fusion_runs(study)), study.seeds, lone, activations)


def _chunks(stack: Stack, fitting: int) -> int:
    """How many chunks of at most ``fitting`` members the engine makes; groups stay together."""
    together = math.ceil(stack.members / stack.groups)
    if together > fitting:
        return stack.groups * math.ceil(together / fitting)
    return math.ceil(stack.groups / (fitting // together))


def _training_seconds(stack: Stack, spec: Training, rows: int, chunks: int) -> float:
    steps = spec.epochs * math.ceil(rows / spec.batch_size)
    each = TRAIN_MEMBER_STEP + stack.parameters * TRAIN_PARAMETER_STEP
    row = stack.parameters * TRAIN_PARAMETER_ROW + stack.activations * TRAIN_ACTIVATION_ROW
    return chunks * steps * TRAIN_STEP + stack.members * (steps * each + spec.epochs * rows * row)


def _gpu_training_seconds(stack: Stack, spec: Training, rows: int, chunks: int) -> float:
    steps = spec.epochs * math.ceil(rows / spec.batch_size)
    flops = 6 * stack.parameters * stack.members * spec.epochs * rows
    return chunks * steps * GPU_STEP + flops / GPU_FLOPS


def parts_of(study: Study, size: Size) -> dict[str, int]:
    """Rows of each part as a study splits the dataset."""
    if study.split is None:
        return {part: size.parts.get(part, 0) for part in ("train", "valid", "test")}
    test, valid = (round(size.rows * share) for share in (study.split.test, study.split.valid))
    return {"train": size.rows - test - valid, "valid": valid, "test": test}


def _inputs(study: Study, size: Size, modality: str) -> int:
    features = size.features[modality]
    if study.selection and study.selection.features:
        return min(features, study.selection.features)
    return features


def _table_bytes(study: Study, size: Size, role: str) -> float:
    """The inputs of a stack: every sample, for each seed where seeds select."""
    named = {"teacher": (study.teacher,), "fusion": (study.teacher, study.student)}
    width = sum(_inputs(study, size, m) for m in named.get(role, (study.student,)))
    if study.selection:
        return 4 * width * size.rows * (study.seeds if study.split else 1)
    # Pixels are bytes.
    return width * size.stored * (1 if study.degradation.kind == "blur" else 4)


def _soft_target_bytes(study: Study, size: Size, role: str) -> float:
    if role != "student":
        return 0
    teachers = study.seeds * len(study.degradation.levels)
    return 4 * teachers * parts_of(study, size)["train"] * size.outputs


def _stored_bytes(study: Study, size: Size, role: str) -> float:
    """What a job holds until it writes: logits, soft targets and representations."""
    parts, levels = parts_of(study, size), len(study.degradation.levels)
    rows = information_rows(study, size, kept=True)
    seen = 4 * study.information.runs * rows * study.network.hidden[-1]
    if role == "teacher":
        soft = 4 * study.seeds * parts["train"] * size.outputs
        return levels * (soft + seen)
    return seen if role == "baseline" else 0


class Batch(NamedTuple):
    """Estimates of equal size: how many, rows, columns of both sides, whether y is a label."""

    count: int
    rows: int
    columns: tuple[int, int]


def information_rows(study: Study, size: Size, kept: bool = False) -> int:
    """Rows of an estimate, or those that are kept for one."""
    parts = parts_of(study, size)
    rows = sum(parts.values()) if study.information.rows == "all" else parts[study.information.rows]
    return min(rows, KEPT_ROWS if kept else study.information.limit)


def estimating(study: Study, size: Size, quantity: str) -> Batch:
    """The estimates of a quantity."""
    # The label is asked about once, but for teachers that every level has of its own.
    once = quantity == "student-label" or (
        quantity == "teacher-label" and study.degradation.kind != "modality"
    )
    levels = 1 if once else len(study.degradation.levels)
    count = levels * study.information.runs
    return Batch(count, information_rows(study, size), _columns(study, size, quantity))


def calibrating(study: Study, size: Size, estimator: str) -> list[Batch]:
    """The estimates of a calibration, quantity by quantity."""
    asked = study.information.calibration
    if asked is None:
        return []
    grid = asked.settings.get(estimator, {})
    settings = 1 + (math.prod(len(values) for values in grid.values()) if grid else 0)
    batches = []
    for quantity in ("teacher-student", "student-label"):
        classes = quantity == "student-label" and size.outputs > 1
        cases = 1 + len(asked.shares if classes else asked.truths)
        columns = _columns(study, size, quantity)
        count = cases * asked.repeats * settings
        batches.append(Batch(count, information_rows(study, size), columns))
    return batches


def _columns(study: Study, size: Size, quantity: str) -> tuple[int, int]:
    units = study.network.hidden[-1]
    return units, units if len(ROLES[quantity]) == 2 else size.outputs


def estimation(
    study: Study, estimator: str, batches: Sequence[Batch], memory_gb: float, calibrates: bool
) -> Cost:
    """Return what a job of estimates takes.

    Args:
        study: its configuration.
        estimator: the estimator's name.
        batches: what it estimates.
        memory_gb: budget of a stack.
        calibrates: whether the estimates are of known truths.
    """
    options = get_estimator(estimator, study.information.options.get(estimator))
    if estimator == "ksg":
        cpu, gpu, step, device = _ksg(batches)
    elif estimator == "mine":
        cpu, gpu, step, device = _mine(options, batches, memory_gb)
    else:
        cpu, gpu, step, device = _latent(estimator, options, batches, memory_gb)
    count = sum(batch.count for batch in batches)
    # Samples in single precision, and a slice of at most 1 GiB of them in double precision.
    held = max(batch.count * batch.rows * sum(batch.columns) for batch in batches)
    return Cost(
        cpu,
        TORCH_BYTES + 4 * held + min(8 * held, GB) + step,
        gpu,
        GPU_CONTEXT_BYTES + device,
        estimates=0 if calibrates else count,
        calibrating=count if calibrates else 0,
    )


def _ksg(batches: Sequence[Batch]) -> tuple[float, float, float, float]:
    pairs = sum(batch.count * batch.rows**2 * sum(batch.columns) for batch in batches)
    count = sum(batch.count for batch in batches)
    cpu = KSG_START + count * KSG_ESTIMATE + pairs * KSG_PAIR
    return cpu, GPU_START + 3 * pairs / GPU_DOUBLE_FLOPS, 64 * MB, GB


def _mine(
    options: Any, batches: Sequence[Batch], memory_gb: float
) -> tuple[float, float, float, float]:
    cpu, gpu, step, device = MINE_START, GPU_START, 0.0, 0.0
    for batch in batches:
        work = batch.count * options.epochs * batch.rows
        cpu += options.epochs * MINE_EPOCH + work * MINE_ROW
        parameters = (sum(batch.columns) + options.layers * options.units) * options.units
        rows = min(options.batch_size, batch.rows) * (1 + options.shifts)
        each = 4 * (4 * parameters + 4 * rows * options.layers * options.units)
        stacks = math.ceil(batch.count / max(1, memory_gb * GB // each))
        steps = options.epochs * math.ceil(batch.rows / options.batch_size)
        gpu += stacks * steps * GPU_STEP + 6 * parameters * (1 + options.shifts) * work / GPU_FLOPS
        step = max(step, min(64 * MB, batch.count * each))
        device = max(device, min(memory_gb * GB, batch.count * each))
    return cpu, gpu, step, device


def _latent(
    estimator: str, options: Any, batches: Sequence[Batch], memory_gb: float
) -> tuple[float, float, float, float]:
    cpu, gpu, step, device = LATENT_START, GPU_START, 0.0, 0.0
    for batch in batches:
        # The library's estimator offers no networks of other sizes.
        width, depth = getattr(options, "width", 1024), getattr(options, "depth", 3)
        shape = Shape(*batch.columns, options.N_dims, width, depth)
        parameters, work = shape.parameters(), batch.count * options.epochs * batch.rows
        alone = shape.alone_on_cpu()
        cpu += work * parameters * (LIBRARY_PARAMETER_ROW if alone else LATENT_PARAMETER_ROW)
        cpu += 0 if alone else options.epochs * LATENT_EPOCH
        rows = min(options.batch_size, batch.rows)
        each = 4 * (4 * parameters + 3 * rows * shape.activations())
        stacks = math.ceil(batch.count / max(1, memory_gb * GB // each))
        if estimator == "latentmi-library":
            stacks = batch.count
        steps = options.epochs * math.ceil(batch.rows / options.batch_size)
        gpu += stacks * steps * GPU_LATENT_STEP + 4 * work * parameters / GPU_FLOPS
        step = max(step, each if alone else min(128 * MB, batch.count * each))
        device = max(device, min(memory_gb * GB, batch.count * each))
    return cpu, gpu, step, device


def selecting(study: Study, size: Size, modality: str) -> Cost:
    """Return what choosing the features of a modality takes, in every split."""
    assert study.selection is not None
    splits = study.seeds if study.split else 1
    features = size.features[modality]
    chosen = min(features, study.selection.features or 0)
    values = parts_of(study, size)["train"] * features
    if study.selection.rows == "all":
        values = size.rows * features
    seconds = SELECT_START + splits * chosen * (SELECT_FEATURE + values * SELECT_VALUE)
    return Cost(seconds, 220 * MB + 14 * values)


def preparing(kind: str, size: Size) -> Cost:
    """Return what preparing a dataset of a kind takes."""
    seconds, held = PREPARE[kind]
    return Cost(PREPARE_START + seconds * size.values, PYTHON_BYTES + held * size.values)


def theory(spec: Theory) -> Cost:
    """Return what the simulations of the target ``theory`` take."""
    replications = len(spec.kappas) * len(spec.sigma_12) * spec.replications
    seconds = THEORY_START + replications * THEORY_REPLICATION * (spec.dimension / 100) ** 2
    return Cost(seconds, TORCH_BYTES)


def fixed(rule: str) -> Cost:
    """Return what a job takes whose size hardly matters."""
    return Cost(FIXED[rule], TORCH_BYTES if "theory" in rule else TABLE_BYTES)
