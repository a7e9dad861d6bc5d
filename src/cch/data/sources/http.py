"""One file over HTTP: resumed where it broke off, retried with back-off, every failure one line.

pooch's downloader moves the bytes. What it cannot do is done around it: a `_Sink`, the file-like
object that it writes to, knows what an earlier attempt left behind, asks for the rest, and decides
from the answer's status and headers (a response hook of requests) whether the body is appended or
begins the file anew (RFC 9110, sections 13.1.5 and 14).
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from cch.base.errors import CchError
from cch.base.progress import Progress
from cch.data.sources.types import RetryPolicy, Unavailable, log, shown

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 14
"""Bytes written at a time: what a kill or a stall can lose."""

ADVANCE = 1 << 20
"""New bytes that make an interrupted attempt count as progress, not as a failure in a row."""

PASSING = {408, 425, 429}
"""Client-error statuses that may pass, beside all of 5xx."""

_sleep: Callable[[float], None] = time.sleep


class Interrupted(Exception):
    """The attempt failed in a way that may pass; ``wait``: seconds that the server asked for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        self.reason, self.wait = reason, wait
        super().__init__(reason)


class _StartAgain(Exception):
    """What is there cannot be continued from this server; it must be asked for the whole file."""


def download(
    address: str,
    part: Path,
    *,
    size: int | None,
    joinable: bool,
    retry_policy: RetryPolicy,
    label: str,
) -> int:
    """Bring the whole of ``address`` to ``part``, continuing what ``part`` holds already.

    The bytes are not verified here beyond their number. When the transfer fails, ``part`` keeps
    what came, for a later call.

    Args:
        address: an http or https URL.
        part: the file to fill; a small file beside it remembers which version it belongs to.
        size: the number of bytes expected, or None.
        joinable: a digest will decide in the end, so bytes of another address or of a server
            that names no version may be continued. Otherwise only the same version (ETag,
            Last-Modified) of the same address is.
        retry_policy: retries and time limits.
        label: what to call the file in the log.

    Returns:
        The offset of the last request for a rest that the server granted; 0 where the file came
        in one answer.

    Raises:
        Unavailable: the address has not got the file, or failed more often than ``retry_policy``
            bears.
        CchError: the part file cannot be written.
    """
    tries, best = Tries(address, label, retry_policy), _size(part)
    while True:
        sink = _Sink(address, part, size, joinable, label)
        try:
            sink.fill(retry_policy)
            return sink.offset
        except _StartAgain:
            log.info("%s: %s: cannot continue what is there, starting anew", label, shown(address))
            discard(part)
        except Interrupted as problem:
            have = _size(part)
            tries.failed(problem, moved=have >= best + ADVANCE)
            best = max(best, have)


class Tries:
    """Failures in a row at one address: each is waited out, until there are too many.

    Args:
        address: a URL, for messages.
        label: what to call the file in the log.
        retry_policy: how many retries, and how long between them.
    """

    def __init__(self, address: str, label: str, retry_policy: RetryPolicy) -> None:
        self.address, self.label, self.retry_policy = shown(address), label, retry_policy
        self._failures = 0

    def failed(self, problem: Interrupted, *, moved: bool) -> None:
        """Count a failure and wait before the next try.

        Args:
            problem: what happened.
            moved: enough came before it that the count of failures in a row begins anew.

        Raises:
            Unavailable: it failed more often than ``retry_policy`` bears.
        """
        self._failures = 1 if moved else self._failures + 1
        if self._failures > self.retry_policy.retries:
            tries = f" ({self._failures} tries in a row)" if self._failures > 1 else ""
            raise Unavailable(self.address, problem.reason + tries) from None
        wait = _wait(self._failures, problem.wait, self.retry_policy)
        log.warning(
            "%s: %s: %s; retry %d of %d in %.3g s",
            *(self.label, self.address, problem.reason, self._failures),
            *(self.retry_policy.retries, wait),
        )
        _sleep(wait)


def discard(part: Path) -> None:
    """Forget what was downloaded; the emptied file stays, since its writer holds a lock on it."""
    if part.exists():
        with open(part, "rb+") as handle:
            handle.truncate(0)
    version_file(part).unlink(missing_ok=True)


def version_file(part: Path) -> Path:
    """Return the path of the small file that says which version ``part`` belongs to."""
    return part.with_name(f"{part.stem}.version.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _wait(failures: int, asked: float | None, retry_policy: RetryPolicy) -> float:
    wait = min(retry_policy.longest, retry_policy.backoff * 2 ** (failures - 1))
    return wait if asked is None else max(wait, min(asked, retry_policy.longest_asked))


class _Sink:
    """Where pooch's downloader writes to: the part file, positioned as the answer says."""

    def __init__(
        self, address: str, part: Path, size: int | None, joinable: bool, label: str
    ) -> None:
        self.address, self.part, self.label, self.joinable = address, part, label, joinable
        self.total = size  # of the whole file; learned from the answer where it is not known
        self.validator: str | None = None
        self.offset = self._continuable()
        self._handle: BinaryIO | None = None
        self._response: requests.Response | None = None
        self._progress: _Megabytes | None = None

    def _continuable(self) -> int:
        """Return how many bytes of the part file may stand, and the version they belong to."""
        have = _size(self.part)
        try:
            version = json.loads(version_file(self.part).read_text(encoding="utf-8"))
            if version["address"] == shown(self.address):
                self.validator = version["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none was written, or a kill met its writing: the version is not known
        if self.total is not None and have > self.total:
            return 0
        return have if self.joinable or self.validator else 0

    def fill(self, retry_policy: RetryPolicy) -> None:
        """Make one attempt; see `download` for what it raises."""
        import pooch
        import requests
        import urllib3

        if self.total is not None and self.offset == self.total:
            return  # whole already: the process was killed before it could be verified
        # No server shall compress on the way: an offset must be an offset in the file itself.
        headers = {"Accept-Encoding": "identity"}
        if self.offset:
            headers["Range"] = f"bytes={self.offset}-"
            if self.validator:
                headers["If-Range"] = self.validator
        downloader = pooch.HTTPDownloader(
            chunk_size=CHUNK,
            timeout=(retry_policy.connect, retry_policy.read),
            headers=headers,
            hooks={"response": self.receive},
        )
        try:
            downloader(self.address, self, None)
        except requests.HTTPError as error:
            self._judge_status(error.response)
        except requests.RequestException as error:
            raise judge_exception(error, self.address, retry_policy, self._so_far()) from None
        except OSError as error:
            raise CchError(self.part, f"cannot be written ({error.strerror or error})") from None
        except (ValueError, urllib3.exceptions.HTTPError) as error:
            self._refuse(f"malformed answer ({type(error).__name__})")
        finally:
            self.close()
        if self.total is not None and _size(self.part) < self.total:
            raise Interrupted(f"broke off{self._so_far()}")

    def receive(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Look at an answer before its body is read, and open the part file where it begins."""
        self._response = response
        if response.is_redirect or response.status_code >= 400:
            return
        length = _length(response)
        if response.status_code == 206 and self.offset:
            self._accept_rest(response)
        elif response.status_code == 200:
            self.offset = 0
            if self.total is not None and length is not None and length != self.total:
                self._refuse(f"offers {length} bytes, {self.total} expected")
            self.total = self.total if length is None else length
        else:
            self._refuse(f"unexpected answer HTTP {response.status_code}")
        # urllib3 would unpack a body that is marked as gzip, as some servers mark every .gz; the
        # bytes wanted are the file's own.
        response.raw.headers.pop("content-encoding", None)
        self._handle = open(self.part, "rb+" if self.part.exists() else "wb+")  # noqa: SIM115
        self._handle.seek(self.offset)
        self._handle.truncate()
        # Only now: old bytes must never stand beside the name of a newer version.
        self._remember_version(response)
        self._progress = _Megabytes(self.label, self.offset, self.total)

    def _accept_rest(self, response: requests.Response) -> None:
        pattern = r"bytes (\d+)-\d+/(\d+|\*)"
        found = re.fullmatch(pattern, response.headers.get("Content-Range", "").strip())
        if not found or int(found[1]) != self.offset:
            raise _StartAgain
        if not self.joinable and _validator(response) not in (None, self.validator):
            raise _StartAgain
        if found[2] != "*":
            if self.total is not None and int(found[2]) != self.total:
                self._refuse(f"offers {found[2]} bytes, {self.total} expected")
            self.total = int(found[2])

    def _refuse(self, reason: str, absent: bool = False) -> NoReturn:
        raise Unavailable(shown(self.address), reason, absent=absent)

    def _remember_version(self, response: requests.Response) -> None:
        validator = _validator(response)
        path = version_file(self.part)
        if validator is None and self.offset == 0:
            path.unlink(missing_ok=True)
        elif validator is not None and (self.offset == 0 or self.validator is None):
            content = {"address": shown(self.address), "validator": validator}
            path.write_text(json.dumps(content), encoding="utf-8")

    def _judge_status(self, response: requests.Response) -> None:
        """Raise what an error status means, or return where it says that the file is whole."""
        status = response.status_code
        if status == 416 and self.offset:
            total = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
            if total and int(total[1]) == self.offset and self.total in (None, self.offset):
                return
            raise _StartAgain
        reason = f"HTTP {status} {response.reason or ''}".strip()
        if status >= 500 or status in PASSING:
            raise Interrupted(reason, seconds_asked(response.headers.get("Retry-After")))
        self._refuse(reason, absent=status in (404, 410))

    def _so_far(self) -> str:
        have = _size(self.part) if self._handle is not None else 0
        return f" at {have} of {self.total or '?'} bytes" if have else ""

    def write(self, chunk: Any) -> int:
        """Append a piece of the body; more than the expected size is refused."""
        assert self._handle is not None and self._progress is not None
        if self.total is not None and self._handle.tell() + len(chunk) > self.total:
            self._refuse(f"sends more than the {self.total} bytes expected")
        self._handle.write(chunk)
        self._progress.advance(len(chunk))
        return len(chunk)

    def flush(self) -> None:
        """Hand the bytes to the system; pooch asks after every chunk, so a kill loses only one."""
        if self._handle is not None:
            self._handle.flush()

    def close(self) -> None:
        """Close the part file and the connection."""
        if self._handle is not None:
            with contextlib.suppress(OSError):  # a full disk was reported by the write already
                self._handle.close()
        if self._response is not None:
            self._response.close()


class _Megabytes:
    """Progress of a transfer in whole MB (kB for small files), counted from where it resumed."""

    def __init__(self, label: str, offset: int, total: int | None) -> None:
        rest = (total or 0) - offset if total else 0
        self._unit, unit = (1_000_000, "MB") if not total or total >= 10_000_000 else (1000, "kB")
        if offset:
            label += f" (from {offset // self._unit} {unit} on)"
        self._bytes = 0
        self._rest = rest
        self._progress = Progress(label, -(-rest // self._unit), unit)

    def advance(self, count: int) -> None:
        self._bytes += count
        whole = self._bytes // self._unit
        if self._rest and self._bytes >= self._rest:
            whole = self._progress.total
        if whole > self._progress.done:
            self._progress.advance(whole - self._progress.done)


def _length(response: requests.Response) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isdecimal() else None


def _validator(response: requests.Response) -> str | None:
    """Return what names the version of the file: a strong ETag, or else its date."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def seconds_asked(value: str | None) -> float | None:
    """Return a Retry-After header in seconds from now: it holds seconds or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        then = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def judge_exception(
    error: Exception, address: str, retry_policy: RetryPolicy, so_far: str = ""
) -> Exception:
    """Return what an exception of requests or urllib3 means: worth another try, or not."""
    import requests

    lasting = (
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.TooManyRedirects,
    )
    text = " ".join(str(error).split())
    if isinstance(error, lasting):
        return Unavailable(shown(address), f"{type(error).__name__}: {text[:160]}")
    if isinstance(error, requests.ConnectTimeout):
        return Interrupted(f"no connection within {retry_policy.connect:g} s")
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return Interrupted(f"stalled: nothing came for {retry_policy.read:g} s{so_far}")
    cause = _root(error)
    reason = getattr(cause, "strerror", None) or type(cause).__name__
    return Interrupted(f"connection lost{so_far} ({reason})" if so_far else reason)


def _root(error: BaseException) -> BaseException:
    """Return the exception that began it; urllib3 keeps it as a cause, a reason or an argument."""
    seen: BaseException = error
    for _ in range(10):
        inner = [getattr(seen, "reason", None), seen.__cause__, *seen.args]
        step = next((item for item in inner if isinstance(item, BaseException)), None)
        if step is None:
            break
        seen = step
    return seen
