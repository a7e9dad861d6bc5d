"""Contents of a crate: files of a run, files named by reference, jobs and sources."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cch import CHECKOUT
from cch.audit.report import Audit
from cch.audit.tree import Recorded, Tree
from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.records.code import code_now

BY_REFERENCE = (".h5",)
"""Suffixes of datasets, selected features and models, which are named by size and digest."""

SOURCES = (
    "Snakefile", "workflow", "config.yaml", "presets", "paper", "src/cch", "envs", "slurm", "docs",
    "pyproject.toml", "Makefile", "README.md", "LICENSE", "CITATION.cff",
)  # fmt: skip
"""Parts of the checkout that go in."""

NO_SOURCES = (".pyc", ".png")

LATER = "export"
"""The script that exports a crate; an earlier crate does not go into the next."""


@dataclass(frozen=True)
class File:
    """A file of the crate or beside it.

    Attributes:
        path: as recorded, or below the checkout.
        id: its path in the crate; for a file named by reference its address, or a URI of its digest
            (RFC 6920).
        place: its path on disk; None for a file named by reference.
        sha256: of its bytes.
        bytes: its size, or None if unknown.
        raw: origin of a raw file.
        generator: origin of a generated file.
    """

    path: str
    id: str
    place: Path | None
    sha256: str
    bytes: int | None
    raw: dict[str, Any]
    generator: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One job of the run.

    Attributes:
        record: path of its record in the crate.
        content: the record.
    """

    record: str
    content: dict[str, Any]

    @property
    def script(self) -> str:
        """Path of its script in the crate."""
        return f"workflow/scripts/{self.content['code']['script']}"

    @property
    def started(self) -> datetime:
        """Start of the job."""
        return datetime.fromisoformat(self.content["started"])

    @property
    def ended(self) -> datetime:
        """End of the job, to the second."""
        ended = self.started + timedelta(seconds=self.content["seconds"])
        return ended.replace(microsecond=0)


@dataclass(frozen=True)
class Contents:
    """Everything in a crate.

    Attributes:
        name: of the results, as recorded.
        files: files of the run and raw files, by recorded path.
        records: the jobs' records as files.
        sources: files of the checkout.
        jobs: in order of their start.
        other_code: scripts whose recorded code differs from the sources, with their commits.
    """

    name: str
    files: dict[str, File]
    records: list[File]
    sources: list[File]
    jobs: list[Job]
    other_code: dict[str, list[str]]

    @property
    def inside(self) -> list[File]:
        """Packed files, in order of their path in the crate."""
        every = [*self.files.values(), *self.records, *self.sources]
        return sorted((file for file in every if file.place), key=lambda file: file.id)

    @property
    def ended(self) -> datetime:
        """End of the last job: the date of the crate."""
        return max(job.ended for job in self.jobs)

    def lines(self) -> list[str]:
        """Return a summary to print."""
        size = sum(file.bytes or 0 for file in self.inside)
        named = sum(file.place is None for file in self.files.values())
        said = [
            f"{len(self.jobs)} jobs, {len(self.inside)} files ({size / 1e6:.1f} MB unpacked), "
            f"{named} named by size and digest"
        ]
        for script, commits in self.other_code.items():
            said.append(f"{script} is not the code of the run, commit {', '.join(commits)}")
        return said


def collect(results: str | Path, root: Path = CHECKOUT) -> Contents:
    """Read a finished run and the sources of the checkout.

    Args:
        results: the run's folder.
        root: the checkout.

    Raises:
        CchError: there is no finished run, a record is broken, or a file that goes in is missing or
            differs from its record.
    """
    if not (root / "Snakefile").is_file():
        raise CchError(root, "holds no Snakefile", "export from a checkout of the project")
    report = Audit(Path(results))
    tree = Tree(results, report)
    if report.problems:
        raise CchError(report.problems[0].where, report.problems[0].what, "audit the run")
    recorded = [r for r in tree.records.values() if r.rule != LATER]
    if f"{tree.name}/report/index.html" not in tree.made:
        raise CchError(results, "holds no finished run: it has no report", "run the workflow first")
    jobs = [Job(_inside(tree.label(r.path)), r.content) for r in recorded]
    return Contents(
        name=tree.name,
        files={file.path: file for file in _files(tree, recorded)},
        records=[_packed(tree.label(r.path), r.path) for r in recorded],
        sources=list(_sources(root)),
        jobs=sorted(jobs, key=lambda job: (job.started, job.record)),
        other_code=_other_code(jobs, root),
    )


def _inside(path: str) -> str:
    """Return the path in the crate: as recorded, without a leading slash."""
    return path.lstrip("/")


def _packed(path: str, place: Path, sha256: str | None = None, **more: Any) -> File:
    about = {"raw": {}, "generator": {}, **more}
    size = place.stat().st_size
    return File(path, _inside(path), place, sha256 or sha256_file(place), size, **about)


def _files(tree: Tree, recorded: list[Recorded]) -> Iterator[File]:
    """Yield all outputs of the jobs; raw files and arrays are named by reference."""
    addresses = Counter(_address(r.content.get("raw", {})) for r in recorded)
    for r in recorded:
        raw, generator = r.content.get("raw", {}), r.content.get("generator", {})
        for path, sha256 in r.outputs.items():
            place = tree.place(path)
            if not raw and place.suffix not in BY_REFERENCE:
                yield _packed(path, _checked(tree, path), sha256, generator=generator)
                continue
            size = raw.get("bytes") or (place.stat().st_size if place.is_file() else None)
            address = _address(raw)
            unique = address and addresses[address] == 1
            name = address if unique else digest_uri(sha256)
            yield File(path, name, None, sha256, size, raw, generator)


def _checked(tree: Tree, path: str) -> Path:
    if tree.digest(path) is None:
        raise CchError(path, "is missing", "run the workflow to its end")
    if not tree.as_recorded(path):
        raise CchError(path, "has not the bytes that its record says", "audit the run")
    return tree.place(path)


def _address(raw: dict[str, Any]) -> str:
    """Return an address of a raw file, or ''."""
    for address in [*raw.get("published_addresses", []), raw.get("address", "")]:
        if re.match(r"(?!file:|generator:)[a-z][a-z0-9+.-]+:", address):
            return address
    return ""


def digest_uri(sha256: str) -> str:
    """Return the URI of bytes with this SHA-256 (RFC 6920)."""
    value = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
    return f"ni:///sha-256;{value}"


def _sources(root: Path) -> Iterator[File]:
    for name in SOURCES:
        top = root / name
        every = sorted(top.rglob("*")) if top.is_dir() else [top]
        for path in every:
            parts = path.relative_to(root).parts
            hidden = any(part.startswith((".", "__pycache__")) for part in parts)
            if path.is_file() and not hidden and path.suffix not in NO_SOURCES:
                yield _packed(path.relative_to(root).as_posix(), path)


def _other_code(jobs: list[Job], root: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for script in sorted({job.script for job in jobs}):
        codes = [job.content["code"] for job in jobs if job.script == script]
        others = {
            str(code.get("commit", "unknown"))[:12]
            for code in codes
            if code["digest"] != code_now(root / script, code)
        }
        if others:
            found[script] = sorted(others)
    return found
