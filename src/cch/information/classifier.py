"""Bounds by a classifier: H(y | x) from above, and with it I(x; y) from below.

For any probabilities q(y | x) that the reading rows did not shape, Gibbs' inequality gives::

    H(Y | X) <= E[-ln q(Y | X)]           the cross-entropy
    I(X; Y) = H(Y) - H(Y | X) >= H(Y) - E[-ln q(Y | X)]

(the relation of H(Y | X) to errors of classification is M. Hellman, J. Raviv, "Probability of
error, equivocation, and the Chernoff bound", IEEE Transactions on Information Theory 16, 1970).
The cross-entropy is a mean over reading rows, bounded because q = (1 - a) softmax + a p with the
class shares p of the fitting rows; ``cch.information.limits`` has the confidence.

H(Y) is the plug-in entropy of all rows. It is biased downwards, so the second line remains a lower
bound. Its sampling error counts: to first order it is the mean of -ln p(y) over all rows.

The classifier is linear discriminant analysis of normal scores plus a learned correction: a network
whose logits are added, zero at the start. It is stopped, and its sharpness (1 / temperature) and a
are chosen, on rows that neither fit nor read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp

from cch.base.errors import CchError
from cch.config import Network
from cch.data.rng import torch_generator
from cch.information.bounds import BoundEstimator, BoundFit
from cch.information.estimator import Kind, Labels, Measured, Sample
from cch.information.limits import (
    RIDGES,
    Limit,
    Whitening,
    less_class_means,
    normal_scores,
)
from cch.information.stacks import (
    Members,
    Networks,
    affine,
    as_columns,
    padded,
    stacked,
)
from cch.training.networks import initial_layers

SHARPNESS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5)
"""Factors of the logits that are tried on the stopping rows."""

MIXTURES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Weights of the class shares that are tried on the stopping rows; 1 leaves them alone."""


@dataclass(frozen=True)
class Classifier(BoundEstimator):
    """A lower confidence limit of I(x; y), or an upper one of H(y | x), for class labels y.

    Args:
        entropy: whether H(y | x) is bounded from above, not I(x; y) from below; the other options
            are ``BoundEstimator``'s.
    """

    name: ClassVar[str] = "classifier"
    quantities: ClassVar[tuple[str, ...]] = ("label-given-teacher", "student-label")

    epochs: int = 60
    patience: int = 4
    batch_size: int = 256
    units: int = 64
    entropy: bool = False

    @property
    def version(self) -> str:
        """Version of this implementation."""
        return "1"

    @property
    def kind(self) -> Kind:
        """`upper`: a limit of H(y | x) from above; `lower`: one of I(x; y) from below."""
        return "upper" if self.entropy else "lower"

    def of(self, quantity: str) -> Self:
        """Return the classifier that bounds ``quantity``."""
        return replace(self, entropy=quantity == "label-given-teacher")

    def work(self, rows: int, dx: int, dy: int, labels: bool) -> float:
        """Operations of training to the last epoch."""
        return 6 * (dx + dy) * self.units * self._training_rows(rows) * self.epochs

    def _asked(self, x: np.ndarray, y: np.ndarray, key: tuple[Any, ...], given: Labels) -> Any:
        asked = super()._asked(x, y, key, given)
        if asked.y.ndim != 1:
            raise CchError(self.name, "y is continuous", "give class labels")
        return asked

    def _known(self, x: np.ndarray, y: np.ndarray) -> Measured | None:
        # Where x is constant, H(y | x) is H(y), which the class shares bound; I(x; y) is 0.
        return None if self.entropy or y.ndim != 1 else super()._known(x, y)

    def _members_at_once(self, sample: Sample) -> int:
        rows, columns = sample.x.shape
        parameters = (columns + sample.classes) * self.units
        step = 4 * (4 * parameters + self.batch_size * (columns + 4 * self.units))
        return self._members_in_memory(step, 8 * rows * columns)

    def _fit(self, members: Members) -> list[Measured]:
        return Fit(self, members).measured()


@dataclass(frozen=True)
class Tuned:
    """What turns logits into probabilities: chosen on the stopping rows.

    Attributes:
        sharpness: factor of the logits.
        mixture: weight of the class shares.
    """

    sharpness: float
    mixture: float

    def losses(self, logits: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return -ln q(y | x) of rows: logits (n, C), labels (n,), class shares (C,)."""
        own = log_softmax(self.sharpness * logits, axis=1)[np.arange(len(labels)), labels]
        weights = np.log([max(1 - self.mixture, 1e-300), self.mixture])
        return -logsumexp([own + weights[0], np.log(shares[labels]) + weights[1]], axis=0)


def tuned(logits: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> tuple[float, Tuned]:
    """Return the lowest cross-entropy of rows, and what reaches it; see ``Tuned.losses``."""
    found = {}
    for sharpness in SHARPNESS:
        for mixture in MIXTURES:
            one = Tuned(sharpness, mixture)
            reached = float(one.losses(logits, labels, shares).mean())
            found[one] = reached if math.isfinite(reached) else math.inf
    best = min(found, key=lambda one: found[one])
    return found[best], best


def class_shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return shares of classes (C,), none of them 0: one row is added to each."""
    counts = np.bincount(labels, minlength=classes) + 1.0
    return counts / counts.sum()


def discriminant(
    x: np.ndarray, labels: np.ndarray, fit: np.ndarray, stop: np.ndarray, classes: int
) -> tuple[np.ndarray, float]:
    """Fit linear discriminant analysis; the ridge and sharpness are chosen on stopping rows.

    Args:
        x: (n, d).
        labels: (n,).
        fit: rows that it is fitted on.
        stop: rows that choose.
        classes: C.

    Returns:
        Logits (n, C) and the ridge.
    """
    shares = class_shares(labels[fit], classes)
    decomposed = Whitening.of(less_class_means(x, labels, fit)[fit])
    codes = np.eye(classes)[labels[fit]]
    means = codes.T @ x[fit] / np.maximum(codes.sum(axis=0), 1)[:, None]
    best, chosen = math.inf, (np.tile(np.log(shares), (len(x), 1)), RIDGES[-1])
    for ridge in RIDGES:
        white = decomposed.at(ridge)
        turned = means @ white
        logits = (x @ white) @ turned.T - (turned**2).sum(axis=1) / 2 + np.log(shares)
        reached, how = tuned(logits[stop], labels[stop], shares)
        if reached < best:
            best, chosen = reached, (how.sharpness * logits, ridge)
    return chosen


class Fit(BoundFit):
    """One stack of members of equal shape, from samples to limits."""

    def __init__(self, options: Classifier, members: Members) -> None:
        super().__init__(options, members)
        self.samples = [sample for sample, _ in members]
        self.classes = self.samples[0].classes
        columns, fixed, self.ridges = [], [], []
        for sample, rows in zip(self.samples, self.rows, strict=True):
            scores = normal_scores(as_columns(sample)[0], rows.train)
            logits, ridge = discriminant(scores, sample.y, rows.train, rows.stop, self.classes)
            columns.append(torch.from_numpy(scores).float())
            fixed.append(torch.from_numpy(logits).float())
            self.ridges.append(ridge)
        self.x = stacked(columns).to(self.device)
        self.fixed = torch.stack(fixed).to(self.device)
        labels = np.stack([sample.y for sample in self.samples])
        self.labels = torch.from_numpy(labels).to(self.device)
        self.start(self._initial(columns[0].shape[1]))

    def _initial(self, columns: int) -> Networks:
        """Draw the weights of all members; those of the logits are zero."""
        units = self.options.units
        first = torch.zeros(len(self.rows), padded(columns), padded(units))
        bias = torch.zeros(len(self.rows), 1, padded(units))
        for member, seed in enumerate(self.seeds):
            generator = torch_generator(self.options.name, seed, "weights")
            network = Network(hidden=[units])
            (weight, shift), _ = initial_layers(network, columns, self.classes, 1, generator)
            first[member, :columns, :units], bias[member, 0, :units] = weight.T, shift
        logits = padded(self.classes)
        last = torch.zeros(len(self.rows), padded(units), logits)
        shapes = [first, bias, last, torch.zeros(len(self.rows), 1, logits)]
        return Networks([tensor.to(self.device).requires_grad_() for tensor in shapes])

    def _logits(
        self, networks: Networks, members: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """Logits (M, B, C) of rows (M, B)."""
        w1, b1, w2, b2 = networks.tensors
        chosen = members[:, None]
        hidden = torch.relu(affine(self.x[chosen, rows], w1, b1))
        return affine(hidden, w2, b2)[..., : self.classes] + self.fixed[chosen, rows]

    def _cross_entropy(self, members: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Mean over rows (M, B) of -ln softmax of the label, (M,)."""
        logits = self._logits(self.networks, members, rows)
        own = logits.gather(2, self.labels[members[:, None], rows][..., None])[..., 0]
        return (logits.logsumexp(dim=2) - own).mean(dim=1)

    def _losses(self, members: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return self._cross_entropy(members, rows)

    def _reached(self, members: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return -self._cross_entropy(members, rows)

    @torch.no_grad()
    def _answer(self, member: int) -> Measured:
        rows, labels = self.rows[member], self.samples[member].y
        place = torch.tensor([member], device=self.device)
        every = torch.arange(len(labels), device=self.device)[None]
        logits = self._logits(self.best.select(place), place, every)[0].cpu().double().numpy()
        shares = class_shares(labels[rows.train], self.classes)
        _, how = tuned(logits[rows.stop], labels[rows.stop], shares)
        losses = how.losses(logits[rows.estimate], labels[rows.estimate], shares)
        limit = Limit.of_rows(losses)
        if not self.options.entropy:
            limit = information_limit(losses, labels, rows.estimate)
        fit = {
            "torch": metadata.version("torch"),
            **limit.said(),
            **self.said(member),
            "cross_entropy": float(losses.mean()),
            "sharpness": how.sharpness,
            "mixture": how.mixture,
            "ridge": self.ridges[member],
        }
        sign = 1 if self.options.entropy else -1
        return Measured(limit.at(self.options.confidence, sign), fit)


def information_limit(losses: np.ndarray, labels: np.ndarray, read: np.ndarray) -> Limit:
    """Return H(Y) of all labels less the mean of losses, with the error of both.

    Args:
        losses: -ln q(y | x) of the reading rows, (k,).
        labels: of all rows, (n,).
        read: the reading rows, (k,) indices.
    """
    shares = np.bincount(labels) / len(labels)
    surprise = -np.log(shares[labels])
    influence = surprise / len(labels)
    influence[read] -= losses / len(read)
    rest = np.delete(influence, read)
    variance = len(read) * influence[read].var(ddof=1)
    variance += len(rest) * rest.var(ddof=1)
    return Limit(float(surprise.mean() - losses.mean()), float(np.sqrt(variance)), len(read) - 1)
