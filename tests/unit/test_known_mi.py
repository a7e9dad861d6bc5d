"""``benchmarks/known_mi/score.py``: its summary, its table and its resumption, by hand."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import h5py
import numpy as np
import pytest

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.information.estimator import Estimate
from support import ROOT

SPEC = importlib.util.spec_from_file_location(
    "known_mi_score", ROOT / "benchmarks" / "known_mi" / "score.py"
)
known_mi = sys.modules["known_mi_score"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(known_mi)

NAN = math.nan
NAMES = ["n", "failed", "mean_absolute_error", "mean_bias", "spread", "rank_correlation"]


def summary(values, truths):
    found = known_mi.Score("", np.array(values), {}).summary(np.array(truths))
    assert list(found) == NAMES
    return found


def test_errors_bias_and_spread_by_hand():
    found = summary([[0.8, 1.2], [1.5, 1.9], [2.0, 2.0]], [1.0, 2.0, 3.0])
    assert (found["n"], found["failed"]) == (6, 0)
    # Errors are -0.2, 0.2, -0.5, -0.1, -1, -1.
    assert found["mean_absolute_error"] == pytest.approx(3.0 / 6)
    assert found["mean_bias"] == pytest.approx(-2.6 / 6)
    # Two values 0.4 apart have the variance 0.08; the root of the mean of 0.08, 0.08 and 0.
    assert found["spread"] == pytest.approx(math.sqrt(0.16 / 3))
    assert found["rank_correlation"] == pytest.approx(1)


def test_ranks_are_of_task_means_and_ties_share_a_rank():
    # Means 3, 1, 2 beside truths 1, 2, 3: 1 - 6 (4 + 1 + 1) / (3 * 8) = -0.5.
    assert summary([[3], [1], [2]], [1, 2, 3])["rank_correlation"] == pytest.approx(-0.5)
    # Ranks 1.5, 1.5, 3 beside 1, 2, 3: covariance 1.5, variances 1.5 and 2 (sums).
    tied = summary([[1], [2], [3]], [1, 1, 3])["rank_correlation"]
    assert tied == pytest.approx(1.5 / math.sqrt(1.5 * 2))


@pytest.mark.parametrize(
    ("values", "truths"), [([[1.0], [2.0]], [1.0, 1.0]), ([[1.0], [1.0]], [1.0, 2.0])]
)
def test_equal_truths_or_estimates_have_no_rank_correlation(values, truths):
    assert math.isnan(summary(values, truths)["rank_correlation"])


def test_failed_estimates_are_counted_and_left_out():
    found = summary([[1.5, NAN], [NAN, NAN], [2.0, 2.4], [4.0, 4.0]], [1.0, 2.0, 2.0, 3.0])
    assert (found["n"], found["failed"]) == (5, 3)
    # Errors are 0.5, 0, 0.4, 1, 1; a task with one value left has no spread.
    assert found["mean_absolute_error"] == pytest.approx(2.9 / 5)
    assert found["mean_bias"] == pytest.approx(2.9 / 5)
    assert found["spread"] == pytest.approx(math.sqrt(0.08 / 2))
    assert found["rank_correlation"] == pytest.approx(1)


def test_nothing_estimated_has_no_summary():
    found = summary([[NAN, NAN], [NAN, NAN]], [1.0, 2.0])
    assert (found["n"], found["failed"]) == (0, 4)
    assert all(math.isnan(found[name]) for name in NAMES[2:])


# The table


def task(key, truth, dx=2, seeds=2):
    x = np.arange(float(seeds * 60 * dx)).reshape(seeds, 60, dx)
    return known_mi.Task(key, f"Task {key}", truth, x, x[..., :1], np.full(seeds, truth))


def test_the_table_by_hand():
    tasks = [task("a", 1.0), task("b", 0.5, dx=3)]
    scores = [
        known_mi.Score("one", np.array([[0.9, 1.1], [-0.25, -0.25]]), {}),
        known_mi.Score("two", np.array([[NAN, 2.0], [NAN, NAN]]), {}),
    ]
    minus = "\N{MINUS SIGN}"
    assert known_mi.table(tasks, scores).splitlines() == [
        "Nats; n = 60 rows; mean ± standard deviation over 2 samples of each task.",
        "",
        "| task | dx | dy | true | one | two |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| Task a | 2 | 1 | 1.000 | 1.000 ± 0.141 | 2.000 (1 failed) |",
        f"| Task b | 3 | 1 | 0.500 | {minus}0.250 ± 0.000 | failed |",
        "",
        "| estimator | n | failed | mean absolute error | mean bias | spread | rank correlation |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        # |errors| 0.1, 0.1, 0.75, 0.75; the root of (0.02 + 0) / 2.
        "| one | 4 | 0 | 0.425 | -0.375 | 0.100 | 1.000 |",
        "| two | 1 | 3 | 1.000 | 1.000 | nan | nan |",
    ]


def test_differences_from_the_first_by_hand():
    tasks = [task("a", 1.0), task("b", 0.5, dx=3), task("c", 0.5, dx=3)]
    first = known_mi.Score("first", np.zeros((3, 2)), {})
    # Variances 0.02, 0.02 and 0.08, pooled 0.04: of means of two, two standard errors are 0.283.
    other = known_mi.Score("other", np.array([[-0.4, -0.2], [0.1, 0.3], [0.4, 0.8]]), {})
    minus = "\N{MINUS SIGN}"
    assert known_mi.beside_first(tasks, [first, other]).splitlines() == [
        "| estimator | columns | tasks | minus first | apart |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| other | 2 | 1 | {minus}0.300 | 1 |",
        "| other | 3 | 2 | 0.400 ± 0.200 | 1 |",
        "| other | all | 3 | 0.167 ± 0.260 | 2 |",
    ]


# Estimating, and going on where it was stopped


@dataclass(frozen=True)
class Told:
    """Says what it is told of a pair, fails for negative numbers, and stops after ``stop``."""

    k: int = 1
    device: str = "cpu"
    stop: int = 10**6
    name = "told"
    version = "1"
    calls: ClassVar[list] = []

    def estimate_many(self, pairs, *, keys):
        if len(self.calls) + len(keys) > self.stop:
            raise KeyboardInterrupt
        self.calls.extend(keys)
        values = [None if task == "bad" else float(seed) for _, task, seed in keys]
        return [Estimate(v, 60, 2, 1, 0, {}, [] if v else ["estimate failed"]) for v in values]


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(Told, "calls", [])
    monkeypatch.setattr(known_mi, "TOGETHER", 2)
    return Told()


def test_values_stand_by_task_and_seed_and_failures_are_nan(told, tmp_path):
    tasks = [task("a", 1.0, seeds=3), task("bad", 2.0, seeds=3)]
    found = known_mi.score(told, tasks, "digest", known_mi.Kept(tmp_path / "e.json"))
    np.testing.assert_array_equal(found.values, [[0, 1, 2], [NAN, NAN, NAN]])
    assert told.calls == [("known-mi", key, seed) for key in ("a", "bad") for seed in range(3)]
    assert set(found.details["flags"]) == {"a/0", "bad/0", "bad/1", "bad/2"}


def test_what_was_stopped_goes_on_and_equals_a_whole_run(told, tmp_path):
    tasks, kept = [task("a", 1.0, seeds=3), task("b", 2.0, seeds=3)], tmp_path / "e.json"
    with pytest.raises(KeyboardInterrupt):
        known_mi.score(replace(told, stop=4), tasks, "digest", known_mi.Kept(kept))
    assert len(told.calls) == len(json.loads(kept.read_text())) == 4
    # ``stop`` is an option, so what goes on is asked with the same one.
    Told.calls.clear()
    found = known_mi.score(replace(told, stop=4), tasks, "digest", known_mi.Kept(kept))
    assert told.calls == [("known-mi", "b", 1), ("known-mi", "b", 2)]
    Told.calls.clear()
    whole = known_mi.score(told, tasks, "digest", known_mi.Kept(tmp_path / "w.json"))
    np.testing.assert_array_equal(found.values, whole.values)


@pytest.mark.parametrize(
    ("change", "samples", "again"),
    [
        ({}, "digest", 0),
        ({"device": "cuda"}, "digest", 0),
        ({"k": 2}, "digest", 2),
        ({}, "other", 2),
    ],
)
def test_only_what_changes_a_number_makes_it_anew(told, tmp_path, change, samples, again):
    tasks, kept = [task("a", 1.0)], known_mi.Kept(tmp_path / "e.json")
    known_mi.score(told, tasks, "digest", kept)
    Told.calls.clear()
    known_mi.score(replace(told, **change), tasks, samples, kept)
    assert len(told.calls) == again


# Samples and options


def write(path, **attributes):
    with h5py.File(path, "w", track_order=True) as file:
        file.attrs["format"] = known_mi.FORMAT
        file.attrs.update(attributes)
        for key, truth in (("z-first", 0.3), ("a-second", 0.6)):
            group = file.create_group(key)
            group.attrs.update({"name": f"Task {key}", "mutual_information": truth})
            for name, shape in (("x", (3, 60, 2)), ("y", (3, 60, 1)), ("ksg", (3,))):
                group[name] = np.full(shape, truth)
    return path


def test_tasks_are_read_in_order_by_name_and_by_seeds(tmp_path):
    path = write(tmp_path / "s.h5")
    tasks = known_mi.read(path, [], None)
    assert [(one.key, one.truth, len(one.pairs)) for one in tasks] == [
        ("z-first", 0.3, 3),
        ("a-second", 0.6, 3),
    ]
    [only] = known_mi.read(path, ["second"], 2)
    assert (only.key, only.x.shape, only.theirs.shape) == ("a-second", (2, 60, 2), (2,))
    with pytest.raises(CchError, match="no task is called like third"):
        known_mi.read(path, ["third"], None)
    with pytest.raises(CchError, match="does not exist"):
        known_mi.read(tmp_path / "no.h5", [], None)
    with pytest.raises(CchError, match="is not of format"):
        known_mi.read(write(tmp_path / "t.h5", format="other"), [], None)


def test_json_holds_all_of_it_and_no_nan(tmp_path):
    path = write(tmp_path / "s.h5", rows=60)
    tasks = known_mi.read(path, [], 2)
    scores = [known_mi.Score("one", np.array([[0.3, NAN], [0.5, 0.7]]), {"version": "1"})]
    found = json.loads(json.dumps(known_mi.as_json(path, tasks, scores), allow_nan=False))
    assert found["samples"]["sha256"] == sha256_file(path)
    assert found["samples"]["rows"] == 60
    assert [one["estimates"]["one"] for one in found["tasks"]] == [[0.3, None], [0.5, 0.7]]
    one = found["estimators"]["one"]
    assert (one["version"], one["summary"]["n"], one["summary"]["failed"]) == ("1", 3, 1)


def test_settings_go_to_the_estimator_that_they_name():
    settings = ["ksg.k=5", "latent-light.epochs=7"]
    assert known_mi.with_options("ksg", settings).k == 5
    assert known_mi.with_options("latent-light", settings).epochs == 7
    assert known_mi.with_options("mine", settings) == known_mi.with_options("mine", [])
    for wrong in ("ksg.k", "k=5"):
        with pytest.raises(CchError, match=r"is not like latentmi.epochs=150"):
            known_mi.with_options("ksg", [wrong])


# The command around it


@pytest.mark.parametrize("asked", [["--help"], ["--estimators", "ksg", "-h"]])
def test_help_is_printed_at_once_and_makes_nothing(tmp_path, asked):
    folder = ROOT / "benchmarks" / "known_mi"
    variables = {"KNOWN_MI": str(tmp_path / "made"), "CCH_PYTHON": str(tmp_path / "none")}
    done = subprocess.run(
        [folder / "run", *asked],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    assert not (tmp_path / "made").exists()
    options = re.findall(r'add_argument\("(--[a-z]+)"', (folder / "score.py").read_text())
    for word in [*options, "PYTHON311", "CCH_PYTHON", "KNOWN_MI"]:
        assert f"\n{word}" in done.stdout


def test_limits_above_the_truth_are_counted_of_bounds_alone():
    tasks = [known_mi.Task("a", "A", truth, *[np.zeros((2, 3, 1))] * 3) for truth in (1.0, 2.0)]
    values = np.array([[0.5, 1.1], [1.5, NAN]])
    bound = known_mi.Score("infonce", values, {"confidence": 0.975})
    point = known_mi.Score("ksg", values, {"confidence": None})
    assert known_mi.violations(tasks, [bound, point]) == [
        "infonce: 1 of 3 limits above the truth; at 0.975 confidence 0.1 may be\n"
    ]
