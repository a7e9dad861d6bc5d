"""Render the ledger as a Markdown page and as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cch.tables.render import escaped, markdown_table

Ledger = Mapping[str, Any]


def shown_counts(ledger: Ledger) -> tuple[list[str], list[list[str]]]:
    """Return heading and rows of the counts per table: cells, flagged cells, flags, verdicts.

    Verdicts without cells are left out.
    """
    verdicts = [name for name, count in ledger["counts"].items() if count]
    head = ["", "cells", "flagged", "flags", *verdicts]
    lines = [
        [
            table["number"],
            *(str(n) for n in (table["cells"], table["flagged"], len(table["flags"]))),
            *(str(table["counts"][name]) for name in verdicts),
        ]
        for table in ledger["tables"]
    ]
    flagged = sum(table["flagged"] for table in ledger["tables"])
    total = [str(len(ledger["cells"])), str(flagged), str(len(ledger["flags"]))]
    return head, [*lines, ["all", *total, *(str(ledger["counts"][name]) for name in verdicts)]]


def only(ledger: Ledger, table: str) -> dict[str, Any]:
    """Return the ledger of one table: its cells, and the flags that concern it."""
    flags = [flag for flag in ledger["flags"] if table in flag["tables"]]
    tables = [entry for entry in ledger["tables"] if entry["id"] == table]
    return {
        **ledger,
        "tables": tables,
        "cells": [cell for cell in ledger["cells"] if cell["table"] == table],
        "flags": flags,
        "counts": tables[0]["counts"] if tables else ledger["counts"],
        "flag_counts": {
            kind: sum(flag["kind"] == kind for flag in flags) for kind in ledger["flag_counts"]
        },
    }


def to_markdown(ledger: Ledger) -> str:
    """Return the page: meaning of the verdicts, counts, flags with their arithmetic, cells."""
    head, lines = shown_counts(ledger)
    parts = [
        "# Ledger",
        "Every number that the paper prints, checked against the paper's other numbers and "
        f"compared with these results. {_sum(ledger)}",
        "\n".join(f"- **{name}**: {meaning}" for name, meaning in ledger["verdicts"].items()),
        "## Counts",
        "\n".join(markdown_table(head, lines, "l" + "r" * (len(head) - 1))),
        "## Flags",
        "\n".join(f"- **{kind}**: {meaning}" for kind, meaning in ledger["kinds"].items()),
        *flag_sections(ledger),
        "## Cells",
        *_cell_sections(ledger),
    ]
    return "\n\n".join(parts) + "\n"


def _sum(ledger: Ledger) -> str:
    kinds = ledger["flag_counts"]
    return (
        f"{len(ledger['cells'])} cells, {len(ledger['flags'])} flags: "
        f"{kinds['contradiction']} contradictions and {kinds['caution']} cautions."
    )


def flag_sections(ledger: Ledger) -> Iterator[str]:
    """Yield a section for each check: number of cases examined, flags with their arithmetic."""
    for check in ledger["checks"]:
        flags = [flag for flag in ledger["flags"] if flag["check"] == check["name"]]
        yield f"### {check['name']}: {check['asks']}"
        found = f"{len(flags) or 'no'} flag{'s' * (len(flags) != 1)}"
        said = f"{check['looked']} case{'s' * (check['looked'] != 1)} examined; {found}."
        lines = [
            f"- `{flag['id']}` ({flag['kind']}) {escaped(flag['title'])}  \n"
            f"  {escaped(flag['arithmetic'])}"
            for flag in flags
        ]
        yield "\n".join([said, *([""] if lines else []), *lines])


def _cell_sections(ledger: Ledger) -> Iterator[str]:
    for table in ledger["tables"]:
        yield f"### {table['number']}. {escaped(table['title'])}"
        if table["deviations"]:
            yield f"*Not the paper's setting: {escaped('; '.join(table['deviations']))}*"
        head = ["cell", "printed", "unit", "ours", "n", "verdict", "flags"]
        lines = [_cell_line(cell) for cell in ledger["cells"] if cell["table"] == table["id"]]
        yield "\n".join(markdown_table(head, lines, "lrlrrll"))


def _cell_line(cell: Mapping[str, Any]) -> list[str]:
    ours = cell["ours"]
    shown = f"{ours['text']} {ours['text_unit'] or ''}".strip() if ours else ""
    return [
        f"`{cell['id']}`",
        escaped(cell["text"]),
        cell["unit"] or "",
        escaped(shown),
        str(ours["n"]) if ours and ours["n"] is not None else "",
        cell["verdict"],
        ", ".join(f"`{flag}`" for flag in cell["flags"]),
    ]


def as_table(ledger: Ledger) -> Table:
    """Return the counts per table, for the terminal."""
    head, lines = shown_counts(ledger)
    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name, justify="left" if not name else "right")
    for line in lines:
        table.add_row(*line)
    return table


def flag_lines(flags: Iterable[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Yield two lines for each flag: its title, and its arithmetic."""
    for flag in flags:
        yield Text(f"{flag['id']} ({flag['kind']}): {flag['title']}")
        yield Text(f"    {flag['arithmetic']}")
