"""Optimisers of stacked networks, by the name that ``training.optimizer`` gives.

One is an ``Optimizer``: for a new one write a file with an instance, and add it to
``cch.config.registry.OPTIMIZERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from cch.config import Training

Groups = list[dict[str, Any]]
"""Parameter groups, each with its ``lr``; every tensor is (M, ...), a slice for each member."""


@dataclass(frozen=True)
class Optimizer:
    """An optimiser of ``torch.optim``, or one with its interface.

    Attributes:
        make: takes parameter groups and settings. A step must act on each element, or on each
            member's slice, alone: members of a stack do not know of each other.
        state: how many numbers it keeps for a parameter, for the budget of memory.
        linear: whether a step is linear in the learning rate and the same for equal gradients,
            given no weight decay: it then trains equal colour channels folded into one.
    """

    make: Callable[[Groups, Training], torch.optim.Optimizer]
    state: Callable[[Training], int]
    linear: bool = False


def _settings(groups: Groups, training: Training) -> dict[str, Any]:
    # One pass over memory in place of several, where torch has it.
    fused = groups[0]["params"][0].device.type in ("cpu", "cuda")
    return {"lr": training.learning_rate, "weight_decay": training.weight_decay, "fused": fused}


def _sgd(groups: Groups, training: Training) -> torch.optim.Optimizer:
    settings = _settings(groups, training)
    return torch.optim.SGD(groups, momentum=training.momentum, **settings)


def _adam(groups: Groups, training: Training) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, **_settings(groups, training))


def _adamw(groups: Groups, training: Training) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, **_settings(groups, training))


SGD = Optimizer(_sgd, lambda training: int(training.momentum > 0), linear=True)
ADAM = Optimizer(_adam, lambda _: 2, linear=True)
ADAMW = Optimizer(_adamw, lambda _: 2)
