"""Read matrices of features by samples, tables of labels, and names of genes.

Text is read block by block, so that only the numbers and one block are in memory: 60,660 genes of
1,200 samples are 290 MB as float32 and several times that as text.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN, opened

BLOCK_BYTES = 16 << 20
"""Bytes of text parsed at a time."""

MISSING = ["", "NA", "NaN", "nan", "null", "None"]
"""Texts for a value that was not measured."""

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Matrix:
    """One modality of one cohort.

    Attributes:
        values: (N, D) float32; NaN is missing.
        samples: N names, as in the file.
        features: D names, as in the file.
        origin: the file, for messages.
    """

    values: np.ndarray
    samples: tuple[str, ...]
    features: tuple[str, ...]
    origin: str

    def __post_init__(self) -> None:
        if np.isinf(self.values).any():
            raise CchError(self.origin, "contains infinite values", AGAIN)
        if self.values.shape != (len(self.samples), len(self.features)):
            raise CchError(self.origin, f"has {self.values.shape} values for its names", AGAIN)

    def rows(self, index: Sequence[int]) -> Matrix:
        """Return the samples numbered ``index``, in that order."""
        names = tuple(self.samples[i] for i in index)
        return Matrix(self.values[list(index)], names, self.features, self.origin)


@dataclass(frozen=True)
class LabelTable:
    """A table about samples.

    Attributes:
        columns: by name, the text of every row; None for an empty field.
        origin: the file, for messages.
    """

    columns: dict[str, list[str | None]]
    origin: str

    def pairs(
        self, sample: str | None = None, label: str | None = None, empty: bool = False
    ) -> list[tuple[Any, Any]]:
        """Return (sample, label) of the rows that have both.

        Args:
            sample: column of the sample; None: the first.
            label: column of the label; None: the second.
            empty: include rows that lack one, as None.

        Raises:
            CchError: there is no such column.
        """
        chosen = [self._column(name, place) for place, name in enumerate((sample, label), start=0)]
        found = zip(*chosen, strict=True)
        return [(a, b) for a, b in found if empty or (a is not None and b is not None)]

    def _column(self, name: str | None, place: int) -> list[str | None]:
        names = list(self.columns)
        if name is None and place < len(names):
            return self.columns[names[place]]
        if name in self.columns:
            return self.columns[str(name)]
        wanted = "second column" if name is None else f"column {name!r}"
        raise CchError(self.origin, f"has no {wanted}", f"it has {', '.join(names)}")


@dataclass(frozen=True)
class GeneNames:
    """Gene symbols by Ensembl id, as in the file."""

    symbols: dict[str, str]


def read_features_by_samples(path: PathLike, separator: str = "\t") -> Matrix:
    """Read a table whose rows are features and whose columns are samples (Xena, feature tables).

    Raises:
        CchError: it cannot be read, a row has more or fewer fields than the header, a field is no
            number, a name repeats, or there are no rows or columns.
    """
    names, columns, blocks = _read_numbers(path, separator)
    values = np.concatenate([block.T for block in blocks], axis=1)
    return Matrix(np.ascontiguousarray(values), columns, names, str(path))


def read_samples_by_features(path: PathLike, separator: str = ",") -> Matrix:
    """Read a table whose rows are samples and whose columns are features.

    Raises:
        CchError: as ``read_features_by_samples``.
    """
    names, columns, blocks = _read_numbers(path, separator)
    return Matrix(np.concatenate(blocks), names, columns, str(path))


def _read_numbers(
    path: PathLike, separator: str
) -> tuple[tuple[str, ...], tuple[str, ...], list[np.ndarray]]:
    """Return names of rows and columns, and blocks of numbers, (rows, columns) float32."""
    with opened(path) as file:
        header = _fields(path, file.readline(), separator)
        columns, names, blocks = tuple(header[1:]), [], []
        if not columns:
            raise CchError(path, "has no column beside the names of its rows", _HEADER)
        _once(path, columns, "column")
        line = 2
        for text in _blocks(file):
            some, numbers = _parse(path, text, separator, len(header), line)
            names += some
            blocks.append(numbers)
            line += len(some)
    if not names:
        raise CchError(path, "has a header and no rows", AGAIN)
    _once(path, names, "row")
    return tuple(names), columns, blocks


_HEADER = "the first line names the columns, the first field of every other line names its row"


def _fields(path: PathLike, line: bytes, separator: str) -> list[str]:
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise CchError(path, "is no text", AGAIN) from None
    return [field.strip().strip('"') for field in text.split(separator)] if text else []


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, about ``BLOCK_BYTES`` at a time."""
    while text := file.read(BLOCK_BYTES):
        yield text + file.readline()


def _parse(
    path: PathLike, text: bytes, separator: str, fields: int, line: int
) -> tuple[list[str], np.ndarray]:
    """Return names and numbers of whole lines, of which the first has the number ``line``."""
    import polars as pl

    schema = {"name": pl.String} | {str(i): pl.Float32 for i in range(1, fields)}
    try:
        frame = pl.read_csv(
            io.BytesIO(text),
            has_header=False,
            separator=separator,
            schema=schema,
            null_values=MISSING,
            truncate_ragged_lines=False,
        )
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        raise _what_is_wrong(path, text, separator, fields, line) from None
    names = frame["name"].to_list()
    if frame.height != _lines(text) or None in names or _short(text, separator, fields):
        raise _what_is_wrong(path, text, separator, fields, line)
    return names, frame.drop("name").fill_null(float("nan")).to_numpy()


def _lines(text: bytes) -> int:
    return text.count(b"\n") + (not text.endswith(b"\n"))


def _short(text: bytes, separator: str, fields: int) -> bool:
    """Return whether some line has too few fields, which polars would fill with nulls."""
    return text.count(separator.encode()) < (fields - 1) * _lines(text) and b'"' not in text


def _what_is_wrong(path: PathLike, text: bytes, separator: str, fields: int, line: int) -> CchError:
    """Return the error for the first line that is no row of numbers."""
    for number, row in enumerate(text.splitlines(), start=line):
        found = _fields(path, row, separator)
        if len(found) != fields:
            return CchError(
                path, f"line {number} has {len(found)} fields, the header has {fields}", AGAIN
            )
        if not found[0]:
            return CchError(path, f"line {number} has no name in its first field", _HEADER)
        for place, field in enumerate(found[1:], start=2):
            if field not in MISSING and not _is_number(field):
                what = f"line {number}, field {place} holds {field[:40]!r}, which is no number"
                return CchError(path, what, _HEADER)
    return CchError(path, "is no table of numbers", AGAIN)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _once(path: PathLike, names: Sequence[str], what: str) -> None:
    """Reject duplicate names."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise CchError(path, f"has two {what}s named {name!r}", "give each a name of its own")
        seen.add(name)


def read_table(path: PathLike, separator: str = "\t") -> LabelTable:
    """Read a table of texts with a header (labels, subtypes, clinical data).

    Raises:
        CchError: it cannot be read, a row has more or fewer fields than the header, or there are
            no rows.
    """
    with opened(path) as file:
        return parse_table(path, file.read(), separator)


def parse_table(path: PathLike, text: bytes, separator: str = "\t") -> LabelTable:
    """Read a table from the bytes of a file; see `read_table`."""
    import polars as pl

    try:
        frame = pl.read_csv(
            io.BytesIO(text), separator=separator, infer_schema=False, null_values=MISSING
        )
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split())[:120]
        raise CchError(path, f"is no table with a header ({reason})", AGAIN) from None
    if frame.height == 0:
        raise CchError(path, "has a header and no rows", AGAIN)
    _refuse_short(path, text, separator, frame.width)
    return LabelTable({name: frame[name].to_list() for name in frame.columns}, str(path))


def _refuse_short(path: PathLike, text: bytes, separator: str, fields: int) -> None:
    """Refuse a line with too few fields, which polars fills with nulls; quoted texts pass."""
    if b'"' in text:
        return
    for number, row in enumerate(text.splitlines(), start=1):
        found = row.count(separator.encode()) + 1
        if row and found < fields:
            what = f"line {number} has {found} fields, the header has {fields}"
            raise CchError(path, what, AGAIN)


def read_probemap(path: PathLike) -> GeneNames:
    """Read a gene map of the UCSC Xena hub: columns ``id`` and ``gene`` among others.

    Raises:
        CchError: as ``read_table``, or one of the two columns is missing.
    """
    return GeneNames(dict(read_table(path).pairs("id", "gene")))


def unique_features(ids: Sequence[str], names: GeneNames | None) -> list[str]:
    """Return unique names of features: their gene symbols, or their ids if there is no symbol.

    An id is looked up unchanged, then without its version. A symbol of several ids is written with
    its id, ``SYMBOL (ENSG...)``, since it is ambiguous.
    """
    if names is None:
        return list(ids)
    plain = {key.partition(".")[0]: symbol for key, symbol in names.symbols.items()}
    symbols = [names.symbols.get(i) or plain.get(i.partition(".")[0]) for i in ids]
    counts: dict[Any, int] = {}
    for symbol in symbols:
        counts[symbol] = counts.get(symbol, 0) + 1
    return [
        i if symbol is None else symbol if counts[symbol] == 1 else f"{symbol} ({i})"
        for i, symbol in zip(ids, symbols, strict=True)
    ]
