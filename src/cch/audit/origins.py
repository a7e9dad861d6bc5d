"""Where two runs begin to differ: the first stage whose inputs or specification are not the same.

Both chains of records are followed from a cell back to the raw files, a pair of files at a time.
Files are paired by their folder below the results, study and name. Where two versions of the
project name them otherwise, all files of one folder and study are one pair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cch.base.errors import CchError
from cch.records.record import read_record, record_path

STAGES = {
    "raw": "fetch_raw",
    "datasets": "prepare_dataset",
    "features": "select_features",
    "runs": "train",
    "information": "estimate",
    "calibration": "calibrate",
    "theory": "simulate_theory",
    "tables": "tabulate",
}
"""The stage that makes the files of a folder below the results, in the order of the pipeline."""

LOCATIONS = ("results", "resources")
"""Keys of specifications that say where files lie; no number depends on them."""

MOST = 3
"""At most so many differing keys of a specification are named."""

BLOCK = 1024
"""Rows of an array that are compared at once."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """A stage at which two runs differ.

    Attributes:
        stage: one of ``STAGES``.
        reasons: what differs, such as ``spec: training.epochs 40 -> 60`` and ``code``.
        files: what it made, on both sides.
        first: whether nothing before it differs.
    """

    stage: str
    reasons: tuple[str, ...]
    files: tuple[str, ...]
    first: bool

    def __str__(self) -> str:
        return f"{self.stage} ({'; '.join(self.reasons)})"


@dataclass
class Run:
    """The records of one results folder.

    Attributes:
        folder: where the results lie.
        recorded: what its records call that folder, or None where no table has a record.
    """

    folder: Path
    recorded: str | None = None
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: str | Path, tables: Iterable[Path]) -> Run:
        """The run of some tables, the first record of which says how it calls its folder."""
        for path in tables:
            where = record_path(path)
            for output in read_record(where).get("outputs", ()) if where else ():
                if Path(output).name == path.name:
                    return cls(Path(folder), Path(output).parents[1].as_posix())
        return cls(Path(folder))

    def relative(self, path: str) -> str | None:
        """A recorded path relative to the results; None for files outside, which are raw."""
        inside = self.recorded is not None and Path(path).is_relative_to(self.recorded)
        return Path(path).relative_to(self.recorded or "").as_posix() if inside else None

    def place(self, path: str) -> Path | None:
        """Where a recorded file lies, also if the results have been moved or renamed since."""
        relative = self.relative(path)
        if relative is not None:
            return self.folder / relative
        if Path(path).is_absolute():
            return Path(path)
        parts, tail = self.folder.resolve().parts, Path(self.recorded or "").parts
        same = bool(tail) and parts[-len(tail) :] == tail
        return Path(*parts[: -len(tail)], path) if same else None

    def record(self, path: str) -> dict[str, Any]:
        """The record of a file; empty where there is none that can be read."""
        if path not in self._records:
            place = self.place(path)
            where = record_path(place) if place else None
            try:
                self._records[path] = read_record(where) if where else {}
            except CchError:
                self._records[path] = {}
        return self._records[path]


@dataclass
class Origins:
    """Finds the stages at which two runs differ; every pair of files is looked at once."""

    a: Run
    b: Run
    _known: dict[tuple[Key, frozenset[str], frozenset[str]], list[Origin]] = field(
        default_factory=dict
    )

    def of_cell(self, table: tuple[str, str], a: Any, b: Any) -> list[Origin]:
        """The stages behind a cell of both runs, first ones first.

        Args:
            table: the document's path as each run records it.
            a: the cell of the first run.
            b: the same cell of the other.
        """
        inputs = [{i["path"]: i["sha256"] for i in cell.get("inputs") or ()} for cell in (a, b)]
        records = ([self.a.record(table[0])], [self.b.record(table[1])])
        found = self._before(inputs[0], inputs[1])
        reasons = _reasons(*records, "tables")
        if not found:
            # Reading other files may be all that differs.
            reasons = reasons or self._one_sided(inputs[0], inputs[1])
            reasons = reasons or ["nothing that is recorded differs"]
        if reasons:
            found = [*found, Origin("tabulate", tuple(reasons), table, not found)]
        order = list(STAGES.values())
        return sorted(found, key=lambda one: (not one.first, order.index(one.stage)))

    def _before(self, a: Mapping[str, str], b: Mapping[str, str]) -> list[Origin]:
        """Stages at which what made two sets of files differs; files are given with digests."""
        found: dict[Origin, None] = {}
        for key, ours, theirs in self._pairs(a, b):
            if ours and theirs:
                found |= dict.fromkeys(self._pair(key, ours, theirs))
        return list(found)

    def _pairs(
        self, a: Mapping[str, str], b: Mapping[str, str]
    ) -> Iterator[tuple[Key, dict[str, str], dict[str, str]]]:
        """Files of both sides that correspond; a side may be empty."""
        named_a, named_b = _by_name(self.a, a), _by_name(self.b, b)
        both = [name for name in named_a if name in named_b]
        for name in both:
            yield name, named_a[name], named_b[name]
        rest_a = _by_kind({n: files for n, files in named_a.items() if n not in both})
        rest_b = _by_kind({n: files for n, files in named_b.items() if n not in both})
        for kind in dict.fromkeys([*rest_a, *rest_b]):
            yield kind, rest_a.get(kind, {}), rest_b.get(kind, {})

    def _pair(self, key: Key, a: dict[str, str], b: dict[str, str]) -> list[Origin]:
        """Stages at which what made two corresponding files differs; none if they are equal."""
        if sorted(a.values()) == sorted(b.values()):
            return []
        known = (key, frozenset(a.values()), frozenset(b.values()))
        if known not in self._known:
            self._known[known] = self._compared(key, list(a), list(b))
        return self._known[known]

    def _compared(self, key: Key, a: list[str], b: list[str]) -> list[Origin]:
        stage = STAGES.get(key[0], key[0])
        if key[0] == "raw":
            return [Origin(stage, (f"raw file digest: {'/'.join(key[1:])}",), (*a, *b), True)]
        if _same_numbers([self.a.place(path) for path in a], [self.b.place(path) for path in b]):
            return []
        records_a, records_b = [self.a.record(p) for p in a], [self.b.record(p) for p in b]
        inputs_a, inputs_b = _inputs(records_a), _inputs(records_b)
        found = self._before(inputs_a, inputs_b)
        reasons = _reasons(records_a, records_b, key[0])
        # Versions of the project may read other files; without a record that is not known.
        if "code" not in reasons and all((*records_a, *records_b)):
            reasons += self._one_sided(inputs_a, inputs_b)
        if not found and not reasons:
            reasons = ["nothing that is recorded differs"]
        return [*found, Origin(stage, tuple(reasons), (*a, *b), not found)] if reasons else found

    def _one_sided(self, a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
        """Say which inputs only one side has."""
        said = []
        for key, ours, theirs in self._pairs(a, b):
            if not (ours and theirs):
                said.append(f"input {'/'.join(key)} only in {'A' if ours else 'B'}")
        return said


# Files by what they are


def _by_name(run: Run, files: Mapping[str, str]) -> dict[Key, dict[str, str]]:
    return {_name(run, path): {path: digest} for path, digest in files.items()}


def _name(run: Run, path: str) -> Key:
    """Folder and names of a file below the results, or ``raw``, source and name."""
    relative = run.relative(path)
    return ("raw", *Path(path).parts[-2:]) if relative is None else Path(relative).parts


def _by_kind(named: dict[Key, dict[str, str]]) -> dict[Key, dict[str, str]]:
    """Files of one folder and study together; selected features also by modality."""
    found: dict[Key, dict[str, str]] = {}
    for name, files in named.items():
        kind = name[:2] if name[0] in ("information", "calibration") else name
        if name[0] == "features":
            # What follows the last hyphen is a digest of the specification.
            kind = (*name[:-1], name[-1].rpartition("-")[0])
        found.setdefault(kind, {}).update(files)
    return found


def _inputs(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {path: sha for record in records for path, sha in record.get("inputs", {}).items()}


# What differs at one stage


def _reasons(a: list[dict[str, Any]], b: list[dict[str, Any]], kind: str) -> list[str]:
    """What the records of two corresponding outputs say differently, beside their inputs."""
    for side, records in (("A", a), ("B", b)):
        if not all(records):
            return [f"no record in {side}"]
    same_code = _all(a, _code) == _all(b, _code)
    spec_a, spec_b = _specification(a, kind), _specification(b, kind)
    changes = list(_changes(spec_a, spec_b, "", everywhere=same_code))
    said = []
    if changes:
        more = [f"and {len(changes) - MOST} more"] if len(changes) > MOST else []
        said.append(f"spec: {', '.join([*changes[:MOST], *more])}")
    elif not spec_a and not spec_b and _all(a, _given) != _all(b, _given):
        said.append("spec")
    if not same_code:
        said.append("code")
    if _all(a, _packages) != _all(b, _packages):
        said.append("environment: installed packages")
    for name, fact in FACTS.items():
        ours, theirs = (", ".join(sorted(filter(None, _all(side, fact)))) for side in (a, b))
        if ours and theirs and ours != theirs:
            said.append(f"{name} {ours} -> {theirs}")
    return said


def _all(records: list[dict[str, Any]], fact: Callable[[dict[str, Any]], str]) -> set[str]:
    return {fact(record) for record in records}


def _code(record: dict[str, Any]) -> str:
    return str(record.get("params", {}).get("code") or record.get("code", {}).get("digest"))


def _given(record: dict[str, Any]) -> str:
    return str(record.get("params", {}).get("spec"))


def _environment(record: dict[str, Any], name: str) -> str:
    return str(record.get("environment", {}).get(name) or "")


def _packages(record: dict[str, Any]) -> str:
    return _environment(record, "digest")


FACTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "environment: Python": lambda record: _environment(record, "python"),
    "environment: processor": lambda record: _environment(record, "processor"),
    "device": lambda record: str(record.get("device") or ""),
}
"""What a record says of where a job ran, as it is shown where it differs."""


def _specification(records: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The specification of corresponding outputs, in the form that the current version has."""
    merged: dict[str, Any] = {}
    for record in records:
        try:
            found = json.loads(record["params"]["spec"])
        except (KeyError, TypeError, ValueError):
            continue
        if not isinstance(found, dict):
            continue
        if kind == "datasets" and isinstance(found.get("dataset"), dict):
            found = {**found, **found["dataset"]}
            del found["dataset"]
        if kind in ("information", "calibration") and "options" in found:
            # Before there was one job for several estimators, the file's name said which it is of.
            name = Path(next(iter(record["outputs"]))).name.partition(".")[0]
            found["estimators"] = {name: found.pop("options")}
        estimators = {**merged.get("estimators", {}), **(found.get("estimators") or {})}
        merged |= found
        if estimators:
            merged["estimators"] = estimators
    return merged


def _changes(a: Any, b: Any, path: str, everywhere: bool) -> Iterator[str]:
    """Words on each key that differs.

    A key that only one side has counts where both sides have the same code (``everywhere``), or
    below the first level; versions of the project write other keys at the first level.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        names = [name for name in (*a, *(n for n in b if n not in a)) if name not in LOCATIONS]
        if not (everywhere or path):
            names = [name for name in names if name in a and name in b]
        for name in names:
            below = f"{path}.{name}" if path else str(name)
            # An estimator that only one side's job computes does not change the others.
            if path == "estimators" and not (name in a and name in b):
                continue
            yield from _changes(a.get(name), b.get(name), below, everywhere)
    elif a != b:
        yield f"{path} {_shown(a)} -> {_shown(b)}"


def _shown(value: Any) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."


# Numbers in files


def _same_numbers(a: list[Path | None], b: list[Path | None]) -> bool:
    """Whether files with other bytes hold the same numbers: versions store other names and ids.

    False where that cannot be told.
    """
    paths = [*a, *b]
    try:
        if all(path is not None and path.suffix == ".json" for path in paths):
            ours, theirs = _numbers(a), _numbers(b)
            shared = ours.keys() & theirs.keys()
            whole = len(shared) == min(len(ours), len(theirs)) > 0
            return whole and all(ours[key] == theirs[key] for key in shared)
        if len(paths) == 2 and all(path is not None and path.suffix == ".h5" for path in paths):
            with h5py.File(paths[0], "r") as one, h5py.File(paths[1], "r") as other:
                return _same_arrays(one, other)
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        pass
    return False


def _numbers(paths: Iterable[Path | None]) -> dict[str, Any]:
    """What files of estimates, calibrations or simulations found.

    Estimates and calibrations are grouped by estimator and quantity, which files of different
    versions share; other content is by its keys.
    """
    found: dict[str, Any] = {}
    for path in filter(None, paths):
        content = json.loads(path.read_text(encoding="utf-8"))
        content.pop("format", None)
        for entry in content.get("estimates", ()):
            of = {**content, **entry}
            group = found.setdefault(f"{of['estimator']} {of['quantity']}", {})
            group[entry["level"], entry["seed"]] = (entry["value"], entry["flags"])
        for entry in content.get("results", ()):
            # The estimator was written with its version once.
            name = entry["estimator"].partition(" ")[0]
            group = found.setdefault(f"{name} {entry['quantity']}", {})
            case = entry["name"], json.dumps(entry["options"], sort_keys=True)
            group[case] = (entry["truth"], entry["values"])
        if not content.keys() & {"estimates", "results"}:
            found |= content
    return found


def _same_arrays(one: h5py.File, other: h5py.File) -> bool:
    arrays = [_arrays(file) for file in (one, other)]
    if arrays[0].keys() != arrays[1].keys():
        return False
    return all(_equal(array, arrays[1][name]) for name, array in arrays[0].items())


def _arrays(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(keep)
    return found


def _equal(a: h5py.Dataset, b: h5py.Dataset) -> bool:
    if a.shape != b.shape:
        return False
    if not a.shape:
        # The list of runs: only its metrics are numbers that a cell reads.
        texts = (json.loads(array[()]) for array in (a, b))
        ours, theirs = ([(run["seed"], run["metrics"]) for run in runs] for runs in texts)
        return ours == theirs
    floats = a.dtype.kind == "f" and b.dtype.kind == "f"
    return all(
        np.array_equal(a[start : start + BLOCK], b[start : start + BLOCK], equal_nan=floats)
        for start in range(0, a.shape[0], BLOCK)
    )
