"""Lower bounds on mutual information by a contrastive critic: InfoNCE and NWJ.

A critic f(x, y) is fitted on one part of the rows, stopped and tuned on a second, and read on a
third (see ``cch.information.limits`` for the confidence). With it, for K reading rows::

    InfoNCE  1/K sum_i ln r_i,    r_i = a + (1 - a) K e^f(x_i, y_i) / sum_j e^f(x_i, y_j)

(A. van den Oord, Y. Li, O. Vinyals, "Representation learning with contrastive predictive coding",
2018; here also with the roles of x and y exchanged, and the mean of both). It does not exceed I(X;
Y) in expectation. Proof: fix the K - 1 other y of a batch and let r(x, y) be the ratio for a new
pair. Donsker and Varadhan give E_joint[ln r] <= I(X; Y) + ln E_independent[r]. If x is independent
of all K y, they are exchangeable, so E[r] over the new pair and the others is a + (1 - a) = 1. By
Jensen, the mean over the others of ln E_independent[r] is at most 0. The constant a > 0 keeps ln r
above ln a, and K keeps it below ln K: no critic shows more than ln K nats (B. Poole, S. Ozair, A.
van den Oord, A. Alemi, G. Tucker, "On variational bounds of mutual
information", ICML 2019)::

    NWJ      E_joint[ln r] - E_independent[r] + 1,    for any r > 0 fixed by other rows

(X. Nguyen, M. Wainwright, M. Jordan, "Estimating divergence functionals and the likelihood ratio by
convex risk minimization", 2010; the form with a normaliser of Poole et al.). Here r is the ratio
above with the stopping rows as the others, so it is at most their number and one: unbounded
exponentials, which make the usual NWJ a bound on paper only, cannot occur. The second mean is over
all pairs i != j of reading rows, a U-statistic. The plug-in of Donsker and Varadhan, as in MINE, is
no lower bound, since the mean of a logarithm is not the logarithm of a mean.

I(X; Y | C) of classes C is the mean over classes of I(X; Y | C = c): the critic also sees the
class, negatives come from the same class only, and the bounds of the classes are averaged by class
share among all rows, whose sampling error is part of the limit. A class with too few reading rows
contributes 0, which is a valid lower bound.

The critic is a Gaussian one plus a learned correction. Columns become normal scores; canonical
correlations rho of whitened fitting rows, measured again on stopping rows and smoothed by isotonic
regression, give the log ratio that Gaussian variates u, v would have, up to a constant, which
cancels in the ratio: sum_k [rho u v - rho^2 (u^2 + v^2) / 2] / (1 - rho^2). A network of each side
embeds its columns; products of embeddings are added, all of them zero at the start.
With a thousand rows the Gaussian part finds most of what there is, with ten thousand the networks
add to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from cch.config import Network
from cch.data.rng import torch_generator
from cch.information.bounds import BoundEstimator, BoundFit
from cch.information.estimator import Kind, Measured, Sample
from cch.information.limits import (
    MIN_ROWS_READ,
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
    product,
    stacked,
)
from cch.training.networks import LANES, initial_layers

LARGEST_CORRELATION = 0.98
"""Canonical correlations are held to it: the Gaussian ratio's scale is 1 / (1 - rho^2)."""

CLIP = 5.0
"""Canonical variates are held to this many standard deviations."""

PAIRS = 96
"""Canonical pairs at most."""

JUDGED_ROWS = 1024
"""Stopping rows at most that are scored against each other."""

READ_ROWS = 4096
"""Reading rows that are scored against each other; more of them make several blocks."""

SHARPNESS = (0.4, 0.6, 0.8, 1.0, 1.2)
"""Factors of the critic that are tried on the stopping rows."""

MIXTURES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Constants a that are tried on the stopping rows; 1 makes the bound exactly 0."""

Score = Callable[[np.ndarray, np.ndarray], torch.Tensor]


@dataclass(frozen=True)
class Critic:
    """How critics' scores become ratios: what was chosen on the stopping rows.

    Attributes:
        sharpness: factor of the scores.
        mixture: the constant a.
    """

    sharpness: float
    mixture: float


@dataclass(frozen=True)
class InfoNCE(BoundEstimator):
    """A lower confidence limit of I(x; y) or I(x; y | classes).

    Args:
        embedding: columns of each side's embedding; the other options are ``BoundEstimator``'s.
    """

    name: ClassVar[str] = "infonce"
    kind: ClassVar[Kind] = "lower"
    quantities: ClassVar[tuple[str, ...]] = ("teacher-student", "teacher-student-given-label")

    epochs: int = 30
    patience: int = 3
    batch_size: int = 512
    units: int = 128
    embedding: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_whole("embedding")

    @property
    def version(self) -> str:
        """Version of this implementation."""
        return "3"

    def work(self, rows: int, dx: int, dy: int, labels: bool) -> float:
        """Operations of training to the last epoch, and of all pairs of a batch."""
        weights = (dx + dy) * self.units + 2 * self.units * self.embedding
        pairs = min(self.batch_size, rows) * (self.embedding + min(dx, dy))
        return 6 * (weights + pairs) * self._training_rows(rows) * self.epochs

    def _members_at_once(self, sample: Sample) -> int:
        rows, columns = len(sample.x), sum(side.shape[1] for side in as_columns(sample))
        batch = min(self.batch_size, rows)
        parameters = columns * self.units + 2 * self.units * self.embedding
        step = 4 * (4 * parameters + 3 * batch**2 + batch * (2 * columns + 4 * self.units))
        return self._members_in_memory(step, 4 * 4 * rows * columns)

    def _fit(self, members: Members) -> list[Measured]:
        return Fit(self, members).measured()

    def read(self, score: Score, rows: np.ndarray, stop: np.ndarray, critic: Critic) -> Limit:
        """Return the bound of one block of reading rows.

        Args:
            score: returns f of all pairs of some rows' x and some rows' y.
            rows: the block, (K,).
            stop: stopping rows, (S,); InfoNCE does not need them.
            critic: how scores become ratios.
        """
        scores = critic.sharpness * score(rows, rows)
        return _both([_without_each(one, critic.mixture) for one in (scores, scores.T)])


def _both(directions: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Limit:
    """Return the mean of a bound's two directions, each whole and without each row."""
    whole, without = (torch.stack(side).mean(dim=0) for side in zip(*directions, strict=True))
    return Limit.jackknife(whole.item(), without.numpy())


def _without_each(scores: torch.Tensor, mixture: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of ln r over the rows of (K, K) scores, and without each row, (K,)."""
    count = len(scores)
    # In place from here on: arrays of all pairs are large, and new ones cost more than the sums.
    shares = (scores - scores.amax(dim=1, keepdim=True)).exp_()
    total, own = shares.sum(dim=1, keepdim=True), shares.diagonal()[:, None].clone()
    whole = mixed_log(count * own / total, mixture).double().mean()
    # Without row k a sum loses e^f(x_i, y_k); what is left holds the row's own term, which may
    # have underflowed: its ratio is 0 then.
    left = torch.sub(total, shares, out=shares)
    torch.maximum(left, own, out=left).clamp_min_(torch.finfo(left.dtype).tiny)
    terms = torch.div((count - 1) * own, left, out=left).mul_(1 - mixture).add_(mixture).log_()
    return whole, (terms.sum(dim=0, dtype=torch.float64) - terms.diagonal()) / (count - 1)


def mixed_log(ratio: torch.Tensor, mixture: float) -> torch.Tensor:
    """Return ln(a + (1 - a) ratio)."""
    return (mixture + (1 - mixture) * ratio).log()


@dataclass(frozen=True)
class NWJ(InfoNCE):
    """The same critic read by NWJ; its ratios are normalised by the stopping rows."""

    name: ClassVar[str] = "nwj"

    def read(self, score: Score, rows: np.ndarray, stop: np.ndarray, critic: Critic) -> Limit:
        """Return the bound of one block of reading rows; see ``InfoNCE.read``."""
        scores, others, back = (
            critic.sharpness * score(a, b) for a, b in ((rows, rows), (rows, stop), (stop, rows))
        )
        directions = ((scores, others), (scores.T, back.T))
        return _both([_nwj_without_each(*one, critic.mixture) for one in directions])


def _nwj_without_each(
    scores: torch.Tensor, others: torch.Tensor, mixture: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the NWJ bound of (K, K) scores with others (K, S), and without each row, (K,)."""
    count, size = len(scores), others.shape[1] + 1
    normaliser = others.logsumexp(dim=1, keepdim=True)
    log_ratio = math.log(size) - torch.nn.functional.softplus(normaliser - scores)
    ratio = mixture + (1 - mixture) * log_ratio.exp()
    own = ratio.diagonal().double()
    joint = own.log()
    of_row = sum(ratio.sum(dim=side, dtype=torch.float64) for side in (0, 1)) - 2 * own
    total = of_row.sum() / 2
    whole = joint.mean() - total / (count * (count - 1)) + 1
    pairs = (count - 1) * (count - 2)
    return whole, (joint.sum() - joint) / (count - 1) - (total - of_row) / pairs + 1


class Embeddings(Networks):
    """M pairs of networks, one a side: weight, bias and weight of two layers; x first."""

    @classmethod
    def initial(
        cls, options: InfoNCE, columns: Sequence[int], generators: Sequence[torch.Generator]
    ) -> Embeddings:
        """Draw one member from each CPU generator; the last layer of y is zero."""
        network = Network(hidden=[options.units])
        drawn = []
        for generator in generators:
            x, y = (initial_layers(network, d, options.embedding, 1, generator) for d in columns)
            (w_x, b_x), (w_y, b_y), last = x[0], y[0], x[1][0].T
            drawn.append([w_x.T, b_x[None], last, w_y.T, b_y[None], torch.zeros_like(last)])
        # Biases stay one row; a side of one column is padded like any other.
        shapes = [
            (1 if place % 3 == 1 else padded(one.shape[0]), padded(one.shape[1]))
            for place, one in enumerate(drawn[0])
        ]
        tensors = [torch.zeros(len(drawn), *shape) for shape in shapes]
        for member, parts in enumerate(drawn):
            for tensor, values in zip(tensors, parts, strict=True):
                tensor[member, : values.shape[0], : values.shape[1]] = values
        return cls(tensors)

    def embedded(self, side: int, rows: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of rows (M, B, d padded) of x (0) or y (1)."""
        first, bias, last = self.tensors[3 * side : 3 * side + 3]
        return product(torch.relu(affine(rows, first, bias)), last)


@dataclass(frozen=True)
class GaussianPart:
    """The part of a critic that is Gaussian in canonical variates.

    Attributes:
        turn_x: (dx, k), from columns to variates of unit variance.
        turn_y: (dy, k).
        rho: their correlations on the stopping rows, smoothed so that none is above the one before,
            (k,); 0 to ``LARGEST_CORRELATION``.
        ridge: chosen on the stopping rows.
    """

    turn_x: np.ndarray
    turn_y: np.ndarray
    rho: np.ndarray
    ridge: float = math.nan

    def factors(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (n, k + 2) and (m, k + 2) whose products are the scores of all pairs."""
        u, v = _clipped(x, self.turn_x), _clipped(y, self.turn_y)
        scale = self.rho / (1 - self.rho**2)
        square = (self.rho * scale / 2)[:, None]
        return (
            np.hstack([u * scale, -(u**2) @ square, np.ones((len(u), 1))]),
            np.hstack([v, np.ones((len(v), 1)), -(v**2) @ square]),
        )


def gaussian_part(
    x: np.ndarray, y: np.ndarray, fit: np.ndarray, stop: np.ndarray, given: np.ndarray | None
) -> GaussianPart:
    """Fit the Gaussian part of a critic.

    Args:
        x: (n, dx) normal scores, less the means of classes where there are classes.
        y: (n, dy) likewise.
        fit: rows that whiten and turn.
        stop: rows that measure the correlations anew and choose the ridge.
        given: (n,) classes, or None.
    """
    some, best, chosen = stop[:JUDGED_ROWS], -math.inf, None
    white_x, white_y = Whitening.of(x[fit]), Whitening.of(y[fit])
    cross = x[fit].T @ y[fit] / len(fit)
    groups = None if given is None else torch.from_numpy(given[some])[None]
    for ridge in RIDGES:
        part = _canonical(x, y, fit, stop, cross, white_x.at(ridge), white_y.at(ridge))
        u, v = part.factors(x[some], y[some])
        scores = torch.from_numpy(u.astype(np.float32) @ v.T.astype(np.float32))[None]
        reached = log_ratios(scores, groups).mean().item()
        if chosen is None or reached > best:
            best, chosen = reached, replace(part, ridge=ridge)
    assert chosen is not None
    return chosen


def _canonical(
    x: np.ndarray,
    y: np.ndarray,
    fit: np.ndarray,
    stop: np.ndarray,
    cross: np.ndarray,
    white_x: np.ndarray,
    white_y: np.ndarray,
) -> GaussianPart:
    """Return the Gaussian part for whitening matrices (dx, dx) and (dy, dy)."""
    turn_x, found, turn_y = np.linalg.svd(white_x.T @ cross @ white_y, full_matrices=False)
    kept = min(len(found), PAIRS)
    sides = []
    for values, turn in ((x, white_x @ turn_x[:, :kept]), (y, white_y @ turn_y[:kept].T)):
        spread = np.sqrt(((values[fit] @ turn) ** 2).mean(axis=0))
        sides.append(turn / np.where(spread > 1e-6, spread, np.inf))
    rho = _correlations(*(_clipped(v[stop], turn) for v, turn in zip((x, y), sides, strict=True)))
    # Canonical correlations do not rise from pair to pair, but for noise of these rows.
    rho = isotonic_regression(rho, increasing=False).x.clip(0, LARGEST_CORRELATION)
    return GaussianPart(*sides, rho)


def _clipped(values: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return canonical variates (n, k), held to ``CLIP``."""
    return np.clip(values @ turn, -CLIP, CLIP)


def _correlations(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Correlation of each column of u (n, k) with that of v, (k,); 0 without spread."""
    u, v = u - u.mean(axis=0), v - v.mean(axis=0)
    scale = np.sqrt((u**2).sum(axis=0) * (v**2).sum(axis=0))
    return (u * v).sum(axis=0) / np.where(scale > 0, scale, np.inf)


def log_ratios(scores: torch.Tensor, groups: torch.Tensor | None) -> torch.Tensor:
    """Return the mean over both directions of ln K p of each pair's own other, (M, B).

    Args:
        scores: f of all pairs of a batch, (M, B, B).
        groups: (M, B) classes; others of another class do not count.
    """
    own = scores.diagonal(dim1=1, dim2=2)
    count: float | torch.Tensor = math.log(scores.shape[1])
    if groups is not None:
        same = groups[:, :, None] == groups[:, None, :]
        scores = scores.masked_fill(~same, -math.inf)
        count = same.sum(dim=2).to(scores.dtype).log()
    return own + count - (scores.logsumexp(dim=2) + scores.logsumexp(dim=1)) / 2


class Fit(BoundFit):
    """One stack of members of equal shape, from samples to limits."""

    networks: Embeddings
    best: Embeddings

    def __init__(self, options: InfoNCE, members: Members) -> None:
        super().__init__(options, members)
        self.gaussian: list[GaussianPart] = []
        self.factors: list[list[torch.Tensor]] = []
        self.given = None
        if members[0][0].given is not None:
            self.given = np.stack([sample.given for sample, _ in members])
        self.classes = members[0][0].groups
        sides = [self._sides(sample, member) for member, (sample, _) in enumerate(members)]
        columns = [side.shape[1] for side in sides[0]]
        self.x, self.y = (stacked(side).to(self.device) for side in zip(*sides, strict=True))
        self.fixed = [stacked(side).to(self.device) for side in zip(*self.factors, strict=True)]
        self.groups = None
        if self.given is not None:
            self.groups = torch.from_numpy(self.given).to(self.device)
        weights = [torch_generator(options.name, seed, "weights") for seed in self.seeds]
        start = Embeddings.initial(options, columns, weights)
        self.start(Embeddings([t.to(self.device).requires_grad_() for t in start.tensors]))

    def _sides(self, sample: Sample, member: int) -> list[torch.Tensor]:
        """Columns of both networks, (n, d) each; fits the Gaussian part besides."""
        rows, given = self.rows[member], sample.given
        scores = [normal_scores(side, rows.train) for side in as_columns(sample)]
        x, y = scores
        if given is not None:
            x, y = (less_class_means(side, given, rows.train) for side in scores)
        part = gaussian_part(x, y, rows.train, rows.stop, given)
        self.gaussian.append(part)
        self.factors.append([torch.from_numpy(side).float() for side in part.factors(x, y)])
        if given is not None:
            scores = [np.hstack([side, np.eye(sample.groups)[given]]) for side in scores]
        return [torch.from_numpy(side).float() for side in scores]

    def _losses(self, members: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        # Exponentials of the last elements of an array that fills no register round differently, so
        # rows beyond a multiple of LANES wait for another epoch.
        used = rows.shape[1] // LANES * LANES or rows.shape[1]
        return -self._ratios(self.networks, members, rows[:, :used]).mean(dim=1)

    def _reached(self, members: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        # One by one: the scores of all pairs of all members need not fit into memory.
        some = rows[:, :JUDGED_ROWS]
        found = [
            self._ratios(self.networks.select(slice(i, i + 1)), members[i : i + 1], some[i : i + 1])
            for i in range(len(members))
        ]
        return torch.cat(found).mean(dim=1)

    def _ratios(
        self, networks: Embeddings, members: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        groups = None if self.groups is None else self.groups[members[:, None], rows]
        return log_ratios(self._scores(networks, members, rows, rows), groups)

    def _scores(
        self, networks: Embeddings, members: torch.Tensor, rows: torch.Tensor, others: torch.Tensor
    ) -> torch.Tensor:
        """F of all pairs of x in rows (M, B) and y in others (M, B'), (M, B, B')."""
        chosen = members[:, None]
        x = networks.embedded(0, self.x[chosen, rows]) / math.sqrt(self.options.embedding)
        y = networks.embedded(1, self.y[chosen, others])
        x = torch.cat([x, self.fixed[0][chosen, rows]], dim=2)
        y = torch.cat([y, self.fixed[1][chosen, others]], dim=2)
        return product(x, y.transpose(1, 2))

    @torch.no_grad()
    def _answer(self, member: int) -> Measured:
        critic = self._tuned(member)
        shares, parts = [], []
        for share, rows, stop in self._blocks(member):
            shares.append(share)
            parts.append(self.options.read(partial(self._alone, member), rows, stop, critic))
        limit = Limit.weighted(shares, parts, None if self.given is None else self.given.shape[1])
        gaussian = self.gaussian[member]
        fit: dict[str, Any] = {
            "torch": metadata.version("torch"),
            **limit.said(),
            **self.said(member),
            "sharpness": critic.sharpness,
            "mixture": critic.mixture,
            "ridge": gaussian.ridge,
            "canonical_pairs": int((gaussian.rho > 0).sum()),
        }
        if self.given is not None:
            fit["share_read"] = float(sum(shares))
        flags = [] if parts else ["no class has rows enough to be read"]
        return Measured(limit.at(self.options.confidence, -1), fit, flags)

    def _alone(self, member: int, rows: np.ndarray, others: np.ndarray) -> torch.Tensor:
        """F of a member's pairs of rows, (B, B') float32 on the CPU."""
        place = torch.tensor([member], device=self.device)
        some = (torch.from_numpy(part[None]).to(self.device) for part in (rows, others))
        return self._scores(self.best.select(place), place, *some)[0].cpu()

    def _tuned(self, member: int) -> Critic:
        """Choose sharpness and mixture on the stopping rows."""
        stop = self.rows[member].stop[:JUDGED_ROWS]
        scores = self._alone(member, stop, stop)[None]
        groups = None if self.given is None else torch.from_numpy(self.given[member][stop])[None]
        found = {}
        for sharpness in SHARPNESS:
            # Of the geometric mean of both directions, which is near the mean of both.
            ratio = log_ratios(sharpness * scores, groups).exp()
            for mixture in MIXTURES:
                reached = mixed_log(ratio, mixture).mean().item()
                found[Critic(sharpness, mixture)] = reached if math.isfinite(reached) else 0.0
        return max(found, key=lambda critic: found[critic])

    def _blocks(self, member: int) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
        """Yield blocks of reading rows: their share of all rows, they, and stopping rows."""
        rows = self.rows[member]
        given = np.zeros(len(self.x[0]), int) if self.given is None else self.given[member]
        for code in np.unique(given):
            read, stop = (part[given[part] == code] for part in (rows.estimate, rows.stop))
            if len(read) < MIN_ROWS_READ or not len(stop):
                continue
            blocks = np.array_split(read, math.ceil(len(read) / READ_ROWS))
            for block in blocks:
                yield float((given == code).mean()) / len(blocks), block, stop
