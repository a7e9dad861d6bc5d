"""What estimators of bounds share: their options, and how their networks are trained."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch

from cch.information.estimator import Measured
from cch.information.limits import CONFIDENCE, check_confidence
from cch.information.stacks import Networks, StackedEstimator, StoppedFit, check_splits


@dataclass(frozen=True)
class BoundEstimator(StackedEstimator):
    """A confidence limit by networks that are fitted, stopped and read on different rows.

    Args:
        epochs: at most this many.
        patience: epochs without a better value of the stopping rows after which a fit stops.
        batch_size: at most this many rows of a batch.
        units: of the one hidden layer of a network, with ReLU.
        confidence: of the limit.
        lr: AdamW's learning rate.
        weight_decay: AdamW's.
        stop_split: fraction of rows that stop the fit and tune what it gave.
        estimate_split: fraction of rows that the bound is read on.
        device: torch device; the value is repeatable on ``cpu`` only.
        memory_gb: budget of one stack.
    """

    epochs: int
    patience: int
    batch_size: int
    units: int
    confidence: float = CONFIDENCE
    lr: float = 2e-3
    weight_decay: float = 0.1
    stop_split: float = 0.2
    estimate_split: float = 0.3
    device: str = "cpu"
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        self._check_whole("epochs", "patience", "units")
        self._check_whole("batch_size", least=8)
        self._check_positive("lr", "memory_gb")
        check_confidence(self.name, self.confidence)
        check_splits(self)

    def _trained(self, rows: int) -> float:
        """About how many of ``rows`` train the network."""
        return rows * (1 - self.stop_split - self.estimate_split)


class BoundFit(StoppedFit):
    """One stack of members of equal shape, from samples to limits."""

    FIRST_EPOCH = 0

    def _optimizer(self, networks: Networks) -> torch.optim.Adam:
        lr, weight_decay = self.options.lr, self.options.weight_decay
        return torch.optim.AdamW(networks.tensors, lr=lr, weight_decay=weight_decay, fused=True)

    def measured(self) -> list[Measured]:
        """Train until every member has stopped, then read the bound on unseen rows."""
        self.train()
        return [self._answer(member) for member in range(len(self.rows))]

    @abstractmethod
    def _answer(self, member: int) -> Measured:
        """Read a member's bound on its reading rows."""
