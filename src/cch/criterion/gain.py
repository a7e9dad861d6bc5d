"""Whether distilling helps: errors of paired differences, from stored predictions.

A gain is the mean over seeds of a metric's difference, student minus baseline of the same seed. Its
error has two parts. One comes from the test cases: they are resampled with replacement, every test
row is weighted by its case's multiplicity, and the metric of every run is computed again from its
stored outputs. The other is the spread over seeds as far as resampled cases do not explain it.
With D the differences (draws by seeds) and S seeds::

    cases  = Var over draws of (mean over seeds of D) * U / (U - 1)     U cases
    own    = mean over seeds of Var over draws of (D - mean over seeds of D) * S / (S - 1)
    seeds  = max(0, variance over seeds - own) / S
    error  = sqrt(cases + seeds)

``own`` is the sampling variance of one seed's difference around the mean over seeds. It is
contained in ``cases`` already. The interval is Student's, with degrees of freedom by Welch and
Satterthwaite. What the cases are depends on the test rows of the seeds:

* ``splits``: a random split for every seed. Splits share cases, so the error over seeds alone,
  s / sqrt(S), measures the draw of splits. The error of Nadeau and Bengio (2003), s * sqrt(1/S +
  n_test/n_train), stands beside ours; it is conservative.
* ``fixed``: the same test rows for every seed. Seeds and rows are crossed; s / sqrt(S) leaves out
  the rows. Where rows come in groups (the utterances of a video), a case is a group.
* ``draws``: other rows for every seed, drawn independently as the training rows are. Seeds are
  then independent repetitions, and s / sqrt(S) is the error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr

from cch.criterion.gap import LEVEL
from cch.criterion.inference import effective_degrees_of_freedom, holm, student_quantile
from cch.data.rng import numpy_generator

DRAWS = 2_000
"""Bootstrap draws of a study. The Monte Carlo error of a gain's standard error is 1.6 %."""

MARGIN = 0.01
"""Margin of equivalence for metrics between 0 and 1."""

FRACTIONS = ("accuracy", "weighted_f1", "macro_f1", "auc")
LOWER_IS_BETTER = ("mse", "cross_entropy")

CHUNK = 4_000_000
"""Numbers of the largest array at work: 32 MB."""

Effect = Literal["helps", "harms", "equivalent", "undecided"]
Kind = Literal["splits", "fixed", "draws"]


@dataclass(frozen=True)
class Design:
    """How the test rows of different seeds are related.

    Attributes:
        kind: see the head of this module.
        unit: (S, n) the case of every test row, 0..U-1.
        units: U, cases.
        grouped: whether a case is a group of rows.
        ratio: test rows by training rows of a seed.
    """

    kind: Kind
    unit: np.ndarray
    units: int
    grouped: bool
    ratio: float

    @classmethod
    def of(
        cls, rows: np.ndarray, train_rows: int, *, random: bool, group: np.ndarray | None = None
    ) -> Design:
        """Return the design of a study.

        Args:
            rows: (S, n) test rows of every seed.
            train_rows: training rows of a seed.
            random: whether a split is drawn for every seed.
            group: (S, n) the group of every test row, or None.
        """
        kind: Kind = "splits" if random else "fixed" if (rows == rows[0]).all() else "draws"
        known, unit = np.unique(rows if group is None else group, return_inverse=True)
        ratio = rows.shape[1] / train_rows
        return cls(kind, unit.reshape(rows.shape), len(known), group is not None, ratio)

    def weights(self, key: tuple[object, ...], draws: int = DRAWS) -> Iterator[np.ndarray]:
        """Yield how often each case is drawn: (chunk, U) float32, ``draws`` in all.

        Args:
            key: of the generator.
            draws: how many draws.
        """
        generator = numpy_generator(*key)
        step = max(1, CHUNK // max(self.units, self.unit.shape[1]))
        for start in range(0, draws, step):
            count = min(step, draws - start)
            drawn = generator.integers(self.units, size=(count, self.units))
            drawn += np.arange(count)[:, None] * self.units
            times = np.bincount(drawn.ravel(), minlength=count * self.units)
            yield times.reshape(count, self.units).astype(np.float32)


# Metrics of weighted rows


def resampled(
    metric: str,
    logits: np.ndarray,
    label: np.ndarray,
    seed: np.ndarray,
    design: Design,
    key: tuple[object, ...],
    draws: int = DRAWS,
) -> np.ndarray:
    """Return a metric of every run under every draw of cases, (draws, R) float64.

    Args:
        metric: one of ``cch.training.metrics``.
        logits: (R, n, K) outputs of the runs on the test rows of their seeds.
        label: (S, n) classes, or targets of a regression.
        seed: (R,) of every run.
        design: of the study.
        key: of the draws; equal keys weight cases alike, whatever is weighted.
        draws: how many draws.

    Returns:
        Not a number where a metric is not defined: a run without finite outputs, a draw without
        any row of a split, an AUC without a row of two classes.
    """
    sets = [np.arange(len(label))] if design.kind == "fixed" else np.arange(len(label))[:, None]
    found = np.full((draws, len(logits)), np.nan)
    finite = np.isfinite(logits).all(axis=(1, 2))
    parts = []
    for seeds in sets:
        runs = np.flatnonzero(np.isin(seed, seeds) & finite)
        if len(runs):
            measure = _MEASURES[metric](metric, logits[runs], label[seeds[0]])
            parts.append((runs, design.unit[seeds[0]], measure))
    start = 0
    for weights in design.weights(key, draws):
        stop = start + len(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            for runs, unit, measure in parts:
                found[start:stop, runs] = measure(np.ascontiguousarray(weights[:, unit]))
        start = stop
    return found


class _Mean:
    """A metric that is a mean over rows: accuracy, cross-entropy, mean squared error."""

    def __init__(self, metric: str, logits: np.ndarray, label: np.ndarray) -> None:
        self.exact = metric == "accuracy"
        if metric == "accuracy":
            self.values = (logits.argmax(axis=2) == label).astype(np.float32)
        elif metric == "mse":
            self.values = (logits[:, :, 0].astype(np.float64) - label) ** 2
        else:
            chosen = _log_probabilities(logits)[:, np.arange(len(label)), label]
            self.values = -chosen

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Return (draws, R) for weights (draws, n)."""
        # Counts below 2^24 are exact in single precision.
        weights = weights if self.exact else weights.astype(np.float64)
        sums = (weights @ self.values.T).astype(np.float64)
        return sums / weights.sum(axis=1, dtype=np.float64)[:, None]


class _F1:
    """Macro and support-weighted F1, from weighted confusion counts."""

    def __init__(self, metric: str, logits: np.ndarray, label: np.ndarray) -> None:
        self.metric, self.label = metric, label
        self.predicted = logits.argmax(axis=2)
        self.classes = logits.shape[2]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Return (draws, R) for weights (draws, n)."""
        total = np.zeros((len(weights), len(self.predicted)))
        count = np.zeros_like(total)
        for k in range(self.classes):
            own = self.label == k
            says = (self.predicted == k).astype(np.float32)
            hits = (weights[:, own] @ says[:, own].T).astype(np.float64)
            support = weights[:, own].sum(axis=1, dtype=np.float64)[:, None]
            both = support + (weights @ says.T).astype(np.float64)
            score = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
            share = support if self.metric == "weighted_f1" else both > 0
            total += score * share
            count += share
        return total / count


class _AUC:
    """Area under the ROC curve: of the second class, or the mean of one class against the rest."""

    def __init__(self, metric: str, logits: np.ndarray, label: np.ndarray) -> None:
        probability = np.exp(_log_probabilities(logits))
        probability /= probability.sum(axis=2, keepdims=True)
        classes = [1] if probability.shape[2] == 2 else range(probability.shape[2])
        self.label = label
        self.ranked = [(k, *_ranked(probability[:, :, k])) for k in classes]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Return (draws, R) for weights (draws, n)."""
        total = np.zeros((len(weights), len(self.ranked[0][1])))
        defined = np.zeros((len(weights), 1))
        for k, order, first, last in self.ranked:
            own = self.label == k
            both = weights[:, own].sum(axis=1, dtype=np.float64)
            both *= weights[:, ~own].sum(axis=1, dtype=np.float64)
            area = _areas(weights, own, order, first, last) / both[:, None]
            present = both[:, None] > 0
            total += np.where(present, area, 0.0)
            defined += present
        return total / defined


def _ranked(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order of scores (R, n), and for each place there where its ties begin and end."""
    order = scores.argsort(axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    place = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    new = np.ones(scores.shape, dtype=bool)
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.roll(new, -1, axis=1)  # the first place is new, so the last one is an end
    last = np.where(ends, place, scores.shape[1] - 1)
    return order, first, np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]


def _areas(
    weights: np.ndarray, own: np.ndarray, order: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Weighted pairs (draws, R) in which a row of the class scores above one of the rest.

    A tie counts a half.
    """
    found = np.empty((len(weights), len(order)))
    draws, rows = weights.shape
    by_row = np.ascontiguousarray(weights.T)
    below = np.zeros((rows + 1, draws), np.float32)
    for run, places in enumerate(order):
        ranked, mine = by_row[places], own[places]
        np.cumsum(np.where(mine[:, None], 0, ranked), axis=0, out=below[1:])
        before = below[first[run, mine]] + below[last[run, mine] + 1]
        found[:, run] = np.einsum("nd,nd->d", ranked[mine], before, dtype=np.float64) / 2
    return found


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=2, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))


_MEASURES: dict[str, type[_Mean] | type[_F1] | type[_AUC]] = {
    "accuracy": _Mean,
    "cross_entropy": _Mean,
    "mse": _Mean,
    "weighted_f1": _F1,
    "macro_f1": _F1,
    "auc": _AUC,
}


# Errors


@dataclass(frozen=True)
class Gain:
    """A paired difference with its error.

    Attributes:
        mean: over seeds.
        seeds: S.
        error: standard error, see the head of this module.
        freedom: its degrees of freedom; infinite where nothing varies.
        units: cases that were resampled, or None for independent draws.
        corrected: the error of Nadeau and Bengio, for random splits; its freedom is S - 1.
    """

    mean: float
    seeds: int
    error: float
    freedom: float
    units: int | None = None
    corrected: float | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval."""
        reach = student_quantile(LEVEL, self.freedom) * self.error if self.error else 0.0
        return self.mean - reach, self.mean + reach

    @property
    def corrected_interval(self) -> tuple[float, float] | None:
        """Ends of the 95 % interval of Nadeau and Bengio."""
        if self.corrected is None:
            return None
        reach = student_quantile(LEVEL, self.seeds - 1) * self.corrected
        return self.mean - reach, self.mean + reach

    @property
    def p(self) -> float:
        """Two-sided p-value of no difference."""
        return self._tail(abs(self.mean))

    def p_equivalent(self, margin: float) -> float:
        """The p-value of a difference of ``margin`` or more.

        It is twice the larger one-sided one: at most 0.05 where the 95 % interval lies inside.
        """
        return self._tail(margin - abs(self.mean))

    def _tail(self, distance: float) -> float:
        """Twice the probability of a deviation beyond a distance, at most 1.

        An error of 0 (no test case in which student and baseline differ) is none that was measured,
        so that nothing is beyond it.
        """
        if not self.error:
            return 1.0
        return min(1.0, 2 * float(stdtr(self.freedom, -distance / self.error)))


def gain(values: Sequence[float], design: Design, drawn: np.ndarray | None) -> Gain | None:
    """Return a gain with its error; None below two seeds or two cases.

    Args:
        values: (S,) difference of each seed on all its test rows.
        design: of the study.
        drawn: (draws, S) the same differences under every draw of cases; not used for independent
            draws.
    """
    count = len(values)
    if count < 2 or design.units < 2:
        return None
    mean, spread = float(np.mean(values)), float(np.var(values, ddof=1))
    if design.kind == "draws" or drawn is None:
        return Gain(mean, count, math.sqrt(spread / count), count - 1)
    # Draws in which the metric is defined for no seed count for nothing.
    drawn = drawn[~np.isnan(drawn).all(axis=1)]
    means = np.nanmean(drawn, axis=1)
    cases = float(means.var(ddof=1)) * design.units / (design.units - 1)
    own = np.nanvar(drawn - means[:, None], axis=0, ddof=1).mean() * count / (count - 1)
    seeds = max(0.0, spread - float(own)) / count
    parts = [(cases, design.units - 1), (seeds, count - 1)]
    corrected = None
    if design.kind == "splits":
        corrected = math.sqrt(spread * (1 / count + design.ratio))
    freedom = effective_degrees_of_freedom(parts)
    return Gain(mean, count, math.sqrt(cases + seeds), freedom, design.units, corrected)


# Verdicts


def effects(gains: Sequence[Gain | None], metric: str) -> list[tuple[Effect, float]]:
    """Return what distilling did at each level of a sweep; Holm corrects for their number.

    Args:
        gains: at each level; None where there is no error.
        metric: what they are differences of; only fractions can be equivalent.

    Returns:
        For each level the conclusion, and the corrected p-value of no difference.
    """
    alpha = 1 - LEVEL
    known = [gain for gain in gains if gain is not None]
    differs = holm([gain.p for gain in known])
    equals = [1.0] * len(known)
    if metric in FRACTIONS:
        equals = holm([gain.p_equivalent(MARGIN) for gain in known])
    found: list[tuple[Effect, float]] = []
    tested = iter(zip(known, differs, equals, strict=True))
    for gain in gains:
        if gain is None:
            found.append(("undecided", 1.0))
            continue
        one, p, equal = next(tested)
        better = (one.mean > 0) != (metric in LOWER_IS_BETTER)
        said: Effect = "equivalent" if equal <= alpha else "undecided"
        if p <= alpha:
            said = "helps" if better else "harms"
        found.append((said, p))
    return found
