"""KSG beside scikit-learn, plain references, latentmi, closed forms and its invariances."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import digamma, polygamma
from sklearn.feature_selection._mutual_info import _compute_mi_cc, _compute_mi_cd

from cch.base.errors import CchError
from cch.information import neighbours
from cch.information.estimator import get_estimator
from cch.information.ksg import KSG, kraskov, kraskov_many, kraskov_pointwise, ross, ross_pointwise
from cch.information.units import from_bits

BOTH = pytest.mark.parametrize("backend", ["tree", "brute"])


def estimate(x, y, k=3, key=("test",)):
    return KSG(k=k).estimate(x, y, key=key)


def gaussian_pairs(rows, columns, correlation, seed=0):
    """X, Y with independent columns; Y's column j correlates with X's column j."""
    generator = np.random.default_rng(seed)
    x, noise = generator.normal(size=(2, rows, columns))
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


def plain_distances(values):
    """All maximum-norm distances, (n, n)."""
    return np.abs(values[:, None] - values[None]).max(axis=-1)


def plain_kraskov(x, y, k):
    """Eq. 8 of Kraskov et al. as it is written, row by row of three full matrices."""
    in_x, in_y = plain_distances(x), plain_distances(y)
    joint = np.maximum(in_x, in_y)
    np.fill_diagonal(joint, np.inf)
    distance = np.sort(joint, axis=1)[:, [k - 1]]
    n_x, n_y = ((one < distance).sum(axis=1) - 1 for one in (in_x, in_y))
    return digamma(k) + digamma(len(x)) - digamma(n_x + 1) - digamma(n_y + 1)


def plain_ross(x, labels, k):
    """Eq. 2 of Ross, row by row of the full matrix; m counts the row itself, as in his code."""
    everywhere = plain_distances(x)
    terms = []
    for row, label in enumerate(labels):
        others = (labels == label) & (np.arange(len(x)) != row)
        near = min(k, others.sum())
        distance = np.sort(everywhere[row, others])[near - 1]
        m = (everywhere[row] < distance).sum()
        terms.append(digamma(near) - digamma(others.sum() + 1) - digamma(m))
    return digamma(len(x)) + np.array(terms)


def classes(rows, columns, seed=0):
    """Overlapping classes of shares .6, .3, .1; the last column carries the label."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, size=rows, p=[0.6, 0.3, 0.1])
    x = generator.normal(size=(rows, columns))
    x[:, -1] += labels
    return x, labels


# Equal to other implementations. Counts are whole numbers, so only the sums round.


@BOTH
@pytest.mark.parametrize("k", [1, 3, 7])
def test_kraskov_is_scikit_learns_in_one_dimension(k, backend):
    x, y = gaussian_pairs(700, 1, 0.8)
    expected = _compute_mi_cc(x[:, 0], y[:, 0], k)
    assert expected > 0.3
    assert kraskov(x, y, k, backend=backend).value == pytest.approx(expected, rel=1e-12)


@BOTH
@pytest.mark.parametrize(("dx", "dy"), [(1, 3), (2, 2), (8, 8), (20, 1)])
@pytest.mark.parametrize("k", [1, 5])
def test_kraskov_is_the_plain_formula_in_many_dimensions(dx, dy, k, backend):
    x, y = gaussian_pairs(250, max(dx, dy), 0.7, seed=dx)
    x, y = x[:, :dx], y[:, :dy]
    expected = plain_kraskov(x, y, k)
    np.testing.assert_allclose(kraskov_pointwise(x, y, k, backend=backend), expected, atol=1e-12)
    assert kraskov(x, y, k, backend=backend).value == pytest.approx(expected.mean(), abs=1e-12)


@BOTH
@pytest.mark.parametrize("k", [1, 3, 7])
def test_ross_is_scikit_learns_in_one_dimension(k, backend):
    generator = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], [300, 150, 5])  # k = 7 exceeds the small class
    labels = generator.permutation(labels)
    # It measures by squares, and their rounding now and then counts the neighbour itself. The
    # squares of numbers of 20 binary places are exact.
    x = np.round((generator.normal(size=(455, 1)) + labels[:, None]) * 2**20) / 2**20
    expected = _compute_mi_cd(x[:, 0], labels, k)
    assert expected > 0.05  # not clipped
    assert ross(x, labels, k, backend=backend).value == pytest.approx(expected, rel=1e-12)


@BOTH
@pytest.mark.parametrize("columns", [2, 8, 20])
def test_ross_is_the_plain_formula_in_many_dimensions(columns, backend):
    x, labels = classes(250, columns)
    expected = plain_ross(x, labels, 3)
    np.testing.assert_allclose(ross_pointwise(x, labels, 3, backend=backend), expected, atol=1e-12)
    assert ross(x, labels, 3, backend=backend).value == pytest.approx(expected.mean(), abs=1e-12)


@BOTH
def test_kraskov_is_latentmis_own_row_by_row_in_nats(backend, monkeypatch):
    library = pytest.importorskip("latentmi.ksg")
    monkeypatch.setattr(library, "add_noise", lambda values: values)
    x, y = gaussian_pairs(600, 8, 0.8)
    expected = from_bits(library.mi(x, y, k=3))
    assert expected.mean() > 1
    np.testing.assert_allclose(kraskov_pointwise(x, y, 3, backend=backend), expected, atol=1e-12)


# Equal however it is computed.


@pytest.mark.parametrize(("rows", "columns"), [(60, 1), (1500, 3), (700, 20)])
def test_tree_and_brute_force_give_the_same_bits(rows, columns):
    x, y = gaussian_pairs(rows, columns, 0.6)
    labels = np.random.default_rng(1).integers(0, 4, rows)
    repeated = np.maximum(x, 0), np.maximum(y, 0)  # distances of 0 too
    for a, b in ((x, y), repeated):
        tree, brute = (kraskov_pointwise(a, b, 3, backend=w) for w in ("tree", "brute"))
        np.testing.assert_array_equal(tree, brute)
        tree, brute = (ross_pointwise(a, labels, 3, backend=w) for w in ("tree", "brute"))
        np.testing.assert_array_equal(tree, brute)


@BOTH
def test_an_estimate_is_the_same_by_either_backend(backend):
    x, labels = classes(400, 3)
    chosen = get_estimator("ksg", {"backend": backend})
    for y in (labels, x[:, :2] ** 2):
        assert chosen.estimate(x, y, key=("a",)).value == KSG().estimate(x, y, key=("a",)).value


def test_threads_do_not_change_a_bit():
    x, y = gaussian_pairs(2100, 3, 0.6)
    one = [kraskov_pointwise(x, y, 3, backend=backend) for backend in ("tree", "brute")]
    torch.set_num_threads(2)  # the fixture puts it back
    two = [kraskov_pointwise(x, y, 3, backend=backend) for backend in ("tree", "brute")]
    np.testing.assert_array_equal(one, two)


def stacked_pairs(pairs, rows, dx, dy):
    each = [gaussian_pairs(rows, max(dx, dy), 0.1 * m, seed=m) for m in range(pairs)]
    return np.stack([x[:, :dx] for x, _ in each]), np.stack([y[:, :dy] for _, y in each])


# 2,048 distances at a time: several pairs, one pair, and parts of one pair.
@BOTH
@pytest.mark.parametrize("rows", [30, 45, 85, 300])
def test_stacked_pairs_are_what_they_are_one_by_one(rows, backend, monkeypatch):
    x, y = stacked_pairs(7, rows, 4, 2)
    alone = [kraskov(one, other, 3, backend="tree").value for one, other in zip(x, y, strict=True)]
    monkeypatch.setitem(neighbours.CHUNK_BYTES, "cpu", 2048 * neighbours.DISTANCE_BYTES)
    together = kraskov_many(x, y, 3, backend=backend)
    assert together.shape == (7,)
    assert together.tolist() == alone
    tensors = kraskov_many(torch.from_numpy(x), torch.from_numpy(y), 3, backend=backend)
    assert tensors.tolist() == alone


def test_labels_may_be_called_anything_and_arrays_may_be_read_only():
    x, labels = classes(200, 2)
    x.flags.writeable = False
    names = np.array([-7, 40, 3])[labels]
    assert ross(x, names, 3).value == pytest.approx(ross(x, labels, 3).value, abs=1e-12)


def test_float32_tensors_are_measured_in_float64():
    x, y = (torch.from_numpy(v).float().requires_grad_() for v in stacked_pairs(2, 100, 2, 2))
    expected = kraskov_many(x.detach().double(), y.detach().double(), 3)
    assert kraskov_many(x, y, 3).tolist() == expected.tolist()


def test_a_pair_that_is_not_finite_gives_nan_and_leaves_the_others_alone():
    x, y = stacked_pairs(4, 85, 8, 8)
    expected = kraskov_many(x, y, 3)
    x[1, 3, 2], y[2, 0, 0] = math.nan, math.inf
    found = kraskov_many(x, y, 3)
    assert np.isnan(found).tolist() == [False, True, True, False]
    assert found[[0, 3]].tolist() == expected[[0, 3]].tolist()
    assert np.isnan(kraskov_many(np.full((2, 60, 1), math.nan), y[:2, :60], 3)).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_bits():
    x, y = stacked_pairs(5, 400, 8, 8)
    labels = np.random.default_rng(1).integers(0, 4, 400)
    assert kraskov_many(x, y, 3, device="cuda").tolist() == kraskov_many(x, y, 3).tolist()
    assert ross(x[0], labels, 3, device="cuda") == ross(x[0], labels, 3)


# Bounded memory, and which backend.


@pytest.mark.parametrize(("stack", "rows"), [(1, 30_000), (50, 85), (10, 700), (2, 1_000_000)])
def test_chunks_cover_every_row_once_within_their_memory(stack, rows):
    covered = 0
    limit = max(neighbours.CHUNK_BYTES["cpu"], rows * neighbours.DISTANCE_BYTES)
    for pairs, part in neighbours.chunks(stack, rows):
        measured = (pairs.stop - pairs.start) * (part.stop - part.start)
        assert 0 < measured * rows * neighbours.DISTANCE_BYTES <= limit
        covered += measured
    assert covered == stack * rows


PEAK = """
import resource, sys
import numpy as np
from cch.information.ksg import kraskov, ross

def measure(rows):
    x, y = np.random.default_rng(0).normal(size=(2, rows, 2))
    labels = (y[:, 0] > 0).astype(int)
    kraskov(x, y, 3, backend="brute"), ross(x, labels, 3, backend="brute")

measure(500)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
measure(6000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_brute_force_peaks_far_below_one_matrix_of_distances():
    """One matrix takes 288 MB. Six times the chunk leaves room for what the allocator keeps."""
    run = [sys.executable, "-c", PEAK]
    kilobytes = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert kilobytes * 1024 < 6 * neighbours.CHUNK_BYTES["cpu"]


def test_the_faster_backend_is_chosen():
    """Cases far from the crossover, several times apart when timed."""
    assert neighbours.choose(30_000, 2 + 2) == "tree"
    assert neighbours.choose(30_000, 8 + 8) == "tree"
    assert neighbours.choose(85, 8 + 8) == "brute"
    assert neighbours.choose(2_000, 64 + 64) == "brute"
    assert neighbours.choose(30_000, 2 + 2, "cuda") == "brute"


# What goes wrong


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"k": 100}, "ksg: k = 100 neighbours in 100 rows; lower k"),
        ({"k": 0}, "ksg: k = 0 neighbours in 100 rows; k is at least 1"),
        ({"backend": "ball"}, "ksg: backend is 'ball'; there are auto, tree, brute"),
        ({"device": "meta"}, "ksg: there is no device 'meta' for it here; use cpu"),
        ({"y": np.zeros((99, 2))}, r"ksg: got shapes \(100, 2\) and \(99, 2\)"),
        ({"y": np.full((100, 2), np.nan)}, "ksg: values contain NaN or infinity"),
    ],
)
def test_bad_input_gives_one_line(change, line):
    x, y = gaussian_pairs(100, 2, 0.5)
    with pytest.raises(CchError, match=line):
        kraskov(**{"x": x, "y": y, "k": 3} | change)


def test_labels_and_stacks_of_other_shapes_are_refused():
    x, y = gaussian_pairs(100, 2, 0.5)
    with pytest.raises(CchError, match=r"got shapes \(100, 2\) and \(99,\)"):
        ross(x, np.zeros(99, dtype=int), 3)
    with pytest.raises(CchError, match=r"give \(pairs, rows, columns\)"):
        kraskov_many(x, y, 3)
    with pytest.raises(CchError, match="ksg: backend is 'ball'"):
        get_estimator("ksg", {"backend": "ball"})


# What it estimates


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


# Four standard errors: a row's information has variance d r^2, its k-th distance adds psi'(k).
# Beyond that the estimate falls short in three columns and more, by up to a tenth in 3 + 3.
@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_kraskov_finds_the_closed_form_of_gaussians(columns, correlation):
    truth = -0.5 * columns * math.log(1 - correlation**2)
    noise = 4 * math.sqrt((columns * correlation**2 + polygamma(1, 3)) / 2000)
    short = 0.1 * truth if columns == 3 else 0.0
    x, y = gaussian_pairs(2000, columns, correlation, seed=columns)
    assert -noise - short < estimate(x, y).value - truth < noise


def test_kraskov_falls_far_short_of_strong_dependence_in_eight_columns():
    """4.09 nats are there. Nearer neighbours would tell, and the number of rows buys few of them.

    Five other draws at each number of rows gave 1.6 to 1.7, 2.0 to 2.1 and 2.47 to 2.51 nats.
    """
    assert -4 * math.log(1 - 0.8**2) == pytest.approx(4.09, abs=0.01)
    found = [estimate(*gaussian_pairs(n, 8, 0.8)).value for n in (500, 2000, 10_000)]
    assert found == pytest.approx([1.65, 2.08, 2.49], abs=0.15)


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
