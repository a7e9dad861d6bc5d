"""Printed numbers: the rounding rule again, and tables read back from CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from cch.audit.report import Audit

DIGITS = 4
NONE = "–"
# A sign belongs to a number unless something that it could be subtracted from stands before it.
NUMBER = re.compile(r"(?<![\w.)\]-])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?|\d+", re.ASCII)
PARTS = ["title", "caption", "number", "row_label"]


def printed(value: float | None, se: float | None, digits: int = DIGITS, bits: bool = False) -> str:
    """Return the text of a number and its error: decimals with ties to even, no sign on zero.

    Args:
        value: in nats where it is information.
        se: its standard error, or None.
        digits: decimals.
        bits: whether both are printed in bits.
    """
    if value is None or not math.isfinite(value):
        return NONE
    scale = math.log(2) if bits else 1.0
    text = _rounded(value / scale, digits)
    return text if se is None else f"{text} ± {_rounded(se / scale, digits)}"


def _rounded(value: float, digits: int) -> str:
    step = Decimal(1).scaleb(-digits)
    number = Decimal(value).quantize(step, rounding=ROUND_HALF_EVEN)
    return f"{abs(number) if number == 0 else number:f}"


def numbers(text: str) -> list[str]:
    """All numbers of a text, as they are written."""
    return NUMBER.findall(text.replace("−", "-"))


def cells_of(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """All cells of a document by key; those of notes are ``notes/<key>``."""
    found = dict(document["cells"])
    for note in document.get("notes", []):
        found[note["cell"]["id"].partition("/")[2]] = note["cell"]
    return found


def deviations_of(document: Mapping[str, Any], cell: Mapping[str, Any] | None = None) -> list[str]:
    """What sets a table, or one cell of it, apart from the paper: equal sentences once."""
    said = [one["sentence"] for one in document["deviations"]]
    places = range(len(said)) if cell is None else cell.get("deviations", [])
    return list(dict.fromkeys(said[place] for place in places))


def unit_of(cell: Mapping[str, Any]) -> str:
    """The unit that a cell is printed in."""
    return cell.get("text_unit") or cell["unit"] or ""


def paper_of(cell: Mapping[str, Any]) -> str:
    """What the paper prints, or nothing."""
    return cell["paper"]["text"] if cell.get("paper") else ""


def check_numbers(name: str, text: str, document: Mapping[str, Any], report: Audit) -> None:
    """Every number of a rendering stands somewhere in its document."""
    known = set(_said(document))
    for number in numbers(text):
        report.count("numbers")
        if number not in known:
            report.wrong(kind_of(name), name, f"the number {number} stands in no cell")


def _said(document: Mapping[str, Any]) -> Iterator[str]:
    """Every number that a rendering of a document may show."""
    texts = [str(document["id"]), "0"]
    texts += [document.get(part) or "" for part in PARTS]
    texts += deviations_of(document)
    for entry in [*document["rows"], *document["columns"], *document.get("panels", [])]:
        texts += [str(entry.get(key) or "") for key in ("key", "label", "title", "unit")]
    texts += [note["label"] for note in document.get("notes", [])]
    flags: dict[str, None] = {}
    for cell in cells_of(document).values():
        flags |= dict.fromkeys(cell["flags"])
        texts += [cell["id"], str(cell["text"]), paper_of(cell), str(cell["n"]), *cell["flags"]]
    texts += [str(number + 1) for number in range(len(flags))]
    for text in texts:
        yield from numbers(text)


def kind_of(name: str) -> str:
    """The format that a file is in."""
    return name.rpartition(".")[2]


# CSV


def check_csv(name: str, text: str, document: Mapping[str, Any], report: Audit) -> None:
    """Every line is a cell as it is stored, and every cell has its line."""
    cells = {cell["id"]: cell for cell in cells_of(document).values()}
    for line in csv.DictReader(io.StringIO(text, newline="")):
        cell = cells.pop(str(line.get("cell")), None)
        if cell is None:
            report.wrong("csv", name, f"the line {line.get('cell')!r} is no cell of its table")
            continue
        report.count("printed")
        stored = {
            "value": cell["value"], "text": cell["text"], "unit": cell["unit"],
            "text_unit": unit_of(cell), "n": cell["n"], "se": cell["se"], "paper": paper_of(cell),
            "verdict": cell["verdict"], "flags": "; ".join(cell["flags"]),
            "deviations": "; ".join(deviations_of(document)), "table": document["id"],
        }  # fmt: skip
        for key, value in stored.items():
            said = str(line.get(key))
            if not _same_field(said, value):
                report.wrong(
                    "csv", name, f"{cell['id']}: {key} is {said!r}, the cell has {value!r}"
                )
    for identity in cells:
        report.wrong("csv", name, f"{identity} is missing")


def _same_field(said: str, value: Any) -> bool:
    if value is None:
        return said == ""
    if isinstance(value, str):
        plain = value.replace("\r\n", "\n").replace("\r", "\n")
        return said in (plain, f"'{plain}")
    return said == repr(value)


# Markdown


def check_markdown(name: str, text: str, document: Mapping[str, Any], report: Audit) -> None:
    """Every place of the table, and every note, is its cell: text, unit, n, the paper's value."""
    lines = text.split("\n")
    body = [line for line in lines if line.startswith("| ")][2:]
    rows, columns = document["rows"], document["columns"]
    if len(body) != len(rows) and columns:
        report.wrong("md", name, f"the table has {len(body)} rows, its document {len(rows)}")
        return
    for row, line in zip(rows, body, strict=False):
        entries = split_row(line)[1:]
        if len(entries) != len(columns):
            said = f"row {row['key']} has {len(entries)} cells for {len(columns)} columns"
            report.wrong("md", name, said)
            continue
        for column, entry in zip(columns, entries, strict=True):
            cell = document["cells"].get(f"{row['key']}/{column['key']}")
            _check_entry(name, cell, entry, "<br>paper: ", report)
    said = [line[2:] for line in lines if line.startswith("- ")]
    for note, line in zip(document.get("notes", []), said, strict=False):
        label = f"{note['label']}: "
        plain = unmarked(line)
        start = len(label) if plain.startswith(label) else 0
        _check_entry(name, note["cell"], plain[start:], ", paper: ", report)
    if len(said) < len(document.get("notes", [])):
        report.wrong("md", name, "a note is missing")


def split_row(line: str) -> list[str]:
    """The entries of a line of a Markdown table."""
    return [entry.strip() for entry in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def unmarked(text: str) -> str:
    """Markdown without its escapes."""
    return re.sub(r"\\(.)", r"\1", text).replace("&amp;", "&")


def _check_entry(
    name: str, cell: Mapping[str, Any] | None, entry: str, between: str, report: Audit
) -> None:
    if cell is None:
        if entry:
            report.wrong("md", name, f"{entry!r} stands where there is no cell")
        return
    report.count("printed")
    ours, _, paper = unmarked(entry).partition(between)
    ours = re.sub(r"<sup>[\d, ]+</sup>$", "", ours)
    # A unit and an n stand beside a text where heading and foot do not state them.
    told = re.fullmatch(
        re.escape(" ".join(str(cell["text"]).split()))
        + rf"(?: {re.escape(unit_of(cell))})?(?: \(n = (\d+)\))?",
        ours,
    )
    if told is None or told[1] not in (None, str(cell["n"])):
        report.wrong(kind_of(name), name, f"{cell['id']}: {ours!r}, the cell has {cell['text']!r}")
    if paper != " ".join(paper_of(cell).split()):
        said = f"{cell['id']}: the paper's value is {paper!r}, the cell has {paper_of(cell)!r}"
        report.wrong(kind_of(name), name, said)


# LaTeX


def check_latex(name: str, text: str, document: Mapping[str, Any], report: Audit) -> None:
    """The numbers of every place of the table are those of its cell, in order."""
    inside = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0]
    lines = [line for line in inside.split("\n") if line]
    for row in document["rows"]:
        ours, lines = _entries(lines)
        papers: Sequence[str] = [""] * len(document["columns"])
        if lines and lines[0].startswith("\\quad\\textit{paper}"):
            papers, lines = _entries(lines)
        if not len(ours) == len(papers) == len(document["columns"]):
            report.wrong("tex", name, f"row {row['key']} is missing or has another length")
            return
        for column, own, paper in zip(document["columns"], ours, papers, strict=True):
            cell = document["cells"].get(f"{row['key']}/{column['key']}")
            _check_tex(name, cell, own, paper, report)
    if lines:
        report.wrong("tex", name, "the table has more rows than its document")


def _entries(lines: list[str]) -> tuple[list[str], list[str]]:
    """Entries of the first line without its row's heading, and the lines after it."""
    if not lines:
        return [], []
    line = lines[0].removesuffix(" \\\\")
    return [entry.strip() for entry in re.split(r"(?<!\\)&", line)[1:]], lines[1:]


def plain_tex(text: str) -> str:
    """LaTeX without its markup, as far as numbers and letters go."""
    text = text.replace("$-$", "-").replace("--", "–").replace("{\\char34}", '"')
    text = re.sub(r"\\textsuperscript\{[\d, ]*\}", "", text)
    return re.sub(r"[\\${}]", "", text.replace("$\\pm$", "±"))


def _check_tex(
    name: str, cell: Mapping[str, Any] | None, own: str, paper: str, report: Audit
) -> None:
    if cell is None:
        if own or paper:
            report.wrong("tex", name, f"{own or paper!r} stands where there is no cell")
        return
    report.count("printed")
    ours = plain_tex(own)
    wanted = numbers(str(cell["text"]))
    if " (n = " in ours:
        wanted.append(str(cell["n"]))
    letters = _letters(str(cell["text"]))
    if numbers(ours) != wanted or not (wanted or _letters(ours).startswith(letters)):
        report.wrong("tex", name, f"{cell['id']}: {ours!r}, the cell has {cell['text']!r}")
    if numbers(plain_tex(paper)) != numbers(paper_of(cell)):
        said = f"{cell['id']}: the paper's value is {paper!r}, the cell has {paper_of(cell)!r}"
        report.wrong("tex", name, said)


def _letters(text: str) -> str:
    return re.sub(r"[^A-Za-z]", "", text)


# The comparison page


def check_html(name: str, text: str, document: Mapping[str, Any], report: Audit) -> None:
    """A table's page of the report: every cell in its place, as printed, and all cells there."""
    cells = {cell["id"]: cell for cell in cells_of(document).values()}
    check_shown(name, text, document, report)
    lines = re.findall(r"<summary><code>([^<]*)</code> <strong>([^<]*)</strong>", text)
    for identity, said in lines:
        cell = cells.pop(html.unescape(identity), None)
        if cell is None or html.unescape(said) != str(cell["text"] or "–"):
            report.wrong("html", name, f"{identity} is {said!r} where it is led back to files")
    for identity in cells:
        report.wrong("html", name, f"{identity} is not led back to files")


def check_shown(name: str, text: str, document: Mapping[str, Any], report: Audit) -> None:
    """The table of a page has every cell in its place, as printed."""
    shown = re.findall(r'<a class="cell" href="[^"#]*#c-[^"]*">([^<]*)</a>', text)
    expected = [str(cell["text"] or "–") for cell in _in_order(document)]
    report.count("printed", len(shown))
    if [html.unescape(said) for said in shown] != expected:
        wrong = next(
            (f"{html.unescape(a)!r} for {b!r}" for a, b in zip(shown, expected, strict=False)
             if html.unescape(a) != b), f"{len(shown)} cells for {len(expected)}"
        )  # fmt: skip
        report.wrong("html", name, f"its table holds {wrong}")


def check_outcomes(
    name: str, text: str, documents: Iterable[Mapping[str, Any]], report: Audit
) -> None:
    """The first page counts what the criterion says where distilling did what."""
    pairs: Counter[tuple[str, str]] = Counter()
    for document in documents:
        cells = document["cells"].values()
        said = {c["query"]["level"]: c for c in cells if c["query"].get("measure") == "verdict"}
        for cell in cells if document["id"].startswith("criterion-") else ():
            if cell["query"]["kind"] == "effect" and cell["members"]:
                pairs[said[cell["query"]["level"]]["value"], cell["value"]] += 1
    part = text.partition('<section aria-labelledby="outcomes">')[2].partition("</section>")[0]
    effects = re.findall(r"<th[^>]*>distilling (?:is )?(\w+)</th>", part)
    rows = re.findall(r'<tr><th scope="row">(\w+)</th>(.*?)</tr>', part)
    shown = {
        (said, effect): int(count)
        for said, cells in rows
        for effect, count in zip(effects, re.findall(r">(\d+)</td>", cells), strict=False)
    }
    report.count("printed", len(shown))
    for pair in sorted(shown.keys() | pairs.keys()):
        if shown.get(pair, 0) != pairs[pair]:
            report.wrong(
                "html",
                name,
                f"counts {shown.get(pair, 0)} of {pair}, the tables have {pairs[pair]}",
            )


def _in_order(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The cells of the table row by row, then those of the notes."""
    for row in document["rows"]:
        for column in document["columns"]:
            if cell := document["cells"].get(f"{row['key']}/{column['key']}"):
                yield cell
    yield from (note["cell"] for note in document["notes"])


def check_page(name: str, text: str, documents: Sequence[Mapping[str, Any]], report: Audit) -> None:
    """Every line of the comparison page is its cell, and every cell of its documents is there."""
    cells = {cell["id"]: cell for d in documents for cell in cells_of(d).values()}
    missing = dict(cells)
    counted: dict[str, list[str]] = {}
    for line in text.split("\n"):
        entries = split_row(line) if line.startswith("|") else []
        if len(entries) == 8 and entries[0].startswith("`"):
            identity = entries[0].strip("`")
            missing.pop(identity, None)
            _check_line(name, identity, cells.get(identity), entries, report)
        elif len(entries) > 2 and all(entry.isdigit() for entry in entries[1:]):
            counted[entries[0]] = entries[1:]
        elif len(entries) > 8 and entries[-1] == "cells":
            counted["head"] = entries[1:-1]
    for identity in missing:
        report.wrong("page", name, f"{identity} is missing")
    _check_counts(name, documents, counted, report)


def _check_line(
    name: str, identity: str, cell: Mapping[str, Any] | None, entries: list[str], report: Audit
) -> None:
    if cell is None:
        report.wrong("page", name, f"{identity} is no cell of its documents")
        return
    report.count("printed")
    stored = [
        f"{cell['text']} {unit_of(cell)}", paper_of(cell),
        "" if cell["n"] is None else str(cell["n"]), cell["verdict"],
    ]  # fmt: skip
    for said, value in zip(entries[3:7], stored, strict=True):
        if unmarked(said) != " ".join(value.split()):
            report.wrong("page", name, f"{identity}: {said!r}, the cell has {value.strip()!r}")


def _check_counts(
    name: str,
    documents: Sequence[Mapping[str, Any]],
    counted: dict[str, list[str]],
    report: Audit,
) -> None:
    verdicts = counted.pop("head", [])
    total = [0] * (len(verdicts) + 1)
    for document in documents:
        cells = cells_of(document).values()
        own = [sum(cell["verdict"] == verdict for cell in cells) for verdict in verdicts]
        own.append(len(cells))
        total = [a + b for a, b in zip(total, own, strict=True)]
        label = document.get("number") or document["id"]
        if counted.get(label) != [str(number) for number in own]:
            report.wrong("page", name, f"the counts of {label} are {counted.get(label)}, not {own}")
    if documents and counted.get("**all**") != [str(number) for number in total]:
        report.wrong("page", name, f"the counts of all are {counted.get('**all**')}, not {total}")
