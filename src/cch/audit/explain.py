"""From a cell to raw bytes: the chain of records behind one number."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cch.audit.rerun_command import restoring
from cch.base.errors import CchError, nearest
from cch.base.files import sha256_file
from cch.records.record import read_record, record_path
from cch.tables.documents import Cell, Document, read_document, table_documents
from cch.training.plan import level_name

SHOWN = (
    *("rule", "raw", "generator", "notes", "chosen", "device", "slurm", "threads", "started"),
    *("seconds", "params", "code", "environment"),
)
"""What an explanation keeps of a record."""

READ_BYTES = 16 * 2**20
"""Files up to this size are hashed at once; larger ones only where a full check is asked for."""

READ_TOTAL = 128 * 2**20
"""At most this many bytes are hashed for one answer, unless a full check is asked for."""

FEW = 12
"""Up to this many cells are listed one by one in an error; of more, only rows and columns."""


@dataclass
class Link:
    """One file of the chain: its state now, its record, and the files that it was made from.

    ``state`` is ``as recorded``, ``changed`` (its bytes are not those that the next stage read),
    ``missing`` or ``no record``. A file whose bytes were not read (``hashed`` is false) is as
    recorded where the records before and after it agree.
    """

    path: str
    sha256: str
    state: str
    bytes: int | None = None
    hashed: bool = False
    record: dict[str, Any] = field(default_factory=dict)
    inputs: list[Link] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The link and all before it as plain data."""
        return {
            "path": self.path,
            "sha256": self.sha256,
            "state": self.state,
            "bytes": self.bytes,
            "hashed": self.hashed,
            **{key: self.record[key] for key in SHOWN if key in self.record},
            "inputs": [link.to_json() for link in self.inputs],
        }


@dataclass
class Reader:
    """Hashes files as long as they are small and few, or all of them.

    Args:
        base: the folder that recorded paths are relative to.
        full: whether every file is hashed, however large.
    """

    base: Path
    full: bool = False
    left: int = READ_TOTAL
    seen: dict[str, Link] = field(default_factory=dict)

    def link(self, path: str, expected: str) -> Link:
        """Follow a file to the raw files behind it; a file is followed once.

        Args:
            path: the file, as recorded.
            expected: its SHA-256 as the stage that read it recorded.
        """
        if path in self.seen:
            return self.seen[path]
        link = self.seen[path] = Link(path, expected, "as recorded")
        place = self.base / path
        if not place.is_file():
            link.state = "missing"
            return link
        link.bytes = place.stat().st_size
        if not self._agrees(link, place):
            link.state = "changed"
        where = record_path(place)
        if where is None:
            link.state = "no record"
            return link
        link.record = read_record(where)
        if link.record["outputs"].get(path) != expected:
            link.state = "changed"
        ends = "raw" in link.record or "generator" in link.record
        if not link.record["inputs"] and not ends:
            link.state = "no record"
        # A raw file ends the chain: the user file that it may be a copy of has no record.
        inputs = {} if "raw" in link.record else link.record["inputs"]
        link.inputs = [self.link(p, digest) for p, digest in inputs.items()]
        return link

    def _agrees(self, link: Link, place: Path) -> bool:
        """Whether the bytes are as expected; bytes that are not read count as that."""
        size = link.bytes or 0
        if not self.full and (size > READ_BYTES or size > self.left):
            return True
        self.left -= size
        link.hashed = True
        return sha256_file(place) == link.sha256


def find_cell(name: str, results: str | Path) -> tuple[Path, Document, Cell]:
    """Return (document path, document, cell) for ``table/row/column``.

    A level may be given in per cent, and underscores for hyphens.

    Raises:
        CchError: there is no such folder or table, or no such cell in it; the line has the nearest
            names, and the command that lists all.
    """
    table, _, rest = name.partition("/")
    folder = Path(results) / "tables"
    if not Path(results).is_dir():
        raise CchError(
            results, "there is no such folder", "--results names that of a run, e.g. results/demo"
        )
    path = folder / f"{table}.json"
    if not path.is_file():
        raise _no_table(name, table, results)
    document = read_document(path)
    cells = document.all_cells
    key = rest if rest in cells else _typed_key(rest)
    if key not in cells:
        raise _no_cell(name, list(cells), results)
    return path, document, cells[key]


def _typed_key(rest: str) -> str:
    """The key for what a user may type: ``0.6/student-kd-f1`` for ``60%/student_kd_f1``."""
    row, _, column = rest.partition("/")
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", row)
    row = level_name(float(percent[1]) / 100) if percent else row
    return f"{row}/{column}".replace("_", "-")


def tables(results: str | Path) -> dict[str, str]:
    """Return number and title of the tables of a run by name.

    Raises:
        CchError: there are none.
    """
    paths = table_documents(results)
    if not paths:
        raise CchError(results, "holds no tables", "--results names a run, e.g. results/demo")
    return {path.stem: read_document(path).heading for path in paths}


def _no_table(name: str, table: str, results: str | Path) -> CchError:
    folder = Path(results) / "tables"
    known = [path.stem for path in table_documents(results)]
    what = f"there is no table {table!r} in {folder}"
    if not known:
        return CchError(name, f"{what}, and no other", "build one first")
    form = "" if "/" in name else "; a cell is table/row/column"
    return CchError(name, what, nearest(table, known, _listing(results)) + form)


def _no_cell(name: str, known: list[str], results: str | Path) -> CchError:
    table, _, rest = name.partition("/")
    row, _, column = rest.partition("/")
    if not rest:
        rows = dict.fromkeys(key.partition("/")[0] for key in known)
        columns = dict.fromkeys(key.partition("/")[2] for key in known)
        listed = f"it has the rows {', '.join(rows)} and the columns {', '.join(columns)}"
        if len(known) <= FEW:
            listed = f"it has {', '.join(known)}"
        return CchError(name, "names a table, and no cell of it", listed)
    own = [key.partition("/")[2] for key in known if key.partition("/")[0] == row]
    command = _listing(results, table)
    what = (
        f"{table} has no column {column!r} in row {row!r}" if own else f"{table} has no such cell"
    )
    return CchError(
        name, what, nearest(column, own, command) if own else nearest(rest, known, command)
    )


def _listing(results: str | Path, table: str = "") -> str:
    """The command that lists the tables of a run, or the cells of one."""
    return " ".join(filter(None, ["cch explain", table, f"--results {shlex.quote(str(results))}"]))


def explain(name: str, results: str | Path, full: bool = False) -> dict[str, Any]:
    """Return a cell with all that it rests on, as plain data.

    The table is compared with its record first, then every file behind the cell with its own.

    Args:
        name: ``table/row/column``.
        results: the folder of the run.
        full: hash every file of the chain; otherwise large ones (``READ_BYTES``) are taken to be
            what the records before and after them agree on.

    Raises:
        CchError: no such table or cell, or the results lie elsewhere than recorded.
    """
    path, document, cell = find_cell(name, results)
    where = record_path(path)
    record = read_record(where) if where else {"outputs": {}}
    recorded = [known for known in record["outputs"] if Path(known).name == path.name]
    state, base = "no record", Path()
    if recorded:
        base = working_folder(path, recorded[0])
        same = sha256_file(path) == record["outputs"][recorded[0]]
        state = "as recorded" if same else "changed"
    reader = Reader(base, full)
    links = [reader.link(item.path, item.sha256) for item in cell.inputs]
    # Without a record of the table nothing says where its files would lie.
    gone = [link.path for link in reader.seen.values() if link.state == "missing" and recorded]
    restore = restoring(base, Path(recorded[0]).parents[1].as_posix(), gone) if gone else None
    return {
        "cell": cell.to_json(),
        "sides": list(_sides(cell, base)),
        "comparison": comparison(cell),
        "deviations": document.reaching(cell),
        "table": {
            "path": str(path),
            "state": state,
            "title": document.title,
            "deviations": document.deviation_sentences,
        },
        "whole": {state, *(link.state for link in reader.seen.values())} == {"as recorded"},
        "restore": restore,
        "unread": sum(not link.hashed and link.bytes is not None for link in reader.seen.values()),
        "files": [link.to_json() for link in links],
    }


def working_folder(path: Path, recorded: str) -> Path:
    """The folder that recorded paths are relative to: where ``path`` lies as ``recorded``.

    Raises:
        CchError: it lies under another name.
    """
    parts, tail = path.resolve().parts, Path(recorded).parts
    if parts[-len(tail) :] != tail:
        raise CchError(
            path, f"was made as {recorded}", "put the results back under that name to explain them"
        )
    return Path(*parts[: -len(tail)])


# Beside the paper


def comparison(cell: Cell) -> dict[str, Any] | None:
    """Return the two 95 % intervals that a measured cell's verdict compares, in the printed unit.

    Both are Student's t with n - 1 degrees of freedom times the standard error; the paper's is 1.96
    of them where it states no n, or half a unit of its last digit (see ``cch.tables.compare``).

    Returns:
        ``unit``, and for ``ours`` and ``paper`` the value, half of the interval and its ends; None
        where one side is no number.
    """
    paper, value = cell.paper, cell.value
    if paper is None or paper.value is None or not isinstance(value, float | int):
        return None
    # SciPy's import is slow, and most cells have no interval to compare.
    from cch.tables.compare import half_width, paper_half_width

    scale = math.log(2) if cell.text_unit == "bits" else 1.0
    reach = None
    if cell.se is not None and (cell.n or 0) > 1:
        reach = half_width(cell.se, cell.n or 0) / scale
    return {
        "unit": cell.printed_unit,
        "ours": _interval(value / scale, reach),
        "paper": _interval(paper.value, paper_half_width(paper)),
    }


def _interval(value: float, half: float | None) -> dict[str, Any]:
    ends = None if half is None else [value - half, value + half]
    return {"value": value, "half": half, "ends": ends}


def _sides(cell: Cell, base: Path) -> Iterator[tuple[float, float] | None]:
    """For each member that is a difference, the two numbers; else None."""
    values: dict[str, dict[str, float]] = {}
    for member in cell.members:
        pair = None
        if member.file and member.minus and member.minus_file:
            for name in (member.file, member.minus_file):
                if name not in values:
                    values[name] = _values(base / name, cell.query.get("metric"))
            first = values[member.file].get(member.id)
            second = values[member.minus_file].get(member.minus)
            pair = None if first is None or second is None else (first, second)
        yield pair


def _values(path: Path, metric: str | None) -> dict[str, float]:
    """The single numbers of a file of runs or estimates by id; empty where it cannot be read."""
    try:
        if path.suffix == ".json":
            estimates = json.loads(path.read_text(encoding="utf-8"))["estimates"]
            return {estimate["id"]: estimate["value"] for estimate in estimates}
        import h5py

        with h5py.File(path, "r") as file:
            return {run["id"]: run["metrics"][metric] for run in json.loads(file["runs"][()])}
    except (OSError, KeyError, TypeError, ValueError):
        return {}
