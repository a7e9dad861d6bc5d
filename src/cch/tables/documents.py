"""Table documents on disk, and which deviations of a table can reach a cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cch.base.errors import CchError


def read_document(path: str | Path) -> dict[str, Any]:
    """Read a table's JSON document.

    Raises:
        CchError: it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CchError(path, f"is no JSON ({error})", "delete it and build it again") from None


# Which parts of the configuration cannot reach a number of a kind. Lists of what is run besides
# (levels, temperatures, weights) reach none: each run is trained as if it were alone.
_GRIDS = ("distillation.temperatures", "distillation.weights", "degradation.levels")
_MEASURED = ("information", "main estimator")
_ESTIMATED = ("distillation", "seeds", "metric")


def relevant_deviations(cell: dict[str, Any], deviations: list[str]) -> list[str]:
    """The deviations of a table, less those that cannot reach this cell."""
    return [deviation for deviation in deviations if _reaches(cell, deviation)]


def _reaches(cell: dict[str, Any], deviation: str) -> bool:
    query = cell.get("query", {})
    kind, level = query.get("kind"), query.get("level")
    path = deviation.partition(": ")[0].replace(" ", "_") if " (paper: " in deviation else ""
    if not path:  # stand-in data, or a study of its own
        return kind != "setting" or query["path"].startswith("dataset.")
    path = {"main_estimator": "main estimator"}.get(path, path)
    if kind == "setting":
        return path == query["path"]
    if kind in ("count", "outputs"):
        return path.startswith(("dataset", "split"))
    out: tuple[str, ...] = () if cell.get("value") is None else _GRIDS
    if kind in ("metric", "difference", "effect"):
        out += _MEASURED
        if query.get("role") == "baseline":
            out += ("distillation", "degradation")
        elif query.get("role") == "teacher":
            out += ("distillation",) if level else ("distillation", "degradation")
    elif kind in ("information", "gap", "criterion", "calibration"):
        out += _ESTIMATED
    return not any(path == name or path.startswith(f"{name}.") for name in out)
