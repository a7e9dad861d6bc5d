"""What ``cch verdict`` is asked: arrays of a user's own, read, checked, and on the same rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np

from cch.base.errors import CchError
from cch.criterion.user_arrays import CSVFile, Files, Found, Place
from cch.information.estimator import MIN_ROWS, constant_columns, entropy_of_labels
from cch.information.units import Nats

FEW_VALUES = 20
"""A float label with at most this many distinct values may be classes: the user has to say."""

EXTREME = 2.0**400
"""A column whose largest value lies beyond this, or below its inverse, is rescaled: products of
three such values leave the range of float64."""

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Label:
    """A label as the estimators take it.

    Attributes:
        values: (n,) int64 class codes, or (n, 1) float64.
        classes: names of the classes by code; empty for a continuous label.
    """

    values: np.ndarray
    classes: list[str] = field(default_factory=list)

    @property
    def task(self) -> Task:
        """Classification for classes, regression for a continuous label."""
        return "classification" if self.classes else "regression"

    @property
    def counts(self) -> list[int]:
        """Rows of each class."""
        return np.bincount(self.values).tolist() if self.classes else []

    @property
    def entropy(self) -> Nats | None:
        """H(Y) in nats; None for a continuous label."""
        return entropy_of_labels(self.values) if self.classes else None


@dataclass(frozen=True)
class VerdictInputs:
    """Checked arrays of the same rows.

    Attributes:
        student: (n, d) float64.
        teachers: by name, (n, d) float64 each.
        label: of the same rows.
        flags: what a reader must know of the arrays.
        places: where each array came from, by role.
        files: the files read.
    """

    student: np.ndarray
    teachers: dict[str, np.ndarray]
    label: Label
    flags: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def load_inputs(
    data: Path | None,
    student: str,
    teachers: Sequence[str],
    label: str,
    task: Task | None = None,
    sample_id: str | None = None,
) -> VerdictInputs:
    """Read and check the arrays; places are written as in ``cch.criterion.user_arrays``.

    Args:
        data: the file that bare names stand in, or None.
        student: place of the student's representation.
        teachers: places of the teachers' representations, each as ``PLACE`` or ``NAME=PLACE``.
        label: place of the label; a CSV file that is named whole elsewhere leaves this column out.
        task: what the label is; by default integers, booleans and strings are classes and floats
            are continuous.
        sample_id: name of the samples' ids in every file; they must agree row by row.

    Raises:
        CchError: one line for the first thing wrong with a file, name, array or label.
    """
    files = Files(data)
    places = {"student": files.place(student), **named_places(teachers, files)}
    places["label"] = files.place(label)
    for place in places.values():
        files.open(place.file)
    found = {}
    for role, place in places.items():
        without = frozenset([sample_id] if sample_id else [])
        if role != "label" and place.file == places["label"].file:
            without |= _label_columns(files, places["label"])
        found[role] = files.read(place, without)
    inputs = check(found, task)
    repeated = _same_samples(files, sample_id) if sample_id else []
    return VerdictInputs(
        inputs.student,
        inputs.teachers,
        inputs.label,
        inputs.flags + repeated,
        {role: str(one.place) for role, one in found.items()},
        files.paths,
    )


def _same_samples(files: Files, sample_id: str) -> list[str]:
    """Refuse files whose rows are not the same samples in the same order; flag repeated ids."""
    first, *others = files.paths
    expected = _names(files, first, sample_id)
    for path in others:
        names = _names(files, path, sample_id)
        if len(names) != len(expected):
            raise CchError(
                f"{path}:{sample_id}", f"has {len(names)} rows, {first} has {len(expected)}"
            )
        if len(rows := np.flatnonzero(names != expected)):
            raise CchError(
                f"{path}:{sample_id}",
                f"row {rows[0]} (counted from 0) is {names[rows[0]]!s} but "
                f"{expected[rows[0]]!s} in {first}",
                "bring all files into one order",
            )
    again = len(expected) - len(np.unique(expected))
    if not again:
        return []
    return [f"{sample_id}: {again} rows repeat an id; bounds ask for independent rows"]


def _names(files: Files, path: Path, sample_id: str) -> np.ndarray:
    values = _column(files.read(Place(path, sample_id)), "sample ids")
    return values.astype(str)


def named_places(teachers: Sequence[str], files: Files) -> dict[str, Place]:
    """Return the place of every teacher by role, ``teacher NAME``.

    Without a name it is the array's or the file's.

    Raises:
        CchError: no teacher, two of one name, or as ``Files.place``.
    """
    if not teachers:
        raise CchError("--teacher", "there is none", "name at least one")
    named: dict[str, Place] = {}
    for text in teachers:
        found = re.fullmatch(r"(?P<name>[^=/\\:]+)=(?P<place>.+)", text)
        place = files.place(found["place"] if found else text)
        inside = place.name.strip("/") if place.name else place.file.stem
        name = found["name"] if found else inside
        if f"teacher {name}" in named:
            raise CchError(
                "--teacher", f"two teachers are called {name!r}", "name them: NAME=PLACE"
            )
        named[f"teacher {name}"] = place
    return named


def _label_columns(files: Files, place: Place) -> frozenset[str]:
    """Return the columns of a CSV file that are the label."""
    opened = files.open(place.file)
    if isinstance(opened, CSVFile) and place.name and opened.holds(place.name):
        return frozenset(opened.columns(place.name))
    return frozenset()


def check(found: dict[str, Found], task: Task | None = None) -> VerdictInputs:
    """Check arrays by role: ``student``, ``teacher NAME`` for each teacher, ``label``.

    Raises:
        CchError: one line for the first thing that is wrong.
    """
    arrays, flags = {}, []
    for role, one in found.items():
        if role != "label":
            arrays[role], said = _in_range(role, _shaped(role, one))
            flags += said
    label = _column(found["label"])
    rows = {role: len(values) for role, values in [*arrays.items(), ("label", label)]}
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{_where(role, found[role])} {count}" for role, count in rows.items())
        raise CchError("rows differ", listed, "all arrays must hold the same samples in order")
    if rows["label"] < MIN_ROWS:
        where = ", ".join(dict.fromkeys(str(one.place.file) for one in found.values()))
        raise CchError(where, f"{rows['label']} rows are too few", f"give at least {MIN_ROWS}")
    flags = list(dict.fromkeys(flag for one in found.values() for flag in one.flags)) + flags
    for role, values in arrays.items():
        flags += _spread(role, found[role], values)
    for role, values in arrays.items():
        flags += [] if role == "student" else _shared(role, values, arrays["student"])
    flags += _repeated(arrays)
    checked, said = _label(found["label"], label, task)
    for role, values in arrays.items():
        said += _leaked(role, values, label)
    return VerdictInputs(
        arrays["student"],
        {
            role.removeprefix("teacher "): values
            for role, values in arrays.items()
            if role != "student"
        },
        checked,
        flags + said,
    )


def _where(role: str, found: Found) -> str:
    return f"{role} ({found.place})"


def _kind(values: np.ndarray) -> str:
    kinds = {"U": "text", "S": "text", "O": "Python objects", "c": "complex numbers"}
    return kinds.get(values.dtype.kind, str(values.dtype))


def _shaped(role: str, found: Found) -> np.ndarray:
    """Return a representation as (n, d) float64."""
    values, where = found.values, _where(role, found)
    if values.dtype.kind not in "biuf":
        raise CchError(where, f"holds {_kind(values)}, expected numbers")
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not values.shape[1]:
        todo = f"flatten it to ({values.shape[0]}, columns)" if values.ndim > 2 else ""
        raise CchError(where, f"has shape {values.shape}, expected (rows, columns)", todo)
    return values.astype(np.float64)


def _in_range(role: str, values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Bring columns of extreme size near 1 by powers of two, which changes no information."""
    largest = np.abs(values).max(axis=0, initial=0.0)
    extreme = np.isfinite(largest) & (largest > 0)
    extreme &= (largest > EXTREME) | (largest < 1 / EXTREME)
    if not extreme.any():
        return values, []
    exponents = np.where(extreme, -np.frexp(largest)[1], 0)
    flag = f"{role}: {int(extreme.sum())} of {len(extreme)} columns rescaled, their values are"
    return np.ldexp(values, exponents), [f"{flag} up to {largest[extreme].max():.3g}"]


def _shared(role: str, values: np.ndarray, student: np.ndarray) -> list[str]:
    """Return a flag where columns are the student's: their information has no bound."""
    own = {column.tobytes() for column in np.ascontiguousarray(student.T)}
    shared = sum(column.tobytes() in own for column in np.ascontiguousarray(values.T))
    if not shared:
        return []
    what = f"{shared} of {values.shape[1]} columns are the student's"
    if values.shape == student.shape and np.array_equal(values, student):
        what = "the array is the student's"
    return [
        f"{role}: {what}; where they are continuous the true I(teacher; student) is infinite, and "
        "its estimate only grows with the rows"
    ]


def _repeated(arrays: dict[str, np.ndarray]) -> list[str]:
    """Return a flag for duplicate rows, which inflate estimates by nearest neighbours."""
    # Adding zero makes one of the two zeros, whose bytes differ.
    rows = np.ascontiguousarray(np.hstack(list(arrays.values())) + 0.0)
    first: dict[bytes, int] = {}
    pairs = [(first.setdefault(row.tobytes(), number), number) for number, row in enumerate(rows)]
    again = [pair for pair in pairs if pair[0] != pair[1]]
    if not again:
        return []
    return [
        f"{len(again)} of {len(rows)} rows duplicate an earlier row in all representations, first "
        f"row {again[0][1]} (counted from 0), a copy of row {again[0][0]}; duplicated samples make "
        "estimates and bounds far too high, and `holds` may be wrong: keep one of each"
    ]


def _leaked(role: str, values: np.ndarray, label: np.ndarray) -> list[str]:
    """Return a flag where a column is the label itself."""
    if label.dtype.kind in "biuf" and (values == label[:, None]).all(axis=0).any():
        return [f"{role}: a column is the label"]
    return []


def _refuse_broken(where: str, values: np.ndarray) -> None:
    """Refuse NaN and infinity in (n, d) values."""
    broken = ~np.isfinite(values)
    if broken.any():
        rows = np.flatnonzero(broken.any(axis=1))
        raise CchError(
            where,
            f"{int(broken.sum())} values in {len(rows)} rows are NaN or infinite, "
            f"first in row {rows[0]} (counted from 0)",
            "leave those rows out of all arrays, or mend them",
        )


def _spread(role: str, found: Found, values: np.ndarray) -> list[str]:
    """Refuse an array that is broken or constant; return a flag where some columns are."""
    _refuse_broken(_where(role, found), values)
    constant = constant_columns(values)
    if constant.all():
        _refuse_constant(_where(role, found), values)
    if constant.any():
        return [f"{role}: {int(constant.sum())} of {len(constant)} columns are constant"]
    return []


def _refuse_constant(where: str, values: np.ndarray) -> NoReturn:
    """Refuse (n, d) values without a column that varies."""
    columns = values.shape[1]
    if np.ptp(values, axis=0).any():
        what = "its only column varies" if columns == 1 else f"all {columns} columns vary"
        raise CchError(
            where,
            f"{what} by less than float32 resolves at that size",
            "subtract each column's mean, if that is more than rounding",
        )
    what = "its only column is" if columns == 1 else f"all {columns} columns are"
    raise CchError(where, f"{what} constant", "a constant representation carries nothing")


def _column(found: Found, role: str = "label") -> np.ndarray:
    """Return a label, or ids, as (n,), of whatever type they have."""
    values, where = found.values, _where(role, found)
    if values.dtype.kind not in "biufUSO":
        raise CchError(where, f"holds {_kind(values)}, expected numbers or text")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        todo = "give one column"
        if values.ndim == 2 and values.dtype.kind in "biuf" and _one_hot(values):
            todo = "it looks one-hot: give values.argmax(axis=1)"
        raise CchError(where, f"has shape {values.shape}, expected (rows,)", todo)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "replace")
    return values.astype(str) if values.dtype.kind == "O" else values


def _one_hot(values: np.ndarray) -> bool:
    return bool(np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all())


def _label(found: Found, values: np.ndarray, task: Task | None) -> tuple[Label, list[str]]:
    """Return the label of (n,) values, and flags."""
    where = _where("label", found)
    text, floats = values.dtype.kind == "U", values.dtype.kind == "f"
    if floats:
        _refuse_broken(where, values[:, None])
    distinct = np.unique(values)
    if len(distinct) == 1:
        kind = "the same value" if task == "regression" else "of one class"
        raise CchError(where, f"all {len(values)} rows are {kind}: {distinct[0]}")
    if task is None and floats:
        _refuse_ambiguous(where, distinct, len(values))
    if task == "regression" or (task is None and floats):
        if text:
            raise CchError(where, "holds text, which is no continuous label")
        column, flags = _in_range("label", values.astype(np.float64)[:, None])
        return Label(column), flags
    if floats and not (distinct == np.round(distinct)).all():
        raise CchError(where, "holds fractions, which are no classes", "say --task regression")
    return _classes(where, values, distinct)


def _refuse_ambiguous(where: str, distinct: np.ndarray, rows: int) -> None:
    """Refuse floats that may be classes; a wrong guess would answer another question."""
    whole = bool((distinct == np.round(distinct)).all())
    if len(distinct) <= FEW_VALUES or (whole and len(distinct) <= rows / 5):
        values = "whole numbers" if whole else "values"
        raise CchError(
            where,
            f"{len(distinct)} distinct {values} stored as floats: classes or continuous?",
            "say --task classification or --task regression",
        )


def _classes(where: str, values: np.ndarray, distinct: np.ndarray) -> tuple[Label, list[str]]:
    codes = np.searchsorted(distinct, values).astype(np.int64)
    names = [str(int(one)) if values.dtype.kind == "f" else str(one) for one in distinct]
    label, flags = Label(codes, names), []
    repeated = [count for count in label.counts if count > 1]
    if len(repeated) < 2 or sum(repeated) < MIN_ROWS:
        # A row alone in its class has no neighbour there, and says nothing of its class.
        raise CchError(
            where,
            f"{len(repeated)} of {len(names)} classes have more than one row ({sum(repeated)} of "
            f"{len(values)} rows)",
            f"give at least two such classes with {MIN_ROWS} rows in all; numbers that are no "
            "classes want --task regression",
        )
    if len(names) > len(values) / 10:
        flags.append(f"label: {len(names)} classes in {len(values)} rows")
    if alone := sum(count == 1 for count in label.counts):
        flags.append(f"label: {alone} classes have one row")
    return label, flags
