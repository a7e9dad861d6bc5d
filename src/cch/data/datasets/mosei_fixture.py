"""A simulated ``mosei_raw.pkl`` of the real layout.

For tests, the demo and the benchmark. The numbers are random; only the layout is MOSEI's: three
folds, sequences padded with zeros on the left, some segments without text, some audio values of
minus infinity, labels (N, 1, 7). The file is written as a stream, so that the real size needs
little memory, and with numpy's old module names, so its bytes do not depend on numpy's version.

Every segment has a sentiment z and a topic c, independent and standard normal. Text has both with
little noise; vision has both and audio has z with much noise. A modality's tokens are its factors
times fixed loadings, plus noise for each token.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from cch.base.files import whole_file
from cch.data.datasets.mosei import FEATURES, LABELS
from cch.data.rng import numpy_generator

_BLOCK = 64
"""Segments drawn from one generator."""

_MIXTURE = {
    "text": ((1.0, 0.0, 0.4), (0.0, 1.0, 0.0)),
    "audio": ((0.5, 0.0, 0.9), (0.0, 0.2, 1.0)),
    "vision": ((0.6, 0.0, 0.8), (0.0, 0.6, 0.8)),
}
"""Factors of a modality: weights of sentiment, topic and its own noise."""


@dataclass(frozen=True)
class _Segments:
    """Factors shared by all modalities of a fold of N segments."""

    sentiment: np.ndarray  # (N,) standard normal
    topic: np.ndarray  # (N,) standard normal
    tokens: np.ndarray  # (N,) steps that are not padding


def write_fixture(
    path: str | os.PathLike[str],
    train: int = 300,
    valid: int = 60,
    test: int = 120,
    seed: int = 0,
    steps: int = 50,
) -> None:
    """Write a pickle (protocol 4) of MOSEI's layout, float32; equal arguments give equal bytes.

    One segment in forty has no text, one in twenty-five has minus infinity in its audio, one in
    ten has vision before its first token. About 46 % of the sentiments are above 0.

    Args:
        path: the file.
        train: segments of the training fold.
        valid: segments of the validation fold.
        test: segments of the test fold.
        seed: part of the key of every generator.
        steps: stored steps of every sequence (MOSEI: 50).
    """
    folds = {"train": train, "valid": valid, "test": test}
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(pickle.PROTO + b"\x04")
        _write_dict(file, ((name, _Fold(name, rows, seed, steps)) for name, rows in folds.items()))
        file.write(pickle.STOP)


@dataclass(frozen=True)
class _Fold:
    name: str
    rows: int
    seed: int
    steps: int

    def write(self, file: BinaryIO) -> None:
        shared = self._shared()
        arrays: dict[str, Any] = {
            name: _Array(
                (self.rows, self.steps, width), "f4", lambda name=name: self._blocks(name, shared)
            )
            for name, width in FEATURES.items()
        }
        labels = self._labels(shared)
        arrays["labels"] = _Array(labels.shape, "f4", lambda: [labels])
        ids = np.array([f"{self.name}{row // 7:05d}[{row % 7}]" for row in range(self.rows)])
        arrays["id"] = _Array(ids.shape, ids.dtype.str[1:], lambda: [ids])
        _write_dict(file, arrays.items())

    def _generator(self, *key: Any) -> np.random.Generator:
        return numpy_generator("mosei-fixture", self.seed, self.name, *key)

    def _shared(self) -> _Segments:
        draw = self._generator("segments")
        sentiment, topic = draw.standard_normal((2, self.rows))
        tokens = draw.integers(max(1, self.steps // 5), self.steps, self.rows, endpoint=True)
        return _Segments(sentiment, topic, tokens)

    def _labels(self, shared: _Segments) -> np.ndarray:
        """Sentiment in thirds within -3..3, emotions in thirds within 0..3."""
        emotions = np.abs(self._generator("emotions").standard_normal((self.rows, LABELS - 1)))
        scores = np.column_stack([1.5 * shared.sentiment, emotions])
        return (np.rint(np.clip(scores, -3, 3) * 3) / 3).astype("<f4")[:, None, :]

    def _blocks(self, modality: str, shared: _Segments) -> Iterator[np.ndarray]:
        """Yield (n, steps, D) float32, 64 segments at a time."""
        loading = numpy_generator("mosei-fixture", self.seed, "loading", modality)
        mixture = np.array(_MIXTURE[modality])
        loadings = 0.6 * loading.standard_normal((len(mixture), FEATURES[modality]))
        for first in range(0, self.rows, _BLOCK):
            row = np.arange(first, min(first + _BLOCK, self.rows))
            draw = self._generator(modality, first)
            own = draw.standard_normal((len(row), len(mixture)))
            common = np.stack([shared.sentiment[row], shared.topic[row]], axis=1)
            factors = common @ mixture[:, :2].T + own * mixture[:, 2]
            block = draw.standard_normal((len(row), self.steps, loadings.shape[1]), np.float32)
            block += (factors @ loadings).astype(np.float32)[:, None, :]
            _mark(block, modality, row, self.steps - shared.tokens[row])
            yield block.astype("<f4", copy=False)


def _mark(block: np.ndarray, modality: str, row: np.ndarray, padding: np.ndarray) -> None:
    """Pad on the left with zeros; add the irregularities listed in `write_fixture`."""
    padded = np.arange(block.shape[1]) < padding[:, None]
    if modality == "vision":
        padded &= (row % 10 != 3)[:, None]
    if modality == "text":
        padded |= (row % 40 == 17)[:, None]
    block[padded] = 0
    if modality == "audio":
        block[row % 25 == 7, -1, 3] = -np.inf


# A pickle written as a stream


@dataclass(frozen=True)
class _Array:
    """An array to write block by block."""

    shape: tuple[int, ...]
    code: str
    blocks: Any

    def write(self, file: BinaryIO) -> None:
        """Write the result of ``numpy.ndarray.__reduce__``, the bytes as one string."""
        dtype = np.dtype("<" + self.code)
        module = "numpy.core.multiarray"
        start = _name(module, "_reconstruct") + _name("numpy", "ndarray")
        start += _number(0) + pickle.TUPLE1 + pickle.SHORT_BINBYTES + b"\x01b" + pickle.TUPLE3
        start += pickle.REDUCE + pickle.MARK + _number(1)
        start += pickle.MARK + b"".join(map(_number, self.shape)) + pickle.TUPLE
        start += _dtype(dtype) + pickle.NEWFALSE
        length = int(np.prod(self.shape)) * dtype.itemsize
        file.write(start + pickle.BINBYTES8 + struct.pack("<Q", length))
        for block in self.blocks():
            file.write(np.ascontiguousarray(block))
        file.write(pickle.TUPLE + pickle.BUILD)


def _write_dict(file: BinaryIO, items: Iterable[tuple[str, Any]]) -> None:
    file.write(pickle.EMPTY_DICT + pickle.MARK)
    for key, value in items:
        file.write(_text(key))
        value.write(file)
    file.write(pickle.SETITEMS)


def _text(text: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode("ascii")


def _number(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _name(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + pickle.STACK_GLOBAL


def _dtype(dtype: np.dtype) -> bytes:
    """Return the result of ``numpy.dtype.__reduce__``; only strings have a size in the state."""
    sizes = (dtype.itemsize, dtype.alignment) if dtype.kind == "U" else (-1, -1)
    start = _name("numpy", "dtype") + _text(dtype.str[1:])
    start += pickle.NEWFALSE + pickle.NEWTRUE + pickle.TUPLE3 + pickle.REDUCE
    state = _number(3) + _text("<") + pickle.NONE * 3 + b"".join(map(_number, sizes)) + _number(0)
    return start + pickle.MARK + state + pickle.TUPLE + pickle.BUILD
