"""The files of a finished run with their records: what there is, and whether it is as recorded."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cch.audit.report import Audit
from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.records.record import read_record, record_path

SUFFIX = ".record.json"

NO_OUTPUTS = ("logs", "benchmarks")
"""Folders under the results whose files say how a run went; no number rests on them."""

PARTS = (
    "datasets",
    "features",
    "runs",
    "information",
    "calibration",
    "theory",
    "tables",
    "figures",
    f"ledger{SUFFIX}",
)
"""Of one run, which has at least one of them; beside them ``results`` may hold runs of presets."""

DEPTH, MOST = 4, 2_000
"""How far below a folder, and in how many folders, runs are looked for where it holds none."""


@dataclass(frozen=True)
class Recorded:
    """A record and where it lies."""

    path: Path
    content: dict[str, Any]

    @property
    def rule(self) -> str:
        """The rule that made the outputs."""
        return str(self.content.get("rule"))

    @property
    def outputs(self) -> dict[str, str]:
        """Digests of what was made, by path."""
        return self.content["outputs"]

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of what was read, by path."""
        return self.content["inputs"]


class Tree:
    """A results folder, its records, and those of the raw files that they lead to.

    Paths are as recorded: relative to the folder that the workflow ran in.

    Args:
        results: the folder.
        report: takes what is wrong with records.

    Raises:
        CchError: there is no such folder, it holds no records, or it was made under another name.
    """

    def __init__(self, results: str | Path, report: Audit) -> None:
        self.results, self.report = Path(results), report
        if not self.results.is_dir():
            raise CchError(results, "is no folder", "name one that a run has written, --results")
        if not _holds_run(self.results):
            raise _no_run(self.results)
        paths = sorted(self.results.rglob(f"*{SUFFIX}"))
        if not paths:
            raise CchError(results, "holds no records", "run the workflow first")
        found = [recorded for path in paths if (recorded := self._read(path))]
        self.base = _base(found, self.results)
        here = self.results.resolve()
        absolute = self.base == Path("/")
        if not here.is_relative_to(self.base.resolve()):
            said = f"most of its records are of a run in {self.base}"
            raise CchError(results, said, "name the folder of that run, --results")
        self.name = (here if absolute else here.relative_to(self.base.resolve())).as_posix()
        self._files: list[str] = []
        self.records: dict[Path, Recorded] = {}
        self.made: dict[str, Recorded] = {}
        self._digests: dict[str, str | None] = {}
        waiting = found
        while waiting:
            recorded = waiting.pop()
            self.records[recorded.path] = recorded
            self.made.update(dict.fromkeys(recorded.outputs, recorded))
            waiting += list(self._before(recorded))

    def _read(self, path: Path) -> Recorded | None:
        try:
            content = read_record(path)
            if not isinstance(content["outputs"], dict) or not isinstance(content["inputs"], dict):
                raise CchError(path, "names no outputs and inputs by digest")
        except KeyError as error:
            self.report.wrong("record", path, f"holds no {error}")
        except CchError as error:
            self.report.wrong("record", error.where, error.what)
        else:
            return Recorded(path, content)
        return None

    def _before(self, recorded: Recorded) -> Iterator[Recorded]:
        """Records of inputs outside the results folder: raw files."""
        for name in recorded.inputs:
            path = record_path(self.base / name)
            if path is not None and path not in self.records:
                inside = path.resolve().is_relative_to(self.results.resolve())
                if not inside and (found := self._read(path)):
                    yield found

    def place(self, name: str) -> Path:
        """Where a recorded path lies."""
        return self.base / name

    def label(self, path: Path) -> str:
        """A path as records write it."""
        resolved = path.resolve()
        base = self.base.resolve()
        return resolved.relative_to(base).as_posix() if resolved.is_relative_to(base) else str(path)

    def record_name(self, name: str) -> str:
        """Name of a file's record: that which lies there, else where its rule writes it."""
        lying = record_path(self.place(name))
        if lying is not None:
            return self.label(lying)
        # Raw files and logs keep their suffix; what the rules make is known by its stem.
        raw = not name.startswith(f"{self.name}/")
        path = Path(name)
        return (
            path.with_name(f"{path.name}{SUFFIX}") if raw else path.with_suffix(SUFFIX)
        ).as_posix()

    def digest(self, name: str) -> str | None:
        """SHA-256 of a file as it is now; None where it is missing."""
        if name not in self._digests:
            place = self.place(name)
            self._digests[name] = sha256_file(place) if place.is_file() else None
        return self._digests[name]

    def as_recorded(self, name: str) -> bool:
        """Whether a file has the bytes that its own record says."""
        recorded = self.made.get(name)
        return recorded is not None and self.digest(name) == recorded.outputs[name]

    def files(self) -> list[str]:
        """All files under the results folder that something may rest on, by recorded path."""
        if self._files:
            return self._files
        for path in sorted(self.results.rglob("*")):
            parts = path.relative_to(self.results).parts
            hidden = any(part.startswith(".") for part in parts)
            if path.is_file() and not hidden and parts[0] not in NO_OUTPUTS:
                self._files.append("/".join((self.name, *parts)))
        return self._files

    def under(self, folder: str, suffix: str) -> list[str]:
        """Files of one folder below the results with a suffix, records left out."""
        start = f"{self.name}/{folder}/"
        return [
            name
            for name in self.files()
            if name.startswith(start) and name.endswith(suffix) and not name.endswith(SUFFIX)
        ]

    def json(self, name: str) -> Any:
        """The content of a JSON file.

        Raises:
            CchError: it is missing or no JSON.
        """
        try:
            return json.loads(self.place(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise CchError(name, f"cannot be read ({error})") from None


def _holds_run(folder: Path) -> bool:
    """Whether a folder has parts of a run itself, not only runs further below."""
    # By ``os.path``, which takes what may not be read for absent.
    return any(os.path.exists(folder / part) for part in PARTS)


def _no_run(folder: Path) -> CchError:
    """What to say of a folder that holds no run of its own."""
    near = [folder.parent] if _holds_run(folder.parent) else _runs_below(folder)
    if not near:
        return CchError(folder, "holds no records", "run the workflow first")
    named = ", ".join(map(str, near))
    known = f"there is one in {named}" if len(near) == 1 else f"there are some in {named}"
    what = "holds no run of its own"
    return CchError(folder, what, f"{known}: cch audit --results {shlex.quote(str(near[0]))}")


def _runs_below(folder: Path) -> list[Path]:
    """Runs not far below a folder; it may be anyone's, so the search ends after a while."""
    found, level, looked = [], [folder], 0
    for _ in range(DEPTH):
        below = [child for parent in level for child in _folders(parent)][: MOST - looked]
        looked += len(below)
        runs = [child for child in below if _holds_run(child)]
        found += runs
        level = [child for child in below if child not in runs]
    return found


def _folders(parent: Path) -> list[Path]:
    """Folders in a folder, without hidden ones, links and those that may not be read."""
    try:
        with os.scandir(parent) as entries:
            named = [e for e in entries if not e.name.startswith(".")]
            return sorted(Path(e.path) for e in named if e.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _recorded_folder(found: list[Recorded], results: Path) -> str:
    """The name that a results folder had when its records were written."""
    for recorded in found:
        below = recorded.path.relative_to(results).parent.parts
        for output in recorded.outputs:
            parts = Path(output).parent.parts
            if below and parts[-len(below) :] == below:
                return Path(*parts[: -len(below)]).as_posix()
    return "another folder"


def _base(found: list[Recorded], results: Path) -> Path:
    """The folder that recorded paths are relative to; most records decide, should one be moved.

    It is the root where paths were recorded as absolute ones.
    """
    votes: Counter[Path] = Counter()
    for recorded in found:
        for output in recorded.outputs:
            folder, tail = recorded.path.resolve().parent.parts, Path(output).parent.parts
            if folder[len(folder) - len(tail) :] == tail:
                votes[Path("/", *folder[: len(folder) - len(tail)])] += 1
    if not votes:
        raise CchError(
            results,
            f"was made as {_recorded_folder(found, results)}",
            "put the results back under that name",
        )
    return votes.most_common(1)[0][0]
