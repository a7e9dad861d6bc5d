"""Arrays of a user's own, by name, out of HDF5, NPZ and CSV files.

A place is written ``FILE``, ``FILE:NAME`` or, where a file for bare names is given, ``NAME``. A
name is an array of an NPZ file, the path of an HDF5 dataset, or columns of a CSV file: names
separated by commas, each a pattern (``rna_*``). A file alone stands for its only array, or for
all columns of a CSV file.
"""

from __future__ import annotations

import csv
import re
import warnings
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.errors import CchError

SUFFIXES = (".npz", ".h5", ".hdf5", ".csv")
_PLACE = re.compile(r"(?P<file>.+?\.(?:npz|h5|hdf5|csv))(?::(?P<name>.+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where an array is: a file, and a name in it (None for all that the file holds)."""

    file: Path
    name: str | None

    def __str__(self) -> str:
        return f"{self.file}:{self.name}" if self.name else str(self.file)


@dataclass(frozen=True)
class Found:
    """An array as read: its values in the file's own type, and what a reader must know of it."""

    place: Place
    values: np.ndarray
    flags: list[str] = field(default_factory=list)


class ArrayFile(ABC):
    """An open file of named arrays.

    Raises:
        CchError: the file is missing, empty, of another format, or not readable; the line says.
    """

    what = "array"

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise CchError(path, "there is no such file")
        if not path.stat().st_size:
            raise CchError(path, "is empty")

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """What there is."""

    @abstractmethod
    def _read(self, name: str) -> np.ndarray:
        """Read one array that there is."""

    def holds(self, name: str) -> bool:
        """Whether there is something of this name."""
        return name in self.names

    def read(self, name: str | None, without: frozenset[str] = frozenset()) -> Found:
        """Read the array of a name, or the only one.

        Args:
            name: of the array; None for all that the file holds.
            without: columns of a CSV file that are no part of all of it, nor of a pattern.

        Raises:
            CchError: there is no such array, or several and no name; the line lists them.
        """
        if name is None and len(self.names) == 1:
            name = self.names[0]
        if name is None:
            problem = f"holds {len(self.names)} {self.what}s" if self.names else "holds no arrays"
            todo = f"say which with {self.path.name}:NAME; there are {_listed(self.names)}"
            raise CchError(self.path, problem, todo if self.names else "")
        if not self.holds(name):
            raise self.missing(name)
        return Found(Place(self.path, name), self._read(name))

    def missing(self, name: str) -> CchError:
        """Return the error for a name that is not there."""
        return CchError(
            self.path, f"has no {self.what} {name!r}", f"there are {_listed(self.names)}"
        )


class NPZFile(ArrayFile):
    """NumPy's archive of arrays; pickled objects are never loaded."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._archive = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile):
            self._archive = None
        if not isinstance(self._archive, np.lib.npyio.NpzFile):
            raise CchError(path, "is no NPZ file", "write it with numpy.savez")

    @property
    def names(self) -> list[str]:
        """The arrays."""
        return list(self._archive.files)

    def _read(self, name: str) -> np.ndarray:
        try:
            return self._archive[name]
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise CchError(self.path, f"array {name!r} is not readable ({error})") from None
            raise CchError(
                self.path,
                f"array {name!r} holds pickled Python objects, which are never loaded",
                "save it as an array of numbers or strings",
            ) from None
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise CchError(self.path, f"array {name!r} is not readable ({error})") from None


class HDF5File(ArrayFile):
    """Datasets by their paths, with or without the first slash."""

    what = "dataset"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        import h5py

        try:
            self._file = h5py.File(path, "r")
        except OSError:
            raise CchError(path, "is no HDF5 file, or a damaged one") from None

    @cached_property
    def names(self) -> list[str]:
        """The datasets of all groups, by path."""
        import h5py

        found: list[str] = []
        self._file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
        return found

    def holds(self, name: str) -> bool:
        """Whether there is a dataset at this path."""
        return name.strip("/") in self.names

    def _read(self, name: str) -> np.ndarray:
        import h5py

        dataset = self._file[name.strip("/")]
        try:
            if h5py.check_string_dtype(dataset.dtype):
                return np.asarray(dataset.asstr()[()], dtype=str)
            return np.asarray(dataset[()])
        except (OSError, TypeError, UnicodeDecodeError) as error:
            raise CchError(self.path, f"dataset {name!r} is not readable ({error})") from None


class CSVFile(ArrayFile):
    """Columns under a header. A column without a name, as of a written index, is left out."""

    what = "column"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        import pandas as pd

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", pd.errors.DtypeWarning)
                table = pd.read_csv(path, low_memory=False, float_precision="round_trip")
        except pd.errors.EmptyDataError:
            raise CchError(path, "is empty") from None
        except (pd.errors.ParserError, UnicodeDecodeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise CchError(path, f"is not readable as CSV ({reason})") from None
        nameless = [name for name in table.columns if str(name).startswith("Unnamed: ")]
        # pandas takes a first column that the header does not count as the index.
        left_out = nameless or not isinstance(table.index, pd.RangeIndex)
        self._flags = [f"{path.name}: a column without a name is left out"] if left_out else []
        self._table = table.drop(columns=nameless)
        self._check_header()
        self._refuse_ragged(len(table.columns) + (not isinstance(table.index, pd.RangeIndex)))

    def _refuse_ragged(self, columns: int) -> None:
        """Refuse lines with fewer values than the others: pandas fills them with gaps."""
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            self._refuse_twice(next(lines))
            for values in lines:
                # Empty lines are skipped, as pandas skips them.
                if values and len(values) < columns:
                    raise CchError(
                        self.path,
                        f"line {lines.line_num} has {len(values)} values, expected {columns}",
                        "mend that line",
                    )

    def _refuse_twice(self, header: list[str]) -> None:
        """Refuse two columns of one name: pandas gives the second another."""
        twice = [name for name, count in Counter(filter(None, header)).items() if count > 1]
        if twice:
            raise CchError(
                self.path, f"two columns are called {twice[0]!r}", "give each a name of its own"
            )

    def _check_header(self) -> None:
        if self.names and all(_is_number(name) for name in self.names):
            raise CchError(
                self.path, "has no header: its first line is numbers", "give the columns names"
            )
        for separator, word in ((";", "semicolons"), ("\t", "tabs")):
            if len(self.names) == 1 and separator in self.names[0]:
                raise CchError(self.path, f"is separated by {word}", "write it with commas")
        if not len(self._table):
            raise CchError(self.path, "has a header but no rows")

    @property
    def names(self) -> list[str]:
        """The columns."""
        return [str(name) for name in self._table.columns]

    def holds(self, name: str) -> bool:
        """Whether every part of the name matches a column."""
        return name in self.names or all(self._matching(part) for part in name.split(","))

    def _matching(self, part: str) -> list[str]:
        names = self.names
        return [part] if part in names else [name for name in names if fnmatchcase(name, part)]

    def columns(self, name: str, without: frozenset[str] = frozenset()) -> list[str]:
        """Return the columns that a name stands for, each once, in the order asked.

        A pattern does not match the columns ``without``; their own names do.
        """
        if name in self.names:
            return [name]
        found = [
            one
            for part in name.split(",")
            for one in self._matching(part)
            if one == part or one not in without
        ]
        return list(dict.fromkeys(found))

    def read(self, name: str | None, without: frozenset[str] = frozenset()) -> Found:
        """Read the columns of a name, or all but ``without``; see ``ArrayFile.read``."""
        if name is None:
            names = [one for one in self.names if one not in without]
            place = Place(self.path, names[0] if len(names) == 1 else None)
            return Found(place, self._values(names), self._flags)
        if not self.holds(name):
            lost = next(part for part in [*name.split(","), name] if not self._matching(part))
            raise self.missing(lost)
        return Found(Place(self.path, name), self._values(self.columns(name, without)))

    def _read(self, name: str) -> np.ndarray:
        return self._values(self.columns(name))

    def _values(self, names: list[str]) -> np.ndarray:
        """Return (n,) of any type for one column, else (n, columns) numbers."""
        if not names:
            raise CchError(self.path, "has no other columns than the label and the ids")
        if len(names) == 1:
            column = self._table[names[0]]
            if column.dtype != object:
                return column.to_numpy()
            self._refuse_gaps(names[0])
            return column.to_numpy().astype(str)
        for name in names:
            if self._table[name].dtype.kind not in "biuf":
                row, shown = _first_text(self._table[name])
                raise CchError(
                    self.path,
                    f"column {name!r} holds text ({shown!r} in row {row}, counted from 0), "
                    "expected numbers",
                    f"name the columns to use: {self.path.name}:COLUMN,COLUMN or a pattern (x_*)",
                )
        return self._table[names].to_numpy(dtype=np.float64)

    def _refuse_gaps(self, name: str) -> None:
        gaps = np.flatnonzero(self._table[name].isna().to_numpy())
        if len(gaps):
            raise CchError(
                f"{self.path}:{name}",
                f"{len(gaps)} values are missing, first in row {gaps[0]} (counted from 0)",
                "fill them or leave those rows out",
            )


def _first_text(values: Iterable[Any]) -> tuple[int, str]:
    """Return the first value that is no number, and its row, of a column that is not numbers."""
    texts = [(row, value) for row, value in enumerate(values) if isinstance(value, str)]
    return next((one for one in texts if not _is_number(one[1])), texts[0])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(names: list[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


_FORMATS: dict[str, type[ArrayFile]] = {
    ".npz": NPZFile,
    ".h5": HDF5File,
    ".hdf5": HDF5File,
    ".csv": CSVFile,
}


class Files:
    """Opens every file once.

    Args:
        data: the file that bare names stand in, or None.
    """

    def __init__(self, data: Path | None = None) -> None:
        self.data = data
        self._open: dict[Path, ArrayFile] = {}
        if data is not None:
            self.open(data)

    @property
    def paths(self) -> list[Path]:
        """The files that were opened, in order."""
        return list(self._open)

    def open(self, path: Path) -> ArrayFile:
        """Return the file at ``path``, opened.

        Raises:
            CchError: its name ends in no known format, or as ``ArrayFile``.
        """
        if path not in self._open:
            kind = _FORMATS.get(path.suffix.lower())
            if kind is None:
                raise CchError(
                    path, f"unknown format {path.suffix!r}", f"known are {', '.join(SUFFIXES)}"
                )
            self._open[path] = kind(path)
        return self._open[path]

    def place(self, text: str) -> Place:
        """Return the place that ``text`` names; names in the data file come first.

        Raises:
            CchError: it is no file, and no name in the data file.
        """
        if self.data is not None and self.open(self.data).holds(text):
            return Place(self.data, text)
        if found := _PLACE.fullmatch(text):
            return Place(Path(found["file"]), found["name"])
        if Path(text).is_file():
            self.open(Path(text))  # says that the format is unknown
        if self.data is not None:
            raise self.open(self.data).missing(text)
        raise CchError(
            text,
            f"is no {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file",
            "write FILE or FILE:NAME, or give the file of bare names first",
        )

    def read(self, place: Place, without: frozenset[str] = frozenset()) -> Found:
        """Read an array; see ``ArrayFile.read``."""
        return self.open(place.file).read(place.name, without)
