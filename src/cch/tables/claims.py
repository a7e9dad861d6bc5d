"""What the paper printed: ``paper/claims.yaml``, every cell and every stated setting."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from cch.base.errors import CchError
from cch.base.files import parse_yaml
from cch.config import Config, Model
from cch.tables.documents import Claim, Deviation, setting_text
from cch.tables.layout import Layout
from cch.tables.source import setting

ERROR = re.compile(r"standard (error|deviation) over (\d+) runs")


class ClaimedTable(Model):
    """A table as printed: column keys, for every row its cells in that order, and its caption's
    numbers by key; and where it stands, see the head of ``paper/claims.yaml``.
    """

    title: str = ""
    section: str = ""
    line: int | None = None
    error: str | None = None
    units: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    aside: list[str] = Field(default_factory=list)
    columns: list[str] = Field(default_factory=list)
    rows: dict[str, list[str | None]] = Field(default_factory=dict)
    notes: dict[str, str] = Field(default_factory=dict)


class Statement(Model):
    """What the paper says of one thing at one place: a value by words there, or a table's cell.

    A cell is in doubt where places differ, unless ``doubted`` is false: right where it stands.
    """

    where: str
    value: str | None = None
    words: str | None = None
    cell: str | None = None
    part: int | None = None
    doubted: bool = True


class TextSource(Model):
    """The text that the transcription was checked against; it is not in the repository."""

    sha256: str


class Claims(Model):
    """The transcription: cells of each table, and the settings that the paper states."""

    text: TextSource | None = None
    tables: dict[str, ClaimedTable]
    stated: dict[str, list[Statement]] = Field(default_factory=dict)
    settings: dict[str, dict[str, Any]]

    def cells(self, table: str) -> dict[str, Claim]:
        """The printed cells of a table by ``row/column``."""
        printed = self.tables.get(table)
        if printed is None:
            return {}
        grid = {
            f"{row}/{column}": Claim.parse(text)
            for row, texts in printed.rows.items()
            for column, text in zip(printed.columns, texts, strict=True)
            if text is not None
        }
        return grid | {f"notes/{key}": Claim.parse(text) for key, text in printed.notes.items()}

    def column(self, table: str, column: str) -> dict[str, float]:
        """Return the printed numbers of a column by row label.

        Raises:
            CchError: there is no such table or column.
        """
        printed = self.tables.get(table)
        if printed is None or column not in printed.columns:
            known = ", ".join(self.tables if printed is None else printed.columns)
            raise CchError(f"{table}/{column}", "is not in paper/claims.yaml", f"there are {known}")
        cells = self.cells(table)
        values = {row: cells[f"{row}/{column}"].value for row in printed.rows}
        return {printed.labels.get(row, row): v for row, v in values.items() if v is not None}

    def means(self, table: str) -> dict[str, Claim]:
        """The printed cells of a table with the standard errors of their means, and their n.

        Where the paper's ± is a standard deviation over n runs, that is the deviation over √n.
        """
        stated = self.tables[table].error if table in self.tables else None
        match = ERROR.fullmatch(stated or "")
        n = int(match[2]) if match else None
        root = math.sqrt(n) if n and match and match[1] == "deviation" else 1.0
        return {
            key: claim if claim.se is None else replace(claim, se=claim.se / root, n=n)
            for key, claim in self.cells(table).items()
        }

    def runs(self, study: str, estimated: bool) -> int | None:
        """How many runs the paper states for a study, or None.

        Args:
            study: its name.
            estimated: of its estimates, rather than of its trained networks.
        """
        stated = self.settings.get(study, {})
        found = stated.get("information.runs" if estimated else "seeds")
        return found if isinstance(found, int) else None

    def of(self, table: str, studies: Iterable[str]) -> Claims:
        """What is printed in one table, and stated of some studies."""
        return Claims(
            tables={name: one for name, one in self.tables.items() if name == table},
            settings={name: one for name, one in self.settings.items() if name in studies},
        )


def load_claims(path: str | Path) -> Claims:
    """Read the transcription.

    Raises:
        CchError: it does not have the form that ``Claims`` describes.
    """
    try:
        claims = Claims.model_validate(parse_yaml(Path(path).read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError) as error:
        raise CchError(path, " ".join(str(error).split())) from None
    for name, table in claims.tables.items():
        for row, texts in table.rows.items():
            if len(texts) != len(table.columns):
                raise CchError(
                    path,
                    f"tables.{name}.rows.{row} has {len(texts)} cells for "
                    f"{len(table.columns)} columns",
                )
    return claims


def titled(layout: Layout, config: Config) -> str:
    """The title of a table or figure."""
    return filled(layout.title, layout, config)


def filled(text: str, layout: Layout, config: Config) -> str:
    """A title or heading with ``{dataset.alpha}`` and the like filled in.

    Settings in it come from the configuration, so that it never names another setting than the one
    that ran.
    """

    def value(match: re.Match[str]) -> str:
        return setting_text(setting(config, layout.study, match.group(1)))

    return re.sub(r"\{([\w.]+)\}", value, text)


def study_deviations(config: Config, claims: Claims, study_name: str) -> list[Deviation]:
    """Return how a study's settings differ from those that the paper states; empty if they do not.

    A list in the claims stands for values among which the paper contradicts itself, unless the
    configuration's own value is a list.
    """
    if study_name not in claims.settings:
        return [Deviation(study=study_name, text="a study that is not in the paper")]
    deviations = []
    for path, stated in claims.settings[study_name].items():
        ours = setting(config, study_name, path)
        accepted = stated if isinstance(stated, list) and not isinstance(ours, list) else [stated]
        deviations += [
            Deviation(study=study_name, path=key, ours=value, paper=tuple(papers))
            for key, value, papers in _differences(path, ours, accepted)
        ]
    return deviations


def _differences(path: str, ours: Any, accepted: list[Any]) -> Iterator[tuple[str, Any, list[Any]]]:
    """Path, our value and the paper's where they differ; of equal sets of keys, key by key."""
    if ours in accepted:
        return
    # Of several mappings each is accepted as a whole, so those are not taken apart.
    papers = accepted[0] if len(accepted) == 1 else None
    if isinstance(ours, dict) and isinstance(papers, dict) and ours.keys() == papers.keys():
        for key, value in ours.items():
            yield from _differences(f"{path}.{key}", value, [papers[key]])
    else:
        yield path, ours, accepted


def all_deviations(config: Config, claims: Claims, layout: Layout) -> list[Deviation]:
    """Return the deviations of all studies of a layout.

    A study's own table states no number of the paper, so a study without settings there is none.
    """
    studies = [s for s in layout.studies if s in claims.settings or not layout.own]
    return [one for study in studies for one in study_deviations(config, claims, study)]
