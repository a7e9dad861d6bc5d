"""Base classes of estimators of bounds: options, and the training of their networks."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch

from cch.information.estimator import Measured
from cch.information.limits import CONFIDENCE, Limit, check_confidence
from cch.information.stacks import Networks, StackedEstimator, StoppedFit, check_splits


@dataclass(frozen=True)
class BoundEstimator(StackedEstimator):
    """Base of estimators that give a confidence limit.

    Networks are trained, stopped early and evaluated on disjoint rows, which the package calls
    training (or fitting), stopping and reading rows.

    Args:
        epochs: largest number of epochs.
        patience: epochs without improvement on the stopping rows after which training stops.
        batch_size: largest number of rows of a batch.
        units: of the single hidden layer of a network, with ReLU.
        confidence: of the one-sided limit.
        lr: learning rate of AdamW.
        weight_decay: of AdamW.
        stop_split: fraction of rows for early stopping and for tuning the trained network.
        estimate_split: fraction of rows that the bound is evaluated on.
        device: torch device; the value is repeatable on ``cpu`` only.
        memory_gb: memory of networks that are trained together, GiB.

    Raises:
        CchError: an option is outside its range.
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

    def _known(self, x: np.ndarray, y: np.ndarray) -> Measured | None:
        known = super()._known(x, y)
        if known is None:
            return None
        # Exactly 0; whoever reads a limit needs its mean, error and degrees of freedom here too.
        return replace(known, fit=Limit(known.value, 0.0, len(x) - 1).said())

    def _training_rows(self, rows: int) -> float:
        """Return the number of training rows of ``rows``, before rounding."""
        return rows * (1 - self.stop_split - self.estimate_split)


class BoundFit(StoppedFit):
    """Training of one stack of members of equal shape, and their confidence limits."""

    FIRST_EPOCH = 0

    def _optimizer(self, networks: Networks) -> torch.optim.Adam:
        lr, weight_decay = self.options.lr, self.options.weight_decay
        return torch.optim.AdamW(networks.tensors, lr=lr, weight_decay=weight_decay, fused=True)

    def measured(self) -> list[Measured]:
        """Train until every member has stopped, then evaluate the bounds on the reading rows."""
        self.train()
        return [self._answer(member) for member in range(len(self.rows))]

    @abstractmethod
    def _answer(self, member: int) -> Measured:
        """Evaluate the bound of a member on its reading rows."""
