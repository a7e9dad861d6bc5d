"""Files that need a manual download: which are missing, and the steps to get them."""

from __future__ import annotations

import os
from pathlib import Path

from cch.base.errors import CchError
from cch.data.sources.mirror import find_mirror
from cch.data.sources.table import SourceTable
from cch.data.sources.types import KINDS, FileEntry


def raw_path(resources: str | os.PathLike[str], source: str, name: str) -> Path:
    """Return the path of a raw file: ``resources/<source>/<name>``."""
    return Path(resources) / source / name


def manual_steps(
    source_name: str, file_name: str, *, table: SourceTable, destination: str | os.PathLike[str]
) -> str:
    """Return the numbered steps of a manual download, one per line.

    Raises:
        CchError: there is no such file, or it needs no manual download.
    """
    entry = table.file(source_name, file_name)
    if not entry.steps:
        raise CchError(f"{source_name}/{file_name}", f"is of kind {entry.kind!r}, not by hand")
    return numbered_steps(entry, Path(destination))


def numbered_steps(entry: FileEntry, destination: Path) -> str:
    """Return the steps of a file's entry with its destination, numbered, one per line."""
    steps = [step.replace("{destination}", str(destination)) for step in entry.steps or ()]
    return "\n".join(f"  {number}. {step.strip()}" for number, step in enumerate(steps, 1))


def available(
    source_name: str,
    table: SourceTable,
    resources: str | os.PathLike[str],
    mirror: str | None = None,
) -> tuple[bool, str]:
    """Return whether a source can be planned with, and if not, why; no network, no digests.

    Only a missing manual download makes a source unavailable: a file that is neither under
    ``resources`` nor in a mirror folder. A mirror that is a server is not asked; it is assumed to
    have the file until fetching shows otherwise.

    Raises:
        CchError: there is no such source.
    """
    for entry in missing_by_hand(source_name, table, resources, mirror):
        path, place = raw_path(resources, source_name, entry.name), find_mirror(mirror)
        also = f" and not in the mirror {place.folder}" if place is not None else ""
        return False, f"{source_name}/{entry.name} has to be placed by hand: not at {path}{also}"
    return True, ""


def missing_by_hand(
    source_name: str,
    table: SourceTable,
    resources: str | os.PathLike[str],
    mirror: str | None = None,
) -> list[FileEntry]:
    """Return the files of a source that still need a manual download; see `available`.

    Raises:
        CchError: there is no such source.
    """
    place = find_mirror(mirror)
    return [
        entry
        for entry in table.source(source_name).files
        if KINDS[entry.kind].by_hand
        and not raw_path(resources, source_name, entry.name).is_file()
        and (place is None or not place.may_have(entry))
    ]
