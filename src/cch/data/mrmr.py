"""Feature selection by mRMR (minimum redundancy, maximum relevance).

The library mrmr-selection computes F statistics and correlations column by column and holds a D x D
frame: 29 GB at 60,660 features. Here the F statistics of all columns are computed at once, and a
screen finds, at each step, the features that can be chosen next, with one matrix-vector product.
The library's own ``mrmr_base`` then chooses among those, on the same numbers that ``mrmr_classif``
would give it. So the list equals the library's, including how rounding breaks ties.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from cch.base.errors import CchError
from cch.data.scaling import BLOCK, blocks

MARGIN = 1e-6
"""Relative distance from the best score within which the library decides.

The screen's correlations of steady columns are accurate to about 1e-11 (rounding of 1e-16, times
up to 1e5 for a large mean); with redundancies of at least 0.001 that is 1e-8 of a score.
"""

TIE = 1e-10
"""Distance from 1 within which rounding decides whether a mean redundancy is 1."""

STEADY = 1e-5
"""Columns whose deviation is below this part of their largest value are correlated exactly."""

Pearson = Callable[[int, int], float]
"""The correlation of two columns, as the library computes it."""


@dataclass(frozen=True)
class Selected:
    """Features chosen by mRMR, in order of rank.

    Attributes:
        index: (K,) int64, columns in the order in which they were chosen.
        relevance: (K,) F statistics of the chosen columns.
        score: (K,) mRMR score at the step in which each was chosen.
    """

    index: np.ndarray
    relevance: np.ndarray
    score: np.ndarray


def mrmr(values: np.ndarray, label: np.ndarray, features: int) -> Selected:
    """Choose features by minimum redundancy, maximum relevance.

    Relevance is the F statistic, redundancy the mean absolute Pearson correlation with the features
    chosen before, the score their quotient. The list and its order are those of ``mrmr_classif(X,
    y, K, relevance="f", redundancy="c")`` with ``X`` in double precision and without constant
    columns, to which the library gives rounding noise as relevance (``mrmr_reference``).

    Args:
        values: (n, D) numbers without NaN; computed on in double precision.
        label: (n,) integer classes.
        features: how many to choose. Fewer are returned if fewer have a positive F statistic;
            a constant column is never chosen.

    Raises:
        CchError: shapes do not agree, a value is missing or infinite, there are fewer than two
            classes, or no feature is requested.
    """
    label = np.asarray(label)
    _check(values, label, features)
    relevance = f_statistic(values, label)
    pearson = functools.cache(
        lambda one, other: _pearson(_column(values, one), _column(values, other))
    )
    screen = _Screen(values, relevance, pearson)
    wanted = min(features, len(screen.index))
    settled: list[int] = []
    candidates: set[int] = set()
    while True:
        guess, contenders = screen.follow(settled, wanted)
        candidates |= contenders
        selected = _choose(pearson, relevance, sorted(candidates), wanted)
        chosen = selected.index.tolist()
        if chosen == guess:
            return selected
        # Up to the first difference all possible winners were candidates: the library is right.
        step = next(i for i in range(wanted) if chosen[i] != guess[i])
        settled = chosen[: step + 1]


def mrmr_reference(values: np.ndarray, label: np.ndarray, features: int) -> Selected:
    """Choose with the library's ``mrmr_classif`` among columns that vary; slow.

    Arguments, result and errors are those of `mrmr`.
    """
    import pandas as pd

    _library()
    from mrmr import mrmr_classif

    _check(values, label, features)
    frame = pd.DataFrame(np.asarray(values, dtype=np.float64)).loc[:, np.ptp(values, axis=0) > 0]
    chosen, relevance, redundancy = mrmr_classif(
        frame,
        pd.Series(label),
        features,
        relevance="f",
        redundancy="c",
        return_scores=True,
        n_jobs=1,
        show_progress=False,
    )
    return _as_selected(chosen, relevance, redundancy)


def f_statistic(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the F statistic of each column in a one-way analysis of variance by class.

    The sums are taken in the order in which scikit-learn's ``f_classif`` takes them on one column,
    so the values are the library's to the last bit: on nearly constant columns they are rounding
    noise, and still decide what the library ranks first.

    Args:
        values: (n, D) numbers without NaN.
        label: (n,) integer classes.

    Returns:
        (D,) float64; 0 of a constant column, which rounding may make anything, and where it is 0/0.
    """
    members = [np.flatnonzero(label == one) for one in np.unique(label)]
    statistic = np.zeros(values.shape[1])
    for part, block in blocks(values):
        varies = block.min(axis=1) < block.max(axis=1)
        statistic[part] = np.where(varies, _f_of_block(block, members), 0.0)
    return np.nan_to_num(statistic, nan=0.0, posinf=np.inf, neginf=-np.inf)


def _f_of_block(block: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
    rows, classes = block.shape[1], len(members)
    squares, sums = np.zeros(len(block)), []
    for member in members:
        # A contiguous row for each feature makes NumPy sum it pairwise, as it sums one column.
        inside = np.ascontiguousarray(block[:, member])
        sums.append(inside.sum(axis=1))
        squares = squares + (inside**2).sum(axis=1)
    with np.errstate(all="ignore"):
        correction = np.sum(sums, axis=0) ** 2 / float(rows)
        between = np.zeros(len(block))
        for total, member in zip(sums, members, strict=True):
            between = between + total**2 / len(member)
        between = between - correction
        within = squares - correction - between
        return (between / float(classes - 1)) / (within / float(rows - classes))


class _Screen:
    """The features that can be chosen next, from correlations that are exact up to rounding.

    Equal columns (neighbouring genes share their copy numbers in every case) have equal
    correlations, which are computed once: ``kind`` numbers the distinct columns. Among features
    whose scores are equal up to rounding it chooses as the library does.
    """

    def __init__(self, values: np.ndarray, relevance: np.ndarray, pearson: Pearson) -> None:
        self.values, self.pearson = values, pearson
        self.index = np.flatnonzero(relevance > 0)
        self.relevance = relevance[self.index]
        self.kind, first = _kinds(values, self.index)
        self.distinct = self.index[first]
        self.unit = np.empty((len(self.distinct), len(values)))
        self.steady = np.empty(len(self.distinct), dtype=bool)
        for start in range(0, len(self.distinct), BLOCK):
            part = slice(start, start + BLOCK)
            block = np.ascontiguousarray(values[:, self.distinct[part]].T, dtype=np.float64)
            largest = np.abs(block).max(axis=1)
            block -= block.mean(axis=1, keepdims=True)
            norm = np.sqrt(np.einsum("ij,ij->i", block, block))
            self.steady[part] = norm > STEADY * largest * np.sqrt(len(values))
            self.unit[part] = block / np.where(norm > 0, norm, 1.0)[:, None]
        self._redundancy: dict[int, np.ndarray] = {}

    def follow(self, settled: Sequence[int], wanted: int) -> tuple[list[int], set[int]]:
        """Choose step by step, ``settled`` columns first.

        Returns:
            The columns chosen, and all that could have been chosen at any step.
        """
        chosen: list[int] = []
        contenders: set[int] = set()
        places = np.searchsorted(self.index, settled)
        total = np.zeros(len(self.index))
        free = np.ones(len(self.index), dtype=bool)
        for step in range(wanted):
            near = self._next(total / step if step else None, free)
            contenders.update(self.index[near].tolist())
            place = int(places[step]) if step < len(places) else self._winner(near, chosen)
            chosen.append(int(self.index[place]))
            free[place] = False
            total += self.redundancy(place)
        return chosen, contenders

    def _next(self, mean: np.ndarray | None, free: np.ndarray) -> np.ndarray:
        """Return the possible winners of a step, of equal columns the first."""
        score = np.where(free, self.relevance if mean is None else self.relevance / mean, -np.inf)
        # The library scores a mean redundancy of exactly one as 0, which rounding decides.
        sure = score if mean is None else np.where(mean < 1 - TIE, score, -np.inf)
        return self._first_of_equals(np.flatnonzero(free & (score >= sure.max() * (1 - MARGIN))))

    def _winner(self, near: np.ndarray, chosen: list[int]) -> int:
        """Return the one that the library chooses, by its arithmetic on its numbers."""
        import pandas as pd

        if len(near) == 1 or not chosen:
            return int(near[np.argmax(self.relevance[near])])
        floor, scores = _library().FLOOR, []
        for place in near:
            found = pd.Series([self.pearson(one, int(self.index[place])) for one in chosen])
            mean = found.fillna(floor).abs().clip(floor).mean()
            scores.append(self.relevance[place] / (np.inf if mean == 1.0 else mean))
        return int(near[np.argmax(scores)])

    def _first_of_equals(self, places: np.ndarray) -> np.ndarray:
        """Drop columns equal to an earlier one: scores are equal, so the earlier comes first."""
        _, first = np.unique(self.kind[places], return_index=True)
        return np.sort(places[first])

    def redundancy(self, place: int) -> np.ndarray:
        """Return absolute correlations of all columns with one, at least the library's floor."""
        kind = int(self.kind[place])
        if kind not in self._redundancy:
            floor = _library().FLOOR
            correlation = self.unit @ self.unit[kind]
            exact = np.flatnonzero(~self.steady) if self.steady[kind] else range(len(correlation))
            target = _column(self.values, self.distinct[kind])
            for other in exact:
                correlation[other] = _pearson(target, _column(self.values, self.distinct[other]))
            correlation = np.nan_to_num(np.abs(correlation), nan=floor)
            self._redundancy[kind] = np.clip(correlation, floor, None)
        return self._redundancy[kind][self.kind]


def _kinds(values: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct columns among ``index``: the number of each, and the first of each."""
    numbers: dict[bytes, int] = {}
    kind = np.empty(len(index), dtype=np.int64)
    for start in range(0, len(index), BLOCK):
        block = np.ascontiguousarray(values[:, index[start : start + BLOCK]].T)
        for offset, column in enumerate(block):
            kind[start + offset] = numbers.setdefault(column.tobytes(), len(numbers))
    return kind, np.unique(kind, return_index=True)[1]


def _library() -> ModuleType:
    """Import the library's algorithm; its import would silence all warnings of the process."""
    with warnings.catch_warnings():
        from mrmr import main

    return main


def _column(values: np.ndarray, index: int) -> np.ndarray:
    return np.asarray(values[:, index], dtype=np.float64)


def _pearson(target: np.ndarray, column: np.ndarray) -> float:
    """Return Pearson's correlation as pandas computes it for the library; NaN for a constant."""
    with np.errstate(all="ignore"):
        return np.corrcoef(target, column)[0, 1]


def _choose(
    pearson: Pearson,
    relevance: np.ndarray,
    candidates: list[int],
    wanted: int,
) -> Selected:
    """Run the library's ``mrmr_base`` among ``candidates``, in the order of the columns.

    Args:
        pearson: of two columns.
        relevance: (D,) F statistics.
        candidates: columns, ascending.
        wanted: how many to choose.
    """
    import pandas as pd

    def redundancy(target_column: int, features: list[int]) -> Any:
        return pd.Series([pearson(target_column, one) for one in features], index=features)

    return _as_selected(
        *_library().mrmr_base(
            K=wanted,
            relevance_func=lambda: pd.Series(relevance[candidates], index=candidates),
            redundancy_func=redundancy,
            return_scores=True,
            show_progress=False,
        )
    )


def _as_selected(chosen: list[int], relevance: Any, redundancy: Any) -> Selected:
    """Convert the library's answer, pandas objects by column number, to arrays."""
    mean = np.array(
        [
            redundancy.loc[one, chosen[:step]].to_numpy().mean() if step else 1.0
            for step, one in enumerate(chosen)
        ]
    )
    strength = relevance.loc[chosen].to_numpy(dtype=np.float64)
    mean[1:][mean[1:] == 1.0] = np.inf
    return Selected(np.array(chosen, dtype=np.int64), strength, strength / mean)


def _check(values: np.ndarray, label: np.ndarray, features: int) -> None:
    where = "selection"
    if values.ndim != 2:
        raise CchError(where, f"values have shape {values.shape}, expected (cases, features)")
    check_request(len(values), label, features)
    if not np.isfinite(values).all():
        raise CchError(where, "values contain NaN or infinity", "fill missing values in first")
    if len(np.unique(label)) < 2:
        raise CchError(where, "the rows hold fewer than two classes, nothing separates them")


def check_request(rows: int, label: np.ndarray, features: int) -> None:
    """Refuse a number of features below 1, and labels that do not match the rows."""
    if features < 1:
        raise CchError("selection", f"{features} features are requested", "request at least 1")
    if np.shape(label) != (rows,):
        shape = np.shape(label)
        raise CchError("selection", f"labels have shape {shape}, but there are {rows} cases")
