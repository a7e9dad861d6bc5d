"""Fetch raw files, verified: from the mirror, then as the source table says.

A file is either at its destination, complete and verified, or absent. While it is being fetched it
is ``.NAME.part`` beside the destination, which an interrupted download continues from.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import Timeout

from cch.base.errors import CchError
from cch.base.files import process_lock
from cch.data.sources.fetchers import NotDelivered
from cch.data.sources.http import discard
from cch.data.sources.lockfile import Pin, read_pins, write_pin
from cch.data.sources.manual import numbered_steps
from cch.data.sources.mirror import VARIABLE, find_mirror
from cch.data.sources.table import SourceTable
from cch.data.sources.types import (
    KINDS,
    Delivery,
    Expected,
    FileEntry,
    Request,
    RetryPolicy,
    Unavailable,
    Verdict,
    log,
)

FOUND = "found in place"
"""Address of a file that was at its destination before it was first fetched."""


@dataclass(frozen=True)
class Fetched:
    """A raw file at its destination.

    Args:
        path: the destination.
        sha256: its SHA-256, in hex.
        bytes: its size.
        address: where it came from: a URL, a path in a mirror folder,
            ``pypi:NAME==VERSION#MEMBER``, or `FOUND` where a person placed it.
        retrieved: when it was fetched, ISO 8601, UTC.
        pinned: no digest is published; the first use decided what the file is.
        resumed_from: the byte at which an interrupted download was continued; 0 if the file came
            in one piece or was there already.
        release: the release of the data that the server named when it was fetched, or None.
    """

    path: Path
    sha256: str
    bytes: int
    address: str
    retrieved: str
    pinned: bool
    resumed_from: int = 0
    release: str | None = None


def fetch(
    source_name: str,
    file_name: str,
    *,
    table: SourceTable,
    destination: str | os.PathLike[str],
    mirror: str | None = None,
    lock: str | os.PathLike[str],
    retry_policy: RetryPolicy | None = None,
) -> Fetched:
    """Fetch one raw file to ``destination``, verified, or raise and leave nothing new there.

    A correct file that is already there is returned without using the network. A wrong one is
    replaced once the right one has been fetched. Two processes may fetch the same file: one works,
    the other waits and finds it done.

    Args:
        source_name: a source of the table.
        file_name: one of its files.
        table: the source table.
        destination: the file to write.
        mirror: a folder or URL (file, http, https) tried first; None: the variable CCH_MIRROR.
        lock: the lock file in which files without a published digest are pinned.
        retry_policy: retries at each address, after connection failures, stalls, broken-off bodies
            and the statuses 5xx, 408, 425 and 429, and time limits; None: the default policy.

    Raises:
        CchError: the table has no such file; no place gave the right bytes (one line with every
            place tried and its reason, then what to do); the disk cannot be written.
    """
    entry = table.file(source_name, file_name)
    key, destination, lock = f"{source_name}/{file_name}", Path(destination), Path(lock)
    request = Request(
        key=key,
        entry=entry,
        destination=destination,
        part=destination.with_name(f".{destination.name}.part"),
        expected=_expected(entry, read_pins(lock).get(key)),
        retry_policy=retry_policy or RetryPolicy(),
    )
    try:
        present, _ = _present(request, lock)
        return present or _fetch(request, mirror, lock)
    except OSError as error:
        where = error.filename or destination
        raise CchError(where, f"cannot be read or written ({error.strerror or error})") from None


def _fetch(request: Request, mirror: str | None, lock: Path) -> Fetched:
    """Fetch a file that is not at its destination yet; see `fetch`."""
    request.destination.parent.mkdir(parents=True, exist_ok=True)
    with _sole_writer(request):
        # The process waited for may have finished the file, and pinned it.
        pin = read_pins(lock).get(request.key)
        request = replace(request, expected=_expected(request.entry, pin))
        present, wrong = _present(request, lock)
        if present is not None:
            return present
        if wrong is not None:
            log.warning("%s: %s; fetching it again", request.key, wrong)
        try:
            delivery = _deliver(request, mirror)
        except Unavailable as error:
            failures = [wrong, *error.failures] if wrong else list(error.failures)
            raise _given_up(request, failures, lock) from None
        return _install(request, delivery, lock)


def _pinned(entry: FileEntry) -> bool:
    """Whether the first use decides what the file is."""
    return entry.sha256 is None and entry.md5 is None and not KINDS[entry.kind].follows


def _expected(entry: FileEntry, pin: Pin | None) -> Expected:
    return Expected(entry.bytes, entry.sha256, entry.md5, pin if _pinned(entry) else None)


def _present(request: Request, lock: Path) -> tuple[Fetched | None, Unavailable | None]:
    """Return the file at the destination if it is correct, and what is wrong with it if not."""
    if not request.destination.is_file() or KINDS[request.entry.kind].follows:
        return None, None
    verdict = request.expected.check(request.destination)
    if verdict.problem is None:
        pin = read_pins(lock).get(request.key)
        if pin is None or pin.sha256 != verdict.sha256:
            pin, verdict = _settle(request, verdict, Delivery(FOUND), lock)
        if verdict.problem is None:
            return _fetched(request, pin), None
    return None, Unavailable(
        request.destination, str(verdict.problem), against_pin=verdict.against_pin
    )


def _deliver(request: Request, mirror: str | None) -> Delivery:
    """Try the mirror, then the file's kind."""
    kind = KINDS[request.entry.kind]
    first = find_mirror(mirror) if kind.mirrored else None
    failures: tuple[Unavailable, ...] = ()
    if first is not None:
        try:
            return first.deliver(request)
        except Unavailable as failure:
            failures = (failure,)
            level = logging.INFO if failure.absent else logging.WARNING
            log.log(level, "%s: mirror: %s; going on without it", request.key, failure)
    try:
        return kind.deliver(request)
    except Unavailable as error:
        raise NotDelivered(*failures, *error.failures) from None


def _install(request: Request, delivery: Delivery, lock: Path) -> Fetched:
    """Verify the part file, pin it, and give it its name, in this order.

    A kill between pinning and renaming leaves a pin that the next fetch is checked against; in
    the other order it would leave a file of unknown origin.
    """
    verdict = request.expected.check(request.part)
    if verdict.problem is None:
        pin, verdict = _settle(request, verdict, delivery, lock)
    if verdict.problem is not None:
        discard(request.part)
        failure = Unavailable(delivery.address, verdict.problem, against_pin=verdict.against_pin)
        raise _given_up(request, [failure], lock)
    with open(request.part, "rb+") as handle:
        os.fsync(handle.fileno())
    os.replace(request.part, request.destination)
    discard(request.part)
    if delivery.pieces is not None:
        shutil.rmtree(delivery.pieces, ignore_errors=True)
    log.info("%s: %d bytes from %s", request.key, pin.bytes, pin.address)
    return _fetched(request, pin, delivery.resumed_from)


def _settle(
    request: Request, verdict: Verdict, delivery: Delivery, lock: Path
) -> tuple[Pin, Verdict]:
    """Enter a verified file into the lock file; return the entry there now, and the verdict."""
    binding = _pinned(request.entry)
    pin = Pin(
        sha256=verdict.sha256,
        bytes=verdict.bytes,
        address=delivery.address,
        retrieved=_now(),
        release=delivery.release,
    )
    standing = write_pin(lock, request.key, pin, binding=binding)
    if binding and standing is pin:
        log.info("%s: no digest is published; pinned to SHA-256 %s", request.key, pin.sha256)
    # Another process may have pinned other bytes since the lock file was read.
    return standing, verdict if not binding else verdict.against(standing)


def _fetched(request: Request, pin: Pin, resumed_from: int = 0) -> Fetched:
    return Fetched(
        *(request.destination, pin.sha256, pin.bytes, pin.address, pin.retrieved),
        pinned=_pinned(request.entry),
        resumed_from=resumed_from,
        release=pin.release,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _given_up(request: Request, failures: list[Unavailable], lock: Path) -> CchError:
    """Return the error that names every place tried and says what to do."""
    entry = request.entry
    if any(failure.against_pin for failure in failures):
        todo = f"if the new file is right, delete the entry {request.key!r} from {lock}"
    elif KINDS[entry.kind].by_hand:
        todo = "get it like this:\n" + numbered_steps(entry, request.destination)
    elif KINDS[entry.kind].follows:
        todo = "see the path in the dataset's configuration"
    elif KINDS[entry.kind].mirrored:
        todo = (
            f"place the file at {request.destination} by hand, or set {VARIABLE} to a folder or "
            f"URL that has it as {entry.mirror}"
        )
    else:
        todo = f"install the version of {entry.distribution} that the project pins"
    return CchError(request.key, "could not be fetched: " + "; ".join(map(str, failures)), todo)


@contextmanager
def _sole_writer(request: Request) -> Iterator[None]:
    """Hold the part file alone; wait while another process does."""
    lock = process_lock(request.part.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: another process is fetching it; waiting", request.key)
        lock.acquire()
    try:
        yield
    finally:
        # Removed while it is held: filelock refuses a lock on a file that has lost its name.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
