"""The stacked training engine: many independent runs in one loop of batched matrix products.

``train_stack`` trains M members of one architecture. What a member's numbers depend on is its own
key, rows, teacher, temperature and weight, never who shares its stack:

* Initial weights, the order of batches and dropout masks come from CPU generators keyed by
  ``Member.key``. Members with equal keys (a seed's baseline and its students) get the same: common
  random numbers.
* Losses, statistics of batches, gradients and the updates of ``torch.optim`` act on each member's
  slice alone; a member that diverges does so alone.
* On a CPU with MKL, numbers are bitwise the same alone, in any stack, in any chunks and for any
  number of threads (observed, not promised by MKL; see ``cch.training.networks`` for what it
  takes). On other devices they agree up to float32 rounding, which training amplifies step by step.

Each epoch draws one permutation for each key and keeps the last, short batch, as a DataLoader with
``shuffle=True, drop_last=False`` does. One thing differs: batch normalisation cannot take
statistics of one row (``nn.BatchNorm1d`` raises), so with it a last batch of one row is merged into
the batch before. Batches are gathered once for the members that share key and rows.

The engine itself is ``Job``: it trains any ``EnsembleSpec``, here networks in a stack, in
``cch.training.fusion`` pairs of encoders.

Chunks. Members are trained in chunks whose estimated memory fits the budget, and on a CPU also
near the caches; a chunk that runs out of memory is halved and starts again from its keys.
"""

from __future__ import annotations

import gc
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import torch

from cch.base.errors import CchError
from cch.base.progress import Progress
from cch.config import Network, Training
from cch.config.registry import OPTIMIZERS
from cch.data.rng import torch_generator
from cch.training import objectives
from cch.training.networks import DropoutMasks, Output, Stacked, StackedMLP, spread

log = logging.getLogger("cch.training")

Task = Literal["classification", "regression"]
Given = TypeVar("Given")
Result = TypeVar("Result")
MemberT = TypeVar("MemberT", bound="Keyed")

CPU_STEP_BYTES = 32 * 2**20
"""On a CPU, chunks whose step touches more than this leave the caches and slow down."""

CPU_LEAST_MEMBERS = 6
"""On a CPU, chunks are not made smaller than this for the caches' sake."""

PREDICT_ROWS = 1024
"""Rows of one batch in ``TrainedStack.predict``, whatever the stack, so that results are too."""


class Keyed(Protocol):
    """What the engine itself asks of a member: its random numbers and its rows."""

    @property
    def key(self) -> tuple[Any, ...]:
        """Strings and numbers that identify its random numbers."""

    @property
    def rows(self) -> int:
        """Which of the row sets it is trained on."""


@dataclass(frozen=True)
class Member:
    """One run of a stack.

    Attributes:
        key: strings and numbers that identify its random numbers; equal keys, equal initial
            weights, batch order and dropout masks.
        rows: which of the row sets it is trained on.
        teacher: which of the soft targets it is distilled from, or None for no distillation.
        temperature: T of Eqs. 1 and 2; regression has none.
        weight: λ of Eqs. 1, 2 and 4; 0 trains the baseline.
    """

    key: tuple[Any, ...]
    rows: int = 0
    teacher: int | None = None
    temperature: float = 1.0
    weight: float = 0.0


class Prediction(NamedTuple):
    """Logits (M, n, K) and inputs of the head (M, n, H) where asked for, on the CPU."""

    logits: torch.Tensor
    representation: torch.Tensor | None


@dataclass(frozen=True)
class TrainedStack:
    """M trained members.

    Attributes:
        stack: their networks at the last epoch, on the CPU.
        input_scale: factor from stored values to network inputs.
        losses: (M, epochs) float32, each epoch's mean training loss; not finite once diverged.
        diverged: for each member the first epoch, counted from 1, after which its loss or a
            parameter was not finite, or None. A diverged member counts for nothing, even where
            its outputs are finite again.
        chunks: how members were trained together: ``{"members": [...], "halvings": h}``, h being
            how often the chunk was halved because memory ran out.
        device: where it was trained and predicts.
        memory_bytes: budget of a prediction.
    """

    stack: Stacked
    input_scale: float
    losses: torch.Tensor
    diverged: list[int | None]
    chunks: list[dict[str, Any]]
    device: torch.device
    memory_bytes: int

    @torch.no_grad()
    def predict(
        self,
        inputs: torch.Tensor,
        rows: torch.Tensor | None = None,
        members: Sequence[int] | None = None,
        *,
        representation: bool = True,
    ) -> Prediction:
        """What members say about rows of ``inputs``, e.g. a frozen teacher about blurred images.

        Args:
            inputs: (R, D) uint8 or float32 in stored units; the training scale is applied.
            rows: (n,) for all members, or (M, n) with a row of its own for each; None for all R.
            members: M positions in the stack, or None for all.
            representation: whether the penultimate activations are wanted too: what the head is
                fed, after batch normalisation by the running statistics where there is one.

        Raises:
            CchError: shapes do not agree, or memory does not suffice for one member.
        """
        chosen = list(range(self.stack.members)) if members is None else list(members)
        rows = torch.arange(len(inputs)) if rows is None else rows
        self._check(inputs, rows, len(chosen))
        logits = torch.empty(len(chosen), rows.shape[-1], self.stack.outputs)
        hidden = torch.empty(len(chosen), rows.shape[-1], self.stack.representation_units)
        inputs, rows = inputs.to(self.device), rows.to(self.device)

        def work(places: list[int]) -> None:
            part = self.stack.select([chosen[place] for place in places]).to(self.device).eval()
            mine = rows if rows.dim() == 1 else rows[places]
            for start in range(0, rows.shape[-1], PREDICT_ROWS):
                batch = slice(start, start + PREDICT_ROWS)
                output = part(_gather(inputs, mine[..., batch], self.input_scale))
                logits[places, batch] = output.logits.cpu()
                if representation:
                    hidden[places, batch] = output.representation.cpu()

        bytes_each = self.stack.step_bytes(PREDICT_ROWS, copies=1)
        limit = _limit("prediction", bytes_each, 0, self.memory_bytes, self.device)
        _in_chunks("prediction", _split(list(range(len(chosen))), limit), work)
        return Prediction(logits, hidden if representation else None)

    def _check(self, inputs: torch.Tensor, rows: torch.Tensor, count: int) -> None:
        if inputs.dim() != 2 or inputs.shape[1] != self.stack.inputs:
            raise CchError(
                "prediction",
                f"inputs have shape {tuple(inputs.shape)}, expected (rows, {self.stack.inputs})",
            )
        if rows.dim() not in (1, 2) or (rows.dim() == 2 and len(rows) != count):
            raise CchError(
                "prediction",
                f"rows have shape {tuple(rows.shape)}, expected (n,) or ({count}, n)",
            )


@dataclass(frozen=True)
class Examples:
    """What all members of a stack are trained on; see ``train_stack`` for the fields."""

    task: Task
    inputs: torch.Tensor
    input_scale: float
    labels: torch.Tensor
    row_sets: torch.Tensor
    soft_targets: torch.Tensor | None
    outputs: int

    @property
    def rows(self) -> int:
        """Rows that each member is trained on."""
        return self.row_sets.shape[1]

    def _tensors(self) -> dict[str, torch.Tensor]:
        names = ("inputs", "labels", "row_sets", "soft_targets")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def bytes(self) -> int:
        """Memory that the examples themselves take on the device."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors().values())

    def to(self, device: torch.device) -> Examples:
        """The same examples on ``device``."""
        moved = {name: tensor.to(device) for name, tensor in self._tensors().items()}
        return replace(self, **moved)

    def check(self, where: str) -> None:
        """Raise CchError where shapes, types or ranges do not agree."""
        count = len(self.inputs)
        if self.inputs.dim() != 2 or self.inputs.dtype not in (torch.uint8, torch.float32):
            found = f"{tuple(self.inputs.shape)} {self.inputs.dtype}"
            raise CchError(where, f"inputs are {found}, expected (rows, D) uint8 or float32")
        wanted = torch.int64 if self.task == "classification" else torch.float32
        if self.labels.shape != (count,) or self.labels.dtype != wanted:
            found = f"{tuple(self.labels.shape)} {self.labels.dtype}"
            raise CchError(where, f"labels are {found}, expected ({count},) {wanted}")
        if self.task == "regression" and self.outputs != 1:
            raise CchError(where, f"regression has one output, not {self.outputs}")
        if self.task == "classification" and not _within(self.labels, self.outputs):
            raise CchError(where, f"labels leave 0..{self.outputs - 1}")
        if self.rows == 0 or not _within(self.row_sets, count):
            raise CchError(where, f"row sets are empty or leave 0..{count - 1}")
        soft, wanted_shape = self.soft_targets, (self.rows, self.outputs)
        if soft is not None and (soft.dim() != 3 or tuple(soft.shape[1:]) != wanted_shape):
            raise CchError(
                where, f"soft targets are {tuple(soft.shape)}, expected (teachers, *{wanted_shape})"
            )

    def check_rows(self, where: str, members: Sequence[Keyed]) -> None:
        """Raise CchError where there are no members, or one asks for rows that do not exist."""
        if not members:
            raise CchError(where, "there are no members to train")
        for number, member in enumerate(members):
            if not 0 <= member.rows < len(self.row_sets):
                asked = f"asks for row set {member.rows} of {len(self.row_sets)}"
                raise CchError(where, f"member {number} {asked}")

    def check_members(self, where: str, members: Sequence[Member]) -> None:
        """Raise CchError where a member asks for rows or a teacher that do not exist."""
        self.check_rows(where, members)
        teachers = 0 if self.soft_targets is None else len(self.soft_targets)
        for number, member in enumerate(members):
            wrong = None
            if member.teacher is not None and not 0 <= member.teacher < teachers:
                wrong = f"asks for teacher {member.teacher} of {teachers}"
            elif member.teacher is None and member.weight != 0:
                wrong = f"has distillation weight {member.weight} and no teacher"
            elif member.temperature <= 0:
                wrong = f"has temperature {member.temperature}"
            if wrong:
                raise CchError(where, f"member {number} {wrong}")


def train_stack(
    *,
    network: Network,
    training: Training,
    task: Task,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    row_sets: Sequence[torch.Tensor],
    members: Sequence[Member],
    outputs: int,
    input_scale: float = 1.0,
    soft_targets: torch.Tensor | None = None,
    channels: int = 1,
    device: str | torch.device = "cpu",
    memory_bytes: int = 4 * 2**30,
    label: str = "training",
) -> TrainedStack:
    """Train every member to the last epoch.

    Args:
        network: architecture of every member.
        training: optimiser, learning rate, momentum, batch size, epochs of every member.
        task: cross-entropy with Eqs. 1 and 2, or squared error with Eq. 4.
        inputs: (R, D) uint8 or float32, stored values shared by all members.
        labels: (R,) int64 in 0..K-1, or float32.
        row_sets: S tensors (n,) of row numbers, of equal length.
        members: M members.
        outputs: K, classes, or 1 for regression.
        input_scale: factor from stored values to network inputs.
        soft_targets: (T, n, K) float32, frozen teachers' logits; entry i belongs to the i-th row
            of the member's row set. A member whose teacher is not finite diverges in epoch 1.
        channels: how many equal colour channels an input plane stands for.
        device: where to train.
        memory_bytes: budget for the examples and one chunk of members.
        label: what is trained, for progress lines and errors.

    Raises:
        CchError: shapes, types or ranges do not agree, or one member alone does not fit.
    """
    rows = stacked_rows(label, row_sets)
    scale = float(input_scale)
    examples = Examples(task, inputs, scale, labels, rows, soft_targets, outputs)
    examples.check(label)
    examples.check_members(label, members)
    if channels > 1 and (training.weight_decay > 0 or not OPTIMIZERS[training.optimizer].linear):
        raise CchError(
            label,
            f"weight decay is not offered for inputs of {channels} equal channels, whose weights "
            "are kept as their sum",
            "take sgd or adam with `weight_decay: 0`",
        )
    ensemble = _MLPs(network, inputs.shape[1], outputs, channels)
    device = torch.device(device)
    return Job(ensemble, training, examples, list(members), device, memory_bytes, label).run()


def stacked_rows(where: str, row_sets: Sequence[torch.Tensor]) -> torch.Tensor:
    """Row sets as one tensor (S, n) int64; CchError where they differ in length."""
    if len({len(rows) for rows in row_sets}) != 1:
        raise CchError(where, "row sets must be of equal length, one at least")
    return torch.stack([rows.to(torch.int64) for rows in row_sets])


class EnsembleSpec(Protocol[MemberT]):
    """What the members of a stack are, and what they minimise."""

    def meta_member(self) -> Stacked:
        """One member without values, to measure."""

    def initial(self, keys: Sequence[tuple[Any, ...]], device: torch.device) -> Stacked:
        """A stack with one member for each key, initialised from that key alone."""

    def parameter_groups(self, stack: Any, learning_rate: float) -> list[dict[str, Any]]:
        """Parameter groups of such a stack for a ``torch.optim`` optimiser."""

    def objective(
        self, examples: Examples, members: Sequence[MemberT]
    ) -> Callable[[Any, Batch], torch.Tensor]:
        """A function from what a stack says about a batch to the losses (M,) of its members."""


@dataclass(frozen=True)
class _MLPs:
    """The ensemble of ``train_stack``."""

    network: Network
    inputs: int
    outputs: int
    channels: int

    def meta_member(self) -> StackedMLP:
        return StackedMLP(self.network, self.inputs, self.outputs, 1, device="meta")

    def initial(self, keys: Sequence[tuple[Any, ...]], device: torch.device) -> StackedMLP:
        return StackedMLP.initial(
            self.network, self.inputs, self.outputs, keys, channels=self.channels, device=device
        )

    def parameter_groups(self, stack: StackedMLP, learning_rate: float) -> list[dict[str, Any]]:
        return stack.parameter_groups(learning_rate, self.channels)

    def objective(self, examples: Examples, members: Sequence[Member]) -> _Objective:
        return _Objective(examples, members)


@dataclass(frozen=True)
class Job(Generic[MemberT]):
    """One call of ``train_stack`` or of its like."""

    ensemble: EnsembleSpec[MemberT]
    training: Training
    examples: Examples
    members: list[MemberT]
    device: torch.device
    memory_bytes: int
    label: str

    def run(self) -> TrainedStack:
        """Train all chunks and put their members back in order.

        Raises:
            CchError: one member alone does not fit, or batches are too small to normalise.
        """
        chunks = _chunks_by_group(self.members, self._limit())
        moved = _unless_out_of_memory(self.examples.to, self.device)
        if moved is None:
            size = f"{self.examples.bytes / 2**30:.3g} GiB"
            raise CchError(self.label, f"the data ({size}) do not fit on {self.device}")
        examples = moved[0]
        progress = Progress(self.label, self.training.epochs * len(self.members), "member-epochs")

        def work(chunk: list[int]) -> _TrainedChunk:
            members = [self.members[place] for place in chunk]
            done = progress.done
            try:
                return _train_chunk(self.ensemble, self.training, examples, members, progress)
            except BaseException:
                progress.done = done
                raise

        return self._joined(_in_chunks(self.label, chunks, work))

    def _joined(self, trained: list[tuple[list[int], int, _TrainedChunk]]) -> TrainedStack:
        order = [place for chunk, _, _ in trained for place in chunk]
        back = sorted(range(len(order)), key=order.__getitem__)
        stacks = [part.stack for _, _, part in trained]
        diverged = torch.cat([part.diverged for _, _, part in trained])[back].tolist()
        return TrainedStack(
            stack=stacks[0].joined(stacks).select(back),
            input_scale=self.examples.input_scale,
            losses=torch.cat([part.losses for _, _, part in trained])[back],
            diverged=[epoch or None for epoch in diverged],
            chunks=[{"members": chunk, "halvings": halvings} for chunk, halvings, _ in trained],
            device=self.device,
            memory_bytes=self.memory_bytes,
        )

    def _limit(self) -> int:
        """How many members a chunk may have."""
        meta_member, rows = self.ensemble.meta_member(), self.examples.rows
        batch = min(self.training.batch_size, rows)
        if meta_member.batch_norm and batch < 2:
            raise CchError(
                self.label,
                f"batch normalisation needs two rows in a batch at least, not {batch}",
                "raise `training.batch_size` or set `batch_norm: false`",
            )
        # Parameters, gradients, and what the optimiser keeps.
        copies = 2 + OPTIMIZERS[self.training.optimizer].state(self.training)
        each, order = meta_member.step_bytes(batch, copies), 3 * 8 * rows
        return _limit(self.label, each, order, self.memory_bytes - self.examples.bytes, self.device)


class _TrainedChunk(NamedTuple):
    stack: Stacked
    losses: torch.Tensor
    diverged: torch.Tensor


def _train_chunk(
    ensemble: EnsembleSpec[MemberT],
    training: Training,
    examples: Examples,
    members: Sequence[MemberT],
    progress: Progress,
) -> _TrainedChunk:
    """Train ``members`` together; nothing in a step loops over them."""
    device, keys = examples.inputs.device, [member.key for member in members]
    stack = ensemble.initial(keys, device)
    groups = ensemble.parameter_groups(stack, training.learning_rate)
    optimizer = OPTIMIZERS[training.optimizer].make(groups, training)
    schedule = _schedule(training, optimizer)
    batches = _Batches(examples, members, least=2 if stack.batch_norm else 1)
    masks, objective = DropoutMasks(stack, keys, device), ensemble.objective(examples, members)
    losses = torch.zeros(training.epochs, len(members), dtype=torch.float64, device=device)
    diverged = torch.zeros(len(members), dtype=torch.int64, device=device)
    for epoch in range(training.epochs):
        for batch in batches.epoch(training.batch_size):
            rows = batch.labels.shape[1]
            loss = objective(stack(batch.inputs, masks.draw(rows)), batch)
            optimizer.zero_grad(set_to_none=True)
            # A member's loss depends on its own slice only, so the sum's gradient is its own.
            loss.sum().backward()
            optimizer.step()
            losses[epoch].add_(loss.detach(), alpha=rows / examples.rows)
        if schedule is not None:
            schedule.step()
        failed = ~(losses[epoch].isfinite() & stack.finite())
        diverged[failed & (diverged == 0)] = epoch + 1
        note = f"{len(members)} members, epoch {epoch + 1}/{training.epochs}"
        progress.advance(len(members), note)
    return _TrainedChunk(stack.cpu(), losses.T.to("cpu", torch.float32), diverged.cpu())


def _schedule(
    training: Training, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """What changes the learning rate after each epoch, or None where it is constant."""
    if training.schedule == "constant":
        return None
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=training.epochs, eta_min=0)


class Batch(NamedTuple):
    """Inputs (M, B, D), labels (M, B), positions (M, B) in the members' row sets."""

    inputs: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor


class _Batches:
    """The batches of a chunk, gathered once for each group of members with equal key and rows."""

    def __init__(self, examples: Examples, members: Sequence[Keyed], least: int = 1) -> None:
        groups = list(dict.fromkeys((member.key, member.rows) for member in members))
        device = examples.inputs.device
        self.examples, self.groups, self.least = examples, groups, least
        self.generators = {key: torch_generator(*key, "order") for key, _ in groups}
        self.group = torch.tensor(
            [groups.index((member.key, member.rows)) for member in members], device=device
        )
        self.row_sets = examples.row_sets[[rows for _, rows in groups]]

    def epoch(self, batch_size: int) -> Iterator[Batch]:
        """The batches of the next epoch, in an order drawn for each key."""
        count, device = self.examples.rows, self.group.device
        drawn = {
            key: torch.randperm(count, generator=generator)
            for key, generator in self.generators.items()
        }
        positions = torch.stack([drawn[key] for key, _ in self.groups]).to(device)
        rows = self.row_sets.gather(1, positions)
        labels = self.examples.labels[rows]
        for part in _parts(count, batch_size, self.least):
            inputs = _gather(self.examples.inputs, rows[:, part], self.examples.input_scale)
            values = (inputs, labels[:, part], positions[:, part])
            yield Batch(*(spread(value, self.group) for value in values))


def _parts(count: int, size: int, least: int) -> list[slice]:
    """Batches of ``size`` of ``count`` rows; a last one below ``least`` joins the one before."""
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] < least:
        starts.pop()
    return [slice(*ends) for ends in pairwise([*starts, count])]


class _Objective:
    """The loss of each member of a chunk."""

    def __init__(self, examples: Examples, members: Sequence[Member]) -> None:
        device = examples.inputs.device
        self.regression = examples.task == "regression"
        self.soft_targets: torch.Tensor | None = None
        if any(member.teacher is not None for member in members):
            assert examples.soft_targets is not None  # check_members saw to it
            self.soft_targets = examples.soft_targets.flatten(0, 1)
        self.offset = torch.tensor(
            [[(member.teacher or 0) * examples.rows] for member in members], device=device
        )
        self.untaught = torch.tensor([m.teacher is None for m in members], device=device)
        self.some_untaught = any(member.teacher is None for member in members)
        self.temperature = torch.tensor([m.temperature for m in members], device=device)
        self.weight = torch.tensor([m.weight for m in members], device=device)

    def __call__(self, output: Output, batch: Batch) -> torch.Tensor:
        """Return (M,) losses."""
        logits = output.logits
        if self.soft_targets is None:
            plain = objectives.squared_error if self.regression else objectives.cross_entropy
            return plain(logits, batch.labels)
        teacher = self._teacher(batch.positions)
        if self.regression:
            return objectives.distilled_squared_error(logits, batch.labels, teacher, self.weight)
        return objectives.distilled_cross_entropy(
            logits, batch.labels, teacher, self.temperature, self.weight
        )

    def _teacher(self, positions: torch.Tensor) -> torch.Tensor:
        """Teacher outputs (M, B, K) for the positions (M, B) of a batch."""
        assert self.soft_targets is not None
        index = (positions + self.offset).flatten()
        teacher = self.soft_targets.index_select(0, index).unflatten(0, positions.shape)
        if self.some_untaught:
            # Their weight is 0, but 0 times another member's infinite teacher would be NaN.
            teacher.masked_fill_(self.untaught[:, None, None], 0.0)
        return teacher


def _gather(inputs: torch.Tensor, rows: torch.Tensor, scale: float) -> torch.Tensor:
    """Scaled rows of ``inputs``: (..., n) row numbers -> (..., n, D) float32."""
    values = inputs.index_select(0, rows.flatten())
    if values.dtype != torch.float32:
        values = values.to(torch.float32)
    if scale != 1.0:
        values.mul_(scale)
    return values.unflatten(0, rows.shape)


def _within(values: torch.Tensor, count: int) -> bool:
    return bool(values.min() >= 0) and bool(values.max() < count)


def _limit(where: str, step: int, more: int, budget: int, device: torch.device) -> int:
    """How many members fit ``budget`` bytes, with ``step + more`` bytes each.

    On a CPU also: how many have steps that stay near the caches, at ``step`` bytes each.
    """
    fitting = budget // (step + more)
    if fitting < 1:
        raise CchError(
            where,
            f"one run needs about {(step + more) / 2**30:.3g} GiB and the budget leaves "
            f"{max(budget, 0) / 2**30:.3g} GiB beside the data",
            "raise `compute.memory_gb`",
        )
    if device.type == "cpu":
        fitting = min(fitting, max(CPU_LEAST_MEMBERS, CPU_STEP_BYTES // step))
    return fitting


def _split(places: list[int], limit: int) -> list[list[int]]:
    """Split into the fewest parts of at most ``limit``, of nearly equal size."""
    parts = math.ceil(len(places) / limit)
    return [places[len(places) * i // parts : len(places) * (i + 1) // parts] for i in range(parts)]


def _chunks_by_group(members: Sequence[Keyed], limit: int) -> list[list[int]]:
    """Chunks of at most ``limit`` positions that keep members who share batches together."""
    groups: dict[Any, list[int]] = {}
    for place, member in enumerate(members):
        groups.setdefault((member.key, member.rows), []).append(place)
    chunks: list[list[int]] = [[]]
    for group in groups.values():
        if len(chunks[-1]) + len(group) <= limit:
            chunks[-1] += group
        else:
            chunks += _split(group, limit)
    return [chunk for chunk in chunks if chunk]


def _in_chunks(
    where: str, chunks: Sequence[list[int]], work: Callable[[list[int]], Result]
) -> list[tuple[list[int], int, Result]]:
    """Call ``work`` on every chunk, halving those that run out of memory.

    Returns:
        (chunk, how often it was halved, result of ``work``) for each chunk in order.

    Raises:
        CchError: memory does not suffice for a chunk of one.
    """
    waiting = deque((list(chunk), 0) for chunk in chunks)
    done = []
    while waiting:
        chunk, halvings = waiting.popleft()
        result = _unless_out_of_memory(work, chunk)
        if result is not None:
            done.append((chunk, halvings, result[0]))
            continue
        if len(chunk) == 1:
            raise CchError(
                where, "memory does not suffice for one run", "free memory or reduce `batch_size`"
            )
        limit = math.ceil(len(chunk) / 2)
        log.warning("%s: out of memory with %d runs, going on with %d", where, len(chunk), limit)
        # Those that wait are no smaller problem, so they are halved without trying.
        waiting = deque(
            (part, count + (len(part) < len(whole)))
            for whole, count in [(chunk, halvings), *waiting]
            for part in _split(whole, limit)
        )
    return done


def _unless_out_of_memory(work: Callable[[Given], Result], given: Given) -> tuple[Result] | None:
    """Return ``(work(given),)``, or None when memory ran out; by then all of it is free again."""
    try:
        return (work(given),)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    # Outside of the handler, where the traceback no longer holds the failed chunk's tensors.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is how Python, the CPU allocator or CUDA say that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
