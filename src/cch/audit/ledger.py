"""The ledger again: printed cells from the transcription, ours from the tables' documents.

The flags of four checks are derived again (``cch.audit.paper_flags``), those of the others are not.
Of all flags it is checked that they stand at their cells, and that verdicts and counts follow from
flags and cells.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cch.audit.facts import same
from cch.audit.paper_flags import check_flags
from cch.audit.printed import cells_of, deviations_of, split_row, unit_of, unmarked
from cch.audit.report import Audit
from cch.audit.tree import Tree
from cch.base.errors import CchError

ITSELF, NONE = "the paper disagrees with itself", "no value of ours"
NOT_COMPARABLE = "not comparable"
NUMBER = re.compile(r"(-?[\d,]*\.?\d+)\s*(?:±\s*(\d*\.?\d+))?")
COPIED = ("text", "value", "se", "n", "unit", "verdict")
"""What the ledger takes over from a cell of a table."""

Cell = dict[str, Any]


def check_ledger(
    tree: Tree, report: Audit, documents: Mapping[str, Any], claims: Mapping[str, Any]
) -> None:
    """Hold ``ledger.json``, its page and the report's page of it against what they rest on.

    Args:
        tree: the results.
        report: takes what is wrong.
        documents: table documents by recorded path.
        claims: tables of ``paper/claims.yaml`` by id; empty where there is no checkout.
    """
    name = f"{tree.name}/ledger.json"
    if name not in tree.made or tree.digest(name) is None:
        return
    try:
        ledger = tree.json(name)
    except CchError as error:
        report.wrong("ledger", name, error.what)
        return
    cells = {cell["id"]: cell for cell in ledger["cells"]}
    report.count("ledger", len(cells))
    if claims:
        texts = dict(_transcribed(claims))
        _check_printed(name, cells, texts, report)
        check_flags(name, ledger["flags"], claims, texts, report)
    read = {path: documents[path] for path in tree.made[name].inputs if path in documents}
    # Without one of its documents, which is said already, our side cannot be judged.
    if len(read) == len([path for path in tree.made[name].inputs if "/tables/" in path]):
        _check_ours(name, cells, read, report)
    _check_verdicts(name, ledger, cells, report)
    for page, lines_of in (("ledger.md", _markdown_lines), ("report/ledger.html", _html_lines)):
        path = f"{tree.name}/{page}"
        if path in tree.made and tree.digest(path) is not None:
            text = tree.place(path).read_text(encoding="utf-8")
            _check_lines(path, list(lines_of(text)), ledger["cells"], report)


def _check_printed(
    name: str, cells: Mapping[str, Cell], printed: Mapping[str, str], report: Audit
) -> None:
    """Every printed cell is there, as transcribed, with its number and error."""
    for identity in printed.keys() ^ cells.keys():
        said = "is missing" if identity in printed else "is not transcribed"
        report.wrong("ledger", name, f"{identity} {said}")
    for identity in printed.keys() & cells.keys():
        cell, text = cells[identity], printed[identity]
        match = NUMBER.fullmatch(text.strip())
        value = float(match[1].replace(",", "")) if match else None
        error = float(match[2]) if match and match[2] else None
        for part, wanted in (("text", text), ("value", value), ("se", error)):
            if not same(cell[part], wanted):
                said = f"{identity}: printed {part} is {cell[part]!r}, transcribed {wanted!r}"
                report.wrong("ledger", name, said)


def _transcribed(claims: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for table, printed in claims.items():
        for row, texts in (printed.get("rows") or {}).items():
            for column, text in zip(printed["columns"], texts, strict=True):
                if text is not None:
                    yield f"{table}/{row}/{column}", str(text)
        for key, text in (printed.get("notes") or {}).items():
            yield f"{table}/notes/{key}", str(text)


def _check_ours(
    name: str, cells: Mapping[str, Cell], documents: Mapping[str, Any], report: Audit
) -> None:
    """Our side of every cell is the cell of its table's document."""
    known = {
        f"{document['id']}/{key}": (path, cell, deviations_of(document, cell))
        for path, document in documents.items()
        for key, cell in cells_of(document).items()
    }
    for identity, entry in cells.items():
        ours, (path, cell, deviations) = entry["ours"], known.get(identity, (None, None, []))
        if ours is None or cell is None:
            if ours is not cell:
                here = "nothing of ours" if ours is None else "a value of ours"
                there = "has it" if cell else "has no such cell"
                report.wrong("ledger", name, f"{identity}: {here}, where its table {there}")
            continue
        stored = {part: cell[part] for part in COPIED}
        stored |= {"text_unit": unit_of(cell) or None, "document": path}
        stored |= {"deviations": deviations, "setting": cell.get("kind") == "setting"}
        for part, wanted in stored.items():
            if not same(ours[part], wanted):
                said = f"{identity}: our {part} is {ours[part]!r}, its table has {wanted!r}"
                report.wrong("ledger", name, said)


def _check_verdicts(
    name: str, ledger: Mapping[str, Any], cells: Mapping[str, Cell], report: Audit
) -> None:
    """Flags stand at their cells; verdicts follow from flags and cells, counts from verdicts."""
    about: dict[str, list[str]] = {}
    impossible: set[str] = set()
    for flag in ledger["flags"]:
        for cell in flag["cells"]:
            about.setdefault(cell, []).append(flag["id"])
            impossible |= {cell} if flag["kind"] == "contradiction" else set()
    for identity, cell in cells.items():
        wanted = ITSELF if identity in impossible else _verdict(cell["ours"])
        if cell["verdict"] != wanted:
            said = f"{identity}: its verdict is {cell['verdict']!r}, it follows {wanted!r}"
            report.wrong("ledger", name, said)
        if cell["flags"] != about.get(identity, []):
            said = f"{identity}: its flags are {cell['flags']}, not {about.get(identity, [])}"
            report.wrong("ledger", name, said)
    kinds = Counter(flag["kind"] for flag in ledger["flags"])
    pairs = [("flags", ledger["flag_counts"], kinds)]
    pairs.append(("all", ledger["counts"], Counter(c["verdict"] for c in cells.values())))
    for table in ledger["tables"]:
        own = [cell for cell in cells.values() if cell["table"] == table["id"]]
        pairs.append((table["id"], table["counts"], Counter(c["verdict"] for c in own)))
        if table["cells"] != len(own):
            report.wrong(
                "ledger", name, f"{table['id']} has {table['cells']} cells, not {len(own)}"
            )
    for what, stored, counted in pairs:
        if {key: n for key, n in stored.items() if n} != dict(counted):
            report.wrong("ledger", name, f"the counts of {what} are not those of its cells")


def _verdict(ours: Mapping[str, Any] | None) -> str:
    if ours is None or ours["value"] is None:
        return NONE
    if ours["deviations"] and not ours["setting"]:
        return NOT_COMPARABLE
    return str(ours["verdict"])


Line = tuple[str, str, str]
"""Printed, ours, verdict."""


def _check_lines(name: str, lines: Sequence[Line], cells: Sequence[Cell], report: Audit) -> None:
    """A page lists the cells in order, as printed, ours and the verdict beside."""
    if len(lines) != len(cells):
        report.wrong("page", name, f"lists {len(lines)} cells, the ledger has {len(cells)}")
        return
    report.count("printed", len(lines))
    for said, cell in zip(lines, cells, strict=True):
        ours = cell["ours"]
        text = f"{ours['text']} {ours['text_unit'] or ''}".strip() if ours else ""
        short = ours["text"] if ours else ""
        wanted = [(" ".join(cell["text"].split()), " ".join(t.split()), cell["verdict"])
                  for t in (text, short)]  # fmt: skip
        if said not in wanted:
            report.wrong("page", name, f"{cell['id']}: says {said}, the ledger has {wanted[0]}")


def _markdown_lines(text: str) -> Iterator[Line]:
    for line in text.split("\n"):
        entries = split_row(line) if line.startswith("| `") else []
        if len(entries) == 7:
            yield unmarked(entries[1]), unmarked(entries[3]), entries[5]


def _html_lines(text: str) -> Iterator[Line]:
    for row in re.findall(r'<tr data-table="[^>]*>(.*?)</tr>', text, flags=re.DOTALL):
        plain = [
            html.unescape(re.sub(r"<[^>]*>", "", entry)).strip()
            for entry in re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
        ]
        if len(plain) == 7:
            yield " ".join(plain[3].split()), " ".join(plain[4].split()), plain[5]
