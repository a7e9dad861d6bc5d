"""Kind ``local``: files of one's own, which the configuration names by path.

A dataset of kind ``matrices`` gets a source ``local-<dataset>`` that is in no table. Its files are
copied to ``resources/`` like all raw files, so that records, the audit and jobs on other machines
see what was read; when a file changes, it is taken in again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cch.sources.contract import Delivery, Request, Unavailable
from cch.sources.kinds import NotDelivered, from_file, register

if TYPE_CHECKING:
    from cch.config import Config
    from cch.sources.table import SourceTable


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


def with_local(table: SourceTable, config: Config) -> SourceTable:
    """The table with a source for every dataset whose files the configuration names."""
    from cch.config import MatricesDataset
    from cch.sources.table import FileEntry, Source

    sources = dict(table.sources)
    for name, dataset in config.datasets.items():
        if not isinstance(dataset, MatricesDataset):
            continue
        paths = {role: entry.file for role, entry in dataset.files.items()}
        paths["labels"] = dataset.labels.file
        sources[local_source(name)] = Source(
            title=dataset.title,
            licence="of the files' owner",
            citation="none; files named in the configuration",
            reader="local-files",
            files=tuple(
                FileEntry(
                    name=f"{role}{''.join(Path(path).suffixes[-2:])}",
                    role=role,
                    kind="local",
                    path=path,
                )
                for role, path in paths.items()
            ),
        )
    return replace(table, sources=sources)
