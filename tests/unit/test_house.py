"""Installation, targets and the files about the project, without network and without torch."""

import datetime
import os
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKE = shutil.which("make") or "make"


def script(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fake_python(path: Path, version: str, status: int, *otherwise: str) -> Path:
    """A program that answers as a Python of this version does when the Makefile checks it."""
    return script(path, f'[ "$1" = -c ] && echo {version} && exit {status}', *otherwise)


def environment(**changes: str) -> dict[str, str]:
    """The variables of a shell in which no make, pip or Python setting is made."""
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "PIP_", "PYTHON", "TORCH_INDEX", "VIRTUAL_ENV"))
    }
    return keep | changes


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The installation part of a fresh clone."""
    folder = tmp_path / "clone"
    (folder / "envs").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "envs/constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


# Installation


def make(
    checkout: Path, *arguments: str, fails: bool = False, **variables: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [MAKE, *arguments],
        cwd=checkout,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done


def refused(checkout: Path, target: str = "venv", **variables: str) -> str:
    """The line with which make refuses a Python, without make's own."""
    done = make(checkout, target, fails=True, **variables)
    assert done.stdout == ""
    line, of_make = done.stderr.splitlines()
    assert of_make.startswith("make: ***")
    assert line.startswith("cch needs Python 3.11 or 3.12 with venv and ensurepip")
    assert line.endswith("set PYTHON=/path/to/python3.11")
    assert not (checkout / ".venv").exists()
    return line


@pytest.mark.parametrize("target", ["demo", "test", "test-all", "lint", "format"])
def test_every_target_refuses_a_wrong_python(checkout, tmp_path, target):
    other = fake_python(tmp_path / "a folder" / "python3.13", "3.13.0", 1)
    assert f"{other} is 3.13.0" in refused(checkout, target, PYTHON=str(other))


def test_a_python_that_does_not_run_is_refused(checkout):
    assert "/no/such/python does not run" in refused(checkout, PYTHON="/no/such/python")


def test_pythons_on_path_that_will_not_do_are_named(checkout, tmp_path):
    script(tmp_path / "python3.11", "exit 127")  # as a pyenv shim does
    fake_python(tmp_path / "python3.12", "3.12.1", 1)  # without ensurepip
    fake_python(tmp_path / "python3", "3.13.0", 1)
    fake_python(tmp_path / "python", "2.7.18", 1)
    line = refused(checkout, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert "python3.12 is 3.12.1; python3 is 3.13.0; python is 2.7.18; " in line
    assert "python3.11 is" not in line


def test_the_first_supported_python_makes_the_environment(checkout, tmp_path):
    script(tmp_path / "python3.11", "exit 127")
    # What would make the environment fails, so that nothing is installed.
    fake_python(tmp_path / "python3.12", "3.12.1", 0, 'echo "called with $*"; exit 1')
    done = make(checkout, "venv", fails=True, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert "with Python 3.12.1" in done.stdout
    assert "called with -m venv --clear .venv" in done.stdout


def test_a_finished_installation_is_kept_until_its_inputs_change_or_it_is_moved(checkout):
    stamp = checkout / ".venv" / ".stamp"
    stamp.parent.mkdir()
    stamp.write_text(f"{checkout}\n")

    def installs(folder):
        return "-m venv" in make(folder, "--dry-run", "venv").stdout

    assert not installs(checkout)
    for name in ("envs/constraints.txt", "pyproject.toml"):
        now = stamp.stat().st_mtime
        os.utime(checkout / name, (now + 10, now + 10))
        assert installs(checkout)
        os.utime(checkout / name, (now - 10, now - 10))
        assert not installs(checkout)
    moved = checkout.rename(checkout.with_name("moved"))
    assert installs(moved)
    (moved / ".venv" / ".stamp").unlink()  # as an interrupted installation leaves it
    assert installs(moved)


def test_make_alone_lists_the_targets(checkout):
    listed = make(checkout).stdout
    for target in ("demo", "test", "test-all", "lint", "format", "venv", "clean"):
        assert f"make {target} " in listed
    assert not (checkout / ".venv").exists()


# CI


def test_ci_is_valid_bash_and_runs_lint_the_demo_and_both_tiers():
    text = (ROOT / ".ci" / "run").read_text()
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
    assert "\nset -euo pipefail\n" in text
    for target in ("lint", "demo", "test", "test-all"):
        assert f"alone make {target}" in text or f"as_stranger make {target}\n" in text


def test_ci_can_be_executed():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# Licence, citation, catalogue


def test_the_licence_is_mit_everywhere():
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith("MIT License\n\nCopyright (c) 2026 ")
    assert "without restriction" in text
    assert PROJECT["license"] == "MIT"
    assert PROJECT["license-files"] == ["LICENSE"]
    assert citation()["license"] == "MIT"


def citation() -> dict:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_names_this_version_and_the_paper():
    record = citation()
    assert record["cff-version"] == "1.2.0"
    assert record["version"] == PROJECT["version"]
    assert datetime.date.fromisoformat(record["date-released"]) <= datetime.date.today()
    assert record["title"]
    assert record["message"]
    assert record["authors"]
    (paper,) = record["references"]
    assert paper["url"] == "https://arxiv.org/abs/2510.13182"
    assert [author["family-names"] for author in paper["authors"]] == ["Xie", "Xu", "Sanguinetti"]


def test_the_catalogue_promises_what_the_rules_have():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    rules = "\n".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    deployment = usage["software-stack-deployment"]
    assert deployment["conda"] == ("    conda:\n" in rules)
    assert deployment["apptainer"] == ("    container:\n" in rules)
    assert deployment["apptainer+conda"] == (deployment["conda"] and deployment["apptainer"])
    assert usage["report"] == ("report(" in rules)
    assert usage["mandatory-flags"]["flags"] == []


def test_every_script_names_itself():
    """A script's ``__file__`` is an address where the workflow is a remote module."""
    for path in (ROOT / "workflow" / "scripts").glob("*.py"):
        assert f'stage(snakemake, "{path.stem}")' in path.read_text(encoding="utf-8")
