"""Write a crate as a zip file or a folder; the same run gives the same bytes."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from datetime import UTC
from pathlib import Path

from cch import CHECKOUT
from cch.audit.crate.contents import Contents, collect
from cch.audit.crate.metadata import NAME, metadata
from cch.base.errors import CchError
from cch.base.files import whole_file

MODE = 0o100644 << 16


def export(results: str | Path, target: str | Path, root: Path = CHECKOUT) -> Contents:
    """Write a finished run as a Provenance Run Crate.

    Args:
        results: the run's folder.
        target: a new file ending in ``.zip``, or a new folder.
        root: the checkout whose sources go in.

    Returns:
        The contents.

    Raises:
        CchError: there is no finished run, a file differs from its record, or the target exists or
            cannot be written.
    """
    target = Path(target)
    if target.exists():
        raise CchError(target, "exists", "name another place or remove it")
    contents = collect(results, root)
    described = json.dumps(metadata(contents, _engine(root)), indent=1, ensure_ascii=False) + "\n"
    try:
        (_zip if target.suffix == ".zip" else _folder)(contents, described, target)
    except OSError as error:
        raise CchError(target, f"cannot be written ({error.strerror})") from None
    return contents


def _engine(root: Path) -> str:
    """Return the version of Snakemake that the project pins."""
    pins = (root / "envs" / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(r"^snakemake==(\S+)$", pins, flags=re.MULTILINE)
    return found[1] if found else "unknown"


def _zip(contents: Contents, described: str, target: Path) -> None:
    # Dates of files differ between equal checkouts; the date of the run does not.
    date = contents.ended.astimezone(UTC).timetuple()[:6]

    def entry(name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, date)
        info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, MODE, 3
        return info

    with whole_file(target) as part, zipfile.ZipFile(part, "w", compresslevel=9) as archive:
        archive.writestr(entry(NAME), described)
        for file in contents.inside:
            assert file.place is not None
            archive.writestr(entry(file.id), file.place.read_bytes())


def _folder(contents: Contents, described: str, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for file in contents.inside:
            assert file.place is not None
            place = temporary / file.id
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.place, place)
        (temporary / NAME).write_text(described, encoding="utf-8")
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
