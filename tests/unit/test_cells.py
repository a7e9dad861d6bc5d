from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from cch.audit.explain import explain
from cch.base.errors import CchError
from cch.base.files import sha256_file, write_json
from cch.config import load
from cch.config.paths import Paths
from cch.data.paired import Contents, Modality, write_paired
from cch.records.record import Recorder
from cch.tables.cells import build_document
from cch.tables.claims import load_claims
from cch.tables.layouts import all_layouts
from cch.tables.render import to_markdown
from cch.tables.spec import table_spec
from cch.training.store import write_runs
from support import ROOT, overlay, raw_config, stored_cell, stored_table

ACCURACY = {"baseline": [0.80, 0.82, 0.81], "student": [0.83, 0.84, 0.85], "teacher": [0.9] * 3}
GAPS = {"teacher-student": [1.5, 1.7], "student-label": [1.2, 1.1], "teacher-label": [2.0, 2.0]}


def entry(role, seed, level=None, value=None, diverged=None):
    return {
        "id": f"{role}-{seed}-{level}",
        "role": role,
        "modality": "m",
        "seed": seed,
        "level": level,
        "temperature": 3.0 if role == "student" else 1.0,
        "weight": 0.5 if role == "student" else 0.0,
        "diverged": diverged,
        "metrics": {"accuracy": ACCURACY[role][seed] if value is None else value},
    }


def estimate(quantity, seed, level):
    value = GAPS[quantity][seed]
    return {
        "id": f"{quantity}-{seed}",
        "estimator": "latentmi",
        "quantity": quantity,
        "level": level,
        "seed": seed,
        "value": value,
        "runs": [],
        "flags": ["below zero"] if value < 0 else [],
    }


def stored_predictions(runs):
    """Outputs that are right on four of eight test rows, and other rows for other runs."""
    right = [[(row + run) % 8 < 4 for row in range(8)] for run in range(runs)]
    rows = np.tile(np.arange(4, 12), (3, 1))
    return {
        "logits": np.eye(2, dtype=np.float32)[np.array(right, dtype=int)],
        "test_rows": rows,
        "test_label": np.ones_like(rows),
    }


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Runs and estimates of a small image study, written by hand, with their records."""
    monkeypatch.chdir(tmp_path)
    change = {
        "studies": {
            "mnistm-a18": {
                "seeds": 3,
                "information": {"runs": 2, "estimators": ["latentmi"]},
                "degradation": {"levels": [0, 2.5]},
            }
        }
    }
    config = load(overlay(raw_config(), change))
    paths = Paths.of(config)
    header = {"study": "x", "train_rows": 4}
    arrays = stored_predictions(3)
    for role in ("teacher", "baseline"):
        runs = [entry(role, seed) for seed in range(3)]
        write_runs(paths.runs("mnistm-a18", role), header, runs, arrays)
    students = [entry("student", seed, level) for level in ("0", "2.5") for seed in range(3)]
    write_runs(paths.runs("mnistm-a18", "student"), header, students, stored_predictions(6))
    levels = {quantity: ["0", "2.5"] for quantity in GAPS} | {"student-label": [None]}
    found = [
        estimate(quantity, seed, level)
        for quantity, at in levels.items()
        for level in at
        for seed in range(2)
    ]
    path = paths.information("mnistm-a18", "latentmi")
    write_json(path, {"estimates": found, "unit": "nats"})
    return config


def document(config, stand_ins=()):
    layouts = all_layouts(config, ROOT / "paper" / "tables.yaml")
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    spec = table_spec("table13", layouts["table13"], config, claims, list(stand_ins))
    return build_document(spec).to_json()


def test_a_mean_has_its_standard_error_n_members_and_files(results):
    cell = document(results)["cells"]["0/no-kd"]
    assert cell["value"] == pytest.approx(0.81)
    assert cell["se"] == pytest.approx(np.std([0.80, 0.82, 0.81], ddof=1) / math.sqrt(3))
    assert cell["n"] == 3
    assert [member["value"] for member in cell["members"]] == [0.80, 0.82, 0.81]
    path = "results/runs/mnistm-a18/baseline.h5"
    assert cell["inputs"] == [{"path": path, "sha256": sha256_file(path)}]
    assert cell["paper"] == {"text": "0.8338 ± 0.0034", "value": 0.8338, "se": 0.0034, "n": 5}


def test_a_difference_is_paired_by_seed(results):
    cell = document(results)["cells"]["2.5/difference"]
    paired = np.array([0.83 - 0.80, 0.84 - 0.82, 0.85 - 0.81])
    assert cell["value"] == pytest.approx(paired.mean())
    assert cell["se"] == pytest.approx(paired.std(ddof=1) / math.sqrt(3))
    assert cell["members"][1]["id"] == "student-1-2.5"
    assert cell["members"][1]["minus"] == "baseline-1-None"
    assert cell["verdict"] == "contradicted"  # the paper prints -0.2122


def test_a_gap_is_paired_by_run_and_in_nats(results):
    cell = document(results)["cells"]["0/mi-gap"]
    assert cell["value"] == pytest.approx(((1.5 - 1.2) + (1.7 - 1.1)) / 2)
    assert (cell["unit"], cell["n"]) == ("nats", 2)


def test_a_column_in_bits_prints_and_compares_bits_and_keeps_nats(results):
    layout = all_layouts(results, ROOT / "paper" / "tables.yaml")["table13"]
    column = next(c for c in layout.columns if c.key == "mi-gap")
    in_bits = column.model_copy(update={"unit": "bits"})
    columns = [in_bits if c.key == "mi-gap" else c for c in layout.columns]
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    changed = layout.model_copy(update={"columns": columns})
    built = build_document(table_spec("table13", changed, results, claims, []))
    cells = built.to_json()["cells"]
    cell = cells["0/mi-gap"]
    assert (cell["unit"], cell["text_unit"]) == ("nats", "bits")
    assert cell["value"] == pytest.approx(0.45)
    assert cell["text"].startswith(f"{0.45 / math.log(2):.4f} ± ")
    assert "text_unit" not in cells["0/teacher-student"]
    assert "MI gap, latentmi (bits)" in to_markdown(built)


def test_a_note_in_bits_prints_bits_whatever_a_column_of_its_name_is_in(results):
    layout = all_layouts(results, ROOT / "paper" / "tables.yaml")["table13"]
    notes = [note.model_copy(update={"unit": "bits"}) for note in layout.notes]
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    changed = layout.model_copy(update={"notes": notes})
    built = build_document(table_spec("table13", changed, results, claims, []))
    cell = built.all_cells["notes/teacher-label"]
    assert (cell.value, cell.text_unit) == (pytest.approx(2.0), "bits")
    assert cell.text.startswith(f"{2 / math.log(2):.4f}")


def test_headings_name_the_main_estimator_of_the_configuration(results):
    headings = {column["key"]: column["label"] for column in document(results)["columns"]}
    assert headings["mi-gap"] == "MI gap, latentmi"
    assert headings["kd"] == "Accuracy with KD"
    change = {"studies": {"mnistm-a18": {"information": {"estimators": ["latent-light"]}}}}
    light = load(overlay(results.model_dump(mode="json"), change))
    layout = all_layouts(light, ROOT / "paper" / "tables.yaml")["table13"]
    study = light.studies["mnistm-a18"]
    assert layout.labelled(layout.columns[0], study) == "I(teacher; student), latent-light"
    queries = {key: query for key, _, query in layout.queries(light)}
    assert queries["0/mi-gap"].estimator == "latent-light"


def test_diverged_runs_are_left_out_and_said(results):
    path = Paths.of(results).runs("mnistm-a18", "baseline")
    runs = [entry("baseline", 0), entry("baseline", 1, diverged=4), entry("baseline", 2)]
    write_runs(path, {"study": "x", "train_rows": 4}, runs, stored_predictions(3))
    cells = document(results)["cells"]
    assert cells["0/no-kd"]["n"] == 2
    assert cells["0/no-kd"]["value"] == pytest.approx(0.805)
    assert cells["0/no-kd"]["flags"] == ["1 of 3 runs diverged: seeds [1]"]
    assert [member["seed"] for member in cells["0/difference"]["members"]] == [0, 2]


def test_what_was_not_run_has_no_value_and_says_so(results):
    layouts = all_layouts(results, ROOT / "paper" / "tables.yaml")
    layout = layouts["table13"].model_copy(update={"study": "mnistm-a18"})
    columns = [
        column.model_copy(update={"query": {**column.query, "temperature": 2}})
        if column.key == "kd"
        else column
        for column in layout.columns
    ]
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    layout = layout.model_copy(update={"columns": columns})
    cell = build_document(table_spec("table13", layout, results, claims, [])).cells["0/kd"]
    assert (cell.value, cell.n, cell.se) == (None, 0, None)
    assert cell.flags == ("not run in this configuration: T = 2, λ = 0.5",)
    assert cell.verdict == "undetermined"


def test_notes_are_cells_with_the_papers_value(results):
    notes = {note["label"]: note["cell"] for note in document(results)["notes"]}
    assert notes["I(teacher; label), latentmi"]["paper"]["value"] == 1.9095
    assert notes["I(teacher; label), latentmi"]["value"] == pytest.approx(2.0)
    assert notes["I(teacher; label), latentmi"]["id"] == "table13/notes/teacher-label"


def test_the_teachers_information_of_the_caption_is_of_clean_inputs(results):
    path = Path(Paths.of(results).information("mnistm-a18", "latentmi"))
    stored = json.loads(path.read_text())
    for item in stored["estimates"]:
        if item["quantity"] == "teacher-label":
            item["value"] = 2.0 if item["level"] == "0" else 0.1
    write_json(path, stored)
    notes = {note["label"]: note["cell"] for note in document(results)["notes"]}
    assert notes["I(teacher; label), latentmi"]["value"] == pytest.approx(2.0)


def test_marks_name_settings_and_stand_in_data(results):
    deviations = document(results, ["digits of a package"])["deviations"]
    assert deviations[0]["sentence"] == "digits of a package"
    about = {"study": "mnistm-a18", "path": "seeds", "ours": 3, "paper": [5]}
    assert about | {"sentence": "seeds: 3 (paper: 5)"} in deviations
    cells = document(results, ["digits of a package"])["cells"]
    assert {cell["verdict"] for cell in cells.values()} == {"not comparable"}


def test_a_missing_input_is_named(results):
    path = Paths.of(results).runs("mnistm-a18", "student")
    (ROOT.__class__(path)).unlink()
    with pytest.raises(CchError, match=r"table13: needs .*student\.h5"):
        document(results)


def test_equal_inputs_give_equal_documents(results):
    assert document(results) == document(results)


def write_chain(tmp_path):
    """A raw file, a dataset made of it, and a table that rests on the dataset."""
    # The record of a script whose specification names code needs that specification.
    script = ROOT / "workflow" / "scripts" / "tabulate.py"
    raw = tmp_path / "resources" / "s" / "raw.bin"
    raw.parent.mkdir(parents=True)
    raw.write_bytes(b"raw")
    fetched = Recorder("fetch_raw", script, [], {})
    address = "https://example.org/raw.bin"
    fetched.facts["raw"] = {
        "address": address,
        "published_addresses": [address],
        "bytes": 3,
        "retrieved": "2026-11-23",
    }
    fetched.write("resources/s/raw.bin.record.json", ["resources/s/raw.bin"])
    modality = Modality(np.zeros((4, 2), np.float32))
    contents = Contents("classification", np.arange(4) % 2, list("abcd"), {"m": modality}, "01")
    write_paired("results/datasets/d.h5", contents)
    Recorder("prepare", script, ["resources/s/raw.bin"], {}).write(
        "results/datasets/d.record.json", ["results/datasets/d.h5"]
    )
    inputs = [{"path": "results/datasets/d.h5", "sha256": sha256_file("results/datasets/d.h5")}]
    content = stored_table("t", {"r/c": stored_cell("t/r/c", inputs=inputs)})
    write_json("results/tables/t.json", content)
    Recorder("tabulate", script, ["results/datasets/d.h5"], {}).write(
        "results/tables/t.record.json", ["results/tables/t.json"]
    )


def test_a_cell_is_followed_to_its_raw_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_chain(tmp_path)
    found = explain("t/r/c", "results")
    assert found["whole"]
    raw = found["files"][0]["inputs"][0]
    assert raw["raw"]["address"] == "https://example.org/raw.bin"
    assert raw["sha256"] == sha256_file("resources/s/raw.bin")


def test_a_cell_is_explained_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_chain(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert explain("t/r/c", "../results")["whole"]


@pytest.mark.parametrize("broken", ["raw byte", "no record", "missing", "dataset byte"])
def test_a_broken_chain_is_said(tmp_path, monkeypatch, broken):
    monkeypatch.chdir(tmp_path)
    write_chain(tmp_path)
    raw, data = tmp_path / "resources/s/raw.bin", tmp_path / "results/datasets/d.h5"
    if broken == "raw byte":
        raw.write_bytes(b"row")
    elif broken == "no record":
        (tmp_path / "resources/s/raw.bin.record.json").unlink()
    elif broken == "missing":
        raw.unlink()
    else:
        data.write_bytes(data.read_bytes() + b"x")
    found = explain("t/r/c", "results")
    assert not found["whole"]
    assert found["table"]["state"] == "as recorded"
    states = {found["files"][0]["state"], found["files"][0]["inputs"][0]["state"]}
    wanted = {"no record": "no record", "missing": "missing"}.get(broken, "changed")
    assert wanted in states


def test_unknown_tables_and_cells_list_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_chain(tmp_path)
    with pytest.raises(CchError, match="there is no table 'u' in results/tables; there are t"):
        explain("u/r/c", "results")
    with pytest.raises(CchError, match="t has no column 'd' in row 'r'; there are c"):
        explain("t/r/d", "results")


def test_a_changed_table_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_chain(tmp_path)
    path = tmp_path / "results/tables/t.json"
    path.write_text(path.read_text().replace('"T"', '"U"'))
    found = explain("t/r/c", "results")
    assert (found["whole"], found["table"]["state"]) == (False, "changed")


def test_a_copy_under_another_name_is_not_explained_by_the_original(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_chain(tmp_path)
    shutil.copytree("results", "copied")
    with pytest.raises(CchError, match=r"was made as results/tables/t\.json"):
        explain("t/r/c", "copied")


def test_a_truncated_table_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_chain(tmp_path)
    path = tmp_path / "results/tables/t.json"
    path.write_text(path.read_text()[:20])
    with pytest.raises(CchError, match=r"t\.json: is no JSON"):
        explain("t/r/c", "results")


# Fusion

FUSED = {"direct": [0.70, 0.74, 0.72], "kd": [0.73, 0.76, 0.76], "heads": [0.72, 0.77, 0.75]}


@pytest.fixture
def fused(results):
    """The same study with fusions; the one of seed 1 with heads alone diverged."""
    training = {"optimizer": "adam", "learning_rate": 0.1, "batch_size": 8, "epochs": 2}
    change = {"studies": {"mnistm-a18": {"fusion": {"training": training}}}}
    config = load(overlay(results.model_dump(mode="json"), change))
    runs = [
        entry("fusion", seed, value=value, diverged=2 if (arm, seed) == ("heads", 1) else None)
        | {"arm": arm, "id": f"{arm}-{seed}"}
        for arm, values in FUSED.items()
        for seed, value in enumerate(values)
    ]
    for run in runs:
        run["metrics"]["auc"] = None  # a class without a test row
    arrays = stored_predictions(9)
    header = {"study": "x", "train_rows": 4}
    write_runs(Paths.of(config).runs("mnistm-a18", "fusion"), header, runs, arrays)
    return config


def fusion_cells(config):
    layouts = all_layouts(config, ROOT / "paper" / "tables.yaml")
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    name = "fusion-mnistm-a18"
    spec = table_spec(name, layouts[name], config, claims, [])
    return build_document(spec).to_json()["cells"]


def test_fusions_are_averaged_by_arm_and_subtracted_by_seed(fused):
    cells = fusion_cells(fused)
    assert cells["accuracy/direct"]["value"] == pytest.approx(0.72)
    paired = np.array([0.03, 0.02, 0.04])
    found = cells["accuracy/difference-direct"]
    assert found["value"] == pytest.approx(paired.mean())
    assert found["se"] == pytest.approx(paired.std(ddof=1) / math.sqrt(3))
    assert found["members"][2]["minus"] == "direct-2"
    # Over seeds alone, 0.03 ± 4.303 * 0.01 / sqrt(3) is above 0; eight test rows decide nothing.
    effect = cells["accuracy/effect-direct"]
    low, high = (effect["interval"][end] for end in ("low", "high"))
    assert low < 0 < high
    assert effect["value"] == "undecided"
    assert effect["text"] == f"undecided [{low:.4f}, {high:.4f}]"
    assert (effect["n"], effect["interval"]["units"]) == (3, 8)


def test_a_diverged_fusion_leaves_its_pair_and_is_said(fused):
    found = fusion_cells(fused)["accuracy/difference-heads"]
    assert (found["n"], found["value"]) == (2, pytest.approx((0.01 + 0.01) / 2))
    assert "1 of 3 runs diverged: seeds [1]" in found["flags"]
    assert fusion_cells(fused)["accuracy/effect-heads"]["n"] == 2


def test_a_metric_that_no_fusion_has_is_no_number(fused):
    found = fusion_cells(fused)["auc/kd"]
    assert (found["value"], found["n"]) == (None, 0)
    assert "auc is not defined for seeds [0, 1, 2]" in found["flags"]


def test_what_classes_were_defined_from_is_said_of_the_studies_that_have_them():
    config = raw_config("demo")
    config["datasets"]["brca"]["label"]["defined_by"] = "mRNA (PAM50)"
    config, claims = load(config), load_claims(ROOT / "paper" / "claims.yaml")
    layouts = all_layouts(config, ROOT / "paper" / "tables.yaml")

    def said(name):
        spec = table_spec(name, layouts[name], config, claims, [])
        note = config.datasets["brca"].label_note
        return [one.study for one in spec.deviations if one.sentence == note]

    assert said("table05") == ["brca"]
    assert said("table13") == []
