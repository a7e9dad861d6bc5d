"""MINE: closed forms, the corrected gradient, stacks, and which rows do what."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from cch.base.errors import CchError
from cch.information.estimator import (
    Sample,
    entropy_of_labels,
    get_estimator,
)
from cch.information.mine import (
    MINE,
    Fit,
    MovingAverage,
    StatisticsNetworks,
    bound,
    corrected_loss,
    log_mean_exp,
)
from cch.information.stacks import Rows

QUICK = MINE(epochs=12, units=16, batch_size=64)


def gaussian_pair(rows, columns, nats, seed, noise=0):
    """x and y with I = ``nats`` in equal shares of their columns, beside noise; rotated."""
    draw = np.random.default_rng((seed, columns, noise))
    rho = math.sqrt(1 - math.exp(-2 * nats / columns))
    x = draw.normal(size=(rows, columns))
    y = rho * x + math.sqrt(1 - rho**2) * draw.normal(size=(rows, columns))
    x, y = (np.hstack((side, draw.normal(size=(rows, noise)))) for side in (x, y))
    turn = np.linalg.qr(draw.normal(size=(columns + noise,) * 2))[0]
    return x @ turn, y @ turn.T


def sample(x, y):
    y = np.asarray(y)
    spread = np.zeros(0 if y.ndim == 1 else y.shape[1], dtype=bool)
    return Sample(x, y, np.zeros(x.shape[1], dtype=bool), spread)


def quick_samples(count, rows=120, columns=3):
    return [sample(*gaussian_pair(rows, columns, 0.5, seed)) for seed in range(count)]


def mean_of(pairs, estimator=None):
    estimator = estimator or get_estimator("mine")
    found = estimator.estimate_many(pairs, keys=[(number,) for number in range(len(pairs))])
    return np.mean([estimate.value for estimate in found]), found


# Values


@pytest.mark.parametrize(
    ("columns", "nats"),
    [
        *((1, 2.0), (4, 1.0)),
        *(
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in ((1, 0.5), (2, 1.0), (4, 2.0), (8, 1.0), (8, 2.0))
        ),
    ],
)
def test_gaussian_pairs_over_dimension_and_strength(columns, nats):
    """The bound lies below the truth by what 1,200 rows could not teach: 15 % here at most.

    Above it only by chance: one estimate on 500 rows has a deviation of 0.03 to 0.08 nats, the
    mean of two 0.06 at most.
    """
    mean, _ = mean_of([gaussian_pair(2000, columns, nats, seed) for seed in range(2)])
    assert 0.85 * nats - 0.03 < mean < nats + 0.1


def test_a_signal_among_columns_of_noise():
    """4 columns of signal in 16: a quarter is lost, not all of it."""
    mean, _ = mean_of([gaussian_pair(2000, 4, 1.0, seed, noise=12) for seed in range(2)])
    assert 0.7 < mean < 1.05


@pytest.mark.parametrize("columns", [1, 8, 64])
def test_independence_is_near_zero(columns):
    """On unseen rows an overfitted T cannot show information where there is none."""
    _, found = mean_of([gaussian_pair(1000, columns, 0.0, seed) for seed in range(3)])
    # Observed over 20 seeds each: -0.028 to 0.005.
    assert np.abs([estimate.value for estimate in found]).max() < 0.05
    for estimate in found:
        assert ("below zero" in estimate.flags) == (estimate.value < 0)


def test_separated_classes_give_the_entropy_of_the_labels():
    draw = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [1000, 600, 400])
    x = 12 * np.eye(3)[labels] + draw.normal(size=(2000, 3))
    mean, found = mean_of([(x, labels)] * 2)
    truth = entropy_of_labels(labels)
    # The held-out class mix differs from the whole: 500 rows, a deviation of about 0.02 nats.
    assert mean == pytest.approx(truth, abs=0.05)
    assert found[0].fit["y"] == "labels"


@pytest.mark.parametrize("distance", [1.0, pytest.param(3.0, marks=pytest.mark.slow)])
def test_overlapping_classes_have_a_known_truth(distance):
    """Two unit Gaussians: I = h(mixture) - h(unit Gaussian), by quadrature."""

    def term(value):
        density = (norm.pdf(value) + norm.pdf(value - distance)) / 2
        return -density * math.log(density)

    truth = quad(term, -12, 12 + distance)[0] - 0.5 * math.log(2 * math.pi * math.e)
    draw = np.random.default_rng(6)
    pairs = []
    for _ in range(2):
        labels = draw.integers(0, 2, size=2000)
        x = draw.normal(size=(2000, 4))
        x[:, 0] += distance * labels
        pairs.append((x, labels))
    mean, _ = mean_of(pairs)
    # Mean of two estimates on 500 rows each; as for Gaussian pairs.
    assert 0.85 * truth - 0.03 < mean < truth + 0.06


def test_the_corrected_gradient_does_not_change_what_is_estimated():
    """decay = 0 is the plain gradient; at batches of 512 rows its bias is small."""
    pairs = [gaussian_pair(1000, 2, 1.0, seed) for seed in range(2)]
    corrected, _ = mean_of(pairs)
    plain, _ = mean_of(pairs, get_estimator("mine", {"decay": 0.0}))
    assert corrected != plain
    assert corrected == pytest.approx(plain, abs=0.05)


# The objective


def scores(seed):
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(2, 2, 5, generator=draw, dtype=torch.float64)
    return values[:, 0].requires_grad_(), values[:, 1].requires_grad_()


def plain_bound(joint, independent):
    return joint.mean(dim=1) - independent.exp().mean(dim=1).log()


def test_the_first_batch_has_the_plain_gradient():
    """The average then is the batch's own mean."""
    joint, independent = scores(1)
    loss = corrected_loss(joint, independent, MovingAverage(0.9)).sum()
    found = torch.autograd.grad(loss, [joint, independent])
    wanted = torch.autograd.grad(-plain_bound(joint, independent).sum(), [joint, independent])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_the_corrected_gradient_by_hand():
    """-1/B for joint pairs; exp(T) / (B average) for independent ones."""
    average = MovingAverage(0.9)
    first, (joint, independent) = scores(2)[1], scores(3)
    average.update(log_mean_exp(first))
    loss = corrected_loss(joint, independent, average).sum()
    of_joint, of_independent = torch.autograd.grad(loss, [joint, independent])
    moved = 0.9 * first.exp().mean(dim=1) + 0.1 * independent.exp().mean(dim=1)
    wanted = independent.exp() / (5 * moved[:, None])
    torch.testing.assert_close(of_joint, torch.full_like(joint, -1 / 5), rtol=1e-12, atol=0)
    torch.testing.assert_close(of_independent, wanted.detach(), rtol=1e-12, atol=0)
    # The plain formula's autograd differs from it by the ratio of the batch's mean to the average.
    plain = torch.autograd.grad(-plain_bound(joint, independent).sum(), independent)[0]
    ratio = (independent.exp().mean(dim=1) / moved).detach()
    torch.testing.assert_close(of_independent, plain * ratio[:, None], rtol=1e-12, atol=0)


def test_the_average_holds_exponentials_that_float32_cannot():
    average = MovingAverage(0.9)
    average.update(torch.zeros(1))
    independent = torch.tensor([[300.0, 0.0]], requires_grad=True)
    loss = corrected_loss(torch.zeros(1, 2), independent, average)
    # exp(300) overflows; the batch's mean over the average is 1 / (1 - decay) at most.
    assert loss.item() == pytest.approx(10, rel=1e-4)


@pytest.mark.parametrize("shifts", [1, 4, 100])
def test_the_bound_is_the_formula_over_shifted_pairs(shifts):
    """Beside T on (x, y) joined, in float64, pair by pair; 100 shifts of 9 rows are all pairs."""
    rows, (dx, dy) = 9, (2, 3)
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    networks = StatisticsNetworks.initial([4, 5], (dx, dy), generators, torch.device("cpu"))
    draw = torch.Generator().manual_seed(3)
    x, y = torch.zeros(2, rows, 16), torch.zeros(2, rows, 16)
    x[..., :dx], y[..., :dy] = (torch.randn(2, rows, d, generator=draw) for d in (dx, dy))
    found = bound(networks, x, y, shifts)
    for member in range(2):
        of_x, bias, of_y, w2, b2, w3, b3 = (t[member].detach().double() for t in networks.tensors)

        def score(i, j, member=member, of_x=of_x, of_y=of_y, layers=(bias, w2, b2, w3, b3)):
            bias, w2, b2, w3, b3 = layers
            joined = torch.cat([x[member, i], y[member, j]]).double()
            hidden = torch.relu(joined @ torch.cat([of_x, of_y]) + bias)
            return (torch.relu(hidden @ w2 + b2) @ w3 + b3)[0, 0].item()

        apart = [
            score(i, (i + s) % rows)
            for s in range(1, min(shifts, rows - 1) + 1)
            for i in range(rows)
        ]
        wanted = np.mean([score(i, i) for i in range(rows)]) - math.log(np.mean(np.exp(apart)))
        assert found[member].item() == pytest.approx(wanted, abs=1e-6)  # float32 scores
    assert len(set(np.round(found.tolist(), 9))) == 2


# Members and stacks


def test_stacked_equals_one_by_one_to_the_bit():
    samples, seeds = quick_samples(7), list(range(7))
    together = QUICK._measure_many(samples, seeds)
    alone = [QUICK._measure(one, seed) for one, seed in zip(samples, seeds, strict=True)]
    assert together == alone


def test_members_that_stop_leave_the_others_as_they_were():
    options = replace(QUICK, patience=2, epochs=60)
    samples, seeds = quick_samples(6, rows=200), list(range(6))
    together = options._measure_many(samples, seeds)
    assert len({one.fit["epochs_run"] for one in together}) > 1
    assert together == [options._measure(a, b) for a, b in zip(samples, seeds, strict=True)]


def test_shapes_are_stacked_apart_and_answers_keep_their_order():
    samples = [*quick_samples(2), *quick_samples(2, rows=150), *quick_samples(1, columns=4)]
    samples.insert(1, sample(samples[0].x, np.arange(120) % 3))
    samples.insert(3, sample(samples[0].x, np.arange(120) % 2))
    seeds = list(range(len(samples)))
    together = QUICK._measure_many(samples, seeds)
    assert together == [QUICK._measure(a, b) for a, b in zip(samples, seeds, strict=True)]


def test_a_small_budget_makes_more_stacks_and_the_same_numbers():
    samples, seeds = quick_samples(5), list(range(5))
    small = replace(QUICK, memory_gb=1e-6)
    assert small._members_at_once(samples[0]) == 1
    assert QUICK._members_at_once(samples[0]) >= 5
    assert small._measure_many(samples, seeds) == QUICK._measure_many(samples, seeds)


def test_a_diverging_member_is_alone_in_it():
    samples, seeds = quick_samples(4), list(range(4))
    wanted = QUICK._measure_many(samples, seeds)
    # Finite, but its mean is not: the scaled columns are no numbers.
    samples[2] = sample(np.full((120, 3), 1.7e308), samples[2].y)
    found = QUICK._measure_many(samples, seeds)
    assert math.isnan(found[2].value)
    assert found[2].flags == ["training diverged in epoch 1"]
    assert [found[i] for i in (0, 1, 3)] == [wanted[i] for i in (0, 1, 3)]


def test_a_fit_that_blows_up_gives_no_value_and_says_so():
    wild = replace(QUICK, lr=1e30)
    estimate = wild.estimate(*gaussian_pair(120, 3, 0.5, 1), key=())
    assert estimate.value is None
    assert estimate.flags[0].startswith("training diverged in epoch")
    assert estimate.flags[-1] == "estimate failed"


def test_equal_keys_give_equal_values_and_other_keys_others():
    x, y = gaussian_pair(120, 3, 0.5, 1)
    first = QUICK.estimate(x, y, key=("a", 1))
    state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    torch.rand(3)
    assert QUICK.estimate(x, y, key=("a", 1)) == first
    assert QUICK.estimate(x, y, key=("a", 2)).value != first.value
    torch.random.set_rng_state(state[0])
    QUICK.estimate(x, y, key=("a", 3))
    assert torch.equal(torch.random.get_rng_state(), state[0])
    assert np.array_equal(np.random.get_state()[1], state[1])


# Rows


def test_rows_are_cut_into_three_sets():
    rows = Rows.drawn(MINE(), 200, np.random.default_rng(1))
    assert [len(part) for part in (rows.train, rows.stop, rows.estimate)] == [120, 30, 50]
    assert sorted(np.concatenate([rows.train, rows.stop, rows.estimate])) == list(range(200))


def trained(x, y):
    fit = Fit(replace(QUICK, patience=3), [(sample(x, y), 4)])
    fit.train()
    return fit


def test_rows_that_carry_the_estimate_do_not_train_scale_or_stop():
    x, y = gaussian_pair(150, 3, 0.5, 1)
    before = trained(x, y)
    rows = before.rows[0]
    x[rows.estimate] *= -3
    y[rows.estimate] += 1
    after = trained(x, y)
    assert before.best_epoch == after.best_epoch
    for one, other in zip(before.best.tensors, after.best.tensors, strict=True):
        assert torch.equal(one, other)
    assert before.measured()[0].value != after.measured()[0].value


def test_rows_that_stop_the_fit_choose_the_epoch_and_do_nothing_else():
    x, y = gaussian_pair(150, 3, 0.5, 1)
    options = replace(QUICK, epochs=1)
    fits = []
    for change in (0, 1):
        fit = Fit(options, [(sample(x, y), 4)])
        x[fit.rows[0].stop] += change
        fit = Fit(options, [(sample(x, y), 4)])
        fit.train()
        fits.append(fit)
    # After one epoch there is nothing to choose, so the weights are the same.
    for one, other in zip(fits[0].best.tensors, fits[1].best.tensors, strict=True):
        assert torch.equal(one, other)
    assert fits[0].highest != fits[1].highest


def test_the_best_weights_are_restored():
    """The best epoch's weights are those of a fit that ends there."""
    x, y = gaussian_pair(150, 3, 0.5, 2)
    eager = replace(QUICK, lr=0.02, epochs=30, patience=30)
    long = Fit(eager, [(sample(x, y), 4)])
    long.train()
    best = int(long.best_epoch[0])
    assert best < 30
    short = Fit(replace(eager, epochs=best), [(sample(x, y), 4)])
    short.train()
    for one, other in zip(long.best.tensors, short.networks.tensors, strict=True):
        assert torch.equal(one, other)


def test_the_fit_says_what_it_did():
    fit = QUICK.estimate(*gaussian_pair(200, 3, 0.5, 1), key=()).fit
    assert (fit["rows_trained"], fit["rows_stopping"], fit["rows_estimated"]) == (120, 30, 50)
    assert fit["network"] == "16-16-1"
    assert fit["epochs_run"] == 12
    assert 1 <= fit["best_epoch"] <= 12
    assert not fit["stopped_early"]
    assert fit["independent_pairs"] == 50 * 49


def test_columns_without_spread_change_nothing_but_their_count():
    x, y = gaussian_pair(120, 3, 0.5, 1)
    dead = x.copy()
    dead[:, 1] = 0.1
    moved = dead.copy()
    moved[:, 1] = np.where(np.arange(120) % 2, 0.1, np.nextafter(np.float32(0.1), np.float32(1)))
    first, second = (QUICK.estimate(values, y, key=()) for values in (dead, moved))
    assert first.value == second.value
    assert first.fit["constant_columns_x"] == second.fit["constant_columns_x"] == 1


@pytest.mark.parametrize("rows", [50, 51])
def test_fewest_rows(rows):
    estimate = get_estimator("mine").estimate(*gaussian_pair(rows, 2, 1.0, 1), key=())
    assert math.isfinite(estimate.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 4}, "batch_size is 4, expected a whole number of at least 8"),
        ({"shifts": True}, "shifts is True"),
        ({"lr": 0.0}, r"lr is 0\.0"),
        ({"weight_decay": -1.0}, r"weight_decay is -1\.0"),
        ({"decay": 1.0}, r"decay is 1\.0"),
        ({"stop_split": 0.5, "estimate_split": 0.5}, r"are 0\.5 and 0\.5; give each"),
        ({"stop_split": 0.0}, r"are 0\.0 and"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, words):
    with pytest.raises(CchError, match=f"^mine: .*{words}"):
        get_estimator("mine", options)
