"""The real DAG on a small configuration: complete, silent when done, frugal, the same twice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cch.audit.explain import explain
from cch.cli import app
from cch.workflow.planning import Plan
from harness import RESULTS, documents, snakemake, write_config
from support import ROOT, overlay, raw_config

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def planned(output: str) -> dict[str, int]:
    """Job counts of a dry run by rule."""
    table = output.split("Job stats:")[-1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\S+)\s+(\d+)$", table, re.M)}


def test_every_table_and_figure_is_there_in_every_format(finished):
    plan = Plan(load_tiny(finished), ROOT)
    for name in plan.layouts:
        for path in plan.layout_files(name):
            assert (finished / path).stat().st_size > 100, path
    assert "Table 13" in (finished / RESULTS / "comparison.md").read_text(encoding="utf-8")


def load_tiny(folder: Path):
    import yaml

    return overlay(raw_config(), yaml.safe_load((folder / "tiny.yaml").read_text()))


def test_a_second_call_does_nothing(finished):
    done = snakemake(finished, "-n")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_stand_in_data_is_named_in_every_format(finished):
    for suffix in ("json", "csv", "md", "tex"):
        text = (finished / RESULTS / "tables" / f"table13.{suffix}").read_text(encoding="utf-8")
        assert "in place of MNIST" in text, suffix
    assert "in place of MNIST" in (finished / RESULTS / "comparison.md").read_text()


def test_figures_say_in_pdf_that_data_stand_in(finished):
    pytest.importorskip("PIL")
    data = (finished / RESULTS / "figures" / "fig02.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert b"/CreationDate" not in data


@pytest.mark.parametrize(
    "cell",
    [
        "table01/0/difference-t3",
        "table13/2.5/mi-gap",
        "table13/notes/teacher-accuracy",
        "fig01/0.7/kd",
        "fig02/0/teacher-student",
        "table12/split/value",
        "sweep-mnistm-a18/0/ksg-gap",
    ],
)
def test_a_cell_leads_to_raw_files_or_a_generator(finished, monkeypatch, cell):
    monkeypatch.chdir(finished)
    found = explain(cell, RESULTS)
    assert found["whole"]
    ends = list(leaves(found["files"]))
    if cell.startswith("fig01"):
        assert {end["generator"]["kind"] for end in ends} == {"synthetic"}
    else:
        members = {end["raw"]["address"].rpartition("#")[2] for end in ends}
        assert "sklearn/datasets/data/digits.csv.gz" in members
        assert len(members) == 3


def leaves(links):
    for link in links:
        if link["inputs"]:
            yield from leaves(link["inputs"])
        else:
            yield link


def test_explain_prints_the_chain_and_fails_where_it_is_broken(finished, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    monkeypatch.chdir(finished)
    good = CliRunner().invoke(app, ["explain", "table13/0/kd", "--results", RESULTS])
    assert good.exit_code == 0
    assert "seed 2" in good.stdout
    assert "the chain is whole" in good.stdout
    assert "pypi:scikit-learn" in good.stdout


def test_each_rule_left_a_log_a_record_and_a_benchmark(finished):
    results = finished / RESULTS
    rules = {json.loads(path.read_text())["rule"] for path in results.rglob("*.record.json")}
    assert rules == {
        "prepare_dataset",
        "select_features",
        "train",
        "estimate",
        "calibrate",
        "tabulate",
        "compare",
        "ledger",
        "simulate_theory",
        "tabulate_theory",
        "build_report",
    }
    folders = {"prepare", "train", "estimate", "calibrate", "tabulate", "theory"}
    assert folders <= {path.name for path in (results / "logs").iterdir()}
    assert folders <= {path.name for path in (results / "benchmarks").iterdir()}
    log = (results / "logs/train/synthetic.student.log").read_text()
    assert re.search(r"synthetic student: \d+/\d+ member-epochs, .* left", log)


def test_runs_have_the_papers_protocol(finished):
    from cch.training.store import RunsFile

    runs = finished / RESULTS / "runs" / "mnistm-a20"
    with RunsFile(runs / "teacher.h5") as teacher, RunsFile(runs / "student.h5") as student:
        assert len(teacher.runs) == 3
        assert len(student.runs) == 2 * 2 * 3
        ids = {run["seed"]: run["id"] for run in teacher.runs}
        assert all(run["teacher"] == ids[run["seed"]] for run in student.runs)
        assert len({run["id"] for run in student.runs}) == len(student.runs)
        soft, blurred = teacher.array("soft_target/0"), teacher.array("soft_target/2.5")
        assert soft.shape == (3, 1438, 10)
        assert not (soft == blurred).all()
        # Level 0 is clean: what the teacher says of its test rows is what was measured.
        clean = [run["metrics"]["accuracy"] for run in teacher.runs]
        assert [run["degraded"]["0"]["accuracy"] for run in teacher.runs] == clean


def test_two_folders_give_the_same_bytes(finished, tmp_path):
    # test_killed.py compares two folders of fig04, the cluster's test an image study.
    targets = ("theory", "sweep-mosei-vision", "fusion-brca")
    write_config(tmp_path)
    snakemake(tmp_path, *targets)
    first, second = documents(finished), documents(tmp_path)
    assert {f"{name}.json" for name in targets} <= set(second)
    assert second == {name: first[name] for name in second}
    figures = sorted((tmp_path / RESULTS / "figures").glob("*.p[dn]*"))
    assert len(figures) == 2 * 5  # the theory's two, two of brca, one of mosei-vision
    for path in figures:
        assert (finished / RESULTS / "figures" / path.name).read_bytes() == path.read_bytes()


def outputs(said: str) -> set[str]:
    """The files that a dry run would make."""
    lines = re.findall(r"^    output: (.*)$", said, re.M)
    return {path for line in lines for path in line.split(", ")}


@pytest.mark.parametrize(
    ("change", "stale", "kept"),
    [
        (
            {"studies": {"synthetic": {"distillation": {"weights": [0.2, 0.3, 0.5, 0.7, 0.9]}}}},
            {"runs/synthetic/student.h5", "tables/fig04.json", "figures/fig04.png"},
            {
                "runs/synthetic/teacher.h5",
                "datasets/synthetic.h5",
                "information/synthetic/ksg.json",
            },
        ),
        (
            {"studies": {"synthetic": {"title": "Another title"}}},
            {"tables/sweep-synthetic.json"},
            {"runs/synthetic/student.h5", "datasets/synthetic.h5", "tables/table13.json"},
        ),
        (
            {
                "studies": {
                    "synthetic": {"information": {"options": {"latent-light": {"epochs": 3}}}}
                }
            },
            {"information/synthetic/latent-light.json", "tables/fig01.json"},
            {"runs/synthetic/student.h5", "runs/synthetic/teacher.h5", "datasets/synthetic.h5"},
        ),
        # A study that is made by one job is made again as a whole.
        (
            {"studies": {"mosei-vision": {"distillation": {"weights": [0.4, 0.5]}}}},
            {"runs/mosei-vision/teacher.h5", "tables/table04.json"},
            {"runs/synthetic/student.h5", "tables/table13.json"},
        ),
    ],
)
def test_a_changed_setting_makes_only_its_own_results_stale(
    finished, tmp_path, change, stale, kept
):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, symlinks=True)
    write_config(folder, change)
    done = snakemake(folder, "-n")
    files = {f"{RESULTS}/{name}" for name in stale}, {f"{RESULTS}/{name}" for name in kept}
    made = outputs(done.stdout + done.stderr)
    assert files[0] <= made
    assert not files[1] & made
