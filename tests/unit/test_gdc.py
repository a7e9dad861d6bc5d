"""Files of the GDC API against a server on 127.0.0.1 that answers as the real one does."""

from __future__ import annotations

import hashlib
import json
import logging
import tarfile

import pytest
import yaml

from cch.base.errors import CchError
from cch.data.sources import gdc, http
from cch.data.sources.fetch import fetch
from cch.data.sources.lockfile import read_pins
from cch.data.sources.table import load_table
from cch.data.sources.types import RetryPolicy
from server import Answer, Gdc, Held, Server

QUERY = {
    "project": ["TCGA-KICH"],
    "data_type": "Gene Expression Quantification",
    "workflow": "STAR - Counts",
}
NAME = "TCGA-KICH.star_counts.tar"


def held(number, **changes):
    """One tumour's file, in the form of the GDC's STAR counts: every third a normal."""
    case = f"TCGA-KL-{8323 + number}"
    kind, code = ("Solid Tissue Normal", "11A") if number % 3 == 2 else ("Primary Tumor", "01A")
    rows = [
        f"ENSG{gene:011d}.{number}\tG{gene}\tprotein_coding\t{gene * number}" for gene in range(40)
    ]
    head = ["# gene-model: GENCODE v36", "gene_id\tgene_name\tgene_type\tunstranded"]
    # Bytes that gzip cannot shorten, so that a cut at a place is a cut in a known file.
    tail = hashlib.shake_256(str(number).encode()).hexdigest(20_000)
    facts = {
        # The ids' order is not the order in which the server holds the files.
        "id": hashlib.sha256(f"file {number}".encode()).hexdigest()[:32],
        "name": f"{number:04d}.rna_seq.augmented_star_gene_counts.tsv",
        "content": "\n".join([*head, *rows, f"# {tail}", ""]).encode(),
        "case": case,
        "samples": ((f"{case}-{code}", kind),),
        "aliquots": (f"{case}-{code}-11R-2315-07",),
    }
    return Held(**(facts | changes))


FILES = [held(number) for number in range(8)]
ORDER = sorted(FILES, key=lambda file: file.id)
IDS = [file.id for file in ORDER]


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch):
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def api():
    with Gdc(*FILES) as running:
        yield running


@pytest.fixture
def waits(monkeypatch):
    asked = []
    monkeypatch.setattr(http, "_sleep", asked.append)
    return asked


class Place:
    """A folder with a table of one tar, ``kich/NAME``, its destination and its lock."""

    def __init__(self, folder):
        self.folder = folder
        self.destination = folder / "resources" / "kich" / NAME
        self.pieces = self.destination.with_name(f".{NAME}.pieces")
        self.lock = folder / "resources" / "sources.lock"

    def declare(self, *addresses, **changes):
        entry = {"name": NAME, "role": "matrix", "kind": "gdc", "query": QUERY}
        entry |= {"addresses": list(addresses)} | changes
        about = {"title": "T", "licence": "L", "citation": "C", "reader": "gdc-star-counts"}
        self.table = self.folder / "sources.yaml"
        self.table.write_text(yaml.safe_dump({"kich": about | {"files": [entry]}}))
        return self

    def fetch(self, mirror=None, **policy):
        policy = {"retries": 2, "backoff": 0.0, "connect": 2.0, "read": 0.5} | policy
        return fetch(
            "kich",
            NAME,
            table=load_table(self.table),
            destination=self.destination,
            mirror=mirror,
            lock=self.lock,
            retry_policy=RetryPolicy(**policy),
        )

    def refused(self, **options):
        """Fetch, expecting one line and no destination; return the line."""
        with pytest.raises(CchError) as caught:
            self.fetch(**options)
        assert not self.destination.exists()
        line = str(caught.value)
        assert line.startswith(f"kich/{NAME}: ")
        assert "\n" not in line
        return line

    def left(self):
        folder = self.destination.parent
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def had(self):
        return sorted(path.name for path in self.pieces.iterdir() if path.suffix != ".part")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def contents(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def right(path, files=ORDER):
    """Whether a tar holds the manifest and then these files, and nothing else."""
    members = contents(path)
    names = ["manifest.json", *(f"{file.id}/{file.name}" for file in files)]
    return list(members) == names and [members[name] for name in names[1:]] == [
        file.content for file in files
    ]


# A good server


def test_a_cohort_arrives_as_one_tar_with_its_manifest(place, api):
    fetched = place.declare(api.url).fetch()
    assert right(place.destination)
    assert (fetched.address, fetched.pinned) == (f"{api.url}/data", True)
    assert place.left() == [NAME]
    manifest = json.loads(contents(place.destination)["manifest.json"])
    assert manifest["query"] == QUERY | {"access": "open"}
    assert [entry["id"] for entry in manifest["files"]] == IDS
    first = ORDER[0]
    assert manifest["files"][0] == {
        "id": first.id,
        "name": first.name,
        "md5": hashlib.md5(first.content).hexdigest(),
        "size": len(first.content),
        "workflow": "STAR - Counts",
        "cases": [first.case],
        "samples": [{"sample": sample, "type": kind} for sample, kind in first.samples],
        "aliquots": list(first.aliquots),
    }
    kinds = {entry["samples"][0]["type"] for entry in manifest["files"]}
    assert kinds == {"Primary Tumor", "Solid Tissue Normal"}


def test_the_data_release_is_noted_beside_the_file(place, api, caplog):
    api.give("/status", b'{"data_release": "Data Release 42.0 - January 30, 2025"}')
    release = "Data Release 42.0 - January 30, 2025"
    assert place.declare(api.url).fetch().release == release
    assert place.fetch().release == release, "the second fetch asks nobody"
    (pin,) = read_pins(place.lock).values()
    assert pin.release == release


def test_a_release_that_is_not_said_stops_no_fetch(place, api, caplog):
    assert place.declare(api.url).fetch().release is None
    assert "does not say its data release" in caplog.text


def test_members_carry_nothing_but_the_files(place, api):
    place.declare(api.url).fetch()
    with tarfile.open(place.destination, "r:") as archive:  # "r:": uncompressed, or it fails
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
            assert (member.uname, member.gname) == ("", "")


def test_equal_files_give_equal_bytes_whatever_the_way(tmp_path, api, monkeypatch):
    digests = set()
    for number, (pages, batch) in enumerate([(1000, 100), (3, 3), (1, 1)]):
        (tmp_path / str(number)).mkdir()
        place = Place(tmp_path / str(number)).declare(api.url)
        api.pages, api.held = pages, api.held[::-1]
        monkeypatch.setattr(gdc, "BATCH_FILES", batch)
        digests.add(place.fetch().sha256)
    assert len(digests) == 1


def test_only_what_the_query_names_is_asked_for(place, api):
    others = [
        {"project": "TCGA-KIRC"},
        {"workflow": "Another"},
        {"data_type": "Splice Junction Quantification"},
        {"access": "controlled"},
    ]
    api.held += [held(20 + number, **changes) for number, changes in enumerate(others)]
    place.declare(api.url).fetch()
    assert right(place.destination)
    assert [set(ids) for ids in api.data] == [set(IDS)]


def test_a_query_without_a_workflow_takes_any(place, api):
    extra = held(20, workflow=None)
    api.held.append(extra)
    place.declare(api.url, query={key: QUERY[key] for key in ("project", "data_type")}).fetch()
    assert right(place.destination, sorted([*FILES, extra], key=lambda file: file.id))


def test_a_tumour_and_its_normal_are_both_named(place):
    pair = (("TCGA-KL-8323-10A", "Blood Derived Normal"), ("TCGA-KL-8323-01A", "Primary Tumor"))
    with Gdc(held(0, samples=pair), held(1)) as api:
        place.declare(api.url).fetch()
    manifest = json.loads(contents(place.destination)["manifest.json"])
    (entry,) = (entry for entry in manifest["files"] if entry["cases"] == ["TCGA-KL-8323"])
    assert entry["samples"] == [
        {"sample": "TCGA-KL-8323-01A", "type": "Primary Tumor"},
        {"sample": "TCGA-KL-8323-10A", "type": "Blood Derived Normal"},
    ]


def test_a_list_in_pages_is_read_to_its_end(place, api):
    api.pages = 3
    place.declare(api.url).fetch()
    assert [body["from"] for body in api.lists] == [0, 3, 6]
    assert right(place.destination)


def test_files_come_in_batches_and_a_last_one_bare(place, api, monkeypatch):
    monkeypatch.setattr(gdc, "BATCH_FILES", 7)
    place.declare(api.url).fetch()
    assert api.data == [IDS[:7], IDS[7:]]
    assert right(place.destination)


def test_batches_are_held_small_in_bytes_too(place, api, monkeypatch):
    monkeypatch.setattr(gdc, "BATCH_BYTES", 3 * len(ORDER[0].content) + 3000)
    place.declare(api.url).fetch()
    assert [len(ids) for ids in api.data] == [3, 3, 2]


def test_one_file_in_an_archive_is_understood_too(place):
    with Gdc(FILES[0]) as api:
        api.archives_of_one = True
        place.declare(api.url).fetch()
    assert right(place.destination, FILES[:1])


def test_progress_is_reported(place, api, caplog):
    caplog.set_level(logging.INFO)
    place.declare(api.url).fetch()
    lines = [r.getMessage() for r in caplog.records if r.name == "cch.base.progress"]
    assert lines[-1].startswith(f"kich/{NAME}: 8/8 files")
    assert "8 files, 0.3" in caplog.text


def test_a_second_fetch_asks_nobody(place, api):
    first = place.declare(api.url).fetch()
    assert place.fetch() == first
    assert (len(api.lists), len(api.data)) == (1, 1)


def test_a_mirror_is_asked_first(place, api, tmp_path):
    place.declare(api.url).fetch()
    mirror = tmp_path / "mirror" / "kich"
    mirror.mkdir(parents=True)
    place.destination.rename(mirror / NAME)
    place.lock.unlink()
    fetched = place.fetch(mirror=str(mirror.parent))
    assert fetched.address == str(mirror / NAME)
    assert (len(api.lists), len(api.data)) == (1, 1)


# Interruptions


def test_after_a_dropped_connection_only_the_missing_files_are_asked_for(place, api, caplog):
    # In the middle of the fourth file: 40 kB a file, which gzip brings to about 23 kB.
    api.data_answers = [Answer(cut=85_000)]
    place.declare(api.url).fetch()
    assert right(place.destination)
    first, second = api.data
    assert first == IDS
    assert second == IDS[-len(second) :]
    assert 3 <= len(second) <= 6
    assert "retry 1 of 2" in caplog.text


def test_a_later_fetch_asks_for_the_missing_files_only(place, api):
    api.data_answers = [Answer(cut=85_000)]
    line = place.declare(api.url).refused(retries=0)
    assert f"{api.url}/data: connection lost" in line
    had = place.had()
    assert 2 <= len(had) <= 5
    place.fetch()
    assert set(api.data[1]) == set(IDS) - set(had)
    assert right(place.destination)
    assert place.left() == [NAME]


def test_a_kept_file_that_was_damaged_is_asked_for_again(place, api):
    api.data_answers = [Answer(cut=85_000)]
    place.declare(api.url).refused(retries=0)
    had = place.had()
    spoilt = place.pieces / had[0]
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"?")
    place.fetch()
    assert set(api.data[1]) == set(IDS) - set(had[1:])
    assert right(place.destination)


def test_a_stalled_answer_is_taken_up_again(place, api, caplog):
    api.data_answers = [Answer(stall=85_000)]
    place.declare(api.url).fetch(read=0.2)
    assert "stalled: nothing came for 0.2 s" in caplog.text
    assert len(api.data[1]) < len(IDS)
    assert right(place.destination)


def test_a_bare_file_that_broke_off_is_asked_for_again(place):
    with Gdc(FILES[0]) as api:
        api.data_answers = [Answer(cut=10_000)]
        place.declare(api.url).fetch()
        assert len(api.data) == 2
    assert right(place.destination, FILES[:1])


def test_files_missing_from_an_archive_are_asked_for_again(place, api):
    api.withheld = {IDS[2]: 1, IDS[5]: 1}
    place.declare(api.url).fetch()
    assert api.data == [IDS, [IDS[2], IDS[5]]]
    assert right(place.destination)


def test_files_that_never_come_are_given_up_by_name(place, api):
    api.withheld = {IDS[2]: 99, IDS[5]: 99}
    line = place.declare(api.url).refused()
    assert f"file {IDS[2]} ({ORDER[2].name}) and 1 more requested, none in the answer" in line
    assert "(3 tries in a row)" in line


def test_progress_between_interruptions_keeps_a_fetch_alive(place, api):
    api.data_answers = [Answer(cut=35_000)] * 6
    place.declare(api.url).fetch(retries=1)
    assert right(place.destination)
    assert len(api.data) == 7


@pytest.mark.parametrize("body", [b"", b"not an archive", b'{"error": "x"}'])
def test_an_answer_that_is_no_archive_is_retried(place, api, body):
    api.data_answers = [Answer(body=body)]
    place.declare(api.url).fetch()
    assert right(place.destination)
    api.data_answers = [Answer(body=body)] * 3
    place.destination.unlink()
    assert "the archive broke off or is malformed" in place.refused()


def test_500_from_both_ends_and_then_the_files(place, api, waits):
    api.list_answers = [Answer(status=500), Answer(status=502)]
    api.data_answers = [Answer(status=503)]
    place.declare(api.url).fetch(backoff=1.0)
    assert waits == [1.0, 2.0, 1.0]
    assert right(place.destination)


def test_a_server_may_ask_for_time(place, api, waits):
    api.data_answers = [Answer(status=429, headers={"Retry-After": "7"})]
    place.declare(api.url).fetch(backoff=1.0)
    assert waits == [7.0]


def test_what_always_fails_is_given_up(place, api, waits):
    api.list_answers = [Answer(status=500)] * 9
    line = place.declare(api.url).refused()
    assert f"{api.url}/files: HTTP 500 Internal Server Error (3 tries in a row)" in line
    assert f"or set CCH_MIRROR to a folder or URL that has it as kich/{NAME}" in line


def test_a_refusal_says_what_the_api_said(place, api, waits):
    said = b'{"message": "Access denied:\\n not open", "code": 403}'
    api.data_answers = [Answer(status=403, body=said)]
    line = place.declare(api.url).refused()
    assert f"{api.url}/data: HTTP 403 Forbidden (Access denied: not open)" in line
    assert waits == []


# Wrong bytes


def test_a_wrong_md5_is_asked_for_once_more_alone(place, api, caplog):
    api.wrong = {IDS[3]: 1}
    place.declare(api.url).fetch()
    assert api.data == [IDS, [IDS[3]]]
    assert right(place.destination)
    assert f"file {IDS[3]} ({ORDER[3].name}): its MD5 is" in caplog.text


def test_a_wrong_md5_twice_is_one_line_naming_the_file(place, api):
    api.wrong = {IDS[3]: 99}
    line = place.declare(api.url).refused()
    assert f"{api.url}/data: file {IDS[3]} ({ORDER[3].name}): twice its MD5 is " in line
    assert f"{hashlib.md5(ORDER[3].content).hexdigest()} published" in line
    assert api.data == [IDS, [IDS[3]]]
    assert place.had() == sorted(set(IDS) - {IDS[3]})


def test_another_address_gives_what_the_first_gave_wrong(place, api):
    api.wrong = {IDS[3]: 99}
    with Gdc(*FILES) as other:
        fetched = place.declare(api.url, other.url).fetch()
        assert other.data == [[IDS[3]]]
    assert fetched.address == f"{other.url}/data"
    assert right(place.destination)


@pytest.mark.parametrize(
    "body", [b"[]", b"<html>", b'{"data": {}}', b'{"data": {"hits": [{}], "pagination": {}}}']
)
def test_a_malformed_list_is_one_line(place, api, body):
    api.list_answers = [Answer(body=body)] * 3
    assert "/files: malformed list of files" in place.declare(api.url).refused()
    assert api.data == []


@pytest.mark.parametrize("name", ["../../evil.tsv", "..", "a/b", ""])
def test_a_name_that_leads_elsewhere_is_refused(place, name):
    with Gdc(held(0, name=name)) as api:
        assert "malformed list of files" in place.declare(api.url).refused()


def test_a_list_that_does_not_hold_together_is_refused(place, api):
    hits = [file.described() for file in FILES[:2]] + [FILES[0].described()]
    body = json.dumps({"data": {"hits": hits, "pagination": {"total": 3}}}).encode()
    api.list_answers = [Answer(body=body)]
    assert "/files: listed 2 different files, 3 promised" in place.declare(api.url).refused()


def test_a_query_that_nothing_fits_says_so(place, api):
    line = place.declare(api.url, query=QUERY | {"project": ["TCGA-NONE"]}).refused()
    words = "TCGA-NONE, Gene Expression Quantification, STAR - Counts"
    assert f"{api.url}/files: no file fits the query ({words})" in line


# First use


def test_another_release_is_refused_and_accepted_without_asking_again(place, api):
    first = place.declare(api.url).fetch()
    place.destination.unlink()
    api.held[0] = held(0, content=b"corrected\n")
    line = place.refused()
    assert f"{first.sha256} pinned on" in line
    assert f"delete the entry 'kich/{NAME}' from {place.lock}" in line
    place.lock.write_text("{}")
    asked = len(api.data)
    assert place.fetch().sha256 != first.sha256
    assert len(api.data) == asked
    assert place.left() == [NAME]


# Several cohorts


def test_a_cohort_is_had_while_another_one_s_server_is_down(tmp_path, api, waits):
    with Server() as gone:
        down = gone.url
    about = {"title": "T", "licence": "L", "citation": "C", "reader": "gdc-star-counts"}
    entry = {"name": NAME, "role": "matrix", "kind": "gdc", "query": QUERY}
    table = tmp_path / "sources.yaml"
    table.write_text(
        yaml.safe_dump(
            {
                "up": about | {"files": [entry | {"addresses": [api.url]}]},
                "down": about | {"files": [entry | {"addresses": [down]}]},
            }
        )
    )
    lock = tmp_path / "sources.lock"

    def get(source):
        destination = tmp_path / source / NAME
        fetch(
            source,
            NAME,
            table=load_table(table),
            destination=destination,
            lock=lock,
            retry_policy=RetryPolicy(1),
        )

    with pytest.raises(CchError, match=f"^down/{NAME}: .*{down}/files: Connection refused"):
        get("down")
    get("up")
    assert right(tmp_path / "up" / NAME)
    assert list(read_pins(lock)) == [f"up/{NAME}"]
    assert sorted(path.name for path in (tmp_path / "down").iterdir()) == []


# The table


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"query": None}, "kind 'gdc' requires the key 'query'"),
        ({"query": QUERY | {"project": []}}, "query.project: "),
        ({"query": QUERY | {"access": "controlled"}}, "query.access: "),
        ({"query": QUERY | {"colour": "red"}}, "query.colour: "),
        ({"kind": "http"}, "key 'query' belongs to kind 'gdc', this is 'http'"),
        ({"member": "a"}, "key 'member' belongs to kinds 'package' and 'pypi', this is 'gdc'"),
    ],
)
def test_a_mistake_in_the_table_is_one_line(place, changes, expected):
    with pytest.raises(CchError) as caught:
        load_table(place.declare("http://127.0.0.1:9", **changes).table)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_api_has_a_default_address(tmp_path):
    assert gdc.API == "https://api.gdc.cancer.gov"
    place = Place(tmp_path).declare("http://127.0.0.1:9", addresses=None)
    assert load_table(place.table).file("kich", NAME).addresses is None
