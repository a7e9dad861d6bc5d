"""``cch plan`` counts the jobs that Snakemake plans."""

from __future__ import annotations

from collections import Counter

import pytest

from cch.config import read
from cch.costs.graph import everything, planned
from cch.planning import Plan
from harness import snakemake, write_config
from support import ROOT
from test_workflow import planned as in_dry_run

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize("target", [None, "mnistm"])
def test_jobs_are_those_of_a_dry_run(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    plan = Plan(read([write_config(tmp_path)]), ROOT)
    done = snakemake(tmp_path, "-n", *([target] if target else []))
    asked = in_dry_run(done.stdout + done.stderr)
    # The target itself is a job that does nothing.
    assert asked.pop(target or "all") == 1
    jobs = everything(plan) if target is None else planned(plan, plan.targets()[target])
    assert Counter(job.rule for job in jobs) == asked
