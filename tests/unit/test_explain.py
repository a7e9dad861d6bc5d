"""From a cell to its raw files: what is said, how fast, and what is said of cells that are not."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cch.audit import explain as module
from cch.audit.explain import comparison, explain
from cch.audit.explain_tree import as_tree
from cch.base.errors import CchError
from cch.base.files import sha256_file, write_json
from cch.cli import app
from cch.records.record import processor
from cch.tables.claims import Claim
from cch.tables.compare import half_width
from cch.tables.documents import parse_document
from small_tree import RESULTS, STUDY
from support import ROOT, stored_cell, stored_table


@pytest.fixture
def tree(small_run, monkeypatch) -> Path:
    """The working folder; tests do not change it."""
    monkeypatch.chdir(small_run())
    return small_run()


def told(found) -> str:
    console = Console(width=10_000, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(as_tree(found))
    return console.export_text()


@pytest.mark.parametrize("words", [["table13/0/kd"], ["table13", "0", "kd"]])
def test_a_cell_is_named_in_one_word_or_three(tree, words):
    done = CliRunner().invoke(app, ["explain", *words, "--results", RESULTS])
    assert done.exit_code == 0
    assert done.stdout.startswith("table13/0/kd = ")


@pytest.mark.parametrize("typed", ["150%/no-kd", "1.5/no_kd", "150 %/no_kd"])
def test_a_cell_may_be_typed_as_it_is_printed(tree, typed):
    assert explain(f"table13/{typed}", RESULTS)["cell"]["id"] == "table13/1.5/no-kd"


def test_the_tree_says_all_that_a_number_rests_on(tree):
    found = explain("table13/0/difference", RESULTS)
    cell, text = found["cell"], told(found)
    assert found["whole"]
    for member, sides in zip(cell["members"], found["sides"], strict=True):
        assert sides[0] - sides[1] == member["value"]
        assert f"seed {member['seed']}: {member['value']!r}  ({member['id']} minus" in text
    raw = found["files"][0]["inputs"][0]["inputs"][0]
    assert f"{raw['path']}  sha256 {raw['sha256']}" in text
    assert "raw file, 11 bytes from https://example.org/digits.csv.gz, 2026-11-25" in text
    assert "split: that of the dataset" in text
    assert f"standard error {cell['se']!r}" in text
    assert cell["aggregation"] in text
    assert f"rule train, code {found['files'][0]['code']['digest'][:12]}" in text
    assert f", on cpu of {processor()}, " in text
    assert text.rstrip().endswith("the chain is whole")


def test_json_holds_the_same(tree):
    done = CliRunner().invoke(app, ["explain", "table13/0/kd", "--results", RESULTS, "--json"])
    found = json.loads(done.stdout)
    assert found == json.loads(json.dumps(explain("table13/0/kd", RESULTS)))
    assert {file["hashed"] for file in found["files"]} == {True}


def test_the_comparison_is_that_of_the_verdict(tree):
    found = explain("table13/0/kd", RESULTS)
    cell, compared = found["cell"], found["comparison"]
    half = half_width(cell["se"], cell["n"])
    assert compared["ours"]["half"] == pytest.approx(half, rel=1e-12)
    assert compared["ours"]["ends"] == pytest.approx([cell["value"] - half, cell["value"] + half])
    assert compared["paper"]["half"] == pytest.approx(half_width(0.0019, 5))  # n = 5 in the paper
    assert "compared: ours " in told(explain("table13/0/kd", RESULTS))


@pytest.mark.parametrize("text", ["1.3956", "10,000", "-0.5", "3"])
def test_a_printed_number_without_an_error_is_as_wide_as_its_rounding(text):
    claim = Claim.parse(text)
    paper = {"text": claim.text, "value": claim.value, "se": claim.se}
    cell = stored_cell("t/r/c", paper=paper, value=1.0, n=1)
    compared = comparison(parse_document(stored_table("t", {"r/c": cell}), "t").cells["r/c"])
    assert compared["paper"]["half"] == claim.rounding
    assert compared["ours"]["half"] is None


def test_nothing_is_compared_where_one_side_is_no_number(tree):
    assert explain("table12/optimizer/value", RESULTS)["comparison"] is None
    assert explain(f"sweep-{STUDY}/0/no-kd", RESULTS)["comparison"] is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "foo",
            r"there is no table 'foo' in results/small/tables; the nearest are .*; "
            r"`cch explain --results results/small` lists all; a cell is table/row/column$",
        ),
        ("table14/0/kd", r"there is no table 'table14' .*; the nearest are table1\d, "),
        ("table13", "names a table, and no cell of it; it has the rows|has"),
        ("table12/epochs/valeu", r"has no column 'valeu' in row 'epochs'; there are value$"),
        (
            "table13/9/kd",
            r"table13 has no such cell; the nearest are .*kd, .*; "
            r"`cch explain table13 --results results/small` lists all$",
        ),
        ("table13/0/kdd", r"table13 has no column 'kdd' in row '0'; the nearest are kd, no-kd, "),
    ],
)
def test_what_is_no_cell_is_one_short_line(tree, name, said):
    with pytest.raises(CchError, match=said) as error:
        explain(name, RESULTS)
    assert len(str(error.value)) < 500


def test_results_that_are_no_folder_or_empty(tree, tmp_path):
    with pytest.raises(CchError, match=r"^/nope: there is no such folder; --results names"):
        explain("table13/0/kd", "/nope")
    with pytest.raises(CchError, match="and no other; build one first"):
        explain("table13/0/kd", tmp_path)


def test_a_missing_file_is_named_with_the_command_that_makes_it_again(small_run, own_copy):
    own_copy(small_run())
    path = Path(f"{RESULTS}/runs/{STUDY}/teacher.h5")
    path.unlink()
    done = CliRunner().invoke(app, ["explain", "table13/0/difference", "--results", RESULTS])
    assert done.exit_code == 1
    assert "THE CHAIN IS BROKEN" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"make again what is missing: snakemake --cores 2 {path} --snakefile")
    # No overlay here puts results there.
    assert last.endswith("(with the --configfile of that run)")


# A full-scale run


RAW, OTHERS, LARGE = 400, 400, 3 * 2**30


@pytest.fixture
def large(tmp_path) -> Path:
    """Hundreds of raw files, runs of gigabytes (holes), and as many records of other chains."""
    folder = tmp_path / "results"
    code = {"digest": "0" * 64, "script": "s.py", "modules": [f"cch.m{i}" for i in range(40)]}
    about = {
        "format": "cch-record-1", "rule": "r", "params": {"spec": "{}"}, "code": code,
        "environment": {"digest": "1" * 64}, "started": "2026-11-25", "seconds": 1.0,
    }  # fmt: skip

    def write(name: str, inputs: dict[str, str], size: int, **facts) -> dict[str, str]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.truncate(size)
        digest = sha256_file(path) if size < LARGE else "a" * 64
        record = about | {"outputs": {name: digest}, "inputs": inputs} | facts
        write_json(f"{path}.record.json", record)
        return {name: digest}

    raw = {"bytes": 1000, "address": "https://x.org", "retrieved": "-", "published_addresses": []}
    sources: dict[str, str] = {}
    for number in range(RAW):
        sources |= write(f"resources/s/{number}.gz", {}, 1000, raw=raw)
    for number in range(OTHERS):
        write(f"results/other/{number}.h5", sources, 1000)
    data = write("results/datasets/d.h5", sources, LARGE)
    runs = [write(f"results/runs/s/{number}.h5", data, LARGE) for number in range(3)]
    behind = {name: digest for one in runs for name, digest in one.items()}
    member = {"kind": "run", "id": "i", "file": next(iter(behind)), "seed": 0, "value": 0.5}
    cells = {
        f"{row}/{column}": stored_cell(
            f"t/{row}/{column}", value=0.5, text="0.5", n=10, se=0.1, members=[member] * 10,
            inputs=[{"path": name, "sha256": digest} for name, digest in behind.items()],
        )
        for row in range(20)
        for column in range(60)
    }  # fmt: skip
    path = folder / "tables" / "t.json"
    write_json(path, stored_table("t", cells))
    record = about | {"outputs": {"results/tables/t.json": sha256_file(path)}, "inputs": behind}
    write_json(path.with_suffix(".record.json"), record)
    return folder


def test_a_full_scale_run_is_explained_in_under_two_seconds(large):
    """CPU time of the whole command, which a busy machine does not stretch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", "from cch.cli import main; main()", "explain", "t/3/4",
         "--results", str(large)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "the chain is whole; the bytes of 4 large files were not read" in done.stdout
    assert "3,072 MiB, bytes not read" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_only_the_records_of_the_chain_are_read_and_large_files_are_not(large, monkeypatch):
    read: list[str] = []
    for name in ("sha256_file", "read_record"):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda path, o=original: (read.append(str(path)), o(path))[1]
        )
    found = explain("t/3/4", large)
    assert found["unread"] == 4
    assert len(read) == 1 + 1 + RAW + RAW + 4  # the table, raw files, records of both and four more
    assert not any("/other/" in path or path.endswith(".h5") for path in read)


def test_a_large_file_is_read_where_that_is_asked(large, monkeypatch):
    monkeypatch.setattr(module, "READ_BYTES", 10)
    monkeypatch.setattr(module, "sha256_file", lambda path: "b" * 64)
    assert explain("t/3/4", large)["files"][0]["state"] == "as recorded"
    assert explain("t/3/4", large, full=True)["files"][0]["state"] == "changed"
