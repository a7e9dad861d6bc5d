"""What estimators that train networks share: stacks of members, their products, their optimisers.

Samples of equal shape train together, in stacks that fit the memory budget. A member's numbers do
not depend on the stack that it was in: widths are padded and lone products computed beside a twin,
as ``cch.training.networks`` explains.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from cch.base.progress import Progress
from cch.information.estimator import CheckedEstimator, Measured, Sample
from cch.training.networks import LANES
from cch.training.stack import out_of_memory

CLIP = 10.0
"""Scaled columns are held to this many standard deviations, as latentmi holds them."""

Members = Sequence[tuple[Sample, int]]
"""Samples of equal shape with their seeds."""


class StackedEstimator(CheckedEstimator):
    """Base of estimators that fit many samples in one loop."""

    @abstractmethod
    def _members_at_once(self, sample: Sample) -> int:
        """How many members of this sample's shape one stack may hold."""

    @abstractmethod
    def _fit(self, members: Members) -> list[Measured]:
        """Fit one stack and estimate on it."""

    def _measure(self, sample: Sample, seed: int) -> Measured:
        return self._measure_many([sample], [seed])[0]

    def _measure_many(self, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Measured]:
        found: dict[int, Measured] = {}
        groups: dict[Any, list[int]] = {}
        for place, sample in enumerate(samples):
            shape = (*sample.x.shape, *sample.y.shape[1:], sample.classes)
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
