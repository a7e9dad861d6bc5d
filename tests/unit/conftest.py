"""Fixtures of the tests that look at a small finished run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from small_tree import make_tree


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Callable[..., Path]:
    """Make a small run once, or one whose networks were trained; nobody may change it."""
    there: dict[bool, Path] = {}

    def made(trained: bool = False) -> Path:
        if trained not in there:
            there[trained] = tmp_path_factory.mktemp("trained" if trained else "made")
            with chdir(there[trained]):
                make_tree(trained=trained)
        return there[trained]

    return made


@pytest.fixture
def own_copy(tmp_path, monkeypatch) -> Callable[[Path], Path]:
    """Copy a run to where it may be changed, and work there."""

    def copy(made: Path) -> Path:
        shutil.copytree(made, tmp_path / "run")
        monkeypatch.chdir(tmp_path / "run")
        return tmp_path / "run"

    return copy
