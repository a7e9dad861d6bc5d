"""Tables and figures as files: the document, its renderings, and what is drawn from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cch.base.files import write_text
from cch.config.paths import Paths
from cch.data.paired import PairedDataset
from cch.tables import render
from cch.tables.cells import build_document
from cch.tables.documents import Document, write_document
from cch.tables.layout import layout_inputs
from cch.tables.spec import TableSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("json", "csv", "md", "tex")
DRAWINGS = ("pdf", "png")


@dataclass(frozen=True)
class Made:
    """Files that were written, and the files that they were made from.

    Attributes:
        record: where their record belongs.
        inputs, outputs: paths.
    """

    record: str
    inputs: list[str]
    outputs: list[str]


def make(spec: TableSpec) -> Iterator[Made]:
    """Write a table, and the figure that shows it where its layout has one.

    Raises:
        CchError: a file that a cell reads is missing or broken.
    """
    paths = Paths.of(spec.config)
    if spec.layout.kind == "samples":
        yield _draw_samples(spec, paths)
        return
    document = build_document(spec)
    yield write_table(document, layout_inputs(spec.layout, spec.config), paths)
    if spec.layout.kind != "table":
        yield draw(document, paths)


def write_table(document: Document, inputs: list[str], paths: Paths) -> Made:
    """Write a document in every format; JSON, from which the others are rendered, comes last."""
    name = document.id
    write_text(paths.table(name, "csv"), render.to_csv(document))
    write_text(paths.table(name, "md"), render.to_markdown(document))
    write_text(paths.table(name, "tex"), render.to_latex(document))
    write_document(paths.table(name, "json"), document)
    outputs = [paths.table(name, suffix) for suffix in FORMATS]
    return Made(paths.table(name, "record.json"), inputs, outputs)


def draw(document: Document, paths: Paths) -> Made:
    """Draw a figure from the cells of its document and from nothing else."""
    # Only documents with a figure wait for matplotlib.
    from cch.tables import figures

    drawn = figures.DRAW[document.kind](document)
    return save(drawn, document.id, [paths.table(document.id)], paths)


def save(figure: Figure, name: str, inputs: list[str], paths: Paths) -> Made:
    """Write a figure in every format."""
    from cch.tables import figures

    outputs = [paths.figure(name, suffix) for suffix in DRAWINGS]
    figures.save(figure, *outputs)
    return Made(paths.figure(name, "record.json"), inputs, outputs)


def _draw_samples(spec: TableSpec, paths: Paths) -> Made:
    """Draw samples of an image dataset: pictures, no numbers."""
    from cch.tables import figures

    study = spec.config.studies[spec.layout.study]
    data = paths.dataset(study.dataset)
    sentences = list(dict.fromkeys(deviation.sentence for deviation in spec.deviations))
    with PairedDataset(data) as dataset:
        modalities = [study.teacher, study.student]
        drawn = figures.draw_samples(dataset, modalities, spec.title, sentences)
        return save(drawn, spec.name, [data], paths)
