"""What a user reads when something is wrong: one line, no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sklearn.datasets

from harness import snakemake, write_config

pytestmark = pytest.mark.workflow


def last_line(done) -> str:
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.strip()][-1]


def test_an_unknown_target_lists_what_there_is(tmp_path):
    write_config(tmp_path)
    done = snakemake(tmp_path, "-n", "brcaa", fails=True)
    line = last_line(done)
    assert line.startswith("cch: target 'brcaa'")
    assert "mnistm-a20" in line
    assert "table13" in line


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
    write_config(tmp_path, change)
    done = snakemake(tmp_path, "-n", fails=True)
    line = last_line(done)
    assert line.startswith("cch: ")
    assert expected in line


def test_a_study_whose_file_must_be_placed_by_hand_is_left_out_of_all(tmp_path):
    write_config(tmp_path, {"datasets": {"mnistm-a18": {"photographs": "bsds500-images"}}})
    done = snakemake(tmp_path, "-n")
    text = done.stdout + done.stderr
    assert "cch: mnistm-a18 is left out of `all`: bsds500-images/bsds500-images.tar" in text
    assert "sweep-mnistm-a20.json" in text
    assert "sweep-mnistm-a18.json" not in text


def test_asking_for_it_by_name_prints_the_steps(tmp_path):
    write_config(tmp_path, {"datasets": {"mnistm-a18": {"photographs": "bsds500-images"}}})
    done = snakemake(tmp_path, "table13", fails=True)
    text = done.stdout + done.stderr
    assert "git clone" in text
    assert "resources/bsds500-images/bsds500-images.tar" in text
    assert "Traceback" not in text
    assert not (tmp_path / "resources" / "bsds500-images" / "bsds500-images.tar").exists()


@pytest.mark.parametrize("quiet", [(), ("--quiet", "rules"), ("--quiet", "all")])
def test_what_failed_is_said_in_one_line_however_quiet(tmp_path, quiet):
    write_config(tmp_path, {"datasets": {"mnistm-a18": {"photographs": "bsds500-images"}}})
    raw = "resources/bsds500-images/bsds500-images.tar"
    done = snakemake(tmp_path, raw, *quiet, fails=True)
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("cch: fetch_raw of"))
    assert "get it like this (steps in the log); log: results/tiny/logs/fetch/" in line


@pytest.mark.parametrize("target", ["mnistm-a18", "table13"])
def test_a_dry_run_prints_the_steps_too(tmp_path, target):
    write_config(tmp_path, {"datasets": {"mnistm-a18": {"photographs": "bsds500-images"}}})
    said = snakemake(tmp_path, "-n", target).stderr
    path = "resources/bsds500-images/bsds500-images.tar"
    assert f"cch: {target} needs a file that has to be placed by hand: {path}" in said
    assert "  1. git clone" in said


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
    assert "resources/digits/digits.csv.gz: has changed since it was taken in" in text
    assert "Traceback" not in text
    assert not (tmp_path / dataset).exists()
