"""KSG beside scikit-learn, closed forms and its invariances."""

import math

import numpy as np
import pytest
from sklearn.feature_selection._mutual_info import _compute_mi_cc, _compute_mi_cd

from cch.errors import CchError
from cch.information.ksg import KSG, kraskov, ross


def estimate(x, y, k=3, key=("test",)):
    return KSG(k=k).estimate(x, y, key=key)


def gaussian_pairs(rows, columns, correlation, seed=0):
    """X, Y with independent columns; Y's column j correlates with X's column j."""
    generator = np.random.default_rng(seed)
    x, noise = generator.normal(size=(2, rows, columns))
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


@pytest.mark.parametrize("k", [1, 3, 7])
def test_kraskov_is_scikit_learns_in_one_dimension(k):
    x, y = gaussian_pairs(500, 1, 0.8)
    expected = _compute_mi_cc(x[:, 0], y[:, 0], k)
    assert expected > 0.3
    assert kraskov(x, y, k).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_ross_is_scikit_learns_in_one_dimension(k):
    generator = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], [300, 150, 5])  # k = 7 exceeds the small class
    x = generator.normal(size=(455, 1)) + labels[:, None]
    expected = _compute_mi_cd(x[:, 0], labels, k)
    assert expected > 0.05  # not clipped
    assert ross(x, labels, k).value == pytest.approx(expected, rel=1e-12)


def test_a_row_alone_in_its_class_is_left_out_as_scikit_learn_does():
    generator = np.random.default_rng(3)
    labels = np.append(np.repeat([0, 1], 40), 2)
    x = generator.normal(size=(81, 1)) + labels[:, None]
    result = estimate(x, labels)
    scaled = (x - x.mean()) / x.std()
    assert result.value == pytest.approx(_compute_mi_cd(scaled[:, 0], labels, 3), rel=1e-9)
    assert result.fit["rows_estimated"] == 80
    assert result.flags == ["1 rows alone in their class left out"]


def test_labels_without_two_classes_of_two_rows_give_no_number():
    labels = np.append(np.zeros(59, dtype=int), 1)
    result = estimate(np.random.default_rng(4).normal(size=(60, 2)), labels)
    assert result.value is None
    assert "fewer than two classes with two rows" in result.flags


# The tolerance is four standard errors of 2,000 rows (the pointwise information of d independent
# Gaussian pairs has variance d r^2) and 3 % of the truth for the bias, which grows with d.
@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("correlation", [0.3, 0.7])
def test_kraskov_finds_the_closed_form_of_gaussians(columns, correlation):
    truth = -0.5 * columns * math.log(1 - correlation**2)
    x, y = gaussian_pairs(2000, columns, correlation, seed=columns)
    tolerance = 4 * correlation * math.sqrt(columns / 2000) + 0.03 * truth
    assert estimate(x, y).value == pytest.approx(truth, abs=tolerance)


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_ross_finds_the_information_of_separated_classes(columns):
    """Three classes so far apart that x determines the label: I = H(Y)."""
    labels = np.random.default_rng(5).choice(3, size=1500, p=[0.5, 0.3, 0.2])
    x = np.random.default_rng(6).normal(size=(1500, columns)) + 50.0 * labels[:, None]
    shares = np.bincount(labels) / 1500
    assert estimate(x, labels).value == pytest.approx(-(shares * np.log(shares)).sum(), abs=2e-3)


def test_ross_finds_the_information_of_two_overlapping_gaussians():
    """I = E[log p(x | y) / p(x)], by a fine sum over the line."""
    labels = np.arange(3000) % 2
    x = np.random.default_rng(7).normal(size=(3000, 1)) + 2.0 * labels[:, None]
    grid = np.linspace(-8, 10, 20001)
    given = np.exp(-0.5 * (grid - np.array([[0.0], [2.0]])) ** 2) / math.sqrt(2 * math.pi)
    pointwise = np.log(given / given.mean(axis=0))
    weight = 0.5 * given * (grid[1] - grid[0])
    truth = (weight * pointwise).sum()
    spread = math.sqrt((weight * pointwise**2).sum() - truth**2)
    standard_error = spread / math.sqrt(3000)
    assert estimate(x, labels).value == pytest.approx(truth, abs=4 * standard_error)


@pytest.mark.parametrize("columns", [1, 4])
def test_independent_data_give_about_zero_and_the_sign_is_kept(columns):
    values = []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        x, y = generator.normal(size=(2, 300, columns))
        values.append(estimate(x, y).value)
        values.append(estimate(x, generator.integers(0, 3, 300)).value)
    assert max(map(abs, values)) < 0.15
    assert abs(np.mean(values)) < 0.03
    assert min(values) < 0 < max(values)


@pytest.mark.parametrize("discrete", [False, True])
def test_the_order_of_rows_does_not_matter(discrete):
    x, y = gaussian_pairs(400, 3, 0.6)
    y = (y[:, 0] > 0).astype(int) if discrete else y
    order = np.random.default_rng(8).permutation(400)
    assert estimate(x[order], y[order]).value == pytest.approx(estimate(x, y).value, abs=1e-12)


def test_scale_place_and_constant_columns_do_not_matter():
    x, y = gaussian_pairs(400, 2, 0.6)
    moved = np.column_stack([1000 * x[:, 0] - 5, np.full(400, 3.0), 0.01 * x[:, 1] + 9])
    result = estimate(moved, y)
    assert result.fit["constant_columns_x"] == 1
    assert result.value == pytest.approx(estimate(x, y).value, abs=1e-9)


def test_equal_keys_give_equal_values_for_data_that_repeat():
    x, y = gaussian_pairs(400, 2, 0.9)
    x, y = np.maximum(x, 0), np.maximum(y, 0)
    first = estimate(x, y).value
    assert estimate(x, y).value == first
    assert estimate(x, y, key=("other",)).value != first


def test_values_that_repeat_in_both_variables_carry_their_plug_in_information():
    """Two binary variables, joint shares .4 .1 .2 .3, stored as numbers in (n, 1) columns."""
    joint = np.array([[0.4, 0.1], [0.2, 0.3]])
    cells = np.repeat(np.arange(4), (joint.ravel() * 4000).astype(int))
    x, y = (cells // 2).astype(float)[:, None], (cells % 2).astype(float)[:, None]
    truth = (joint * np.log(joint / np.outer(joint.sum(1), joint.sum(0)))).sum()
    # Within a repeated value the neighbours' noise is that of independent data, a few hundredths.
    assert estimate(x, y, k=10).value == pytest.approx(truth, abs=0.03)
    assert estimate(x, y[:, 0].astype(int), k=10).value == pytest.approx(truth, abs=0.03)


def test_a_dead_unit_that_is_shared_with_the_label_is_counted_once():
    """x is 0 for one class and spread for the other: the label is known, I = H(Y)."""
    labels = np.arange(1000) % 2
    x = np.random.default_rng(9).uniform(1, 2, size=(1000, 2)) * labels[:, None]
    assert estimate(x, labels).value == pytest.approx(math.log(2), abs=5e-3)


def test_more_neighbours_than_rows_are_refused():
    x, y = gaussian_pairs(60, 1, 0.5)
    with pytest.raises(CchError, match="k = 60 neighbours in 60 rows; lower k"):
        estimate(x, y, k=60)
