"""Cells: queries answered from the files of a study, beside the paper's values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.errors import CchError
from cch.config import Config
from cch.information.units import to_bits
from cch.tables.claims import Claims, filled, titled
from cch.tables.compare import compare_numbers, compare_texts
from cch.tables.documents import (
    FORMAT,
    Cell,
    Claim,
    Column,
    Deviation,
    Document,
    Note,
    Row,
    Verdict,
    format_value,
)
from cch.tables.layout import Layout, layout_inputs
from cch.tables.queries import Answer, Query, can_reach
from cch.tables.source import Source
from cch.tables.spec import TableSpec


def build_document(spec: TableSpec) -> Document:
    """Return a table, or the numbers behind a figure.

    Raises:
        CchError: a file that a cell reads is missing or broken.
    """
    layout, config = spec.layout, spec.config
    for path in layout_inputs(layout, config):
        if not Path(path).is_file():
            raise CchError(spec.name, f"needs {path}, which does not exist", "build it first")
    study = config.studies[layout.study]
    deviations = tuple(spec.deviations)
    cells = _build_cells(spec, deviations)
    return Document(
        format=FORMAT,
        id=spec.name,
        kind=layout.kind,
        number=layout.number,
        title=titled(layout, config),
        caption=layout.caption,
        study=layout.study,
        row_label=layout.row_label,
        deviations=deviations,
        settings=_settings(layout, config),
        columns=tuple(
            Column(
                key=column.key,
                label=filled(layout.labelled(column, study), layout, config),
                unit=column.unit,
                style=column.style,
            )
            for column in layout.columns
        ),
        rows=tuple(
            Row(key=row.key, label=filled(row.label, layout, config))
            for row in layout.row_list(study)
        ),
        panels=tuple(layout.panels),
        cells={key: cell for key, cell in cells.items() if not key.startswith("notes/")},
        notes=tuple(
            Note(label=layout.labelled(note, study), cell=cells[f"notes/{note.key}"])
            for note in layout.notes
        ),
    )


def _build_cells(spec: TableSpec, deviations: Sequence[Deviation]) -> dict[str, Cell]:
    """All cells by key, those of notes too."""
    layout, config = spec.layout, spec.config
    sources = {study: Source(config, study) for study in layout.studies}
    printed = spec.claims.means(spec.name)
    return {
        key: build_cell(
            f"{spec.name}/{key}",
            query,
            sources[study],
            _with_runs(printed.get(key), spec.claims, study, query),
            deviations,
            stand_in=bool(spec.stand_ins),
            bits=layout.in_bits(key),
        )
        for key, study, query in layout.queries(config)
    }


def _with_runs(claim: Claim | None, claims: Claims, study: str, query: Query) -> Claim | None:
    """A printed cell with the n of its error: the table's, or what the paper says of the study."""
    if claim is None or claim.se is None or claim.n is not None:
        return claim
    return replace(claim, n=claims.runs(study, hasattr(query, "estimator")))


def build_cell(
    identity: str,
    query: Query,
    source: Source,
    claim: Claim | None,
    deviations: Sequence[Deviation] = (),
    *,
    stand_in: bool = False,
    bits: bool = False,
) -> Cell:
    """Return the cell of a query.

    Args:
        identity: ``table/row/column``.
        query: what is asked.
        source: the files of the study.
        claim: the printed cell.
        deviations: of the table.
        stand_in: whether the table rests on other data than the paper's.
        bits: whether text and verdict are in bits, the paper's unit there; values stay nats.
    """
    found = query.answer(source)
    value: float | str | None
    if found.text is not None:
        value, se, text = found.text, None, found.text
        verdict = compare_texts(text, claim, stand_in)
        if found.interval:
            text += f" {found.interval.text(query.digits)}"
    else:
        number, se = _summary(found)
        value = number
        text, verdict = _printed(number, se, found, query, claim, stand_in=stand_in, bits=bits)
    # A conclusion is counted like the difference that it is about.
    counted = found.exact is None and (found.text is None or found.interval is not None)
    return Cell(
        id=identity,
        study=source.name,
        value=value,
        text=text,
        unit=found.unit,
        text_unit="bits" if bits else None,
        n=len(found.members if found.interval else found.values) if counted else None,
        se=se,
        interval=found.interval,
        aggregation=found.aggregation,
        query=query.model_dump(mode="json"),
        members=tuple(found.members),
        inputs=source.inputs(query.inputs(source)),
        paper=claim,
        verdict=verdict,
        flags=tuple(found.flags),
        kind=query.cell_kind,
        deviations=tuple(
            place
            for place, deviation in enumerate(deviations)
            if can_reach(deviation, query, source.name, answered=value is not None)
        ),
    )


def _printed(
    value: float | None,
    se: float | None,
    found: Answer,
    query: Query,
    claim: Claim | None,
    *,
    stand_in: bool,
    bits: bool,
) -> tuple[str, Verdict]:
    """Text and verdict of a number, in the printed unit."""
    shown, shown_se = (to_bits(x) if bits and x is not None else x for x in (value, se))
    text = format_value(shown, shown_se, query.digits)
    if found.interval:
        text += f" {found.interval.text(query.digits)}"
    n = len(found.values)
    verdict = compare_numbers(shown, shown_se, n, claim, signed=found.signed, stand_in=stand_in)
    return text, verdict


def _summary(found: Answer) -> tuple[float | None, float | None]:
    """Value of a cell and its standard error, each None where there are too few values."""
    n = len(found.values)
    if found.exact is not None:
        return found.exact, None
    sd = float(np.std(found.values, ddof=1)) if n > 1 else None
    if found.spread:
        # Of a standard deviation, for normal values.
        return sd, None if sd is None else sd / math.sqrt(2 * (n - 1))
    return float(np.mean(found.values)) if n else None, None if sd is None else sd / math.sqrt(n)


def _settings(layout: Layout, config: Config) -> dict[str, dict[str, Any]]:
    """The configuration of every study of a table, and of its dataset, for titles and readers."""
    return {
        name: {
            "study": config.studies[name].model_dump(mode="json"),
            "dataset": config.datasets[config.studies[name].dataset].model_dump(mode="json"),
        }
        for name in layout.studies
    }
