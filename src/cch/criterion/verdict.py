"""The criterion for a user's own arrays: one student, one or several teachers, a label.

Bounds decide: lower bounds of I(T; S) and I(T; S | Y) and the cross-entropy of Y from T are each
fitted and read on different rows, ``repeats`` times (a run is another split of the same rows), and
``cch.criterion.ground`` puts them together over all teachers. The gap by a point estimator stands
beside them as evidence; where it is asked for, the estimator is calibrated at the arrays' own rows,
columns and class mix and the gap gets an interval (``cch.criterion.gap``). Neither is a verdict.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import yaml

from cch import __version__
from cch.base.errors import CchError
from cch.base.files import parse_yaml, sha256_file
from cch.base.progress import Progress
from cch.config.registry import BOUNDS, ESTIMATORS
from cch.criterion.gap import GapEstimate, judge
from cch.criterion.ground import (
    CONFIDENCE,
    Claim,
    GroundVerdict,
    Side,
    claims,
    decide,
    entropy_side,
)
from cch.criterion.verdict_inputs import VerdictInputs
from cch.information.estimator import Estimate, Estimator, Labels, get_estimator

if TYPE_CHECKING:
    from cch.information.calibrate import CaseResult, Response

FORMAT = "cch-verdict-2"
RANKING = "by margin, highest first; then by gap, then by name"
RUNS = "a run is another split, or seed of the estimator, on the same rows"

DEFAULT_ESTIMATOR = "ksg"
"""Of the gap; the others take minutes a teacher to calibrate."""

LOWER, UPPER = "infonce", "classifier"
"""Estimators of the lower bounds, and of the cross-entropy of the label."""

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
    """Settings of ``cch verdict``.

    Attributes:
        estimator: of the evidence.
        options: of that estimator, in place of its defaults.
        repeats: runs, at least 1.
        calibration_repeats: samples of each calibration case, at least 2; 0 for no calibration.
        seed: what all generators are keyed by.
    """

    estimator: str
    options: dict[str, Any] = field(default_factory=dict)
    repeats: int = 5
    calibration_repeats: int = 0
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
            options[name] = parse_yaml(value)
        except yaml.YAMLError:
            raise CchError("--option", f"{value!r} of {name} is no value") from None
    return options


# Answering


def answer(inputs: VerdictInputs, settings: Settings) -> dict[str, Any]:
    """Return the verdict, its bounds and the estimated gap of every teacher as plain data.

    Equal arrays and settings give equal data on the CPU. Bounds and estimates do not depend on the
    names of the teachers nor on how many there are; Holm's procedure counts the teachers.

    Raises:
        CchError: there is no such estimator or option, or it refuses the arrays.
    """
    if settings.estimator in BOUNDS:
        points = ", ".join(name for name in ESTIMATORS if name not in BOUNDS)
        name = settings.estimator
        raise CchError(
            "--estimator", f"{name} is a bound, no estimate of the gap", f"take {points}"
        )
    estimator = get_estimator(settings.estimator, settings.options)
    _refuse_large(inputs, settings)
    work = _Work(estimator, settings)
    student, label = inputs.student, inputs.label
    # First, since it refuses options that do not fit the rows, and bounds take longer.
    own = work.quantity("student-label", student, label.values, label.counts)
    bounds = bound(inputs, settings)
    decided = decide({name: _claims(inputs, some) for name, some in bounds.items()})
    judged = []
    for name, teacher in inputs.teachers.items():
        mutual = work.quantity("teacher-student", teacher, student, [], name)
        evidence = judge(
            [one.value for one in mutual.estimates],
            [one.value for one in own.estimates],
            mutual.response,
            own.response,
            label.entropy,
            same_arrays=True,
        )
        judged.append(Judged(name, teacher.shape[1], decided[name], bounds[name], mutual, evidence))
    judged.sort(key=lambda one: one.rank)
    return {
        "format": FORMAT,
        "criterion": "I(teacher; student) > I(student; label)",
        "unit": "nats",
        "confidence": CONFIDENCE,
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
        "estimators": [LOWER, UPPER] if label.classes else [],
        "teachers": [
            {"rank": rank, "place": inputs.places.get(f"teacher {one.name}"), **one.to_json()}
            for rank, one in enumerate(judged, start=1)
        ],
        "student_label": own.to_json() | {"flags": own.flags()},
        "flags": inputs.flags + _label_flags(inputs),
        "settings": asdict(settings),
        "files": {str(path): sha256_file(path) for path in inputs.files},
        "versions": _versions(),
    }


Bounds = dict[str, list[Estimate]]
"""Bounds of one teacher by quantity, run by run."""


def bound(inputs: VerdictInputs, settings: Settings) -> dict[str, Bounds]:
    """Return the bounds of every teacher; none where the label is continuous.

    Raises:
        CchError: an estimator refuses the arrays.
    """
    found: dict[str, Bounds] = {name: {} for name in inputs.teachers}
    label, runs = inputs.label.values, range(settings.repeats)
    if not inputs.label.classes:
        return found
    student = dict.fromkeys(inputs.teachers, inputs.student)
    asked = {
        "teacher-student": (LOWER, student, None),
        "teacher-student-given-label": (LOWER, student, label),
        "label-given-teacher": (UPPER, dict.fromkeys(inputs.teachers, label), None),
    }
    for quantity, (name, other, given) in asked.items():
        pairs = [(x, other[who]) for who, x in inputs.teachers.items() for _ in runs]
        keys = [("verdict", settings.seed, quantity, run) for _ in inputs.teachers for run in runs]
        conditions = None if given is None else [given] * len(pairs)
        estimator = get_estimator(name).of(quantity)
        made = iter(estimator.estimate_many(pairs, keys=keys, given=conditions))
        for who in inputs.teachers:
            found[who][quantity] = [next(made) for _ in runs]
    return found


def _claims(inputs: VerdictInputs, bounds: Bounds) -> list[Claim]:
    """What the bounds of one teacher claim."""
    if not bounds:
        return []
    sides = {
        quantity: [Side.of_entry(one.to_json()) for one in some]
        for quantity, some in bounds.items()
    }
    entropy = [entropy_side(inputs.label.values)] * len(sides["teacher-student"])
    return claims(
        {LOWER: sides["teacher-student"]},
        {"H(Y)": entropy},
        {LOWER: sides["teacher-student-given-label"]},
        {UPPER: sides["label-given-teacher"]},
    )


def _label_flags(inputs: VerdictInputs) -> list[str]:
    if inputs.label.classes:
        return []
    return ["label: no bound of its information is known where it is continuous: undecided"]


@dataclass(frozen=True)
class Judged:
    """One teacher: its verdict, the bounds behind it, and the evidence beside it."""

    name: str
    columns: int
    decided: GroundVerdict
    bounds: Bounds
    mutual: QuantityEstimates
    evidence: GapEstimate

    @property
    def rank(self) -> tuple[float, float, str]:
        """What teachers are sorted by."""
        margin, gap = self.decided.margin, self.evidence.gap
        first, second = (-math.inf if one is None else one for one in (margin, gap))
        return -first, -second, self.name

    def to_json(self) -> dict[str, Any]:
        """The teacher's part of the answer as plain data."""
        return {
            "name": self.name,
            "columns": self.columns,
            **self.decided.to_json(),
            "flags": self.decided.flags + self._bound_flags(),
            "bounds": {name: [one.to_json() for one in some] for name, some in self.bounds.items()},
            "evidence": self.evidence.to_json()
            | {
                "flags": self.evidence.flags + self.evidence.sensitivity_flags + self.mutual.flags()
            },
            "information": self.mutual.to_json(),
        }

    def _bound_flags(self) -> list[str]:
        """What the bounds are flagged with; one below zero says nothing and is no fault."""
        said = Counter(
            f"{quantity}: {flag}"
            for quantity, some in self.bounds.items()
            for one in some
            for flag in one.flags
            if flag != "below zero" and not flag.startswith("exceeds H(Y)")
        )
        return [f"{flag} ({count} runs)" for flag, count in said.items()]


def _versions() -> dict[str, str]:
    found = {"cch": __version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")}


@dataclass(frozen=True)
class QuantityEstimates:
    """Estimates of one quantity over the runs, and the calibration of its estimator."""

    name: str
    estimates: list[Estimate]
    cases: list[CaseResult]
    response: Response | None

    def flags(self) -> list[str]:
        """Flags of the estimates, with the number of runs.

        Those below zero or above H(Y) are left out: ``cch.criterion.gap`` flags them, beyond noise.
        """
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
    ) -> QuantityEstimates:
        """Estimate I(x; y) in every run, and calibrate where asked to."""
        what = "I(teacher; student)" if quantity == "teacher-student" else "I(student; label)"
        label = f"{what}, {name}" if name else what
        runs = self.settings.repeats
        keys = [("verdict", self.settings.seed, quantity, run) for run in range(runs)]
        estimates = _Counted(self.estimator, label, runs).estimate_many([(x, y)] * runs, keys=keys)
        if not self.settings.calibration_repeats:
            return QuantityEstimates(what, estimates, [], None)
        from cch.information.calibrate import Response

        cases = self._calibrate(quantity, x, y, counts, label)
        return QuantityEstimates(what, estimates, cases, Response.of(cases))

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

    def of(self, quantity: str) -> Self:
        return self  # what is calibrated estimates one quantity

    def estimate(
        self, x: np.ndarray, y: np.ndarray, *, key: tuple[Any, ...], given: Labels = None
    ) -> Estimate:
        return self.estimate_many([(x, y)], keys=[key], given=[given])[0]

    def estimate_many(
        self,
        pairs: Sequence[tuple[np.ndarray, np.ndarray]],
        *,
        keys: Sequence[tuple[Any, ...]],
        given: Sequence[Labels] | None = None,
    ) -> list[Estimate]:
        found: list[Estimate] = []
        for start in range(0, len(pairs), self.PORTION):
            part = slice(start, start + self.PORTION)
            some = None if given is None else given[part]
            found += self._estimator.estimate_many(pairs[part], keys=keys[part], given=some)
            self._progress.advance(len(pairs[part]))
        return found
