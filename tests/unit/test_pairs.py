"""One entry of the configuration as a study for every ordered pair of modalities."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.config import load
from cch.config.specs import train_spec
from cch.config.work import Size
from cch.data.paired import Contents, Modality, split_of, write_paired
from cch.tables.cells import build_document
from cch.tables.documents import read_document
from cch.tables.spec import TableSpec
from cch.tables.write import make
from cch.training.store import RunsFile
from cch.workflow.planning import Plan
from small_tree import TEST, TRAIN, write_drawn_estimates, write_drawn_runs
from support import ROOT, overlay, raw_config

ENTRY: dict[str, Any] = {
    "title": "Tumours",
    "group": "cohorts",
    "dataset": "brca",
    "pairs": "all",
    "split": {"kind": "random", "test": 12, "train": 30},
    "selection": {"features": 10},
    "network": {"hidden": [4]},
    "training": {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 8, "epochs": 2},
    "distillation": {"temperatures": [2], "weights": [0.5]},
    "degradation": {"kind": "noise", "levels": [0, 0.5], "symbol": "noise"},
    "seeds": 2,
    "information": {"estimators": ["ksg"], "bounds": [], "runs": 1},
}
PAIRS = list(itertools.permutations(("mrna", "cnv", "rppa"), 2))
NAMES = [f"tumours-{teacher}-{student}" for teacher, student in PAIRS]


def with_entry(*changes: dict[str, Any]) -> dict[str, Any]:
    """The demo with an entry of pairs, and overlays over it."""
    raw = overlay(raw_config("demo"), {"studies": {"tumours": ENTRY}})
    for change in changes:
        raw = overlay(raw, {"studies": {"tumours": change}})
    return raw


def test_an_entry_becomes_a_study_for_every_ordered_pair():
    studies = {n: s for n, s in load(with_entry()).studies.items() if n.startswith("tumours")}
    assert list(studies) == NAMES
    for (teacher, student), study in zip(PAIRS, studies.values(), strict=True):
        assert (study.teacher, study.student) == (teacher, student)
        assert study.title == f"Tumours, {teacher} teacher, {student} student"
        assert (study.group, study.entry, study.pairs) == (["tumours", "cohorts"], "tumours", None)


def test_a_pair_is_what_a_study_of_its_own_would_be():
    own = {k: v for k, v in ENTRY.items() if k != "pairs"} | {"teacher": "cnv", "student": "rppa"}
    config = load(overlay(with_entry(), {"studies": {"own": own}}))
    for role in ("teacher", "baseline", "student"):
        made, written = (
            train_spec("name", config.studies[name], role) for name in ("tumours-cnv-rppa", "own")
        )
        assert made == written


def test_an_overlay_changes_a_part_of_all_pairs():
    change = {"seeds": 3, "training": {"epochs": 5}, "group": None}
    config = load(with_entry(change, {"pairs": [["cnv", "rppa"], ["rppa", "mrna"]]}))
    chosen = {name: s for name, s in config.studies.items() if s.entry == "tumours"}
    assert list(chosen) == ["tumours-cnv-rppa", "tumours-rppa-mrna"]
    for study in chosen.values():
        assert (study.seeds, study.training.epochs, study.group) == (3, 5, ["tumours"])
    only = load(with_entry({"pairs": None, "teacher": "cnv", "student": "mrna"})).studies
    assert only["tumours"].entry is None
    assert not set(NAMES) & set(only)
    assert "tumours" not in load(overlay(with_entry(), {"studies": {"tumours": None}})).studies


def test_one_pair_is_calibrated_for_all():
    like = {"like": "tumours-cnv-rppa", "rows": 100}
    config = load(with_entry({"information": {"calibration": like}}))
    shared = {name: config.studies[name].information.shared_with for name in NAMES}
    own = config.studies["tumours-cnv-rppa"].information
    assert shared == {**dict.fromkeys(NAMES, "tumours-cnv-rppa"), "tumours-cnv-rppa": None}
    assert own.calibrated == ["ksg"] and own.calibration.rows == 100
    assert load(config.model_dump(mode="json")) == config
    with pytest.raises(CchError, match="no study 'tumours-cnv-dna'; did you mean 'tumours-cnv-"):
        load(with_entry({"information": {"calibration": {"like": "tumours-cnv-dna"}}}))


def test_a_dumped_configuration_is_read_as_it_was():
    config = load(with_entry())
    assert load(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pairs": "most"}, "studies.tumours.pairs: `all` is needed, or a list of pairs"),
        ({"pairs": [["cnv"]]}, "studies.tumours.pairs: `all` is needed, or a list of pairs"),
        ({"pairs": []}, "studies.tumours.pairs: `all` is needed, or a list of pairs"),
        ({"pairs": [["cnv", "cnv"]]}, r"pairs: \[cnv, cnv\] is no pair of modalities"),
        ({"pairs": [["cnv", "dna"]]}, "datasets.brca; it has mrna, cnv, rppa"),
        ({"pairs": [["cnv", "rppa"]] * 2}, r"list every pair once, not \[cnv, rppa\] twice"),
        ({"teacher": "cnv"}, "studies.tumours: teacher: `pairs` names teachers and students"),
        ({"dataset": "brac"}, "studies.tumours.dataset: there is no dataset 'brac'"),
        (
            {"degradation": {"kind": "modality"}, "selection": None},
            "cannot be combined with degradation.kind: 'modality'",
        ),
        ({"training": {"epochz": 3}}, "studies.tumours.training.epochz: there is no such key"),
        ({"pairs": None}, r"studies.tumours.teacher: this key is required \(and 1 more\)"),
    ],
)
def test_a_wrong_entry_is_one_line_that_names_it(change, words):
    with pytest.raises(CchError, match=words):
        load(with_entry(change))


def test_a_pair_does_not_take_the_name_of_another_study():
    raw = with_entry()
    raw["studies"]["tumours-cnv-rppa"] = raw["studies"]["brca"]
    with pytest.raises(CchError, match="'tumours-cnv-rppa' is also another study's name"):
        load(raw)


def test_an_entry_and_its_groups_are_targets():
    change = {"group": ["cohorts", "others"]}
    plan = Plan(with_entry(change), ROOT)
    targets, titles = plan.targets(), plan.titles()["studies"]
    every = {path for name in NAMES for path in targets[name]}
    for group in ("tumours", "cohorts", "others"):
        assert every <= set(targets[group])
        plan.check_target(group)
    assert titles["tumours"] == ", ".join(NAMES)
    assert titles["cohorts"] == titles["others"] == "tumours"
    # Pairs share the features of a modality.
    selections = {key for key, (name, _) in plan.selections.items() if name in NAMES}
    assert len(selections) == 3


def test_a_split_by_counts_is_of_fixed_size_and_nested():
    label = np.repeat([0, 1, 2], [60, 30, 10])
    pool, parts = np.arange(100), {}
    for limit in (None, 20, 0.5):
        asked = {"kind": "random", "test": 12, "valid": 0.1, "train": limit}
        split = split_of(load(with_entry({"split": asked})).studies[NAMES[0]].split, "brca")
        parts[limit] = {p: split.rows(p, 3, pool, label) for p in ("train", "valid", "test")}
    assert {limit: len(p["train"]) for limit, p in parts.items()} == {None: 78, 20: 20, 0.5: 50}
    for rows in parts.values():
        for part, count in (("test", 12), ("valid", 10)):
            assert len(rows[part]) == count
            np.testing.assert_array_equal(rows[part], parts[None][part])
    assert set(parts[20]["train"]) < set(parts[0.5]["train"]) < set(parts[None]["train"])
    counts = np.bincount(label[parts[20]["train"]])
    assert np.abs(counts - 0.2 * np.bincount(label)).max() <= 1


def test_a_split_that_asks_for_too_many_rows_is_one_line():
    split = split_of(load(with_entry()).studies[NAMES[0]].split, "brca")
    with pytest.raises(CchError, match="40 rows are too few for 12 test, 0 validation and 30 trai"):
        split.rows("train", 0, np.arange(40), np.zeros(40, dtype=int))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"test": 1}, "studies.tumours.split.test: a fraction below 1 or a whole number of rows"),
        ({"test": 10.5}, "a whole number of rows from 2 on is needed, not 10.5"),
        ({"test": True}, "a whole number of rows from 2 on is needed, not True"),
        ({"test": 0}, "leave no test or no training rows"),
        ({"test": 0.4, "valid": 0.6}, "leave no test or no training rows"),
        ({"test": 0.4, "train": 0.7}, "with train = 0.7 leave no test or no training rows"),
        ({"test": 0.4, "train": 0}, "with train = 0.0 leave no test or no training rows"),
    ],
)
def test_a_wrong_split_is_one_line(asked, words):
    with pytest.raises(CchError, match=words):
        load(with_entry({"split": {"train": None, "kind": "random", **asked}}))


def test_sizes_and_ids_follow_the_limit():
    config = load(with_entry())
    split = config.studies[NAMES[0]].split
    size = Size({"train": 90}, {"cnv": 5}, 3)
    assert size.split(split) == {"train": 30, "valid": 0, "test": 12}
    assert size.rows_of("all", split) == 42
    # A split without a limit is written as before there were limits.
    free = load(with_entry({"split": {"train": None, "test": 0.1}})).studies[NAMES[0]].split
    written = {"kind": "random", "test": 0.1, "valid": 0.0, "stratified": True}
    assert free.model_dump(mode="json") == written
    assert split.model_dump(mode="json") == written | {"test": 12, "train": 30}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The plan of an entry with two pairs, and its table over outputs that are drawn."""
    monkeypatch.chdir(tmp_path)
    change = {
        "dataset": "mosei",
        "pairs": [["text", "audio"], ["audio", "vision"]],
        "split": None,
        "selection": None,
        "information": {"calibration": None},
    }
    plan, rng = Plan(with_entry(change), ROOT), np.random.Generator(np.random.PCG64(0))
    data, rows = plan.paths.dataset("mosei"), TRAIN + TEST
    values = {
        name: Modality(np.zeros((rows, 2), np.float32)) for name in ("text", "audio", "vision")
    }
    label, names = np.arange(rows) % 2, list(map(str, range(rows)))
    split = ["train"] * TRAIN + ["test"] * TEST
    write_paired(data, Contents("classification", label, names, values, "01", split))
    for study in ("tumours-text-audio", "tumours-audio-vision"):
        write_drawn_runs(plan, study, data, rng, classes=2)
        write_drawn_estimates(plan, study, rng)
    list(make(TableSpec.model_validate_json(plan.table_spec("pairs-tumours"))))
    return plan, read_document(plan.paths.table("pairs-tumours"))


def test_the_table_over_pairs_has_the_cells_of_their_own_tables(table):
    plan, document = table
    assert document.title == "Tumours: pairs of modalities"
    rows = [f"{pair}-{level}" for pair in ("text-audio", "audio-vision") for level in ("0", "0.5")]
    assert [row.key for row in document.rows] == rows
    for row in rows:
        pair, _, level = row.rpartition("-")
        study = f"tumours-{pair}"
        cells = {c.key: document.cells[f"{row}/{c.key}"] for c in document.columns}
        assert {cell.study for cell in cells.values()} == {study}
        assert cells["rows"].text == f"{TRAIN} / {TEST}"
        for own, columns in (
            ("sweep", {"baseline": "no-kd", "difference-t2-w0.5": "difference-t2-w0.5"}),
            ("criterion", {key: key for key in cells if key.startswith(("ksg", "effect"))}),
        ):
            spec = TableSpec.model_validate_json(plan.table_spec(f"{own}-{study}"))
            theirs = build_document(spec).cells
            for ours, column in columns.items():
                assert cells[ours].value == theirs[f"{level}/{column}"].value
        teachers = [
            run["metrics"]["accuracy"] for run in RunsFile(plan.paths.runs(study, "teacher")).runs
        ]
        assert cells["teacher"].value == pytest.approx(np.mean(teachers))


def test_the_table_over_pairs_is_built_with_the_entry_alone(table):
    plan, _ = table
    files = set(plan.layout_files("pairs-tumours"))
    assert len(files) == 6
    targets = plan.targets()
    for target in ("tumours", "cohorts", "pairs-tumours"):
        assert files <= set(targets[target])
    assert not files & set(targets["tumours-text-audio"])
