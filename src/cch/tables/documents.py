"""Table documents: what a table, or the numbers behind a figure, is written as and read from.

A document (format ``cch-table-2``) is the truth; CSV, Markdown, LaTeX and figures are rendered
from it. A cell holds the unrounded value and its text, n and standard error, how it was
aggregated, the runs or estimates behind it with their single values, the files that they came
from by SHA-256, and the paper's value with a verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field, ValidationError, computed_field, model_validator

from cch.base.errors import CchError
from cch.base.files import write_json
from cch.config import Model

FORMAT: Final = "cch-table-2"
NO_VALUE = "–"
NUMBER = re.compile(r"^(-?[\d,]*\.?\d+)(?:\s*±\s*(\d*\.?\d+))?$")
NAMES = {"information.estimators.0": "main estimator"}
"""Words for settings whose path says nothing to a reader."""

Verdict = Literal[
    "as published",
    "reproduced",
    "same direction",
    "differs",
    "contradicted",
    "undetermined",
    "not comparable",
    "not in the paper",
]
CellKind = Literal["measurement", "setting", "conclusion"]
"""A measurement is a number of runs, a setting was given before them, a conclusion is in words."""


def format_value(value: float | str | None, se: float | None = None, digits: int = 4) -> str:
    """Return the printed text of a value: ``0.4399 ± 0.0100``, ``-0.0032``, or ``–`` for none.

    Args:
        value: a number, a text (returned as it is), or None; NaN and infinities print as none.
        se: its standard error, left out where None or not finite.
        digits: decimals. A value that rounds to zero has no sign.
    """
    if isinstance(value, str):
        return value
    if value is None or not math.isfinite(value):
        return NO_VALUE
    text = f"{value:z.{digits}f}"
    if se is not None and math.isfinite(se):
        text += f" ± {se:.{digits}f}"
    return text


def setting_text(value: Any) -> str:
    """Return the words for a value of the configuration."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        inner = [f"{key} {setting_text(item)}" for key, item in value.items()]
        return ", ".join(inner) if inner else "the defaults"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting_text, value))
    return f"{value:g}" if isinstance(value, float) else f"{value}"


@dataclass(frozen=True)
class Claim:
    """A printed cell of the paper: its text, and the number and standard error in it, or None.

    ``n`` is over how many runs the error is, where the paper says it.
    """

    text: str
    value: float | None
    se: float | None
    n: int | None = None

    @classmethod
    def parse(cls, text: str) -> Claim:
        """Read a cell as printed: ``0.0010 ± 0.0040``, ``10,000``, ``Adam``."""
        match = NUMBER.match(text.strip())
        if not match:
            return cls(text, None, None)
        value, se = match.groups()
        return cls(text, float(value.replace(",", "")), float(se) if se else None)

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit."""
        if self.value is None:
            return 0.0
        digits = self.text.split("±")[0].strip().partition(".")[2]
        return 0.5 * 10.0 ** -len(digits)


class Stored(Model):
    """Base of all parts of a document; fields that a later version adds are ignored."""

    model_config = ConfigDict(extra="ignore")


class Deviation(Stored):
    """One thing that sets a table apart from the paper.

    Attributes:
        study: the study that it is about; None for stand-in data.
        path: the setting that differs, dotted below the study; ``dataset.*`` is of its dataset.
        ours: our value of that setting.
        paper: the paper's, several where the paper contradicts itself.
        text: in place of a setting: which data stand in, what the classes were defined from, or
            that the study is not in the paper.
    """

    study: str | None = None
    path: str | None = None
    ours: Any = None
    paper: tuple[Any, ...] = ()
    text: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sentence(self) -> str:
        """The deviation as tables say it."""
        if self.path is None:
            return self.text or ""
        name = NAMES.get(self.path, self.path).replace("_", " ")
        papers = " or ".join(map(setting_text, self.paper))
        return f"{name}: {setting_text(self.ours)} (paper: {papers})"


class InputFile(Stored):
    """A file that a cell was made from."""

    path: str
    sha256: str


class Member(Stored):
    """A run, estimate or replication behind a cell, with its single value.

    Attributes:
        kind: run, estimate or replication.
        id: its identity in the file.
        file: the path of the file; None where the value was given.
        seed: of the run, or the number of the replication.
        value: in the unit of the cell's value.
        minus, minus_file: what was subtracted, for a paired difference.
    """

    kind: str
    id: str
    file: str | None
    seed: int
    value: float
    minus: str | None = None
    minus_file: str | None = None


class Interval(Stored):
    """The 95 % interval of a paired difference; see ``cch.criterion.gain``.

    Attributes:
        low, high: its ends, in the unit of the cell's value.
        se: the standard error behind it.
        p: two-sided p-value of no difference; of a conclusion corrected for the levels of its
            sweep.
        design: how the test rows of the seeds hang together: splits, fixed or draws.
        units: how many cases were resampled; None for independent draws.
        grouped: whether a case is a group of rows.
        corrected: the interval by Nadeau and Bengio's error, for random splits.
    """

    low: float
    high: float
    se: float
    p: float
    design: Literal["splits", "fixed", "draws"]
    units: int | None = None
    grouped: bool = False
    corrected: tuple[float, float] | None = None

    def text(self, digits: int = 4) -> str:
        """Both ends as printed: ``[-0.0080, 0.0100]``."""
        return f"[{format_value(self.low, None, digits)}, {format_value(self.high, None, digits)}]"


class Cell(Stored):
    """One number, setting or conclusion.

    Attributes:
        id: ``table/row/column``.
        study: None for cells of generated samples.
        value: unrounded, in ``unit``; a text for settings and conclusions.
        text: as printed, in ``text_unit`` where that differs from ``unit``.
        n: how many members the value is aggregated from; None where it is no aggregate.
        se: standard error of the value over its members, s/√n, as the paper has it.
        interval: of a paired difference, with an error that covers cases as well as seeds.
        aggregation: how the value came from its members, in words.
        query: what was asked, see ``cch.tables.queries``.
        members: what the value is aggregated from.
        inputs: the files that were read.
        paper: the printed cell.
        verdict: ours beside the paper's, see ``cch.tables.compare``.
        flags: what a reader must know, such as diverged runs.
        kind: see ``CellKind``.
        deviations: which of the document's deviations can reach this cell, by position.
    """

    id: str
    study: str | None = None
    value: float | int | str | None
    text: str
    unit: str | None
    text_unit: str | None = None
    n: int | None
    se: float | None
    aggregation: str
    query: dict[str, Any]
    members: tuple[Member, ...]
    inputs: tuple[InputFile, ...]
    paper: Claim | None
    verdict: Verdict
    flags: tuple[str, ...]
    kind: CellKind = "measurement"
    deviations: tuple[int, ...] = ()
    interval: Interval | None = None

    @property
    def key(self) -> str:
        """``row/column``."""
        return self.id.partition("/")[2]

    @property
    def number(self) -> float:
        """The value of a cell that has one, for figures; not a number where it has none."""
        return float(self.value) if isinstance(self.value, float | int) else math.nan

    @property
    def printed_unit(self) -> str | None:
        """The unit of the text."""
        return self.text_unit or self.unit

    @property
    def paper_text(self) -> str:
        """What the paper prints, or an empty text."""
        return self.paper.text if self.paper else ""

    def to_json(self) -> dict[str, Any]:
        """The cell as plain data; optional fields without a value are left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


def generated_cell(
    identity: str,
    query: dict[str, Any],
    value: float | None,
    aggregation: str,
    *,
    text: str | None = None,
    unit: str | None = None,
    se: float | None = None,
    members: tuple[Member, ...] = (),
    inputs: tuple[InputFile, ...] = (),
) -> Cell:
    """Return a cell of generated samples or of a formula, which the paper does not print.

    Args:
        identity: ``table/row/column``.
        query: its kind, and what that kind needs.
        value: unrounded.
        aggregation: how the value came about, in words.
        text: in place of the formatted value.
        unit: of the value.
        se: standard error.
        members: what it is aggregated from; n is their number.
        inputs: the files that were read.
    """
    return Cell(
        id=identity,
        value=value,
        text=format_value(value, se) if text is None else text,
        unit=unit,
        n=len(members) or None,
        se=se,
        aggregation=aggregation,
        query=query,
        members=members,
        inputs=inputs,
        paper=None,
        verdict="not in the paper",
        flags=(),
    )


class Column(Stored):
    """A column: key, heading, the unit that its cells are printed in, style of its curve."""

    key: str
    label: str
    unit: str | None
    style: str | None


class Row(Stored):
    """A row: key, heading, and the parameters of a generated case, for figures."""

    key: str
    label: str
    parameters: dict[str, float | bool] = Field(default_factory=dict)


class Note(Stored):
    """A number beside the table: its label and cell."""

    label: str
    cell: Cell


class Panel(Stored):
    """A panel of a figure: columns drawn against the levels, or against the truths of ``rows``."""

    key: str
    title: str
    y_label: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]


class Document(Stored):
    """A table, or the numbers behind a figure.

    Attributes:
        format: ``FORMAT``.
        id: name of the table and of its files.
        kind: ``table``, or what is drawn from it.
        number: as the paper numbers it, such as ``Table 5``.
        title, caption: settings in them are filled in.
        study: the study of cells that name none.
        row_label: heading of the rows.
        deviations: all that sets the table apart from the paper.
        settings: the configuration of each study, and of its dataset.
        columns, rows, panels: in order.
        cells: by ``row/column``.
        notes: numbers beside the table.
    """

    format: Literal["cch-table-2"]
    id: str
    kind: str
    number: str
    title: str
    caption: str
    study: str | None
    row_label: str
    deviations: tuple[Deviation, ...]
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    panels: tuple[Panel, ...]
    cells: dict[str, Cell]
    notes: tuple[Note, ...]

    @model_validator(mode="after")
    def _every_cell_has_a_place(self) -> Document:
        for name, part in (("columns", self.columns), ("rows", self.rows)):
            keys = [entry.key for entry in part]
            if len(set(keys)) != len(keys):
                raise ValueError(f"keys of {name} repeat")
        places = {f"{row.key}/{column.key}" for row in self.rows for column in self.columns}
        lost = [key for key in self.cells if key not in places]
        if lost:
            raise ValueError(f"cell {lost[0]!r} is at no row and column of the table")
        for cell in self.all_cells.values():
            if any(not 0 <= place < len(self.deviations) for place in cell.deviations):
                raise ValueError(f"cell {cell.id!r} names a deviation that its table has not")
        return self

    @property
    def all_cells(self) -> dict[str, Cell]:
        """All cells by key; those of notes are ``notes/<key>``."""
        return self.cells | {note.cell.key: note.cell for note in self.notes}

    def cell(self, key: str) -> Cell | None:
        """The cell or note of a key, or None."""
        notes = (note.cell for note in self.notes if note.cell.key == key)
        return self.cells.get(key) or next(notes, None)

    @property
    def heading(self) -> str:
        """Number and title."""
        return f"{self.number}. {self.title}" if self.number else self.title

    @property
    def deviation_sentences(self) -> list[str]:
        """The sentences of all deviations, equal ones of several studies once."""
        return list(dict.fromkeys(deviation.sentence for deviation in self.deviations))

    def reaching(self, cell: Cell) -> list[str]:
        """The sentences of the deviations that can reach a cell, each once."""
        found = (self.deviations[place].sentence for place in cell.deviations)
        return list(dict.fromkeys(found))

    def column_cells(self, key: str) -> Iterator[tuple[Row, Cell | None]]:
        """Yield every row with its cell in a column; None where the table is empty."""
        for row in self.rows:
            yield row, self.cells.get(f"{row.key}/{key}")

    def to_json(self) -> dict[str, Any]:
        """The document as plain data; optional fields without a value are left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


def write_document(path: str | Path, document: Document) -> None:
    """Write a document as JSON, whole or not at all."""
    write_json(path, document.to_json())


def read_document(path: str | Path) -> Document:
    """Read a document.

    Raises:
        CchError: there is no such file, or it is no whole table document; one line.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CchError(path, f"cannot be read ({error.strerror})", "build it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CchError(path, f"is no JSON ({error})", "delete it and build it again") from None
    return parse_document(content, path)


def parse_document(content: Any, where: object) -> Document:
    """Return the document that plain data hold.

    Raises:
        CchError: they are no whole table document of this format; the line names ``where``.
    """
    found = content.get("format") if isinstance(content, dict) else None
    reason = f"its format is {found!r}, expected {FORMAT!r}"
    if found == FORMAT:
        try:
            return Document.model_validate(content)
        except ValidationError as error:
            reason = _first(error)
    raise CchError(where, f"is no table document: {reason}", "delete it and build it again")


def _first(error: ValidationError) -> str:
    """The first error in words."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"it has no {place!r}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def table_documents(results: str | Path) -> list[Path]:
    """The paths of all table documents under a results folder, sorted; empty if none."""
    paths = sorted((Path(results) / "tables").glob("*.json"))
    return [path for path in paths if not path.name.endswith(".record.json")]
