"""What estimators that train networks share: stacks of members, their products, early stopping.

Samples of equal shape train together, in stacks that fit the memory budget. A member's numbers do
not depend on the stack that it was in: widths are padded and lone products computed beside a twin,
as ``cch.training.networks`` explains.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch.nn import functional

from cch.base.errors import CchError
from cch.base.progress import Progress
from cch.data.rng import numpy_generator, torch_generator
from cch.information.estimator import CheckedEstimator, Measured, Sample
from cch.training.networks import LANES
from cch.training.stack import out_of_memory

CLIP = 10.0
"""Scaled columns are held to this many standard deviations, as latentmi holds them."""

CPU_STACK_BYTES = 32 * 2**20
"""On a CPU, stacks whose step touches more than this leave the caches and slow down."""

Members = Sequence[tuple[Sample, int]]
"""Samples of equal shape with their seeds."""


class StackedEstimator(CheckedEstimator):
    """Base of estimators that fit many samples in one loop."""

    device: str
    memory_gb: float

    @abstractmethod
    def _members_at_once(self, sample: Sample) -> int:
        """How many members of this sample's shape one stack may hold."""

    @abstractmethod
    def _fit(self, members: Members) -> list[Measured]:
        """Fit one stack and estimate on it."""

    def _members_in_memory(self, step: int, other: int) -> int:
        """Return how many members fit into ``memory_gb``, at least 1.

        On a CPU the working sets of a step must also fit into ``CPU_STACK_BYTES``.

        Args:
            step: bytes that a training step of one member touches.
            other: other bytes of one member.
        """
        fitting = int(self.memory_gb * 2**30) // (step + other)
        if torch.device(self.device).type == "cpu":
            fitting = min(fitting, CPU_STACK_BYTES // step)
        return max(1, fitting)

    def _measure(self, sample: Sample, seed: int) -> Measured:
        return self._measure_many([sample], [seed])[0]

    def _measure_many(self, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Measured]:
        found: dict[int, Measured] = {}
        groups: dict[Any, list[int]] = {}
        for place, sample in enumerate(samples):
            shape = (*sample.x.shape, *sample.y.shape[1:], sample.classes, sample.groups)
            groups.setdefault(shape, []).append(place)
        progress = Progress(self.name, len(samples), "estimates")
        for places in groups.values():
            limit = self._members_at_once(samples[places[0]])
            for start in range(0, len(places), limit):
                chunk = places[start : start + limit]
                measured = self._halved([(samples[place], seeds[place]) for place in chunk])
                found.update(zip(chunk, measured, strict=True))
                progress.advance(len(chunk))
        return [found[place] for place in range(len(samples))]

    def _halved(self, members: Members) -> list[Measured]:
        """Fit one stack; where memory runs out, its halves one after the other."""
        try:
            return self._fit(members)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or len(members) == 1:
                raise
        half = len(members) // 2
        return self._halved(members[:half]) + self._halved(members[half:])


def as_columns(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides as (n, d) float64: labels one-hot, constant columns exactly 0.

    A column that is constant up to rounding would otherwise be scaled into a signal.
    """
    x = np.where(sample.constant_x, 0.0, sample.x)
    if sample.discrete:
        return x, np.eye(sample.classes)[sample.y]
    return x, np.where(sample.constant_y, 0.0, sample.y)


def scaled(values: np.ndarray, rows: np.ndarray | slice) -> torch.Tensor:
    """Return (n, d) float32 of mean 0 and deviation 1 on the given rows, clipped.

    A column without spread on these rows becomes zeros. Numbers near the end of float64's range
    overflow to what is not finite, and a fit on them then says so.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = values[rows].mean(axis=0), values[rows].std(axis=0)
        columns = (values - mean) / np.where(deviation > 0, deviation, np.inf)
    return torch.from_numpy(columns).float().clip(-CLIP, CLIP)


def padded(units: int) -> int:
    """Return ``units`` rounded up to the lanes of ``cch.training.networks``; what is added stays
    zero.
    """
    return -(-units // LANES) * LANES


def stacked(sides: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return M tensors (n, d) as (M, n, d padded with columns of zeros)."""
    values = torch.stack(list(sides))
    return functional.pad(values, (0, padded(values.shape[-1]) - values.shape[-1]))


def affine(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, alone: bool = False
) -> torch.Tensor:
    """Return ``rows @ weight + bias`` for every member: (M, B, in) -> (M, B, out).

    On a CPU a lone product and a batched one round differently, so a single member is computed
    beside a twin; nothing is copied. Networks so big that they are always ``alone`` need none.
    """
    if len(weight) == 1 and weight.device.type == "cpu":
        if alone:
            return torch.addmm(bias[0], rows[0], weight[0]).unsqueeze(0)
        twins = (tensor.expand(2, -1, -1) for tensor in (bias, rows, weight))
        return torch.baddbmm(*twins)[:1]
    return torch.baddbmm(bias, rows, weight)


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return ``left @ right`` for every member; a single one is computed as in ``affine``."""
    if len(left) == 1 and left.device.type == "cpu":
        return torch.bmm(left.expand(2, -1, -1), right.expand(2, -1, -1))[:1]
    return torch.bmm(left, right)


def check_splits(options: Any) -> None:
    """Refuse shares of stopping and reading rows that leave too few of any kind.

    Raises:
        CchError: one is below 0.05, or less than 0.05 is left for training.
    """
    splits = (options.stop_split, options.estimate_split)
    if not (min(splits) >= 0.05 and sum(splits) <= 0.95):
        raise CchError(
            options.name,
            f"stop_split and estimate_split are {splits[0]!r} and {splits[1]!r}",
            "give each 0.05 at least and leave 0.05 for training",
        )


def narrowed(
    optimizer: torch.optim.Adam, tensors: Sequence[torch.Tensor], chosen: torch.Tensor
) -> tuple[list[torch.Tensor], torch.optim.Adam]:
    """Go on with some members: their parameters, and an optimiser with its state of them.

    Args:
        optimizer: of ``tensors``.
        tensors: (M, ...) each.
        chosen: positions of members.
    """
    kept = {tensor: tensor.detach()[chosen].requires_grad_() for tensor in tensors}
    groups = [
        group | {"params": [kept[tensor] for tensor in group["params"]]}
        for group in optimizer.param_groups
    ]
    narrow = type(optimizer)(groups)
    for before, after in kept.items():
        narrow.state[after] = {
            name: value[chosen] if value.shape == before.shape else value
            for name, value in optimizer.state[before].items()
        }
    return list(kept.values()), narrow


@dataclass(frozen=True)
class Rows:
    """Which rows of a member train, stop and carry the estimate; indices (k,) each."""

    train: np.ndarray
    stop: np.ndarray
    estimate: np.ndarray

    @classmethod
    def drawn(cls, options: Any, rows: int, generator: np.random.Generator) -> Self:
        """Shuffle the rows and cut them by ``options.stop_split`` and ``estimate_split``."""
        stop, estimate = round(rows * options.stop_split), round(rows * options.estimate_split)
        cuts = [rows - stop - estimate, rows - estimate]
        return cls(*np.split(generator.permutation(rows), cuts))


class Networks:
    """M networks of one architecture.

    Args:
        tensors: parameters, members first.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.tensors = list(tensors)

    def select(self, places: torch.Tensor) -> Self:
        """Copies of some members."""
        return type(self)([t.detach()[places].requires_grad_() for t in self.tensors])


class StoppedFit(ABC):
    """Trains one stack of members; each stops where its stopping rows say that it is best.

    A member's batches are of equal size, in an order of its own, since a lone last row would have
    no other row to be paired with.

    Args:
        options: of the estimator: ``name``, ``epochs``, ``patience``, ``batch_size``, ``device``,
            ``stop_split`` and ``estimate_split``.
        members: samples of equal shape with their seeds.
    """

    FIRST_EPOCH = 1
    """0: the initial weights are judged too, and kept where no epoch does better."""

    def __init__(self, options: Any, members: Members) -> None:
        self.options, self.device = options, torch.device(options.device)
        self.seeds, count = [seed for _, seed in members], len(members)
        self.rows = [
            Rows.drawn(options, len(sample.x), numpy_generator(options.name, seed, "rows"))
            for sample, seed in members
        ]
        self.order = [torch_generator(options.name, seed, "order") for seed in self.seeds]
        self.active = np.arange(count)
        self.highest = np.full(count, -math.inf)
        self.epochs, self.best_epoch = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
        self.diverged = np.zeros(count, dtype=bool)

    def start(self, networks: Networks) -> None:
        """Take the initial weights of all members."""
        self.networks = networks
        self.optimizer = self._optimizer(networks)
        self.best = networks.select(torch.arange(len(self.rows), device=self.device))

    @abstractmethod
    def _optimizer(self, networks: Networks) -> torch.optim.Adam:
        """Return the optimiser of all members."""

    @abstractmethod
    def _losses(self, members: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the losses (M,) of ``networks`` on a batch.

        Args:
            members: (M,) of those in training.
            rows: (M, B), their rows.
        """

    @abstractmethod
    def _reached(self, members: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return what ``networks`` reach on stopping rows (M, B), (M,); more is better."""

    def train(self) -> None:
        """Train every member; ``best`` then holds the weights that did best on stopping rows."""
        split = self.rows[0]
        rows = sum(len(part) for part in (split.train, split.stop, split.estimate))
        label = f"{self.options.name}, {len(self.rows)} x {rows} rows"
        progress = Progress(label, self.options.epochs, "epochs")
        if self.FIRST_EPOCH == 0:
            self._judge(0)
        for epoch in range(1, self.options.epochs + 1):
            if not len(self.active):
                break
            for members, rows in self._batches():
                # Members share no parameter, so the sum gives each its own gradient.
                loss = self._losses(members, rows).sum()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            self._judge(epoch)
            progress.advance(note=f"{len(self.active)} in training")

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield members in training (M,) and their rows (M, B), each member's in its own order."""
        rows = np.stack([self.rows[member].train for member in self.active])
        drawn = [torch.randperm(rows.shape[1], generator=self.order[m]) for m in self.active]
        order = np.take_along_axis(rows, torch.stack(drawn).numpy(), axis=1)
        members = torch.from_numpy(self.active).to(self.device)
        batches = math.ceil(rows.shape[1] / self.options.batch_size)
        for batch in np.array_split(order, batches, axis=1):
            yield members, torch.from_numpy(batch).to(self.device)

    def _judge(self, epoch: int) -> None:
        """Remember members at their best and leave out those that have stopped or diverged."""
        members = self.active
        stop = np.stack([self.rows[member].stop for member in members])
        here = (torch.from_numpy(part).to(self.device) for part in (members, stop))
        with torch.no_grad():
            values = self._reached(*here).cpu().numpy()
        self.epochs[members] = epoch
        better = values > self.highest[members]
        self.highest[members[better]] = values[better]
        self.best_epoch[members[better]] = epoch
        self._remember(np.flatnonzero(better))
        self.diverged[members] = ~np.isfinite(values)
        waited = epoch - self.best_epoch[members]
        going_on = np.isfinite(values) & (waited < self.options.patience)
        if not going_on.all():
            self._narrow(np.flatnonzero(going_on))

    @torch.no_grad()
    def _remember(self, places: np.ndarray) -> None:
        """Copy the weights of the members at these places of the stack in training."""
        here = torch.from_numpy(places).to(self.device)
        there = torch.from_numpy(self.active[places]).to(self.device)
        for kept, tensor in zip(self.best.tensors, self.networks.tensors, strict=True):
            kept[there] = tensor[here]

    def _narrow(self, places: np.ndarray) -> None:
        """Go on with some members only: their weights and the optimiser's state of them."""
        chosen = torch.from_numpy(places).to(self.device)
        tensors, self.optimizer = narrowed(self.optimizer, self.networks.tensors, chosen)
        self.networks = type(self.networks)(tensors)
        self.active = self.active[places]

    def said(self, member: int) -> dict[str, Any]:
        """Return what a member's fit did, for ``Estimate.fit``."""
        rows = self.rows[member]
        return {
            "epochs_run": int(self.epochs[member]),
            "best_epoch": int(self.best_epoch[member]),
            "stopped_early": bool(self.epochs[member] < self.options.epochs),
            "rows_trained": len(rows.train),
            "rows_stopping": len(rows.stop),
            "rows_estimated": len(rows.estimate),
        }
