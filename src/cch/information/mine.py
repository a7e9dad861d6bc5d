"""Mutual information by a trained statistics network: MINE, many pairs at a time.

M. I. Belghazi, A. Baratin, S. Rajeswar, S. Ozair, Y. Bengio, A. Courville, R. D. Hjelm, "Mutual
information neural estimation", ICML 2018. A network T is trained to make the Donsker-Varadhan
bound E_joint[T] - ln E_independent[exp T] as large as it can be (their Eq. 10); what it reaches is
the estimate.

- Independent pairs: a batch, whose order is random, is paired with itself shifted by 1, 2, ...
  rows. Each shift is a random derangement: no row meets its own y. Four of them, where the paper
  has one, make the gradient less noisy for little more work.
- Gradient: the plain one of a batch is biased, because the mean of exp T stands in a denominator.
  As in their Section 3.2 the denominator is an exponential moving average over batches.
- Rows: three sets. One trains, one stops the fit (the weights that were best on it are restored),
  one carries the estimate, so the bound is one on rows that T has never seen. On the rows that
  trained it, T would know the pairs by heart and the bound would grow as far as one lets it.
- Value: the bound itself, not clipped. It lies below the truth by what T failed to learn, and by
  chance it can be below zero.
- Weight decay, which the paper does not have: without it noise in many columns hides a signal in
  few at two thousand rows, and heavy tails give values far below zero. Its price is paid by weak
  signals, some tenths of a nat, which come out too small: see benchmarks/known_mi.

Members of equal shape train in one loop of batched matrix products. A member's random numbers come
from its own generators, and its number does not depend on the stack that it trained in: see
``cch.training.networks`` for what that takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import ClassVar

import numpy as np
import torch

from cch.base.errors import CchError
from cch.config import Network
from cch.data.rng import torch_generator
from cch.information.estimator import Measured, Sample
from cch.information.stacks import (
    Members,
    Networks,
    StackedEstimator,
    StoppedFit,
    affine,
    as_columns,
    check_splits,
    padded,
    scaled,
    stacked,
)
from cch.training.networks import initial_layers

STOP_SHIFTS = 8
"""Shifts that pair the stopping rows anew after each epoch."""

ESTIMATE_SHIFTS = 256
"""At most this many shifts of the estimating rows: all independent pairs of up to 257 rows."""

SCORE_ROWS = 8192
"""Pairs of one member that are scored at once outside training."""


@dataclass(frozen=True)
class MINE(StackedEstimator):
    """The Donsker-Varadhan bound of a trained network on unseen rows; labels enter one-hot.

    Args:
        epochs: at most this many.
        patience: epochs without a higher bound on the stopping rows after which a fit stops.
        batch_size: at most this many rows of a batch; batches are of equal size, give or take one.
        lr: Adam's learning rate.
        weight_decay: Adam's, an L2 penalty of weights and biases.
        units: of each hidden layer.
        layers: hidden layers, with ReLU.
        shifts: independent pairs for each row of a batch.
        decay: share of the past in the moving average that corrects the gradient; 0 leaves the
            plain gradient.
        stop_split: fraction of rows that stop the fit.
        estimate_split: fraction of rows that carry the estimate.
        device: torch device; the value is repeatable on ``cpu`` only.
        memory_gb: budget of one stack.
    """

    name: ClassVar[str] = "mine"

    epochs: int = 200
    patience: int = 20
    batch_size: int = 512
    lr: float = 2e-3
    weight_decay: float = 0.02
    units: int = 64
    layers: int = 2
    shifts: int = 4
    decay: float = 0.9
    stop_split: float = 0.15
    estimate_split: float = 0.25
    device: str = "cpu"
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        self._check_whole("epochs", "patience", "units", "layers", "shifts")
        self._check_whole("batch_size", least=8)
        self._check_positive("lr", "memory_gb")
        if not self.weight_decay >= 0:
            raise CchError(self.name, f"weight_decay is {self.weight_decay!r}, expected 0 or more")
        if not 0 <= self.decay < 1:
            raise CchError(self.name, f"decay is {self.decay!r}, expected 0 up to 1")
        check_splits(self)

    @property
    def version(self) -> str:
        """Version of this implementation."""
        return "1"

    def work(self, rows: int, dx: int, dy: int, labels: bool) -> float:
        """Operations of training to the last epoch: six a weight for each pair of rows."""
        weights = (dx + dy) * self.units + (self.layers - 1) * self.units**2 + self.units
        trained = rows * (1 - self.stop_split - self.estimate_split)
        return 6 * weights * trained * (1 + self.shifts) * self.epochs

    def _members_at_once(self, sample: Sample) -> int:
        rows, columns = len(sample.x), sum(side.shape[1] for side in as_columns(sample))
        parameters = (columns + self.layers * self.units) * self.units
        batch = min(self.batch_size, rows)
        # Parameters, gradients and Adam's two states; for each pair and layer its values and their
        # gradient before and after the ReLU.
        pairs = batch * (1 + self.shifts)
        step = 4 * (4 * parameters + batch * columns + 4 * pairs * self.layers * self.units)
        scores = 4 * SCORE_ROWS * 4 * self.units
        return self._members_in_memory(step, scores + 8 * rows * columns)

    def _fit(self, members: Members) -> list[Measured]:
        return Fit(self, members).measured()


class StatisticsNetworks(Networks):
    """M networks T(x, y) of one architecture.

    Args:
        tensors: weights (M, in, out) and biases (M, 1, out) in turn, widths padded as in
            ``cch.training.networks``; first the weights that meet x, then those that meet y, which
            has no bias of its own: the first layer of a network on (x, y) joined, in two parts.
    """

    @classmethod
    def initial(
        cls,
        hidden: Sequence[int],
        columns: tuple[int, int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> StatisticsNetworks:
        """Draw one member from each CPU generator, as ``nn.Linear`` does by default."""
        members, (dx, dy) = len(generators), columns
        fan_ins, fan_outs = [dx, dy, *hidden], [hidden[0], *hidden, 1]
        tensors: list[torch.Tensor] = []
        for number, (fan_in, fan_out) in enumerate(zip(fan_ins, fan_outs, strict=True)):
            tensors.append(torch.zeros(members, padded(fan_in), padded(fan_out)))
            if number != 1:
                tensors.append(torch.zeros(members, 1, padded(fan_out)))
        network = Network(hidden=list(hidden), activation="relu", batch_norm=False, dropout=0.0)
        for member, generator in enumerate(generators):
            (weight, bias), *others = initial_layers(network, dx + dy, 1, 1, generator)
            drawn = [weight[:, :dx].T, bias[None], weight[:, dx:].T]
            drawn += [part for w, b in others for part in (w.T, b[None])]
            for tensor, values in zip(tensors, drawn, strict=True):
                tensor[member, : values.shape[0], : values.shape[1]] = values
        return cls([tensor.to(device).requires_grad_() for tensor in tensors])

    def scores(self, x: torch.Tensor, y: torch.Tensor, shifts: Sequence[int]) -> torch.Tensor:
        """T of the pairs (x_i, y_(i + shift)), cyclic: (M, shifts, B).

        Args:
            x: (M, B, dx padded).
            y: (M, B, dy padded).
            shifts: 0 for the joint pairs.
        """
        of_x, bias, of_y, *layers = self.tensors
        # The first layer is a sum of what x and y give, so each is multiplied once for all shifts.
        from_x, from_y = affine(x, of_x, bias), affine(y, of_y, torch.zeros_like(bias))
        hidden = torch.cat([from_x + from_y.roll(-shift, dims=1) for shift in shifts], dim=1)
        for weight, bias in zip(layers[::2], layers[1::2], strict=True):
            hidden = affine(torch.relu_(hidden), weight, bias)
        return hidden[..., 0].unflatten(1, (len(shifts), x.shape[1]))


class MovingAverage:
    """ln of the exponential moving average of E[exp T] over batches, for M members.

    It starts at the first batch's mean and holds the present batch, so a batch's mean is never
    more than 1 / (1 - decay) times the average and its exponentials cannot overflow.
    """

    def __init__(self, decay: float) -> None:
        self.decay, self.log = decay, None

    def update(self, log_mean: torch.Tensor) -> torch.Tensor:
        """Take in a batch's ln mean exp T (M,) and return the average's ln (M,)."""
        log_mean = log_mean.detach()
        if self.log is None or self.decay == 0:
            self.log = log_mean
        else:
            past = self.log + math.log(self.decay)
            self.log = torch.logaddexp(past, log_mean + math.log1p(-self.decay))
        return self.log

    def select(self, places: torch.Tensor) -> None:
        """Go on with some members."""
        if self.log is not None:
            self.log = self.log[places]


def corrected_loss(
    joint: torch.Tensor, independent: torch.Tensor, average: MovingAverage
) -> torch.Tensor:
    """Return losses (M,) whose gradient is the corrected one of minus the bound.

    -E[grad T] + E[exp(T) grad T] / average (Section 3.2 of the MINE paper); only the gradient
    means something, not the value.

    Args:
        joint: T of joint pairs, (M, B).
        independent: T of independent pairs, (M, pairs).
        average: takes in this batch.
    """
    log_average = average.update(log_mean_exp(independent))
    return (independent - log_average[:, None]).exp().mean(dim=1) - joint.mean(dim=1)


def log_mean_exp(scores: torch.Tensor) -> torch.Tensor:
    """Return ln mean exp over the last dimension, without overflow."""
    return scores.logsumexp(dim=-1) - math.log(scores.shape[-1])


@torch.no_grad()
def bound(
    networks: StatisticsNetworks, x: torch.Tensor, y: torch.Tensor, shifts: int
) -> torch.Tensor:
    """Return the Donsker-Varadhan bound E[T] - ln E[exp T] of each member, (M,) float64, in nats.

    Args:
        networks: M members.
        x: (M, B, dx padded), rows in random order.
        y: (M, B, dy padded).
        shifts: how many cyclic shifts of y make the independent pairs; at most B - 1 are used,
            and these are all pairs (x_i, y_j) with i != j.
    """
    rows = x.shape[1]
    wanted = list(range(min(shifts, rows - 1) + 1))
    at_once = max(1, SCORE_ROWS // rows)
    scores = torch.cat(
        [
            networks.scores(x, y, wanted[start : start + at_once]).double()
            for start in range(0, len(wanted), at_once)
        ],
        dim=1,
    )
    return scores[:, 0].mean(dim=1) - log_mean_exp(scores[:, 1:].flatten(1))


class Fit(StoppedFit):
    """One stack of members of equal shape, from samples to estimates."""

    networks: StatisticsNetworks
    best: StatisticsNetworks

    def __init__(self, options: MINE, members: Members) -> None:
        super().__init__(options, members)
        sides = [
            [scaled(side, rows.train) for side in as_columns(sample)]
            for (sample, _), rows in zip(members, self.rows, strict=True)
        ]
        columns = (sides[0][0].shape[1], sides[0][1].shape[1])
        self.x, self.y = (stacked(side).to(self.device) for side in zip(*sides, strict=True))
        self.hidden = [options.units] * options.layers
        weights = [torch_generator("mine", seed, "weights") for seed in self.seeds]
        self.average = MovingAverage(options.decay)
        self.values = np.full(len(members), math.nan)
        self.start(StatisticsNetworks.initial(self.hidden, columns, weights, self.device))

    def _optimizer(self, networks: Networks) -> torch.optim.Adam:
        lr, weight_decay = self.options.lr, self.options.weight_decay
        return torch.optim.Adam(networks.tensors, lr=lr, weight_decay=weight_decay, fused=True)

    def measured(self) -> list[Measured]:
        """Train until every member has stopped, then take the bound on its unseen rows."""
        self.train()
        for member, rows in enumerate(self.rows):
            if not self.diverged[member]:
                place = torch.tensor([member], device=self.device)
                chosen = torch.from_numpy(rows.estimate[None]).to(self.device)
                x, y = self._part(place, chosen)
                self.values[member] = bound(self.best.select(place), x, y, ESTIMATE_SHIFTS).item()
        return [self._answer(member) for member in range(len(self.rows))]

    def _losses(self, members: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        x, y = self._part(members, rows)
        shifts = range(1 + min(self.options.shifts, x.shape[1] - 1))
        scores = self.networks.scores(x, y, shifts)
        return corrected_loss(scores[:, 0], scores[:, 1:].flatten(1), self.average)

    def _reached(self, members: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return bound(self.networks, *self._part(members, rows), STOP_SHIFTS)

    def _part(self, members: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows (M, B) of the given members: x (M, B, dx padded) and y (M, B, dy padded)."""
        return self.x[members[:, None], rows], self.y[members[:, None], rows]

    def _narrow(self, places: np.ndarray) -> None:
        super()._narrow(places)
        self.average.select(torch.from_numpy(places).to(self.device))

    def _answer(self, member: int) -> Measured:
        rows, diverged = self.rows[member], bool(self.diverged[member])
        fit = {
            "torch": metadata.version("torch"),
            "network": "-".join(map(str, [*self.hidden, 1])),
            **self.said(member),
            "independent_pairs": len(rows.estimate) * min(ESTIMATE_SHIFTS, len(rows.estimate) - 1),
        }
        flags = [f"training diverged in epoch {self.epochs[member]}"] if diverged else []
        return Measured(float(self.values[member]), fit, flags)
