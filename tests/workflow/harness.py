"""The real DAG, small: a configuration of seconds, and Snakemake as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from support import ROOT, overlay

# Over the demo: fewer epochs, runs and levels, so that everything runs in seconds.
TINY: dict[str, Any] = {
    "results": "results/tiny",
    "decision_error": None,  # test_decision_error_target.py has it
    "datasets": {"synthetic": {"train": 200, "test": 100, "features": 5, "sigma_12": [0, 0.7]}},
    "studies": {
        "synthetic": {
            "together": False,  # every stage has jobs of its own in one study
            "training": {"epochs": 3},
            "degradation": {"levels": [0, 0.7]},
            "information": {
                "limit": 60,
                "options": {"latent-light": {"epochs": 2}, "mine": {"epochs": 2}},
            },
        },
        "mnistm-a20": {
            "network": {"hidden": [32, 16]},
            "training": {"epochs": 2},
            "distillation": {"temperatures": [1, 3]},
            "degradation": {"levels": [0, 2.5]},
            "information": {
                "limit": 60,
                "bounds": [],  # of the other image study
                "options": {"latent-light": {"epochs": 2}, "mine": {"epochs": 2}},
            },
        },
        "mnistm-a18": {
            "network": {"hidden": [32, 16]},
            "training": {"epochs": 2},
            "degradation": {"levels": [0, 2.5]},
            "information": {
                "limit": 60,
                "options": {"latent-light": {"epochs": 2}},
            },
        },
        "mosei-vision": {
            "training": {"epochs": 2},
            "degradation": {"levels": [0, 0.8]},
            "seeds": 2,
            "information": {
                "limit": 60,
                "options": {"latent-light": {"epochs": 2}, "mine": {"epochs": 2}},
            },
        },
        "brca": {
            "selection": {"features": 10},
            "training": {"epochs": 2},
            "degradation": {"levels": [0, 0.8]},
            "seeds": 2,
            "fusion": {"training": {"epochs": 2}},
            "information": {
                "limit": 60,
                "bounds": [],
                "options": {"latent-light": {"epochs": 2}, "mine": {"epochs": 2}},
            },
        },
        # The same again with another modality.
        "mosei-audio": None,
        "brca-rppa": None,
    },
}


def write_config(folder: Path, change: dict[str, Any] | None = None) -> Path:
    """Write demo + TINY + ``change`` as one overlay into ``folder``."""
    demo = yaml.safe_load((ROOT / "presets" / "demo.yaml").read_text(encoding="utf-8"))
    path = folder / "tiny.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    content = overlay(overlay(demo, TINY), change or {})
    # In its own order, which files that hold their settings keep.
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def command(folder: Path, *arguments: str) -> list[str]:
    """Snakemake's command line for ``folder``, whose ``tiny.yaml`` is the overlay."""
    # Targets first: Snakemake takes every word after --configfile for a file.
    return [
        *(sys.executable, "-m", "snakemake", *arguments, "--cores", "2"),
        *("--directory", str(folder), "--snakefile", str(ROOT / "Snakefile")),
        *("--configfile", str(folder / "tiny.yaml")),
    ]


def environment(**more: str) -> dict[str, str]:
    """The environment of a user without a mirror."""
    kept = {key: value for key, value in os.environ.items() if key != "CCH_MIRROR"}
    return kept | more


def snakemake(
    folder: Path, *arguments: str, fails: bool = False, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in ``folder``; it must succeed, or fail where ``fails``."""
    done = subprocess.run(
        command(folder, *arguments),
        capture_output=True,
        text=True,
        env=environment(**variables),
        timeout=3000,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done


RESULTS = "results/tiny"


def documents(folder: Path, results: str = RESULTS) -> dict[str, bytes]:
    """The JSON documents of all tables and figures by name; records are not among them."""
    paths = sorted((folder / results / "tables").glob("*.json"))
    return {path.name: path.read_bytes() for path in paths if ".record." not in path.name}
