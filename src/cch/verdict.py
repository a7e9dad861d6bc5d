"""The criterion for arrays of one's own: one student, one or several teachers, a label.

The arrays are checked, I(teacher; student) and I(student; label) are estimated ``repeats`` times on
the given rows (a run is another seed of the estimator, not other rows), the estimator is calibrated
at the arrays' own rows, columns and class mix, and ``cch.criterion.judge`` puts them together.
"""

from __future__ import annotations

import math
import platform
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml
from rich import box
from rich.markup import escape
from rich.table import Table

from cch import __version__
from cch.arrays import CSVFile, Files, Found, Place
from cch.criterion import Verdict, judge
from cch.errors import CchError
from cch.files import sha256_file
from cch.information import (
    MIN_ROWS,
    Estimate,
    Estimator,
    constant_columns,
    entropy_of_labels,
    estimators,
    get_estimator,
)
from cch.progress import Progress
from cch.units import Nats

if TYPE_CHECKING:
    from cch.information.calibrate import CaseResult, Response

FORMAT = "cch-verdict-1"
RANKING = "by the lower end of the interval, highest first; then by gap, then by name"
RUNS = "a run is another seed of the estimator on the same rows"

TRUTHS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Known information of the Gaussian calibration cases, nats."""

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
"""Known information of the class-mixture calibration cases, as parts of H(Y)."""

FEW_VALUES = 20
"""A float label with at most this many distinct values may be classes: the user has to say."""

CALIBRATION_GB = 8.0
"""Most memory that the samples of a calibration may take: they are held all at once."""

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
class Question:
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


@dataclass(frozen=True)
class Settings:
    """How a question is answered.

    Attributes:
        estimator: its name.
        options: of the estimator, in place of its defaults.
        repeats: runs, at least 1.
        calibration_repeats: samples of each calibration case, at least 2; 0 for no calibration.
        seed: what all generators are keyed by.
    """

    estimator: str
    options: dict[str, Any] = field(default_factory=dict)
    repeats: int = 5
    calibration_repeats: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise CchError("--repeats", f"is {self.repeats}, expected at least 1")
        if self.calibration_repeats < 0 or self.calibration_repeats == 1:
            raise CchError(
                "--calibration-repeats",
                f"is {self.calibration_repeats}, expected at least 2, or 0 for no calibration",
            )


def default_estimator() -> str:
    """Return latent-light where there is one, else ksg."""
    return "latent-light" if "latent-light" in estimators else "ksg"


def parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """Return estimator options from ``NAME=VALUE`` texts; values are read as YAML scalars.

    Raises:
        CchError: a text has no ``=``.
    """
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CchError("--option", f"{text!r} is no NAME=VALUE", "write for example k=5")
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise CchError("--option", f"{value!r} of {name} is no value") from None
    return options


# Reading


def ask(
    data: Path | None,
    student: str,
    teachers: Sequence[str],
    label: str,
    task: Task | None = None,
    sample_id: str | None = None,
) -> Question:
    """Read and check the arrays; places are written as in ``cch.arrays``.

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
    places = {"student": files.place(student)}
    for name, place in named_places(teachers, files):
        if f"teacher {name}" in places:
            raise CchError(
                "--teacher", f"two teachers are called {name!r}", "name them: NAME=PLACE"
            )
        places[f"teacher {name}"] = place
    places["label"] = files.place(label)
    for place in places.values():
        files.open(place.file)
    found = {}
    for role, place in places.items():
        without = frozenset([sample_id] if sample_id else [])
        if place.file == places["label"].file:
            without |= _label_columns(files, places["label"])
        found[role] = files.read(place, without)
    question = check(found, task)
    if sample_id:
        _same_samples(files, sample_id)
    return Question(
        question.student,
        question.teachers,
        question.label,
        question.flags,
        {role: str(one.place) for role, one in found.items()},
        files.paths,
    )


def _same_samples(files: Files, sample_id: str) -> None:
    """Refuse files whose rows are not the same samples in the same order."""
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


def _names(files: Files, path: Path, sample_id: str) -> np.ndarray:
    values = _column(files.read(Place(path, sample_id)), "sample ids")
    return values.astype(str)


def named_places(teachers: Sequence[str], files: Files) -> list[tuple[str, Place]]:
    """Return (name, place) of every teacher; without a name it is the array's or the file's.

    Raises:
        CchError: no teacher, or as ``Files.place``.
    """
    if not teachers:
        raise CchError("--teacher", "there is none", "name at least one")
    named = []
    for text in teachers:
        found = re.fullmatch(r"(?P<name>[^=/\\:]+)=(?P<place>.+)", text)
        place = files.place(found["place"] if found else text)
        inside = place.name.strip("/") if place.name else place.file.stem
        named.append((found["name"] if found else inside, place))
    return named


def _label_columns(files: Files, place: Place) -> frozenset[str]:
    """Return the columns of a CSV file that are the label."""
    opened = files.open(place.file)
    if isinstance(opened, CSVFile) and place.name and opened.holds(place.name):
        return frozenset(opened.columns(place.name))
    return frozenset()


def check(found: dict[str, Found], task: Task | None = None) -> Question:
    """Check arrays by role: ``student``, ``teacher NAME`` for each teacher, ``label``.

    Raises:
        CchError: one line for the first thing that is wrong.
    """
    arrays = {role: _shaped(role, one) for role, one in found.items() if role != "label"}
    label = _column(found["label"])
    rows = {role: len(values) for role, values in [*arrays.items(), ("label", label)]}
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{_where(role, found[role])} {count}" for role, count in rows.items())
        raise CchError("rows differ", listed, "all arrays must hold the same samples in order")
    if rows["label"] < MIN_ROWS:
        where = ", ".join(dict.fromkeys(str(one.place.file) for one in found.values()))
        raise CchError(where, f"{rows['label']} rows are too few", f"give at least {MIN_ROWS}")
    flags = list(dict.fromkeys(flag for one in found.values() for flag in one.flags))
    for role, values in arrays.items():
        flags += _spread(role, found[role], values)
    checked, said = _label(found["label"], label, task)
    return Question(
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
        what = "its only column is" if len(constant) == 1 else f"all {len(constant)} columns are"
        raise CchError(
            _where(role, found), f"{what} constant", "a constant representation carries nothing"
        )
    if constant.any():
        return [f"{role}: {int(constant.sum())} of {len(constant)} columns are constant"]
    return []


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
        return Label(values.astype(np.float64)[:, None]), []
    if floats and not (distinct == np.round(distinct)).all():
        raise CchError(where, "holds fractions, which are no classes", "say --task regression")
    return _classes(values, distinct)


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


def _classes(values: np.ndarray, distinct: np.ndarray) -> tuple[Label, list[str]]:
    codes = np.searchsorted(distinct, values).astype(np.int64)
    names = [f"{one:g}" if values.dtype.kind == "f" else str(one) for one in distinct]
    label, flags = Label(codes, names), []
    if len(names) > len(values) / 10:
        flags.append(f"label: {len(names)} classes in {len(values)} rows")
    if alone := sum(count == 1 for count in label.counts):
        flags.append(f"label: {alone} classes have one row")
    return label, flags


# Answering


def answer(question: Question, settings: Settings) -> dict[str, Any]:
    """Estimate, calibrate and judge; return all of it as plain data without times.

    Equal arrays and settings give equal data on the CPU. Values do not depend on the names of the
    teachers nor on how many there are.

    Raises:
        CchError: there is no such estimator or option, or it refuses the arrays.
    """
    estimator = get_estimator(settings.estimator, settings.options)
    _refuse_large(question, settings)
    work = _Work(estimator, settings)
    student, label = question.student, question.label
    own = work.quantity("student-label", student, label.values, label.counts)
    judged = {}
    for name, teacher in question.teachers.items():
        mutual = work.quantity("teacher-student", teacher, student, [], name)
        verdict = judge(
            [one.value for one in mutual.estimates],
            [one.value for one in own.estimates],
            mutual.response,
            own.response,
            label.entropy,
        )
        judged[name] = (mutual, verdict)
    order = sorted(judged, key=lambda name: _rank(name, judged[name][1]))
    return {
        "format": FORMAT,
        "criterion": "I(teacher; student) > I(student; label)",
        "unit": "nats",
        "rows": len(student),
        "student": {"place": question.places.get("student"), "columns": student.shape[1]},
        "label": {
            "place": question.places.get("label"),
            "task": label.task,
            "classes": dict(zip(label.classes, label.counts, strict=True)) or None,
            "entropy": label.entropy,
        },
        "ranking": RANKING,
        "runs": RUNS,
        "teachers": [
            {
                "rank": order.index(name) + 1,
                "name": name,
                "place": question.places.get(f"teacher {name}"),
                "columns": question.teachers[name].shape[1],
                **judged[name][1].to_json(),
                "flags": judged[name][1].flags + judged[name][0].flags(),
                "information": judged[name][0].to_json(),
            }
            for name in order
        ],
        "student_label": own.to_json() | {"flags": own.flags()},
        "flags": question.flags,
        "settings": asdict(settings),
        "files": {str(path): sha256_file(path) for path in question.files},
        "versions": _versions(),
    }


def _rank(name: str, verdict: Verdict) -> tuple[float, float, str]:
    low = -math.inf if verdict.low is None else verdict.low
    return -low, -(verdict.gap if verdict.gap is not None else -math.inf), name


def _versions() -> dict[str, str]:
    found = {"cch": __version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")}


@dataclass(frozen=True)
class Measured:
    """Estimates of one quantity over the runs, and the calibration of its estimator."""

    name: str
    estimates: list[Estimate]
    cases: list[CaseResult]
    response: Response | None

    def flags(self) -> list[str]:
        """What the estimates are flagged with; bounds are judged by the criterion, with noise."""
        said = Counter(flag for one in self.estimates for flag in one.flags)
        return [
            f"{self.name}: {flag} ({count} of {len(self.estimates)} runs)"
            for flag, count in said.items()
            if flag != "below zero" and not flag.startswith("exceeds H(Y)")
        ]

    def to_json(self) -> dict[str, Any]:
        """The estimates, the calibration cases and what they come to."""
        found: dict[str, Any] = {"estimates": [one.to_json() for one in self.estimates]}
        if self.response is not None:
            found["calibration"] = {
                "cases": [case.to_json() for case in self.cases],
                "response": self.response.to_json(),
            }
        return found


@dataclass(frozen=True)
class _Work:
    """Estimates and calibrates one quantity of one pair after the other."""

    estimator: Estimator
    settings: Settings

    def quantity(
        self, quantity: str, x: np.ndarray, y: np.ndarray, counts: list[int], name: str = ""
    ) -> Measured:
        """Estimate I(x; y) in every run, and calibrate where asked to."""
        what = "I(teacher; student)" if quantity == "teacher-student" else "I(student; label)"
        label = f"{what}, {name}" if name else what
        runs = self.settings.repeats
        keys = [("verdict", self.settings.seed, quantity, run) for run in range(runs)]
        estimates = _Counted(self.estimator, label, runs).estimate_many([(x, y)] * runs, keys=keys)
        if not self.settings.calibration_repeats:
            return Measured(what, estimates, [], None)
        from cch.information.calibrate import Response

        cases = self._calibrate(quantity, x, y, counts, label)
        return Measured(what, estimates, cases, Response.of(cases))

    def _calibrate(
        self, quantity: str, x: np.ndarray, y: np.ndarray, counts: list[int], label: str
    ) -> list[CaseResult]:
        """The permutation null of the pair itself, and samples of known information like it."""
        from cch.information.calibrate import calibrate_continuous, calibrate_labels

        repeats = self.settings.calibration_repeats
        total = repeats * _cases(counts)
        estimator = _Counted(self.estimator, f"calibrating {label}", total)
        common = {
            "repeats": repeats,
            "key": ("verdict", self.settings.seed, "calibration"),
            "pair": (x, y),
            "quantity": quantity,
        }
        if counts:
            return calibrate_labels(estimator, *x.shape, counts, shares=SHARES, **common)
        return calibrate_continuous(estimator, *x.shape, y.shape[1], truths=TRUTHS, **common)


def _cases(counts: list[int]) -> int:
    """Calibration cases: those of known information, and the null."""
    return 1 + len(SHARES if counts else TRUTHS)


def _refuse_large(question: Question, settings: Settings) -> None:
    """Say before long work that a calibration would not fit in memory."""
    widest = max(teacher.shape[1] for teacher in question.teachers.values())
    rows, own = question.student.shape
    samples, columns = settings.calibration_repeats * _cases([]), widest + own
    size = 8e-9 * samples * rows * columns
    if size > CALIBRATION_GB:
        raise CchError(
            "calibration",
            f"{samples} samples of {rows} rows and {columns} columns take {size:.3g} GB, more "
            f"than {CALIBRATION_GB:g}",
            "lower --calibration-repeats, or give fewer rows or columns",
        )


class _Counted:
    """An estimator that says how far it is; it estimates in portions."""

    PORTION = 10

    def __init__(self, estimator: Estimator, label: str, total: int) -> None:
        self._estimator = estimator
        self._progress = Progress(label, total, "estimates")
        self.name, self.version = estimator.name, estimator.version

    def estimate_many(
        self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], *, keys: Sequence[tuple[Any, ...]]
    ) -> list[Estimate]:
        found: list[Estimate] = []
        for start in range(0, len(pairs), self.PORTION):
            part = slice(start, start + self.PORTION)
            found += self._estimator.estimate_many(pairs[part], keys=keys[part])
            self._progress.advance(len(pairs[part]))
        return found


# Showing


def as_table(document: dict[str, Any]) -> Table:
    """Return the teachers as a table, ranked; information in nats."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{document['criterion']}, n = {document['rows']} rows",
        title_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("teacher", overflow="fold")
    for name in ("I_TS\n(nats)", "I_SL\n(nats)", "gap\n(nats)", "calibrated\ngap (nats)"):
        table.add_column(name, justify="right", no_wrap=True)
    level = document["teachers"][0]["level"]
    table.add_column(f"{100 * level:g} % interval\n(nats)", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("runs", justify="right", no_wrap=True)
    for teacher in document["teachers"]:
        sides = (teacher["teacher_student"], teacher["student_label"])
        means = [None if side is None else side["mean"] for side in sides]
        amounts = [*means, teacher["gap"], teacher["calibrated_gap"]]
        low, high = teacher["low"], teacher["high"]
        interval = "unknown" if low is None else f"{_text(low)} to {_text(high)}"
        table.add_row(
            escape(teacher["name"]),
            *map(_text, amounts),
            interval,
            teacher["verdict"],
            str(teacher["runs"]),
        )
    return table


def _text(nats: float | None) -> str:
    return "unknown" if nats is None else f"{nats:.4f}"


def notes(document: dict[str, Any]) -> list[str]:
    """Return what stands below the table: the label, the estimator, the ranking and all flags."""
    settings, label = document["settings"], document["label"]
    version = document["student_label"]["estimates"][0]["fit"]["version"]
    lines = [
        f"H(Y) = {label['entropy']:.4f} nats, {len(label['classes'])} classes"
        if label["classes"]
        else "continuous label",
        f"estimator {settings['estimator']} {version}; {RUNS}",
        f"calibration: {settings['calibration_repeats']} samples of each case"
        if settings["calibration_repeats"]
        else "calibration: none",
        f"ranked {document['ranking']}",
    ]
    return lines + [f"flag: {flag}" for flag in all_flags(document)]


def all_flags(document: dict[str, Any]) -> list[str]:
    """Return every flag once: of the arrays, of I(student; label), and of each teacher by name.

    What is said of every teacher is about what they share, and stands without a name.
    """
    teachers = document["teachers"]
    said = Counter(flag for teacher in teachers for flag in dict.fromkeys(teacher["flags"]))
    shared = [flag for flag, count in said.items() if count == len(teachers) > 1]
    own = [
        f"{teacher['name']}: {flag}"
        for teacher in teachers
        for flag in teacher["flags"]
        if flag not in shared
    ]
    return [*document["flags"], *document["student_label"]["flags"], *shared, *own]
