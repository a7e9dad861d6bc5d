"""Feature selection for one split, fitted on training rows only, and its file.

Layout of a selection file (S seeds, K features of D)::

    attribute ``header``   JSON: format, modality, method, rows, features, dataset, seeds,
                           train_rows (of each seed)
    feature                (D,) strings, all features of the modality
    index                  (S, K) int64, columns in the order in which they were chosen
    score                  (S, K) float64, mRMR score at that step; NaN if all features are kept
    relevance              (S, K) float64, F statistics
    mean, sd               (S, K) float64, of the training rows: fill missing values, then scale
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np

from cch.base.errors import CchError
from cch.base.files import whole_file
from cch.data.mrmr import Selected, check_request, f_statistic, mrmr, mrmr_reference
from cch.data.scaling import Columns, fit_columns, row_numbers

FORMAT = "cch-selection-1"
Rows = Literal["train", "all"]
Method = Literal["mrmr", "mrmr-reference"]


@dataclass(frozen=True)
class Selection:
    """Features chosen for one seed, with their means and scales.

    Attributes:
        names: (K,) the chosen features, in the order in which they were chosen.
        index: (K,) int64, their columns.
        score: (K,) mRMR scores; NaN where all features are kept.
        relevance: (K,) F statistics on the rows that the choice was made on.
        columns: of the K chosen features, fitted on training rows whatever ``rows`` is.
        features: how many were requested.
        rows: the rows used for the choice.
        method: the algorithm.
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
    """Choose features for one split, from training rows only unless ``rows`` is ``all``.

    Missing values are filled with the means of the training rows. If K is at least D, all features
    are kept, in the order of the columns.

    Args:
        values: (N, D) numbers; NaN is missing.
        label: (N,) integer classes.
        train_rows: row numbers, or a mask over the rows.
        features: K, how many to choose.
        rows: ``train``, or ``all``: the leaky choice, to study its effect.
        method: ``mrmr``, or ``mrmr-reference`` for the library itself.
        names: (D,) names of the features; None: the column numbers.

    Raises:
        CchError: what ``mrmr`` and ``fit_columns`` raise; names do not match the columns; fewer
            than K features vary on the rows.
    """
    label = np.asarray(label)
    _check_selection(values, label, features, rows, method, names)
    train = row_numbers(train_rows, len(values))
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
    check_request(len(values), label, features)
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
            f"{features} features are requested, but only {found} differ between classes in {on}",
            f"ask for at most {found}",
        )


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
