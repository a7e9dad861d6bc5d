"""Kind ``local``: files of one's own, which the configuration names by path.

A dataset of kind ``matrices`` gets a source ``local-<dataset>`` that is in no table. Its files are
copied to ``resources/`` like all raw files, so that records, the audit and jobs on other machines
see what was read; when a file changes, it is taken in again.
"""

from __future__ import annotations

from pathlib import Path

from cch.data.sources.fetchers import NotDelivered, from_file
from cch.data.sources.types import Delivery, Request, Unavailable, register


@register("local", needs=("path",), mirrored=False, follows=True)
def _local(request: Request) -> Delivery:
    """Copy the file."""
    path = Path(str(request.entry.path)).expanduser()
    try:
        return from_file(request, path, str(path))
    except Unavailable as failure:
        raise NotDelivered(failure) from None


def local_source(dataset: str) -> str:
    """Name of the source of a dataset's own files."""
    return f"local-{dataset}"
