"""Kind ``generated``: a raw file that a keyed generator of this project writes.

It takes the place of a real file in the demo and in tests. The file has the format of the
real one, its source says that it is generated, and its record names the generator and the seed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cch.data.sources.types import Delivery, Request, register

if TYPE_CHECKING:
    from cch.data.sources.types import FileEntry

Write = Callable[[Path, str, int], None]
"""Writes a file: its path, the role that it has in its source, and the seed."""


def _tcga(path: Path, role: str, seed: int) -> None:
    from cch.data.datasets.tcga_fixture import write_part

    write_part(path, role, seed)


def _mosei(path: Path, role: str, seed: int) -> None:
    from cch.data.datasets.mosei_fixture import write_fixture

    write_fixture(path, seed=seed)


GENERATORS: dict[str, Write] = {"tcga": _tcga, "mosei": _mosei}


def _known(entry: FileEntry) -> None:
    if entry.generator not in GENERATORS:
        known = ", ".join(GENERATORS)
        raise ValueError(f"generator {entry.generator!r} is unknown; expected one of {known}")


@register("generated", needs=("generator", "seed"), allows=("part",), mirrored=False, check=_known)
def _generated(request: Request) -> Delivery:
    """Write the file in a folder of its own and move it to the part file."""
    entry = request.entry
    write = GENERATORS[str(entry.generator)]
    folder = request.part.parent
    with tempfile.TemporaryDirectory(dir=folder, prefix=".generated-") as temporary:
        made = Path(temporary) / entry.name
        write(made, entry.part or entry.role, int(entry.seed or 0))
        made.replace(request.part)
    return Delivery(f"generator:{entry.generator}?seed={entry.seed}")
