"""What the pages say, read from the files of a finished run."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cch.base.errors import CchError
from cch.records.record import read_record
from cch.tables.documents import Cell, Document, read_document, table_documents

STAGES = {
    "fetch": ("fetch_raw",),
    "prepare": ("prepare_dataset",),
    "select": ("select_features",),
    "train": ("train",),
    "estimate": ("estimate",),
    "calibrate": ("calibrate", "estimate_null", "estimate_decision"),
    "theory": ("simulate_theory", "tabulate_theory"),
    "tabulate": ("tabulate", "tabulate_null", "tabulate_decision"),
    "compare": ("compare", "ledger"),
}
"""The scripts of each stage, in the order in which data move."""


LATER = ("report.record.json", "audit.record.json", "crate.record.json")
"""Records of what is made after the report, which an earlier run may have left."""


@dataclass(frozen=True)
class File:
    """A file of the run with what its record says of it.

    Attributes:
        path: as recorded.
        anchor: its place on the page of files.
        record: the record; empty where there is none.
        sha256: as recorded by what made it.
    """

    path: str
    anchor: str
    record: Mapping[str, Any]
    sha256: str

    @property
    def raw(self) -> Mapping[str, Any]:
        """Where a raw file came from; empty for all others."""
        return self.record.get("raw", {})

    @property
    def inputs(self) -> Mapping[str, str]:
        """SHA-256 of the files that it was made from, by path."""
        return self.record.get("inputs", {})

    @property
    def stage(self) -> str:
        """The stage that made it."""
        rule = self.record.get("rule", "")
        return next((name for name, rules in STAGES.items() if rule in rules), rule)


@dataclass
class Run:
    """A finished run.

    Attributes:
        results: its folder.
        tables: documents by name, the paper's first.
        files: by recorded path.
        ledger: the ledger, or None where it was not made.
        jobs: seconds and number of jobs by rule.
        absent: studies that were not run, and why.
        notes: ``docs/assumptions.md`` or the like, by heading.
    """

    results: Path
    tables: dict[str, Document]
    files: dict[str, File]
    ledger: dict[str, Any] | None
    jobs: dict[str, tuple[int, float]]
    absent: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def cells(self) -> Iterator[Cell]:
        """Yield all cells of all tables, notes included."""
        for table in self.tables.values():
            yield from table.all_cells.values()

    @property
    def cell_ids(self) -> set[str]:
        """Ids of all cells of all tables."""
        return {cell.id for cell in self.cells()}

    @property
    def deviations(self) -> list[str]:
        """All that sets single tables apart from the paper, each once."""
        every = (said for table in self.tables.values() for said in table.deviation_sentences)
        return list(dict.fromkeys(every))

    @property
    def stand_in(self) -> bool:
        """Whether a number rests on other data than the paper's."""
        return any(file.raw.get("stand_in") for file in self.files.values())

    @property
    def verdicts(self) -> Counter[str]:
        """How many cells that the paper prints have which verdict."""
        return Counter(cell.verdict for cell in self.cells() if cell.paper)

    def stages(self) -> list[tuple[str, int]]:
        """Stages with the number of files that each made, in order."""
        made = Counter(file.stage for file in self.files.values())
        return [(name, made[name]) for name in STAGES if made[name]]

    def devices(self) -> Counter[str]:
        """Jobs by device."""
        named = {
            file.record["started"] + file.record["rule"]: file.record["device"]
            for file in self.files.values()
            if "device" in file.record
        }
        return Counter(named.values())

    def processors(self) -> Counter[str]:
        """Jobs by processor; jobs of older records name none."""
        jobs = {id(file.record): file.record for file in self.files.values()}
        named = (record["environment"].get("processor") for record in jobs.values())
        return Counter(name for name in named if name)

    def diverged(self) -> list[str]:
        """What cells say of runs that diverged, each once."""
        flags = (
            f"{cell.id}: {flag}"
            for cell in self.cells()
            for flag in cell.flags
            if "diverged" in flag
        )
        return list(dict.fromkeys(flags))

    def behind(self, cell: Cell) -> list[File]:
        """The raw files, and files of generators, that a cell rests on."""
        found: dict[str, File] = {}
        todo = [item.path for item in cell.inputs]
        seen: set[str] = set()
        while todo:
            path = todo.pop()
            if path in seen or path not in self.files:
                continue
            seen.add(path)
            file = self.files[path]
            if file.raw or not file.inputs:
                found[path] = file
            todo += file.inputs
        return [found[path] for path in sorted(found)]


def collect(
    results: str | Path,
    order: Iterable[str] = (),
    absent: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Run:
    """Read a finished run.

    Args:
        results: its folder.
        order: names of tables and figures in the order in which they are to stand.
        absent: studies that were not run, and why.
        notes: Markdown pages of the project to show, by heading.

    Raises:
        CchError: there are no tables, or a document or record is broken.
    """
    results = Path(results)
    tables = _documents(results, list(order))
    ledger = results / "ledger.json"
    return Run(
        results=results,
        tables=tables,
        files=_files(results, tables),
        ledger=json.loads(ledger.read_text(encoding="utf-8")) if ledger.is_file() else None,
        jobs=_jobs(results / "benchmarks"),
        absent=dict(absent or {}),
        notes=dict(notes or {}),
    )


def _documents(results: Path, order: list[str]) -> dict[str, Document]:
    found = {path.stem: read_document(path) for path in table_documents(results)}
    if not found:
        raise CchError(results, "holds no tables", "run the workflow first")
    place = {name: number for number, name in enumerate(order)}
    return dict(sorted(found.items(), key=lambda item: (place.get(item[0], len(place)), item[0])))


def _files(results: Path, tables: Mapping[str, Any]) -> dict[str, File]:
    """Files by recorded path: outputs of all records of the run, and the raw files behind them."""
    paths = [path for path in sorted(results.rglob("*.record.json")) if path.name not in LATER]
    records = [read_record(path) for path in paths]
    wanted = {path for record in records for path in record["inputs"]}
    # Raw files lie outside the results; recorded paths are relative to the same folder.
    base = _base(results, records)
    known = {path for record in records for path in record["outputs"]}
    for path in sorted(wanted - known):
        beside = base / f"{path}.record.json"
        if beside.is_file():
            records.append(read_record(beside))
    found: dict[str, File] = {}
    for record in records:
        for path, sha256 in record["outputs"].items():
            found[path] = File(path, f"f{len(found)}", record, sha256)
    return found


def _base(results: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """The folder that recorded paths are relative to."""
    for record in records:
        for path in record["outputs"]:
            for parent in [results.absolute(), *results.absolute().parents]:
                if (parent / path).is_file():
                    return parent
    return Path()


def _jobs(folder: Path) -> dict[str, tuple[int, float]]:
    """Number of jobs and their seconds by kind, from Snakemake's benchmark files."""
    found: dict[str, tuple[int, float]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        kind = path.relative_to(folder).parts[0].removesuffix(".tsv")
        count, seconds = found.get(kind, (0, 0.0))
        found[kind] = (count + len(rows), seconds + sum(float(row["s"]) for row in rows))
    return found
