"""What workflow tests of several folders share: one finished run."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from harness import snakemake, write_config


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Path:
    """A folder in which the tiny configuration has run to its end; tests must not change it.

    Processes of one test run (pytest-xdist's workers) share it: the first that needs it makes it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "finished"
    done = folder / "done"
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            write_config(folder)
            snakemake(folder)
            done.touch()
    return folder
