"""Bounds: values, validity on worlds of known truth, stacks, and which rows do what."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import t as student_t

from bound_worlds import World
from cch.base.errors import CchError
from cch.criterion.ground import Side, claims, decide, entropy_side
from cch.information.classifier import Classifier, Tuned, information_limit
from cch.information.estimator import entropy_of_labels, get_estimator
from cch.information.infonce import (
    NWJ,
    InfoNCE,
    _nwj_without_each,
    _without_each,
    log_ratios,
)
from cch.information.known import gaussian_pairs
from cch.information.limits import Limit, normal_scores

QUICK = InfoNCE(epochs=3, units=16, embedding=16, batch_size=64, lr=0.01)


def pairs(count, rows=200, columns=4, truth=1.0, rank=4):
    x, y = gaussian_pairs(
        rows, columns, columns, truth, keys=[("bounds", i) for i in range(count)], rank=rank
    )
    return list(zip(x, y, strict=True))


def classes(pair, count=2):
    """Labels that depend on x."""
    return np.digitize(pair[0][:, 0], np.linspace(-1, 1, count + 1)[1:-1])


def keys(some):
    return [(number,) for number in range(len(some))]


# Statistics


def test_a_limit_is_the_mean_less_students_t_errors():
    values = np.random.default_rng(1).normal(size=20)
    limit = Limit.of_rows(values)
    error = values.std(ddof=1) / math.sqrt(20)
    assert limit.at(0.95, -1) == pytest.approx(values.mean() - student_t.ppf(0.95, 19) * error)
    assert limit.at(0.95, 1) == pytest.approx(values.mean() + student_t.ppf(0.95, 19) * error)
    assert Limit(0.0, 0.0, 0.0).at(0.975, -1) == 0


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(1).normal(size=20)
    without = (values.sum() - values) / 19
    found = Limit.jackknife(values.mean(), without)
    assert found.error == pytest.approx(Limit.of_rows(values).error, rel=1e-12)


def test_weighted_limits_add_variances():
    both = Limit.weighted([0.5, 0.5], [Limit(1, 0.3, 10), Limit(2, 0.4, 10)])
    assert (both.mean, both.error) == (1.5, pytest.approx(0.25))
    assert 10 < both.degrees < 20


def test_shares_of_classes_have_an_error_of_their_own():
    """Two classes at 0 and 5 nats: the mean over n rows varies as their shares do."""
    known = [Limit(0, 0, 10), Limit(5, 0, 10)]
    draw = np.random.default_rng(1)
    shares = (draw.random((2000, 1000)) < 0.5).mean(axis=1)
    means = [Limit.weighted([1 - s, s], known, 1000).mean for s in shares]
    assert Limit.weighted([0.5, 0.5], known).error == 0
    found = Limit.weighted([0.5, 0.5], known, 1000)
    assert found.error == pytest.approx(np.std(means), rel=0.05)
    # What is not read weighs a part that is 0.
    assert Limit.weighted([0.5], [Limit(5, 0, 10)], 1000).error == pytest.approx(found.error)
    assert Limit.weighted([], [], 1000) == Limit(0, 0, 1e9)


@pytest.mark.parametrize("mixture", [0.01, 0.3])
def test_infonce_without_each_row_is_infonce_of_the_other_rows(mixture):
    scores = 2 * torch.randn(7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def direct(s):
        ratio = len(s) * s.softmax(dim=1).diagonal()
        return (mixture + (1 - mixture) * ratio).log().mean().item()

    whole, without = _without_each(scores, mixture)
    assert whole.item() == pytest.approx(direct(scores), rel=1e-12)
    for row in range(7):
        rest = [i for i in range(7) if i != row]
        assert without[row].item() == pytest.approx(direct(scores[rest][:, rest]), rel=1e-9)


def test_scores_far_apart_leave_finite_ratios():
    scores = 1e4 * torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    whole, without = _without_each(scores, 0.01)
    assert whole.isfinite()
    assert without.isfinite().all()
    assert without.min() >= math.log(0.01) - 1e-6


def test_nwj_without_each_row_is_nwj_of_the_other_rows():
    draw = torch.Generator().manual_seed(1)
    scores, others = (torch.randn(6, size, dtype=torch.float64, generator=draw) for size in (6, 4))

    def direct(s, o):
        total = s.exp() + o.exp().sum(dim=1, keepdim=True)
        ratio = 0.1 + 0.9 * 5 * s.exp() / total
        apart = ratio[~torch.eye(len(s), dtype=torch.bool)]
        return (ratio.diagonal().log().mean() - apart.mean() + 1).item()

    whole, without = _nwj_without_each(scores, others, 0.1)
    assert whole.item() == pytest.approx(direct(scores, others), rel=1e-12)
    for row in range(6):
        rest = [i for i in range(6) if i != row]
        again = direct(scores[rest][:, rest], others[rest])
        assert without[row].item() == pytest.approx(again, rel=1e-9)


def test_others_of_another_class_do_not_count():
    scores = torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(1))
    groups = torch.tensor([[0, 0, 0, 1, 1, 1]])
    found = log_ratios(scores, groups)
    for part in (slice(0, 3), slice(3, 6)):
        alone = log_ratios(scores[:, part, part], None)
        torch.testing.assert_close(found[:, part], alone)


def test_normal_scores_ignore_monotone_changes_and_ties_share_one():
    values = np.random.default_rng(1).normal(size=(30, 2))
    rows = np.arange(20)
    found = normal_scores(values, rows)
    np.testing.assert_allclose(normal_scores(np.exp(3 * values), rows), found)
    cut = normal_scores(np.maximum(values, 0), rows)
    assert len(np.unique(cut[values[:, 0] <= 0, 0])) == 1
    assert not normal_scores(np.ones((30, 1)), rows).any()


def test_mixed_probabilities_bound_the_loss():
    logits, shares = np.array([[800.0, -800.0]]), np.array([0.25, 0.75])
    loss = Tuned(1.0, 0.01).losses(logits, np.array([1]), shares)
    assert loss[0] == pytest.approx(-math.log(0.01 * 0.75))
    assert Tuned(1.0, 1.0).losses(logits, np.array([1]), shares)[0] == pytest.approx(
        -math.log(0.75)
    )


def test_the_error_of_an_information_counts_that_of_the_entropy():
    """With losses that are all equal, the error is that of H(Y) alone."""
    labels = np.repeat([0, 1], [30, 70])
    read = np.arange(0, 100, 4)
    limit = information_limit(np.full(25, 0.2), labels, read)
    assert limit.mean == pytest.approx(entropy_of_labels(labels) - 0.2)
    surprise = -np.log(np.where(labels == 0, 0.3, 0.7))
    assert limit.error == pytest.approx(surprise.std(ddof=1) / 10, rel=0.05)


# Values


@pytest.mark.parametrize("name", ["infonce", "nwj"])
def test_the_limit_lies_below_the_truth_and_not_far(name):
    some = pairs(3, rows=1000, truth=1.0)
    found = get_estimator(name).estimate_many(some, keys=keys(some))
    for one in found:
        assert 0.55 < one.value < 1.0
        assert one.value < one.fit["mean"]
        assert (one.kind, one.confidence) == ("lower", 0.975)


@pytest.mark.parametrize("name", ["infonce", "nwj"])
def test_what_the_label_alone_makes_common_is_not_conditional_information(name):
    draw = np.random.default_rng(1)
    labels = np.arange(600) % 3
    x, y = (3 * np.eye(3)[labels] + draw.normal(size=(600, 3)) for _ in range(2))
    estimator = get_estimator(name)
    assert estimator.estimate(x, y, key=()).value > 0.4
    assert estimator.estimate(x, y, key=(), given=labels).value <= 0


def test_conditional_information_of_equal_classes():
    some = pairs(2, rows=1200, truth=1.0)
    labels = [np.arange(1200) % 2] * 2
    shifted = [(x + 3 * label[:, None], y) for (x, y), label in zip(some, labels, strict=True)]
    for one in InfoNCE().estimate_many(shifted, keys=keys(some), given=labels):
        assert 0.6 < one.value < 1.0
        assert one.fit["share_read"] == 1


def test_the_classifier_bounds_both_sides():
    pair = pairs(1, rows=1500)[0]
    labels = classes(pair)
    upper = Classifier(entropy=True).estimate(pair[0], labels, key=())
    lower = Classifier().estimate(pair[0], labels, key=())
    assert (upper.kind, lower.kind) == ("upper", "lower")
    # The label is a function of x, so H(y | x) is 0 and I(x; y) is H(y).
    assert 0 < upper.fit["mean"] < upper.value < 0.3
    assert entropy_of_labels(labels) - 0.3 < lower.value < entropy_of_labels(labels)
    assert lower.fit["cross_entropy"] == upper.fit["mean"]


def test_independence_gives_the_entropy_and_nothing():
    draw = np.random.default_rng(1)
    x, labels = draw.normal(size=(300, 8)), draw.integers(0, 3, size=300)
    assert Classifier(entropy=True).estimate(x, labels, key=()).value > 1.05
    assert Classifier().estimate(x, labels, key=()).value < 0.02
    other = draw.normal(size=(300, 8))
    assert InfoNCE().estimate(x, other, key=()).value <= 0
    assert NWJ().estimate(x, other, key=()).value <= 0


def test_a_constant_side_is_no_information_and_leaves_the_entropy():
    x, labels = np.full((100, 3), 0.1), np.arange(100) % 2
    assert Classifier().estimate(x, labels, key=()).value == 0
    found = Classifier(entropy=True).estimate(x, labels, key=())
    assert math.log(2) - 1e-3 < found.value < math.log(2) + 0.05
    assert InfoNCE().estimate(x, np.random.default_rng(1).normal(size=(100, 2)), key=()).value == 0


@pytest.mark.parametrize("estimator", [InfoNCE(), NWJ()])
def test_where_nothing_is_shared_the_limit_is_exactly_zero(estimator):
    """A collapsed network, and classes of too few rows: a study's table is made all the same."""
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(2, 100, 3))
    constant = estimator.estimate(np.full((100, 3), 0.1), y, key=())
    few = estimator.estimate(x, y, key=(), given=np.arange(100) // 5)
    assert few.flags == ["no class has rows enough to be read"]
    for found in (constant, few):
        side = Side.of_entry(found.to_json())
        assert (side.mean, side.error) == (0, 0)


@pytest.mark.parametrize("name", ["infonce", "nwj", "classifier"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_arrays_that_are_not_finite_give_no_value(name, bad):
    x, y = pairs(1, rows=60)[0]
    x[3, 1] = bad
    y = np.arange(60) % 2 if name == "classifier" else y
    assert get_estimator(name).estimate(x, y, key=()).value is None


@pytest.mark.parametrize("name", ["infonce", "nwj"])
@pytest.mark.parametrize("rows", [50, 51])
def test_fewest_rows(name, rows):
    x, y = pairs(1, rows=rows)[0]
    estimator = get_estimator(name)
    assert math.isfinite(estimator.estimate(x, y, key=()).value)
    few = estimator.estimate(x, y, key=(), given=np.arange(rows) % 5)
    assert (few.value, few.flags) == (0.0, ["no class has rows enough to be read"])
    assert math.isfinite(Classifier().estimate(x, np.arange(rows) % 5, key=()).value)


# Stacks and rows


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("kind", [InfoNCE, NWJ])
def test_stacked_equals_one_by_one_to_the_bit(kind, conditional):
    some = pairs(4, rows=150)
    options = kind(epochs=4, units=20, embedding=8, batch_size=64, lr=0.01)
    given = [classes(pair) if conditional else None for pair in some]
    together = options.estimate_many(some, keys=keys(some), given=given)
    alone = [
        options.estimate(*pair, key=key, given=labels)
        for pair, key, labels in zip(some, keys(some), given, strict=True)
    ]
    assert together == alone
    assert all(one.fit["epochs_run"] for one in together)


def test_classifiers_stacked_equal_one_by_one_to_the_bit():
    some = [(x, classes((x,), 3)) for x, _ in pairs(4, rows=150)]
    options = Classifier(epochs=4, units=20, batch_size=32, lr=0.01)
    together = options.estimate_many(some, keys=keys(some))
    assert together == [options.estimate(*p, key=k) for p, k in zip(some, keys(some), strict=True)]
    assert any(one.fit["best_epoch"] for one in together)


def test_rows_that_are_read_do_not_shape_the_critic():
    from cch.information.estimator import Sample
    from cch.information.infonce import Fit

    x, y = pairs(1, rows=200)[0]

    def fitted():
        none = np.zeros(4, dtype=bool)
        fit = Fit(QUICK, [(Sample(x.copy(), y.copy(), none, none), 4)])
        fit.train()
        return fit, fit._tuned(0)

    before, critic = fitted()
    read = before.rows[0].estimate
    x[read] *= -3
    after, again = fitted()
    assert critic == again
    for one, other in zip(before.best.tensors, after.best.tensors, strict=True):
        assert torch.equal(one, other)
    np.testing.assert_array_equal(before.gaussian[0].rho, after.gaussian[0].rho)


# Refusals


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("infonce", {"confidence": 1.0}, "confidence is 1.0"),
        ("nwj", {"batch_size": 4}, "batch_size is 4"),
        ("classifier", {"confidence": 0.2}, "confidence is 0.2"),
        ("classifier", {"stop_split": 0.9}, "stop_split and estimate_split"),
    ],
)
def test_wrong_options_are_refused_in_one_line(name, options, words):
    with pytest.raises(CchError, match=f"^{name}: {words}"):
        get_estimator(name, options)


def test_what_cannot_be_asked_is_refused():
    x, y = pairs(1, rows=60)[0]
    labels = np.arange(60) % 2
    with pytest.raises(CchError, match="ksg: estimates nothing conditional"):
        get_estimator("ksg").estimate(x, y, key=(), given=labels)
    with pytest.raises(CchError, match="classifier: y is continuous"):
        Classifier().estimate(x, y, key=())
    with pytest.raises(CchError, match="infonce: `given` is no class label"):
        InfoNCE().estimate(x, y, key=(), given=labels[:50])


def test_a_confidence_moves_the_limit_and_nothing_else():
    pair = pairs(1, rows=200)[0]
    low, high = (replace(QUICK, confidence=c).estimate(*pair, key=()) for c in (0.8, 0.99))
    assert low.fit["mean"] == high.fit["mean"]
    assert low.value > high.value


# Worlds of known truth


def holds(worlds):
    """Which worlds the bounds decide as "holds": (a) I(T; S) > H(Y), (b) I(T; S | Y) > H(Y | T)."""
    drawn = [world.draw(number) for number, world in enumerate(worlds)]
    names, labels = keys(worlds), [label for *_, label in drawn]
    pairs_ = [(t, s) for t, s, _ in drawn]
    whole = InfoNCE().estimate_many(pairs_, keys=names)
    given = InfoNCE().estimate_many(pairs_, keys=names, given=labels)
    seen = [(t, label) for t, _, label in drawn]
    entropy = Classifier(entropy=True).estimate_many(seen, keys=names)
    found = []
    for a, b, c, label in zip(whole, given, entropy, labels, strict=True):
        low, low_given, high = ([Side.of_entry(one.to_json())] for one in (a, b, c))
        top = {"H(Y)": [entropy_side(label)]}
        world = claims({"infonce": low}, top, {"infonce": low_given}, {"classifier": high})
        found.append(decide({"": world})[""].verdict == "holds")
    return found


@pytest.mark.slow
def test_bounds_seldom_say_holds_where_it_does_not():
    """At a gap of exactly 0 nats; a false "holds" in 5 % of 200 worlds is what is allowed."""
    rows = {300: 12, 1000: 5, 5000: 1}
    worlds = [
        World(n, rank, shape, shown, 0.0)
        for shown in ("student", "teacher", "both")
        for shape in ("linear", "relu", "heavy")
        for rank in (1, 2, 8, 32)
        for n, count in rows.items()
        for _ in range(count)
    ]
    picked = [worlds[i] for i in np.random.default_rng(1).permutation(len(worlds))[:200]]
    assert {world.rank for world in picked} == {1, 2, 8, 32}
    assert sum(holds(picked)) <= 10


@pytest.mark.slow
def test_bounds_say_holds_at_half_a_nat_and_a_thousand_rows():
    """Right in 80 % of worlds at least."""
    worlds = [
        World(1000, rank, shape, shown, 0.5)
        for shown in ("student", "teacher", "both")
        for shape in ("linear", "relu", "heavy")
        for rank in (1, 2, 8, 32)
        for _ in range(2)
    ]
    assert np.mean(holds(worlds)) >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("kind", [InfoNCE, NWJ])
def test_limits_cover_what_the_critic_reaches(kind):
    """At a confidence of 0.9 the limit lies below the truth in 90 % of samples at least.

    One canonical pair in one column: the critic is nearly the best there is, so that the limit has
    little room besides its allowance.
    """
    some = pairs(150, rows=300, columns=1, truth=0.5, rank=1)
    options = kind(confidence=0.9, units=16, embedding=16)
    found = options.estimate_many(some, keys=keys(some))
    below = np.mean([one.value < 0.5 for one in found])
    assert below >= 0.9
    # The error is not below the spread of the bounds over samples.
    means = np.array([one.fit["mean"] for one in found])
    errors = np.array([one.fit["standard_error"] for one in found])
    assert np.sqrt((errors**2).mean()) > 0.8 * means.std(ddof=1)
