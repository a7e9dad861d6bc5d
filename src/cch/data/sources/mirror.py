"""The mirror: a folder or server that is tried before a file's own addresses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from cch.base.errors import CchError
from cch.data.sources.fetchers import from_address, from_file
from cch.data.sources.types import Delivery, FileEntry, Request, Unavailable, shown

VARIABLE = "CCH_MIRROR"
"""Environment variable that names the mirror if the configuration does not."""


@dataclass(frozen=True)
class Mirror:
    """A mirror.

    Args:
        address: a path or URL.
        folder: its folder, or None if it is a server.
    """

    address: str
    folder: Path | None

    def may_have(self, entry: FileEntry) -> bool:
        """Return whether a folder has a file; a server is assumed to have it."""
        return self.folder is None or (self.folder / entry.mirror).is_file()

    def deliver(self, request: Request) -> Delivery:
        """Copy or download a file to its part file, verified.

        Raises:
            Unavailable: the mirror does not have the right bytes.
        """
        path = request.entry.mirror
        if self.folder is None:
            return from_address(request, f"{self.address.rstrip('/')}/{quote(path)}")
        if not self.folder.is_dir():
            raise Unavailable(self.folder, "there is no such folder")
        return from_file(request, self.folder / path, str(self.folder / path))


def find_mirror(configured: str | None) -> Mirror | None:
    """Return the mirror of the configuration or of the environment variable, or None.

    Raises:
        CchError: a URL with an unsupported scheme.
    """
    address = configured or os.environ.get(VARIABLE)
    if not address:
        return None
    scheme = urlsplit(address).scheme if "://" in address else ""
    if scheme in ("http", "https"):
        return Mirror(address, None)
    if scheme == "file":
        return Mirror(address, Path(unquote(urlsplit(address).path)))
    if scheme:
        todo = f"set `mirror` or {VARIABLE} to a folder or a file, http or https URL"
        raise CchError(f"mirror {shown(address)}", f"{scheme!r} is not understood", todo)
    return Mirror(address, Path(address).expanduser())
