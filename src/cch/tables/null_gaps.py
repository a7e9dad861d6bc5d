"""The table behind the figure of LIHC's null: gaps where there is none, beside the printed ones.

It belongs to no study: its samples are generated, so it can be had before any patient's data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.files import sha256_file
from cch.information.null_gaps import LihcSetting
from cch.tables.render import FORMAT, format_value

NAME = "null-lihc"
ROWS = {
    "teacher-student": "I(teacher; student), truth 0",
    "student-label": "I(student; label), truth 0",
    "gap": "gap, truth 0",
    "gap-sd": "sd of one gap",
}


def null_document(files: Mapping[str, str], setting: LihcSetting) -> dict[str, Any]:
    """Return the table as a JSON document (see ``cch.tables.cells``).

    Args:
        files: what ``write_null`` wrote, by estimator.
        setting: LIHC's sizes and printed gaps.
    """
    cells: dict[str, Any] = {}
    for estimator, path in files.items():
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        for row, cell in _estimated(estimator, content["values"], path, setting).items():
            cells[f"{row}/{estimator}"] = cell
    printed = {f"printed-{level.rstrip('%')}": level for level in setting.gaps}
    for row, level in printed.items():
        gap = setting.gaps[level]
        cells[f"{row}/paper"] = _cell(
            f"{row}/paper", gap, None, None, f"printed in Table 7, mean over {setting.runs} runs"
        )
    rows = ROWS | {
        row: f"at least the printed gap, noise {level}" for row, level in printed.items()
    }
    columns = [{"key": name, "label": name, "unit": None, "style": None} for name in files]
    columns.append({"key": "paper", "label": "printed gap", "unit": None, "style": None})
    return {
        "format": FORMAT,
        "id": NAME,
        "kind": "null",
        "number": "LIHC null",
        "title": f"Gaps of independent representations at LIHC's sizes: n = {setting.rows}, "
        f"{setting.columns} columns, classes of {', '.join(map(str, setting.class_counts))} rows",
        "caption": "Estimates in nats on independent samples. The printed gaps are of Table 7, "
        "which names no unit. Beside each stands the share of gaps of independent samples at "
        f"least as far from zero. The test rows alone, {setting.test_rows}, are too few for any "
        "estimate.",
        "study": None,
        "row_label": "",
        "deviations": [],
        "columns": columns,
        "rows": [{"key": key, "label": label} for key, label in rows.items()],
        "panels": [],
        "cells": cells,
        "notes": [],
    }


def _estimated(
    estimator: str, values: Mapping[str, Sequence[float]], path: str, setting: LihcSetting
) -> dict[str, Any]:
    """The cells of one estimator by row."""
    cells = {}
    for row in ("teacher-student", "student-label", "gap"):
        found = np.array(values[row])
        se = float(found.std(ddof=1) / math.sqrt(len(found)))
        text = "mean over independent samples"
        cells[row] = _cell(f"{row}/{estimator}", float(found.mean()), se, found, text, path)
    gaps = np.array(values["gap"])
    sd = float(gaps.std(ddof=1))
    text = "standard deviation over independent samples"
    cells["gap-sd"] = _cell(
        f"gap-sd/{estimator}", sd, sd / math.sqrt(2 * (len(gaps) - 1)), gaps, text, path
    )
    for level, printed in setting.gaps.items():
        row = f"printed-{level.rstrip('%')}"
        beyond = int((np.abs(gaps) >= abs(printed)).sum())
        share = (1 + beyond) / (1 + len(gaps))
        text = "share of gaps of independent samples at least as large, the printed one counted"
        cells[row] = _cell(f"{row}/{estimator}", share, None, gaps, text, path) | {"unit": None}
    return cells


def _cell(
    place: str,
    value: float,
    se: float | None,
    values: Sequence[float] | np.ndarray | None,
    aggregation: str,
    path: str | None = None,
) -> dict[str, Any]:
    kept = [] if values is None else [float(one) for one in values]
    return {
        "id": f"{NAME}/{place}",
        "value": value,
        "text": format_value(value, se),
        "unit": "nats" if path else None,
        "n": len(kept) or None,
        "se": se,
        "aggregation": aggregation,
        "query": {"kind": "lihc-null"},
        "members": [
            {"kind": "estimate", "id": f"sample {i}", "file": path, "seed": i, "value": one}
            for i, one in enumerate(kept)
        ],
        "inputs": [{"path": path, "sha256": sha256_file(path)}] if path else [],
        "paper": None,
        "verdict": "not in the paper",
        "flags": [],
    }
