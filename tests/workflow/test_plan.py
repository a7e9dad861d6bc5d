"""What each target needs, by Snakemake's own graph."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

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


@pytest.mark.parametrize("preset", [None, "demo", "open"])
def test_shipped_configurations_plan(preset):
    plan = Plan(raw_config(preset), ROOT)
    files = [path for name in plan.layouts for path in plan.layout_files(name)]
    assert len(files) == len(set(files))
    load(raw_config(preset))
