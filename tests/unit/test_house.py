"""Installation, targets and the files about the project, without network and without torch."""

import datetime
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SH = shutil.which("sh") or "/bin/sh"
MAKE = shutil.which("make") or "make"
# The interpreter beneath the environment that the tests run in.
BASE_PYTHON = os.path.realpath(sys.executable)


def script(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fake_python(path: Path, version: str, environments: bool = True) -> Path:
    """A program that answers as a Python of this version does to envs/find-python."""
    return script(path, f"echo {version}", f"echo {path}" if environments else "exit 1")


def environment(**changes: str) -> dict[str, str]:
    """The variables of a shell in which no make, pip or Python setting is made."""
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "PIP_", "PYTHON", "TORCH_INDEX", "VIRTUAL_ENV"))
    }
    return keep | changes


def copy_checkout(parent: Path) -> Path:
    """The installation part of a fresh clone."""
    folder = parent / "a clone"
    (folder / "envs").mkdir(parents=True)
    for name in ("Makefile", "envs/find-python", "envs/install.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path)


# Which Python


def find_python(checkout: Path, *folders: Path, **variables: str) -> subprocess.CompletedProcess:
    path = ":".join(map(str, folders))
    return subprocess.run(
        [SH, "envs/find-python"],
        cwd=checkout,
        env={"PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def the_line(result: subprocess.CompletedProcess) -> str:
    assert result.returncode != 0
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3", "python"])
@pytest.mark.parametrize("version", ["3.11.0", "3.12.7"])
def test_a_supported_python_is_found_under_every_usual_name(checkout, tmp_path, name, version):
    python = fake_python(tmp_path / "bin dir" / name, version)
    assert find_python(checkout, tmp_path / "bin dir").stdout == f"{python}\n"


def test_a_shim_that_fails_is_passed_over(checkout, tmp_path):
    script(tmp_path / "shims" / "python3.11", "echo 'not active' >&2", "exit 127")
    python = fake_python(tmp_path / "bin" / "python3.11", "3.11.2")
    assert find_python(checkout, tmp_path / "shims", tmp_path / "bin").stdout == f"{python}\n"


def test_the_python_that_made_the_environment_is_kept(checkout, tmp_path):
    fake_python(tmp_path / "python3.11", "3.11.2")
    made_by = fake_python(checkout / ".venv" / "bin" / "python", "3.12.1")
    assert find_python(checkout, tmp_path).stdout.endswith(f"{made_by.relative_to(checkout)}\n")
    made_by.unlink()
    assert find_python(checkout, tmp_path).stdout == f"{tmp_path}/python3.11\n"


def test_other_pythons_get_one_line_that_names_them(checkout, tmp_path):
    fake_python(tmp_path / "python3", "3.13.0")
    fake_python(tmp_path / "python", "2.7.18")
    assert the_line(find_python(checkout, tmp_path)) == (
        f"cch needs Python 3.11 or 3.12; found 3.13.0 ({tmp_path}/python3), "
        f"2.7.18 ({tmp_path}/python); set PYTHON=/path/to/python3.11\n"
    )


def test_no_python_gets_one_line(checkout, tmp_path):
    assert "needs Python 3.11 or 3.12; found none on PATH" in the_line(
        find_python(checkout, tmp_path)
    )


def test_the_callers_choice_wins_even_when_it_is_wrong(checkout, tmp_path):
    fake_python(tmp_path / "python3.11", "3.11.2")
    chosen = fake_python(tmp_path / "mine" / "python", "3.12.1")
    assert find_python(checkout, tmp_path, PYTHON=str(chosen)).stdout == f"{chosen}\n"
    other = fake_python(tmp_path / "mine" / "other", "3.13.0")
    line = the_line(find_python(checkout, tmp_path, PYTHON=str(other)))
    assert f"PYTHON is 3.13.0 ({other})" in line
    line = the_line(find_python(checkout, tmp_path, PYTHON="/no/such/python"))
    assert "PYTHON=/no/such/python does not run" in line


def test_a_python_without_venv_is_named_with_what_to_install(checkout, tmp_path):
    bare = fake_python(tmp_path / "python3.11", "3.11.2", environments=False)
    line = the_line(find_python(checkout, tmp_path))
    assert str(bare) in line
    assert "python3.11-venv" in line
    complete = fake_python(tmp_path / "python3", "3.12.3")
    assert find_python(checkout, tmp_path).stdout == f"{complete}\n"


def test_real_pythons_are_understood(checkout):
    assert find_python(checkout, PYTHON=sys.executable).stdout == f"{BASE_PYTHON}\n"


# The environment

# Builds the toy project: an empty wheel that the test wrote. The files that it looks for let a test
# hold it in the middle or break it.
BACKEND = """
import os, pathlib, shutil, sys, time

def build_editable(folder, config_settings=None, metadata_directory=None):
    pathlib.Path("building").touch()
    while os.path.exists("hold"):
        time.sleep(0.05)
    if os.path.exists("break"):
        sys.exit("the build broke here")
    return shutil.copy("../wheels/toy-1.0-py3-none-any.whl", folder).rpartition("/")[2]

build_wheel = None
"""


def write_wheel(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"__version__ = {version!r}")
        wheel.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: dev\n",
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


class Toy:
    """A checkout whose packages are empty wheels in a folder, installed by the real machinery."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder.parent / "wheels"
        write_wheel(self.wheels, "setuptools", "999.0")
        write_wheel(self.wheels, "toy", "1.0")
        for version in ("1.0", "2.0"):
            write_wheel(self.wheels, "torch", version)
        self.pin("1.0")
        (folder / "backend.py").write_text(BACKEND)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )

    def pin(self, torch: str) -> None:
        self.torch = torch
        path = self.folder / "envs" / "constraints.txt"
        path.write_text(f"setuptools==999.0\ntorch=={torch}\n")

    def edit_project(self) -> None:
        with (self.folder / "pyproject.toml").open("a") as file:
            file.write("# another line\n")

    def environment(self, **changes: str) -> dict[str, str]:
        settings = {
            "PYTHON": BASE_PYTHON,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": os.devnull,
        }
        return environment(**settings | changes)

    def make(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [MAKE, *arguments],
            cwd=self.folder,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self) -> subprocess.Popen:
        """Start an installation that holds in the middle of pip, and wait until it is there."""
        (self.folder / "hold").touch()
        (self.folder / "building").unlink(missing_ok=True)
        process = subprocess.Popen(
            [MAKE, "venv"],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        while not (self.folder / "building").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        return process

    def release(self) -> None:
        (self.folder / "hold").unlink()

    def stamp(self) -> dict[str, str]:
        """What the environment says it was made from; nothing if it was not finished."""
        path = self.folder / ".venv" / "cch-install.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def installed(self, module: str) -> str:
        python = self.folder / ".venv" / "bin" / "python"
        code = f"import {module}; print({module}.__version__)"
        return subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()


@pytest.fixture
def toy(checkout: Path) -> Toy:
    return Toy(checkout)


@pytest.fixture(scope="module")
def shared_toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return Toy(copy_checkout(tmp_path_factory.mktemp("toy")))


@pytest.fixture
def ready(shared_toy: Toy) -> Toy:
    """A toy whose environment is ready. To make one takes seconds, so tests share it."""
    result = shared_toy.make("venv", HOME=str(shared_toy.folder / "no home"))
    assert result.returncode == 0, result.stdout + result.stderr
    return shared_toy


def test_a_fresh_clone_gets_the_pinned_versions_and_the_project(ready):
    assert (ready.installed("torch"), ready.installed("setuptools")) == (ready.torch, "999.0")
    assert ready.installed("toy") == "1.0"


def test_an_environment_that_is_ready_is_left_as_it_is(ready):
    again = ready.make("venv", PIP_FIND_LINKS="/nowhere")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_another_pyproject_is_installed_in_place(ready):
    kept = ready.folder / ".venv" / "kept.txt"
    kept.touch()
    ready.edit_project()
    assert "installing" in ready.make("venv").stdout
    assert kept.exists()
    assert ready.make("venv").stdout == ""


def test_a_second_make_waits_for_the_first_and_has_nothing_left_to_do(ready):
    ready.edit_project()
    process = ready.start()
    with subprocess.Popen(
        [MAKE, "venv"], cwd=ready.folder, env=ready.environment(), stdout=subprocess.PIPE, text=True
    ) as second:
        assert "waiting for another installation" in second.stdout.readline()
        ready.release()
        assert second.stdout.read() == ""
    process.communicate()
    assert (process.returncode, second.returncode) == (0, 0)


def test_other_versions_make_the_environment_anew(ready):
    stale = ready.folder / ".venv" / "stale.txt"
    stale.touch()
    ready.pin("2.0")
    result = ready.make("venv")
    assert "minutes" in result.stdout
    assert ready.installed("torch") == "2.0"
    assert not stale.exists()


def test_an_installation_that_was_killed_is_made_anew(toy):
    process = toy.start()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert toy.stamp() == {}
    half = toy.folder / ".venv" / "lib" / "half-written.py"
    half.touch()
    toy.release()
    again = toy.make("venv")
    assert again.returncode == 0, again.stdout + again.stderr
    assert not half.exists()
    assert toy.installed("toy") == "1.0"


def test_a_step_that_fails_shows_its_end_and_what_to_do_and_is_not_taken_for_done(ready):
    ready.edit_project()
    (ready.folder / "break").touch()
    failed = ready.make("demo")
    (ready.folder / "break").unlink()
    assert failed.returncode != 0
    assert "the build broke here" in failed.stderr
    assert "cch: installing everything else failed" in failed.stderr
    assert "run make again" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert ready.stamp() == {}


def test_torch_comes_from_the_index_that_is_named_and_stays_with_it(toy):
    page = toy.folder.parent / "index" / "torch"
    page.mkdir(parents=True)
    write_wheel(page, "torch", "1.0+cpu")
    (page / "index.html").write_text('<a href="torch-1.0%2Bcpu-py3-none-any.whl">torch</a>')
    named = page.parent.as_uri()
    # PIP_NO_INDEX would switch off this index as well.
    result = toy.make("venv", TORCH_INDEX=named, PIP_NO_INDEX="0", PIP_INDEX_URL=named)
    assert result.returncode == 0, result.stdout + result.stderr
    assert toy.installed("torch") == "1.0+cpu"
    assert toy.make("venv").stdout == ""
    assert toy.stamp()["torch_index"] == named


def test_an_environment_that_somebody_else_made_is_left_alone(toy):
    theirs = toy.folder / ".venv" / "pyvenv.cfg"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    result = toy.make("venv")
    assert result.returncode != 0
    assert ".venv: this environment was not made by make" in result.stderr
    assert theirs.read_text() == "mine"
    assert toy.make("clean").returncode == 0
    assert not theirs.exists()


@pytest.mark.parametrize("target", ["demo", "test", "lint", "format"])
def test_every_target_says_first_that_the_python_is_wrong(checkout, tmp_path, target):
    other = fake_python(tmp_path / "python3.13", "3.13.0")
    result = subprocess.run(
        [MAKE, target],
        cwd=checkout,
        env=environment(PYTHON=str(other)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert result.stdout == ""
    assert result.stderr.startswith("cch needs Python 3.11 or 3.12; PYTHON is 3.13.0")
    assert not (checkout / ".venv").exists()


def test_make_alone_lists_the_targets(checkout):
    listed = subprocess.run(
        [MAKE], cwd=checkout, env=environment(), capture_output=True, text=True, check=True
    ).stdout
    for target in ("demo", "test", "lint", "format", "clean"):
        assert f"make {target} " in listed
    assert not (checkout / ".venv").exists()


# CI


@pytest.mark.parametrize("bad", ["", "lint", "test"])
def test_ci_lints_then_tests_and_fails_with_either(tmp_path, bad):
    checkout = tmp_path / "clone"
    for name in (".ci/run", "envs/find-python"):
        (checkout / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, checkout / name)
    script(tmp_path / "bin" / "make", 'echo "make $1"', f'[ "$1" != "{bad}" ]')
    result = subprocess.run(
        ["bash", ".ci/run"],
        cwd=checkout,
        env=environment(PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}", PYTHON=BASE_PYTHON),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    ran = ["make lint"] if bad == "lint" else ["make lint", "make test"]
    assert result.stdout.splitlines() == ran
    assert (result.returncode == 0) == (not bad)


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
