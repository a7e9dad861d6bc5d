"""Two runs compared by ``cch diff``: cells, and the stage at which they begin to differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from cch.audit.diff import diff
from cch.base.errors import CchError
from cch.base.files import digest, sha256_file
from cch.cli import app

VALUES = {"teacher": [0.9, 0.8], "baseline": [0.7, 0.6]}
ESTIMATES = {"teacher-student": [1.5, 1.6], "student-label": [1.0, 1.2]}


def write_json(path: Path, content: Any) -> None:
    # Not that of the library, which waits for the disk.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def record(output: Path, inputs: list[Path], spec: Any, **facts: Any) -> None:
    """A record as the pipeline writes it; paths are relative to the working folder."""
    code = facts.pop("code", "c")
    content = {
        "format": "cch-record-1",
        "rule": facts.pop("rule", "r"),
        "outputs": {str(output): sha256_file(output)},
        "inputs": {str(path): sha256_file(path) for path in inputs},
        "params": {"spec": spec if isinstance(spec, str) else json.dumps(spec), "code": code},
        "code": {"digest": code},
        "environment": {"digest": "e" * 64, "python": "3.11.7", "processor": "P"},
        **facts,
    }
    write_json(output.with_suffix(".record.json"), content)


def arrays(path: Path, number: float, text: str, runs: list[dict[str, Any]] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["values"] = np.array([number, np.nan])
        file.attrs["text"] = text
        if runs:
            file["runs"] = json.dumps(runs)
    return path


def cell(identity: str, values: list[float], files: list[Path], **more: Any) -> dict[str, Any]:
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    return {
        "id": identity,
        "value": mean,
        "text": f"{mean:.2f}",
        "unit": None,
        "n": len(values),
        "se": spread / len(values) ** 0.5,
        "members": [{"id": digest([identity, v]), "value": v} for v in values],
        "inputs": [{"path": str(path), "sha256": sha256_file(path)} for path in sorted(files)],
        **more,
    }


def make_run(
    results: str,
    *,
    old: bool = False,
    raw: str = "raw",
    data: float = 1.0,
    epochs: int = 40,
    shift: float = 0.0,
    k: int = 3,
    moved: float = 0.0,
    code: str = "c",
    device: str = "cpu",
    title: str = "T",
) -> Path:
    """Write a small run under the working folder, in the form of one of two versions.

    Args:
        results: its folder.
        old: estimates a file for each quantity, and other specifications.
        raw: the raw file's content.
        data: a number of the dataset.
        epochs: of the specification of teachers.
        shift: added to the teachers' values.
        k: option of the estimator.
        moved: added to the estimates.
        code: digest of the code of the training stage.
        device: of the training stage.
        title: in the specification of the table.
    """
    top = Path(results)
    version = "old" if old else "new"
    stage = {"code": version}
    file = Path("resources") / raw / "d" / "f.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(raw)
    dataset = arrays(top / "datasets" / "d.h5", data, version)
    settings = {"kind": "synthetic", "seed": 0}
    spec: Any = settings if old else {"name": "d", "dataset": settings, "readers": {}, "files": []}
    record(dataset, [file], spec, **stage)
    made = {}
    for role, values in VALUES.items():
        added = shift if role == "teacher" else 0.0
        found = [{"seed": i, "metrics": {"a": v + added}} for i, v in enumerate(values)]
        path = arrays(top / "runs" / "s" / f"{role}.h5", added, version, found)
        spec = {"training": {"epochs": epochs if role == "teacher" else 40}, "seeds": 2}
        spec |= {} if old else {"role": role, "study": "s"}
        record(path, [dataset], spec, code=version if code == "c" else code, device=device)
        made[role] = path
    entries = {
        quantity: [
            {"level": "0", "seed": seed, "value": value + moved, "flags": []}
            for seed, value in enumerate(values)
        ]
        for quantity, values in ESTIMATES.items()
    }
    folder = top / "information" / "s"
    if old:
        files = []
        for quantity, some in entries.items():
            path = folder / f"ksg.{quantity}.json"
            write_json(path, {"estimator": "ksg", "quantity": quantity, "estimates": some})
            read = [made["baseline"]] + [made["teacher"]] * (quantity == "teacher-student")
            record(path, read, {"limit": 10, "options": {"k": k}}, **stage)
            files.append(path)
    else:
        path = folder / "ksg.json"
        flat = [
            {"estimator": "ksg", "quantity": quantity, **entry}
            for quantity, some in entries.items()
            for entry in some
        ]
        write_json(path, {"format": "cch-estimates-1", "estimates": flat})
        estimators = {"estimators": {"ksg": {"k": k}}}
        record(path, list(made.values()), {"study": "s", "limit": 10, **estimators}, **stage)
        files = [path]
    gaps = [1 + moved, 2 + moved]
    cells = {
        "0/teacher": cell("t/0/teacher", [v + shift for v in VALUES["teacher"]], [made["teacher"]]),
        "0/baseline": cell("t/0/baseline", VALUES["baseline"], [made["baseline"]]),
        "0/gap": cell("t/0/gap", gaps, files),
        "0/setting": cell("t/0/setting", [1, 1], [], value="T", text=title, members=[]),
    }
    note = {"label": "N", "cell": cell("t/notes/n", VALUES["baseline"], [made["baseline"]])}
    path = top / "tables" / "t.json"
    write_json(path, {"id": "t", "cells": cells, "notes": [note]})
    spec = digest(title) if old else {"name": "t", "config": {"results": results, "title": title}}
    record(path, [*made.values(), *files], spec, **stage)
    return top


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def first(a: Path, b: Path) -> dict[str, str]:
    return {one.identity: one.first for one in diff(a, b).changed}


def test_equal_runs_have_no_differences():
    found = diff(make_run("results/a"), make_run("results/b"))
    assert found.equal
    assert found.summary() == "5 cells compared, 0 differ, 0 only in A, 0 only in B"


def test_the_specification_at_the_first_stage_is_named():
    a, b = make_run("results/a"), make_run("results/b", epochs=60, shift=0.01)
    assert first(a, b) == {"t/0/teacher": "train (spec: training.epochs 40 -> 60)"}
    (changed,) = diff(a, b).changed
    assert changed.what == ["value", "text", "2 of 2 members"]


def test_what_differs_further_on_is_listed_behind_the_first_stage():
    a = make_run("results/a")
    b = make_run("results/b", raw="other", data=2.0, epochs=60, shift=0.01)
    (changed,) = diff(a, b).changed
    assert changed.first == "fetch_raw (raw file digest: d/f.gz)"
    assert [(one.stage, one.first) for one in changed.origins] == [
        ("fetch_raw", True),
        ("train", False),
    ]


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        ({"code": "other", "shift": 0.1}, "train (code)"),
        ({"device": "cuda", "shift": 0.1}, "train (device cpu -> cuda)"),
        ({"shift": 0.1}, "train (nothing that is recorded differs)"),
        ({"k": 5, "moved": 0.1}, "estimate (spec: estimators.ksg.k 3 -> 5)"),
        ({"data": 2.0, "shift": 0.1}, "prepare_dataset (nothing that is recorded differs)"),
        ({"title": "U"}, 'tabulate (spec: config.title "T" -> "U")'),
    ],
)
def test_each_kind_of_cause(change, stage):
    assert set(first(make_run("results/a"), make_run("results/b", **change)).values()) == {stage}


def test_versions_that_name_their_files_otherwise_are_compared():
    a, b = make_run("results/a", old=True), make_run("results/b")
    assert diff(a, b).equal
    make_run("results/b", k=5, moved=0.1)
    # The runs have other bytes, and the same numbers: the estimates are the first that differ.
    assert first(a, b) == {"t/0/gap": "estimate (spec: estimators.ksg.k 3 -> 5; code)"}
    make_run("results/b", epochs=60, shift=0.1, moved=0.1)
    told = "train (spec: training.epochs 40 -> 60; code)"
    assert first(a, b) == {"t/0/teacher": told, "t/0/gap": told}
    # One version's specification of a table was a digest.
    make_run("results/b", title="U")
    assert first(a, b) == {"t/0/setting": "tabulate (code)"}


def test_members_are_compared_by_value_and_not_by_name():
    a, b = make_run("results/a"), make_run("results/b")
    path = b / "tables" / "t.json"
    document = json.loads(path.read_text())
    members = document["cells"]["0/baseline"]["members"]
    members[0]["id"] = "another"
    path.write_text(json.dumps(document))
    assert diff(a, b).equal
    members[0]["value"] += 1e-12
    path.write_text(json.dumps(document))
    assert [one.what for one in diff(a, b).changed] == [["1 of 2 members"]]
    assert diff(a, b, tolerance=1e-9).equal
    members.pop()
    path.write_text(json.dumps(document))
    assert [one.what for one in diff(a, b).changed] == [["2 against 1 members"]]


def test_a_tolerance_is_relative_and_leaves_counts_and_words_exact():
    a, b = make_run("results/a"), make_run("results/b", shift=0.001)
    assert not diff(a, b, tolerance=1e-6).equal
    assert diff(a, b, tolerance=0.01).equal
    make_run("results/b", title="U")
    assert not diff(a, b, tolerance=0.5).equal
    path = b / "tables" / "t.json"
    document = json.loads(path.read_text())
    document["cells"]["0/setting"]["text"] = "T"
    document["cells"]["0/teacher"]["n"] = 3
    path.write_text(json.dumps(document))
    assert [one.what for one in diff(a, b, tolerance=0.5).changed] == [["n"]]


def test_cells_of_one_side_are_counted():
    a, b = make_run("results/a"), make_run("results/b")
    path = b / "tables" / "t.json"
    document = json.loads(path.read_text())
    document["cells"]["1/teacher"] = document["cells"].pop("0/teacher")
    path.write_text(json.dumps(document))
    found = diff(a, b)
    assert not found.equal
    assert found.summary() == "4 cells compared, 0 differ, 1 only in A, 1 only in B"
    assert list(found.one_sided()) == [
        "only in A: t, 1 cell: 0/teacher",
        "only in B: t, 1 cell: 1/teacher",
    ]


def test_a_run_that_was_moved_or_has_no_records_is_compared(tmp_path):
    a, b = make_run("results/a"), make_run("results/b", epochs=60, shift=0.01)
    b.rename(tmp_path / "elsewhere")
    assert list(first(a, tmp_path / "elsewhere").values()) == [
        "train (spec: training.epochs 40 -> 60)"
    ]
    (tmp_path / "elsewhere/runs/s/teacher.record.json").unlink()
    assert list(first(a, tmp_path / "elsewhere").values()) == ["train (no record in B)"]
    (tmp_path / "elsewhere/tables/t.record.json").unlink()
    assert "no record in B" in first(a, tmp_path / "elsewhere")["t/0/teacher"]


def test_the_command_prints_a_table_or_json_and_ends_with_a_status():
    a, b = make_run("results/a"), make_run("results/b", epochs=60, shift=1e-6)
    done = CliRunner().invoke(app, ["diff", str(a), str(a)])
    assert (done.exit_code, done.output.count("\n")) == (0, 1)
    done = CliRunner().invoke(app, ["diff", str(a), str(b)])
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0] == "5 cells compared, 1 differs, 0 only in A, 0 only in B"
    row = next(line for line in lines if "t/0/teacher" in line)
    # As many digits as it takes to tell the two apart.
    assert "0.85 ± 0.05 (n = 2)" in row and "0.850001 ± 0.05 (n = 2)" in row
    assert "train (spec: training.epochs 40 -> 60)" in row
    done = CliRunner().invoke(app, ["diff", str(a), str(b), "--json"])
    found = json.loads(done.output)
    assert (done.exit_code, found["differ"], found["only_a"]) == (1, 1, [])
    (changed,) = found["cells"]
    assert changed["a"]["interval"] == pytest.approx([0.8, 0.9])
    assert changed["stages"][0]["files"] == [
        "results/a/runs/s/teacher.h5",
        "results/b/runs/s/teacher.h5",
    ]


def test_folders_without_tables_are_refused(tmp_path):
    a = make_run("results/a")
    with pytest.raises(CchError, match="holds no tables"):
        diff(a, tmp_path)
    with pytest.raises(CchError, match="there is no such folder"):
        diff(tmp_path / "none", a)
    done = CliRunner().invoke(app, ["diff", str(a), str(tmp_path)])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    (a / "tables" / "u.json").write_text("[1]")
    with pytest.raises(CchError, match=r"u.json: is no table document"):
        diff(a, a)
