"""The workflow as a Snakemake module, in another folder with a configuration of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import copy_checkout
from harness import environment
from support import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CCH = ("-c", "from cch.cli import main; main()")
SNAKEMAKE = ("-m", "snakemake", "--cores", "2")
SNAKEFILE = """
configfile: "config/config.yaml"

module cch:
    snakefile:
        "{address}"
    config:
        config

use rule * from cch as cch_*

rule summary:
    input:
        rules.cch_theory.input,
        "results/tables/sweep-sample.json",
    output:
        "summary.txt",
    shell:
        "wc -c {{input}} > {{output}}"
"""


def call(folder: Path, library: Path, *words: str, fails: bool = False) -> str:
    """Run Python in ``folder`` with the library of ``library``; return what it prints."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=str(library)),
        timeout=1800,
        check=False,
    )
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, said
    return said


def write_project(folder: Path, address: str) -> Path:
    """Write what Snakedeploy would, with a prefix and a rule of the user's own."""
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "Snakefile").write_text(SNAKEFILE.format(address=address), encoding="utf-8")
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git in ``folder`` as a made-up person."""
    person = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    done = subprocess.run(
        ["git", *person, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Iterator[tuple[str, Path, str]]:
    """A repository, the library that pip installs from its commit, and that commit."""
    folder = tmp_path_factory.mktemp("deployed")
    repository, library = copy_checkout(folder / "repository"), folder / "library"
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, repository / name)
    git(repository, "init", "--quiet")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "all")
    commit = git(repository, "rev-parse", "HEAD")
    alone = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    source = f"git+file://{repository}@{commit}"
    call(folder, library, "-m", "pip", "install", *alone, "--target", str(library), source)
    yield f"git+file://{repository}/workflow/Snakefile@{commit}", library, commit


def check_results(folder: Path, library: Path) -> None:
    """The results pass the audit, and a cell leads back to its generator."""
    assert (folder / "summary.txt").is_file()
    call(folder, library, *CCH, "audit", "--strict")
    said = call(folder, library, *CCH, "explain", "sweep-sample/0.7/difference-t1-w0.3")
    assert "generator synthetic" in said


def test_from_a_local_path(tmp_path):
    folder = write_project(tmp_path, str(ROOT / "workflow" / "Snakefile"))
    call(folder, ROOT / "src", *SNAKEMAKE, "summary", "cch_sample")
    check_results(folder, ROOT / "src")
    again = call(folder, ROOT / "src", *SNAKEMAKE, "cch_sample", "cch_theory")
    assert "Nothing to be done" in again


def test_from_a_git_address_with_the_library_installed(tmp_path, installed):
    address, library, commit = installed
    folder = write_project(tmp_path, address)
    call(folder, library, *SNAKEMAKE, "summary")
    check_results(folder, library)
    record = json.loads((folder / "results/runs/sample/student.record.json").read_text())
    assert record["rule"] == "train"
    assert (record["code"]["commit"], record["code"]["dirty"]) == (commit, False)


def test_rules_of_another_commit_than_the_library_are_refused(tmp_path, installed):
    address, library, _ = installed
    edited = tmp_path / "edited"
    shutil.copytree(library, edited)
    rules = edited / "cch" / "share" / "workflow" / "rules" / "train.smk"
    rules.write_text(rules.read_text().replace("runs=", "others="))
    folder = write_project(tmp_path / "project", address)
    said = call(folder, edited, *SNAKEMAKE, "-n", "cch_sample", fails=True)
    assert "cch: workflow/rules/train.smk: is of another commit than the installed" in said
    assert "Traceback" not in said
