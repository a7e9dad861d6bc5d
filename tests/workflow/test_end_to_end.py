"""One study from raw files to the report, as Snakemake runs it for a user; part of `make test`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cch.audit.run import audit
from cch.cli import app
from cch.config import read
from cch.workflow.costs import snakemake_jobs
from cch.workflow.planning import Plan
from harness import RESULTS, TINY, snakemake, write_config
from support import ROOT, raw_config

pytestmark = pytest.mark.workflow

STUDY = "mnistm-a18"
OTHERS = {name: None for name in raw_config("demo")["studies"] if name != STUDY}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A finished run of the tiny configuration's smallest study with raw files."""
    folder = tmp_path_factory.mktemp("end-to-end")
    gone = {name: None for name in OTHERS if TINY["studies"].get(name, {}) is not None}
    write_config(folder, {"studies": gone})
    snakemake(folder)
    return folder


@pytest.fixture
def plan(folder, monkeypatch) -> Plan:
    monkeypatch.chdir(folder)
    return Plan(read([Path("tiny.yaml")]), ROOT)


def test_every_planned_output_exists(plan):
    assert list(plan.config.studies) == [STUDY]
    jobs = snakemake_jobs(plan.config.model_dump(mode="json"))
    outputs = [str(path) for job in jobs for path in job.output]
    assert len(outputs) > 40
    for path in [*outputs, plan.report]:
        assert Path(path).stat().st_size > 100, path


def test_a_second_run_has_nothing_to_do(folder):
    done = snakemake(folder, "-n")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_audit_passes(plan):
    done = audit(RESULTS)
    assert done.lines(strict=True) == []
    assert done.counts["raw files"] == 3
    assert done.counts["cells"] == done.counts["derived"] > 50


def test_a_cell_is_explained_back_to_its_raw_files(plan):
    done = CliRunner().invoke(app, ["explain", "table13/0/kd", "--results", RESULTS])
    assert done.exit_code == 0
    assert "the chain is whole" in done.stdout
    assert "pypi:scikit-learn" in done.stdout
