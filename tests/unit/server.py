"""An HTTP server on 127.0.0.1 that misbehaves as told, and remembers what it was asked."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """How one request is answered; the default is a good server with ranges and no ETag."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # instead of the file's bytes
    ranges: bool = True  # honour Range (and If-Range)
    etag: str | None = None
    length: int | str | None = None  # Content-Length as claimed; "" leaves the header out
    cut: int | None = None  # drop the connection after this many body bytes
    stall: int | None = None  # fall silent after this many body bytes
    pace: tuple[int, float] | None = None  # bytes at a time, seconds between
    content_range: str | None = None  # as claimed, in place of the true one


@dataclass(frozen=True)
class Asked:
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("Range")


class Server:
    """``give`` a path its bytes and answers; the last answer is given for ever."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._given: dict[str, tuple[bytes, list[Answer]]] = {}
        self._mutex = threading.Lock()
        self.closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def give(self, path: str, content: bytes, *answers: Answer) -> str:
        self._given[path] = (content, list(answers or [Answer()]))
        return self.url + path

    def next_answer(self, asked: Asked) -> tuple[bytes, Answer]:
        with self._mutex:
            self.asked.append(asked)
            content, answers = self._given.get(asked.path, (b"", [Answer(status=404)]))
            return content, answers.pop(0) if len(answers) > 1 else answers[0]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            content, answer = server.next_answer(Asked(self.path, dict(self.headers)))
            if answer.status != 200:
                self._head(answer.status, answer.headers | {"Content-Length": "0"})
                return
            content = content if answer.body is None else answer.body
            status, headers, start = self._range(content, answer)
            body = content[start:] if status != 416 else b""
            length = len(body) if answer.length is None else answer.length
            if length != "":
                headers["Content-Length"] = str(length)
            self._head(status, headers | answer.headers)
            self._send(body, answer)

        def _range(self, content: bytes, answer: Answer) -> tuple[int, dict[str, str], int]:
            headers = {"ETag": answer.etag} if answer.etag else {}
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = self.headers.get("If-Range") in (None, answer.etag)
            if not (wanted and answer.ranges and same):
                return 200, headers, 0
            start, total = int(wanted[1]), len(content)
            if start >= total:
                return 416, headers | {"Content-Range": f"bytes */{total}"}, 0
            said = answer.content_range or f"bytes {start}-{total - 1}/{total}"
            return 206, headers | {"Content-Range": said}, start

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | {"Connection": "close"}).items():
                self.send_header(name, value)
            self.end_headers()

        def _send(self, body: bytes, answer: Answer) -> None:
            stop = min(x for x in (answer.cut, answer.stall, len(body)) if x is not None)
            step, delay = answer.pace or (1 << 16, 0.0)
            try:
                for start in range(0, stop, step):
                    self.wfile.write(body[start : min(start + step, stop)])
                    time.sleep(delay)
                if answer.stall is not None:
                    server.closing.wait(30)
            except OSError:
                pass  # the client has gone

    return Handler
