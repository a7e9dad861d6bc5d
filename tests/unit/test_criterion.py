"""The gap of two estimates and its interval, beside numbers by hand and a simulation."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from cch.base.errors import CchError
from cch.criterion.gap import judge
from cch.criterion.inference import effective_degrees_of_freedom
from cch.information.calibration_model import Case, CaseResult, Reading, Response


@dataclass
class Fake:
    """A calibration with one bias and one noise everywhere."""

    bias: float = 0.0
    noise: float = 0.1
    repeats: int = 10
    ceiling: float | None = None

    @property
    def freedom(self):
        return self.repeats - 1

    def noise_at(self, value):
        return self.noise

    def read(self, value, reach, ceiling):
        return Reading(value - self.bias - reach, value - self.bias + reach)


TS, SL = [1.0, 1.2, 1.1], [0.5, 0.5, 0.8]  # gaps 0.5, 0.7, 0.3: mean 0.5, s = 0.2


def test_the_interval_is_the_one_worked_out_by_hand():
    result = judge(TS, SL, Fake(bias=0.3, noise=0.04), Fake(bias=0.1, noise=0.03, repeats=5))
    run, noise = 0.04 / 3, (0.04 + 0.03) ** 2
    se = math.sqrt(run + noise)
    freedom = (run + noise) ** 2 / (run**2 / 2 + noise**2 / 4)
    reach = stats.t.ppf(0.975, freedom) * se
    assert result.gap == pytest.approx(0.5, abs=1e-12)
    assert (result.se, result.freedom) == pytest.approx((se, freedom), rel=1e-12)
    assert (result.low, result.high) == pytest.approx((0.5 - reach, 0.5 + reach), rel=1e-12)
    assert result.runs == 3
    assert result.spread == pytest.approx(0.2 / math.sqrt(3), rel=1e-12)
    assert result.teacher_student.mean == pytest.approx(1.1)
    assert result.student_label.noise == 0.03


def half(noise, values, factor=1.0, freedom=9):
    """Half the interval of one quantity, by hand."""
    parts = [(factor * noise**2, freedom), (np.var(values, ddof=1) / len(values), len(values) - 1)]
    total = sum(v for v, _ in parts)
    return stats.t.ppf(0.975, total**2 / sum(v**2 / f for v, f in parts)) * math.sqrt(total)


def test_sensitivity_spans_all_four_corners():
    """Both raw numbers are too low: the lower end is raw I_TS less debiased I_SL."""
    ts, sl = Fake(bias=-0.4, noise=0.04), Fake(bias=-0.3, noise=0.03)
    result = judge(TS, SL, ts, sl)
    raw = half(0.04, TS), half(0.03, SL)
    read = half(0.04, TS, 1.1), half(0.03, SL, 1.1)
    corners = result.sensitivity
    assert corners.low == pytest.approx((1.1 - raw[0]) - (0.6 + 0.3 + read[1]))
    assert corners.high == pytest.approx((1.1 + 0.4 + read[0]) - (0.6 - raw[1]))
    # The error of the calibration itself (noise^2 / 10 samples) is in the debiased ends.
    debiased = result.teacher_student.debiased
    assert (debiased.low, debiased.high) == pytest.approx((1.5 - read[0], 1.5 + read[0]))


def test_a_ceiling_and_zero_cut_the_corners_off():
    low = Fake(bias=-2.0, noise=0.01)
    result = judge([0.05, 0.05], [0.5, 0.5], Fake(noise=0.05), low, entropy=0.7)
    assert result.sensitivity.low == pytest.approx(0 - 0.7)
    closed = judge([0.05, 0.05], [0.5, 0.5], Fake(noise=0.05), Fake(-2.0, 0.01, ceiling=0.6))
    assert closed.sensitivity.low == pytest.approx(0 - 0.6)


def test_an_open_end_stays_open():
    cases = [
        CaseResult(Case("gaussian", "teacher-student", truth, 80, 4, 3), [mean - 0.01, mean + 0.01])
        for truth, mean in ((0.0, 0.0), (1.0, 0.4), (4.0, 0.5))
    ]
    result = judge([0.9, 0.9], [0.2, 0.2], Response.of(cases), Fake(noise=0.01))
    assert (result.teacher_student.debiased.low, result.sensitivity.high) == (4.0, None)
    assert result.sensitivity.low > 0.5
    assert result.sensitivity_flags == [
        "I(teacher; student) = 0.9000 nats: no upper end: the estimator no longer tells larger "
        "truths apart"
    ]
    json.dumps(result.to_json(), allow_nan=False)


def test_the_covariance_of_estimates_on_the_same_rows_is_bounded():
    """Two errors of correlation -1: the gap's is their sum, and the interval still covers."""
    generator, covered = np.random.default_rng(5), 0
    for _ in range(400):
        error = 0.1 * generator.normal()
        samples = 0.1 * generator.normal(size=(2, 10))
        responses = [Fake(noise=one.std(ddof=1)) for one in samples]
        result = judge([1.0 + error], [0.8 - error], *responses)
        covered += result.low <= 0.2 <= result.high
    assert covered / 400 > 0.93


def test_without_calibration_it_is_students_t_on_the_paired_differences():
    result = judge(TS, SL)
    expected = stats.ttest_rel(TS, SL).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert result.freedom == pytest.approx(2)
    assert result.sensitivity is None
    assert result.flags == ["no calibration: estimator noise and bias unknown"]


def test_the_spread_is_that_of_the_paired_differences():
    together = judge([1.0, 2.0, 3.0], [0.5, 1.5, 2.5], Fake(), Fake())
    assert together.spread == pytest.approx(0, abs=1e-12)
    apart = judge([1.0, 2.0, 3.0], [2.5, 1.5, 0.5], Fake(), Fake())
    assert apart.spread == pytest.approx(2 / math.sqrt(3))


def test_an_interval_is_evidence_and_no_verdict():
    assert not hasattr(judge([1.0, 1.01], [0.2, 0.19], Fake(), Fake()), "verdict")


def test_one_run_rests_on_the_calibration_alone():
    result = judge([1.0], [0.2], Fake(noise=0.1), Fake(noise=0.1))
    assert result.se == pytest.approx(0.2)
    assert result.freedom == pytest.approx(9)
    assert (result.low > 0, result.spread) == (True, None)
    assert result.flags == ["one run: run-to-run spread unknown"]


@pytest.mark.parametrize("response", [(None, None), (Fake(), None), (None, Fake())])
def test_one_run_that_is_not_wholly_calibrated_has_no_interval(response):
    result = judge([5.0], [0.1], *response)
    assert (result.se, result.low, result.high) == (None, None, None)
    assert result.gap == pytest.approx(4.9)
    assert any("no calibration" in flag for flag in result.flags)


def test_equal_runs_without_calibration_measure_nothing():
    result = judge([5.0, 5.0 + 1e-12, 5.0], [0.1, 0.1, 0.1])
    assert result.low is None
    assert "runs are equal: they do not measure noise" in result.flags


def test_runs_of_the_same_arrays_measure_nothing_alone_but_count_beside_a_calibration():
    alone = judge(TS, SL, same_arrays=True)
    assert (alone.se, alone.low) == (None, None)
    assert "runs share their rows: they do not measure noise" in alone.flags
    assert judge(TS, SL, Fake(), Fake(), same_arrays=True) == judge(TS, SL, Fake(), Fake())


def test_calibration_of_one_side_gives_its_noise_and_no_bias():
    result = judge(TS, SL, Fake(bias=9.0, noise=0.3), None)
    assert result.sensitivity is None
    assert result.se == pytest.approx(math.sqrt(0.04 / 3 + 0.09))
    assert result.flags == [
        "no calibration of I(student; label): its noise and the sensitivity unknown"
    ]


def test_failed_estimates_take_their_run_out_of_both_sides():
    result = judge([1.0, None, 1.2, 1.1], [0.5, 0.4, 0.5, math.nan], Fake(), Fake())
    assert result.runs == 2
    assert (result.gap, result.teacher_student.mean) == pytest.approx((0.6, 1.1))
    assert result.flags == ["2 of 4 runs left out: an estimate is missing"]


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_no_estimate_at_all_has_no_interval(missing):
    result = judge([missing], [0.3], Fake(), Fake(), entropy=0.7)
    assert (result.low, result.gap, result.runs) == (None, None, 0)
    assert result.flags == ["1 of 1 runs left out: an estimate is missing", "no run"]
    json.dumps(result.to_json(), allow_nan=False)


def test_more_than_the_entropy_of_the_labels_is_flagged_run_by_run():
    flags = judge(TS, SL, Fake(), Fake(), entropy=math.log(2)).flags
    assert flags == ["I(student; label) exceeds H(Y) = 0.6931 nats in 1 of 3 runs"]
    assert judge(TS, SL, Fake(), Fake(), entropy=0.9).flags == []


def test_below_zero_is_flagged_beyond_noise_only():
    quiet, loud = Fake(noise=0.01), Fake(noise=0.1)
    assert judge([-0.1, -0.1], [0.5, 0.5], loud, loud).flags == []
    assert judge([-0.1, -0.1], [0.5, 0.5], quiet, loud).flags == [
        "I(teacher; student) = -0.1000 nats is below zero beyond noise"
    ]


def test_runs_that_do_not_pair_are_refused():
    with pytest.raises(CchError, match=r"2 runs of I.teacher; student. but 1 of"):
        judge([1.0, 2.0], [1.0])


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(CchError, match="expected between 0 and 1"):
        judge([1.0], [1.0], level=level)


def test_a_higher_level_widens_the_interval():
    low, high = (judge(TS, SL, Fake(), Fake(), level=level) for level in (0.8, 0.99))
    assert high.low < low.low < low.high < high.high


def test_effective_degrees_of_freedom_are_welchs():
    """Beside SciPy's Welch test of two samples, whose variance is the sum of two such parts."""
    a, b = np.random.default_rng(0).normal(size=(2, 7)) * [[1], [3]]
    b = b[:5]
    expected = stats.ttest_ind(a, b, equal_var=False).df
    parts = [(a.var(ddof=1) / 7, 6), (b.var(ddof=1) / 5, 4)]
    assert effective_degrees_of_freedom(parts) == pytest.approx(expected, rel=1e-12)
    assert effective_degrees_of_freedom([(0.5, 9), (0.0, 0)]) == pytest.approx(9)
    assert effective_degrees_of_freedom([(0.5, 9), (0.1, 0)]) == 0
    assert math.isinf(effective_degrees_of_freedom([]))


def test_one_calibration_repeat_leaves_no_interval():
    result = judge(TS, SL, Fake(repeats=1), Fake(repeats=1))
    assert result.low is None
    assert "I(student; label): one calibration repeat measures no noise" in result.flags
    json.dumps(result.to_json(), allow_nan=False)


def test_the_interval_covers_the_true_gap_at_least_as_often_as_it_says():
    """Rows give each estimate an error that its runs share; the calibration measures it.

    1,500 studies: coverage has a binomial standard error of 0.0056 at 0.95. It must not be below
    0.95 by more than three of them; it is above, because the runs' own noise counts twice and the
    two errors, which are independent here, are added as if they were not.
    """
    generator = np.random.default_rng(1)
    studies, runs, repeats, rows, own = 1500, 4, 8, 0.2, 0.1
    covered = 0
    for _ in range(studies):
        values = rows * generator.normal(size=(2, 1)) + own * generator.normal(size=(2, runs))
        ts, sl = values + np.array([[1.0], [0.8]])
        calibrations = math.hypot(rows, own) * generator.normal(size=(2, repeats))
        responses = [Fake(noise=one.std(ddof=1), repeats=repeats) for one in calibrations]
        result = judge(ts, sl, *responses)
        covered += result.low <= 0.2 <= result.high
    assert covered / studies > 0.95 - 3 * 0.0056


def test_without_calibration_the_interval_is_too_sure():
    """Why the noise is added: the same studies judged by run-to-run spread alone."""
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        values = 0.2 * generator.normal(size=(2, 1)) + 0.1 * generator.normal(size=(2, 4))
        result = judge(*(values + np.array([[1.0], [0.8]])))
        covered += result.low <= 0.2 <= result.high
    assert covered / 300 < 0.75
