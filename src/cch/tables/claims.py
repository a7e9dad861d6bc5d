"""What the paper printed: ``paper/claims.yaml``, every cell and every stated setting."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from cch.base.errors import CchError
from cch.config import Config, Model
from cch.tables.layouts import Layout

NAMED = {"information.estimators.0": "main estimator"}
"""Words for settings whose path says nothing to a reader."""

DEVIATION = re.compile(r"standard deviation over (\d+) runs")
NUMBER = re.compile(r"^(-?[\d,]*\.?\d+)(?:\s*±\s*(\d*\.?\d+))?$")


@dataclass(frozen=True)
class Claim:
    """One printed cell: its text, and the number and standard error in it where it is one."""

    text: str
    value: float | None
    se: float | None

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
        """The printed cells with the standard errors of their means.

        Where the paper's ± is a standard deviation over n runs, that is the deviation over √n.
        """
        stated = self.tables[table].error if table in self.tables else None
        match = DEVIATION.fullmatch(stated or "")
        root = math.sqrt(int(match.group(1))) if match else 1.0
        return {
            key: claim if claim.se is None else replace(claim, se=claim.se / root)
            for key, claim in self.cells(table).items()
        }

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
        claims = Claims.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
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


def setting(config: Config, study_name: str, path: str) -> Any:
    """A value of a study by its dotted path; ``dataset.*`` reads the study's dataset.

    Raises:
        CchError: there is no such key.
    """
    study = config.studies[study_name]
    first, _, rest = path.partition(".")
    node: Any = study.model_dump(mode="json")
    if first == "dataset" and rest:
        node, path = config.datasets[study.dataset].model_dump(mode="json"), rest
    for part in path.split("."):
        try:
            node = node[int(part)] if isinstance(node, list) else node[part]
        except (KeyError, IndexError, ValueError):
            raise CchError(f"studies.{study_name}", f"has no setting {path!r}") from None
    return node


def titled(layout: Layout, config: Config) -> str:
    """The title of a table or figure."""
    return filled(layout.title, layout, config)


def filled(text: str, layout: Layout, config: Config) -> str:
    """A title or heading with ``{dataset.alpha}`` and the like filled in.

    Settings in it come from the configuration, so that it never names another setting than the one
    that ran.
    """

    def value(match: re.Match[str]) -> str:
        return _words(setting(config, layout.study, match.group(1)))

    return re.sub(r"\{([\w.]+)\}", value, text)


def study_deviations(config: Config, claims: Claims, study_name: str) -> list[str]:
    """How a study's settings differ from those that the paper states, in words; empty if none.

    A list in the claims stands for values among which the paper contradicts itself, unless the
    configuration's own value is a list.
    """
    if study_name not in claims.settings:
        return ["a study that is not in the paper"]
    deviations = []
    for path, stated in claims.settings[study_name].items():
        ours = setting(config, study_name, path)
        accepted = stated if isinstance(stated, list) and not isinstance(ours, list) else [stated]
        for key, value, papers in _differences(path, ours, accepted):
            said = " or ".join(_words(one) for one in papers)
            deviations.append(
                f"{NAMED.get(key, key).replace('_', ' ')}: {_words(value)} (paper: {said})"
            )
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


def all_deviations(config: Config, claims: Claims, layout: Layout) -> list[str]:
    """The deviations of all studies of a layout, each once.

    A study's own table states no number of the paper, so a study without settings there is none.
    """
    studies = [s for s in layout.studies if s in claims.settings or not layout.own]
    return list(
        dict.fromkeys(
            deviation for study in studies for deviation in study_deviations(config, claims, study)
        )
    )


def _words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        inner = [f"{key} {_words(item)}" for key, item in value.items()]
        return ", ".join(inner) if inner else "the defaults"
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else f"{value}"
