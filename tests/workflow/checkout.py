"""A checkout of one's own to edit, and Snakemake run from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness import environment
from support import ROOT

PARTS = ("Snakefile", "config.yaml", "workflow", "src", "paper", "presets", "envs", "docs", "slurm")


def copy_checkout(folder: Path) -> Path:
    """Copy what a run needs; edits there touch nothing else."""
    folder.mkdir(parents=True)
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    return folder


def run_from(checkout: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake from a checkout in ``folder``, whose ``tiny.yaml`` is the overlay."""
    line = [
        *(sys.executable, "-m", "snakemake", *arguments, "--cores", "2"),
        *("--directory", str(folder), "--snakefile", str(checkout / "Snakefile")),
        *("--configfile", str(folder / "tiny.yaml")),
    ]
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=str(checkout / "src")),
        timeout=1800,
        check=False,
    )
