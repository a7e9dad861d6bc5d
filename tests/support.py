"""Shared by tests: the checkout, its configurations and overlays, and real raw files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cch.config import overlay, read

__all__ = ["MIRROR", "ROOT", "mirror", "overlay", "raw_config"]

ROOT = Path(__file__).resolve().parents[1]
# Read here because a fixture takes the variable out of the environment of every test.
MIRROR = os.environ.get("CCH_MIRROR", "")


def mirror(*parts: str) -> Path:
    """Return a real file or folder of the mirror; skip the test where there is none.

    The only way for a test to read anything outside the checkout and its temporary folder.
    """
    if not MIRROR:
        pytest.skip(f"needs {'/'.join(parts)}: set CCH_MIRROR to a folder that has it")
    path = Path(MIRROR, *parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(parts)}, which the folder CCH_MIRROR does not have")
    return path


def raw_config(preset: str | None = None) -> dict[str, Any]:
    """``config.yaml``, or a preset over it; the caller's own to change."""
    return read([] if preset is None else [ROOT / "presets" / f"{preset}.yaml"], ROOT)
