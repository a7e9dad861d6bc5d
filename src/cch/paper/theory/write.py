"""The target ``theory``, last step: its documents and figures as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cch.config.paths import Paths
from cch.config.specs import TheorySpec
from cch.paper.theory import THEORY_FIGURES
from cch.paper.theory.documents import DOCUMENTS
from cch.paper.theory.figures import DRAW
from cch.tables.write import Made, save, write_table


def make(spec: TheorySpec, simulation: str | Path) -> Iterator[Made]:
    """Write the tables of the theory and draw their figures."""
    paths = Paths(spec.results, resources="")
    documents = {name: make(spec.theory, simulation) for name, make in DOCUMENTS.items()}
    for document in documents.values():
        yield write_table(document, [str(simulation)], paths)
    for figure, table in THEORY_FIGURES.items():
        yield save(DRAW[figure](documents[table]), figure, [paths.table(table)], paths)
