from __future__ import annotations

from pathlib import Path

import pytest

from harness import snakemake, write_config


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A folder in which the tiny configuration has run to its end; tests must not change it."""
    folder = tmp_path_factory.mktemp("finished")
    write_config(folder)
    snakemake(folder)
    return folder
