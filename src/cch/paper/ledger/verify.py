"""Compare the transcription with the paper's text, number by number in the order of printing.

The text is not in the repository; its path is an argument. The numbers of a table are read in order
from the first words of its caption, up to as many as were transcribed: the caption's notes, then
label and cells of each row. Only the order of the numbers matters, so words run together and LaTeX
markup in the extracted text do not. A table line after the last transcribed number is reported as a
missing row. A figure's caption is the text from ``Figure N:`` to the end of its line; its notes
must be there in order.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.tables.claims import ClaimedTable, Claims, load_claims

# A minus after a word or digit is a range: "10-20" is two positive numbers.
SIZE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
NUMBER = re.compile(rf"(?<![\w.])[-−]?{SIZE}|{SIZE}")
# Names and markup with digits, in any table.
NAMES = re.compile(r"F1|BatchNorm1d|[_^]\{?\d+\}?")


@dataclass
class Difference:
    """A number that differs from its transcription."""

    table: str
    cell: str
    transcribed: str
    printed: str
    line: int

    def __str__(self) -> str:
        return (
            f"{self.table}/{self.cell}: transcribed {self.transcribed or 'nothing'}, "
            f"printed {self.printed or 'nothing'} (line {self.line})"
        )


@dataclass
class Outcome:
    """Result of the comparison.

    Attributes:
        numbers: transcribed numbers that were compared, by table.
        statements: number of statements of the running text that were searched for.
        differences: one line for each difference.
        same_text: whether the text is byte for byte the one that line numbers refer to.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    statements: int = 0
    differences: list[str] = field(default_factory=list)
    same_text: bool = False

    def lines(self) -> list[str]:
        """Return one line for each difference, then the count."""
        total = sum(self.numbers.values())
        where = f"{len(self.numbers)} tables and captions"
        counted = f"{total} numbers of {where} and {self.statements} statements compared"
        return [*self.differences, f"{counted}; {len(self.differences)} differences"]


def numbers_in(text: str, aside: list[str] | tuple[str, ...] = ()) -> list[str]:
    """Return the numbers of a text in order, without separators and the words in ``aside``."""
    for words in aside:
        text = text.replace(words, " ")
    found = NUMBER.findall(NAMES.sub(" ", text))
    return [number.replace("−", "-").replace(",", "") for number in found]


def expected(table: ClaimedTable) -> Iterator[tuple[str, str]]:
    """Yield (cell, number) of all transcribed numbers in the order of printing, labels included."""
    for key, text in table.notes.items():
        for number in numbers_in(text):
            yield f"notes/{key}", number
    for row, texts in table.rows.items():
        label = table.labels.get(row, row if re.fullmatch(r"[\d.]+", row) else "")
        for number in numbers_in(label):
            yield f"{row} (label)", number
        for column, text in zip(table.columns, texts, strict=True):
            for number in numbers_in(text or ""):
                yield f"{row}/{column}", number


def verify_text(text: str, claims: Claims, same_text: bool = False) -> Outcome:
    """Compare the transcription with the paper's text; see the module docstring.

    Args:
        text: the paper as plain text, tables in the place of their captions.
        claims: the transcription.
        same_text: whether line numbers of the transcription refer to this text and are compared.
    """
    lines, outcome = text.split("\n"), Outcome(same_text=same_text)
    for name, table in claims.tables.items():
        wanted = list(expected(table))
        start = _caption(lines, name)
        if start is None:
            outcome.differences.append(f"{name}: there is no caption of it in the text")
            continue
        if same_text and table.line != start + 1:
            said = f"{name}: its caption is in line {start + 1}, transcribed as {table.line}"
            outcome.differences.append(said)
        outcome.numbers[name] = len(wanted)
        found = _caption_only(lines, start) if name.startswith("fig") else None
        printed = found or list(_numbers_from(lines, start, len(wanted), table.aside))
        outcome.differences += map(str, _compare(name, wanted, printed, start))
        if found is None:
            outcome.differences += _missing_row(name, lines, printed, table.aside)
    _verify_statements(text, claims, outcome)
    return outcome


def _caption(lines: list[str], name: str) -> int | None:
    """Return the index of the line that begins with the caption of ``table05`` or ``fig02``."""
    word = "Table" if name.startswith("table") else "Figure"
    begins = f"{word} {int(re.sub(r'[^0-9]', '', name))}:"
    return next((i for i, line in enumerate(lines) if line.startswith(begins)), None)


def _caption_only(lines: list[str], start: int) -> list[tuple[str, int]]:
    rest = lines[start].partition(":")[2]
    return [(number, start + 1) for number in numbers_in(rest)]


def _numbers_from(
    lines: list[str], start: int, count: int, aside: list[str]
) -> Iterator[tuple[str, int]]:
    """Yield (number, line) after a caption's first words, to the end of the line of the last."""
    left = count
    for at in range(start, len(lines)):
        if left <= 0 or (at > start and lines[at].startswith(("Table ", "Figure "))):
            return
        text = lines[at].partition(":")[2] if at == start else lines[at]
        for number in numbers_in(text, aside):
            left -= 1
            yield number, at + 1


def _compare(
    name: str, wanted: list[tuple[str, str]], printed: list[tuple[str, int]], start: int
) -> list[Difference]:
    ours, theirs = [number for _, number in wanted], [number for number, _ in printed]
    if ours == theirs:
        return []
    if name.startswith("fig"):  # other numbers of a caption are not cells
        theirs = [number for number in theirs if number in ours]
        printed = [pair for pair in printed if pair[0] in ours]
    differences = []
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            continue
        for k in range(max(b - a, d - c)):
            cell, mine = wanted[a + k] if a + k < b else ("", "")
            number, line = printed[c + k] if c + k < d else ("", 0)
            cell = cell or f"after {wanted[a - 1][0] if a else 'the caption'}"
            line = line or (printed[min(c, len(printed) - 1)][1] if printed else start + 1)
            differences.append(Difference(name, cell, mine, number, line))
    return differences


def _missing_row(
    name: str, lines: list[str], printed: list[tuple[str, int]], aside: list[str]
) -> list[str]:
    """Report a table line with numbers directly below the last number that was compared."""
    if not printed:
        return []
    at = printed[-1][1]
    below = lines[at] if at < len(lines) else ""
    if "\t" in below and numbers_in(below, aside):
        return [f"{name}: a row of it was not transcribed (line {at + 1})"]
    return []


def _verify_statements(text: str, claims: Claims, outcome: Outcome) -> None:
    squeezed = " ".join(text.split())
    for name, statements in claims.stated.items():
        for statement in statements:
            outcome.statements += 1
            if statement.words and " ".join(statement.words.split()) not in squeezed:
                outcome.differences.append(f"stated {name}: {statement.words!r} is not in the text")
            said = set(numbers_in(statement.words or ""))
            if said and not set(numbers_in(statement.value or "")) <= said:
                what = f"{statement.value} is not what {statement.words!r} says"
                outcome.differences.append(f"stated {name}: {what}")


def verify(path: str | Path, claims_path: str | Path) -> Outcome:
    """Compare ``paper/claims.yaml`` with a text on disk.

    Raises:
        CchError: either cannot be read.
    """
    claims = load_claims(claims_path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CchError(path, f"cannot be read as text ({error})") from None
    same = claims.text is not None and claims.text.sha256 == sha256_file(path)
    return verify_text(text, claims, same)
