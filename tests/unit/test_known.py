"""Samples of known information: the truth that is stated is the truth of what is drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import log_softmax
from scipy.stats import norm

from cch.base.errors import CchError
from cch.data.rng import numpy_generator
from cch.information.known import (
    canonical_correlation,
    class_means,
    class_mixture,
    gaussian_pairs,
    gaussian_truth,
    mixture_information,
    mixture_separation,
    permuted,
    spectrum,
)

LIHC = np.array([39, 18, 113]) / 170


def entropy(shares):
    return float(-np.sum(shares * np.log(shares)))


@pytest.mark.parametrize("truth", [0.0, 0.1, 1.0, 5.0])
@pytest.mark.parametrize(("dx", "dy", "rank"), [(64, 64, 8), (5, 1, 8), (3, 7, 2)])
def test_the_stated_gaussian_truth_is_the_closed_form(truth, dx, dy, rank):
    assert gaussian_truth(dx, dy, truth, rank) == pytest.approx(truth, abs=1e-10)


def test_gaussian_pairs_have_their_canonical_correlations_in_all_columns():
    x, y = gaussian_pairs(40_000, 6, 4, 0.9, keys=[("a",)], rank=3)
    covariance = np.cov(np.hstack((x[0], y[0])).T)
    # Sampling error of a (co)variance at n = 40,000: 1.4 / 200 = 0.007; five of them.
    assert np.abs(covariance[:6, :6] - np.eye(6)).max() < 0.035
    found = np.linalg.svd(covariance[:6, 6:], compute_uv=False)
    rho = canonical_correlation(0.9, 3)
    assert found[:3] == pytest.approx([rho] * 3, abs=0.035)
    assert found[3] < 0.035
    assert (np.linalg.norm(covariance[:6, 6:], axis=1) > 0.05).all()


def test_samples_follow_their_keys_and_not_their_neighbours():
    both = gaussian_pairs(60, 4, 3, 0.5, keys=[("a", 0), ("a", 1)])
    alone = gaussian_pairs(60, 4, 3, 0.5, keys=[("a", 1)])
    assert all((b[1] == a[0]).all() for a, b in zip(alone, both, strict=True))
    assert not np.allclose(both[0][0], both[0][1])
    both = class_mixture(60, 4, LIHC, 0.3, keys=[("a", 0), ("a", 1)])
    alone = class_mixture(60, 4, LIHC, 0.3, keys=[("a", 1)])
    assert all((b[1] == a[0]).all() for a, b in zip(alone, both, strict=True))


def test_a_permutation_keeps_the_rows_and_breaks_their_order():
    y = numpy_generator("rows").normal(size=(50, 3))
    first, second = permuted(y, keys=[(0,), (1,)])
    assert not (first == second).all()
    assert sorted(map(tuple, first)) == sorted(map(tuple, y))


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("d", [1, 2, 9, 64])
def test_neighbouring_means_are_one_apart(classes, d):
    means = class_means(classes, d)
    assert means.shape[1] <= d
    distance = np.linalg.norm(means[:, None] - means[None], axis=-1)
    apart = distance[~np.eye(classes, dtype=bool)]
    assert apart.min() == pytest.approx(1)
    if d >= classes - 1:
        assert apart.max() == pytest.approx(1)


def test_a_simplex_lies_by_formula_not_as_a_decomposition_of_equal_values_turns_it():
    root = math.sqrt(2)
    expected = [[1 / 2, 1 / (2 * math.sqrt(3))], [-1 / 2, 1 / (2 * math.sqrt(3))]]
    expected.append([0, -1 / math.sqrt(3)])
    np.testing.assert_allclose(class_means(3, 5), expected, atol=1e-15)
    np.testing.assert_allclose(class_means(2, 5), [[1 / 2], [-1 / 2]], atol=1e-15)
    assert class_means(10, 64)[-1] == pytest.approx([0] * 8 + [-9 / math.sqrt(90) / root])


@pytest.mark.parametrize("share", [0.5, 0.9, 0.02])
@pytest.mark.parametrize("separation", [0.1, 1.0, 3.0, 8.0])
def test_two_classes_agree_with_adaptive_quadrature(share, separation):
    """In one dimension I = h(X) - h(N(0, 1)), by QUADPACK."""
    shares = np.array([share, 1 - share])

    def surprise(x):
        density = shares[0] * norm.pdf(x) + shares[1] * norm.pdf(x - separation)
        return -density * math.log(density) if density > 0 else 0.0

    h, _ = quad(surprise, -12, separation + 12, points=[0, separation], limit=400, epsabs=1e-11)
    expected = h - 0.5 * math.log(2 * math.pi * math.e)
    for d in (1, 2, 64):
        assert mixture_information(shares, separation, d) == pytest.approx(expected, abs=1e-7)


def monte_carlo(shares, means, rows=400_000):
    """I and its standard error from posteriors at sampled points, classes in exact shares."""
    generator = numpy_generator("independent")
    labels = generator.choice(len(shares), size=rows, p=shares)
    x = means[labels] + generator.normal(size=(rows, means.shape[1]))
    logits = -0.5 * ((x[:, None, :] - means) ** 2).sum(-1) + np.log(shares)
    pointwise = log_softmax(logits, axis=1)[np.arange(rows), labels] - np.log(shares[labels])
    return pointwise.mean(), pointwise.std() / math.sqrt(rows)


@pytest.mark.parametrize("separation", [0.3, 1.5, 4.0, 7.0])
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("shares", [LIHC, np.full(4, 0.25), np.array([0.7, 0.1, 0.1, 0.1])])
def test_more_classes_agree_with_monte_carlo(shares, separation, d):
    means = separation * class_means(len(shares), d)
    estimate, se = monte_carlo(shares, means)
    assert se < 2e-3
    # Four standard errors: 36 comparisons, each fails by chance once in 16,000.
    assert abs(mixture_information(shares, separation, d) - estimate) < 4 * se


def test_information_grows_from_zero_to_the_entropy():
    for d in (1, 2, 64):
        values = [mixture_information(LIHC, s, d) for s in (0.0, 0.5, 1, 2, 4, 8, 16)]
        assert values[0] == 0
        assert (np.diff(values) > 0).all() or values[-1] == pytest.approx(values[-2], abs=1e-6)
        assert values[-1] == pytest.approx(entropy(LIHC), abs=1e-6)


@pytest.mark.parametrize("shares", [np.full(10, 0.1), LIHC, np.array([0.5, 0.5])])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("d", [1, 2, 64])
def test_the_separation_gives_the_wanted_information(shares, part, d):
    truth = part * entropy(shares)
    separation = mixture_separation(shares, truth, d)
    assert mixture_information(shares, separation, d) == pytest.approx(truth, abs=1e-5)


def test_class_counts_are_exact_and_the_means_take_part_in_all_columns():
    x, labels = class_mixture(
        170, 64, LIHC, 0.4, keys=[("a", i) for i in range(3)], counts=[39, 18, 113]
    )
    assert (x.shape, labels.shape) == ((3, 170, 64), (3, 170))
    assert [np.bincount(row).tolist() for row in labels] == [[39, 18, 113]] * 3
    x, labels = class_mixture(60_000, 5, [0.5, 0.5], 0.4, keys=[("b",)])
    shift = x[0][labels[0] == 1].mean(0) - x[0][labels[0] == 0].mean(0)
    assert (np.abs(shift) > 0.02).all()
    # Norm of the difference of two means of 30,000 rows in 5 columns: error about 0.01.
    assert np.linalg.norm(shift) == pytest.approx(mixture_separation([0.5, 0.5], 0.4, 5), abs=0.04)
    residual = x[0] - np.stack([x[0][labels[0] == c].mean(0) for c in (0, 1)])[labels[0]]
    assert np.abs(np.cov(residual.T) - np.eye(5)).max() < 0.03


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mixture_separation(LIHC, 0.9, 64), r"I\(X; Y\) = 0\.9000 nats cannot be; it lies"),
        (lambda: mixture_separation(LIHC, -0.1, 64), r"I\(X; Y\) = -0\.1000 nats cannot be"),
        (lambda: mixture_information([0.5, 0.6], 1, 2), "are no shares of classes"),
        (lambda: mixture_information([1.0], 1, 2), "a mixture of 1 classes"),
        (lambda: canonical_correlation(-1, 3), "-1 nats over 3 canonical pairs"),
        (lambda: class_mixture(9, 2, LIHC, 0.1, keys=[()], counts=[1, 1, 1]), "are no 9 rows"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call, words):
    with pytest.raises(CchError, match=words):
        call()


def test_a_spectrum_is_kept_and_the_information_with_it():
    wanted = np.array([4.0, 1.0, 0.25, 0.0, 0.0])
    x, y = gaussian_pairs(40_000, 5, 5, 0.9, keys=[("s",)], rank=2, spectra=(wanted, wanted))
    # Sampling error of the variances: 1.4 / 200 of them; five of them.
    assert np.linalg.eigvalsh(np.cov(x[0].T))[::-1] == pytest.approx(wanted, rel=0.035, abs=1e-9)
    rho = canonical_correlation(0.9, 2)
    whiten = [
        values @ vectors[:, 2:] / np.sqrt(variances[2:])
        for values in (x[0], y[0])
        for variances, vectors in [np.linalg.eigh(np.cov(values.T))]
    ]
    found = np.linalg.svd(whiten[0].T @ whiten[1] / 40_000, compute_uv=False)
    assert found[:2] == pytest.approx([rho, rho], abs=0.035)
    assert found[2] < 0.035
    x, labels = class_mixture(40_000, 5, [0.5, 0.5], 0.4, keys=[("s",)], spectrum_x=wanted)
    means = np.stack([x[0][labels[0] == c].mean(0) for c in (0, 1)])
    within = np.cov((x[0] - means[labels[0]]).T)
    assert np.linalg.eigvalsh(within)[::-1] == pytest.approx(wanted, rel=0.035, abs=1e-9)
    shift = means[1] - means[0]
    distance = math.sqrt(shift @ np.linalg.pinv(within, rcond=1e-6, hermitian=True) @ shift)
    assert distance == pytest.approx(mixture_separation([0.5, 0.5], 0.4, 3), abs=0.04)


def test_the_spectrum_of_a_representation_counts_its_directions():
    signal = numpy_generator("low rank").normal(size=(500, 3))
    values = np.hstack([signal @ numpy_generator("mix").normal(size=(3, 9)), np.ones((500, 2))])
    found = spectrum(values.astype(np.float32))
    assert found.shape == (11,)
    assert (found > 0).tolist() == [True] * 3 + [False] * 8
    assert found.sum() == pytest.approx(9)
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(values[:, :9].T))[::-1]
    assert found[:3] == pytest.approx(eigenvalues[:3], rel=1e-5)


@pytest.mark.parametrize("wanted", [np.ones(4), np.zeros(5), -np.ones(5)])
def test_a_spectrum_that_does_not_fit_is_refused(wanted):
    with pytest.raises(CchError, match="does not fit 5 columns"):
        gaussian_pairs(60, 5, 5, 0.1, keys=[()], spectra=(wanted, wanted))
