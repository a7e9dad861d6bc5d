"""Plugins with an estimator, an optimiser, a kind of dataset and a fetcher in the real DAG."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest
import yaml

from harness import snakemake
from support import ROOT, raw_config
from test_workflow import planned

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

PLUGINS = sorted((ROOT / "tests" / "workflow" / "plugins").glob("toy_*.py"))
RESULTS = "results/toy"
SOURCES = {
    "toy": {
        "title": "Drawn numbers",
        "licence": "none",
        "citation": "none",
        "reader": "columns-csv",
        "files": [
            {"name": "toy.csv", "role": "table", "kind": "drawn", "options": {"rows": 160}},
        ],
    }
}
STUDY: dict[str, Any] = {
    "title": "Toy",
    "dataset": "toy",
    "teacher": "first",
    "student": "second",
    "network": {"hidden": [8, 4]},
    "training": {"optimizer": "sign", "learning_rate": 0.01, "batch_size": 32, "epochs": 5},
    "distillation": {"weights": [0.5]},
    "degradation": {"kind": "noise", "levels": [0, 1], "symbol": "s"},
    "seeds": 2,
    "information": {
        "estimators": ["correlation", "ksg"],
        "options": {"correlation": {"most": 0.9}},
        "runs": 2,
        "calibration": {"repeats": 2, "truths": [1], "shares": [0.5]},
    },
}


def write(folder: Path) -> None:
    """The study alone over ``config.yaml``, with its plugins beside it."""
    base = raw_config()
    content = {
        "results": RESULTS,
        "compute": {"device": "cpu", "threads": 1},
        "plugins": [path.name for path in PLUGINS],
        "sources": str(folder / "sources.yaml"),
        "theory": {"dimension": 10, "kappas": [2], "replications": 2},
        "decision_error": None,
        "datasets": dict.fromkeys(base["datasets"])
        | {"toy": {"kind": "columns", "table": "toy", "test": 80}},
        "studies": dict.fromkeys(base["studies"]) | {"toy": STUDY},
    }
    for path in PLUGINS:
        shutil.copy(path, folder)
    for name, part in (("tiny.yaml", content), ("sources.yaml", SOURCES)):
        (folder / name).write_text(yaml.safe_dump(part, sort_keys=False), encoding="utf-8")


def test_what_plugins_add_goes_through_every_stage(tmp_path):
    write(tmp_path)
    snakemake(tmp_path, "audit")
    results = tmp_path / RESULTS
    with h5py.File(results / "datasets" / "toy.h5") as file:
        assert sorted(file["modalities"]) == ["first", "second"]
    found = json.loads((results / "information" / "toy" / "correlation.json").read_text())
    values = [estimate["value"] for estimate in found["estimates"]]
    assert values and all(0 <= value <= 0.84 for value in values)
    record = json.loads((results / "information" / "toy" / "correlation.record.json").read_text())
    assert record["code"]["named"] == ["toy_estimator.py"]
    sweep = json.loads((results / "tables" / "sweep-toy.json").read_text())
    assert sweep["cells"]

    # An edit makes stale what was made by that plugin, and nothing before it.
    estimator = tmp_path / "toy_estimator.py"
    estimator.write_text(estimator.read_text() + "\nADDED = 1\n")
    jobs = planned(snakemake(tmp_path, "toy", "-n").stdout)
    assert (jobs["estimate"], jobs["calibrate"]) == (1, 1)
    assert not {"train", "prepare_dataset"} & set(jobs)
    optimizer = tmp_path / "toy_optimizer.py"
    optimizer.write_text(optimizer.read_text() + "\nADDED = 1\n")
    jobs = planned(snakemake(tmp_path, "toy", "-n").stdout)
    assert jobs["train"] == 3
    assert "prepare_dataset" not in jobs
