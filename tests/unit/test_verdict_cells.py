"""What a study's cells say of the criterion, beside numbers worked out by hand."""

import math

import pytest

from cch.criterion.gap import Span
from cch.information.calibration_model import Case, CaseResult
from cch.tables.verdict_cells import estimated_gap


class Study:
    """As much of a study's source as the criterion reads."""

    name = "s"

    def __init__(self, cases, calibrated=("e",)):
        self.cases = cases
        self.study = self
        self.information = self
        self.calibrated = list(calibrated)

    def calibration(self, estimator):
        assert estimator == "e"
        return [
            case.to_json() | {"level": None if case.case.quantity == "student-label" else level}
            for level, case in self.cases
        ]


def estimates(values, level="0"):
    return [{"seed": s, "value": value, "level": level} for s, value in enumerate(values)]


def case(quantity, truth, values, level="0", **options):
    about = Case("gaussian", quantity, truth, 100, 4, 4, options=options)
    return level, CaseResult(about, list(values))


CASES = [
    case("teacher-student", 0.0, [-0.1, 0.1]),
    case("teacher-student", 2.0, [1.4, 1.6]),
    # Of a level where the teacher shares more: the estimator loses more of it.
    case("teacher-student", 0.0, [-0.1, 0.1], "1.5"),
    case("teacher-student", 4.0, [1.4, 1.6], "1.5"),
    case("student-label", 0.0, [-0.1, 0.1]),
    case("student-label", 1.0, [0.9, 1.1]),
    # Of other settings: must not count.
    case("student-label", 1.0, [5.0, 9.0], k=9),
]


def test_noise_and_sensitivity_come_from_the_studys_calibration():
    found = estimated_gap(Study(CASES), "e", estimates([1.4, 1.6]), estimates([0.5, 0.5]))
    sd = 0.2 / math.sqrt(2)
    assert found.gap == pytest.approx(1.0)
    assert found.se == pytest.approx(math.sqrt(0.1**2 + (2 * sd) ** 2))
    assert found.low < 1.0 < found.high
    # 1.5 nats and 0.5 with their noise reach above all that was tried.
    assert found.sensitivity == Span(None, None)
    assert len(found.sensitivity_flags) == 2


def test_each_level_is_read_by_its_own_calibration():
    """An estimate of 0.75 nats is 1 nat at the first level and 2 at the other."""
    given = [0.75, 0.75]
    first, other = (
        estimated_gap(Study(CASES), "e", estimates(given, level), estimates([0.5, 0.5], None))
        for level in ("0", "1.5")
    )
    sides = [one.teacher_student.debiased for one in (first, other)]
    # Where the left end is not cut off at zero it is in proportion.
    assert sides[1].low == pytest.approx(2 * sides[0].low)
    unknown = estimated_gap(Study(CASES), "e", estimates(given, "9"), estimates([0.5, 0.5], None))
    assert unknown.sensitivity is None


def test_without_calibration_only_runs_speak():
    given = [1.5, 1.6, 1.55]
    found = estimated_gap(Study(CASES, ()), "e", estimates(given), estimates([0.5] * 3))
    assert found.low > 0
    assert found.sensitivity is None
    assert any("no calibration" in flag for flag in found.flags)


def test_runs_are_paired_by_seed_and_missing_ones_left_out():
    teacher = estimates([1.0, 2.0, 3.0])
    student = [{"seed": 2, "value": 1.0}, {"seed": 1, "value": 0.5}]
    found = estimated_gap(Study(CASES, ()), "e", teacher, student)
    assert found.runs == 2
    assert found.gap == pytest.approx((1.5 + 2.0) / 2)
