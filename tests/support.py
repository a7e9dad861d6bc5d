"""Shared by tests: the checkout, its configurations and overlays, and real raw files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cch.config import overlay, read
from cch.tables.documents import FORMAT
from server import Server

__all__ = [
    "MIRROR",
    "ROOT",
    "mirror",
    "overlay",
    "raw_config",
    "served",
    "stored_cell",
    "stored_table",
]

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


def served(server: Server, entry: dict[str, Any]) -> str:
    """Give a mirrored file under its public path and ask the server for it; return the path."""
    (address,) = entry["addresses"]
    path = urlsplit(address).path
    server.give(path, mirror(entry["mirror"]).read_bytes())
    entry["addresses"] = [server.url + path]
    return path


def raw_config(preset: str | None = None) -> dict[str, Any]:
    """``config.yaml``, or a preset over it; the caller's own to change."""
    return read([] if preset is None else [ROOT / "presets" / f"{preset}.yaml"], ROOT)


def stored_cell(identity: str, **parts: Any) -> dict[str, Any]:
    """A cell as it is stored, with everything that is not given left plain."""
    plain = {
        "id": identity, "value": None, "text": "–", "unit": None, "n": None, "se": None,
        "aggregation": "mean", "query": {"kind": "metric"}, "members": [], "inputs": [],
        "paper": None, "verdict": "not in the paper", "flags": [],
    }  # fmt: skip
    return plain | parts


def stored_table(name: str, cells: dict[str, dict[str, Any]], **parts: Any) -> dict[str, Any]:
    """A table document as it is stored, with the rows and columns of its cells."""
    rows = dict.fromkeys(key.partition("/")[0] for key in cells)
    columns = dict.fromkeys(key.partition("/")[2] for key in cells)
    plain = {
        "format": FORMAT, "id": name, "kind": "table", "number": "", "title": "T", "caption": "",
        "study": None, "row_label": "", "deviations": [],
        "columns": [{"key": key, "label": key, "unit": None, "style": None} for key in columns],
        "rows": [{"key": key, "label": key} for key in rows],
        "panels": [], "cells": cells, "notes": [],
    }  # fmt: skip
    return plain | parts
