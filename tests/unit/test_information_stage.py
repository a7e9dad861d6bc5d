from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from cch.config import Compute
from cch.config.specs import EstimateSpec
from cch.data.rng import numpy_generator
from cch.information.estimator import get_estimator
from cch.information.quantities import POINTS
from cch.information.stage import estimate, pairs, read_estimates
from cch.training.store import RunsFile, write_runs

SPEC = EstimateSpec(study="study", estimator="ksg", options={}, rows="test", limit=10_000)
CPU = Compute(device="cpu")


def runs(folder, levels=("0", "2"), own=False):
    """Teacher and baseline runs of two seeds whose representations share a signal."""
    signal = numpy_generator("signal").normal(size=(2, 120, 1))
    label = (signal[..., 0] > 0).astype(np.int64)

    def seen(name, noise):
        return (signal + noise * numpy_generator(name).normal(size=(2, 120, 2))).astype(np.float32)

    def entry(role, seed, level):
        return {"id": f"{role}{seed}{level or ''}", "seed": seed, "level": level}

    teacher = {f"representation/{level}": seen(level, 0.1 + float(level)) for level in levels}
    every = [None] if not own else list(levels)
    entries = [entry("t", seed, level) for level in every for seed in range(2)]
    write_runs(folder / "t.h5", {}, entries, teacher | {"information_label": label})
    write_runs(
        folder / "b.h5",
        {},
        [entry("b", seed, None) for seed in range(2)],
        {"representation/0": seen("b", 0.3), "information_label": label},
    )
    return {"teacher": str(folder / "t.h5"), "baseline": str(folder / "b.h5")}


def read(folder, quantity, paths, spec=SPEC):
    """The file of estimates, with those of one quantity."""
    out = folder / "estimates.json"
    assert estimate(spec, paths, out, CPU) == {"device": "cpu"}
    found = json.loads(out.read_text())
    mine = [entry for entry in found["estimates"] if entry["quantity"] == quantity]
    return found | {"estimates": mine}


def test_estimates_are_the_estimators_in_nats_with_their_runs(tmp_path):
    found = read(tmp_path, "teacher-student", runs(tmp_path))
    assert found["unit"] == "nats"
    assert [(e["level"], e["seed"]) for e in found["estimates"]] == [
        ("0", 0),
        ("0", 1),
        ("2", 0),
        ("2", 1),
    ]
    assert found["estimates"][3]["runs"] == ["t1", "b1"]
    with RunsFile(tmp_path / "t.h5") as teacher, RunsFile(tmp_path / "b.h5") as baseline:
        x = teacher.array("representation/2")[1]
        y = baseline.array("representation/0")[1]
    direct = get_estimator("ksg").estimate(x, y, key=("teacher-student", 1))
    assert found["estimates"][3]["value"] == direct.value
    assert found["estimates"][0]["value"] > found["estimates"][2]["value"]


def test_the_students_information_has_no_level_and_reads_no_teacher(tmp_path):
    paths = runs(tmp_path)
    with RunsFile(paths["baseline"]) as baseline:
        assert len(list(pairs("student-label", {"baseline": baseline}))) == 2
    found = read(tmp_path, "student-label", paths)
    assert [e["level"] for e in found["estimates"]] == [None, None]
    assert all(e["fit"]["y"] == "labels" for e in found["estimates"])


def test_the_teachers_is_asked_once_unless_each_level_has_a_teacher(tmp_path):
    found = read(tmp_path, "teacher-label", runs(tmp_path))
    assert [e["level"] for e in found["estimates"]] == ["0", "0"]
    found = read(tmp_path, "teacher-label", runs(tmp_path, own=True))
    assert [e["runs"] for e in found["estimates"]] == [["t00"], ["t10"], ["t02"], ["t12"]]


def test_levels_of_a_run_share_the_estimators_randomness(tmp_path):
    found = read(tmp_path, "teacher-student", runs(tmp_path))["estimates"]
    seeds = {e["seed"]: set() for e in found}
    for e in found:
        seeds[e["seed"]].add(e["generator_seed"])
    assert all(len(mine) == 1 for mine in seeds.values())
    assert seeds[0] != seeds[1]


def test_the_limit_takes_the_first_rows(tmp_path):
    paths = runs(tmp_path)
    few = SPEC.model_copy(update={"limit": 60})
    found = read(tmp_path, "student-label", paths, few)["estimates"][0]
    with RunsFile(paths["baseline"]) as baseline:
        x = baseline.array("representation/0")[0][:60]
        y = baseline.array("information_label")[0][:60]
    assert found["n"] == 60
    direct = get_estimator("ksg").estimate(x, y, key=("student-label", 0))
    assert found["value"] == direct.value


def test_ids_differ_and_files_repeat(tmp_path):
    paths = runs(tmp_path)
    first, second = (read(tmp_path, "teacher-student", paths) for _ in range(2))
    assert first == second
    assert len({e["id"] for e in first["estimates"]}) == 4


@pytest.mark.parametrize("quantity", ["teacher-student", "student-label", "teacher-label"])
def test_rows_agree(tmp_path, quantity):
    paths = runs(tmp_path)
    files = {role: RunsFile(path) for role, path in paths.items()}
    for pair in pairs(quantity, files):
        assert len(pair.x) == len(pair.y) == 120


def test_a_file_holds_every_quantity(tmp_path):
    paths, out = runs(tmp_path), tmp_path / "mine.json"
    mine = SPEC.model_copy(update={"estimator": "mine", "options": {"epochs": 2}})
    estimate(mine, paths, out, CPU)
    found = read_estimates(out)
    assert [*dict.fromkeys(e["quantity"] for e in found)] == list(POINTS)
    assert {e["estimator"] for e in found} == {"mine"}
    assert len({e["id"] for e in found}) == len(found)
    assert {(e["kind"], e["confidence"]) for e in found} == {("point", None)}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "infonce",
            {("teacher-student", "lower"): 4, ("teacher-student-given-label", "lower"): 4},
        ),
        ("classifier", {("label-given-teacher", "upper"): 4, ("student-label", "lower"): 2}),
    ],
)
def test_a_file_of_bounds_says_their_side_and_confidence(tmp_path, name, wanted):
    paths, out = runs(tmp_path), tmp_path / "bounds.json"
    asked = {"estimator": name, "options": {"epochs": 1, "confidence": 0.9}}
    estimate(SPEC.model_copy(update=asked), paths, out, CPU)
    found = read_estimates(out)
    assert Counter((e["quantity"], e["kind"]) for e in found) == wanted
    assert {e["confidence"] for e in found} == {0.9}
    assert len({e["id"] for e in found}) == len(found)


def test_a_bound_is_that_of_its_arrays(tmp_path):
    paths, out = runs(tmp_path), tmp_path / "bounds.json"
    estimate(SPEC.model_copy(update={"estimator": "infonce"}), paths, out, CPU)
    found = [e for e in read_estimates(out) if e["quantity"] == "teacher-student-given-label"]
    with RunsFile(paths["teacher"]) as teacher, RunsFile(paths["baseline"]) as baseline:
        x, labels = teacher.array("representation/2")[1], teacher.array("information_label")[1]
        y = baseline.array("representation/0")[1]
    key = ("teacher-student-given-label", 1)
    direct = get_estimator("infonce").estimate(x, y, key=key, given=labels)
    assert found[3]["value"] == direct.value
