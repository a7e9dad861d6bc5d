from __future__ import annotations

import json

import pytest

from cch.code import ROOT
from cch.errors import CchError
from cch.files import sha256_file
from cch.record import Recorder, processor, read_record, record_path

SCRIPT = ROOT.parents[1] / "workflow" / "scripts" / "tabulate.py"


def test_a_record_names_inputs_and_outputs_by_digest(tmp_path):
    source, product = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("a")
    product.write_text("b")
    recorder = Recorder("rule", SCRIPT, [source], {"spec": "{}"})
    recorder.facts["device"] = "cpu"
    recorder.write(tmp_path / "out.record.json", [product])
    record = read_record(tmp_path / "out.record.json")
    assert record["inputs"] == {str(source): sha256_file(source)}
    assert record["outputs"] == {str(product): sha256_file(product)}
    assert record["device"] == "cpu"
    assert "cch.tables.cells" in record["code"]["modules"]
    assert len(record["environment"]["digest"]) == 64
    assert record["environment"]["processor"] == processor() != ""
    assert record["seconds"] >= 0
    assert record_path(product) == tmp_path / "out.record.json"


def test_full_name_records_are_found_first(tmp_path):
    (tmp_path / "a.gz.record.json").write_text("{}")
    assert record_path(tmp_path / "a.gz") == tmp_path / "a.gz.record.json"
    assert record_path(tmp_path / "b.gz") is None


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"format": "other"})])
def test_broken_records_are_named(tmp_path, text):
    path = tmp_path / "x.record.json"
    path.write_text(text)
    with pytest.raises(CchError, match=r"x\.record\.json"):
        read_record(path)
