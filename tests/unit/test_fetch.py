"""Fetching against a real server on 127.0.0.1 that misbehaves, mirrors, and installed packages."""

from __future__ import annotations

import email.utils
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from cch.base.errors import CchError
from cch.data.sources import http as transfer
from cch.data.sources.fetch import (
    FOUND,
    _sole_writer,
    fetch,
)
from cch.data.sources.lockfile import Pin, read_pins, write_pin
from cch.data.sources.manual import available, manual_steps, missing_by_hand, raw_path
from cch.data.sources.table import load_table
from cch.data.sources.types import RetryPolicy
from server import Answer, Server
from support import ROOT
from support import mirror as real_folder

CONTENT = hashlib.shake_256(b"content").digest(300_000)
OTHER = hashlib.shake_256(b"other").digest(300_000)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch):
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture
def waits(monkeypatch):
    asked = []
    monkeypatch.setattr(transfer, "_sleep", asked.append)
    return asked


class Place:
    """A folder with a table of one file, ``toy/file.bin``, and its destination and lock."""

    def __init__(self, folder):
        self.folder = folder
        self.destination = folder / "resources" / "toy" / "file.bin"
        self.part = self.destination.with_name(".file.bin.part")
        self.lock = folder / "resources" / "sources.lock"
        self.table_path = folder / "sources.yaml"

    def declare(self, *addresses, content=CONTENT, published=True, **changes):
        entry = {"name": "file.bin", "role": "file", "kind": "http"}
        if addresses:
            entry["addresses"] = list(addresses)
        if published:
            entry |= {"bytes": len(content), "sha256": sha256(content)}
        entry |= changes
        source = {"title": "T", "licence": "L", "citation": "C", "reader": "bsds500"}
        self.table_path.write_text(
            yaml.safe_dump({"toy": source | {"files": [entry]}}, sort_keys=False)
        )
        return self

    def fetch(self, mirror=None, **policy):
        policy = {"retries": 2, "backoff": 0.0, "connect": 2.0, "read": 0.3} | policy
        return fetch(
            "toy",
            "file.bin",
            table=load_table(self.table_path),
            destination=self.destination,
            mirror=mirror,
            lock=self.lock,
            retry_policy=RetryPolicy(**policy),
        )

    def left(self):
        folder = self.destination.parent
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def refused(place, **options):
    """Fetch, expecting one line and no destination; return the line."""
    with pytest.raises(CchError) as caught:
        place.fetch(**options)
    assert not place.destination.exists()
    line = str(caught.value)
    assert line.startswith("toy/file.bin: ")
    return line


# A good server


def test_a_file_arrives_whole_verified_and_alone(place, server):
    address = server.give("/file.bin", CONTENT)
    fetched = place.declare(address).fetch()
    assert place.destination.read_bytes() == CONTENT
    assert (fetched.sha256, fetched.bytes) == (sha256(CONTENT), len(CONTENT))
    assert (fetched.address, fetched.pinned, fetched.resumed_from) == (address, False, 0)
    assert place.left() == ["file.bin"]


def test_a_second_fetch_asks_nobody_and_says_the_same(place, server):
    place.declare(server.give("/file.bin", CONTENT))
    first = place.fetch()
    assert place.fetch() == first
    assert len(server.asked) == 1


def test_the_upstream_md5_is_enough(place, server):
    digest = hashlib.md5(CONTENT).hexdigest()
    place.declare(server.give("/file.bin", CONTENT), published=False, md5=digest)
    assert not place.fetch().pinned
    place.destination.unlink()
    place.declare(server.give("/file.bin", OTHER), published=False, md5=digest)
    assert "its MD5 is" in refused(place)


def test_a_body_marked_as_gzip_is_kept_as_it_is(place, server):
    marked = Answer(headers={"Content-Encoding": "x-gzip", "Content-Type": "application/x-tar"})
    place.declare(server.give("/file.bin", CONTENT, marked))
    assert place.fetch().bytes == len(CONTENT)


def test_a_redirect_is_followed(place, server):
    there = server.give("/there", CONTENT)
    place.declare(server.give("/here", b"", Answer(status=302, headers={"Location": there})))
    assert place.fetch().sha256 == sha256(CONTENT)


def test_progress_is_reported(place, server, caplog):
    caplog.set_level(logging.INFO)
    place.declare(server.give("/file.bin", CONTENT)).fetch()
    lines = [r.message for r in caplog.records if r.name == "cch.base.progress"]
    assert lines[-1].startswith("toy/file.bin: 300/300 kB")


# Git LFS pointers: what raw.githubusercontent.com gives in place of a file that LFS keeps

POINTER = (
    f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(CONTENT)}\nsize 300000\n"
).encode()
IS_POINTER = "it is a Git LFS pointer, not the file that it stands for"


def test_a_pointer_is_named_and_the_next_address_asked(place, server, caplog):
    pointer = server.give("/raw/file.bin", POINTER)
    assert f"{pointer}: {IS_POINTER}" in refused(place.declare(pointer))
    assert len(server.asked) == 1
    place.declare(pointer, server.give("/media/file.bin", CONTENT)).fetch()
    assert place.destination.read_bytes() == CONTENT
    assert f"{pointer}: {IS_POINTER}" in caplog.text


def test_a_pointer_is_never_pinned(place, server):
    place.declare(server.give("/raw/file.bin", POINTER), published=False)
    assert IS_POINTER in refused(place)
    assert not place.lock.exists()


def test_a_pointer_in_a_mirror_or_placed_by_hand_is_refused(place, server, tmp_path):
    place.declare(server.give("/file.bin", CONTENT), published=False)
    copy = tmp_path / "mirror" / "toy" / "file.bin"
    for path in (copy, place.destination):
        path.parent.mkdir(parents=True)
        path.write_bytes(POINTER)
    place.fetch(mirror=str(tmp_path / "mirror"))
    assert place.destination.read_bytes() == CONTENT


# Interruptions


def test_a_broken_off_transfer_is_resumed(place, server, caplog):
    place.declare(server.give("/file.bin", CONTENT, Answer(cut=100_000), Answer()))
    fetched = place.fetch()
    assert place.destination.read_bytes() == CONTENT
    assert server.asked[0].range is None
    assert server.asked[1].range == f"bytes={fetched.resumed_from}-"
    assert 0 < fetched.resumed_from <= 100_000
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(said) == 1
    assert "of 300000 bytes" in said[0]
    assert "retry 1 of 2" in said[0]


def test_a_stalled_transfer_is_resumed(place, server, caplog):
    place.declare(server.give("/file.bin", CONTENT, Answer(stall=100_000), Answer()))
    assert place.fetch().resumed_from > 0
    assert place.destination.read_bytes() == CONTENT
    assert "stalled: nothing came for 0.3 s" in caplog.text


def test_a_slow_transfer_that_moves_succeeds_at_once(place, server):
    # 0.6 s in all, twice the limit for silence.
    place.declare(server.give("/file.bin", CONTENT, Answer(pace=(10_000, 0.02))))
    place.fetch()
    assert len(server.asked) == 1


def test_a_server_that_ignores_ranges_sends_it_whole_again(place, server):
    plain = Answer(ranges=False)
    place.declare(server.give("/file.bin", CONTENT, Answer(cut=100_000, ranges=False), plain))
    assert place.fetch().resumed_from == 0
    assert server.asked[1].range is not None
    assert place.destination.read_bytes() == CONTENT


def test_a_server_that_grants_another_range_is_asked_for_the_whole(place, server):
    liar = Answer(content_range="bytes 5-299999/300000")
    place.declare(server.give("/file.bin", CONTENT, Answer(cut=100_000), liar, Answer()))
    place.fetch()
    assert [asked.range is None for asked in server.asked] == [True, False, True]
    assert place.destination.read_bytes() == CONTENT


def test_a_server_that_never_finishes_is_given_up(place, server):
    place.declare(server.give("/file.bin", CONTENT, Answer(cut=100_000, ranges=False)))
    line = refused(place)
    assert "(3 tries in a row)" in line
    assert len(server.asked) == 3


def test_progress_between_interruptions_keeps_a_transfer_alive(place, server):
    content = hashlib.shake_256(b"long").digest(5_900_000)
    place.declare(server.give("/file.bin", content, Answer(cut=1_200_000)), content=content)
    place.fetch(retries=1)  # four interruptions, each after more than 1 MiB of news
    assert len(server.asked) == 5
    assert place.destination.read_bytes() == content


def test_a_later_fetch_continues_an_earlier_one(place, server):
    place.declare(server.give("/file.bin", CONTENT, Answer(cut=100_000)))
    refused(place, retries=0)
    assert place.left() == [".file.bin.part"]
    have = place.part.stat().st_size
    server.give("/file.bin", CONTENT)
    assert place.fetch().resumed_from == have
    assert place.left() == ["file.bin"]


def test_a_part_that_is_whole_already_is_only_verified(place, server):
    place.declare(server.give("/file.bin", CONTENT))
    place.part.parent.mkdir(parents=True)
    place.part.write_bytes(CONTENT)
    place.fetch()
    assert server.asked == []
    assert place.destination.read_bytes() == CONTENT


def test_a_whole_part_of_unknown_size_is_recognised_by_416(place, server):
    place.declare(server.give("/file.bin", CONTENT), published=False, sha256=sha256(CONTENT))
    place.part.parent.mkdir(parents=True)
    place.part.write_bytes(CONTENT)
    place.fetch()
    assert [asked.range for asked in server.asked] == ["bytes=300000-"]


def test_a_part_longer_than_the_file_is_dropped(place, server):
    place.declare(server.give("/file.bin", CONTENT), published=False, sha256=sha256(CONTENT))
    place.part.parent.mkdir(parents=True)
    place.part.write_bytes(OTHER + b"more")
    place.fetch()
    assert [asked.range for asked in server.asked] == ["bytes=300004-", None]
    assert place.destination.read_bytes() == CONTENT


def test_a_whole_answer_leaves_nothing_of_a_longer_part(place, server):
    plain = Answer(ranges=False)
    place.declare(server.give("/file.bin", CONTENT, plain), published=False)
    place.part.parent.mkdir(parents=True)
    place.part.write_bytes(OTHER + b"more")
    assert place.fetch().bytes == len(CONTENT)
    assert len(server.asked) == 1


def test_a_resumed_file_with_a_wrong_digest_is_fetched_once_more_from_zero(place, server, caplog):
    place.declare(server.give("/file.bin", CONTENT))
    place.part.parent.mkdir(parents=True)
    place.part.write_bytes(OTHER[:100_000])
    fetched = place.fetch()
    assert [asked.range for asked in server.asked] == ["bytes=100000-", None]
    assert (fetched.sha256, fetched.resumed_from) == (sha256(CONTENT), 0)
    assert "resumed, and then its SHA-256 is" in caplog.text


def test_without_a_digest_only_the_same_version_is_continued(place, server):
    place.declare(
        server.give("/file.bin", OTHER, Answer(cut=100_000, etag='"v1"')), published=False
    )
    refused(place, retries=0)
    server.give("/file.bin", CONTENT, Answer(etag='"v2"'))
    assert place.fetch().resumed_from == 0
    assert server.asked[1].headers["If-Range"] == '"v1"'
    assert place.destination.read_bytes() == CONTENT


def test_without_a_digest_the_same_version_is_continued(place, server):
    answers = Answer(cut=100_000, etag='"v1"'), Answer(etag='"v1"')
    place.declare(server.give("/file.bin", CONTENT, *answers), published=False)
    assert place.fetch().resumed_from > 0
    assert place.destination.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_digest_and_a_strong_version_nothing_is_continued(place, server, etag):
    answers = Answer(cut=100_000, etag=etag), Answer(etag=etag)
    place.declare(server.give("/file.bin", CONTENT, *answers), published=False)
    place.fetch()
    assert [asked.range for asked in server.asked] == [None, None]
    assert place.destination.read_bytes() == CONTENT


SCRIPT = """
import logging, sys
from cch.data.sources.fetch import fetch
from cch.data.sources.table import load_table
logging.basicConfig(level="INFO")
fetch("toy", "file.bin", table=load_table(sys.argv[1]), destination=sys.argv[2], lock=sys.argv[3])
"""


def test_killed_in_mid_download_a_new_process_resumes(place, server):
    content = hashlib.shake_256(b"big").digest(4_000_000)
    slow = Answer(pace=(16_384, 0.02))
    place.declare(server.give("/file.bin", content, slow, Answer()), content=content)
    command = [sys.executable, "-c", SCRIPT, place.table_path, place.destination, place.lock]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (place.part.exists() and place.part.stat().st_size > 200_000):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    have = place.part.stat().st_size
    assert 0 < have < len(content)
    assert place.left() == [".file.bin.lock", ".file.bin.part"]

    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [asked.range for asked in server.asked] == [None, f"bytes={have}-"]
    assert f"toy/file.bin (from {have // 1000} kB on): " in second.stderr
    assert place.destination.read_bytes() == content
    assert place.left() == ["file.bin"]


def test_two_at_once_download_once(place, server, caplog):
    caplog.set_level(logging.INFO)
    place.declare(server.give("/file.bin", CONTENT, Answer(pace=(10_000, 0.02))))
    results = []
    threads = [threading.Thread(target=lambda: results.append(place.fetch())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.sha256 for result in results] == [sha256(CONTENT)] * 2
    assert len(server.asked) == 1
    assert "another process is fetching it" in caplog.text
    assert place.left() == ["file.bin"]


def test_waiting_writers_are_alone_in_turn(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    request = SimpleNamespace(key="toy/file.bin", part=tmp_path / ".file.bin.part")
    inside, most = [], []

    def work():
        with _sole_writer(request):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8
    assert "another process is fetching it; waiting" in caplog.text
    assert list(tmp_path.iterdir()) == []


# Statuses


def test_500_twice_and_then_the_file(place, server, waits, caplog):
    bad = Answer(status=500)
    place.declare(server.give("/file.bin", CONTENT, bad, bad, Answer()))
    place.fetch(backoff=1.0)
    assert waits == [1.0, 2.0]
    assert caplog.text.count("HTTP 500 Internal Server Error") == 2


def test_back_off_doubles_up_to_its_limit(place, server, waits):
    place.declare(server.give("/file.bin", CONTENT, Answer(status=503)))
    assert "HTTP 503 Service Unavailable (8 tries in a row)" in refused(place, retries=7, backoff=1)
    assert waits == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7),
        ("100000", 60, 60),
        ("a date", 20, 40),
        ("soon", 1, 1),
    ],
)
def test_429_waits_as_asked_within_reason(place, server, waits, asked, least, most):
    if asked == "a date":
        # Of the test's own time: collection may be minutes ago.
        asked = email.utils.formatdate(time.time() + 40, usegmt=True)
    busy = Answer(status=429, headers={"Retry-After": asked})
    place.declare(server.give("/file.bin", CONTENT, busy, Answer()))
    place.fetch(backoff=1.0)
    assert len(waits) == 1
    assert least <= waits[0] <= most


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_lasting_refusal_goes_to_the_next_address_at_once(place, server, waits, status, caplog):
    first = server.give("/first", b"", Answer(status=status))
    second = server.give("/second", CONTENT)
    assert place.declare(first, second).fetch().address == second
    assert [asked.path for asked in server.asked] == ["/first", "/second"]
    assert waits == []
    assert f"toy/file.bin: {first}: HTTP {status}" in caplog.text


def test_nobody_there_is_retried_and_then_said(place, waits):
    with Server() as gone:
        address = gone.url + "/file.bin"
    line = refused(place.declare(address))
    assert f"{address}: Connection refused (3 tries in a row)" in line
    assert len(waits) == 2


def test_a_wrong_certificate_goes_to_the_next_address_at_once(place, server, waits, caplog):
    plain = server.give("/file.bin", CONTENT)
    # This server does not speak TLS.
    assert place.declare(plain.replace("http:", "https:"), plain).fetch().address == plain
    assert waits == []
    assert "SSL" in caplog.text
    assert "tries" not in caplog.text


def test_a_host_that_does_not_exist_is_said(place, waits):
    line = refused(place.declare("http://nowhere.invalid/file.bin"), retries=0)
    assert "http://nowhere.invalid/file.bin: " in line
    assert "\n" not in line


def test_a_resume_falls_to_the_next_address(place, server):
    first = server.give("/first", CONTENT, Answer(cut=100_000), Answer(status=404))
    second = server.give("/second", CONTENT)
    fetched = place.declare(first, second).fetch()
    assert fetched.address == second
    assert server.asked[-1].range == f"bytes={fetched.resumed_from}-"
    assert place.destination.read_bytes() == CONTENT


# Wrong bytes


def test_a_wrong_digest_is_refused_and_leaves_nothing(place, server):
    address = server.give("/file.bin", OTHER)
    line = refused(place.declare(address))
    assert f"{address}: its SHA-256 is {sha256(OTHER)}, {sha256(CONTENT)} published" in line
    assert len(server.asked) == 1
    assert place.left() == []
    assert not place.lock.exists()


def test_a_truncated_file_is_refused(place, server):
    line = refused(place.declare(server.give("/file.bin", CONTENT[:-1])))
    assert "offers 299999 bytes, 300000 expected" in line
    assert place.left() == []


def test_a_truncated_file_of_unsaid_length_is_refused(place, server):
    line = refused(place.declare(server.give("/file.bin", CONTENT[:-1], Answer(length=""))))
    assert "offers 299999 bytes, 300000 expected" in line
    assert [asked.range for asked in server.asked] == [None, "bytes=299999-"]


def test_a_file_that_is_too_long_is_refused(place, server):
    line = refused(place.declare(server.give("/file.bin", CONTENT + b"x", Answer(length=""))))
    assert "sends more than the 300000 bytes expected" in line


def test_a_content_length_beyond_the_body_is_a_broken_transfer(place, server):
    place.declare(
        server.give("/file.bin", CONTENT, Answer(length=400_000), Answer()),
        published=False,
        sha256=sha256(CONTENT),
    )
    assert place.fetch().resumed_from > 0
    assert place.destination.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT, CONTENT[:-1]])
def test_a_malformed_content_length_counts_for_nothing(place, server, content):
    place.declare(server.give("/file.bin", content, Answer(length="many")))
    if content == CONTENT:
        assert place.fetch().sha256 == sha256(CONTENT)
    else:
        assert "offers 299999 bytes, 300000 expected" in refused(place)


def test_contradicting_content_lengths_are_refused(place, server):
    line = refused(place.declare(server.give("/file.bin", CONTENT, Answer(length="1, 2"))))
    assert "Content-Length contained multiple unmatching values" in line
    assert len(server.asked) == 1


def test_a_corrupt_address_gives_way_to_a_good_one(place, server):
    bad, good = server.give("/bad", OTHER), server.give("/good", CONTENT)
    assert place.declare(bad, good).fetch().address == good
    assert place.destination.read_bytes() == CONTENT


def test_a_wrong_file_in_place_is_replaced_with_a_warning(place, server, caplog):
    place.declare(server.give("/file.bin", CONTENT))
    place.destination.parent.mkdir(parents=True)
    place.destination.write_bytes(OTHER)
    place.fetch()
    assert place.destination.read_bytes() == CONTENT
    assert "fetching it again" in caplog.text


def test_a_wrong_file_in_place_stays_until_the_right_one_came(place, server):
    place.declare(server.give("/file.bin", b"", Answer(status=404)))
    place.destination.parent.mkdir(parents=True)
    place.destination.write_bytes(OTHER)
    with pytest.raises(CchError) as caught:
        place.fetch()
    assert f"{place.destination}: its SHA-256 is {sha256(OTHER)}" in str(caught.value)
    assert place.left() == ["file.bin"]


def test_the_final_line_names_all_places_and_what_to_do(place, server):
    first = server.give("/first", b"", Answer(status=404))
    second = server.give("/second", OTHER)
    line = refused(place.declare(first, second))
    assert "\n" not in line
    assert f"{first}: HTTP 404 Not Found; {second}: its SHA-256" in line
    assert f"place the file at {place.destination} by hand, or set CCH_MIRROR" in line
    assert "toy/file.bin" in line


def test_a_disk_that_cannot_be_written_is_said(place, server):
    place.declare(server.give("/file.bin", CONTENT))
    place.destination.parent.parent.mkdir(parents=True)
    place.destination.parent.write_text("a file where the folder should be")
    with pytest.raises(CchError, match="cannot be read or written"):
        place.fetch()


def test_a_full_disk_in_mid_download_is_said(place, server, monkeypatch):
    class Full:
        def __init__(self, *args, **options):
            pass

        def advance(self, count):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfer, "Progress", Full)
    place.declare(server.give("/file.bin", CONTENT))
    with pytest.raises(CchError, match=r"\.file\.bin\.part: cannot be written \(No space left"):
        place.fetch()
    assert len(server.asked) == 1


# Mirrors


@pytest.fixture
def mirror(tmp_path):
    path = tmp_path / "mirror" / "toy" / "file.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    path.chmod(0o444)
    return tmp_path / "mirror"


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_mirror_folder_is_asked_first(place, server, mirror, form):
    fetched = place.declare(server.give("/file.bin", CONTENT)).fetch(mirror=form.format(mirror))
    assert fetched.address == str(mirror / "toy" / "file.bin")
    assert server.asked == []
    assert os.access(place.destination, os.W_OK)
    assert place.left() == ["file.bin"]


def test_the_variable_names_the_mirror_and_the_argument_comes_first(place, mirror, monkeypatch):
    monkeypatch.setenv("CCH_MIRROR", "/nowhere")
    place.declare("http://127.0.0.1:9/file.bin")
    assert "/nowhere: there is no such folder" in refused(place, retries=0)
    place.fetch(mirror=str(mirror))
    place.destination.unlink()
    monkeypatch.setenv("CCH_MIRROR", str(mirror))
    place.fetch()


def test_a_mirror_server_is_asked_first(place, server):
    address = server.give("/data/toy/file.bin", CONTENT)
    place.declare(server.url + "/elsewhere")
    assert place.fetch(mirror=server.url + "/data/").address == address


def test_a_mirror_s_password_is_not_written_down(place, server, caplog):
    caplog.set_level(logging.INFO)
    server.give("/toy/file.bin", CONTENT)
    secret = server.url.replace("//", "//user:secret@")
    fetched = place.declare(server.url + "/elsewhere").fetch(mirror=secret)
    assert fetched.address == server.url + "/toy/file.bin"
    assert "Authorization" in server.asked[0].headers
    assert "secret" not in caplog.text + place.lock.read_text()


@pytest.mark.parametrize("folder", [True, False])
def test_what_a_mirror_lacks_comes_from_the_addresses(place, server, tmp_path, folder, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "empty").mkdir()
    address = server.give("/file.bin", CONTENT)
    mirror = str(tmp_path / "empty") if folder else server.url + "/mirror"
    assert place.declare(address).fetch(mirror=mirror).address == address
    lines = [r for r in caplog.records if "going on without it" in r.getMessage()]
    assert [r.levelname for r in lines] == ["INFO"]


@pytest.mark.parametrize("folder", [True, False])
def test_a_wrong_file_in_a_mirror_is_passed_over_with_a_warning(
    place, server, mirror, folder, caplog
):
    (mirror / "toy" / "file.bin").chmod(0o644)
    (mirror / "toy" / "file.bin").write_bytes(OTHER)
    server.give("/mirror/toy/file.bin", OTHER)
    address = server.give("/file.bin", CONTENT)
    place.declare(address)
    assert place.fetch(mirror=str(mirror) if folder else server.url + "/mirror").address == address
    lines = [r for r in caplog.records if "going on without it" in r.getMessage()]
    assert [r.levelname for r in lines] == ["WARNING"]
    place.destination.unlink()
    server.give("/file.bin", OTHER)
    assert refused(place, mirror=str(mirror)).count(f"its SHA-256 is {sha256(OTHER)}") == 2


def test_an_unknown_kind_of_mirror_is_said(place):
    with pytest.raises(CchError, match=r"mirror ftp://host/x: 'ftp' is not understood"):
        place.declare("http://127.0.0.1:9/a").fetch(mirror="ftp://me:secret@host/x")


# First use


def test_the_first_use_pins_and_a_change_is_refused(place, server):
    place.declare(server.give("/file.bin", CONTENT), published=False)
    first = place.fetch()
    assert first.pinned
    kept = json.loads(place.lock.read_text())["toy/file.bin"]
    assert kept == {
        "sha256": sha256(CONTENT),
        "bytes": len(CONTENT),
        "address": first.address,
        "retrieved": first.retrieved,
    }
    place.destination.unlink()
    server.give("/file.bin", OTHER)
    line = refused(place)
    assert f"its SHA-256 is {sha256(OTHER)}, {sha256(CONTENT)} pinned on {first.retrieved}" in line
    assert f"delete the entry 'toy/file.bin' from {place.lock}" in line
    assert json.loads(place.lock.read_text())["toy/file.bin"] == kept

    place.lock.write_text("{}")
    assert place.fetch().sha256 == sha256(OTHER)


def test_a_pinned_file_that_changed_in_place_is_fetched_again(place, server, caplog):
    place.declare(server.give("/file.bin", CONTENT), published=False)
    first = place.fetch()
    place.destination.write_bytes(OTHER)
    assert place.fetch().sha256 == first.sha256
    assert place.destination.read_bytes() == CONTENT
    assert "pinned on" in caplog.text


def test_a_file_found_in_place_is_pinned_too(place):
    place.declare("http://127.0.0.1:9/file.bin", published=False)
    place.destination.parent.mkdir(parents=True)
    place.destination.write_bytes(CONTENT)
    first = place.fetch()
    assert (first.address, first.pinned) == (FOUND, True)
    assert place.fetch() == first


def test_a_published_digest_outweighs_an_old_entry(place, server):
    old = Pin(sha256=sha256(OTHER), bytes=1, address="old", retrieved="2020-01-01T00:00:00+00:00")
    write_pin(place.lock, "toy/file.bin", old, binding=False)
    address = server.give("/file.bin", CONTENT)
    place.declare(address).fetch()
    assert read_pins(place.lock)["toy/file.bin"].address == address


def test_pins_written_at_once_are_all_kept(tmp_path):
    lock = tmp_path / "sources.lock"

    def write(number):
        pin = Pin(sha256=f"{number}", bytes=number, address="a", retrieved="now")
        write_pin(lock, f"toy/{number}", pin, binding=True)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_pins(lock)) == {f"toy/{number}" for number in range(16)}


def test_the_first_of_two_pins_stands(tmp_path):
    lock = tmp_path / "sources.lock"
    one, two = (Pin(sha256=x, bytes=1, address="a", retrieved="now") for x in ("1", "2"))
    assert write_pin(lock, "toy/a", one, binding=True) == one
    assert write_pin(lock, "toy/a", two, binding=True) == one
    assert read_pins(lock) == {"toy/a": one}


@pytest.mark.parametrize("text", ["{", "[]", '{"toy/a": {"sha256": "x"}}'])
def test_a_broken_lock_file_is_one_line(place, text):
    place.declare("http://127.0.0.1:9/a", published=False)
    place.lock.parent.mkdir(parents=True)
    place.lock.write_text(text)
    with pytest.raises(CchError, match="is no lock file of sources") as caught:
        place.fetch()
    assert str(caught.value).startswith(str(place.lock))
    assert "\n" not in str(caught.value)


# By hand


def manual(place, **changes):
    steps = ["ask for it", "put it at {destination}"]
    return place.declare(published=False, kind="manual", steps=steps, **changes)


def test_an_absent_manual_file_prints_its_steps(place):
    with pytest.raises(CchError) as caught:
        manual(place).fetch()
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("toy/file.bin: could not be fetched: it needs a manual download")
    assert rest == ["  1. ask for it", f"  2. put it at {place.destination}"]
    table = load_table(place.table_path)
    steps = manual_steps("toy", "file.bin", table=table, destination=place.destination)
    assert steps.splitlines() == rest


def test_a_manual_file_comes_from_the_mirror_or_from_its_place(place, mirror):
    assert manual(place).fetch(mirror=str(mirror)).sha256 == sha256(CONTENT)
    assert place.fetch().pinned


def test_a_manual_file_that_changed_says_how_to_accept_it(place, mirror):
    manual(place).fetch(mirror=str(mirror))
    place.destination.write_bytes(OTHER)
    with pytest.raises(CchError, match=r"delete the entry 'toy/file\.bin'"):
        place.fetch()
    assert place.destination.read_bytes() == OTHER


def test_steps_are_for_manual_files_only(place):
    place.declare("http://127.0.0.1:9/a")
    with pytest.raises(CchError, match="is of kind 'http', not by hand"):
        manual_steps("toy", "file.bin", table=load_table(place.table_path), destination="x")


def test_available_is_false_only_for_absent_manual_files(place, mirror, tmp_path, monkeypatch):
    resources = tmp_path / "resources"
    http = load_table(place.declare("http://127.0.0.1:9/a").table_path)
    assert available("toy", http, resources) == (True, "")
    table = load_table(manual(place).table_path)
    ready, reason = available("toy", table, resources)
    assert not ready
    assert str(raw_path(resources, "toy", "file.bin")) in reason
    assert not available("toy", table, resources, str(tmp_path / "elsewhere"))[0]
    assert available("toy", table, resources, str(mirror))[0]
    assert available("toy", table, resources, "http://127.0.0.1:9/")[0]
    assert [entry.name for entry in missing_by_hand("toy", table, resources)] == ["file.bin"]
    assert missing_by_hand("toy", table, resources, str(mirror)) == []
    assert missing_by_hand("toy", http, resources) == []
    monkeypatch.setenv("CCH_MIRROR", str(mirror))
    assert available("toy", table, resources)[0]
    monkeypatch.delenv("CCH_MIRROR")
    place.destination.parent.mkdir(parents=True)
    place.destination.write_bytes(CONTENT)
    assert available("toy", table, resources)[0]


# Packages


@pytest.mark.parametrize(
    ("source", "name"),
    [("digits", "digits.csv.gz"), ("photographs", "china.jpg"), ("photographs", "flower.jpg")],
)
def test_stand_ins_come_out_of_the_installed_package(tmp_path, source, name):
    table = load_table(ROOT / "workflow" / "sources.yaml")
    fetched = fetch(
        source, name, table=table, destination=tmp_path / name, lock=tmp_path / "sources.lock"
    )
    import sklearn

    member = Path(sklearn.__file__).parent.parent / table.file(source, name).member
    assert (tmp_path / name).read_bytes() == member.read_bytes()
    assert fetched.address == f"pypi:scikit-learn=={sklearn.__version__}#" + str(
        table.file(source, name).member
    )


def package(place, **changes):
    entry = {"kind": "package", "distribution": "scikit-learn", "member": "sklearn/__init__.py"}
    return place.declare(published=False, **(entry | changes))


def test_a_package_with_other_bytes_is_refused(place):
    line = refused(package(place, sha256=sha256(CONTENT)))
    assert "#sklearn/__init__.py: its SHA-256 is" in line
    assert "install the version of scikit-learn that the project pins" in line


def test_a_package_that_is_not_installed_or_lacks_the_file_is_said(place):
    assert "pypi:no-such-thing: is not installed" in refused(
        package(place, distribution="no-such-thing")
    )
    assert "#sklearn/none: there is no such file" in refused(package(place, member="sklearn/none"))


# The real files


@pytest.mark.parametrize(("source", "folder"), [("mnist", "mnist"), ("bsds500-images", "bsds500")])
def test_real_files_through_a_mirror_folder(tmp_path, source, folder):
    real = real_folder(folder).parent
    table = load_table(ROOT / "workflow" / "sources.yaml")
    for entry in table.source(source).files:
        fetched = fetch(
            source,
            entry.name,
            table=table,
            destination=raw_path(tmp_path, source, entry.name),
            mirror=str(real),
            lock=tmp_path / "sources.lock",
        )
        assert fetched.bytes == (real / entry.mirror).stat().st_size
        assert fetched.pinned == (source == "bsds500-images")
        assert fetched.sha256 == (
            entry.sha256 or read_pins(tmp_path / "sources.lock")[f"{source}/{entry.name}"].sha256
        )
