"""Tables for readers: CSV, Markdown and LaTeX from a table document, and the comparison page.

A document is the truth, and nothing here computes a number. What sets a table apart from the
paper (its deviations) is in every rendering: in each line of the CSV, under the title in Markdown,
in the caption in LaTeX.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from cch.tables.documents import Cell, Column, Document, Verdict

MARKED = "Not the paper's setting"

VERDICTS: dict[Verdict, str] = {
    "as published": "a setting, the same as the paper's",
    "reproduced": "a measurement within the combined 95 % intervals, and ours narrow enough",
    "same direction": "another size, but the sign is the paper's",
    "differs": "another setting, or another value of a quantity whose sign says nothing",
    "contradicted": "the other sign, and our interval excludes zero",
    "undetermined": "our interval is too wide: it covers zero, or a tenth of the printed value; "
    "or one side has no number",
    "not comparable": "rests on stand-in data",
    "not in the paper": "the paper prints no such cell",
}
"""What each verdict means, in the order of the comparison page; see ``cch.tables.compare``."""


class _View:
    """A document with what all renderings need of it."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.deviations = document.deviation_sentences
        self.rows = [(row.key, row.label) for row in document.rows]
        self.columns = _headings(document)
        self.units = {column.key: self._unit(column) for column in document.columns}
        cells = list(document.all_cells.values())
        flags = dict.fromkeys(flag for _, _, cell in self.every() for flag in cell.flags)
        self.flags = {flag: number for number, flag in enumerate(flags, start=1)}
        counts = Counter(cell.n for cell in cells if cell.n)
        self.n: int | None = max(counts, key=lambda n: (counts[n], n)) if counts else None
        self.same_n = {cell.n for cell in cells} <= {self.n, None}
        self.has_se = any(cell.se is not None for cell in cells)
        self.has_interval = any(cell.interval is not None for cell in cells)

    def cell(self, row: str, column: str) -> Cell | None:
        """The cell at a place, or None where the table is empty."""
        return self.document.cells.get(f"{row}/{column}")

    def every(self) -> Iterator[tuple[str, str, Cell]]:
        """Yield (row label, column label, cell) in reading order; notes have no row."""
        for row, row_label in self.rows:
            for column, column_label in self.columns:
                cell = self.cell(row, column)
                if cell is not None:
                    yield row_label, column_label, cell
        for note in self.document.notes:
            yield "", note.label, note.cell

    def _unit(self, column: Column) -> str | None:
        """Unit of a heading: the column's, or the one that all its cells share."""
        cells = (cell for _, cell in self.document.column_cells(column.key) if cell)
        units = {cell.printed_unit for cell in cells}
        return column.unit or (units.pop() if len(units) == 1 else None)

    def heading(self, key: str, label: str) -> str:
        """A column's heading with its unit."""
        return f"{label} ({self.units[key]})" if self.units[key] else label

    def shown(self, cell: Cell, column: str | None = None) -> str:
        """Our text of a cell, with a unit or an n that heading and foot do not already state."""
        text, unit = cell.text, cell.printed_unit
        if unit and unit != (self.units[column] if column else None):
            text += f" {unit}"
        if cell.n is not None and cell.n != self.n:
            text += f" (n = {cell.n})"
        return text

    def foot(self) -> list[str]:
        """Sentences on n and on what stands behind ±."""
        lines = []
        if self.n is not None:
            lines.append(f"n = {self.n}" + ("." if self.same_n else " where no other n is stated."))
        if self.has_se:
            lines.append("± is the standard error over n, s/√n, the paper's convention.")
        if self.has_interval:
            lines.append("In brackets the confidence interval over test cases and seeds.")
        return lines

    def marked(self) -> str:
        """What sets the table apart from the paper's setting, or an empty text."""
        return f"{MARKED}: {'; '.join(self.deviations)}" if self.deviations else ""


def _headings(document: Document) -> list[tuple[str, str]]:
    """Column keys with headings; equal headings are told apart by their panel, else their key."""
    labels = Counter(column.label for column in document.columns)
    panels = {key: panel.title for panel in document.panels for key in panel.columns}
    return [
        (
            column.key,
            column.label
            if labels[column.label] == 1
            else f"{column.label} [{panels.get(column.key, column.key)}]",
        )
        for column in document.columns
    ]


# CSV

CSV_FIELDS = (
    "cell",
    "table",
    "row",
    "column",
    "value",
    "text",
    "unit",
    "text_unit",
    "n",
    "se",
    "paper",
    "verdict",
    "flags",
    "deviations",
)
_FORMULA = re.compile(r"[=+\-@\t\n＝＋－＠]")
_ENDS = r"( \[-?\d[\d.]*, -?\d[\d.]*\])?"
_NUMBERS = re.compile(rf"[-+]?\d[\d.,]*(e[-+]?\d+)?%?( ± \d[\d.,]*(e[-+]?\d+)?%?)?{_ENDS}")


def to_csv(document: Document) -> str:
    """Return a document as CSV: a line for each cell, its value unrounded, notes without a row.

    Lists are joined by ``; ``. A text that a spreadsheet would run as a formula is preceded by an
    apostrophe; numbers, negative ones too, are not.
    """
    view = _View(document)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_FIELDS)
    for row, column, cell in view.every():
        line = [cell.id, view.document.id, row, column, cell.value, cell.text, cell.unit]
        line += [cell.printed_unit, cell.n, cell.se, cell.paper_text, cell.verdict]
        line += ["; ".join(cell.flags), "; ".join(view.deviations)]
        writer.writerow([_csv_field(entry) for entry in line])
    return out.getvalue()


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    # Python's csv before 3.13 does not quote a lone carriage return, and readers end a line there.
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    harmless = not _FORMULA.match(value) or _NUMBERS.fullmatch(value)
    return value if harmless else f"'{value}"


# Markdown

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$])")


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, also within a table."""
    shown = _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
    shown = re.sub(r"&(?=#?\w+;)", "&amp;", shown)
    # What would open a heading, a rule or a list at the start of a paragraph.
    shown = re.sub(r"^([#=+-])(?![\d.])", r"\\\1", shown)
    return re.sub(r"^(\d+)([.)])(?= )", r"\1\\\2", shown)


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]], align: str) -> list[str]:
    """Lines of a Markdown table; ``align`` has an ``l`` or an ``r`` for each column."""
    rule = ["---:" if side == "r" else "---" for side in align]
    return [f"| {' | '.join(entries)} |" for entries in (head, rule, *lines)]


def to_markdown(document: Document) -> str:
    """Return a document as a Markdown page: title, deviations, table beside the paper's, notes."""
    view = _View(document)
    parts = [_markdown_head(view, "#")]
    if view.document.caption:
        parts.append(escaped(view.document.caption))
    head = [escaped(view.document.row_label)]
    head += [escaped(view.heading(key, label)) for key, label in view.columns]
    lines = [
        [escaped(label)] + [_markdown_cell(view, view.cell(row, key), key) for key in view.units]
        for row, label in view.rows
    ]
    if lines:
        parts.append("\n".join(markdown_table(head, lines, "l" + "r" * len(view.columns))))
    if view.foot():
        parts.append(" ".join(view.foot()))
    if view.document.notes:
        parts.append(
            "\n".join(
                f"- {escaped(note.label)}: {_markdown_cell(view, note.cell, None, ', ')}"
                for note in view.document.notes
            )
        )
    if view.flags:
        parts.append("\n".join(f"{number}. {escaped(flag)}" for flag, number in view.flags.items()))
    return "\n\n".join(parts) + "\n"


def _markdown_head(view: _View, level: str) -> str:
    title = f"{level} {escaped(view.document.heading)}"
    return f"{title}\n\n**{escaped(view.marked())}**" if view.deviations else title


def _markdown_cell(
    view: _View, cell: Cell | None, column: str | None, between: str = "<br>"
) -> str:
    if cell is None:
        return ""
    text = escaped(view.shown(cell, column))
    if cell.flags:
        text += f"<sup>{_references(view, cell)}</sup>"
    paper = cell.paper_text
    return f"{text}{between}paper: {escaped(paper)}" if paper else text


def _references(view: _View, cell: Cell) -> str:
    """Numbers of a cell's footnotes."""
    return ", ".join(str(view.flags[flag]) for flag in dict.fromkeys(cell.flags))


# LaTeX

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    # After the end of a line these two would be read as its options.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "\u00a0": "~",
    "\u2009": r"\,",
    "\u202f": r"\,",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
} | {character: f"\\{character}" for character in "{}$&#%_"}
_TEX_MATH = {
    "±": r"\pm",
    "×": r"\times",
    "·": r"\cdot",
    "−": "-",
    "≤": r"\leq",
    "≥": r"\geq",
    "≈": r"\approx",
    "≠": r"\neq",
    "∞": r"\infty",
    "→": r"\rightarrow",
    "←": r"\leftarrow",
    "∈": r"\in",
    "°": r"^{\circ}",
    "µ": r"\mu",
    "ϵ": r"\epsilon",
    "ϕ": r"\phi",
}
_LOW, _HIGH = "₀₁₂₃₄₅₆₇₈₉", "⁰¹²³⁴⁵⁶⁷⁸⁹"
# TeX has no macro for Greek letters that look like a Latin one.
_LATIN_TWINS = dict(
    zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", (f"\\mathrm{{{letter}}}" for letter in "ABEZHIKMNOPTXo"), strict=True)
)
_TEX_TOKEN = re.compile(
    rf"(?P<low>[{_LOW}]+)|(?P<high>[{_HIGH}]+)"
    r"|(?P<greek>[Α-Ωα-ω])(?:_?(?P<index>\d+))?"
    r"|(?P<minus>(?<![\w.)\]])-(?=\.?\d))|.",
    re.DOTALL | re.ASCII,
)


def _tex(text: str) -> str:
    """Return text that LaTeX prints as it is: specials escaped, Greek and signs in mathematics.

    Digits that follow a Greek letter, with or without ``_``, become its index (σ12).
    """
    pieces = "".join(_tex_token(match) for match in _TEX_TOKEN.finditer(text))
    # Two neighbouring formulas are one; a dollar sign of the text is escaped and stays.
    return re.sub(r"(?<!\\)\$\$", "", pieces)


def _tex_token(match: re.Match[str]) -> str:
    for group, sign, digits in (("low", "_", _LOW), ("high", "^", _HIGH)):
        if match[group]:
            return f"${sign}{{{''.join(str(digits.index(c)) for c in match[group])}}}$"
    if greek := match["greek"]:
        index = f"_{{{match['index']}}}" if match["index"] else ""
        return f"${_greek(greek)}{index}$"
    if match["minus"]:
        return "$-$"
    character = match[0]
    if character in _TEX_MATH:
        return f"${_TEX_MATH[character]}$"
    if character.isspace() and character not in _TEX:
        return " "
    return _TEX.get(character, character)


def _greek(letter: str) -> str:
    if letter in _LATIN_TWINS:
        return _LATIN_TWINS[letter]
    words = unicodedata.name(letter).split()  # GREEK SMALL LETTER LAMDA, ... FINAL SIGMA
    name = {"LAMDA": "lambda"}.get(words[-1], words[-1].lower())
    if "FINAL" in words:
        return r"\varsigma"
    return "\\" + (name.capitalize() if "CAPITAL" in words else name)


def to_latex(document: Document) -> str:
    """Return a document as a LaTeX table float; needs the package booktabs, input is UTF-8.

    The paper's values stand in a line of their own under ours.
    """
    view = _View(document)
    label = re.sub(r"[^\w.-]", "-", document.id, flags=re.ASCII)
    head = [_tex(document.row_label), *(_tex(view.heading(*column)) for column in view.columns)]
    lines = [
        f"% rendered from {label}.json; needs \\usepackage{{booktabs,graphicx}}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex_caption(view)}}}",
        rf"\label{{tab:{label}}}",
        # Shrunk to the line where it is wider; a narrow table stays as it is.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * len(view.columns)}}}",
        r"\toprule",
        _tex_line(head),
        r"\midrule",
        *(line for row in view.rows for line in _tex_row(view, *row)),
        r"\bottomrule",
        r"\end{tabular}",
        "}",
        *_tex_foot(view),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_caption(view: _View) -> str:
    """Title and number, deviations, caption."""
    document = view.document
    number = f" ({_tex(document.number)})" if document.number else ""
    parts = [f"{_tex(document.title)}{number}."]
    parts += [rf"\textbf{{{_tex(view.marked())}.}}"] if view.deviations else []
    parts += [_tex(document.caption)] if document.caption else []
    return " ".join(parts)


def _tex_line(entries: Sequence[str]) -> str:
    return " & ".join(entries) + r" \\"


def _tex_row(view: _View, row: str, label: str) -> list[str]:
    """The line of a row, and the paper's line where it prints any of its cells."""
    cells = [view.cell(row, key) for key in view.units]
    ours = [_tex_cell(view, cell, key) for cell, key in zip(cells, view.units, strict=True)]
    lines = [_tex_line([_tex(label), *ours])]
    papers = [_tex(cell.paper_text) if cell else "" for cell in cells]
    if any(papers):
        lines.append(_tex_line([r"\quad\textit{paper}", *papers]))
    return lines


def _tex_cell(view: _View, cell: Cell | None, column: str | None) -> str:
    if cell is None:
        return ""
    text = _tex(view.shown(cell, column))
    return f"{text}\\textsuperscript{{{_references(view, cell)}}}" if cell.flags else text


def _tex_foot(view: _View) -> list[str]:
    """Lines under the table, each a paragraph: n, notes, footnotes."""
    lines = [_tex(" ".join(view.foot()))] if view.foot() else []
    for note in view.document.notes:
        said = _tex(note.cell.paper_text)
        paper = f", paper: {said}" if said else ""
        lines.append(f"{_tex(note.label)}: {_tex_cell(view, note.cell, None)}{paper}")
    lines += [f"\\textsuperscript{{{number}}} {_tex(flag)}" for flag, number in view.flags.items()]
    if not lines:
        return []
    return [r"\par\medskip", r"{\footnotesize\raggedright", *(f"{x}\\par" for x in lines), "}"]


# Comparison


def to_comparison(documents: Sequence[Document]) -> str:
    """Return one Markdown page with every cell of all documents beside the paper's, and counts."""
    views = [_View(document) for document in documents]
    parts = [
        "# Every cell beside the paper's",
        "\n".join(f"- **{verdict}**: {meaning}" for verdict, meaning in VERDICTS.items()),
        "\n".join(_verdict_counts(views)),
        *(_comparison_section(view) for view in views),
    ]
    return "\n\n".join(parts) + "\n"


def _verdict_counts(views: Sequence[_View]) -> list[str]:
    """A table of how often each verdict falls in each table, and in all."""
    counts: list[Counter[str]] = [
        Counter(cell.verdict for _, _, cell in view.every()) for view in views
    ]
    total: Counter[str] = sum(counts, Counter())
    names = [escaped(view.document.number or view.document.id) for view in views]
    lines = [
        [name, *(str(count[verdict]) for verdict in VERDICTS), str(count.total())]
        for name, count in zip([*names, "**all**"], [*counts, total], strict=True)
    ]
    return markdown_table(["", *VERDICTS, "cells"], lines, "l" + "r" * (len(VERDICTS) + 1))


def _comparison_section(view: _View) -> str:
    head = [
        "cell",
        view.document.row_label or "row",
        "column",
        "ours",
        "paper",
        "n",
        "verdict",
        "flags",
    ]
    lines = [
        [
            f"`{cell.id}`",
            *map(escaped, (row, column, f"{cell.text} {cell.printed_unit or ''}", cell.paper_text)),
            "" if cell.n is None else str(cell.n),
            cell.verdict,
            "; ".join(map(escaped, cell.flags)),
        ]
        for row, column, cell in view.every()
    ]
    table = markdown_table([*map(escaped, head)], lines, "lllrrrll")
    return "\n\n".join([_markdown_head(view, "##"), "\n".join(table) if lines else "No cells."])
