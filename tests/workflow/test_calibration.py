"""Calibration in the real DAG: a study's own, and LIHC's null, which needs no data."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from cch.audit.explain import explain
from cch.audit.recompute import recompute
from cch.audit.run import audit
from harness import RESULTS, snakemake, write_config
from test_workflow import leaves, planned

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_every_study_is_calibrated_in_nats_with_its_sizes(finished, monkeypatch):
    monkeypatch.chdir(finished)
    for study in ("synthetic", "mnistm-a20", "mnistm-a18"):
        content = json.loads((finished / RESULTS / f"calibration/{study}/ksg.json").read_text())
        assert content["unit"] == "nats"
        assert {entry["rows"] for entry in content["results"]} == {60}
        kinds = {"permutation-null", "gaussian"}
        kinds |= set() if study == "synthetic" else {"class-mixture"}
        assert {entry["kind"] for entry in content["results"]} == kinds
        document = json.loads((finished / RESULTS / f"tables/calibration-{study}.json").read_text())
        assert {cell["n"] for cell in document["cells"].values()} == {None, 3}
        assert (finished / RESULTS / f"figures/calibration-{study}.pdf").is_file()


def test_a_bias_leads_to_a_generator_or_raw_files(finished, monkeypatch):
    monkeypatch.chdir(finished)
    found = explain("calibration-synthetic/teacher-student-1/ksg-bias", RESULTS)
    assert found["whole"]
    assert {end["generator"]["kind"] for end in leaves(found["files"])} == {"synthetic"}


def test_another_truth_makes_only_the_calibration_stale(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, symlinks=True)
    calibration = {"calibration": {"truths": [0.7]}}
    write_config(folder, {"studies": {"synthetic": {"information": calibration}}})
    done = snakemake(folder, "-n")
    jobs = planned(done.stdout + done.stderr)
    assert jobs["calibrate"] == 3  # of the estimators of that study alone
    assert not {"estimate", "train"} & set(jobs)


def test_lihcs_null_needs_no_data_and_leads_to_its_generator(tmp_path, monkeypatch):
    write_config(tmp_path)
    written = yaml.safe_load((tmp_path / "tiny.yaml").read_text())
    for study in filter(None, written["studies"].values()):
        study["information"] |= {"estimators": ["ksg"], "options": {}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(written))
    done = snakemake(tmp_path, "null-lihc")
    assert "fetch_raw" not in done.stdout + done.stderr
    for suffix in ("json", "csv", "md", "tex"):
        assert (tmp_path / RESULTS / f"tables/null-lihc.{suffix}").is_file()
    assert (tmp_path / RESULTS / "figures/null-lihc.png").stat().st_size > 1000
    monkeypatch.chdir(tmp_path)
    found = explain("null-lihc/gap/ksg", RESULTS)
    assert found["whole"]
    assert {end["generator"]["kind"] for end in leaves(found["files"])} == {"null-gaps"}
    assert audit(RESULTS).lines(strict=True) == []
    for cell in ("null-lihc/gap/ksg", "null-lihc/printed-20/ksg", "null-lihc/printed-20/paper"):
        done = recompute(cell, RESULTS)
        assert done.identical and done.passed


def test_any_entry_of_null_gaps_is_a_target_with_its_printed_gaps(tmp_path):
    entry = {"title": "BRCA", "table": "table05", "runs": 5, "columns": 8}
    entry |= {"class_counts": [20, 30], "estimators": ["ksg"], "repeats": 3}
    write_config(tmp_path, {"null_gaps": {"brca": entry, "lihc": None}})
    snakemake(tmp_path, "null-brca")
    document = json.loads((tmp_path / RESULTS / "tables/null-brca.json").read_text())
    assert document["number"] == "BRCA null"
    assert document["cells"]["gap/ksg"]["n"] == 3
    assert len([key for key in document["cells"] if key.endswith("/paper")]) == 5
