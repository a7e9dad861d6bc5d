"""Handwritten digits: MNIST from its four IDX files, and scikit-learn's small digits."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN, read_idx, read_numbers
from cch.data.paired import RandomSplit

SIDE = 28
"""Height and width of every digit, in pixels."""

CLASSES = tuple(str(digit) for digit in range(10))

_GLYPH = 20  # MNIST's digits fill a 20 x 20 box inside the 28 x 28 frame
_CSV_SIDE, _CSV_MAXIMUM = 8, 16
_CSV_SPLIT = RandomSplit(test=0.2, key="digits-csv")


@dataclass(frozen=True)
class LabelledImages:
    """Digits of one part.

    Attributes:
        image: (N, 28, 28) uint8, 0 is paper and 255 is ink.
        label: (N,) int64, 0 to 9.
        row: (N,) int64, row of each digit in its raw file, from 0.
    """

    image: np.ndarray
    label: np.ndarray
    row: np.ndarray


@dataclass(frozen=True)
class Digits:
    """Digits for training and for testing, and their origin in words."""

    train: LabelledImages
    test: LabelledImages
    origin: str


def read_mnist(
    train_images: str | os.PathLike[str],
    train_labels: str | os.PathLike[str],
    test_images: str | os.PathLike[str],
    test_labels: str | os.PathLike[str],
) -> Digits:
    """Read MNIST (LeCun et al., 1998) with its own split from its four IDX files.

    Raises:
        CchError: a file is malformed (see ``read_idx``), holds no 28 x 28 images or no labels
            0 to 9, or images and labels are not equally many.
    """
    return Digits(
        _read_part(train_images, train_labels), _read_part(test_images, test_labels), "MNIST"
    )


def _read_part(images: str | os.PathLike[str], labels: str | os.PathLike[str]) -> LabelledImages:
    image, label = read_idx(images), read_idx(labels)
    if image.dtype != np.uint8 or image.shape[1:] != (SIDE, SIDE) or len(image) == 0:
        raise CchError(
            images, f"holds {image.dtype} {image.shape}, expected uint8 (N, {SIDE}, {SIDE})", AGAIN
        )
    if label.dtype != np.uint8 or label.shape != (len(image),):
        raise CchError(
            labels,
            f"holds {label.dtype} {label.shape}, expected a uint8 for each of the {len(image)} "
            f"images of {images}",
            AGAIN,
        )
    if label.max() > 9:
        raise CchError(labels, f"holds the label {label.max()}, expected 0 to 9", AGAIN)
    return LabelledImages(image, label.astype(np.int64), np.arange(len(image)))


def read_digits_csv(table: str | os.PathLike[str]) -> Digits:
    """Read scikit-learn's ``digits.csv.gz``: 64 pixels of 0 to 16 and the label in every row.

    The 8 x 8 digits are enlarged bilinearly to the 20 x 20 box that MNIST's digits fill, framed
    to 28 x 28, and scaled to 0..255. One fifth of the rows, with the class mix of the whole and
    the same in every call, are test rows; the table itself fixes no split.

    Raises:
        CchError: the file cannot be read, or is no table of 65 such columns.
    """
    values = _read_table(table)
    label = values[:, -1].astype(np.int64)
    image = enlarge(values[:, :-1].reshape(-1, _CSV_SIDE, _CSV_SIDE))

    def part(name: str) -> LabelledImages:
        row = _CSV_SPLIT.rows(name, 0, np.arange(len(label)), label)
        return LabelledImages(image[row], label[row], row)

    return Digits(part("train"), part("test"), "scikit-learn's 8 x 8 digits, enlarged to 28 x 28")


def _read_table(path: str | os.PathLike[str]) -> np.ndarray:
    columns = _CSV_SIDE**2 + 1
    values = read_numbers(path)
    if values.shape[1] != columns or len(values) < 2:
        raise CchError(path, f"is a table of {values.shape}, expected (N, {columns})", AGAIN)
    pixel, label = values[:, :-1], values[:, -1]
    if not ((pixel >= 0) & (pixel <= _CSV_MAXIMUM)).all():
        raise CchError(path, f"holds pixels outside 0..{_CSV_MAXIMUM}", AGAIN)
    if not np.isin(label, np.arange(10)).all():
        raise CchError(path, "holds labels (last column) that are no digit 0 to 9", AGAIN)
    return values


def enlarge(small: np.ndarray) -> np.ndarray:
    """Return (N, 8, 8) digits of 0 to 16 as (N, 28, 28) uint8 of 0 to 255."""
    from scipy import ndimage  # here, because planning imports this module and enlarges nothing

    factor = _GLYPH / _CSV_SIDE
    # grid_mode treats pixels as squares, so that the glyph keeps its place in the box.
    glyph = ndimage.zoom(
        small.astype(np.float64), (1, factor, factor), order=1, mode="nearest", grid_mode=True
    )
    margin = (SIDE - _GLYPH) // 2
    framed = np.pad(glyph, ((0, 0), (margin, margin), (margin, margin)))
    return np.rint(framed * (255 / _CSV_MAXIMUM)).astype(np.uint8)
