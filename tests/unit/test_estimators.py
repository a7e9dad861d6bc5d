"""The interface: what goes in is checked, what comes out is flagged."""

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.config.registry import ESTIMATORS
from cch.information.estimator import (
    CheckedEstimator,
    Estimator,
    Measured,
    constant_columns,
    entropy_of_labels,
    get_estimator,
)


@dataclass(frozen=True)
class Fixed(CheckedEstimator):
    """Returns what it was given, and counts that it was asked."""

    name: ClassVar[str] = "fixed"
    value: float = 0.5

    @property
    def version(self):
        return "7"

    def _measure(self, sample, seed):
        return Measured(self.value, fit={"classes": sample.classes})


def numbers(rows=60, columns=3):
    return np.random.default_rng(1).normal(size=(rows, columns))


def labels(rows=60, classes=3):
    return np.arange(rows) % classes


def test_an_estimate_states_sizes_seed_version_and_options():
    estimate = Fixed(0.5).estimate(numbers(), labels(), key=("a", 1))
    assert (estimate.value, estimate.n, estimate.dx, estimate.dy) == (0.5, 60, 3, 3)
    assert estimate.fit["estimator"] == "fixed"
    assert estimate.fit["version"] == "7"
    assert estimate.fit["options"] == {"value": 0.5}
    assert estimate.fit["classes"] == 3
    assert estimate.flags == []


def test_the_seed_follows_the_key_and_the_estimator():
    first = Fixed().estimate(numbers(), labels(), key=("a", 1)).seed
    assert first == Fixed().estimate(numbers(), labels(), key=("a", 1)).seed
    assert first != Fixed().estimate(numbers(), labels(), key=("a", 2)).seed
    assert first != get_estimator("ksg").estimate(numbers(), labels(), key=("a", 1)).seed


def test_an_estimate_survives_json():
    estimate = get_estimator("ksg").estimate(numbers(), labels(), key=("a",))
    assert json.loads(json.dumps(estimate.to_json(), allow_nan=False)) == estimate.to_json()


def test_a_value_below_zero_is_kept_and_flagged():
    estimate = Fixed(-0.01).estimate(numbers(), labels(), key=())
    assert (estimate.value, estimate.flags) == (-0.01, ["below zero"])


def test_a_value_above_the_entropy_of_the_labels_is_flagged():
    assert Fixed(1.09).estimate(numbers(), labels(), key=()).flags == []  # ln 3 = 1.0986
    assert Fixed(1.11).estimate(numbers(), labels(), key=()).flags == ["exceeds H(Y) = 1.0986 nats"]


def test_a_continuous_y_has_no_entropy_bound():
    assert Fixed(50.0).estimate(numbers(), numbers(), key=()).flags == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_failed_estimate_is_no_number_and_says_so(value):
    estimate = Fixed(value).estimate(numbers(), labels(), key=())
    assert (estimate.value, estimate.flags) == (None, ["estimate failed"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_diverged_representation_gives_a_flag_not_a_crash(bad):
    x = numbers()
    x[3, 1] = bad
    assert Fixed().estimate(x, labels(), key=()).flags[0] == "x contains NaN or infinity"
    estimate = Fixed().estimate(numbers(), x, key=())
    assert estimate.value is None
    assert estimate.flags == ["y contains NaN or infinity", "estimate failed"]


def test_a_constant_representation_carries_nothing():
    estimate = Fixed(0.5).estimate(np.full((60, 4), 0.1), labels(), key=())
    assert (estimate.value, estimate.flags) == (0.0, ["constant representation (x)"])
    estimate = Fixed(0.5).estimate(numbers(), np.zeros((60, 4)), key=())
    assert (estimate.value, estimate.flags) == (0.0, ["constant representation (y)"])


def test_a_constant_column_is_found_through_float32_rounding():
    values = np.zeros((60, 3), dtype=np.float32)
    values[:, 1] = np.nextafter(np.float32(0.7), np.float32(labels(classes=2)))
    values[:, 2] = 0.7 + 1e-5 * labels()
    assert np.ptp(values[:, 1]) > 0
    assert constant_columns(values).tolist() == [True, True, False]


def test_constant_columns_are_counted():
    x = numbers()
    x[:, 0] = 2.0
    fit = Fixed().estimate(x, numbers(), key=()).fit
    assert (fit["constant_columns_x"], fit["constant_columns_y"]) == (1, 0)


def test_float_labels_are_one_continuous_column_and_integers_are_classes():
    column = Fixed().estimate(numbers(), numbers()[:, 0], key=())
    assert (column.dy, column.fit["y"]) == (1, "continuous")
    classes = Fixed().estimate(numbers(), np.where(labels() > 0, 90, -4), key=())
    assert (classes.dy, classes.fit["y"]) == (2, "labels")
    assert Fixed().estimate(numbers(), labels() > 0, key=()).dy == 2


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (numbers(60), labels(61), "x has 60 rows but y has 61"),
        (numbers(49), labels(49), "49 rows are too few; give at least 50"),
        (numbers(), np.full(60, 5), "all labels are 5"),
        (numbers()[:, 0], labels(), r"x has shape \(60,\)"),
        (numbers()[:, :0], labels(), r"x has shape \(60, 0\)"),
        (numbers(), np.zeros((60, 2, 2)), r"y has shape \(60, 2, 2\)"),
        (numbers().astype(str), labels(), "x holds <U"),
    ],
)
def test_input_that_cannot_be_meant_is_refused_in_one_line(x, y, words):
    with pytest.raises(CchError, match=f"^fixed: {words}"):
        Fixed().estimate(x, y, key=())


def test_entropy_of_labels_in_nats():
    assert entropy_of_labels(np.array([4, 4, 9, 9])) == pytest.approx(math.log(2), rel=1e-15)
    assert entropy_of_labels(np.array([1, 1, 1])) == 0
    shares = np.array([0.2, 0.3, 0.5])
    drawn = np.repeat([0, 1, 2], [2, 3, 5])
    assert entropy_of_labels(drawn) == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-14)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_name_leads_to_an_estimator_of_that_name(name):
    estimator = get_estimator(name)
    assert isinstance(estimator, Estimator)
    assert (estimator.name, estimator) == (name, type(estimator)())
    assert ESTIMATORS.code([name]) == [type(estimator).__module__]


def test_an_estimator_is_added_by_its_name(monkeypatch):
    monkeypatch.setattr(ESTIMATORS, "_entries", dict(ESTIMATORS._entries))
    ESTIMATORS.add("fixed", Fixed)
    with pytest.raises(CchError, match="the estimator 'fixed' is there already"):
        ESTIMATORS.add("fixed", Fixed)
    assert get_estimator("fixed", {"value": 0.25}).estimate(
        numbers(), labels(), key=()
    ).value == pytest.approx(0.25, rel=0)


def test_an_unknown_estimator_lists_the_known_ones():
    with pytest.raises(
        CchError, match=r"no estimator 'mine2'; did you mean 'mine'\? there are lat"
    ):
        get_estimator("mine2")


def test_an_unknown_option_lists_the_known_ones():
    with pytest.raises(CchError, match="ksg: has no option 'neighbours'; it has k"):
        get_estimator("ksg", {"neighbours": 5})


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_a_wrong_option_value_is_refused(k):
    with pytest.raises(CchError, match="ksg: k is"):
        get_estimator("ksg", {"k": k})
