"""The demo as one command: run it, go on with it after a kill, say where its results are."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from cch.errors import CchError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "results/demo"


def run_demo(cores: int, directory: Path) -> int:
    """Run the demo with Snakemake in ``directory``; return the exit status.

    A killed Snakemake leaves its folder locked. A lock and a mark of our own tell whether another
    demo runs, and whether the last one was killed: only then is Snakemake's lock, which is that
    demo's, taken away, and the work goes on where it was.

    Raises:
        CchError: the checkout is not there, or another demo runs in this folder.
    """
    if not (ROOT / "Snakefile").is_file():
        raise CchError(ROOT, "holds no Snakefile", "run the demo from a checkout of the project")
    (directory / RESULTS).mkdir(parents=True, exist_ok=True)
    with open(directory / RESULTS / ".lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CchError(directory.resolve(), "another demo runs here", "wait for it") from None
        command = [
            *(sys.executable, "-m", "snakemake", "--cores", str(cores)),
            *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(directory)),
            *("--configfile", str(ROOT / "presets" / "demo.yaml")),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        if lock.tell():
            subprocess.run([*command, "--unlock", "--quiet"], env=environment, check=True)
        lock.write("a demo runs, or was killed\n")
        lock.flush()
        options = ["--rerun-incomplete", "--quiet", "rules"]
        status = subprocess.run([*command, *options], env=environment, check=False).returncode
        if status >= 0:  # not killed: Snakemake has taken its own lock away
            lock.truncate(0)
    if status == 0:
        print(summary(directory))
    return status


def summary(directory: Path) -> str:
    """Where the demo's results are and what to do with them."""
    results = directory / RESULTS
    return "\n".join(
        [
            "",
            "The demo is done. Its data are scikit-learn's digits and made up, not the paper's.",
            f"  tables       {results}/tables/    (JSON, CSV, Markdown, LaTeX)",
            f"  figures      {results}/figures/   (PDF, PNG)",
            f"  report       {results}/report/index.html",
            f"  comparison   {results}/comparison.md",
            f"  ledger       {results}/ledger.md",
            "From one number back to its raw files:",
            f"  .venv/bin/cch explain table13/0/difference --results {results}",
        ]
    )
