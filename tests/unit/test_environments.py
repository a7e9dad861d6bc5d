"""One list of versions: the constraints, what is installed and the conda files agree."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = ("3.11", "3.12")
CONDA_FILES = ("cch.yaml", "cch-gpu.yaml")

# conda's names where they are not those of the Python package index.
CONDA_NAMES = {
    "matplotlib": "matplotlib-base",
    "mrmr-selection": "mrmr_selection",
    "seaborn": "seaborn-base",
    "snakemake": "snakemake-minimal",
    "torch": "pytorch",
}
ONLY_PIP = {"latentmi"}


def constraint_lines() -> list[str]:
    text = (ENVS / "constraints.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins() -> dict[str, Version]:
    return {name: Version(version) for name, version in (x.split("==") for x in constraint_lines())}


def direct() -> list[Requirement]:
    """The project's own dependencies, with what development and building take."""
    project = PROJECT["project"]
    lines = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *PROJECT["build-system"]["requires"],
    ]
    return [Requirement(line) for line in lines]


def applies(requirement: Requirement, extra: str, python: str, system: str) -> bool:
    environment = {
        "extra": extra,
        "python_version": python,
        "python_full_version": f"{python}.4",
        "sys_platform": system.lower(),
        "platform_system": system,
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)


def needs(requirement: Requirement, python: str, system: str = "Linux") -> Iterator[Requirement]:
    """What an installed package needs on a Python and system, for the extras that are asked."""
    for line in importlib.metadata.requires(requirement.name) or []:
        needed = Requirement(line)
        if any(applies(needed, extra, python, system) for extra in ("", *requirement.extras)):
            yield needed


def closure(python: str, system: str = "Linux") -> dict[str, list[Requirement]]:
    """All that an installation takes, by name, each with every requirement made of it."""
    found: dict[str, list[Requirement]] = {}
    todo = direct()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        seen = found.setdefault(name, [])
        if str(requirement) in map(str, seen):
            continue
        seen.append(requirement)
        if is_installed(name):
            todo += needs(requirement, python, system)
    return found


def is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def conda_file(file: str) -> tuple[dict, dict[str, str], list[str]]:
    """A conda file: whole, the version of every package from conda, and pip's lines."""
    document = yaml.safe_load((ENVS / file).read_text())
    packages = {}
    pip_lines: list[str] = []
    for entry in document["dependencies"]:
        if isinstance(entry, dict):
            pip_lines += entry["pip"]
        else:
            name, _, version = entry.partition(" ")
            packages[name] = version
    return document, packages, pip_lines


def test_every_line_pins_one_version_of_a_package_in_its_normal_name():
    for line in constraint_lines():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line
    names = [line.split("==")[0] for line in constraint_lines()]
    assert len(names) == len(set(names))
    assert names == [canonicalize_name(name) for name in names]


def test_every_dependency_of_the_project_is_pinned_within_its_range():
    assert len(direct()) > 20
    for requirement in direct():
        name = canonicalize_name(requirement.name)
        assert pins()[name] in requirement.specifier, requirement


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_everything_that_an_installation_takes_is_pinned_within_all_ranges(python, system):
    found = closure(python, system)
    assert len(found) > 90, "the walk reaches packages that only others need"
    pinned = pins()
    assert sorted(set(found) - set(pinned)) == []
    for name, requirements in found.items():
        for requirement in requirements:
            assert requirement.specifier.contains(pinned[name], prereleases=True), requirement


def test_nothing_is_pinned_that_no_installation_takes():
    with_cuda = {
        name for name in pins() if name.startswith(("cuda-", "nvidia-")) or name == "triton"
    }
    needed = set(closure("3.11")) | set(closure("3.12"))
    assert sorted(set(pins()) - needed - with_cuda) == []


def test_installed_versions_are_the_pinned_ones():
    pinned = pins()
    # The public part: 2.13.0+cpu and 2.13.0+cu130 are builds of 2.13.0.
    wrong = {
        name: importlib.metadata.version(name)
        for name in closure(PYTHONS[0])
        if Version(importlib.metadata.version(name)).public != str(pinned[name])
    }
    assert wrong == {}, "run `make venv`: installed versions are not those of constraints.txt"


@pytest.mark.parametrize("python", PYTHONS)
def test_every_pinned_version_supports_the_python(python):
    for name in closure(python):
        metadata = importlib.metadata.metadata(name)
        supported = SpecifierSet(metadata.get("Requires-Python") or "")
        assert f"{python}.4" in supported, name


@pytest.mark.parametrize("file", CONDA_FILES)
def test_conda_installs_the_pinned_versions(file):
    _, packages, pip_lines = conda_file(file)
    theirs = {mine: name for name, mine in CONDA_NAMES.items()}
    theirs["pytorch-gpu"] = "torch"
    pinned = pins()
    for name, version in packages.items():
        if name not in ("python", "pip"):
            assert version == f"=={pinned[theirs.get(name, name)]}", name
    assert pip_lines == [f"{name}=={pinned[name]}" for name in sorted(ONLY_PIP)]


@pytest.mark.parametrize("file", CONDA_FILES)
def test_conda_has_every_dependency_of_the_project(file):
    _, packages, pip_lines = conda_file(file)
    names = {"pytorch" if name == "pytorch-gpu" else name for name in packages}
    from_pip = {line.split("==")[0] for line in pip_lines}
    for requirement in direct():
        name = canonicalize_name(requirement.name)
        assert name in from_pip or CONDA_NAMES.get(name, name) in names, name


def test_pip_finds_all_that_its_packages_need_already_there():
    # Otherwise pip, inside conda's environment, would fetch versions that nothing pins.
    _, packages, _ = conda_file("cch.yaml")
    for name in ONLY_PIP:
        for requirement in needs(Requirement(name), "3.11"):
            needed = canonicalize_name(requirement.name)
            assert CONDA_NAMES.get(needed, needed) in packages, f"{name} needs {needed}"


@pytest.mark.parametrize("file", CONDA_FILES)
def test_conda_takes_only_community_channels_and_the_pythons_of_the_project(file):
    document, packages, _ = conda_file(file)
    assert document["channels"] == ["conda-forge", "bioconda", "nodefaults"]
    assert SpecifierSet(packages["python"]) == SpecifierSet(PROJECT["project"]["requires-python"])


def test_the_conda_files_differ_in_name_and_torch_only():
    plain, gpu = (conda_file(file)[0] for file in CONDA_FILES)
    assert (plain.pop("name"), gpu.pop("name")) == ("cch", "cch-gpu")
    assert any(str(entry).startswith("pytorch-gpu ") for entry in gpu["dependencies"])
    for document in (plain, gpu):
        document["dependencies"] = sorted(
            str(entry).replace("pytorch-gpu", "pytorch") for entry in document["dependencies"]
        )
    assert gpu == plain
