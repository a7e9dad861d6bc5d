"""What each target needs, by Snakemake's own graph."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import yaml

from cch.config import load, read
from cch.workflow.costs import snakemake_jobs
from cch.workflow.planning import Plan
from harness import write_config
from support import ROOT, raw_config

pytestmark = pytest.mark.workflow


@pytest.fixture
def configuration(tmp_path, monkeypatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return read([write_config(tmp_path)])


@pytest.mark.parametrize(
    ("target", "jobs"),
    [
        ("table10", {"prepare_dataset": 1, "tabulate": 1}),
        ("fig04", {"prepare_dataset": 1, "train": 3, "tabulate": 1}),
        ("fig05", {"fetch_raw": 3, "prepare_dataset": 1, "tabulate": 1}),
        # The digits and the photographs (3), the made-up segments (1), the made-up cohort (4).
        ("fetch", {"fetch_raw": 8}),
    ],
)
def test_a_target_needs_no_more_than_its_own(configuration, target, jobs):
    names = [job.rule.name for job in snakemake_jobs(configuration, [target])]
    # The rule of a table is named after the first of those that rest on the same files.
    assert Counter(re.sub("^tabulate_.*", "tabulate", name) for name in names) == jobs


@pytest.mark.slow
def test_a_study_touches_no_other(configuration):
    jobs = snakemake_jobs(configuration, ["mnistm"])
    files = [str(path) for job in jobs for path in (*job.input, *job.output)]
    assert any("mnistm-a18" in path for path in files)
    assert not any("synthetic" in path for path in files)


def test_a_group_skips_a_study_whose_file_is_missing(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    jobs = snakemake_jobs(raw_config("open"), ["open-cohorts"])
    files = [str(path) for job in jobs for path in (*job.input, *job.output)]
    assert any("tcga-brca-cnv-rppa" in path for path in files)
    assert not any("tcga-brca-mrna" in path for path in files)
    # What is left out of `all` is printed only if `all` is requested.
    assert "left out" not in capfd.readouterr().err


@pytest.mark.parametrize("preset", [None, "demo", "open", "project"])
def test_shipped_configurations_plan(preset):
    if preset == "project":  # what Snakedeploy copies; its study leaves the bounds to the default
        raw = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
        assert "bounds" not in raw["studies"]["sample"]["information"]
    else:
        raw = raw_config(preset)
    plan = Plan(raw, ROOT)
    # Tables ask for nothing that no study makes, such as the entropy of a continuous label.
    made = {step.output for name in plan.config.studies for step in plan.steps(name)}
    asked = {path for name in plan.layouts for path in plan.layout_inputs(name)}
    folders = tuple(f"{plan.paths.results}/{name}/" for name in ("runs", "information"))
    assert {path for path in asked if path.startswith(folders)} <= made
    files = [path for name in plan.layouts for path in plan.layout_files(name)]
    assert len(files) == len(set(files))
    load(raw)
