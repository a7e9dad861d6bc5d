"""HTTP servers on 127.0.0.1 that misbehave as told, and remember what they were asked."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
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

    def forget(self, path: str) -> None:
        """Answer 404 from now on."""
        del self._given[path]

    def next_answer(self, asked: Asked) -> tuple[bytes, Answer]:
        with self._mutex:
            self.asked.append(asked)
            content, answers = self._given.get(asked.path, (b"", [Answer(status=404)]))
            return content, answers.pop(0) if len(answers) > 1 else answers[0]

    def post(self, path: str, body: Any) -> tuple[bytes, dict[str, str], Answer]:
        """Return what a POST is answered with: body, headers, and how it is sent."""
        return b"", {}, Answer(status=404)


@dataclass(frozen=True)
class Held:
    """A file that the fake GDC holds, with what it says of it."""

    id: str
    name: str
    content: bytes
    case: str
    samples: tuple[tuple[str, str], ...]
    aliquots: tuple[str, ...]
    project: str = "TCGA-KICH"
    data_type: str = "Gene Expression Quantification"
    workflow: str | None = "STAR - Counts"
    access: str = "open"

    def described(self) -> dict[str, Any]:
        analysis = {"analysis": {"workflow_type": self.workflow}} if self.workflow else {}
        samples = [{"submitter_id": s, "sample_type": kind} for s, kind in self.samples]
        return analysis | {
            "id": self.id,
            "file_id": self.id,
            "file_name": self.name,
            "md5sum": hashlib.md5(self.content).hexdigest(),
            "file_size": len(self.content),
            "cases": [{"submitter_id": self.case, "samples": samples}],
            "associated_entities": [{"entity_submitter_id": a} for a in self.aliquots],
        }

    def value(self, name: str) -> str | None:
        """Return what a filter looks at."""
        return {
            "cases.project.project_id": self.project,
            "data_type": self.data_type,
            "analysis.workflow_type": self.workflow,
            "access": self.access,
        }[name]


class Gdc(Server):
    """Answers POST /files and POST /data as the GDC API does.

    ``pages`` caps what one list holds; ``list_answers`` and ``data_answers`` are used up before
    it behaves; ``wrong`` and ``withheld`` say how many more times a file's bytes are spoilt or
    left out of an archive.
    """

    def __init__(self, *held: Held, pages: int = 1000) -> None:
        super().__init__()
        self.held, self.pages = list(held), pages
        self.lists: list[dict[str, Any]] = []
        self.data: list[list[str]] = []
        self.list_answers: list[Answer] = []
        self.data_answers: list[Answer] = []
        self.wrong: dict[str, int] = {}
        self.withheld: dict[str, int] = {}
        self.archives_of_one = False

    def post(self, path: str, body: Any) -> tuple[bytes, dict[str, str], Answer]:
        with self._mutex:
            if path == "/files":
                self.lists.append(body)
                return self._list(body), {}, _next(self.list_answers)
            if path == "/data":
                self.data.append(body["ids"])
                return *self._data(body["ids"]), _next(self.data_answers)
        return super().post(path, body)

    def _list(self, body: dict[str, Any]) -> bytes:
        found = sorted((h for h in self.held if _fits(body["filters"], h)), key=lambda h: h.id)
        assert body["sort"] == "file_id:asc"
        start, size = body["from"], min(body["size"], self.pages)
        hits = [held.described() for held in found[start : start + size]]
        pagination = {"count": len(hits), "total": len(found), "size": size, "from": start}
        return json.dumps(
            {"data": {"hits": hits, "pagination": pagination}, "warnings": {}}
        ).encode()

    def _data(self, ids: list[str]) -> tuple[bytes, dict[str, str]]:
        held = [h for id_ in ids for h in self.held if h.id == id_]
        assert len(held) == len(ids)
        if len(held) == 1 and not self.archives_of_one:
            said = {"Content-Disposition": f"attachment; filename={held[0].name}"}
            return self._bytes(held[0]), said
        return self._archive(held), {"Transfer-Encoding": "chunked"}

    def _archive(self, held: list[Held]) -> bytes:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as archive:
            lines = ["id\tfilename\tmd5\tsize\tstate"]
            for h in held:
                if self.withheld.get(h.id, 0) > 0:
                    self.withheld[h.id] -= 1
                    continue
                _add(archive, f"{h.id}/annotations.txt", b"id\tsubmitter_id\n")
                _add(archive, f"{h.id}/{h.name}", self._bytes(h))
                md5 = hashlib.md5(h.content).hexdigest()
                lines.append(f"{h.id}\t{h.id}/{h.name}\t{md5}\t{len(h.content)}\tvalidated")
            _add(archive, "MANIFEST.txt", "\n".join(lines).encode())
        return content.getvalue()

    def _bytes(self, held: Held) -> bytes:
        if self.wrong.get(held.id, 0) > 0:
            self.wrong[held.id] -= 1
            return held.content[:-1] + b"?"
        return held.content


def _next(answers: list[Answer]) -> Answer:
    return answers.pop(0) if answers else Answer()


def _fits(filters: dict[str, Any], held: Held) -> bool:
    if filters["op"] == "and":
        return all(_fits(content, held) for content in filters["content"])
    assert filters["op"] == "in"
    return held.value(filters["content"]["field"]) in filters["content"]["value"]


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(content), int(time.time())
    archive.addfile(member, io.BytesIO(content))


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

        def do_POST(self) -> None:
            self.close_connection = True
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content, headers, answer = server.post(self.path, body)
            if answer.body is not None or answer.status != 200:
                content, headers = answer.body or b"", {}
            chunked = "Transfer-Encoding" in headers
            if not chunked:
                headers["Content-Length"] = str(len(content))
            self._head(answer.status, headers | answer.headers)
            self._send(content, answer, chunked)

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

        def _send(self, body: bytes, answer: Answer, chunked: bool = False) -> None:
            stop = min(x for x in (answer.cut, answer.stall, len(body)) if x is not None)
            step, delay = answer.pace or (1 << 16, 0.0)
            try:
                for start in range(0, stop, step):
                    piece = body[start : min(start + step, stop)]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                    time.sleep(delay)
                if chunked and stop == len(body):
                    self.wfile.write(b"0\r\n\r\n")
                if answer.stall is not None:
                    server.closing.wait(30)
            except OSError:
                pass  # the client has gone

    return Handler
