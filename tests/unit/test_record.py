from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from functools import partial

import pytest

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.records.code import ROOT
from cch.records.record import Recorder, processor, read_record, record_path
from cch.records.stage import allocation

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


def test_new_files_are_uncommitted_changes_only_where_code_lies(tmp_path, monkeypatch):
    module = tmp_path / "src" / "cch" / "records" / "record.py"
    module.parent.mkdir(parents=True)
    module.write_bytes((ROOT / "records" / "record.py").read_bytes())
    (tmp_path / ".gitignore").write_bytes((ROOT.parents[1] / ".gitignore").read_bytes())
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True)
    run(["git", "init", "-q"])
    run(["git", "add", "."])
    name = ("-c", "user.name=a", "-c", "user.email=a@b")
    run(["git", *name, "commit", "-q", "-m", "a"])
    spec = importlib.util.spec_from_file_location("copied_record", module)
    copied = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, copied)  # where dataclasses look
    spec.loader.exec_module(copied)

    def dirty():
        copied.git_state.cache_clear()
        return copied.git_state()["dirty"]

    (tmp_path / "mine.yaml").touch()
    assert not dirty()
    new = module.with_name("new.py")
    new.touch()
    assert dirty()
    new.unlink()
    module.write_text(module.read_text() + "\n")
    assert dirty()


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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, {}),
        ({"CUDA_VISIBLE_DEVICES": "1"}, {}),
        (
            {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1", "CUDA_VISIBLE_DEVICES": "1"},
            {"slurm": {"job": "7", "node": "n1", "gpus": "1"}},
        ),
        (
            {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"},
            {"slurm": {"job": "7_2"}},
        ),
    ],
)
def test_what_slurm_gave_a_job(monkeypatch, given, said):
    for name in (*given, "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert allocation() == said
