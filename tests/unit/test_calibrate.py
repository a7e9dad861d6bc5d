"""Calibration: bias and noise are those of the estimator, on cases whose truth is known."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.config import load
from cch.config.specs import NullGapsSpec, NullTableSpec
from cch.data.rng import numpy_generator
from cch.information.calibrate import (
    Case,
    CaseResult,
    Response,
    calibrate_continuous,
    calibrate_labels,
    sweep_settings,
)
from cch.information.estimator import (
    CheckedEstimator,
    Measured,
    entropy_of_labels,
    get_estimator,
)
from cch.information.gaussian import SyntheticModel
from cch.information.known import spectrum
from cch.information.null_gaps import null_gaps
from cch.workflow.planning import Plan
from support import raw_config


@dataclass(frozen=True)
class Counting(CheckedEstimator):
    """Says how often it was asked and for how many pairs; its values are draws of its seed."""

    name: ClassVar[str] = "counting"
    calls: ClassVar[list[int]] = []
    shift: float = 0.0
    fails: bool = False

    @property
    def version(self):
        return "1"

    def _measure(self, sample, seed):
        value = self.shift + numpy_generator(seed).normal()
        return Measured(math.nan if self.fails and seed % 2 else value, flags=["a flag"])

    def _measure_many(self, samples, seeds):
        self.calls.append(len(samples))
        return super()._measure_many(samples, seeds)


@dataclass(frozen=True)
class First(Counting):
    """Keeps the samples that it was given."""

    seen: ClassVar[list] = []

    def _measure_many(self, samples, seeds):
        self.seen[:] = [(sample.x, sample.y) for sample in samples]
        return super()._measure_many(samples, seeds)


def own_pair(rows=80, labels=False):
    generator = numpy_generator("own")
    x = generator.normal(size=(rows, 2)) @ generator.normal(size=(2, 4))
    y = generator.normal(size=(rows, 3))
    return x, (np.arange(rows) % 3 if labels else y)


def test_all_samples_of_all_cases_go_through_one_call():
    Counting.calls.clear()
    found = calibrate_continuous(
        Counting(), 80, 4, 3, truths=[0.5, 1], repeats=3, key=("a",), pair=own_pair()
    )
    assert Counting.calls == [9]
    assert [(r.case.kind, r.case.truth, r.repeats) for r in found] == [
        ("permutation-null", 0.0, 3),
        ("gaussian", 0.5, 3),
        ("gaussian", 1.0, 3),
    ]
    # Two directions of the pair vary: no more canonical pairs than that carry its information.
    assert [r.case.rank for r in found] == [None, 2, 2]
    assert {r.case.spectrum for r in found} == {"study"}
    assert len({value for result in found for value in result.values}) == 9
    Counting.calls.clear()
    found = calibrate_labels(Counting(), 80, 4, [50, 0, 30], shares=[0.5], repeats=3, key=("a",))
    assert Counting.calls == [6]
    assert [r.case.name for r in found] == ["null", "h0.5"]
    assert found[1].case.class_counts == (50, 30)
    entropy = entropy_of_labels(np.repeat([0, 1], [50, 30]))
    assert found[1].case.truth == pytest.approx(entropy / 2)


def test_bias_and_sd_are_of_the_values_and_failures_are_counted():
    case = Case("gaussian", "teacher-student", 0.5, 80, 4, 3)
    result = CaseResult(case, [0.3, 0.5, 0.1])
    assert (result.mean, result.repeats) == (pytest.approx(0.3), 3)
    assert result.bias == pytest.approx(-0.2)
    assert result.sd == pytest.approx(0.2)
    failing = calibrate_continuous(
        Counting(fails=True), 80, 4, 3, truths=[1], repeats=8, key=("a",)
    )
    assert all(r.failed + r.repeats == 8 for r in failing)
    assert any(r.failed for r in failing)
    assert any(f"estimate failed ({r.failed} of 8)" in r.flags for r in failing)
    assert CaseResult(case, []).bias is None
    assert CaseResult(case, [1.0]).sd is None


def test_results_survive_json_and_repeat():
    def once():
        pair = own_pair(labels=True)
        return calibrate_labels(
            get_estimator("ksg"), 80, 4, [27, 27, 26], shares=[0.2, 0.5], repeats=2, key=("a",),
            pair=pair,
        )  # fmt: skip

    found = once()
    assert once() == found
    for result in found:
        text = json.dumps(result.to_json(), allow_nan=False)
        assert CaseResult.from_json(json.loads(text)) == result


def test_ksgs_bias_is_what_the_literature_says():
    """Nearly none in few dimensions, and below the truth in many (Gao et al. 2015)."""
    ksg = get_estimator("ksg")
    few = calibrate_continuous(ksg, 500, 1, 1, truths=[0.5], repeats=10, key=("few",))
    for result in few:
        # Standard error of the mean of ten; four of them.
        assert abs(result.bias) < 4 * result.sd / math.sqrt(10) + 0.01
    many = calibrate_continuous(ksg, 200, 30, 30, truths=[2.0], repeats=5, key=("many",))
    assert abs(many[0].bias) < 0.1
    assert many[1].bias < -1.0


def test_a_spectrum_of_few_directions_is_easier_than_as_many_columns():
    """Why the study's own spectrum is taken: columns alone would condemn every estimator."""
    ksg, generator = get_estimator("ksg"), numpy_generator("narrow")
    low = generator.normal(size=(200, 2)) @ generator.normal(size=(2, 30))
    options = {"truths": [1.0], "repeats": 4, "key": ("narrow",), "rank": 2}
    flat = calibrate_continuous(ksg, 200, 30, 30, **options)[1]
    own = calibrate_continuous(ksg, 200, 30, 30, pair=(low, low), **options)[1]
    assert abs(own.bias) < 0.25 < 0.6 < abs(flat.bias)


def test_settings_are_swept_on_the_same_samples():
    def cases(estimator):
        return calibrate_continuous(estimator, 80, 2, 2, truths=[0.5], repeats=2, key=("a",))

    found = sweep_settings(get_estimator("ksg"), {"k": [3, 10]}, cases)
    assert [r.case.options for r in found] == [{"k": 3}] * 2 + [{"k": 10}] * 2
    plain = cases(get_estimator("ksg", {"k": 10}))
    assert [r.values for r in found[2:]] == [r.values for r in plain]
    shifted = sweep_settings(Counting(), {"shift": [0.0, 5.0]}, cases)
    assert np.subtract(shifted[3].values, shifted[1].values) == pytest.approx([5, 5])
    with pytest.raises(CchError, match="ksg: has no option 'neighbours'"):
        sweep_settings(get_estimator("ksg"), {"neighbours": [1]}, cases)
    assert sweep_settings(get_estimator("ksg"), {}, cases) == []


def results(*cases, **options):
    """(truth, mean, sd) each."""
    return [
        CaseResult(
            Case("gaussian", "teacher-student", truth, 80, 4, 3, **options),
            [mean - sd / math.sqrt(2), mean + sd / math.sqrt(2)],
        )
        for truth, mean, sd in cases
    ]


def ends(reading):
    return reading.low, reading.high


def test_a_response_is_read_between_cases_and_nowhere_else():
    response = Response.of(results((1.0, 0.6, 0.2), (0.0, 0.1, 0.05), (2.0, 0.8, 0.1)))
    assert response.values == pytest.approx((0.1, 0.6, 0.8))
    assert (response.repeats, response.freedom, response.rows) == (2, 3, 80)
    assert ends(response.read(0.1)) == pytest.approx((0.0, 0.0))
    assert ends(response.read(0.6)) == pytest.approx((1.0, 1.0))
    assert ends(response.read(0.35)) == pytest.approx((0.5, 0.5))
    assert response.read(0.35).flags == ()
    above, below = response.read(0.9), response.read(-0.2)
    assert (above.low, above.high) == (2.0, None)
    assert "no upper end" in above.flags[0]
    assert (below.low, below.high) == (None, None)
    assert "no reading" in below.flags[0]


def test_noise_is_no_smaller_than_that_of_all_cases():
    response = Response.of(results((0.0, 0.1, 0.05), (1.0, 0.6, 0.2), (2.0, 0.8, 0.1)))
    every = math.sqrt((0.05**2 + 0.2**2 + 0.1**2) / 3)
    assert response.noise_at(0.1) == pytest.approx(every)
    assert response.noise_at(0.6) == pytest.approx(0.2)


def test_the_inverse_of_a_plateau_is_a_set():
    response = Response.of(
        results((0.0, 0.0, 0.1), (0.5, 0.3, 0.1), (1.0, 0.2, 0.3), (2.0, 1.0, 0.1))
    )
    assert response.values == pytest.approx((0.0, 0.25, 1.0))
    assert ends(response.read(0.25)) == (0.5, 1.0)
    assert ends(response.read(0.125)) == pytest.approx((0.25, 0.25))
    assert ends(response.read(0.625)) == pytest.approx((1.5, 1.5))
    last = Response.of(results((0, 0.0, 0.1), (4, 1.51, 0.1), (8, 1.52, 0.1), (16, 1.41, 0.1)))
    # 4, 8 and 16 nats give the same: an estimate of it says "at least 4", not "9.33".
    assert ends(last.read(last.values[-1])) == (4.0, None)
    assert ends(last.read(0.74)) == pytest.approx((2.0, 2.0))
    flat = Response.of(results((0.0, 0.2, 0.1), (1.0, 0.2, 0.1), (2.0, 0.1, 0.1)))
    assert ends(flat.read(flat.values[0])) == (0.0, None)


def test_an_estimate_of_the_synthetic_study_stays_below_its_closed_form():
    """Latent-light at n = 1,000: 1.01 nats was "calibrated" to 3.93 where I(X2; Y) = 1.499."""
    known = SyntheticModel(100, 0.0, 0.9, 0.4).student_label_nats()
    assert known == pytest.approx(1.499, abs=5e-4)
    stored = ((0, 0.0154, 0.0245), (1, 0.7560, 0.0210), (4, 1.5145, 0.0889), (8, 1.5242, 0.0507),
              (16, 1.4087, 0.0408))  # fmt: skip
    response = Response.of(results(*stored, ceiling=known))
    for value in np.linspace(0, 2, 21):
        reading = response.read(value, 0.1)
        assert reading.low is None or reading.low <= reading.high <= known
    assert "largest possible value" in response.read(1.0118).flags[0]


def test_noise_is_divided_by_the_slope():
    """At the image study's slope of 0.22 noise of 0.07 nats is 0.32 nats of truth."""
    response = Response.of(results((0.0, 0.0, 0.07), (4.0, 0.88, 0.07), (8.0, 1.76, 0.07)))
    reading = response.read(0.88, 0.07)
    assert (reading.high - reading.low) / 2 == pytest.approx(0.07 / 0.22)


def test_a_response_survives_json_and_refuses_mixtures():
    response = Response.of(results((0.0, 0.1, 0.05), (1.0, 0.6, 0.2), ceiling=0.7))
    assert Response.from_json(json.loads(json.dumps(response.to_json()))) == response
    with pytest.raises(CchError, match="mix quantities or settings"):
        Response.of(results((0, 0, 1)) + results((1, 1, 1), options={"k": 3}))
    with pytest.raises(CchError, match="no case has two estimates"):
        Response.of([CaseResult(Case("gaussian", "teacher-student", 0.0, 80, 4, 3), [1.0])])


def test_a_response_removes_the_bias_of_fresh_samples_of_the_same_family():
    ksg = get_estimator("ksg")
    truths = [0.25, 0.5, 1.0]
    options = {"repeats": 8, "rank": 3}
    response = Response.of(
        calibrate_continuous(ksg, 300, 6, 6, truths=truths, key=("fit",), **options)
    )
    fresh = calibrate_continuous(ksg, 300, 6, 6, truths=[0.75], key=("fresh",), **options)[1]
    assert fresh.bias < -0.15
    # Noise of the mean of eight, over the slope of the response (about one half), and of the fit.
    reading = response.read(fresh.mean)
    assert abs(reading.low - 0.75) < 0.1


def test_debiasing_depends_on_the_family():
    """One estimate by KSG fits a truth of rank 2 and another of rank 32: no verdict can rest on it.

    Each reading is right in its own family, and the two exclude one another.
    """
    generator, read = numpy_generator("family"), []
    turn = np.linalg.qr(generator.normal(size=(2, 64, 64)))[0]
    own = (generator.normal(size=(2, 400, 64)) / np.arange(1, 65)) @ turn
    for rank in (2, 32):
        cases = calibrate_continuous(
            get_estimator("ksg"), 400, 64, 64, truths=[1.0, 2.0, 4.0], repeats=2, rank=rank,
            key=("family", rank), pair=tuple(own),
        )  # fmt: skip
        response = Response.of(cases)
        read.append(response.read(0.4, 2 * response.noise_at(0.4)))
    assert read[0].high < 1.5 < 3.0 < read[1].low


def test_fewer_rows_are_read_to_the_far_side():
    """The response at a subsample lies below that at all rows, so its inverse lies above."""
    ksg, options = get_estimator("ksg"), {"truths": [1.0, 2.0, 4.0], "repeats": 2}
    few, many = (
        Response.of(calibrate_continuous(ksg, rows, 16, 16, key=("rows",), **options))
        for rows in (250, 2000)
    )
    for value in (0.2, 0.3, 0.4):
        assert few.read(value).low > many.read(value).low


def test_the_spectrum_of_a_mixture_is_that_within_classes():
    """Means far apart rule the total spectrum; within classes all directions are alike."""
    generator = numpy_generator("within")
    labels = np.arange(3000) % 3
    turn = np.linalg.qr(generator.normal(size=(6, 6)))[0]
    x = (generator.normal(size=(3000, 6)) + 8 * np.eye(6)[labels]) @ turn
    total, within = spectrum(x), spectrum(x, labels)
    assert total[0] / total[2] > 5
    # By hand: the pooled covariance within classes, of columns of unit total variance.
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    centred = np.concatenate([scaled[labels == c] - scaled[labels == c].mean(0) for c in range(3)])
    by_hand = np.sort(np.linalg.eigvalsh(centred.T @ centred / 3000))[::-1]
    assert within == pytest.approx(by_hand)
    drawn = calibrate_labels(
        First(), 3000, 6, [1000] * 3, shares=[0.5], repeats=2, key=("within",), pair=(x, labels)
    )
    # The sample's own spectrum within classes is the study's, up to the noise of 3,000 rows.
    (sample, classes), *_ = First.seen[2:]
    ratio = sorted_spectrum(sample, classes) / (within / within.sum())
    assert np.all(np.abs(ratio - 1) < 0.25)
    assert drawn[1].case.spectrum == "study"


def sorted_spectrum(x, labels):
    """Shares of the variance within classes along its principal directions."""
    centred = np.concatenate([x[labels == c] - x[labels == c].mean(0) for c in np.unique(labels)])
    found = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1]
    return found / found.sum()


def test_a_class_that_determines_the_representation_leaves_a_flat_spectrum():
    labels = np.arange(60) % 3
    found = calibrate_labels(
        Counting(), 60, 3, [20] * 3, shares=[0.5], repeats=2, key=("flat",),
        pair=(np.eye(3)[labels], labels),
    )  # fmt: skip
    assert [r.case.spectrum for r in found] == ["study", "flat"]


def test_a_pair_of_another_size_is_refused():
    with pytest.raises(CchError, match="the pair has 80 and 80 rows, expected 90"):
        calibrate_continuous(
            get_estimator("ksg"), 90, 4, 3, truths=[1], repeats=2, key=(), pair=own_pair()
        )


SLOW = pytest.mark.skipif(
    "CCH_SLOW_TESTS" not in os.environ,
    reason="40 fits of 4.3 million parameters take many minutes; CCH_SLOW_TESTS=1 runs them",
)
LATENT = {"latent-light": [pytest.mark.slow], "latentmi": [pytest.mark.slow, SLOW]}
LIHC_ESTIMATORS = [
    "ksg",
    *(pytest.param(name, marks=marks) for name, marks in LATENT.items()),
]


@pytest.mark.parametrize("name", LIHC_ESTIMATORS)
def test_lihcs_gaps_are_below_the_estimators_own_noise(name):
    entry, plan = load(raw_config()).null_gaps["lihc"], Plan(raw_config())
    spec = NullGapsSpec.model_validate_json(plan.null_spec("lihc", name))
    assert sum(entry.class_counts) == 170
    printed = NullTableSpec.model_validate_json(plan.null_table_spec("lihc")).gaps
    found = null_gaps(get_estimator(name), spec)
    gaps = np.array(found["gap"])
    assert len(gaps) == 20
    largest = max(abs(gap) for gap in printed.values())
    # A single gap: 1.96 sd around a true gap of zero hold every printed one ...
    assert largest < 1.96 * gaps.std(ddof=1)
    # ... in either unit that the paper may mean: bits are fewer nats.
    assert largest * math.log(2) < 1.96 * gaps.std(ddof=1)
    # And the four smaller ones hide within the noise of a mean of five independent runs.
    smaller = sorted(abs(gap) for gap in printed.values())[:4]
    assert smaller[-1] < 1.96 * gaps.std(ddof=1) / math.sqrt(entry.runs)
    # Estimates of nothing spread by several hundredths of a nat on both sides of the criterion.
    for quantity in ("teacher-student", "student-label"):
        assert 0.02 < np.std(found[quantity], ddof=1) < 0.2
