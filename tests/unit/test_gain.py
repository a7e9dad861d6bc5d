"""Errors of gains: metrics of weighted rows, intervals that cover, verdicts."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from cch.audit.gains import Again, conclusion, weighted
from cch.config import load
from cch.criterion import gain as module
from cch.criterion.gain import Design, Gain, effects, gain, resampled
from cch.criterion.inference import holm
from cch.tables.cells import build_cell
from cch.tables.queries import read_query
from cch.tables.source import Source
from cch.training.metrics import CLASSIFICATION, evaluate
from cch.training.store import write_runs
from support import overlay, raw_config


def fixed(seeds: int, rows: int, group=None) -> Design:
    """The design of a fixed test set."""
    every = np.tile(np.arange(rows), (seeds, 1))
    given = None if group is None else np.tile(group, (seeds, 1))
    return Design.of(every, 1000, random=False, group=given)


def drawn(design: Design, draws: int) -> np.ndarray:
    return np.concatenate(list(design.weights(("a key",), draws)))


# Metrics


def outputs(classes: int, runs: int = 4, rows: int = 40, ties: bool = False):
    generator = np.random.default_rng(classes)
    label = np.arange(rows) % classes
    logits = generator.normal(size=(runs, rows, classes)) + np.eye(classes)[label]
    if ties:
        logits = np.round(logits)
    return logits.astype(np.float32), label


def by_scikit_learn(metric: str, logits: np.ndarray, label: np.ndarray, w: np.ndarray) -> float:
    kept, said = w > 0, logits.argmax(axis=1)
    # Ties are those of the stored metric: its steps, in its order.
    shifted = logits.astype(float) - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
    p /= p.sum(axis=1, keepdims=True)
    if metric == "accuracy":
        return metrics.accuracy_score(label, said, sample_weight=w)
    if metric == "cross_entropy":
        return metrics.log_loss(label, p, sample_weight=w, labels=range(p.shape[1]))
    if metric == "auc":
        areas = [
            metrics.roc_auc_score(label == k, p[:, k], sample_weight=w)
            for k in ([1] if p.shape[1] == 2 else range(p.shape[1]))
        ]
        return float(np.mean(areas))
    average = metric.removesuffix("_f1")
    return metrics.f1_score(label[kept], said[kept], sample_weight=w[kept], average=average)


@pytest.mark.parametrize("metric", CLASSIFICATION)
@pytest.mark.parametrize(("classes", "ties"), [(2, False), (3, False), (3, True)])
def test_a_metric_of_weighted_rows_is_scikit_learns(metric, classes, ties):
    logits, label = outputs(classes, ties=ties)
    design = fixed(2, len(label))
    seed = np.array([0, 1, 0, 1])
    found = resampled(metric, logits, np.tile(label, (2, 1)), seed, design, ("a key",), 5)
    for draw, weights in enumerate(drawn(design, 5)):
        for run, one in enumerate(logits):
            expected = by_scikit_learn(metric, one, label, weights)
            assert found[draw, run] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", CLASSIFICATION)
def test_the_audits_weighted_metric_is_the_same(metric):
    logits, label = outputs(3, ties=True)
    design = fixed(1, len(label))
    found = resampled(metric, logits, label[None], np.zeros(4, int), design, ("a key",), 50)
    weights = drawn(design, 50).astype(float)
    for run, one in enumerate(logits):
        again = weighted(metric, one, label, weights)
        np.testing.assert_allclose(found[:, run], again, rtol=1e-12)


def test_rows_that_are_all_drawn_once_give_the_stored_metric(monkeypatch):
    logits, label = outputs(3)
    once = np.ones((1, len(label)), np.float32)
    monkeypatch.setattr(Design, "weights", lambda *_: iter([once]))
    for metric in CLASSIFICATION:
        given = (metric, logits, label[None], np.zeros(4, int), fixed(1, len(label)), (), 1)
        stored = [evaluate(one, label, "classification")[metric] for one in logits]
        assert resampled(*given)[0].tolist() == pytest.approx(stored, rel=1e-12)


def test_an_error_of_regression_is_weighted_too():
    generator = np.random.default_rng(0)
    target, said = generator.normal(size=30), generator.normal(size=(2, 30, 1))
    design = fixed(1, 30)
    found = resampled("mse", said, target[None], np.zeros(2, int), design, ("a key",), 3)
    for draw, weights in enumerate(drawn(design, 3)):
        expected = np.average((said[1, :, 0] - target) ** 2, weights=weights)
        assert found[draw, 1] == pytest.approx(expected)


def test_a_class_without_a_row_in_a_draw_is_left_out_of_its_auc():
    logits, label = outputs(3, rows=6)
    design = fixed(1, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = resampled("auc", logits, label[None], np.zeros(4, int), design, ("a key",), 300)
    assert np.isfinite(found).all()
    lost = [draw for draw, w in enumerate(drawn(design, 300)) if not w[label == 0].any()]
    assert lost


def test_draws_do_not_depend_on_portions_or_on_runs(monkeypatch):
    design = fixed(3, 50)
    whole = drawn(design, 100)
    assert (whole.sum(axis=1) == 50).all()
    monkeypatch.setattr(module, "CHUNK", 170)
    np.testing.assert_array_equal(drawn(design, 100), whole)


# Designs


def test_random_splits_weight_a_case_alike_in_every_split():
    rows = np.array([[3, 5, 8], [5, 8, 9]])
    design = Design.of(rows, 30, random=True)
    assert (design.kind, design.units, design.ratio) == ("splits", 4, 0.1)
    assert design.unit.tolist() == [[0, 1, 2], [1, 2, 3]]


def test_groups_are_the_cases_of_a_fixed_test_set():
    design = fixed(2, 4, np.array([7, 7, 2, 2]))
    assert (design.kind, design.units, design.grouped) == ("fixed", 2, True)
    assert design.unit.tolist() == [[1, 1, 0, 0]] * 2


def test_independent_draws_need_no_resampling():
    design = Design.of(np.arange(20).reshape(4, 5), 10, random=False)
    found = gain([0.1, 0.3, 0.2, 0.2], design, None)
    assert found.error == pytest.approx(np.std([0.1, 0.3, 0.2, 0.2], ddof=1) / 2)
    assert (design.kind, found.freedom, found.units) == ("draws", 3, None)


# Errors


def test_cases_and_seeds_add_up_and_nothing_twice():
    generator = np.random.default_rng(0)
    shared, own = generator.normal(size=(4000, 1)), 2 * generator.normal(size=(4000, 5))
    seeds = np.array([-3.0, 5.0, 1.0, -4.0, 6.0])
    found = gain(seeds, fixed(5, 10_000), seeds + shared + own)
    cases = np.var((shared + own).mean(axis=1), ddof=1) * 10_000 / 9_999
    spread = (
        seeds.var(ddof=1)
        - (own - own.mean(axis=1, keepdims=True)).var(axis=0, ddof=1).mean() * 5 / 4
    )
    assert found.error == pytest.approx(math.sqrt(cases + spread / 5))
    assert found.corrected is None


def test_nadeau_and_bengios_error_stands_beside():
    design = Design.of(np.array([[0, 1], [1, 2], [2, 3], [4, 5]]), 18, random=True)
    values = [0.1, 0.2, 0.1, 0.3]
    found = gain(values, design, np.zeros((10, 4)))
    assert found.corrected == pytest.approx(np.std(values, ddof=1) * math.sqrt(1 / 4 + 2 / 18))
    low, high = found.corrected_interval
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 3) * found.corrected)


def test_one_seed_has_no_error_and_one_of_zero_decides_nothing():
    assert gain([0.1], fixed(1, 5), np.zeros((10, 1))) is None
    same = gain([0.0, 0.0], fixed(2, 5), np.zeros((10, 2)))
    assert (same.interval, same.p) == ((0.0, 0.0), 1.0)
    # Of five cases none differed: that says little of others.
    assert effects([same], "accuracy")[0][0] == "undecided"
    assert effects([gain([0.1, 0.1], fixed(2, 5), np.full((10, 2), 0.1))], "auc")[0] == (
        "undecided",
        1.0,
    )


# Verdicts


def test_holms_procedure():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def at(mean: float, error: float, freedom: float = 1e6) -> Gain:
    return Gain(mean, 5, error, freedom)


@pytest.mark.parametrize(
    ("given", "metric", "said"),
    [
        ([at(0.03, 0.01)], "accuracy", ["helps"]),
        ([at(0.03, 0.01)], "mse", ["harms"]),
        ([at(-0.03, 0.01)], "mse", ["helps"]),
        ([at(0.03, 0.02)], "accuracy", ["undecided"]),
        ([at(0.001, 0.002)], "accuracy", ["equivalent"]),
        ([at(0.001, 0.002)], "mse", ["undecided"]),
        ([None], "accuracy", ["undecided"]),
        # p = 0.028 alone decides; among five levels it does not.
        ([at(0.022, 0.01)], "accuracy", ["helps"]),
        ([at(0.022, 0.01), *[at(0.0, 0.01)] * 4], "accuracy", ["undecided"] * 5),
        # The smallest of two is tried at half the level, the other at all of it.
        ([at(0.024, 0.01), at(0.020, 0.01)], "accuracy", ["helps", "helps"]),
    ],
)
def test_what_distilling_did_is_corrected_for_the_levels(given, metric, said):
    assert [one for one, _ in effects(given, metric)] == said


def test_the_audits_conclusions_are_the_same():
    generator = np.random.default_rng(0)
    for _ in range(200):
        made = [
            at(*one)
            for one in np.column_stack(
                [generator.normal(0, 0.02, 5), generator.uniform(0.001, 0.02, 5)]
            ).tolist()
        ]
        again = [Again(g.mean, g.error, g.freedom, "fixed", 9, False, None) for g in made]
        for place, (said, p) in enumerate(effects(made, "accuracy")):
            assert conclusion(again, place, "accuracy") == (said, pytest.approx(p))


# Coverage


def ridge(
    generator: np.random.Generator, cases: int = 150, splits: int = 100, columns: int = 12
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Random splits of one population: test rows, labels, and what two classifiers say of them.

    The second is trained on the mean of the labels and of a teacher's probabilities.
    """
    y = generator.integers(0, 2, cases)
    sign = 2 * y - 1
    x = generator.normal(size=(cases, columns))
    x[:, 0] += 0.5 * sign
    x[:, 1] += 0.3 * sign
    teacher = 1 / (1 + np.exp(-2.5 * (0.7 * sign + generator.normal(size=cases))))
    x = np.c_[x, np.ones(cases)]
    order = np.argsort(generator.random((splits, cases)), axis=1)
    test, train = np.sort(order[:, : cases // 10], axis=1), order[:, cases // 10 :]
    fitted, said = x[train], []
    gram = fitted.transpose(0, 2, 1) @ fitted + np.eye(columns + 1)
    for target in (y.astype(float), (y + teacher) / 2):
        moments = fitted.transpose(0, 2, 1) @ target[train][..., None]
        score = (x[test] @ np.linalg.solve(gram, moments))[..., 0]
        said.append(np.stack([1 - score, score], axis=2).astype(np.float32))
    return test, y[test], said


def right(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    return (logits.argmax(axis=2) == label).mean(axis=1)


def covers(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def over_seeds(values: np.ndarray) -> tuple[float, float]:
    """The interval by s/√J, as the code before had it for every study."""
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return values.mean() - reach, values.mean() + reach


@pytest.mark.slow
def test_resampled_patients_cover_where_the_spread_over_splits_does_not():
    generator = np.random.default_rng(0)
    worlds, splits = 300, 100
    truth = np.mean(
        [
            (right(said[1], label) - right(said[0], label)).mean()
            for _, label, said in (ridge(generator) for _ in range(1000))
        ]
    )
    hits = {"naive": 0, "ours": 0, "corrected": 0}
    for world in range(worlds):
        test, label, (baseline, student) = ridge(generator)
        design = Design.of(test, 135, random=True)
        given = (label, np.arange(splits), design, ("world", world), 300)
        moved = resampled("accuracy", student, *given) - resampled("accuracy", baseline, *given)
        values = right(student, label) - right(baseline, label)
        found = gain(values, design, moved)
        hits["naive"] += covers(over_seeds(values), truth)
        hits["ours"] += covers(found.interval, truth)
        hits["corrected"] += covers(found.corrected_interval, truth)
    assert hits["naive"] / worlds < 0.70
    assert 0.93 <= hits["ours"] / worlds <= 0.98
    assert hits["corrected"] / worlds > 0.98


def clustered(generator: np.random.Generator, seeds: int, videos: int, each: int):
    """A fixed test set of videos: labels, videos, and what baselines and students say.

    Each student differs from its baseline by an effect of the seed, of the video and of the row.
    """
    video = np.repeat(np.arange(videos), each)
    label = generator.integers(0, 2, len(video))
    base = 0.6 + generator.normal(size=len(video))
    moved = 0.02 + 0.3 * generator.normal(size=videos)[video]
    moved = moved + 0.5 * generator.normal(size=len(video))
    moved = moved + 0.05 * generator.normal(size=(seeds, 1))
    said = []
    for change in (0.0, moved):
        margin = base + change + 0.2 * generator.normal(size=(seeds, len(video)))
        margin = np.where(label == 1, margin, -margin)
        said.append(np.stack([-margin, margin], axis=2).astype(np.float32))
    return label, video, said


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 10])
def test_seeds_and_videos_crossed_cover_where_the_spread_over_seeds_does_not(seeds):
    generator = np.random.default_rng(seeds)
    worlds, videos, each = 300, 40, 20
    sizes = 1 + 0.2**2, 1 + 0.2**2 + 0.3**2 + 0.5**2 + 0.05**2
    truth = stats.norm.cdf(0.62 / math.sqrt(sizes[1])) - stats.norm.cdf(0.6 / math.sqrt(sizes[0]))
    hits = {"naive": 0, "ours": 0}
    for world in range(worlds):
        label, video, (baseline, student) = clustered(generator, seeds, videos, each)
        design, labels = fixed(seeds, len(label), video), np.tile(label, (seeds, 1))
        given = (labels, np.arange(seeds), design, ("world", world), 300)
        moved = resampled("accuracy", student, *given) - resampled("accuracy", baseline, *given)
        values = right(student, labels) - right(baseline, labels)
        hits["naive"] += covers(over_seeds(values), truth)
        hits["ours"] += covers(gain(values, design, moved).interval, truth)
    assert hits["naive"] / worlds < 0.70
    assert 0.93 <= hits["ours"] / worlds <= 0.98


# Cells


@pytest.fixture
def splits(tmp_path, monkeypatch):
    """A cohort of forty patients, a hundred random splits, and models that never change.

    The student is right on three patients more than the baseline, and on others.
    """
    monkeypatch.chdir(tmp_path)
    brca = {"seeds": 100, "degradation": {"levels": [0, 0.4]}}
    others = [name for name in raw_config()["studies"] if name.startswith("brca-")]
    change = {"studies": {"brca": brca} | dict.fromkeys(others)}
    source = Source(load(overlay(raw_config(), change)), "brca")
    generator = np.random.default_rng(0)
    rows = np.stack([np.sort(generator.permutation(40)[:4]) for _ in range(100)])
    label = np.arange(40) % 2
    right_on = {"baseline": np.arange(40) < 20, "student": np.arange(40) >= 17}
    for role, correct in right_on.items():
        logits = np.eye(2, dtype=np.float32)[np.where(correct, label, 1 - label)][rows]
        runs = [
            {
                "id": f"{role}-{level}-{seed}",
                "role": role,
                "seed": seed,
                "level": level,
                "temperature": 2.0 if role == "student" else 1.0,
                "weight": 0.5 if role == "student" else 0.0,
                "diverged": None,
                "metrics": evaluate(logits[seed], label[rows[seed]], "classification"),
            }
            for level in ([None] if role == "baseline" else ["0", "0.4"])
            for seed in range(100)
        ]
        arrays = {
            "logits": np.concatenate([logits] * (len(runs) // 100)),
            "test_rows": rows,
            "test_label": label[rows],
        }
        header = {"study": "brca", "task": "classification", "train_rows": 36}
        write_runs(source.runs_path(role), header, runs, arrays)
    return source


PAIR = {"metric": "accuracy", "level": "0", "temperature": 2, "weight": 0.5}


def test_a_hundred_splits_of_forty_patients_decide_nothing(splits):
    answer = read_query({"kind": "effect", **PAIR}, "a cell").answer(splits)
    apart = read_query({"kind": "difference", **PAIR}, "a cell").answer(splits)
    low, high = over_seeds(np.array(apart.values))
    assert low > 0  # by s/√100 distilling helps
    assert (answer.text, answer.interval.design, answer.interval.units) == (
        "undecided",
        "splits",
        40,
    )
    assert answer.interval.high - answer.interval.low > 2 * (high - low)
    assert answer.interval.corrected[0] < 0 < answer.interval.corrected[1]
    # Two levels alike: Holm doubles the p-value of each, and leaves that of the difference.
    assert answer.interval.p == pytest.approx(min(1.0, 2 * apart.interval.p))
    assert "40 cases resampled over 100 splits" in apart.aggregation


def test_a_cell_prints_its_interval_and_the_papers_error(splits):
    query = read_query({"kind": "difference", **PAIR}, "a cell")
    cell = build_cell("t/r/c", query, splits, None)
    values = np.array([member.value for member in cell.members])
    assert cell.se == pytest.approx(values.std(ddof=1) / 10)
    assert cell.text == (
        f"{cell.value:.4f} ± {cell.se:.4f} [{cell.interval.low:.4f}, {cell.interval.high:.4f}]"
    )
    effect = build_cell("t/r/c", read_query({"kind": "effect", **PAIR}, "a cell"), splits, None)
    assert (effect.value, effect.n) == ("undecided", 100)
    assert effect.text == f"undecided {effect.interval.text()}"
