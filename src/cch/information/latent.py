"""Mutual information through learned codes of few dimensions (latentmi), many pairs at a time.

G. Gowri, X.-K. Lun, A. M. Klein, P. Yin, "Approximating mutual information of high-dimensional
variables using learned representations", NeurIPS 2024. Two autoencoders with cross decoders map
both variables to a few dimensions; a Kraskov estimate between the codes is the answer. Three
estimators share one implementation:

``latentmi``
    The library's procedure step for step: the same seeds give the same rows, weights, batches and
    dropout as ``latentmi-library``, so the same number up to float32 rounding. With it come its
    quirks: half of the rows train, the others both stop the fit and carry the estimate; columns
    are scaled on all rows; dropout stays on in validation; the weights used are those of the last
    epoch, not of the best.
``latentmi-corrected``
    The same networks and loss without the quirks: rows that train, stop and carry the estimate are
    three sets, columns are scaled on training rows, validation has no dropout, and the best
    weights are restored.
``latent-light``
    The same loss in a small network; docs/information.md has the evidence for it.

Members of equal shape train in one loop of batched matrix products. A member's random numbers come
from its own generators, and its number does not depend on the stack that it trained in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from typing import Any, ClassVar

import numpy as np
import torch

from cch.base.errors import CchError
from cch.base.progress import Progress
from cch.data.rng import keyed_seed
from cch.information.autoencoders import CrossAutoencoders, Dropout, Shape
from cch.information.estimator import Measured, Sample
from cch.information.ksg import kraskov_many
from cch.information.stacks import Members, StackedEstimator, as_columns, narrowed, scaled, stacked

NEIGHBOURS = 3
"""k of the Kraskov estimate between codes: the library's."""

NOISE = 1e-10
"""Uniform noise that separates equal codes: the library's."""

ENCODE_ROWS = 4096
CPU_STACK_BYTES = 64 * 2**20
"""On a CPU, stacks whose step touches more than this leave the caches and slow down."""


@dataclass(frozen=True)
class Latent(StackedEstimator):
    """What the three share; labels enter one-hot.

    Args:
        epochs: at most this many.
        patience: epochs without a lower validation loss after which a fit stops.
        batch_size: rows of a batch.
        lr: Adam's learning rate.
        N_dims: latent dimensions of each variable.
        validation_split: fraction of rows that carry the estimate (and stop the fit, where
            ``stop_split`` is 0).
        stop_split: fraction of rows that only stop the fit.
        alpha: weight of the reconstruction losses.
        lam: weight of the cross-reconstruction losses.
        width: units of an encoder's first hidden layer, halved from layer to layer.
        depth: hidden layers of each encoder and decoder.
        dropout: of the cross decoders' layers.
        device: torch device; the value is repeatable on ``cpu`` only.
        memory_gb: budget of one stack.
    """

    as_the_library: ClassVar[bool] = False
    """Whether draws, scaling, validation and final weights are the library's."""

    epochs: int = 300
    patience: int = 30
    batch_size: int = 512
    lr: float = 1e-4
    N_dims: int = 8
    validation_split: float = 0.5
    stop_split: float = 0.0
    alpha: float = 1.0
    lam: float = 1.0
    width: int = 1024
    depth: int = 3
    dropout: float = 0.5
    device: str = "cpu"
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        self._check_whole("epochs", "patience", "batch_size", "N_dims", "width", "depth")
        self._check_positive("lr", "memory_gb")
        if not 0 < self.validation_split < 1:
            raise CchError(
                self.name, f"validation_split is {self.validation_split!r}, expected 0 to 1"
            )
        if not 0 <= self.stop_split < 1 - self.validation_split:
            raise CchError(
                self.name,
                f"stop_split is {self.stop_split!r}",
                f"leave training rows beside validation_split = {self.validation_split!r}",
            )
        if not 0 <= self.dropout < 1:
            raise CchError(self.name, f"dropout is {self.dropout!r}, expected 0 up to 1")

    @property
    def version(self) -> str:
        """Version of this implementation."""
        return "1"

    def _shape(self, sample: Sample) -> Shape:
        dy = sample.classes or sample.y.shape[1]
        return Shape(sample.x.shape[1], dy, self.N_dims, self.width, self.depth)

    def work(self, rows: int, dx: int, dy: int, labels: bool) -> float:
        """Operations of training to the last epoch: six a parameter for each row."""
        shape = Shape(dx, dy, self.N_dims, self.width, self.depth)
        trained = rows * (1 - self.validation_split - self.stop_split)
        return 6 * shape.parameters() * trained * self.epochs

    def _members_at_once(self, sample: Sample) -> int:
        shape, rows = self._shape(sample), len(sample.x)
        batch = min(self.batch_size, rows)
        # Parameters, gradients and Adam's two states; activations with their gradients.
        step = 4 * (4 * shape.parameters() + 3 * batch * shape.activations())
        data = 4 * rows * (shape.dx + shape.dy + 32)
        fitting = int(self.memory_gb * 2**30) // (step + data)
        if torch.device(self.device).type == "cpu":
            fitting = 1 if shape.alone_on_cpu() else min(fitting, CPU_STACK_BYTES // step)
        return max(1, fitting)

    def _fit(self, members: Members) -> list[Measured]:
        return Fit(self, members).measured()


@dataclass(frozen=True)
class LatentMI(Latent):
    """The library's procedure step for step; see the module docstring."""

    name: ClassVar[str] = "latentmi"
    as_the_library: ClassVar[bool] = True


@dataclass(frozen=True)
class LatentMICorrected(Latent):
    """The library's networks without its quirks; see the module docstring."""

    name: ClassVar[str] = "latentmi-corrected"

    validation_split: float = 0.3
    stop_split: float = 0.2


@dataclass(frozen=True)
class LatentLight(Latent):
    """The same loss in a small network; see the module docstring."""

    name: ClassVar[str] = "latent-light"

    lr: float = 1e-3
    width: int = 128
    depth: int = 2


@dataclass(frozen=True)
class Rows:
    """Which rows of a member train, stop and carry the estimate; indices (k,) each."""

    train: np.ndarray
    stop: np.ndarray
    estimate: np.ndarray

    @classmethod
    def drawn(cls, options: Latent, rows: int, generator: np.random.RandomState) -> Rows:
        """Shuffle the rows and cut them."""
        order = np.arange(rows)
        generator.shuffle(order)
        if options.stop_split == 0:
            train, rest = np.split(order, [int(rows * (1 - options.validation_split))])
            return cls(train, rest, rest)
        kept = 1 - options.validation_split
        cuts = [round(rows * (kept - options.stop_split)), round(rows * kept)]
        return cls(*np.split(order, cuts))


class Fit:
    """One stack of members of equal shape, from samples to estimates."""

    def __init__(self, options: Latent, members: Members) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.shape = options._shape(members[0][0])
        # The library seeds NumPy's global generator, which is of this kind, for rows and noise.
        self.numpy = [np.random.RandomState(seed) for _, seed in members]
        self.rows = [
            Rows.drawn(options, len(sample.x), generator)
            for (sample, _), generator in zip(members, self.numpy, strict=True)
        ]
        self.torch = [_torch_generator(seed, "cpu") for _, seed in members]
        self.x, self.y = self._scaled(members)
        self.train, self.stop = (
            torch.from_numpy(np.stack([getattr(rows, part) for rows in self.rows]))
            for part in ("train", "stop")
        )
        self.nets = CrossAutoencoders.initial(self.shape, self.torch, self.device)
        masks = self.torch
        if self.device.type != "cpu":
            masks = [_torch_generator(seed, self.device) for _, seed in members]
        self.dropout = Dropout(self.nets, options.dropout, masks, options.as_the_library)
        self.optimizer = _adam(self.nets.parameters(), options.lr)
        count = len(members)
        self.active = list(range(count))
        # One thread draws while the others compute; with several members, who is left to draw for
        # is known only after each epoch.
        alone = count == 1 and torch.get_num_threads() > 1
        self.draws = _one_ahead(self._drawn()) if alone else self._drawn()
        self.lowest, self.waited = np.full(count, math.inf), np.zeros(count, dtype=int)
        self.epochs, self.best_epoch = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
        self.stopped = np.zeros(count, dtype=bool)
        self.best: list[torch.Tensor] | None = None
        self.codes: list[tuple[np.ndarray, ...]] = [()] * count

    def _scaled(self, members: Members) -> tuple[torch.Tensor, torch.Tensor]:
        """Both sides as (M, n, d padded) float32."""
        sides: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []
        for (sample, _), rows in zip(members, self.rows, strict=True):
            fitted = slice(None) if self.options.as_the_library else rows.train
            for side, values in zip(sides, as_columns(sample), strict=True):
                side.append(scaled(values, fitted))
        x, y = (stacked(side).to(self.device) for side in sides)
        return x, y

    def measured(self) -> list[Measured]:
        """Train until every member has stopped, then estimate on its codes."""
        progress = Progress(
            f"{self.options.name}, {len(self.codes)} x {self.x.shape[1]} rows",
            self.options.epochs,
            "epochs",
        )
        for epoch in range(self.options.epochs):
            self._train_epoch()
            self._validate(epoch)
            progress.advance(note=f"{len(self.active)} in training")
            if not self.active:
                break
        if self.active:
            self._encode(range(len(self.active)))
        self.draws.close()
        values = self._kraskov()
        return [self._answer(member, value) for member, value in enumerate(values)]

    def _train_epoch(self) -> None:
        for x, y, masks in self._batches(self.train):
            losses = self.nets.losses(x, y, masks, self.options.alpha, self.options.lam)
            self.optimizer.zero_grad()
            # Members share no parameter, so the sum gives each its own gradient.
            losses.sum().backward()
            self.optimizer.step()

    @torch.no_grad()
    def _validate(self, epoch: int) -> None:
        found = []
        for x, y, masks in self._batches(self.stop):
            losses = self.nets.losses(x, y, masks, self.options.alpha, self.options.lam)
            found.append((losses.double().cpu().numpy(), x.shape[1]))
        values, sizes = zip(*found, strict=True)
        # The library's mean over batches does not weigh a short last one by its rows.
        weights = None if self.options.as_the_library else sizes
        self._judge(epoch, np.average(values, axis=0, weights=weights))

    def _judge(self, epoch: int, losses: np.ndarray) -> None:
        """Keep count of each member's patience; encode and leave out those that have none."""
        members = np.array(self.active)
        better = losses < self.lowest[members]
        self.lowest[members[better]] = losses[better]
        self.best_epoch[members[better]] = epoch + 1
        self.waited[members] = np.where(better, 0, self.waited[members] + 1)
        self.epochs[members] = epoch + 1
        if not self.options.as_the_library:
            self._remember(np.flatnonzero(better))
        done = np.flatnonzero(self.waited[members] >= self.options.patience)
        if len(done):
            self.stopped[members[done]] = True
            self._encode(done)
            self._narrow(np.flatnonzero(self.waited[members] < self.options.patience))

    @torch.no_grad()
    def _remember(self, places: np.ndarray) -> None:
        """Copy the encoders of members at their best so far."""
        encoders = self.nets.encoders()
        if self.best is None:
            self.best = [tensor.detach().clone() for tensor in encoders]
        elif len(places):
            chosen = torch.from_numpy(places).to(self.device)
            for kept, tensor in zip(self.best, encoders, strict=True):
                kept[chosen] = tensor[chosen]

    @torch.no_grad()
    def _encode(self, places: Sequence[int] | np.ndarray) -> None:
        """Store the codes of the rows that carry the estimate."""
        tensors = list(self.nets.parameters())
        if self.best is not None:
            tensors[: len(self.best)] = self.best
        for place in places:
            member = self.active[place]
            rows = torch.from_numpy(self.rows[member].estimate).to(self.device)
            net = self.nets.holding([tensor[place : place + 1] for tensor in tensors])
            self.codes[member] = tuple(
                torch.cat(
                    [
                        net.encode(side, values[member : member + 1, part])
                        for part in rows.split(ENCODE_ROWS)
                    ],
                    dim=1,
                )[0, :, : self.options.N_dims]
                .cpu()
                .numpy()
                for side, values in (("x", self.x), ("y", self.y))
            )

    def _narrow(self, places: np.ndarray) -> None:
        """Go on with some members only: their weights and the optimiser's state of them."""
        chosen = torch.from_numpy(places).to(self.device)
        tensors, self.optimizer = narrowed(self.optimizer, self.nets.parameters(), chosen)
        self.nets = self.nets.holding(tensors)
        if self.best is not None:
            self.best = [tensor[chosen] for tensor in self.best]
        self.active = [self.active[place] for place in places]

    def _batches(self, rows: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield (x, y, dropout masks) for the batches of one pass over ``rows`` (M, k)."""
        members = torch.tensor(self.active, device=self.device).unsqueeze(1)
        for _ in range(-(-rows.shape[1] // self.options.batch_size)):
            batch, masks = next(self.draws)
            yield self.x[members, batch], self.y[members, batch], masks

    def _drawn(self) -> Iterator[tuple[torch.Tensor, Any]]:
        """Yield rows and masks of every batch, epoch after epoch, in the library's order."""
        library = self.options.as_the_library
        while True:
            for rows, random in ((self.train, True), (self.stop, library)):
                mine = rows[self.active]
                if random:
                    order = [_order(self.torch[m], rows.shape[1]) for m in self.active]
                    mine = mine.gather(1, torch.stack(order))
                for batch in mine.to(self.device).split(self.options.batch_size, dim=1):
                    masks = self.dropout.draw(self.active, batch.shape[1]) if random else None
                    yield batch, masks

    def _kraskov(self) -> np.ndarray:
        """Kraskov's estimate between the codes of each member, (M,) nats; NaN where not finite."""
        noisy = [
            [code + NOISE * generator.random_sample(code.shape) for code in codes]
            for codes, generator in zip(self.codes, self.numpy, strict=True)
        ]
        x, y = (np.stack(side) for side in zip(*noisy, strict=True))
        return kraskov_many(x, y, NEIGHBOURS, device=self.options.device)

    def _answer(self, member: int, value: float) -> Measured:
        rows = self.rows[member]
        fit = {
            "torch": metadata.version("torch"),
            "network": "-".join(str(units) for units in self.shape.units("x")),
            "epochs_run": int(self.epochs[member]),
            "best_epoch": int(self.best_epoch[member]),
            "stopped_early": bool(self.stopped[member]),
            "rows_trained": len(rows.train),
            "rows_stopping": len(rows.stop),
            "rows_estimated": len(rows.estimate),
        }
        if math.isnan(value):
            fit["failure"] = "codes are not finite"
        return Measured(float(value), fit)


def _one_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Yield ``items`` without end, each made while the one before is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items)
        while True:
            item = coming.result()
            coming = pool.submit(next, items)
            yield item


def _torch_generator(seed: int, device: str | torch.device) -> torch.Generator:
    # A stream of its own: NumPy's generator is of the same kind and has the seed itself.
    return torch.Generator(device).manual_seed(keyed_seed("latentmi", "torch", seed, bits=56))


def _order(generator: torch.Generator, rows: int) -> torch.Tensor:
    """A permutation as the library's DataLoader draws it: a seed for workers, then one for it."""
    torch.empty((), dtype=torch.int64).random_(generator=generator)
    seed = int(torch.empty((), dtype=torch.int64).random_(generator=generator))
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))


def _adam(parameters: Sequence[torch.Tensor], lr: float) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=lr, eps=1e-7, fused=True)
