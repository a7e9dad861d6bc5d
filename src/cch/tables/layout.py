"""What every table and figure consists of: rows, columns, and a query for each cell.

``layouts`` finds them; what a cell can ask is in ``cch.tables.queries``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import ConfigDict, Field

from cch.config import Config, Model, Study
from cch.tables.documents import Panel
from cch.tables.queries import Query, read_query
from cch.tables.source import Source
from cch.training.plan import level_name

MAIN = "main"
"""In a query: the first estimator of the study's configuration."""


class ColumnLayout(Model):
    """A column: key, heading, unit, and the part of the query that its cells share.

    Values are nats; ``unit: bits`` has them printed, and compared with the paper's, in bits.
    """

    key: str
    label: str
    unit: Literal["nats", "bits"] | None = None
    query: dict[str, Any] = Field(default_factory=dict)
    style: Literal["kd", "no-kd", "teacher-student", "student-label"] | None = None


class RowLayout(Model):
    """A row: key, heading, and a query for single cells by column key.

    A row may be of another study than the layout, and so may a single cell, by the key ``study``
    of its query.
    """

    key: str
    label: str
    study: str | None = None
    cells: dict[str, dict[str, Any]] = Field(default_factory=dict)


class NoteLayout(Model):
    """A number of the caption; its unit as a column's."""

    key: str
    label: str
    unit: Literal["nats", "bits"] | None = None
    query: dict[str, Any]


class PanelLayout(Panel):
    """A panel of a figure; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")

    rows: tuple[str, ...] = ()


class Layout(Model):
    """One table or figure over one study, single rows or cells over others."""

    number: str
    title: str
    caption: str = ""
    study: str
    kind: Literal["table", "curves", "samples", "calibration", "architecture", "pairs"] = "table"
    row_label: str = ""
    rows: Literal["levels"] | list[RowLayout] = "levels"
    columns: list[ColumnLayout] = Field(default_factory=list)
    notes: list[NoteLayout] = Field(default_factory=list)
    panels: list[PanelLayout] = Field(default_factory=list)
    own: bool = Field(
        False, description="Of a study or an entry of pairs, not a table of the paper."
    )

    def row_list(self, study: Study) -> list[RowLayout]:
        """The rows: those written out, or one for every level of the study."""
        if self.rows != "levels":
            return list(self.rows)
        return [
            RowLayout(key=level_name(level), label=level_name(level))
            for level in study.degradation.levels
        ]

    def queries(self, config: Config) -> Iterator[tuple[str, str, Query]]:
        """Yield (cell key, study, query) for all cells, notes included; keys are ``row/column``."""
        for row in self.row_list(config.studies[self.study]):
            for column in self.columns:
                key, study = f"{row.key}/{column.key}", row.study or self.study
                if self.rows == "levels":
                    asked = column.query | {"level": row.key}
                elif column.key in row.cells:
                    asked = column.query | row.cells[column.key]
                else:
                    continue
                yield key, *self._query(config, study, asked, key)
        for note in self.notes:
            key = f"notes/{note.key}"
            yield key, *self._query(config, self.study, note.query, key)

    def _query(
        self, config: Config, study: str, asked: dict[str, Any], key: str
    ) -> tuple[str, Query]:
        """The study of a cell, and its query."""
        whole = {"study": study} | asked
        name = whole.pop("study")
        if whole.get("estimator") == MAIN:
            whole["estimator"] = config.studies[name].information.estimators[0]
        return name, read_query(whole, f"{self.number}, cell {key}")

    def in_bits(self, key: str) -> bool:
        """Whether the cell of this key is printed in bits: its column or note says so."""
        row, _, column = key.rpartition("/")
        parts = self.notes if row == "notes" else self.columns
        return any(part.key == column and part.unit == "bits" for part in parts)

    @property
    def studies(self) -> list[str]:
        """All studies that a cell may be of, the layout's own first."""
        parts = [column.query for column in self.columns] + [note.query for note in self.notes]
        rows = [] if self.rows == "levels" else self.rows
        parts += [query for row in rows for query in row.cells.values()]
        named = [row.study for row in rows] + [part.get("study") for part in parts]
        return list(dict.fromkeys([self.study, *filter(None, named)]))

    def labelled(self, part: ColumnLayout | NoteLayout, study: Study) -> str:
        """The heading of a column or note; it names the estimator of its numbers."""
        estimator = part.query.get("estimator")
        if estimator is None:
            return part.label
        name = study.information.estimators[0] if estimator == MAIN else estimator
        return part.label if name in part.label else f"{part.label}, {name}"


def layout_inputs(layout: Layout, config: Config) -> list[str]:
    """All files that a layout's cells read, sorted."""
    sources = {study: Source(config, study) for study in layout.studies}
    asked = ((sources[study], query) for _, study, query in layout.queries(config))
    return sorted({path for source, query in asked for path in query.inputs(source)})
