"""What a user reads when something is wrong: one line, no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sklearn.datasets

from cch.base.errors import CchError
from cch.config import read
from cch.workflow.planning import Plan
from harness import snakemake, write_config
from support import ROOT

BY_HAND = {"datasets": {"mnistm-a18": {"photographs": "bsds500-images"}}}
RAW = "resources/bsds500-images/bsds500-images.tar"


def plan(folder: Path, change: dict[str, Any] | None = None) -> Plan:
    """The plan of the tiny configuration with a change, as the Snakefile makes it."""
    return Plan(read([write_config(folder, change)]), ROOT)


def refused(call: Callable[[], object]) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(CchError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def last_line(done) -> str:
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.strip()][-1]


# What the library says, which the Snakefile prints after `cch: `


def test_an_unknown_target_names_the_nearest(tmp_path):
    line = refused(lambda: plan(tmp_path).check_target("brcaa"))
    assert line.startswith("target 'brcaa'")
    assert "the nearest are brca, " in line
    assert line.endswith("`cch targets [--configfile FILE]` lists all")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"studies": {"synthetic": {"seedz": 3}}}, "studies.synthetic.seedz: there is no such key"),
        ({"compute": {"threads": "two"}}, "compute.threads: Input should be a valid integer"),
        ({"datasets": {"mnistm-a20": {"digits": "svhn"}}}, "there is no source 'svhn'"),
        ({"sources": "nowhere.yaml"}, "nowhere.yaml"),
        ({"studies": {"synthtic": None}}, "tiny.yaml: studies.synthtic: null takes away a study"),
    ],
)
def test_a_wrong_configuration_is_one_line(tmp_path, change, expected):
    assert expected in refused(lambda: plan(tmp_path, change))


def test_a_study_whose_file_must_be_placed_by_hand_is_left_out_of_all(tmp_path):
    found = plan(tmp_path, BY_HAND)
    assert found.unavailable("mnistm-a18").startswith("bsds500-images/bsds500-images.tar")
    assert not found.unavailable("mnistm-a20")
    wanted = {Path(path).name for path in found.everything()}
    assert "sweep-mnistm-a20.json" in wanted
    assert "sweep-mnistm-a18.json" not in wanted


@pytest.mark.parametrize("target", ["mnistm-a18", "table13"])
def test_a_target_that_needs_a_file_placed_by_hand_has_its_steps(tmp_path, target):
    first, *steps = plan(tmp_path, BY_HAND).by_hand(target)
    assert first == f"{target} needs a file that has to be placed by hand: {RAW}"
    assert steps[0].startswith("  1. git clone")


# The same from Snakemake's command line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "change", "expected"),
    [
        (["brcaa"], {}, "target 'brcaa'"),
        ([], {"compute": {"threads": "two"}}, "compute.threads: Input should be a valid integer"),
        ([], {"studies": {"synthtic": None}}, "studies.synthtic: null takes away a study"),
    ],
    ids=["target", "value", "overlay"],
)
def test_snakemake_ends_with_the_line(tmp_path, arguments, change, expected):
    write_config(tmp_path, change)
    line = last_line(snakemake(tmp_path, "-n", *arguments, fails=True))
    assert line.startswith("cch: ")
    assert expected in line


@pytest.mark.slow
def test_a_dry_run_says_what_is_left_out_and_prints_the_steps(tmp_path):
    write_config(tmp_path, BY_HAND)
    out = "cch: mnistm-a18 is left out of `all`: bsds500-images/bsds500-images.tar"
    assert out in snakemake(tmp_path, "-n", "all").stderr
    said = snakemake(tmp_path, "-n", "table13").stderr
    assert out not in said
    assert f"cch: table13 needs a file that has to be placed by hand: {RAW}" in said
    assert "  1. git clone" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "quiet"),
    [("table13", ()), (RAW, ("--quiet", "rules")), (RAW, ("--quiet", "all"))],
    ids=["loud", "quiet", "silent"],
)
def test_what_failed_is_said_in_one_line_however_quiet(tmp_path, target, quiet):
    write_config(tmp_path, BY_HAND)
    done = snakemake(tmp_path, target, *quiet, fails=True)
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("cch: fetch_raw of"))
    assert "get it like this (steps in the log); log: results/tiny/logs/fetch/" in line
    assert "Traceback" not in done.stdout + done.stderr
    if not quiet:
        assert "git clone" in done.stdout + done.stderr
    assert not (tmp_path / RAW).exists()


@pytest.mark.slow
def test_a_raw_file_placed_by_hand_is_taken_in_and_then_held_to(tmp_path):
    content = (Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz").read_bytes()
    write_config(tmp_path)
    placed = tmp_path / "resources" / "digits" / "digits.csv.gz"
    placed.parent.mkdir(parents=True)
    placed.write_bytes(content)
    dataset = "results/tiny/datasets/mnistm-a18.h5"
    snakemake(tmp_path, dataset)
    record = json.loads((placed.parent / "digits.csv.gz.record.json").read_text())
    assert record["raw"]["address"] == "found in place"

    (tmp_path / dataset).unlink()
    placed.write_bytes(content[:-1])
    done = snakemake(tmp_path, dataset, fails=True)
    text = done.stdout + done.stderr
    assert "resources/digits/digits.csv.gz: has changed since it was fetched" in text
    assert "Traceback" not in text
    assert not (tmp_path / dataset).exists()
