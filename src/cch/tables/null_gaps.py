"""The table of null gaps: gaps of independent samples beside the printed ones.

It belongs to no study: its samples are generated and need no patient's data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.files import sha256_file
from cch.config.specs import NullTableSpec
from cch.tables.render import FORMAT, format_value

ROWS = {
    "teacher-student": "I(teacher; student), truth 0",
    "student-label": "I(student; label), truth 0",
    "gap": "gap, truth 0",
    "gap-sd": "sd of one gap",
}


def level_key(level: str) -> str:
    """Return the key of the row of a printed level, such as ``printed-20`` for ``20%``."""
    return f"printed-{level.rstrip('%')}"


def null_document(files: Mapping[str, str], spec: NullTableSpec) -> dict[str, Any]:
    """Return the table as a JSON document (see ``cch.tables.cells``).

    Args:
        files: what ``write_null`` wrote, by estimator.
        spec: sizes and printed gaps.
    """
    entry = spec.entry
    number = entry.table.removeprefix("table").lstrip("0")
    cells: dict[str, Any] = {}
    for estimator, path in files.items():
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        for row, cell in _estimated(estimator, content["values"], path, spec).items():
            cells[f"{row}/{estimator}"] = cell
    printed = {level_key(level): level for level in spec.gaps}
    for row, level in printed.items():
        text = f"printed in Table {number}, mean over {entry.runs} runs"
        cells[f"{row}/paper"] = _cell(spec, f"{row}/paper", spec.gaps[level], None, None, text)
    rows = ROWS | {
        row: f"at least the printed gap, noise {level}" for row, level in printed.items()
    }
    columns = [{"key": name, "label": name, "unit": None, "style": None} for name in files]
    label = f"printed gap, Table {number}"
    columns.append({"key": "paper", "label": label, "unit": None, "style": None})
    return {
        "format": FORMAT,
        "id": f"null-{spec.name}",
        "kind": "null",
        "number": f"{entry.title} null",
        "title": f"Gaps of independent representations at {entry.title}'s sizes: "
        f"n = {sum(entry.class_counts)}, {entry.columns} columns, classes of "
        f"{', '.join(map(str, entry.class_counts))} rows",
        "caption": "Estimates in nats on independent samples. The printed gaps are of "
        f"Table {number}. Beside each is the share of gaps of independent samples that are at "
        "least as far from zero.",
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
    estimator: str, values: Mapping[str, Sequence[float]], path: str, spec: NullTableSpec
) -> dict[str, Any]:
    """The cells of one estimator by row."""
    cells = {}
    for row in ("teacher-student", "student-label", "gap"):
        found = np.array(values[row])
        se = float(found.std(ddof=1) / math.sqrt(len(found)))
        text = "mean over independent samples"
        cells[row] = _cell(spec, f"{row}/{estimator}", float(found.mean()), se, found, text, path)
    gaps = np.array(values["gap"])
    sd = float(gaps.std(ddof=1))
    text = "standard deviation over independent samples"
    se = sd / math.sqrt(2 * (len(gaps) - 1))
    cells["gap-sd"] = _cell(spec, f"gap-sd/{estimator}", sd, se, gaps, text, path)
    for level, printed in spec.gaps.items():
        row = level_key(level)
        beyond = int((np.abs(gaps) >= abs(printed)).sum())
        share = (1 + beyond) / (1 + len(gaps))
        text = "share of gaps of independent samples at least as large, the printed one counted"
        cell = _cell(spec, f"{row}/{estimator}", share, None, gaps, text, path)
        cells[row] = cell | {"unit": None}
    return cells


def _cell(
    spec: NullTableSpec,
    place: str,
    value: float,
    se: float | None,
    values: Sequence[float] | np.ndarray | None,
    aggregation: str,
    path: str | None = None,
) -> dict[str, Any]:
    kept = [] if values is None else [float(one) for one in values]
    return {
        "id": f"null-{spec.name}/{place}",
        "value": value,
        "text": format_value(value, se),
        "unit": "nats" if path else None,
        "n": len(kept) or None,
        "se": se,
        "aggregation": aggregation,
        "query": {"kind": "null-gaps", "table": spec.entry.table, "column": spec.entry.column},
        "members": [
            {"kind": "estimate", "id": f"sample {i}", "file": path, "seed": i, "value": one}
            for i, one in enumerate(kept)
        ],
        "inputs": [{"path": path, "sha256": sha256_file(path)}] if path else [],
        "paper": None,
        "verdict": "not in the paper",
        "flags": [],
    }
