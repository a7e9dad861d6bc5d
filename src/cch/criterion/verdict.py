"""The criterion for a user's own arrays: one student, one or several teachers, a label.

The arrays are checked, I(teacher; student) and I(student; label) are estimated ``repeats`` times on
the given rows (a run is another seed of the estimator, not other rows), the estimator is calibrated
at the arrays' own rows, columns and class mix, and ``cch.criterion.gap.judge`` puts them together.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from rich import box
from rich.markup import escape
from rich.table import Table

from cch import __version__
from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.base.progress import Progress
from cch.criterion.gap import Verdict, judge
from cch.criterion.verdict_inputs import VerdictInputs
from cch.information.estimator import Estimate, Estimator, get_estimator

if TYPE_CHECKING:
    from cch.information.calibrate import CaseResult, Response

FORMAT = "cch-verdict-1"
RANKING = "by the lower end of the interval, highest first; then by gap, then by name"
RUNS = "a run is another seed of the estimator on the same rows"

TRUTHS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Known information of the Gaussian calibration cases, nats."""

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
"""Known information of the class-mixture calibration cases, as parts of H(Y)."""

MANY_CLASSES = 40
"""Class mixtures of more classes take minutes to hours to solve where the columns are fewer."""

CALIBRATION_GB = 8.0
"""Most memory that the samples of a calibration may take: they are held all at once."""


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
        if self.seed < 0:
            raise CchError("--seed", f"is {self.seed}, expected 0 or more")


def default_estimator() -> str:
    """Return ksg: calibrating an estimator that trains networks takes minutes a teacher."""
    return "ksg"


def parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """Return estimator options from ``NAME=VALUE`` texts; values are read as YAML scalars.

    Raises:
        CchError: a text has no ``=``, or a name comes twice.
    """
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CchError("--option", f"{text!r} is no NAME=VALUE", "write for example k=5")
        if name in options:
            raise CchError("--option", f"{name} is there twice", "say which value it has")
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise CchError("--option", f"{value!r} of {name} is no value") from None
    return options


# Answering


def answer(inputs: VerdictInputs, settings: Settings) -> dict[str, Any]:
    """Estimate, calibrate and judge; return all of it as plain data without times.

    Equal arrays and settings give equal data on the CPU. Values do not depend on the names of the
    teachers nor on how many there are.

    Raises:
        CchError: there is no such estimator or option, or it refuses the arrays.
    """
    estimator = get_estimator(settings.estimator, settings.options)
    _refuse_large(inputs, settings)
    work = _Work(estimator, settings)
    student, label = inputs.student, inputs.label
    own = work.quantity("student-label", student, label.values, label.counts)
    judged = []
    for name, teacher in inputs.teachers.items():
        mutual = work.quantity("teacher-student", teacher, student, [], name)
        verdict = judge(
            [one.value for one in mutual.estimates],
            [one.value for one in own.estimates],
            mutual.response,
            own.response,
            label.entropy,
            same_arrays=True,
        )
        judged.append((name, mutual, verdict))
    judged.sort(key=lambda one: _rank(one[0], one[2]))
    return {
        "format": FORMAT,
        "criterion": "I(teacher; student) > I(student; label)",
        "unit": "nats",
        "rows": len(student),
        "student": {"place": inputs.places.get("student"), "columns": student.shape[1]},
        "label": {
            "place": inputs.places.get("label"),
            "task": label.task,
            "classes": dict(zip(label.classes, label.counts, strict=True)) or None,
            "entropy": label.entropy,
        },
        "ranking": RANKING,
        "runs": RUNS,
        "teachers": [
            {"rank": rank, "place": inputs.places.get(f"teacher {one[0]}"), **_teacher(*one)}
            for rank, one in enumerate(judged, start=1)
        ],
        "student_label": own.to_json() | {"flags": own.flags()},
        "flags": inputs.flags,
        "settings": asdict(settings),
        "files": {str(path): sha256_file(path) for path in inputs.files},
        "versions": _versions(),
    }


def _teacher(name: str, mutual: Measured, verdict: Verdict) -> dict[str, Any]:
    """Return one teacher's answer as plain data."""
    return {
        "name": name,
        "columns": mutual.estimates[0].dx,
        **verdict.to_json(),
        "flags": verdict.flags + verdict.sensitivity_flags + mutual.flags(),
        "information": mutual.to_json(),
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
        common: dict[str, Any] = {
            "repeats": repeats,
            "key": ("verdict", self.settings.seed, "calibration"),
            "pair": (x, y),
            "quantity": quantity,
        }
        rows, columns = x.shape
        if counts:
            return calibrate_labels(estimator, rows, columns, counts, shares=SHARES, **common)
        others = y.shape[1]
        return calibrate_continuous(estimator, rows, columns, others, truths=TRUTHS, **common)


def _cases(counts: list[int]) -> int:
    """Calibration cases: those of known information, and the null."""
    return 1 + len(SHARES if counts else TRUTHS)


def _refuse_large(inputs: VerdictInputs, settings: Settings) -> None:
    """Say before long work that a calibration would not fit in memory or time."""
    widest = max(teacher.shape[1] for teacher in inputs.teachers.values())
    rows, own = inputs.student.shape
    classes = len(inputs.label.classes)
    if settings.calibration_repeats and classes > max(MANY_CLASSES, own + 1):
        raise CchError(
            "calibration",
            f"{classes} classes are too many for samples of known information in {own} columns",
            "merge classes, or say --calibration-repeats 0",
        )
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

    def estimate(self, x: np.ndarray, y: np.ndarray, *, key: tuple[Any, ...]) -> Estimate:
        return self.estimate_many([(x, y)], keys=[key])[0]

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
    for name in ("I_TS\n(nats)", "I_SL\n(nats)", "gap\n(nats)", "debiased\n(nats)"):
        table.add_column(name, justify="right", no_wrap=True)
    level = document["teachers"][0]["level"]
    table.add_column(f"{100 * level:g} % interval\n(nats)", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("runs", justify="right", no_wrap=True)
    for teacher in document["teachers"]:
        sides = (teacher["teacher_student"], teacher["student_label"])
        means = [None if side is None else side["mean"] for side in sides]
        amounts = [*means, teacher["gap"]]
        low, high = teacher["low"], teacher["high"]
        interval = "unknown" if low is None else f"{_text(low)} to {_text(high)}"
        span = teacher["sensitivity"]
        ends = [None, None] if span is None else [span["low"], span["high"]]
        debiased = "unknown" if span is None else " to ".join(map(_end, ends))
        table.add_row(
            escape(teacher["name"]),
            *map(_text, amounts),
            debiased,
            interval,
            teacher["verdict"],
            str(teacher["runs"]),
        )
    return table


def _end(nats: float | None) -> str:
    return "open" if nats is None else f"{nats:.4f}"


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
