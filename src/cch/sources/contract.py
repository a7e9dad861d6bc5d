"""What a kind of source is given, and what it gives back."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cch.files import sha256_file

if TYPE_CHECKING:
    from cch.sources.pins import Pin
    from cch.sources.table import FileEntry

log = logging.getLogger("cch.sources")


class Unavailable(Exception):
    """A place that could not give the file.

    Args:
        where: the address, path or distribution asked; empty where there was nowhere to ask.
        reason: why not, in a few words.
        against_pin: a whole file came, but it is not the one that was pinned on first use.
        absent: the place is in order and simply has not got the file.
    """

    def __init__(
        self, where: object, reason: str, *, against_pin: bool = False, absent: bool = False
    ) -> None:
        self.where, self.reason = str(where), reason
        self.against_pin, self.absent = against_pin, absent
        super().__init__(f"{self.where}: {reason}" if self.where else reason)


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with.

    Args:
        retries: further tries at one address after the first.
        backoff: seconds before the first retry; each further wait is twice as long.
        longest: seconds that no such wait exceeds.
        longest_asked: seconds that no wait asked for by a server (Retry-After) exceeds.
        connect: seconds for a connection to be made.
        read: seconds without a single byte after which a transfer counts as stalled.
    """

    retries: int = 5
    backoff: float = 1.0
    longest: float = 30.0
    longest_asked: float = 60.0
    connect: float = 10.0
    read: float = 60.0


@dataclass(frozen=True)
class Verdict:
    """What a file is, and what is wrong with it (None: nothing)."""

    sha256: str
    bytes: int
    problem: str | None = None
    against_pin: bool = False

    def against(self, pin: Pin) -> Verdict:
        """Return the verdict in the light of what was pinned on first use."""
        if self.sha256 == pin.sha256:
            return self
        problem = f"its SHA-256 is {self.sha256}, {pin.sha256} pinned on {pin.retrieved}"
        return replace(self, problem=problem, against_pin=True)


@dataclass(frozen=True)
class Expected:
    """What a file must be: as published, or else as pinned on first use."""

    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    pin: Pin | None = None

    @property
    def known(self) -> bool:
        """Whether a digest decides, so that bytes from different answers may be joined."""
        return bool(self.sha256 or self.md5 or self.pin)

    def check(self, path: Path) -> Verdict:
        """Read ``path`` whole and judge it."""
        size, sha256 = path.stat().st_size, sha256_file(path)
        if self.bytes is not None and size != self.bytes:
            return Verdict(sha256, size, f"it has {size} bytes, {self.bytes} expected")
        if self.sha256 and sha256 != self.sha256:
            return Verdict(sha256, size, f"its SHA-256 is {sha256}, {self.sha256} published")
        if self.md5 and (found := _md5(path)) != self.md5:
            return Verdict(sha256, size, f"its MD5 is {found}, {self.md5} published")
        verdict = Verdict(sha256, size)
        return verdict.against(self.pin) if self.pin else verdict


def _md5(path: Path) -> str:
    import pooch

    return pooch.file_hash(str(path), alg="md5")


@dataclass(frozen=True)
class Request:
    """One raw file wanted: its bytes go to ``part``, which is verified and renamed afterwards.

    Args:
        key: ``source/file``, for lines in the log.
        entry: the file's entry in the table.
        destination: where the file will be; its folder exists.
        part: where its bytes go, beside the destination; may hold an interrupted download.
        expected: what it must be.
        patience: how long to bear with a server.
    """

    key: str
    entry: FileEntry
    destination: Path
    part: Path
    expected: Expected = field(default_factory=Expected)
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class Delivery:
    """The whole file is at ``Request.part``.

    Args:
        address: where from.
        resumed_from: the byte that it was resumed at.
        pieces: a folder of what it was put together from, to be removed once it has its name.
    """

    address: str
    resumed_from: int = 0
    pieces: Path | None = None


def shown(address: str) -> str:
    """Return an address without the user name and password that it may carry."""
    split = urlsplit(address)
    if "@" not in split.netloc:
        return address
    return split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()
