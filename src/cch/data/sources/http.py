"""HTTP requests with retries, and downloads that resume where they broke off.

urllib3's ``Retry`` counts failures, backs off and honours Retry-After. Resuming follows RFC 9110,
sections 13.1.5 (If-Range) and 14 (Range).
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, InvalidHeader, MaxRetryError, ReadTimeoutError

from cch.base.errors import CchError
from cch.base.progress import Progress
from cch.data.sources.types import (
    POINTER_FOUND,
    POINTER_LIMIT,
    Request,
    RetryPolicy,
    Unavailable,
    is_pointer,
    log,
    shown,
)

CHUNK = 1 << 14
"""Bytes written at a time; a kill or a stall loses at most these."""

ADVANCE = 1 << 20
"""New bytes after which an interruption starts a new count of failures in a row."""

RETRIED = frozenset([408, 425, 429, *range(500, 600)])
"""Statuses that are retried."""

_sleep: Callable[[float], None] = time.sleep


class Interrupted(urllib3.exceptions.ProtocolError):
    """An answer broke off or is malformed; another try may succeed."""


class _StartAgain(Exception):
    """The server cannot continue the part file; the whole file must be requested."""


class Client:
    """Requests to one address, retried after connection failures and passing statuses.

    Failures in a row are counted over requests and their bodies together.

    Args:
        address: an http or https URL.
        label: the file's name in the log.
        policy: retries and time limits.
    """

    def __init__(self, address: str, label: str, policy: RetryPolicy) -> None:
        self.address, self.label, self.policy = address, label, policy
        self.where = shown(address)
        self._adapter, self._session = HTTPAdapter(), requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, self._adapter)
        self.reset()

    def reset(self) -> None:
        """Start a new count of failures in a row."""
        self._retry = _Retry(
            self.policy.retries,
            other=0,  # errors of certificates
            allowed_methods=None,
            status_forcelist=RETRIED,
            backoff_factor=self.policy.backoff,
            backoff_max=self.policy.longest,
            retry_after_max=int(self.policy.longest_asked),
            raise_on_status=False,
        )
        self._retry.client = self

    def request(self, method: str = "GET", **options: Any) -> requests.Response:
        """Return an answer whose body is still to be read, whatever its status.

        Raises:
            Unavailable: no answer after all retries.
        """
        self._adapter.max_retries = self._retry
        options["headers"] = {"Accept-Encoding": "identity"} | options.get("headers", {})
        limits = (self.policy.connect, self.policy.read)
        try:
            response = self._session.request(
                method, self.address, stream=True, timeout=limits, **options
            )
        except requests.RequestException as error:
            retried = isinstance(error, requests.ConnectionError) and not isinstance(
                error, requests.exceptions.SSLError
            )
            self.give_up(self.reason(error), self.policy.retries + 1 if retried else 1)
        self._retry = response.raw.retries
        return response

    def refuse(self, response: requests.Response, said: str = "") -> NoReturn:
        """Raise `Unavailable` for an error status; ``said`` is what the server says of it."""
        status = response.status_code
        reason = _phrase(status) + (f" ({said})" if said else "")
        tries = len(self._retry.history) + 1 if status in RETRIED else 1
        self.give_up(reason, tries, absent=status in (404, 410))

    def give_up(self, reason: str, tries: int = 1, *, absent: bool = False) -> NoReturn:
        """Raise `Unavailable`."""
        times = f" ({tries} tries in a row)" if tries > 1 else ""
        raise Unavailable(self.where, reason + times, absent=absent) from None

    def interrupted(self, problem: Interrupted) -> None:
        """Count a body that broke off as a failure, and wait before the next try.

        Raises:
            Unavailable: the retries are used up.
        """
        try:
            self._retry = self._retry.increment("", error=problem)
        except MaxRetryError:
            self.give_up(str(problem), len(self._retry.history) + 1)
        self._retry.sleep()

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """Yield the body in pieces, as sent: some servers mark every .gz as encoded with gzip.

        Raises:
            Interrupted: the connection failed.
        """
        count = 0
        try:
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                count += len(chunk)
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            lost = "" if isinstance(error, ReadTimeoutError) else "connection lost: "
            raise Interrupted(f"{lost}{self.reason(error)} after {count} bytes") from None

    def reason(self, error: BaseException) -> str:
        """Return what an exception of requests or urllib3 means, in a few words."""
        for _ in range(10):  # it may be wrapped as a cause, a reason or an argument
            if isinstance(error, ReadTimeoutError):
                return f"stalled: nothing came for {self.policy.read:g} s"
            if type(error) is ConnectTimeoutError:
                return f"no connection within {self.policy.connect:g} s"
            causes = [getattr(error, "reason", None), error.__cause__, *error.args]
            inner = next((cause for cause in causes if isinstance(cause, BaseException)), None)
            if inner is None:
                break
            error = inner
        text = " ".join(str(error).split())[:160]
        return getattr(error, "strerror", None) or text or type(error).__name__


class _Retry(urllib3.Retry):
    """urllib3's Retry; each wait is logged, and the first is the back-off, not zero."""

    client: Client

    def new(self, **changes: Any) -> _Retry:
        fresh = super().new(**changes)
        fresh.client = self.client
        return fresh

    def get_backoff_time(self) -> float:
        return min(self.backoff_max, self.backoff_factor * 2 ** (len(self.history) - 1))

    def sleep(self, response: Any = None) -> None:
        try:
            asked = self.get_retry_after(response) if response is not None else None
        except InvalidHeader:
            asked = None
        wait = max(self.get_backoff_time(), asked or 0.0)
        client, failure, count = self.client, self.history[-1], len(self.history)
        log.warning(
            "%s: %s: %s; retry %d of %d in %.3g s",
            *(client.label, client.where),
            client.reason(failure.error) if failure.error else _phrase(failure.status or 0),
            *(count, client.policy.retries, wait),
        )
        _sleep(wait)


def _phrase(status: int) -> str:
    return f"HTTP {status} {http.client.responses.get(status, '')}".strip()


def download(address: str, request: Request) -> int:
    """Download the whole of ``address`` to ``request.part``, continuing what is there.

    Only the number of bytes is checked here, not their digest. If the transfer fails, the part
    file keeps what came for a later call. Where no digest decides in the end, only the same
    version (ETag, Last-Modified) of the same address is continued.

    Returns:
        The byte at which the last transfer resumed; 0 if the file came in one answer.

    Raises:
        Unavailable: the address does not have the file, or the retries are used up.
        CchError: the part file cannot be written.
    """
    client = Client(address, request.key, request.retry_policy)
    best = _size(request.part)
    while True:
        try:
            return _Transfer(client, request).run()
        except _StartAgain:
            log.info("%s: %s: cannot be continued, starting again", request.key, client.where)
            discard(request.part)
        except Interrupted as problem:
            have = _size(request.part)
            if have >= best + ADVANCE:
                client.reset()
            best = max(best, have)
            client.interrupted(problem)


def discard(part: Path) -> None:
    """Remove a part file and the version beside it."""
    part.unlink(missing_ok=True)
    version_file(part).unlink(missing_ok=True)


def version_file(part: Path) -> Path:
    """Return the path of the small file that says which version ``part`` belongs to."""
    return part.with_name(f"{part.stem}.version.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Transfer:
    """One request for a file or its rest, written to the part file."""

    def __init__(self, client: Client, request: Request) -> None:
        self.client, self.part = client, request.part
        self.joinable = request.expected.known
        self.total = request.expected.bytes
        self.validator = self._known_version()
        have = _size(self.part)
        usable = (self.joinable or self.validator) and have <= (self.total or have)
        self.offset = have if usable else 0

    def _known_version(self) -> str | None:
        """Return the version of the part file, if it came from this address."""
        try:
            version = json.loads(version_file(self.part).read_text(encoding="utf-8"))
            return version["validator"] if version["address"] == self.client.where else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # none was written, or a kill cut it off

    def run(self) -> int:
        """Make the request; see `download`."""
        if self.offset and self.offset == self.total:
            return self.offset  # complete: the process was killed before it was verified
        headers = {}
        if self.offset:
            headers["Range"] = f"bytes={self.offset}-"
            if self.validator:
                headers["If-Range"] = self.validator
        with self.client.request(headers=headers) as response:
            self._begin(response)
            if response.status_code == 416:
                return self.offset  # complete
            try:
                self._write(response)
            except OSError as error:
                what = f"cannot be written ({error.strerror or error})"
                raise CchError(self.part, what) from None
        if self.total is not None and (have := _size(self.part)) < self.total:
            raise Interrupted(f"broke off at {have} of {self.total} bytes")
        return self.offset

    def _begin(self, response: requests.Response) -> None:
        """Learn offset and total from the answer, or refuse it."""
        if response.status_code == 416 and self.offset:
            if response.headers.get("Content-Range") != f"bytes */{self.offset}":
                raise _StartAgain
            offered = str(self.offset)
        elif response.status_code >= 400:
            self.client.refuse(response)
        elif response.status_code == 206 and self.offset:
            pattern = rf"bytes {self.offset}-\d+/(\d+|\*)"
            found = re.fullmatch(pattern, response.headers.get("Content-Range", "").strip())
            same = self.joinable or _validator(response) in (None, self.validator)
            if not found or not same:
                raise _StartAgain
            offered = found[1]
        elif response.status_code == 200:
            self.offset = 0
            offered = response.headers.get("Content-Length", "")
        else:
            self.client.give_up(f"unexpected answer HTTP {response.status_code}")
        if offered.isdecimal():
            if self.total not in (None, int(offered)):
                if int(offered) < POINTER_LIMIT and is_pointer(
                    b"".join(self.client.chunks(response))
                ):
                    self.client.give_up(POINTER_FOUND)
                self.client.give_up(f"offers {offered} bytes, {self.total} expected")
            self.total = int(offered)

    def _write(self, response: requests.Response) -> None:
        """Append the body to the part file."""
        scale, unit = (1_000_000, "MB") if (self.total or 10**7) >= 10**7 else (1000, "kB")
        resumed = f" (from {self.offset // scale} {unit} on)" if self.offset else ""
        rest = self.total - self.offset if self.total else 0
        progress = Progress(self.client.label + resumed, rest, unit, scale=scale)
        with open(self.part, "ab") as file:
            file.truncate(self.offset)
            # After the truncation: old bytes must never stand beside the name of a newer version.
            self._remember_version(response)
            have = self.offset
            try:
                for chunk in self.client.chunks(response):
                    have += len(chunk)
                    if self.total is not None and have > self.total:
                        self.client.give_up(f"sends more than the {self.total} bytes expected")
                    file.write(chunk)
                    file.flush()
                    progress.advance(len(chunk))
            except Interrupted as problem:
                raise Interrupted(f"{problem}, at {have} of {self.total or '?'} bytes") from None

    def _remember_version(self, response: requests.Response) -> None:
        validator = _validator(response)
        if validator and (self.offset == 0 or self.validator is None):
            content = {"address": self.client.where, "validator": validator}
            version_file(self.part).write_text(json.dumps(content), encoding="utf-8")
        elif self.offset == 0:
            version_file(self.part).unlink(missing_ok=True)


def _validator(response: requests.Response) -> str | None:
    """Return the version of the file: a strong ETag, or else its date."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
