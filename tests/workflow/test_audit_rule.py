"""The audit of a real run, as a rule, and a cell of each kind of query made anew."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from cch.audit.recompute import recompute
from cch.audit.run import audit
from cch.tables.documents import read_document, table_documents
from checkout import copy_checkout, run_from
from harness import RESULTS

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

INCLUDE = 'include: "rules/audit.smk"'


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


def chosen(folder: Path) -> list[str]:
    """One cell with a value of each kind of query, of as many tables as there are kinds."""
    tables = {path: read_document(path) for path in table_documents(folder / RESULTS)}
    kinds: dict[str, dict[Path, str]] = defaultdict(dict)
    for path, table in tables.items():
        for cell in table.all_cells.values():
            if cell.value is not None:
                kinds[cell.query["kind"]].setdefault(path, cell.id)
    found: list[str] = []
    used: set[Path] = set()
    # What few tables have comes first.
    for cells in sorted(kinds.values(), key=len):
        path = next((path for path in cells if path not in used), next(iter(cells)))
        used.add(path)
        found.append(cells[path])
    return found


def test_a_cell_of_every_kind_is_the_same_again(finished, monkeypatch):
    monkeypatch.chdir(finished)
    cells = chosen(finished)
    tables = {cell.partition("/")[0] for cell in cells}
    assert len(cells) > 15 and len(tables) > 10
    for cell in cells:
        done = recompute(cell, RESULTS)
        assert done.identical, (cell, done.lines())
