"""The table behind the figure of LIHC's null: gaps of independent samples beside printed ones.

It belongs to no study: its samples are generated, so it needs no patient's data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cch.base.files import sha256_file
from cch.information.null_gaps import LihcSetting
from cch.tables.documents import (
    FORMAT,
    Cell,
    Column,
    Document,
    InputFile,
    Member,
    Row,
    generated_cell,
)

NAME = "null-lihc"
QUERY = {"kind": "lihc-null"}
ROWS = {
    "teacher-student": "I(teacher; student), truth 0",
    "student-label": "I(student; label), truth 0",
    "gap": "gap, truth 0",
    "gap-sd": "sd of one gap",
}


def null_document(files: Mapping[str, str], setting: LihcSetting) -> Document:
    """Return the table of the null.

    Args:
        files: what ``write_null`` wrote, by estimator.
        setting: LIHC's sizes and printed gaps.
    """
    cells = [cell for name, path in files.items() for cell in _estimated(name, path, setting)]
    cells += _printed(setting)
    rows = ROWS | {
        _row(level): f"at least the printed gap, noise {level}" for level in setting.gaps
    }
    columns = {name: name for name in files} | {"paper": "printed gap"}
    return Document(
        format=FORMAT,
        id=NAME,
        kind="null",
        number="LIHC null",
        title=f"Gaps of independent representations at LIHC's sizes: n = {setting.rows}, "
        f"{setting.columns} columns, classes of {', '.join(map(str, setting.class_counts))} rows",
        caption="Estimates in nats on independent samples. The printed gaps are of Table 7, "
        "which names no unit. Beside each stands the share of gaps of independent samples at "
        f"least as far from zero. The test rows alone, {setting.test_rows}, are too few for any "
        "estimate.",
        study=None,
        row_label="",
        deviations=(),
        columns=tuple(
            Column(key=key, label=label, unit=None, style=None) for key, label in columns.items()
        ),
        rows=tuple(Row(key=key, label=label) for key, label in rows.items()),
        panels=(),
        cells={cell.key: cell for cell in cells},
        notes=(),
    )


def _row(level: str) -> str:
    """The key of the row of a printed gap."""
    return f"printed-{level.rstrip('%')}"


def _printed(setting: LihcSetting) -> Iterator[Cell]:
    """The printed gaps."""
    text = f"printed in Table 7, mean over {setting.runs} runs"
    for level, gap in setting.gaps.items():
        yield generated_cell(f"{NAME}/{_row(level)}/paper", QUERY, gap, text)


def _estimated(estimator: str, path: str, setting: LihcSetting) -> Iterator[Cell]:
    """The cells of one estimator."""
    values = json.loads(Path(path).read_text(encoding="utf-8"))["values"]
    inputs = (InputFile(path=path, sha256=sha256_file(path)),)
    for row in ("teacher-student", "student-label", "gap"):
        found = np.array(values[row])
        yield generated_cell(
            f"{NAME}/{row}/{estimator}",
            QUERY,
            float(found.mean()),
            "mean over independent samples",
            unit="nats",
            se=float(found.std(ddof=1) / math.sqrt(len(found))),
            members=_members(found, path),
            inputs=inputs,
        )
    gaps = np.array(values["gap"])
    members, sd = _members(gaps, path), float(gaps.std(ddof=1))
    yield generated_cell(
        f"{NAME}/gap-sd/{estimator}",
        QUERY,
        sd,
        "standard deviation over independent samples",
        unit="nats",
        se=sd / math.sqrt(2 * (len(gaps) - 1)),
        members=members,
        inputs=inputs,
    )
    for level, printed in setting.gaps.items():
        beyond = int((np.abs(gaps) >= abs(printed)).sum())
        yield generated_cell(
            f"{NAME}/{_row(level)}/{estimator}",
            QUERY,
            (1 + beyond) / (1 + len(gaps)),
            "share of gaps of independent samples at least as large, the printed one counted",
            members=members,
            inputs=inputs,
        )


def _members(values: Sequence[float] | np.ndarray, path: str) -> tuple[Member, ...]:
    return tuple(
        Member(kind="estimate", id=f"sample {i}", file=path, seed=i, value=float(value))
        for i, value in enumerate(values)
    )
