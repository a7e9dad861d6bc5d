"""The target ``theory``: no data, no study, from a cell back to a keyed generator."""

from __future__ import annotations

import json

import pytest

from cch.audit.explain import explain
from harness import RESULTS, snakemake, write_config

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

SMALL = {
    "theory": {
        "dimension": 12,
        "kappas": [0.5, 2],
        "lambdas": [0, 0.3],
        "teacher_label": [0.9],
        "replications": 5,
    }
}


def test_the_theory_from_generator_to_figures(tmp_path, monkeypatch):
    write_config(tmp_path, SMALL)
    done = snakemake(tmp_path, "theory")
    assert "fetch" not in done.stdout + done.stderr
    results = tmp_path / RESULTS
    assert not (results / "datasets").exists()
    for name in ("theory", "theory-region"):
        for suffix in ("json", "csv", "md", "tex"):
            assert (results / "tables" / f"{name}.{suffix}").stat().st_size > 100
    for name in ("theory-risk", "theory-region"):
        for suffix in ("pdf", "png"):
            assert (results / "figures" / f"{name}.{suffix}").stat().st_size > 1000
    assert "4/4 settings" in (results / "logs" / "theory" / "simulate.log").read_text()

    monkeypatch.chdir(tmp_path)
    for cell in (
        "theory/s0.7-k2-l0.3/monte-carlo",
        "theory/s0.7-k0.5-l0.3/asymptotic",
        "theory/notes/break-even-s0.7-k100",
        "theory-region/notes/found-c0.9-best",
    ):
        found = explain(cell, RESULTS)
        assert found["whole"]
        (link,) = found["files"]
        assert link["generator"]["seed"] == 0
        assert link["generator"]["kind"].startswith("theory: NumPy PCG64")
    document = json.loads((results / "tables" / "theory.json").read_text())
    cell = document["cells"]["s0.7-k2-l0.3/monte-carlo"]
    assert cell["n"] == len(cell["members"]) == 5

    done = snakemake(tmp_path, "-n", "theory")
    assert "Nothing to be done" in done.stdout + done.stderr
    write_config(tmp_path, {"theory": SMALL["theory"] | {"replications": 6}})
    done = snakemake(tmp_path, "-n", "theory")
    assert "simulate_theory" in done.stdout + done.stderr
