"""The audit of a real run, as a rule, and cells made anew, of every kind of file."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from cch.audit.recompute import recompute
from cch.audit.run import audit
from cch.tables.documents import Cell, read_document, table_documents
from checkout import copy_checkout, run_from
from harness import RESULTS

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

INCLUDE = 'include: "rules/audit.smk"'

# Made again, from files of these kinds, by tests/unit/test_recompute.py.
ELSEWHERE = {
    ("theory",),
    ("baseline", "information"),
    ("baseline", "student"),
    ("calibration", "information"),
}


@pytest.fixture
def run(finished, tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def test_a_finished_run_passes(finished, monkeypatch):
    monkeypatch.chdir(finished)
    done = audit(RESULTS)
    assert done.lines() == []
    assert done.lines(strict=True) == []
    assert done.counts["cells"] == done.counts["derived"]
    assert done.counts["raw files"] == 3
    assert done.counts["chains"] > done.counts["cells"] / 2


def test_the_rule_writes_what_was_looked_at_and_fails_where_something_is_wrong(run, tmp_path):
    checkout = copy_checkout(tmp_path / "checkout")
    snakefile = checkout / "workflow" / "Snakefile"
    text = snakefile.read_text(encoding="utf-8")
    if INCLUDE not in text:
        before = 'include: "rules/theory.smk"\n'
        snakefile.write_text(text.replace(before, f"{before}{INCLUDE}\n"), encoding="utf-8")
    done = run_from(checkout, run, f"{RESULTS}/audit.json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(Path(RESULTS, "audit.json").read_text(encoding="utf-8"))
    assert found["passed"]
    assert found["counts"]["cells"] > 100
    # The audit's own files have a record, and a second audit looks at them too.
    assert audit(RESULTS).lines() == []
    Path(RESULTS, "audit.json").unlink()
    path = Path(RESULTS, "runs", "synthetic", "teacher.h5")
    before = path.stat()
    path.write_bytes(path.read_bytes() + b"x")
    # With its old time, so that Snakemake sees nothing to do but the audit.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    failed = run_from(checkout, run, f"{RESULTS}/audit.json")
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert f"{RESULTS}/runs/synthetic/teacher.h5: its bytes are not those of its record" in said
    assert not Path(RESULTS, "audit.json").exists()


def rests_on(cell: Cell) -> tuple[str, ...]:
    """The kinds of files that a cell is made from: runs by role, any other file by its folder."""
    parts = (Path(item.path).relative_to(RESULTS).parts for item in cell.inputs)
    return tuple(sorted({Path(p[-1]).stem if p[0] == "runs" else p[0] for p in parts}))


def chosen(folder: Path) -> list[str]:
    """One cell with a value for each set of files that kinds of query rest on.

    Kinds of equal sets are made again by the same jobs, and a set that lies in another by some of
    them. Those in ``ELSEWHERE`` have a test already. The audit answers cells of every kind.
    """
    tables = [read_document(path) for path in table_documents(folder / RESULTS)]
    found: dict[tuple[str, ...], dict[str, Cell]] = defaultdict(dict)
    for table in tables:
        for cell in table.all_cells.values():
            if cell.value is not None:
                found[rests_on(cell)].setdefault(table.id, cell)
    assert set(found) >= ELSEWHERE
    largest = [
        some
        for key, some in found.items()
        if key not in ELSEWHERE and not any(set(key) < set(k) for k in found)
    ]
    cells: list[str] = []
    used: set[str] = set()
    # What few tables have comes first.
    for by_table in sorted(largest, key=len):
        table = next((name for name in by_table if name not in used), next(iter(by_table)))
        used.add(table)
        cells.append(by_table[table].id)
    return cells


def test_a_cell_of_every_kind_of_files_is_the_same_again(finished, monkeypatch):
    monkeypatch.chdir(finished)
    cells = chosen(finished)
    tables = {cell.partition("/")[0] for cell in cells}
    assert len(cells) == len(tables) > 2
    for cell in cells:
        done = recompute(cell, RESULTS)
        assert done.identical, (cell, done.lines())
