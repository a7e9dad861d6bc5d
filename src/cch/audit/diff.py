"""Two runs compared: every cell of every table, and where what differs begins to differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from cch.audit.origins import Origin, Origins, Run
from cch.base.errors import CchError

FORMAT = "cch-diff-1"

COMPARED = ("value", "text", "n", "se")
"""Compared of every cell, beside its interval and the values of its members in their order."""


@dataclass(frozen=True)
class Changed:
    """A cell that both runs have, and that differs.

    Attributes:
        identity: ``table/row/column``.
        what: which of ``COMPARED`` differ, and how many members.
        a, b: the cell of each run.
        origins: the stages at which the runs differ, first ones first.
    """

    identity: str
    what: list[str]
    a: dict[str, Any]
    b: dict[str, Any]
    origins: list[Origin]

    @property
    def first(self) -> str:
        """The first stages, none of which rests on another, in words."""
        return "; ".join(dict.fromkeys(str(one) for one in self.origins if one.first))

    def to_json(self) -> dict[str, Any]:
        """The cell as plain data."""
        return {
            "id": self.identity,
            "differs": self.what,
            "a": _stored(self.a),
            "b": _stored(self.b),
            "first": self.first,
            "stages": [
                {
                    "stage": one.stage,
                    "reasons": list(one.reasons),
                    "files": list(one.files),
                    "first": one.first,
                }
                for one in self.origins
            ],
        }


@dataclass(frozen=True)
class Diff:
    """What two runs have in common and what not.

    Attributes:
        a, b: the results folders.
        tolerance: relative difference up to which floats count as equal.
        compared: how many cells both have.
        changed: those of them that differ.
        only_a, only_b: ids of cells that only one has.
    """

    a: Path
    b: Path
    tolerance: float
    compared: int
    changed: list[Changed]
    only_a: list[str]
    only_b: list[str]

    @property
    def equal(self) -> bool:
        """Whether both runs have the same cells, and none differs."""
        return not (self.changed or self.only_a or self.only_b)

    def summary(self) -> str:
        """One line with the counts."""
        return (
            f"{_cells(self.compared)} compared, {len(self.changed)} "
            f"{'differs' if len(self.changed) == 1 else 'differ'}, "
            f"{len(self.only_a)} only in A, {len(self.only_b)} only in B"
        )

    def one_sided(self) -> Iterator[str]:
        """Lines on the cells that only one run has, a table a line."""
        for side, cells in (("A", self.only_a), ("B", self.only_b)):
            tables: dict[str, list[str]] = {}
            for identity in cells:
                table, _, key = identity.partition("/")
                tables.setdefault(table, []).append(key)
            for table, keys in tables.items():
                few = f": {', '.join(keys)}" if len(keys) <= 6 else ""
                yield f"only in {side}: {table}, {_cells(len(keys))}{few}"

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain data."""
        return {
            "format": FORMAT,
            "a": str(self.a),
            "b": str(self.b),
            "tolerance": self.tolerance,
            "equal": self.equal,
            "compared": self.compared,
            "differ": len(self.changed),
            "only_a": self.only_a,
            "only_b": self.only_b,
            "cells": [cell.to_json() for cell in self.changed],
        }


def diff(a: str | Path, b: str | Path, tolerance: float = 0.0) -> Diff:
    """Compare the cells of all tables of two results folders.

    Args:
        a: one folder.
        b: the other; the two runs may be of different versions of the project.
        tolerance: relative difference up to which floats count as equal. The printed text of a
            float is compared only where it is 0.

    Raises:
        CchError: a folder holds no tables, or one of them cannot be read.
    """
    ours, theirs = _read(Path(a)), _read(Path(b))
    runs = Run.of(a, ours.paths()), Run.of(b, theirs.paths())
    origins = Origins(*runs)
    changed = []
    both = [identity for identity in ours.cells if identity in theirs.cells]
    for identity in both:
        one, other = ours.cells[identity], theirs.cells[identity]
        what = _differences(one, other, tolerance)
        if what:
            name = f"tables/{identity.partition('/')[0]}.json"
            table = tuple(f"{run.recorded}/{name}" if run.recorded else name for run in runs)
            found = origins.of_cell((table[0], table[1]), one, other)
            changed.append(Changed(identity, what, one, other, found))
    return Diff(
        Path(a),
        Path(b),
        tolerance,
        len(both),
        changed,
        [identity for identity in ours.cells if identity not in theirs.cells],
        [identity for identity in theirs.cells if identity not in ours.cells],
    )


@dataclass(frozen=True)
class _Tables:
    """The cells of a results folder by id."""

    folder: Path
    names: list[str]
    cells: dict[str, dict[str, Any]]

    def paths(self) -> list[Path]:
        return [self.folder / "tables" / f"{name}.json" for name in self.names]


def _read(folder: Path) -> _Tables:
    if not folder.is_dir():
        raise CchError(folder, "there is no such folder", "name two results folders")
    paths = sorted(
        path
        for path in (folder / "tables").glob("*.json")
        if not path.name.endswith(".record.json") and not path.name.startswith(".")
    )
    if not paths:
        raise CchError(folder, "holds no tables", "name the results of a run, e.g. results/demo")
    cells: dict[str, dict[str, Any]] = {}
    for path in paths:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            for key, cell in document["cells"].items():
                cells[f"{path.stem}/{key}"] = cell
            for note in document.get("notes", ()):
                key = note["cell"]["id"].partition("/")[2]
                cells[f"{path.stem}/{key}"] = note["cell"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CchError(
                path,
                f"is no table document ({type(error).__name__}: {error})",
                "delete it and build it again",
            ) from None
    return _Tables(folder, [path.stem for path in paths], cells)


# Comparing


def _differences(a: dict[str, Any], b: dict[str, Any], tolerance: float) -> list[str]:
    """Which parts of a cell differ."""
    found = [key for key in COMPARED if not _same(a.get(key), b.get(key), tolerance)]
    # Within a tolerance, the text of a float may still be rounded to another one.
    if (
        tolerance
        and "value" not in found
        and (a.get("interval") or isinstance(a.get("value"), float))
    ):
        found = [key for key in found if key != "text"]
    ends = zip(_interval(a), _interval(b), strict=True)
    if not all(_same(one, other, tolerance) for one, other in ends):
        found.append("interval")
    ours, theirs = _members(a), _members(b)
    if len(ours) != len(theirs):
        found.append(f"{len(ours)} against {len(theirs)} members")
    else:
        pairs = zip(ours, theirs, strict=True)
        differing = sum(not _same(one, other, tolerance) for one, other in pairs)
        if differing:
            found.append(f"{differing} of {len(ours)} members")
    return found


def _members(cell: dict[str, Any]) -> list[Any]:
    """Values of single runs or estimates in their order; ids and files are not compared."""
    return [member.get("value") for member in cell.get("members") or ()]


def _interval(cell: dict[str, Any]) -> list[Any]:
    """Ends and p-value of the interval of a paired difference."""
    stored = cell.get("interval") or {}
    return [stored.get(part) for part in ("low", "high", "p")]


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if not (_is_number(a) and _is_number(b)):
        return a == b
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if tolerance and (isinstance(a, float) or isinstance(b, float)):
        return math.isclose(a, b, rel_tol=tolerance)
    return a == b


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _stored(cell: dict[str, Any]) -> dict[str, Any]:
    """What is compared of a cell, with the ends of its interval of one standard error."""
    value, se = cell.get("value"), cell.get("se")
    ends = [value - se, value + se] if _is_number(value) and _is_number(se) else None
    kept = {key: cell.get(key) for key in ("value", "text", "unit", "n", "se")}
    return {
        **kept,
        "interval": ends,
        "gain_interval": cell.get("interval"),
        "members": _members(cell),
    }


# For the terminal


def as_table(found: Diff) -> Table:
    """Lay the differing cells out for the terminal."""
    table = Table("cell", "A", "B", "differs", "first stage")
    for cell in found.changed:
        row = (cell.identity, *_both(cell.a, cell.b), ", ".join(cell.what), cell.first)
        table.add_row(*map(escape, row))
    return table


def _both(a: dict[str, Any], b: dict[str, Any]) -> tuple[str, str]:
    """Both cells in words, with as many digits as it takes to tell them apart."""
    shown = (_words(a, 4), _words(b, 4))
    for digits in (6, 9, 12, 17):
        if shown[0] != shown[1]:
            break
        shown = (_words(a, digits), _words(b, digits))
    return shown


def _words(cell: dict[str, Any], digits: int) -> str:
    value, se, n = cell.get("value"), cell.get("se"), cell.get("n")
    if not _is_number(value):
        return str(cell.get("text"))
    words = f"{value:.{digits}g}"
    if _is_number(se):
        words += f" ± {se:.{max(digits - 2, 2)}g}"
    return words if n is None else f"{words} (n = {n})"


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"
