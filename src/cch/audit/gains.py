"""Intervals and conclusions of paired differences again, one run at a time, by the same draws.

The rule is atop ``cch.criterion.gain``; nothing here is shared with it.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from scipy.special import stdtr, stdtrit

from cch.audit.facts import Facts
from cch.base.errors import CchError

DRAWS = 2_000
MARGIN = 0.01
ALPHA = 0.05
NO_FRACTION = ("mse", "cross_entropy")
"""Metrics that are errors: lower is better, and no margin makes two of them equivalent."""

Pair = tuple[dict[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Again:
    """An interval, derived again; ``stored`` is how a cell has it."""

    mean: float
    se: float
    freedom: float
    design: str
    units: int | None
    grouped: bool
    corrected: list[float] | None

    @property
    def p(self) -> float:
        """Two-sided p-value of no difference."""
        return self.beyond(abs(self.mean))

    def beyond(self, distance: float) -> float:
        """Twice the probability of a deviation of more than a distance; 1 without an error."""
        if self.se == 0:
            return 1.0
        return min(1.0, 2 * float(stdtr(self.freedom, -distance / self.se)))

    def stored(self, p: float) -> dict[str, Any]:
        """What a cell holds of it."""
        low, high = _ends(self.mean, self.se, self.freedom)
        return {
            "low": low, "high": high, "se": self.se, "p": p, "design": self.design,
            "units": self.units, "grouped": self.grouped, "corrected": self.corrected,
        }  # fmt: skip


def _ends(mean: float, se: float, freedom: float) -> list[float]:
    if se == 0:
        return [mean, mean]
    reach = float(stdtrit(freedom, 1 - ALPHA / 2)) * se if freedom > 0 else math.inf
    return [mean - reach, mean + reach]


def interval(
    study: str, roles: tuple[str, str], metric: str, pairs: Sequence[Pair], facts: Facts
) -> Again | None:
    """The interval of a paired difference; None below two seeds or two cases.

    Args:
        study: of the runs.
        roles: of the first and the second run of a pair.
        metric: that differs.
        pairs: in order of seed.
        facts: the files.
    """
    n = len(pairs)
    if n < 2:
        return None
    values = [one["metrics"][metric] - other["metrics"][metric] for one, other in pairs]
    mean, variance = statistics.fmean(values), statistics.variance(values)
    tested = facts.once(("tested", study, roles[0]), lambda: _Tested(study, roles[0], facts))
    if tested.units < 2:
        return None
    if tested.design == "draws":
        se = math.sqrt(variance / n)
        return Again(mean, se, n - 1, "draws", None, tested.grouped, None)
    columns = []
    for one, other in pairs:
        first, second = (
            _drawn(study, role, metric, run["id"], facts)
            for role, run in zip(roles, (one, other), strict=True)
        )
        columns.append(first - second)
    table = np.stack(columns)  # seeds by draws
    table = table[:, ~np.isnan(table).all(axis=0)]
    shared = np.nanmean(table, axis=0)
    cases = float(np.var(shared, ddof=1)) * tested.units / (tested.units - 1)
    own = statistics.fmean(float(np.nanvar(row - shared, ddof=1)) for row in table)
    seeds = max(0.0, variance - own * n / (n - 1)) / n
    corrected = None
    if tested.design == "splits":
        corrected = _ends(mean, math.sqrt(variance * (1 / n + tested.ratio)), n - 1)
    freedom, parts = math.inf, [(cases, tested.units - 1), (seeds, n - 1)]
    if cases + seeds > 0:
        freedom = (cases + seeds) ** 2 / sum(v * v / f for v, f in parts)
    se = math.sqrt(cases + seeds)
    return Again(mean, se, freedom, tested.design, tested.units, tested.grouped, corrected)


class _Tested:
    """The test rows of a study: which case each is, and how often each case is drawn."""

    def __init__(self, study: str, role: str, facts: Facts) -> None:
        with _runs_file(study, role, facts) as file:
            rows = file["test_rows"][()]
            header = json.loads(file.attrs["header"])
            self.grouped = "test_group" in file
            case = file["test_group"][()] if self.grouped else rows
        same = all((row == rows[0]).all() for row in rows)
        drawn = facts.recorded_settings(study).get("split") is not None
        self.design = "splits" if drawn else "fixed" if same else "draws"
        known = {name: number for number, name in enumerate(sorted(set(case.ravel().tolist())))}
        self.unit = [[known[name] for name in row] for row in case.tolist()]
        self.units = len(known)
        self.ratio = rows.shape[1] / header["train_rows"]
        self.times = None if self.design == "draws" else self._times(study)

    def _times(self, study: str) -> np.ndarray:
        """How often each case is drawn, (draws, cases)."""
        text = json.dumps(["gain", study], separators=(",", ":"))
        start = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
        generator = np.random.Generator(np.random.PCG64(start))
        times = np.zeros((DRAWS, self.units), np.int32)
        for row in times:
            drawn = generator.integers(self.units, size=self.units)
            row += np.bincount(drawn, minlength=self.units).astype(np.int32)
        return times

    def weights(self, seed: int) -> np.ndarray:
        """The weight of every test row of a seed, (draws, n)."""
        assert self.times is not None
        return self.times[:, self.unit[seed]].astype(np.float64)


def _runs_file(study: str, role: str, facts: Facts) -> h5py.File:
    name = facts.path("runs", study, f"{role}.h5")
    try:
        return h5py.File(facts.tree.place(name), "r")
    except OSError as error:
        raise CchError(name, f"cannot be read as runs ({error})") from None


def _drawn(study: str, role: str, metric: str, run: str, facts: Facts) -> np.ndarray:
    """A metric of a run under every draw."""
    every = facts.once(
        ("drawn", study, role, metric), lambda: _every_run(study, role, metric, facts)
    )
    return every[run]


def _every_run(study: str, role: str, metric: str, facts: Facts) -> dict[str, np.ndarray]:
    tested = facts.once(("tested", study, role), lambda: _Tested(study, role, facts))
    found, weights, last = {}, np.empty(0), None
    with _runs_file(study, role, facts) as file:
        runs, labels = json.loads(file["runs"][()]), file["test_label"][()]
        # Runs of one seed share their weights.
        for number in sorted(range(len(runs)), key=lambda number: runs[number]["seed"]):
            seed = runs[number]["seed"]
            if seed != last and (last is None or tested.design != "fixed"):
                weights = tested.weights(seed)
            last = seed
            logits = file["logits"][number]
            if np.isfinite(logits).all():
                found[runs[number]["id"]] = weighted(metric, logits, labels[seed], weights)
    return found


def weighted(metric: str, logits: np.ndarray, label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A metric of one run under weights of its rows.

    Args:
        metric: accuracy, cross_entropy, mse, weighted_f1, macro_f1 or auc.
        logits: (n, K) outputs.
        label: (n,) classes or targets.
        weights: (draws, n) counts.

    Returns:
        (draws,); not a number where the metric is not defined.
    """
    outputs = np.asarray(logits, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        if metric == "mse":
            return weights @ (outputs[:, 0] - label) ** 2 / weights.sum(axis=1)
        said, classes = outputs.argmax(axis=1), outputs.shape[1]
        if metric == "accuracy":
            return weights @ (said == label).astype(float) / weights.sum(axis=1)
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        if metric == "cross_entropy":
            return weights @ -log_p[np.arange(len(label)), label] / weights.sum(axis=1)
        if metric == "auc":
            return _auc(log_p, label, weights)
        if metric not in ("weighted_f1", "macro_f1"):
            raise CchError(
                metric,
                "the audit has no rule for this metric on weighted rows",
                "add it to `weighted` of src/cch/audit/gains.py",
            )
        above = below = np.zeros(len(weights))
        for k in range(classes):
            hits = weights @ ((said == k) & (label == k)).astype(float)
            support = weights @ (label == k).astype(float)
            either = support + weights @ (said == k).astype(float)
            f1 = np.where(either > 0, 2 * hits / np.maximum(either, 1), 0.0)
            share = support if metric == "weighted_f1" else (either > 0).astype(float)
            above, below = above + f1 * share, below + share
        return above / below


def _auc(log_p: np.ndarray, label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pairs of a class and the rest, counted one class at a time."""
    p = np.exp(log_p)
    p /= p.sum(axis=1, keepdims=True)
    total = defined = np.zeros(len(weights))
    for k in [1] if p.shape[1] == 2 else range(p.shape[1]):
        own = label == k
        score, other = p[own, k][:, None], p[~own, k][None, :]
        wins = (score > other) + 0.5 * (score == other)
        pairs = weights[:, own].sum(axis=1) * weights[:, ~own].sum(axis=1)
        area = ((weights[:, own] @ wins) * weights[:, ~own]).sum(axis=1) / pairs
        total = total + np.where(pairs > 0, area, 0.0)
        defined = defined + (pairs > 0)
    return total / defined


def conclusion(intervals: Sequence[Again | None], at: int | None, metric: str) -> tuple[str, float]:
    """What distilling did at one of the levels of a sweep, and the corrected p-value.

    Args:
        intervals: at every level.
        at: which level is meant; None where it is none of them.
        metric: that differs.
    """
    one = None if at is None else intervals[at]
    if one is None:
        return "undecided", 1.0
    known = [entry for entry in intervals if entry is not None]
    p = _corrected(one.p, [entry.p for entry in known])
    if p <= ALPHA:
        return ("helps" if (one.mean > 0) != (metric in NO_FRACTION) else "harms"), p
    inside = [entry.beyond(MARGIN - abs(entry.mean)) for entry in known]
    own = one.beyond(MARGIN - abs(one.mean))
    equal = metric not in NO_FRACTION and _corrected(own, inside) <= ALPHA
    return ("equivalent" if equal else "undecided"), p


def _corrected(p: float, every: Sequence[float]) -> float:
    """Holm: the largest of p times the number of those not yet passed, up to it."""
    ranked = sorted(every)
    tried = [(len(ranked) - k) * value for k, value in enumerate(ranked) if value <= p]
    return min(1.0, max(tried))
