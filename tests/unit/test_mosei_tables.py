"""Tables 2, 3, 4, 14 and 15: cells of two studies in one table, and the audit of them."""

from __future__ import annotations

import io
import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest

from cch.audit.explain import explain
from cch.audit.explain_tree import as_tree
from cch.audit.run import audit
from cch.base.files import sha256_file
from cch.data.paired import Contents, Modality, write_paired
from cch.data.sources.fetch import Fetched
from cch.records.record import Recorder
from cch.tables.cells import build_document
from cch.tables.spec import TableSpec, table_spec
from cch.tables.write import make
from cch.workflow.planning import Plan
from small_tree import (
    TEST,
    TRAIN,
    record,
    write_drawn_bounds,
    write_drawn_estimates,
    write_drawn_runs,
)
from support import ROOT, overlay, raw_config

STUDIES = ("mosei-vision", "mosei-audio")
TABLES = ("table02", "table02-mixed", "table03", "table04", "table14")
RESULTS, RAW = "results/mosei", "resources/mosei-made/mosei_raw.pkl"
ESTIMATORS = ("latent-light", "mine", "ksg")
SHARED = {"information": {"calibration": None}}
CHANGE = {"results": RESULTS, "studies": dict.fromkeys(STUDIES, SHARED)}


def plan() -> Plan:
    return Plan(overlay(raw_config("demo"), CHANGE), ROOT)


def write_tree() -> Plan:
    """Both studies with drawn numbers, from a raw file that is said to be generated."""
    made, rng = plan(), np.random.Generator(np.random.PCG64(1))
    Path(RAW).parent.mkdir(parents=True)
    Path(RAW).write_bytes(b"made up")
    entry = made.table.file("mosei-made", "mosei_raw.pkl")
    fetched = Fetched(
        *(Path(RAW), sha256_file(RAW), 7, "generator:mosei?seed=0", "2026-11-25T00:00:00+00:00"),
        pinned=True,
    )
    script = ROOT / "workflow" / "scripts" / "fetch_raw.py"
    written = Recorder("fetch_raw", script, [], {"entry": entry.model_dump_json()})
    written.facts["raw"] = made.raw_facts("mosei-made", "mosei_raw.pkl", fetched)
    written.write(f"{RAW}.record.json", [RAW])
    data, rows = made.paths.dataset("mosei"), TRAIN + TEST
    values = {
        name: Modality(np.zeros((rows, 2), np.float32)) for name in ("text", "audio", "vision")
    }
    split = ["train"] * TRAIN + ["test"] * TEST
    write_paired(
        data,
        Contents(
            "classification", np.arange(rows) % 2, list(map(str, range(rows))), values, "01", split
        ),
    )
    record(made, "prepare_dataset", [RAW], [data], made.prepare_spec("mosei"))
    for study in STUDIES:
        write_drawn_runs(made, study, data, rng, classes=2)
        write_drawn_estimates(made, study, rng)
        write_drawn_bounds(made, study)
    for name in TABLES:
        write_table(made, name)
    return made


def write_table(made: Plan, name: str) -> None:
    given = made.table_spec(name)
    for files in make(TableSpec.model_validate_json(given)):
        record(made, "tabulate", files.inputs, files.outputs, given)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, write_tree()


@pytest.fixture
def tree(written, tmp_path, monkeypatch):
    folder, made = written
    shutil.copytree(folder, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return made


def cells(name: str) -> dict:
    return json.loads(Path(f"{RESULTS}/tables/{name}.json").read_text())["cells"]


def values(study: str, estimator: str, quantity: str, level: str | None) -> list[float]:
    found = json.loads(Path(f"{RESULTS}/information/{study}/{estimator}.json").read_text())[
        "estimates"
    ]
    wanted = (estimator, quantity, level)
    return [e["value"] for e in found if (e["estimator"], e["quantity"], e["level"]) == wanted]


@pytest.mark.parametrize("row", ["latentmi", "mine", "ksg"])
@pytest.mark.parametrize(
    ("column", "study", "quantity", "level"),
    [
        ("text-vision", "mosei-vision", "teacher-student", "0"),
        ("text-audio", "mosei-audio", "teacher-student", "0"),
        ("text-label", "mosei-vision", "teacher-label", "0"),
        ("vision-label", "mosei-vision", "student-label", None),
        ("audio-label", "mosei-audio", "student-label", None),
    ],
)
def test_table_2_takes_each_quantity_from_its_study(tree, row, column, study, quantity, level):
    single = values(study, {"latentmi": "latent-light"}.get(row, row), quantity, level)
    mean, spread = (cells("table02")[f"{row}/{column}{suffix}"] for suffix in ("", "-sd"))
    # Two runs: both sides sum the same two numbers, so rounding alone differs.
    assert mean["value"] == pytest.approx(statistics.fmean(single), rel=1e-14)
    assert spread["value"] == pytest.approx(statistics.stdev(single), rel=1e-12)
    assert (mean["study"], mean["unit"], mean["n"], spread["n"]) == (study, "nats", 2, 2)
    mixed = cells("table02-mixed")[f"{column}/{row}"]
    assert (mixed["value"], mixed["text_unit" if row == "latentmi" else "unit"]) == (
        mean["value"],
        "bits" if row == "latentmi" else "nats",
    )


def test_rows_of_table_2_name_the_estimator_that_ran(tree):
    document = json.loads(Path(f"{RESULTS}/tables/table02.json").read_text())
    assert [row["label"] for row in document["rows"]] == ["latent-light", "mine", "ksg"]


def test_table_3_has_a_student_of_each_study(tree):
    found = cells("table03")
    assert {key.split("/")[0]: cell["study"] for key, cell in found.items()} == {
        "vision": "mosei-vision",
        "audio": "mosei-audio",
    }
    assert found["vision/kd-f1"]["value"] != found["audio/kd-f1"]["value"]
    apart = found["audio/kd-f1"]["value"] - found["audio/no-kd-f1"]["value"]
    assert found["audio/difference"]["value"] == pytest.approx(apart, abs=1e-15)


def test_table_4_says_that_the_printed_columns_are_swapped(tree):
    document = json.loads(Path(f"{RESULTS}/tables/table04.json").read_text())
    assert "swapped" in document["caption"]
    assert [row["key"] for row in document["rows"]] == ["0", "0.4", "0.8"]


def test_table_14_shows_the_network_as_configured(tree):
    found = {key: cell["text"] for key, cell in cells("table14").items()}
    assert (found["linear-1/size"], found["linear-2/input"], found["linear-3/size"]) == (
        "32",
        "32",
        "2",
    )
    assert found["dropout-1/dropout"] == "0.3"


def test_schedule_and_optimizer_are_named_as_torch_names_them():
    made = plan()
    layout = made.layouts["table15"].model_copy()
    only = [row for row in layout.rows if row.key in ("schedule", "optimizer", "folds")]
    layout = layout.model_copy(update={"rows": only})
    found = build_document(table_spec("table15", layout, made.config, made.claims, [])).cells
    assert {key: cell.text for key, cell in found.items()} == {
        "optimizer/value": "AdamW",
        "schedule/value": "CosineAnnealingLR",
        "folds/value": "official",
    }


def test_the_audit_ends_at_the_generator_and_finds_nothing(tree):
    done = audit(RESULTS)
    assert done.lines(strict=True) == []
    assert (done.counts["generated files"], done.counts["generators"]) == (1, 1)
    assert "raw files" not in done.counts
    assert done.counts["derived"] == done.counts["cells"]


def test_explain_says_that_the_data_are_generated(tree):
    from rich.console import Console

    found = explain("table02/latentmi/text-audio", RESULTS)
    assert found["whole"]
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(as_tree(found))
    said = console.export_text()
    assert (
        "generated, no measured data: 7 bytes written by this project's generator mosei, seed 0"
        in said
    )
    assert "runs/mosei-audio/teacher.h5" in said


def tamper(path: str, change) -> None:
    content = json.loads(Path(path).read_text())
    change(content)
    Path(path).write_text(json.dumps(content))


def test_a_changed_generated_file_is_found(tree):
    Path(RAW).write_bytes(b"made ap")
    assert any(line.startswith(f"{RAW}: its bytes are not") for line in audit(RESULTS).lines())


def test_another_seed_than_the_job_was_given_is_found(tree):
    tamper(f"{RAW}.record.json", lambda c: c["raw"]["generator"].update(seed=1))
    said = "says generator mosei, seed 1, its job was given generator mosei, seed 0"
    assert any(said in line for line in audit(RESULTS).lines())


def test_a_generated_file_that_passes_for_a_fetched_one_is_found(tree):
    tamper(f"{RAW}.record.json", lambda c: c["raw"].pop("generator"))
    assert any("its job was given generator mosei" in line for line in audit(RESULTS).lines())


def test_a_cell_of_the_other_study_is_found(tree):
    path = f"{RESULTS}/tables/table03.json"
    tamper(path, lambda c: c["cells"]["audio/kd-f1"].update(study="mosei-vision"))
    said = "table03/audio/kd-f1: is of study 'mosei-vision', its place says 'mosei-audio'"
    assert said in audit(RESULTS).lines()


def test_the_demo_and_the_paper_draw_the_tables_of_mosei():
    demo = plan()
    wanted = ("table02", "table03", "table04", "table14", "table15")
    assert all(demo.paths.table(name) in demo.everything() for name in wanted)
    assert demo.stand_ins(["mosei-audio"]) == ["480 made-up segments, in place of CMU-MOSEI"]
    for preset in (None, "open"):
        assert set(wanted) <= set(Plan(raw_config(preset), ROOT).layouts)


def test_table_2_asks_for_the_teachers_information(tree):
    made = plan()
    for estimator in ESTIMATORS:
        path = made.paths.information("mosei-vision", estimator)
        assert path in made.layout_inputs("table02")


def test_mosi_has_its_information_under_its_own_name():
    made = Plan(raw_config("open"), ROOT)
    files, found = made.targets()["mosi"], made.layout_inputs("mosi-information")
    assert made.paths.table("mosi-information") in files
    assert made.paths.information("mosi-video", "ksg") in found
    assert "CMU-MOSI " in TableSpec.model_validate_json(made.table_spec("mosi-information")).title
