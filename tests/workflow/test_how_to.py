"""The how-to for one's own cohort, followed literally: its own commands, its own configuration."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import copy_checkout
from harness import environment
from support import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

PAGE = ROOT / "docs" / "how-to-own-cohort.md"


def blocks(language: str) -> list[str]:
    """The code blocks of the page in a language; the commands have none."""
    text = PAGE.read_text(encoding="utf-8")
    every = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for tag, block in every if tag == language]


def run(command: str, folder: Path, fails: bool = False) -> str:
    """Run a command of the page; this test's Python stands for the one in .venv."""
    command = command.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(PYTHONPATH=str(folder / "src")),
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_page_leads_from_two_files_to_the_right_verdict(tmp_path):
    folder = copy_checkout(tmp_path / "checkout")
    write_files, start = blocks("")
    (configuration,) = blocks("yaml")
    (folder / "mine.yaml").write_text(configuration, encoding="utf-8")
    run(write_files, folder)
    run(start, folder)
    table = json.loads((folder / "results/mine/tables/criterion-mine.json").read_text())
    # The modalities share four dimensions beside the class, and much more than H(label).
    assert table["cells"]["0/verdict"]["value"] == "holds"
    assert table["cells"]["0/margin"]["value"] > 0
    for named in re.findall(r"`(results/mine/\S+?)`", PAGE.read_text(encoding="utf-8")):
        assert (folder / named).exists(), named
    explained = re.search(r"`\.venv/bin/cch (explain [^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert explained
    said = run(f".venv/bin/cch {explained[1]}", folder)
    assert "mine/rna.csv" in said and "of 60 features by mrmr" in said
    check = ".venv/bin/cch audit --results results/mine"
    run(check, folder)
    # One's own file may go away, for what was taken in is kept; but not change, or be asked for.
    rna = folder / "mine" / "rna.csv"
    content = rna.read_text()
    rna.write_text(content + "\n")
    assert "mine/rna.csv: is not the file any more" in run(check, folder, fails=True)
    rna.unlink()
    run(check, folder)
    said = run(f"{start.strip()} -n", folder, fails=True)
    assert "cch: mine/rna.csv: there is no such file" in said
    assert "Traceback" not in said
