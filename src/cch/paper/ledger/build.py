"""The ledger as a document: cells, flags, verdicts and counts.

``results/ledger.json``, format ``cch-ledger-1``:

- ``format``, ``paper`` (its arXiv id).
- ``transcription``: ``cells``, ``numbers`` (how many of them are numeric) and ``text_sha256`` of
  the text that they were checked against.
- ``verdicts``: {verdict: meaning}, in order of display. ``kinds``: {kind of flag: meaning}.
- ``counts``: {verdict: cells} over all cells; ``flag_counts``: {kind: flags}.
- ``tables``: list in the paper's order, each ``id``, ``number`` (Table 5), ``title``,
  ``section``, ``cells``, ``flagged`` (cells with any flag), ``flags`` (ids that concern it),
  ``counts`` {verdict: cells}, ``deviations`` (of our settings from the paper's; empty without a
  table of ours), ``document`` (path of our table's JSON, or null).
- ``cells``: list in the paper's order, each ``id`` (table05/0.2/mi-gap), ``table``, ``row``,
  ``column`` (keys; row ``notes`` is the caption), ``row_label``, ``column_label`` (words),
  ``text`` (as printed), ``numeric``, ``value`` (number or null), ``se`` (number printed after ±,
  or null), ``error`` (its meaning, where the paper states it), ``rounding`` (half a printed unit),
  ``unit`` (``nats``, ``fraction``, ..., ``unstated`` for information without one, or null),
  ``section``, ``line`` (of the caption in the checked text), ``flags`` (ids of flags about
  it), ``beside`` (ids of flags that use it in their arithmetic), ``verdict``, and ``ours``: null
  or ``text`` (in ``text_unit``, as rendered), ``value`` and ``se`` (in ``unit``), ``n``,
  ``setting`` (true for a setting, not a measurement), ``verdict`` (as in the comparison page),
  ``deviations`` (that affect this cell), ``document``.
- ``flags``: list, each ``id`` (check-1), ``check``, ``kind``, ``title``, ``arithmetic``,
  ``cells``, ``beside``, ``tables``.
- ``checks``: list, each ``name``, ``asks`` (the rule that it checks), ``looked`` (cases that it
  examined), ``flags`` (how many).

The verdict of a cell is the first that holds: ``the paper disagrees with itself`` where a flag of
kind contradiction is about it; ``no value of ours``; ``not comparable`` where our number comes from
stand-in data or from settings that differ from the paper's; else the table document's own verdict
(``cch.tables.compare``), which ``ours.verdict`` always holds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cch import CHECKOUT
from cch.base.errors import CchError
from cch.paper.ledger.all_checks import ORDER, Outcome, run_checks
from cch.paper.ledger.checks import CHECKS, KINDS
from cch.paper.ledger.printed import Paper, Printed, number
from cch.paper.ledger.render import only
from cch.tables.claims import Claims, load_claims
from cch.tables.documents import Document, read_document, table_documents
from cch.tables.render import VERDICTS as COMPARED

FORMAT = "cch-ledger-1"
PAPER = "arXiv:2510.13182"

ITSELF = "the paper disagrees with itself"
NONE = "no value of ours"
NOT_COMPARABLE = "not comparable"

VERDICTS: dict[str, str] = {
    **{name: words for name, words in COMPARED.items() if name != "not in the paper"},
    NOT_COMPARABLE: "comes from stand-in data, or from settings that are not the paper's",
    ITSELF: "this number is part of a contradiction within the paper, whatever ours is",
    NONE: "these results do not have this number",
}

Documents = Mapping[str, Document]
"""Table documents by path."""


def build_ledger(claims: Claims, documents: Documents | None = None) -> dict[str, Any]:
    """Return the ledger; see the module docstring.

    Args:
        claims: the transcription.
        documents: our tables; None or empty for the paper alone.
    """
    paper = Paper(claims)
    outcome = run_checks(paper)
    flags = _named(outcome)
    ours = {document.id: (path, document) for path, document in (documents or {}).items()}
    cells = _cells(paper, claims, flags, ours)
    return {
        "format": FORMAT,
        "paper": PAPER,
        "transcription": {
            "cells": len(cells),
            "numbers": sum(cell["numeric"] for cell in cells),
            "text_sha256": claims.text.sha256 if claims.text else None,
        },
        "verdicts": VERDICTS,
        "kinds": KINDS,
        "counts": _counts(cells),
        "flag_counts": {kind: sum(f["kind"] == kind for f in flags) for kind in KINDS},
        "tables": [_table(name, claims, cells, flags, ours) for name in claims.tables],
        "cells": cells,
        "flags": flags,
        "checks": [_check(name, outcome, flags) for name in ORDER],
    }


def _cells(
    paper: Paper,
    claims: Claims,
    flags: list[dict[str, Any]],
    ours: Mapping[str, tuple[str, Document]],
) -> list[dict[str, Any]]:
    """Return every printed cell with its flags, our value and the verdict."""
    about, beside = _by_cell(flags, "cells"), _by_cell(flags, "beside")
    impossible = {
        cell for flag in flags if flag["kind"] == "contradiction" for cell in flag["cells"]
    }
    cells = []
    for cell in paper.cells.values():
        found = _ours(cell, *ours[cell.table]) if cell.table in ours else None
        cells.append(
            _printed(cell, claims)
            | {
                "flags": about[cell.id],
                "beside": beside[cell.id],
                "verdict": ITSELF if cell.id in impossible else _verdict(found),
                "ours": found,
            }
        )
    return cells


def _check(name: str, outcome: Outcome, flags: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "asks": CHECKS[name].asks,
        "looked": outcome.looked[name],
        "flags": sum(flag["check"] == name for flag in flags),
    }


def _named(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the flags with ids made of the check's name and a number."""
    seen: Counter[str] = Counter()
    named = []
    for flag in outcome.flags:
        seen[flag.check] += 1
        named.append(flag.to_json(f"{flag.check}-{seen[flag.check]}"))
    return named


def _by_cell(flags: Iterable[Mapping[str, Any]], field: str) -> defaultdict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for flag in flags:
        for cell in flag[field]:
            found[cell].append(flag["id"])
    return found


def _printed(cell: Printed, claims: Claims) -> dict[str, Any]:
    table, claim = claims.tables[cell.table], cell.claim
    return {
        "id": cell.id,
        "table": cell.table,
        "row": cell.row,
        "column": cell.column,
        "row_label": "caption" if cell.row == "notes" else cell.label.replace("-", " "),
        "column_label": cell.column.replace("-", " "),
        "text": claim.text,
        "numeric": claim.value is not None or any(c.isdigit() for c in claim.text),
        "value": claim.value,
        "se": claim.se,
        "error": table.error if claim.se is not None else None,
        "rounding": claim.rounding,
        "unit": cell.unit,
        "section": table.section,
        "line": table.line,
    }


def _ours(cell: Printed, path: str, document: Document) -> dict[str, Any] | None:
    """Return our number for a printed cell, or None if the document does not have the cell."""
    stored = document.cell(f"{cell.row}/{cell.column}")
    if stored is None:
        return None
    return {
        "text": stored.text,
        "value": stored.value,
        "se": stored.se,
        "unit": stored.unit,
        "text_unit": stored.printed_unit,
        "n": stored.n,
        "setting": stored.kind == "setting",
        "verdict": stored.verdict,
        "deviations": document.reaching(stored),
        "document": path,
    }


def _verdict(ours: Mapping[str, Any] | None) -> str:
    if ours is None or ours["value"] is None:
        return NONE
    if ours["deviations"] and not ours["setting"]:
        return NOT_COMPARABLE
    return str(ours["verdict"])


def _counts(cells: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counted = Counter(cell["verdict"] for cell in cells)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def _table(
    name: str,
    claims: Claims,
    cells: Iterable[Mapping[str, Any]],
    flags: Iterable[Mapping[str, Any]],
    ours: Mapping[str, tuple[str, Document]],
) -> dict[str, Any]:
    own = [cell for cell in cells if cell["table"] == name]
    path, document = ours.get(name, (None, None))
    return {
        "id": name,
        "number": number(name),
        "title": claims.tables[name].title,
        "section": claims.tables[name].section,
        "cells": len(own),
        "flagged": sum(bool(cell["flags"]) for cell in own),
        "flags": [flag["id"] for flag in flags if name in flag["tables"]],
        "counts": _counts(own),
        "deviations": document.deviation_sentences if document else [],
        "document": path,
    }


def ledger_of(
    results: str | Path, table: str | None = None, checkout: Path = CHECKOUT
) -> dict[str, Any]:
    """Return the ledger of a folder of results, or of the paper alone if there is no folder.

    Args:
        results: folder of the results.
        table: return this table only.
        checkout: where ``paper/claims.yaml`` is.

    Raises:
        CchError: the transcription or the table in it is missing, or a document cannot be read.
    """
    path = checkout / "paper" / "claims.yaml"
    if not path.is_file():
        raise CchError(path, "does not exist", "run cch from a checkout of the project")
    claims = load_claims(path)
    if table is not None and table not in claims.tables:
        raise CchError(table, "is not transcribed", f"there are {', '.join(claims.tables)}")
    found = build_ledger(claims, read_documents(results))
    return found if table is None else only(found, table)


def read_documents(results: str | Path) -> dict[str, Document]:
    """Return the table documents of a folder of results by path; empty if it has none.

    Raises:
        CchError: a document cannot be read.
    """
    return {str(path): read_document(path) for path in table_documents(results)}
