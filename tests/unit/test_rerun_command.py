"""The command that makes files of a run again, for the configuration that the run had."""

from __future__ import annotations

from pathlib import Path

import pytest

from cch.audit.rerun_command import restoring
from support import ROOT

TEACHER = "runs/mnistm-a18/teacher.h5"


@pytest.mark.parametrize(
    ("results", "end"),
    [
        ("results", ""),
        ("results/demo", " --configfile presets/demo.yaml"),
        ("results/open", " --configfile presets/open.yaml"),
        ("results/nobodys", " (with the --configfile of that run)"),
    ],
)
def test_the_overlay_is_that_of_the_results(monkeypatch, results, end):
    monkeypatch.chdir(ROOT)
    file = f"{results}/{TEACHER}"
    assert restoring(ROOT, results, [file]) == f"snakemake --cores 2 {file}{end}"


def test_from_another_folder_the_command_says_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = restoring(ROOT, "results/demo", [f"results/demo/{TEACHER}"])
    where = f"--snakefile {ROOT}/Snakefile --directory {ROOT}"
    assert said.endswith(f"{TEACHER} {where} --configfile {ROOT}/presets/demo.yaml")


def test_a_page_of_the_report_is_made_by_its_job(monkeypatch):
    monkeypatch.chdir(ROOT)
    pages = [f"results/demo/report/{name}.html" for name in ("tables/table13", "sensitivity")]
    said = restoring(ROOT, "results/demo", pages)
    index = "results/demo/report/index.html"
    assert f"--cores 2 {index} --forcerun build_report --configfile" in said


def test_an_overlay_of_ones_own_is_told_by_what_it_runs(tmp_path, monkeypatch):
    """Two overlays that name no results, of which one drops the study; one that is no YAML."""
    monkeypatch.chdir(tmp_path)
    Path("all.yaml").write_text("results: results/mine\n", encoding="utf-8")
    Path("fewer.yaml").write_text(
        "results: results/mine\nstudies: {mnistm-a18: null}\n", encoding="utf-8"
    )
    Path("broken.yaml").write_text("results: [", encoding="utf-8")
    said = restoring(tmp_path, "results/mine", [f"results/mine/{TEACHER}"])
    assert said.endswith(" --configfile all.yaml")
    unclear = restoring(tmp_path, "results/mine", ["results/mine/runs/mnistm-a20/teacher.h5"])
    assert unclear.endswith(" (with the --configfile of that run)")
