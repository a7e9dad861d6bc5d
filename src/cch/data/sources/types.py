"""What a kind of source is given, and what it gives back."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from cch.base.errors import did_you_mean
from cch.base.files import sha256_file
from cch.config import Model, Name

if TYPE_CHECKING:
    from cch.data.sources.lockfile import Pin

log = logging.getLogger("cch.data.sources")


POINTER_LIMIT = 1024
"""Bytes that a Git LFS pointer has fewer than (git-lfs, docs/spec.md)."""

POINTER_FOUND = "it is a Git LFS pointer, not the file that it stands for"


def is_pointer(content: bytes) -> bool:
    """Whether ``content``, the whole of a small file, is a Git LFS pointer."""
    return len(content) < POINTER_LIMIT and content.startswith(
        b"version https://git-lfs.github.com/spec/"
    )


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
        self.failures: tuple[Unavailable, ...] = (self,)
        super().__init__(f"{self.where}: {reason}" if self.where else reason)


@dataclass(frozen=True)
class RetryPolicy:
    """Retry and timeout policy.

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
        if size < POINTER_LIMIT and is_pointer(path.read_bytes()):
            return Verdict(sha256, size, POINTER_FOUND)
        if self.bytes is not None and size != self.bytes:
            return Verdict(sha256, size, f"it has {size} bytes, {self.bytes} expected")
        if self.sha256 and sha256 != self.sha256:
            return Verdict(sha256, size, f"its SHA-256 is {sha256}, {self.sha256} published")
        if self.md5 and (found := _md5(path)) != self.md5:
            return Verdict(sha256, size, f"its MD5 is {found}, {self.md5} published")
        verdict = Verdict(sha256, size)
        return verdict.against(self.pin) if self.pin else verdict


def _md5(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


@dataclass(frozen=True)
class Request:
    """One raw file wanted: its bytes go to ``part``, which is verified and renamed afterwards.

    Args:
        key: ``source/file``, for lines in the log.
        entry: the file's entry in the table.
        destination: where the file will be; its folder exists.
        part: where its bytes go, beside the destination; may hold an interrupted download.
        expected: what it must be.
        retry_policy: how long to bear with a server.
    """

    key: str
    entry: FileEntry
    destination: Path
    part: Path
    expected: Expected = field(default_factory=Expected)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True)
class Delivery:
    """The whole file is at ``Request.part``.

    Args:
        address: where from.
        resumed_from: the byte that it was resumed at.
        pieces: a folder of what it was put together from, to be removed once it has its name.
        release: the release of the data that the server names, if it names one.
    """

    address: str
    resumed_from: int = 0
    pieces: Path | None = None
    release: str | None = None


def shown(address: str) -> str:
    """Return an address without the user name and password that it may carry."""
    split = urlsplit(address)
    if "@" not in split.netloc:
        return address
    return split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()


def _relative(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError(f"{value!r} must be a relative path with forward slashes, without '..'")
    return value


RelativePath = Annotated[str, Field(min_length=1), AfterValidator(_relative)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Address = Annotated[str, Field(pattern=r"^https?://\S+$")]


class GdcQuery(Model):
    """Which files of the Genomic Data Commons: all that these say of a file must be so."""

    project: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="Projects, such as TCGA-BRCA; files of any of them."
    )
    data_type: str = Field(description="The GDC's data type.")
    workflow: str | None = Field(None, description="The GDC's workflow type; none: any.")
    access: Literal["open"] = Field("open", description="Open files only; no token is ever sent.")


class FileEntry(Model):
    """One raw file."""

    name: FileName = Field(description="Its name under resources/<source>/.")
    role: Name = Field(description="What it is to the source's reader.")
    kind: str = Field(description="How it is had: a registered kind (cch.data.sources.fetchers).")
    bytes: Annotated[int, Field(gt=0)] | None = Field(None, description="Its size, where known.")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = Field(
        None, description="Only where upstream publishes no SHA-256."
    )
    mirror: RelativePath = Field(
        "", description="Its path under a mirror; load_table makes it <source>/<name> by default."
    )
    addresses: tuple[Address, ...] | None = Field(None, min_length=1, description="In order.")
    steps: tuple[str, ...] | None = Field(
        None, min_length=1, description="How to get it by hand; {destination} is where it goes."
    )
    distribution: str | None = Field(
        None, description="The installed distribution that has it, or NAME==VERSION on PyPI."
    )
    member: RelativePath | None = Field(None, description="Its path inside the distribution.")
    generator: str | None = Field(None, description="Which generator of this project writes it.")
    part: str | None = Field(None, description="Which part of what it makes; left out: the role.")
    seed: Annotated[int, Field(ge=0)] | None = Field(None, description="Of the generator.")
    path: str | None = Field(None, description="Path of the user file that is copied.")
    query: GdcQuery | None = Field(None, description="What to ask the GDC API for.")
    options: dict[str, str | bool | int | float] | None = Field(
        None, description="What a kind of a plugin has to know."
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> FileEntry:
        if self.kind not in KINDS:
            question = did_you_mean(self.kind, list(KINDS))
            known = f"expected one of {', '.join(KINDS)}"
            raise ValueError(f"kind {self.kind!r} is unknown; {question}{known}")
        kind = KINDS[self.kind]
        for key in kind.needs:
            if getattr(self, key) is None:
                raise ValueError(f"kind {self.kind!r} requires the key {key!r}")
        others = dict.fromkeys(key for other in KINDS.values() for key in other.keys)
        for key in (*others, "options"):
            if key not in kind.keys and getattr(self, key) is not None:
                owners = [repr(name) for name, other in KINDS.items() if key in other.keys]
                kinds = f"kind{'s' * (len(owners) > 1)} {' and '.join(owners)}" if owners else ""
                raise ValueError(
                    f"key {key!r} belongs to {kinds or 'plugins'}, this is {self.kind!r}"
                )
        if kind.check is not None:
            kind.check(self)
        return self


Deliver = Callable[[Request], Delivery]


@dataclass(frozen=True)
class Kind:
    """A registered kind.

    Args:
        deliver: brings the bytes; raises `NotDelivered` when it cannot.
        needs: keys of a file's entry that this kind requires.
        allows: keys that it understands beside them; every other kind's keys are refused.
        check: looks at the values of an entry; raises ValueError where they are wrong.
        mirrored: whether a mirror is asked before it.
        by_hand: whether a person has to place the file, so that its absence is a normal state.
        follows: whether the file is what its origin is now, and never pinned.
    """

    deliver: Deliver
    needs: tuple[str, ...]
    mirrored: bool
    by_hand: bool
    allows: tuple[str, ...] = ()
    check: Callable[[FileEntry], None] | None = None
    follows: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys of the table that belong to this kind."""
        return self.needs + self.allows


KINDS: dict[str, Kind] = {}


def register(
    name: str,
    *,
    needs: tuple[str, ...],
    mirrored: bool = True,
    by_hand: bool = False,
    allows: tuple[str, ...] = (),
    check: Callable[[FileEntry], None] | None = None,
    follows: bool = False,
) -> Callable[[Deliver], Deliver]:
    """Register the decorated function as the kind ``name``; see `Kind` for the rest."""

    def decorate(deliver: Deliver) -> Deliver:
        KINDS[name] = Kind(deliver, needs, mirrored, by_hand, allows, check, follows)
        return deliver

    return decorate
