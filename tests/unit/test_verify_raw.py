from __future__ import annotations

import json

import pytest

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.data.sources.verify_raw import check_raw_files
from cch.records.record import FORMAT


def take(path):
    path.write_bytes(b"raw")
    raw = {"sha256": sha256_file(path)}
    record = path.with_name(f"{path.name}.record.json")
    record.write_text(json.dumps({"format": FORMAT, "raw": raw}))
    return record


def test_a_raw_file_that_is_what_was_taken_in_passes(tmp_path):
    take(tmp_path / "x.gz")
    check_raw_files([tmp_path / "x.gz"])


def test_a_changed_raw_file_is_refused_by_name(tmp_path):
    take(tmp_path / "x.gz")
    (tmp_path / "x.gz").write_bytes(b"row")
    with pytest.raises(CchError, match=r"x\.gz: has changed since it was fetched .*delete it"):
        check_raw_files([tmp_path / "x.gz"])


def test_a_raw_file_without_a_record_is_refused(tmp_path):
    take(tmp_path / "x.gz").unlink()
    with pytest.raises(CchError, match=r"x\.gz\.record\.json: there is no such record"):
        check_raw_files([tmp_path / "x.gz"])
