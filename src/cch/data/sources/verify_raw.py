"""Check that raw files are still the ones that were fetched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.records.record import read_record


def check_raw_files(paths: Iterable[str | Path]) -> None:
    """Refuse raw files whose SHA-256 differs from that in their records.

    Raises:
        CchError: a file changed since it was fetched or placed; the line says what to do.
    """
    for path in map(Path, paths):
        record = path.with_name(f"{path.name}.record.json")
        recorded = read_record(record)["raw"]["sha256"]
        found = sha256_file(path)
        if found != recorded:
            raise CchError(
                path,
                f"has changed since it was fetched (SHA-256 {found}, then {recorded})",
                f"delete it and {record.name}, and run again",
            )
