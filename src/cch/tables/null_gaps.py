"""The table of null gaps: gaps of independent samples beside the printed ones.

It belongs to no study: its samples are generated and need no patient's data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cch.base.files import sha256_file
from cch.config.specs import NullTableSpec
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

ROWS = {
    "teacher-student": "I(teacher; student), truth 0",
    "student-label": "I(student; label), truth 0",
    "gap": "gap, truth 0",
    "gap-sd": "sd of one gap",
}


def level_key(level: str) -> str:
    """Return the key of the row of a printed level, such as ``printed-20`` for ``20%``."""
    return f"printed-{level.rstrip('%')}"


def null_document(files: Mapping[str, str], spec: NullTableSpec) -> Document:
    """Return the table of null gaps.

    Args:
        files: what ``write_null`` wrote, by estimator.
        spec: sizes and printed gaps.
    """
    entry, number = spec.entry, _number(spec)
    cells = [cell for name, path in files.items() for cell in _estimated(name, path, spec)]
    cells += _printed(spec)
    rows = ROWS | {
        level_key(level): f"at least the printed gap, noise {level}" for level in spec.gaps
    }
    columns = {name: name for name in files} | {"paper": f"printed gap, Table {number}"}
    return Document(
        format=FORMAT,
        id=f"null-{spec.name}",
        kind="null",
        number=f"{entry.title} null",
        title=f"Gaps of independent representations at {entry.title}'s sizes: "
        f"n = {sum(entry.class_counts)}, {entry.columns} columns, classes of "
        f"{', '.join(map(str, entry.class_counts))} rows",
        caption="Estimates in nats on independent samples. The printed gaps are of "
        f"Table {number}. Beside each is the share of gaps of independent samples that are at "
        "least as far from zero.",
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


def _number(spec: NullTableSpec) -> str:
    """The number of the printed table."""
    return spec.entry.table.removeprefix("table").lstrip("0")


def _query(spec: NullTableSpec) -> dict[str, str]:
    """The query that the cells state."""
    return {"kind": "null-gaps", "table": spec.entry.table, "column": spec.entry.column}


def _printed(spec: NullTableSpec) -> Iterator[Cell]:
    """The printed gaps."""
    text = f"printed in Table {_number(spec)}, mean over {spec.entry.runs} runs"
    for level, gap in spec.gaps.items():
        place = f"null-{spec.name}/{level_key(level)}/paper"
        yield generated_cell(place, _query(spec), gap, text)


def _estimated(estimator: str, path: str, spec: NullTableSpec) -> Iterator[Cell]:
    """The cells of one estimator."""
    values = json.loads(Path(path).read_text(encoding="utf-8"))["values"]
    inputs, query = (InputFile(path=path, sha256=sha256_file(path)),), _query(spec)
    for row in ("teacher-student", "student-label", "gap"):
        found = np.array(values[row])
        yield generated_cell(
            f"null-{spec.name}/{row}/{estimator}",
            query,
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
        f"null-{spec.name}/gap-sd/{estimator}",
        query,
        sd,
        "standard deviation over independent samples",
        unit="nats",
        se=sd / math.sqrt(2 * (len(gaps) - 1)),
        members=members,
        inputs=inputs,
    )
    for level, printed in spec.gaps.items():
        beyond = int((np.abs(gaps) >= abs(printed)).sum())
        yield generated_cell(
            f"null-{spec.name}/{level_key(level)}/{estimator}",
            query,
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
