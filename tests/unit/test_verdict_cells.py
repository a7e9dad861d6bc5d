"""What a study's cells say of the criterion, beside numbers worked out by hand."""

import math

import pytest

from cch.information.calibration_model import Case, CaseResult
from cch.tables.verdict_cells import criterion


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
        return [case.to_json() for case in self.cases]


def estimates(values):
    return [{"seed": seed, "value": value} for seed, value in enumerate(values)]


def case(quantity, truth, values, **options):
    return CaseResult(Case("gaussian", quantity, truth, 100, 4, 4, options=options), list(values))


CASES = [
    case("teacher-student", 0.0, [-0.1, 0.1]),
    case("teacher-student", 2.0, [1.4, 1.6]),
    case("student-label", 0.0, [-0.1, 0.1]),
    case("student-label", 1.0, [0.9, 1.1]),
    # Of other settings: must not count.
    case("student-label", 1.0, [5.0, 9.0], k=9),
]


def test_noise_and_bias_come_from_the_studys_calibration():
    found = criterion(Study(CASES), "e", estimates([1.4, 1.6]), estimates([0.5, 0.5]))
    sd = 0.2 / math.sqrt(2)
    assert found.gap == pytest.approx(1.0)
    # I(teacher; student) of 1.5 is 2.0 less 0.5; I(student; label) of 0.5 has no bias.
    assert found.calibrated_gap == pytest.approx(1.5)
    assert found.se == pytest.approx(math.sqrt(0.1**2 + 2 * sd**2))
    assert found.low < 1.0 < 1.5 < found.high


def test_without_calibration_only_runs_speak():
    given = [1.5, 1.6, 1.55]
    found = criterion(Study(CASES, ()), "e", estimates(given), estimates([0.5] * 3))
    assert found.verdict == "holds"
    assert found.calibrated_gap is None
    assert any("no calibration" in flag for flag in found.flags)


def test_runs_are_paired_by_seed_and_missing_ones_left_out():
    teacher = estimates([1.0, 2.0, 3.0])
    student = [{"seed": 2, "value": 1.0}, {"seed": 1, "value": 0.5}]
    found = criterion(Study(CASES, ()), "e", teacher, student)
    assert found.runs == 2
    assert found.gap == pytest.approx((1.5 + 2.0) / 2)
