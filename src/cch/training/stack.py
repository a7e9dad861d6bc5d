"""The stacked training engine: many independent runs in one loop of batched matrix products.

``train_stack`` trains M members of one architecture. What a member's numbers depend on is its own
key, rows, teacher, temperature and weight, never who shares its stack:

* Initial weights and the order of batches come from CPU generators keyed by ``Member.key``.
  Members with equal keys (a seed's baseline and its students) get the same: common random numbers.
* Losses, gradients and the updates of ``torch.optim`` act on each member's slice alone; a member
  that diverges does so alone.
* On a CPU with MKL, numbers are bitwise the same alone, in any stack, in any chunks and for any
  number of threads (observed, not promised by MKL; see ``cch.networks`` for what it takes). On
  other devices they agree up to float32 rounding, which training amplifies step by step.

Each epoch draws one permutation for each key and keeps the last, short batch, as a DataLoader with
``shuffle=True, drop_last=False`` does. Batches are gathered once for the members that share key
and rows.

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
from typing import Any, Literal, NamedTuple, TypeVar

import torch

from cch.config import Network, Training
from cch.errors import CchError
from cch.networks import StackedMLP
from cch.progress import Progress
from cch.rng import torch_generator
from cch.training import objectives

log = logging.getLogger("cch.training")

Task = Literal["classification", "regression"]
Given = TypeVar("Given")
Result = TypeVar("Result")

CPU_STEP_BYTES = 32 * 2**20
"""On a CPU, chunks whose step touches more than this leave the caches and slow down."""

CPU_LEAST_MEMBERS = 6
"""On a CPU, chunks are not made smaller than this for the caches' sake."""

PREDICT_ROWS = 1024
"""Rows of one batch in ``TrainedStack.predict``, whatever the stack, so that results are too."""


@dataclass(frozen=True)
class Member:
    """One run of a stack.

    Attributes:
        key: strings and numbers that identify its random numbers; equal keys, equal initial
            weights and batch order.
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
    """Logits (M, n, K) and penultimate activations (M, n, H) where asked for, on the CPU."""

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

    stack: StackedMLP
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
            representation: whether the penultimate activations are wanted too.

        Raises:
            CchError: shapes do not agree, or memory does not suffice for one member.
        """
        chosen = list(range(self.stack.members)) if members is None else list(members)
        rows = torch.arange(len(inputs)) if rows is None else rows
        self._check(inputs, rows, len(chosen))
        logits = torch.empty(len(chosen), rows.shape[-1], self.stack.outputs)
        hidden = torch.empty(len(chosen), rows.shape[-1], self.stack.units[-2])
        inputs, rows = inputs.to(self.device), rows.to(self.device)

        def work(places: list[int]) -> None:
            part = self.stack.select([chosen[place] for place in places]).to(self.device)
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
class _Examples:
    """What all members of a stack are trained on; see ``train_stack`` for the fields."""

    task: Task
    inputs: torch.Tensor
    input_scale: float
    labels: torch.Tensor
    row_sets: torch.Tensor
    soft_targets: torch.Tensor | None
    outputs: int
    channels: int

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

    def to(self, device: torch.device) -> _Examples:
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

    def check_members(self, where: str, members: Sequence[Member]) -> None:
        """Raise CchError where a member asks for rows or a teacher that do not exist."""
        teachers = 0 if self.soft_targets is None else len(self.soft_targets)
        if not members:
            raise CchError(where, "there are no members to train")
        for number, member in enumerate(members):
            wrong = None
            if not 0 <= member.rows < len(self.row_sets):
                wrong = f"asks for row set {member.rows} of {len(self.row_sets)}"
            elif member.teacher is not None and not 0 <= member.teacher < teachers:
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
    if len({len(rows) for rows in row_sets}) != 1:
        raise CchError(label, "row sets must be of equal length, one at least")
    device = torch.device(device)
    examples = _Examples(
        task,
        inputs,
        float(input_scale),
        labels,
        torch.stack([rows.to(torch.int64) for rows in row_sets]),
        soft_targets,
        outputs,
        channels,
    )
    examples.check(label)
    examples.check_members(label, members)
    job = _Job(network, training, examples, list(members), device, memory_bytes, label)
    return job.run()


@dataclass(frozen=True)
class _Job:
    """One call of ``train_stack``."""

    network: Network
    training: Training
    examples: _Examples
    members: list[Member]
    device: torch.device
    memory_bytes: int
    label: str

    def run(self) -> TrainedStack:
        """Train all chunks and put their members back in order."""
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
                return _train_chunk(self.network, self.training, examples, members, progress)
            except BaseException:
                progress.done = done
                raise

        trained = _in_chunks(self.label, chunks, work)
        order = [place for chunk, _, _ in trained for place in chunk]
        back = sorted(range(len(order)), key=order.__getitem__)
        diverged = torch.cat([part.diverged for _, _, part in trained])[back].tolist()
        return TrainedStack(
            stack=StackedMLP.joined([part.stack for _, _, part in trained]).select(back),
            input_scale=self.examples.input_scale,
            losses=torch.cat([part.losses for _, _, part in trained])[back],
            diverged=[epoch or None for epoch in diverged],
            chunks=[{"members": chunk, "halvings": halvings} for chunk, halvings, _ in trained],
            device=self.device,
            memory_bytes=self.memory_bytes,
        )

    def _limit(self) -> int:
        """How many members a chunk may have."""
        features = self.examples.inputs.shape[1]
        lone = StackedMLP(self.network, features, self.examples.outputs, 1, device="meta")
        # Parameters, gradients, and what the optimiser keeps.
        copies = 2 + (2 if self.training.optimizer == "adam" else int(self.training.momentum > 0))
        each = lone.step_bytes(min(self.training.batch_size, self.examples.rows), copies)
        order = 3 * 8 * self.examples.rows
        return _limit(self.label, each, order, self.memory_bytes - self.examples.bytes, self.device)


class _TrainedChunk(NamedTuple):
    stack: StackedMLP
    losses: torch.Tensor
    diverged: torch.Tensor


def _train_chunk(
    network: Network,
    training: Training,
    examples: _Examples,
    members: Sequence[Member],
    progress: Progress,
) -> _TrainedChunk:
    """Train ``members`` together; nothing in a step loops over them."""
    device = examples.inputs.device
    stack = StackedMLP.initial(
        network,
        examples.inputs.shape[1],
        examples.outputs,
        [member.key for member in members],
        channels=examples.channels,
        device=device,
    )
    optimizer = _optimizer(training, stack, examples.channels)
    batches, objective = _Batches(examples, members), _Objective(examples, members)
    losses = torch.zeros(training.epochs, len(members), dtype=torch.float64, device=device)
    diverged = torch.zeros(len(members), dtype=torch.int64, device=device)
    for epoch in range(training.epochs):
        for batch in batches.epoch(training.batch_size):
            loss = objective(stack(batch.inputs).logits, batch)
            optimizer.zero_grad(set_to_none=True)
            # A member's loss depends on its own slice only, so the sum's gradient is its own.
            loss.sum().backward()
            optimizer.step()
            losses[epoch].add_(loss.detach(), alpha=batch.labels.shape[1] / examples.rows)
        failed = ~(losses[epoch].isfinite() & stack.finite())
        diverged[failed & (diverged == 0)] = epoch + 1
        note = f"{len(members)} members, epoch {epoch + 1}/{training.epochs}"
        progress.advance(len(members), note)
    return _TrainedChunk(stack.cpu(), losses.T.to("cpu", torch.float32), diverged.cpu())


def _optimizer(training: Training, stack: StackedMLP, channels: int) -> torch.optim.Optimizer:
    """A ``torch.optim`` optimiser over the stacked parameters; its updates are elementwise."""
    groups = stack.parameter_groups(training.learning_rate, channels)
    # One pass over memory in place of several, where torch has it.
    fused = groups[0]["params"][0].device.type in ("cpu", "cuda")
    if training.optimizer == "adam":
        return torch.optim.Adam(groups, lr=training.learning_rate, fused=fused)
    return torch.optim.SGD(
        groups, lr=training.learning_rate, momentum=training.momentum, fused=fused
    )


class _Batch(NamedTuple):
    """Inputs (M, B, D), labels (M, B), positions (M, B) in the members' row sets."""

    inputs: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor


class _Batches:
    """The batches of a chunk, gathered once for each group of members with equal key and rows."""

    def __init__(self, examples: _Examples, members: Sequence[Member]) -> None:
        groups = list(dict.fromkeys((member.key, member.rows) for member in members))
        device = examples.inputs.device
        self.examples, self.members, self.groups = examples, len(members), groups
        self.generators = {key: torch_generator(*key, "order") for key, _ in groups}
        self.group = torch.tensor(
            [groups.index((member.key, member.rows)) for member in members], device=device
        )
        self.row_sets = examples.row_sets[[rows for _, rows in groups]]

    def epoch(self, batch_size: int) -> Iterator[_Batch]:
        """The batches of the next epoch, in an order drawn for each key."""
        count, device = self.examples.rows, self.group.device
        drawn = {
            key: torch.randperm(count, generator=generator)
            for key, generator in self.generators.items()
        }
        positions = torch.stack([drawn[key] for key, _ in self.groups]).to(device)
        rows = self.row_sets.gather(1, positions)
        labels = self.examples.labels[rows]
        for start in range(0, count, batch_size):
            part = slice(start, start + batch_size)
            inputs = _gather(self.examples.inputs, rows[:, part], self.examples.input_scale)
            yield _Batch(*map(self._spread, (inputs, labels[:, part], positions[:, part])))

    def _spread(self, values: torch.Tensor) -> torch.Tensor:
        """From (groups, ...) to (M, ...); a single group is not copied."""
        if len(self.groups) == 1:
            return values.expand(self.members, *values.shape[1:])
        if len(self.groups) == self.members:
            return values
        return values.index_select(0, self.group)


class _Objective:
    """The loss of each member of a chunk."""

    def __init__(self, examples: _Examples, members: Sequence[Member]) -> None:
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

    def __call__(self, logits: torch.Tensor, batch: _Batch) -> torch.Tensor:
        """Return (M,) losses."""
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


def _chunks_by_group(members: Sequence[Member], limit: int) -> list[list[int]]:
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
