"""Fill missing values and scale columns, fitted on training rows only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cch.base.errors import CchError

BLOCK = 4096
"""Columns that are converted to double precision at a time."""


@dataclass(frozen=True)
class Columns:
    """Means and scales of columns, fitted by `fit_columns`.

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

        A column without any training value is 0 in all rows.
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
        for part, block in blocks(values):
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
    """Fit means and scales of columns on training rows only.

    Args:
        values: (N, D) numbers; NaN is missing.
        train_rows: row numbers, or a mask over the rows.

    Raises:
        CchError: there are no training rows, a row number is out of range, or a training row
            holds infinity.
    """
    rows = row_numbers(train_rows, len(values))
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


def row_numbers(rows: np.ndarray, total: int) -> np.ndarray:
    """Return row numbers or a mask over ``total`` rows as checked row numbers, int64."""
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


def blocks(values: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (columns, their values as (columns, n) float64, contiguous) over all columns."""
    for start in range(0, values.shape[1], BLOCK):
        part = slice(start, min(start + BLOCK, values.shape[1]))
        yield part, np.ascontiguousarray(values[:, part].T, dtype=np.float64)
