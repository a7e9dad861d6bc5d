"""Kind ``local``: user files, which the configuration names by path.

A dataset of kind ``matrices`` gets a source ``local-<dataset>`` that is in no table. Its files are
copied to ``resources/`` like all raw files, so that records, the audit and jobs on other machines
see what was read; a file that changes is copied again.
"""

from __future__ import annotations

from pathlib import Path

from cch.data.sources.fetchers import from_file
from cch.data.sources.types import Delivery, Request, register


@register("local", needs=("path",), mirrored=False, follows=True)
def _local(request: Request) -> Delivery:
    """Copy the file."""
    path = Path(str(request.entry.path)).expanduser()
    return from_file(request, path, str(path))


def local_source(dataset: str) -> str:
    """Return the name of the source of a dataset's user files."""
    return f"local-{dataset}"
