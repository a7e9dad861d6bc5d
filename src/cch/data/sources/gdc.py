"""Kind ``gdc``: files of the Genomic Data Commons API, as one raw file.

The API (https://docs.gdc.cancer.gov/API) lists the files that match a query, each with its MD5, and
sends them in batches. Downloaded files are kept in a folder beside the destination, so that an
interrupted fetch requests only the missing ones. The raw file is an uncompressed tar that depends
only on the files: `MANIFEST` first, then ``<id>/<name>`` sorted by id, without times, owners or
modes.

`MANIFEST` is JSON: ``query`` as in the source table and ``files``, sorted by id, each as `GdcFile`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cch.base.progress import Progress
from cch.data.sources.fetchers import NotDelivered
from cch.data.sources.http import Client, Interrupted
from cch.data.sources.types import Delivery, Request, Unavailable, log, register, shown

if TYPE_CHECKING:
    import requests

    from cch.data.sources.types import GdcQuery

API = "https://api.gdc.cancer.gov"
"""Address of the API if the source table has none."""

MANIFEST = "manifest.json"
"""The first member of the tar."""

PAGE = 1000
"""Files listed in one answer."""

BATCH_FILES, BATCH_BYTES = 100, 200_000_000
"""Limits of one batch: files and bytes."""

CHUNK = 1 << 20
"""Bytes copied at a time."""

FIELDS = (
    "file_id",
    "file_name",
    "md5sum",
    "file_size",
    "analysis.workflow_type",
    "associated_entities.entity_submitter_id",
    "cases.submitter_id",
    "cases.samples.submitter_id",
    "cases.samples.sample_type",
)

T = TypeVar("T")


class Sample(BaseModel):
    """A sample that was measured: its barcode and the GDC's sample type."""

    model_config = ConfigDict(frozen=True)

    sample: str
    type: str | None = None


class GdcFile(BaseModel):
    """One file of the GDC: an entry of the manifest.

    Args:
        id: the GDC's UUID.
        name: its name, the last part of the tar member's.
        md5: as the GDC publishes it.
        size: in bytes.
        workflow: the GDC's workflow type, or None.
        cases: barcodes of the cases, sorted.
        samples: samples with their types, sorted; there may be a tumour and its normal.
        aliquots: barcodes of the aliquots (or portions) that were measured, sorted.
    """

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z-]*$")]
    name: Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]*$")]
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    size: Annotated[int, Field(ge=0)]
    workflow: str | None = None
    cases: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    aliquots: tuple[str, ...] = ()

    @property
    def member(self) -> str:
        """Its name in the tar."""
        return f"{self.id}/{self.name}"


def filters(query: GdcQuery) -> dict[str, Any]:
    """Return a query in the GDC's own filter syntax."""
    said = {
        "cases.project.project_id": list(query.project),
        "data_type": [query.data_type],
        "access": [query.access],
    }
    if query.workflow is not None:
        said["analysis.workflow_type"] = [query.workflow]
    content = [
        {"op": "in", "content": {"field": field, "value": value}} for field, value in said.items()
    ]
    return {"op": "and", "content": content}


@register("gdc", needs=("query",), allows=("addresses",))
def _gdc(request: Request) -> Delivery:
    """Collect the files of a query from the first API that gives all of them."""
    pieces = request.destination.with_name(f".{request.destination.name}.pieces")
    query = request.entry.query
    assert query is not None
    failures: list[Unavailable] = []
    for base in request.entry.addresses or (API,):
        try:
            files = _list_files(base.rstrip("/"), request, query)
            _download_files(base.rstrip("/"), request, files, pieces)
        except Unavailable as failure:
            log.warning("%s: %s", request.key, failure)
            failures.append(failure)
            continue
        log.info("%s: all %d files are there; writing the tar", request.key, len(files))
        write_tar(request.part, query, files, pieces)
        address, release = f"{shown(base.rstrip('/'))}/data", _release(base.rstrip("/"), request)
        return Delivery(address, pieces=pieces, release=release)
    raise NotDelivered(*failures)


def _release(base: str, request: Request) -> str | None:
    """Return the GDC's data release, or None: a fetch does not fail because its name is not known.

    It is in no raw file, so that equal files are equal bytes whatever the release.
    """
    client = Client(f"{base}/status", request.key, replace(request.retry_policy, retries=0))
    try:
        with client.request() as response:
            said = json.loads(b"".join(client.chunks(response)))
            return str(said["data_release"])[:200]
    except (Unavailable, Interrupted, ValueError, KeyError, TypeError) as problem:
        log.warning("%s: the GDC does not say its data release (%s)", request.key, problem)
        return None


def _post(client: Client, body: dict[str, Any], read: Callable[[requests.Response], T]) -> T:
    """POST a request and read its answer.

    Raises:
        Interrupted: the answer broke off.
        Unavailable: no answer after all retries, or an error status.
    """
    with client.request("POST", json=body) as response:
        if response.status_code != 200:
            client.refuse(response, _error_message(response))
        return read(response)


def _error_message(response: requests.Response) -> str:
    """Return what an answer of the API says went wrong, or ''."""
    try:
        said = response.json()
        return " ".join(str(said.get("message") or said.get("error") or "").split())[:160]
    except (ValueError, AttributeError, OSError):
        return ""


def _list_files(base: str, request: Request, query: GdcQuery) -> list[GdcFile]:
    """Return all files that match a query, sorted by id.

    Raises:
        Unavailable: the list could not be fetched, is empty or is inconsistent.
    """
    client = Client(f"{base}/files", request.key, request.retry_policy)
    files: dict[str, GdcFile] = {}
    start, total = 0, None
    while total is None or start < total:
        try:
            hits, total = _page(client, query, start)
        except Interrupted as problem:
            client.interrupted(problem)
            continue
        client.reset()
        if not hits:
            break
        files |= {file.id: file for file in hits}
        start += len(hits)
    searched = ", ".join([*query.project, query.data_type, *filter(None, [query.workflow])])
    if not files:
        client.give_up(f"no file fits the query ({searched})", absent=True)
    if len(files) != total:
        client.give_up(f"listed {len(files)} different files, {total} promised")
    size = sum(file.size for file in files.values())
    log.info("%s: %d files, %.4g MB (%s)", request.key, len(files), size / 1e6, searched)
    return sorted(files.values(), key=lambda file: file.id)


def _page(client: Client, query: GdcQuery, start: int) -> tuple[list[GdcFile], int]:
    """Return the files from position ``start`` on, and how many there are in all."""
    # Sorted, so that the pages of different answers fit together.
    body: dict[str, Any] = {"filters": filters(query), "fields": ",".join(FIELDS), "format": "JSON"}
    body |= {"size": PAGE, "from": start, "sort": "file_id:asc"}
    text = _post(client, body, lambda response: b"".join(client.chunks(response)))
    try:
        said = json.loads(text)
        hits = [_described(hit) for hit in said["data"]["hits"]]
        total = int(said["data"]["pagination"]["total"])
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        reason = f"malformed list of files ({type(error).__name__})"
        raise Interrupted(reason) from None
    if said.get("warnings"):
        log.warning("%s: %s warns: %s", client.label, client.where, said["warnings"])
    return hits, total


def _described(hit: dict[str, Any]) -> GdcFile:
    """Return what an answer says of one file."""
    cases = hit.get("cases") or []
    samples = {
        (sample["submitter_id"], sample.get("sample_type"))
        for case in cases
        for sample in case.get("samples") or []
    }
    return GdcFile(
        id=hit["file_id"],
        name=hit["file_name"],
        md5=hit["md5sum"].lower(),
        size=hit["file_size"],
        workflow=(hit.get("analysis") or {}).get("workflow_type"),
        cases=tuple(sorted({case["submitter_id"] for case in cases})),
        samples=tuple(Sample(sample=name, type=kind) for name, kind in sorted(samples, key=str)),
        aliquots=tuple(
            sorted(
                {entity["entity_submitter_id"] for entity in hit.get("associated_entities") or []}
            )
        ),
    )


def _download_files(base: str, request: Request, files: Sequence[GdcFile], folder: Path) -> None:
    """Download files, in batches, until all are in ``folder`` with their MD5.

    Raises:
        Unavailable: the retries are used up, or a file came wrong twice.
    """
    client = Client(f"{base}/data", request.key, request.retry_policy)
    pieces = _Pieces(folder, files, client)
    while missing := list(pieces.missing.values()):
        # A file that came wrong is requested by itself.
        batch = [file for file in missing if file.id in pieces.wrong][:1] or _batch(missing)
        read = partial(pieces.take, batch)
        try:
            _post(client, {"ids": [file.id for file in batch]}, read)
            client.reset()
        except Interrupted as problem:
            if len(pieces.missing) < len(missing):
                client.reset()
            client.interrupted(problem)


def _batch(files: Sequence[GdcFile]) -> list[GdcFile]:
    batch: list[GdcFile] = []
    for file in files[:BATCH_FILES]:
        if batch and sum(other.size for other in batch) + file.size > BATCH_BYTES:
            break
        batch.append(file)
    return batch


class _Body:
    """The body of an answer as a file to read."""

    def __init__(self, client: Client, response: requests.Response) -> None:
        self._chunks = client.chunks(response)
        self._rest = b""

    def read(self, count: int) -> bytes:
        while len(self._rest) < count and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        piece, self._rest = self._rest[:count], self._rest[count:]
        return piece


class _Pieces:
    """The folder of downloaded files: each under its id, complete and with its published MD5."""

    def __init__(self, folder: Path, files: Sequence[GdcFile], client: Client) -> None:
        self.folder, self._client = folder, client
        self.wrong: set[str] = set()
        folder.mkdir(exist_ok=True)
        self.missing = {file.id: file for file in files if not self._is_there(file)}
        self._progress = Progress(client.label, len(files), "files")
        if there := len(files) - len(self.missing):
            log.info("%s: %d of %d files are there already", client.label, there, len(files))
            self._progress.advance(there)

    def take(self, batch: Sequence[GdcFile], response: requests.Response) -> None:
        """Take the answer to a request: a bare file or an archive."""
        body = _Body(self._client, response)
        if len(batch) == 1:
            self._take_one(body, batch[0])
        else:
            self._take_many(body, batch)

    def _take_one(self, answer: _Body, file: GdcFile) -> None:
        """Take the answer to one id: the bare file, or an archive of it."""
        temporary = self._temporary(file)
        size, md5 = _copied(answer, temporary)
        if md5 == file.md5 or not tarfile.is_tarfile(temporary):
            if size < file.size:
                raise Interrupted(f"broke off at {size} of {file.size} bytes of {file.id}")
            return self._settle(file, md5)
        archive = temporary.replace(self.folder / f"{file.id}.tar.part")
        with open(archive, "rb") as content:
            self._take_many(content, [file])
        return archive.unlink()

    def _take_many(self, answer: Any, batch: Sequence[GdcFile]) -> None:
        """Take the answer to several ids, ``<id>/<name>`` in a tar.gz, each file as it comes.

        Files that are not in it are requested again: an archive that is cut between two members
        looks complete.
        """
        wanted = {file.member: file for file in batch}
        try:
            with tarfile.open(fileobj=answer, mode="r|*") as archive:
                for member in archive:
                    file = wanted.get(str(PurePosixPath(member.name)))
                    content = archive.extractfile(member) if file and member.isreg() else None
                    if file and content:
                        del wanted[file.member]
                        self._settle(file, _copied(content, self._temporary(file))[1])
        except (tarfile.TarError, zlib.error, EOFError) as error:
            raise Interrupted(f"the archive broke off or is malformed ({error})") from None
        if len(wanted) == len(batch):
            first = batch[0]
            more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
            raise Interrupted(f"file {first.id} ({first.name}){more} requested, none in the answer")

    def _temporary(self, file: GdcFile) -> Path:
        return self.folder / f"{file.id}.part"

    def _is_there(self, file: GdcFile) -> bool:
        path = self.folder / file.id
        if not path.is_file() or path.stat().st_size != file.size:
            return False
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "md5").hexdigest() == file.md5

    def _settle(self, file: GdcFile, md5: str) -> None:
        """Give a downloaded file its name if its MD5 is right; a second wrong one is refused."""
        temporary = self._temporary(file)
        if md5 == file.md5:
            temporary.replace(self.folder / file.id)
            del self.missing[file.id]
            self._progress.advance()
            return
        temporary.unlink()
        what, reason = f"file {file.id} ({file.name})", f"its MD5 is {md5}, {file.md5} published"
        if file.id in self.wrong:
            self._client.give_up(f"{what}: twice {reason}")
        log.warning(
            "%s: %s: %s: %s; requesting it once more",
            *(self._client.label, self._client.where, what, reason),
        )
        self.wrong.add(file.id)


def _copied(source: Any, path: Path) -> tuple[int, str]:
    """Write a stream to a file; return its size and MD5."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with open(path, "wb") as target:
        while chunk := source.read(CHUNK):
            target.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def write_tar(path: Path, query: GdcQuery, files: Sequence[GdcFile], folder: Path) -> None:
    """Write manifest and files to one tar: equal inputs give equal bytes.

    Args:
        path: the tar.
        query: what was asked for.
        files: what the manifest says of the files, sorted by id.
        folder: where each file lies under its id.
    """
    manifest = {
        "query": query.model_dump(),
        "files": [file.model_dump() for file in files],
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
        for file in files:
            with open(folder / file.id, "rb") as content:
                archive.addfile(_member(file.member, file.size), content)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o644, 0
    return member
