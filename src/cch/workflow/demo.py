"""The demo as one command: run it, go on with it after a kill, say where its results are."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cch import CHECKOUT, LIBRARY
from cch.base.errors import CchError
from cch.workflow.events import TERMINAL

RESULTS = "results/demo"
LOG = f"{RESULTS}/demo.log"


def run_demo(cores: int, directory: Path) -> int:
    """Run the demo with Snakemake in ``directory``; return the exit status.

    What Snakemake and the jobs print goes to a log; the terminal has a progress bar and, for each
    job that failed, a line. A killed Snakemake leaves its folder locked. A lock and a mark of our
    own tell whether another demo runs, and whether the last one was killed: only then is
    Snakemake's lock, which is that demo's, taken away, and the work goes on where it was.

    Raises:
        CchError: the checkout is not there, or another demo runs in this folder.
    """
    if not (CHECKOUT / "Snakefile").is_file():
        raise CchError(
            CHECKOUT, "holds no Snakefile", "run the demo from a checkout of the project"
        )
    (directory / RESULTS).mkdir(parents=True, exist_ok=True)
    with open(directory / RESULTS / ".lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CchError(directory.resolve(), "another demo runs here", "wait for it") from None
        command = [
            *(sys.executable, "-m", "snakemake", "--cores", str(cores)),
            *("--snakefile", str(CHECKOUT / "Snakefile"), "--directory", str(directory)),
            *("--configfile", str(CHECKOUT / "presets" / "demo.yaml")),
        ]
        print(f"cch: planning the demo; everything that it prints goes to {LOG}", flush=True)
        if lock.tell():
            _run([*command, "--unlock"], directory)
        lock.write("a demo runs, or was killed\n")
        lock.flush()
        status = _run([*command, "--rerun-incomplete"], directory)
        if status >= 0:  # not killed: Snakemake has taken its own lock away
            lock.truncate(0)
    print(summary() if status == 0 else f"The demo failed; {LOG} has all that it printed.")
    return status


def _run(command: Sequence[str], directory: Path) -> int:
    """Run Snakemake with its output in the log and its progress on our standard error."""
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
    """Where the demo's results are and what to do with them."""
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
