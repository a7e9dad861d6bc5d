"""What the plan holds: the jobs of each target, and the same jobs as Snakemake plans."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cch.config import load, read
from cch.costs.graph import Job, everything, planned
from cch.planning import Plan
from harness import snakemake, write_config
from support import ROOT, raw_config
from test_workflow import planned as in_dry_run


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    return Plan(read([write_config(tmp_path)]), ROOT)


def jobs_of(plan: Plan, target: str | None) -> list[Job]:
    """The jobs of a target, or of `all`."""
    if target is None:
        return everything(plan)
    files = plan.fetchable() if target == "fetch" else plan.targets()[target]
    return planned(plan, files)


@pytest.mark.workflow
@pytest.mark.slow
@pytest.mark.parametrize("target", [None, "mnistm", "fig05", "fetch"])
def test_jobs_are_those_of_a_dry_run(tmp_path, plan, target):
    done = snakemake(tmp_path, "-n", *([target] if target else []))
    asked = in_dry_run(done.stdout + done.stderr)
    # The target itself is a job that does nothing.
    assert asked.pop(target or "all") == 1
    assert Counter(job.rule for job in jobs_of(plan, target)) == asked


@pytest.mark.parametrize(
    ("target", "jobs"),
    [
        ("table10", {"prepare_dataset": 1, "tabulate": 1}),
        (
            "fig04",
            {
                "prepare_dataset": 1,
                "train_teacher": 1,
                "train_baseline": 1,
                "train_student": 1,
                "tabulate": 1,
                "plot_curves": 1,
            },
        ),
        ("fig05", {"fetch_raw": 3, "prepare_dataset": 1, "plot_samples": 1}),
        # The digits and the photographs (3), the made-up segments (1), the made-up cohort (4).
        ("fetch", {"fetch_raw": 8}),
    ],
)
def test_a_target_needs_no_more_than_its_own(plan, target, jobs):
    assert Counter(job.rule for job in jobs_of(plan, target)) == jobs


def test_a_study_touches_no_other(plan):
    files = {Path(path) for job in jobs_of(plan, "mnistm") for path in (*job.inputs, *job.outputs)}
    assert any("mnistm-a18" in str(path) for path in files)
    assert not any("synthetic" in str(path) for path in files)


@pytest.mark.parametrize("preset", [None, "demo", "open"])
def test_shipped_configurations_plan(preset):
    plan = Plan(raw_config(preset), ROOT)
    files = [path for name in plan.layouts for path in plan.layout_files(name)]
    assert len(files) == len(set(files))
    load(raw_config(preset))
