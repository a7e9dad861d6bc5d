"""Raw files that were taken in: what is there now must be what was fetched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.records.record import read_record


def check_raw_files(paths: Iterable[str | Path]) -> None:
    """Refuse raw files whose bytes are not those that their records name.

    Raises:
        CchError: a file changed since it was fetched or placed; the line says how to mend it.
    """
    for path in map(Path, paths):
        record = path.with_name(f"{path.name}.record.json")
        taken = read_record(record)["raw"]["sha256"]
        found = sha256_file(path)
        if found != taken:
            raise CchError(
                path,
                f"has changed since it was taken in (SHA-256 {found}, then {taken})",
                f"delete it and {record.name}, and run again",
            )
