"""The demo as one command: run it, resume it after a kill, say where its results are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import Timeout

from cch import CHECKOUT, LIBRARY
from cch.base.errors import CchError
from cch.base.files import process_lock
from cch.workflow.events import TERMINAL

RESULTS = "results/demo"
LOG = f"{RESULTS}/logs/demo.log"


def run_demo(cores: int, directory: Path) -> int:
    """Run the demo with Snakemake in ``directory``; return the exit status.

    The output of Snakemake and the jobs goes to a log; the terminal has a progress bar and one
    line for each failed job. A killed Snakemake leaves its folder locked. ``.lock`` tells whether
    another demo runs, ``.unfinished`` whether the last one was killed: only then is Snakemake's
    lock removed, and the work resumes.

    Raises:
        CchError: there is no checkout, or another demo runs in this folder.
    """
    if not (CHECKOUT / "Snakefile").is_file():
        raise CchError(
            CHECKOUT, "holds no Snakefile", "run the demo from a checkout of the project"
        )
    (directory / LOG).parent.mkdir(parents=True, exist_ok=True)
    try:
        with process_lock(directory / RESULTS / ".lock").acquire(timeout=0):
            status = _run_or_resume(cores, directory)
    except Timeout:
        raise CchError(directory.resolve(), "another demo runs here", "wait for it") from None
    print(summary() if status == 0 else f"The demo failed; see {LOG}.")
    return status


def _run_or_resume(cores: int, directory: Path) -> int:
    """Run Snakemake; first unlock its folder if the last demo was killed."""
    command = [
        *(sys.executable, "-m", "snakemake", "--cores", str(cores)),
        *("--snakefile", str(CHECKOUT / "Snakefile"), "--directory", str(directory)),
        *("--configfile", str(CHECKOUT / "presets" / "demo.yaml")),
    ]
    print(f"cch: planning the demo; all output goes to {LOG}", flush=True)
    unfinished = directory / RESULTS / ".unfinished"
    if unfinished.exists():
        _run([*command, "--unlock"], directory)
    unfinished.touch()
    status = _run([*command, "--rerun-incomplete"], directory)
    if status >= 0:  # not killed: Snakemake has released its own lock
        unfinished.unlink()
    return status


def _run(command: Sequence[str], directory: Path) -> int:
    """Run Snakemake with its output in the log and its progress on the standard error."""
    terminal = os.dup(2)
    environment = {
        **os.environ,
        "PYTHONPATH": str(LIBRARY),
        TERMINAL: str(terminal),
    }
    try:
        with open(directory / LOG, "a") as log:
            return subprocess.run(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                pass_fds=(terminal,),
                check=False,
            ).returncode
    finally:
        os.close(terminal)


def summary() -> str:
    """Return where the demo's results are and what to do with them."""
    return "\n".join(
        [
            "",
            "The demo is done. Its data are scikit-learn's digits and made up, not the paper's.",
            f"  tables       {RESULTS}/tables/    (JSON, CSV, Markdown, LaTeX)",
            f"  figures      {RESULTS}/figures/   (PDF, PNG)",
            f"  report       {RESULTS}/report/index.html",
            f"  comparison   {RESULTS}/comparison.md",
            f"  ledger       {RESULTS}/ledger.md",
            f"  log          {LOG}",
            "From one number back to its raw files:",
            f"  .venv/bin/cch explain table13/0/difference --results {RESULTS}",
        ]
    )
