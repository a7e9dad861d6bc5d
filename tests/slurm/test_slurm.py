"""`snakemake --cores 8 --profile slurm`, as typed, on a real SLURM with two stand-in GPUs.

One run takes everything that goes wrong on a cluster: a job is cancelled, another one's process is
killed, a third asks for too little memory. Its tables must be those of a local run, byte for byte.
``CCH_SLURM_DEMO=1`` runs all of the demo, undisturbed, beside a local demo: nearly half an hour.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkout import copy_checkout
from cluster import Cluster, missing
from harness import TINY, documents, environment
from support import overlay, raw_config

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"a SLURM of one's own {missing()}"),
]

# One study, with several kinds of jobs; the others say nothing more about a scheduler.
OTHERS = ("synthetic", "mnistm-a20", "mosei-vision", "brca")
FEW = {"studies": dict.fromkeys(OTHERS) | {"mnistm-a18": {"together": False}}}
GPUS = {"compute": {"device": "auto"}}
# What this site says in the profile: no accounting, and a queue that is quick to answer.
SITE: dict[str, Any] = {
    "slurm-status-command": "squeue",
    "seconds-between-status-checks": 2,
    "slurm-init-seconds-before-status-checks": 2,
    "latency-wait": 5,
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    one = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        one.start()
        yield one
    finally:
        one.stop()


def checkout_of(folder: Path, config: dict[str, Any], site: dict[str, Any]) -> Path:
    """A checkout with a configuration and a profile that its user has filled in."""
    copy_checkout(folder)
    text = yaml.safe_dump(config, sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    profile = folder / "slurm" / "config.yaml"
    content = yaml.safe_load(profile.read_text(encoding="utf-8"))
    profile.write_text(yaml.safe_dump(overlay(content, site)), encoding="utf-8")
    return folder


def as_typed(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start the command of the README in a checkout; what it prints goes to ``folder/said``."""
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "8", "--profile", "slurm", *more],
            cwd=folder,
            env=environment(PYTHONPATH=str(folder / "src")),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def said_by(folder: Path) -> str:
    return (folder / "said").read_text(encoding="utf-8", errors="replace")


def running(folder: Path, script: str) -> list[int]:
    """Processes of jobs that run a workflow script for the checkout ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        wanted = (word.decode(errors="replace") for word in words[1:2])
        if any(x.startswith(f"{folder}/.snakemake/") and x.endswith(script) for x in wanted):
            found.append(int(entry.name))
    return found


def slurm_job(process: int) -> str:
    """The number of the SLURM job that a process belongs to."""
    lines = Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace").split("\0")
    said = dict(one.partition("=")[::2] for one in lines)
    if "SLURM_ARRAY_JOB_ID" in said:
        return f"{said['SLURM_ARRAY_JOB_ID']}_{said['SLURM_ARRAY_TASK_ID']}"
    return said["SLURM_JOB_ID"]


def wait_until(ready: Callable[[], Any], run: subprocess.Popen[bytes], seconds: float = 600) -> Any:
    """Return what ``ready()`` gives as soon as it gives anything, while a run goes on."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert run.poll() is None, "the run ended before that"
        assert time.monotonic() < deadline, "never came to the point"
        time.sleep(0.1)
    return found


def records(folder: Path, results: str) -> list[dict[str, Any]]:
    """The records of all jobs under a folder of results."""
    paths = sorted((folder / results).rglob("*.record.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def check_allocations(made: list[dict[str, Any]], cluster: Cluster) -> None:
    """Jobs that ask for a GPU had one each; those at one time had different ones."""
    computed = {
        one["slurm"]["job"]: one
        for one in made
        if one["rule"] in ("train", "estimate", "calibrate")
    }
    assert {one["slurm"]["gpus"] for one in computed.values()} == {"0", "1"}
    # The stand-ins are no GPUs that torch could use: the same rules run on the CPU and say so.
    assert {one["device"] for one in computed.values()} == {"cpu"}
    held = cluster.allocations()
    together = [
        (computed[one], computed[other])
        for one, other in combinations(computed, 2)
        if held[one][0] < held[other][1] and held[other][0] < held[one][1]
    ]
    assert together
    for one, other in together:
        assert one["slurm"]["gpus"] != other["slurm"]["gpus"], (one["outputs"], other["outputs"])
    # What is local computes nothing that needs a node.
    assert not any("slurm" in one for one in made if one["rule"] in ("fetch_raw", "tabulate"))


def test_a_run_with_every_kind_of_fault_ends_with_the_same_tables(cluster, finished, tmp_path):
    site = SITE | {
        "set-resources": {
            # Too little at first: the node kills it, and the second attempt has enough.
            "calibrate": {"mem_mb": "150 * attempt ** 4"},
            "train": {"mem_mb": "2000 * attempt"},
            "estimate": {"mem_mb": "2000 * attempt"},
        }
    }
    config = overlay(overlay(overlay(raw_config("demo"), TINY), FEW), GPUS)
    folder = checkout_of(tmp_path / "checkout", config, site)
    run = as_typed(folder)
    try:
        cancelled = slurm_job(wait_until(lambda: running(folder, ".train.py"), run)[0])
        subprocess.run(["scancel", cancelled], check=True, timeout=60)
        killed = wait_until(lambda: running(folder, ".estimate.py"), run)[0]
        killed_job = slurm_job(killed)
        os.kill(killed, signal.SIGKILL)
        assert run.wait(timeout=1200) == 0, said_by(folder)
    finally:
        run.kill()
        run.wait()
    said = said_by(folder)
    assert "CANCELLED" in said
    # Without cgroups the node's daemon watches memory, and says so in its own log alone.
    node = (cluster.folder / "slurmd.log").read_text(encoding="utf-8", errors="replace")
    assert len(set(re.findall(r"\[(\S+)\] error: Exceeded job memory limit", node))) == 1
    assert killed_job != cancelled
    # Those two, and the calibration.
    assert said.count("Trying to restart job") == 3, said
    local, here = documents(finished), documents(folder)
    assert len(here) > 5
    # Jobs of its own for every stage, in place of one for the study, are a setting, too.
    as_one = {
        name: one.replace(b'"together": false', b'"together": true') for name, one in here.items()
    }
    assert as_one == {name: local[name] for name in here}
    check_allocations(records(folder, TINY["results"]), cluster)
    # Finished work is not repeated.
    assert "Nothing to be done" in ended(folder)


def ended(folder: Path) -> str:
    run = as_typed(folder, "-n")
    assert run.wait(timeout=300) == 0
    return said_by(folder)


def test_what_fails_for_good_is_one_line_with_its_log(cluster, tmp_path):
    config = overlay(overlay(overlay(raw_config("demo"), TINY), FEW), GPUS)
    config["compute"]["memory_gb"] = 0.0001  # not one run fits
    folder = checkout_of(tmp_path / "checkout", config, SITE | {"retries": 0})
    run = as_typed(folder, "results/tiny/runs/mnistm-a18/teacher.h5")
    assert run.wait(timeout=300) != 0
    lines = [line for line in said_by(folder).splitlines() if line.startswith("cch: ")]
    assert lines[-1].startswith("cch: train of mnistm-a18, teacher failed: ")
    assert "compute.memory_gb" in lines[-1]
    assert "; log: results/tiny/logs/train/mnistm-a18.teacher.log" in lines[-1]
    log = folder / "results/tiny/logs/train/mnistm-a18.teacher.log"
    assert "compute.memory_gb" in log.read_text(encoding="utf-8")


@pytest.mark.skipif(
    not os.environ.get("CCH_SLURM_DEMO"), reason="nearly half an hour: CCH_SLURM_DEMO=1"
)
def test_the_demo_has_the_tables_of_a_local_demo(cluster, tmp_path):
    demo = raw_config("demo")
    local = checkout_of(tmp_path / "local", demo, SITE)
    line = [sys.executable, "-m", "snakemake", "--cores", str(os.cpu_count())]
    variables = environment(PYTHONPATH=str(local / "src"))
    subprocess.run(line, cwd=local, env=variables, check=True, timeout=3000)
    folder = checkout_of(tmp_path / "checkout", overlay(demo, GPUS), SITE)
    run = as_typed(folder)
    assert run.wait(timeout=6000) == 0, said_by(folder)
    assert documents(folder, demo["results"]) == documents(local, demo["results"])
    check_allocations(records(folder, demo["results"]), cluster)
