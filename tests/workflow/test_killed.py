"""Killed with SIGKILL in mid-work and started again: the same tables, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from sklearn import datasets as sklearn_datasets

from cch.base.files import sha256_file
from harness import RESULTS, command, documents, environment, snakemake, write_config
from server import Answer, Server
from support import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

LONGER = {"studies": {"synthetic": {"training": {"epochs": 400}}}}


def kill_when(folder: Path, ready, *arguments: str) -> None:
    """Start Snakemake, kill it and all its jobs as soon as ``ready()`` holds."""
    process = subprocess.Popen(
        command(folder, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline, "never came to the point where it is to be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_while_training(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        write_config(folder, LONGER)
    log = broken / RESULTS / "logs" / "train" / "synthetic.student.log"
    student = broken / RESULTS / "runs" / "synthetic" / "student.h5"
    kill_when(broken, lambda: log.is_file() and "member-epochs" in log.read_text(), "fig04")
    assert not student.exists()
    snakemake(broken, "--unlock")
    snakemake(broken, "fig04", "--rerun-incomplete")
    snakemake(whole, "fig04")
    assert documents(broken) == documents(whole)
    assert student.read_bytes() == (whole / student.relative_to(broken)).read_bytes()


def serve_digits(folder: Path, server: Server, *answers: Answer) -> bytes:
    """Write a source table into ``folder`` whose digits come from ``server``; return them."""
    content = (Path(sklearn_datasets.__file__).parent / "data" / "digits.csv.gz").read_bytes()
    address = server.give("/digits.csv.gz", content, *answers)
    table = yaml.safe_load((ROOT / "workflow" / "sources.yaml").read_text(encoding="utf-8"))
    entry = table["digits"]["files"][0]
    for key in ("distribution", "member"):
        del entry[key]
    entry |= {"kind": "http", "addresses": [address]}
    (folder / "sources.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")
    return content


def test_killed_while_fetching(tmp_path):
    write_config(tmp_path, {"sources": str(tmp_path / "sources.yaml")})
    destination = tmp_path / "resources" / "digits" / "digits.csv.gz"
    part = destination.with_name(f".{destination.name}.part")
    with Server() as server:
        slow, good = Answer(pace=(2000, 0.1)), Answer()
        content = serve_digits(tmp_path, server, slow, good)
        kill_when(tmp_path, lambda: part.is_file() and part.stat().st_size > 8000, "fetch")
        assert not destination.exists()
        snakemake(tmp_path, "--unlock")
        snakemake(tmp_path, "fetch", "--rerun-incomplete")
        assert server.asked[-1].range is not None
    assert destination.read_bytes() == content
    assert not part.exists()
    record = yaml.safe_load((destination.parent / "digits.csv.gz.record.json").read_text())
    assert record["raw"]["sha256"] == sha256_file(destination)


def test_a_broken_download_leaves_nothing_and_names_the_file(tmp_path):
    write_config(tmp_path, {"sources": str(tmp_path / "sources.yaml")})
    with Server() as server:
        content = serve_digits(tmp_path, server, Answer(status=404))
        done = snakemake(tmp_path, "fetch", fails=True)
        assert "digits/digits.csv.gz" in done.stdout + done.stderr
        assert "404" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        *_, last = (line for line in done.stderr.splitlines() if line.startswith("cch: "))
        assert last.startswith("cch: fetch_raw of digits, digits.csv.gz failed: ")
        assert last.endswith(f"; log: {RESULTS}/logs/fetch/digits/digits.csv.gz.log")
        assert not (tmp_path / "resources" / "digits" / "digits.csv.gz").exists()
        server.give("/digits.csv.gz", content)
        snakemake(tmp_path, "fetch", "--rerun-incomplete")
    assert (tmp_path / "resources" / "digits" / "digits.csv.gz").read_bytes() == content
