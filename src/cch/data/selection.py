"""Features chosen by mRMR, missing values and scales, all fitted on training rows only.

The library mrmr-selection computes F statistics and correlations column by column and holds a D x D
frame: 29 GB at 60,660 features. Here the F statistics of all columns are computed at once, and a
screen finds, step by step, which features can be the next one at all: one matrix-vector product a
step. The library's own ``mrmr_base`` then chooses among those, on the very numbers that
``mrmr_classif`` would give it. So the list is the library's, down to how its rounding breaks ties.

Layout of a selection file (S seeds, K features of D)::

    attribute ``header``   JSON: format, modality, method, rows, features, dataset, seeds,
                           train_rows (of each seed)
    feature                (D,) strings, all features of the modality
    index                  (S, K) int64, columns in the order in which they were chosen
    score                  (S, K) float64, mRMR score at that step; NaN where all features are kept
    relevance              (S, K) float64, F statistics
    mean, sd               (S, K) float64, of the training rows: fill missing values, then scale
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import h5py
import numpy as np

from cch.base.errors import CchError
from cch.base.files import whole_file

FORMAT = "cch-selection-1"
Rows = Literal["train", "all"]
Method = Literal["mrmr", "mrmr-reference"]

BLOCK = 4096
"""Columns that are converted to double precision at a time."""

MARGIN = 1e-6
"""Relative distance from the best score within which the library decides.

The screen's correlations of steady columns are good to about 1e-11 (rounding of 1e-16, times up to
1e5 for a large mean), which the floor of 0.001 under a redundancy turns into 1e-8 of a score.
"""

TIE = 1e-10
"""Relative distance within which the screen takes scores for equal."""

STEADY = 1e-5
"""A column whose deviation is smaller than this part of its largest value is correlated exactly."""


@dataclass(frozen=True)
class Selected:
    """What mRMR chose; a feature's rank is its position.

    Attributes:
        index: (K,) int64, columns in the order in which they were chosen.
        relevance: (K,) F statistics of the chosen columns.
        score: (K,) mRMR score at the step in which each was chosen.
    """

    index: np.ndarray
    relevance: np.ndarray
    score: np.ndarray


# mRMR


def mrmr(
    values: np.ndarray, label: np.ndarray, features: int, *, task: str = "classification"
) -> Selected:
    """Choose features by minimum redundancy, maximum relevance.

    Relevance is the F statistic, redundancy the mean absolute Pearson correlation with the features
    chosen before, the score their quotient. The list and its order are those of ``mrmr_classif(X,
    y, K, relevance="f", redundancy="c")`` with ``X`` in double precision (``mrmr_reference``).

    Args:
        values: (n, D) numbers without NaN; computed on in double precision.
        label: (n,) integer classes.
        features: how many are wanted. Fewer come back where fewer have a positive F statistic:
            a constant column is never chosen.
        task: only classification.

    Raises:
        CchError: shapes do not agree, a value is missing or infinite, there are fewer than two
            classes, no feature is asked for, or the task is another.
    """
    if task != "classification":
        raise CchError("selection", f"mRMR is not made for task {task!r}", "use classification")
    label = np.asarray(label)
    _check(values, label, features)
    relevance = f_statistic(values, label)
    screen = _Screen(values, relevance)
    wanted = min(features, len(screen.index))
    settled: list[int] = []
    candidates: set[int] = set()
    while True:
        guess, contenders = screen.follow(settled, wanted)
        candidates |= contenders
        selected = _choose(values, relevance, sorted(candidates), wanted)
        chosen = selected.index.tolist()
        if chosen == guess:
            return selected
        # Up to the first difference all who could win were candidates, so the library is right.
        step = next(i for i in range(wanted) if chosen[i] != guess[i])
        settled = chosen[: step + 1]


def mrmr_reference(values: np.ndarray, label: np.ndarray, features: int) -> Selected:
    """Choose by the library's ``mrmr_classif`` itself, in double precision; slow.

    Takes and returns what ``mrmr`` does, and raises what it raises.
    """
    import pandas as pd

    _library()
    from mrmr import mrmr_classif

    _check(values, label, features)
    frame = pd.DataFrame(np.asarray(values, dtype=np.float64))
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
    """F statistic of each column in a one-way analysis of variance by class.

    The sums are taken in the order in which scikit-learn's ``f_classif`` takes them on one column,
    so the values are the library's to the last bit: on nearly constant columns they are rounding
    noise, and still decide what the library ranks first.

    Args:
        values: (n, D) numbers without NaN.
        label: (n,) integer classes.

    Returns:
        (D,) float64; 0 where it is undefined (constant columns).
    """
    members = [np.flatnonzero(label == one) for one in np.unique(label)]
    statistic = np.zeros(values.shape[1])
    for part, block in _blocks(values):
        statistic[part] = _f_of_block(block, members)
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


def _blocks(values: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (columns, their values as (columns, n) float64, contiguous) over all columns."""
    for start in range(0, values.shape[1], BLOCK):
        part = slice(start, min(start + BLOCK, values.shape[1]))
        yield part, np.ascontiguousarray(values[:, part].T, dtype=np.float64)


class _Screen:
    """Who can be chosen next, from correlations that are all but exact.

    Equal columns (neighbouring genes share their copy numbers in every case) have equal numbers
    throughout, so those are computed once for all of them: ``kind`` says which a column is.
    """

    def __init__(self, values: np.ndarray, relevance: np.ndarray) -> None:
        self.values = values
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
            The columns chosen, and all who could have been chosen at any step.
        """
        chosen: list[int] = []
        contenders: set[int] = set()
        places = np.searchsorted(self.index, settled)
        total = np.zeros(len(self.index))
        free = np.ones(len(self.index), dtype=bool)
        for step in range(wanted):
            near, best = self._next(total / step if step else None, free)
            contenders.update(self.index[near].tolist())
            place = int(places[step]) if step < len(places) else best
            chosen.append(int(self.index[place]))
            free[place] = False
            total += self.redundancy(place)
        return chosen, contenders

    def _next(self, mean: np.ndarray | None, free: np.ndarray) -> tuple[np.ndarray, int]:
        """Return who can win this step (of equal columns the first), and who is likely to."""
        score = np.where(free, self.relevance if mean is None else self.relevance / mean, -np.inf)
        # The library gives nothing to a mean redundancy of exactly one, which rounding decides.
        sure = score if mean is None else np.where(mean < 1 - TIE, score, -np.inf)
        best = sure.max()
        near = self._first_of_equals(np.flatnonzero(free & (score >= best * (1 - MARGIN))))
        return near, int(near[np.argmax(score[near] >= score[near].max() * (1 - TIE))])

    def _first_of_equals(self, places: np.ndarray) -> np.ndarray:
        """Leave out columns equal to an earlier one: their scores are equal, so it goes first."""
        _, first = np.unique(self.kind[places], return_index=True)
        return np.sort(places[first])

    def redundancy(self, place: int) -> np.ndarray:
        """Absolute correlation of all columns with the one at ``place``, at least the floor."""
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
    """Number the distinct columns among ``index``: whose kind each is, and the first of each."""
    numbers: dict[bytes, int] = {}
    kind = np.empty(len(index), dtype=np.int64)
    for start in range(0, len(index), BLOCK):
        block = np.ascontiguousarray(values[:, index[start : start + BLOCK]].T)
        for offset, column in enumerate(block):
            kind[start + offset] = numbers.setdefault(column.tobytes(), len(numbers))
    return kind, np.unique(kind, return_index=True)[1]


def _library() -> ModuleType:
    """Import the library's algorithm without its order to silence all warnings of the process."""
    with warnings.catch_warnings():
        from mrmr import main

    return main


def _column(values: np.ndarray, index: int) -> np.ndarray:
    return np.asarray(values[:, index], dtype=np.float64)


def _pearson(target: np.ndarray, column: np.ndarray) -> float:
    """Pearson's correlation as pandas computes it for the library; NaN for a constant."""
    with np.errstate(all="ignore"):
        return np.corrcoef(target, column)[0, 1]


def _choose(
    values: np.ndarray, relevance: np.ndarray, candidates: list[int], wanted: int
) -> Selected:
    """Run the library's ``mrmr_base`` among ``candidates``, in the order of the columns."""
    import pandas as pd

    columns = {index: _column(values, index) for index in candidates}

    def redundancy(target_column: int, features: list[int]) -> Any:
        target = columns[target_column]
        return pd.Series([_pearson(target, columns[one]) for one in features], index=features)

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
    """Put the library's answer, pandas objects by column number, into arrays."""
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
    _check_request(len(values), label, features)
    if not np.isfinite(values).all():
        raise CchError(where, "values contain NaN or infinity", "fill missing values in first")
    if len(np.unique(label)) < 2:
        raise CchError(where, "the rows hold fewer than two classes, nothing separates them")


def _check_request(rows: int, label: np.ndarray, features: int) -> None:
    if features < 1:
        raise CchError("selection", f"{features} features are asked for", "ask for at least 1")
    if np.shape(label) != (rows,):
        shape = np.shape(label)
        raise CchError("selection", f"labels have shape {shape}, but there are {rows} cases")


# Preparation


@dataclass(frozen=True)
class Columns:
    """How columns are filled in and scaled, from the rows that ``fit_columns`` was given.

    Attributes:
        mean: (D,) float64, of the values that are not missing; 0 where all are.
        sd: (D,) float64, population standard deviation after filling in; 0 for a constant.
        seen: (D,) bool, whether any value is not missing.
    """

    mean: np.ndarray
    sd: np.ndarray
    seen: np.ndarray

    def take(self, index: np.ndarray) -> Columns:
        """Return the columns numbered ``index``, in that order."""
        return Columns(self.mean[index], self.sd[index], self.seen[index])

    def fill(self, values: np.ndarray) -> np.ndarray:
        """Return (n, D) floats of the precision of ``values``, NaN replaced by the means.

        A column without any value to fit on is 0 throughout, whatever other rows hold.
        """
        self._check(values)
        filled = values.astype(np.result_type(values.dtype, np.float32))  # a copy
        row, column = np.nonzero(np.isnan(filled))
        filled[row, column] = self.mean[column]
        filled[:, ~self.seen] = 0
        return filled

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Return (n, D) float32: filled in, minus mean, over sd; 0 where sd is 0."""
        self._check(values)
        scaled = np.empty(values.shape, dtype=np.float32)
        for part, block in _blocks(values):
            mean, sd = self.mean[part, None], self.sd[part, None]
            steps = np.where(np.isnan(block), 0.0, block - mean)
            scaled[:, part] = np.where(sd > 0, steps / np.where(sd > 0, sd, 1.0), 0.0).T
        return scaled

    def _check(self, values: np.ndarray) -> None:
        if values.ndim != 2 or values.shape[1] != len(self.mean):
            raise CchError(
                "selection",
                f"values have shape {values.shape}, but {len(self.mean)} columns were fitted",
            )


def fit_columns(values: np.ndarray, train_rows: np.ndarray) -> Columns:
    """Fit what fills in and scales each column, on training rows alone.

    Args:
        values: (N, D) numbers; NaN is missing.
        train_rows: row numbers, or a mask over the rows.

    Raises:
        CchError: there are no training rows, a row number is out of range, or a training row
            holds infinity.
    """
    rows = _row_numbers(train_rows, len(values))
    fitted = Columns(*(np.zeros(values.shape[1], dtype=kind) for kind in (float, float, bool)))
    for start in range(0, values.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        block = np.ascontiguousarray(values[rows, part].T, dtype=np.float64)
        missing = np.isnan(block)
        if np.isinf(block).any():
            raise CchError("selection", "a training row holds an infinite value")
        low = np.where(missing, np.inf, block).min(axis=1)
        high = np.where(missing, -np.inf, block).max(axis=1)
        count = (~missing).sum(axis=1)
        mean = np.where(missing, 0.0, block).sum(axis=1) / np.maximum(count, 1)
        mean = np.where(low == high, low, mean)  # a constant's mean without rounding
        steps = np.where(missing, 0.0, block - mean[:, None])
        fitted.mean[part], fitted.seen[part] = mean, count > 0
        fitted.sd[part] = np.sqrt((steps**2).mean(axis=1))
    return fitted


def _row_numbers(rows: np.ndarray, total: int) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (total,):
            raise CchError("selection", f"the mask has shape {rows.shape} for {total} rows")
        rows = np.flatnonzero(rows)
    if rows.size == 0:
        raise CchError("selection", "there are no training rows")
    if rows.ndim != 1 or rows.min() < 0 or rows.max() >= total:
        raise CchError("selection", f"training rows must be numbers in 0..{total - 1}")
    return rows.astype(np.int64)


@dataclass(frozen=True)
class Selection:
    """Features chosen for one seed, and how they are filled in and scaled.

    Attributes:
        names: (K,) the chosen features, in the order in which they were chosen.
        index: (K,) int64, their columns.
        score: (K,) mRMR scores; NaN where all features are kept.
        relevance: (K,) F statistics on the rows that the choice was made on.
        columns: of the K chosen features, fitted on training rows whatever ``rows`` is.
        features: how many were asked for.
        rows: which rows the choice was made on.
        method: how it was made.
        train_rows: number of training rows.
    """

    names: tuple[str, ...]
    index: np.ndarray
    score: np.ndarray
    relevance: np.ndarray
    columns: Columns
    features: int
    rows: Rows
    method: Method
    train_rows: int

    def inputs(self, values: np.ndarray) -> np.ndarray:
        """Return the chosen features of all rows, (N, K) float32, filled in and scaled."""
        return self.columns.transform(values[:, self.index])


def select_features(
    values: np.ndarray,
    label: np.ndarray,
    train_rows: np.ndarray,
    features: int,
    rows: Rows = "train",
    method: Method = "mrmr",
    *,
    names: Sequence[str] | None = None,
) -> Selection:
    """Choose features for one split; nothing of other rows enters unless ``rows`` is ``all``.

    Missing values are filled in by the means of the training rows. Where at least as many features
    are asked for as there are, all are kept, in the order of the columns.

    Args:
        values: (N, D) numbers; NaN is missing.
        label: (N,) integer classes.
        train_rows: row numbers, or a mask over the rows.
        features: K, how many are wanted.
        rows: ``train``, or ``all``: the leaky choice, for a study of what it does.
        method: ``mrmr``, or ``mrmr-reference`` for the library itself.
        names: (D,) names of the features; the column numbers where None.

    Raises:
        CchError: what ``mrmr`` and ``fit_columns`` raise; names do not match the columns; fewer
            than K features vary on the rows.
    """
    label = np.asarray(label)
    _check_selection(values, label, features, rows, method, names)
    train = _row_numbers(train_rows, len(values))
    if len(np.unique(label[train])) < 2:
        raise CchError("selection", "the training rows hold fewer than two classes")
    fitted = fit_columns(values, train)
    used = train if rows == "train" else np.arange(len(values))
    filled = fitted.fill(values[used])
    if features >= values.shape[1]:
        strength = f_statistic(filled, label[used])
        selected = Selected(np.arange(len(strength)), strength, np.full(len(strength), np.nan))
    else:
        choose = mrmr if method == "mrmr" else mrmr_reference
        selected = choose(filled, label[used], features)
        _check_found(len(selected.index), features, rows)
    index = selected.index
    chosen = tuple(str(i if names is None else names[i]) for i in index.tolist())
    return Selection(
        chosen, index, selected.score, selected.relevance, fitted.take(index), features, rows,
        method, len(train),
    )  # fmt: skip


def _check_selection(
    values: np.ndarray,
    label: np.ndarray,
    features: int,
    rows: str,
    method: str,
    names: Sequence[str] | None,
) -> None:
    where = "selection"
    if values.ndim != 2:
        raise CchError(where, f"values have shape {values.shape}, expected (cases, features)")
    _check_request(len(values), label, features)
    for name, value, known in (("rows", rows, Rows), ("method", method, Method)):
        if value not in get_args(known):
            raise CchError(where, f"{name} is {value!r}", f"use {' or '.join(get_args(known))}")
    if names is not None and len(names) != values.shape[1]:
        raise CchError(where, f"{len(names)} names for {values.shape[1]} features")


def _check_found(found: int, features: int, rows: Rows) -> None:
    if found < features:
        on = "the training rows" if rows == "train" else "the rows"
        raise CchError(
            "selection",
            f"{features} features are asked for, but only {found} differ between classes in {on}",
            f"ask for at most {found}",
        )


# On disk


def write_selection(
    path: str | os.PathLike[str],
    selections: Mapping[int, Selection],
    *,
    names: Sequence[str],
    modality: str,
    dataset: str,
) -> None:
    """Write the selections of all seeds, whole or not at all; equal contents give equal bytes.

    Args:
        path: the file.
        selections: by seed.
        names: (D,) all features of the modality.
        modality: its name.
        dataset: SHA-256 of the dataset file.

    Raises:
        CchError: there is no seed, or seeds differ in method, rows or number of features.
    """
    found = list(selections.values())
    if len({(one.method, one.rows, one.features, len(one.index)) for one in found}) != 1:
        raise CchError(path, "needs seeds that agree in method, rows and number of features")
    header = {
        "format": FORMAT,
        "modality": modality,
        "method": found[0].method,
        "rows": found[0].rows,
        "features": found[0].features,
        "dataset": dataset,
        "seeds": [int(seed) for seed in selections],
        "train_rows": [one.train_rows for one in found],
    }
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["header"] = json.dumps(header, sort_keys=True)
        file["feature"] = np.array([str(name).encode() for name in names], dtype=bytes)
        file["index"] = np.stack([one.index for one in found]).astype(np.int64)
        file["score"] = np.stack([one.score for one in found])
        file["relevance"] = np.stack([one.relevance for one in found])
        file["mean"] = np.stack([one.columns.mean for one in found])
        file["sd"] = np.stack([one.columns.sd for one in found])


class SelectionFile:
    """A selection file, read whole; see the module docstring for shapes.

    Attributes:
        header: the JSON header.
        seeds: S seeds, in the order of the first axes.
        names: D features of the modality.
        index: (S, K), and so ``score``, ``relevance``, ``mean``, ``sd``.

    Raises:
        CchError: the file is missing, unreadable, of another format, or its parts do not agree.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            with h5py.File(self.path, "r") as file:
                self.header: dict[str, Any] = json.loads(file.attrs["header"])
                self._check_format()
                self.names = [name.decode() for name in file["feature"][()]]
                self.index: np.ndarray = file["index"][()]
                self.score: np.ndarray = file["score"][()]
                self.relevance: np.ndarray = file["relevance"][()]
                self.mean: np.ndarray = file["mean"][()]
                self.sd: np.ndarray = file["sd"][()]
            self.seeds: list[int] = self.header["seeds"]
        except FileNotFoundError:
            raise CchError(self.path, "there is no such selection file") from None
        except (OSError, KeyError, ValueError) as error:
            raise CchError(
                self.path, f"cannot be read as a selection ({error})", "delete it and select again"
            ) from None
        self._check_parts()

    def _check_format(self) -> None:
        if self.header.get("format") != FORMAT:
            raise CchError(self.path, f"format is {self.header.get('format')!r}, not {FORMAT!r}")

    def _check_parts(self) -> None:
        shapes = {part.shape for part in (self.score, self.relevance, self.mean, self.sd)}
        if shapes != {self.index.shape} or len(self.index) != len(self.seeds):
            raise CchError(self.path, "its arrays differ in shape", "delete it and select again")
        if self.index.min() < 0 or self.index.max() >= len(self.names):
            raise CchError(self.path, "names a column that is not there", "select again")

    def chosen(self, seed: int) -> list[str]:
        """Names of the features chosen for ``seed``, in the order in which they were chosen."""
        if seed not in self.seeds:
            raise CchError(self.path, f"holds no seed {seed}")
        return [self.names[i] for i in self.index[self.seeds.index(seed)]]

    def inputs(self, values: np.ndarray) -> np.ndarray:
        """Return the chosen features for each seed, filled in and scaled: (S, N, K) float32.

        Args:
            values: (N, D), all rows and features of the modality; NaN is missing.
        """
        if values.ndim != 2 or values.shape[1] != len(self.names):
            raise CchError(
                self.path,
                f"chose among {len(self.names)} features, but values have shape {values.shape}",
            )
        result = np.empty((len(self.seeds), len(values), self.index.shape[1]), dtype=np.float32)
        for number, index in enumerate(self.index):
            seen = np.ones(len(index), dtype=bool)
            columns = Columns(self.mean[number], self.sd[number], seen)
            result[number] = columns.transform(values[:, index])
        return result
