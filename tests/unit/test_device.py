"""GPUs of a workstation, simulated: real processes and real locks, arithmetic on the CPU."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from snakemake.iocontainers import Namedlist

from cch.base import device
from cch.base.errors import CchError
from cch.config import load
from cch.config.specs import study_roles
from cch.records.stage import stage
from cch.workflow.planning import Plan
from support import ROOT, overlay, raw_config

# A job: it takes one of two devices, computes, says which and what, and stays until it is told.
JOB = """
import json, logging, sys, torch
from cch.base import device
logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
device.WAIT = 0.02
device.share(int(sys.argv[1]))
taken, again = (device.pick_device("auto", visible=lambda: 2) for _ in range(2))
drawn = torch.randn(4, generator=torch.Generator().manual_seed(1)).sum().item()
print(json.dumps([taken, again, drawn]), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def jobs(tmp_path):
    """Start jobs that see two GPUs and share one folder of locks; all end with the test."""
    started = []

    def start(share=1):
        kept = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(share)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=kept
            | {"XDG_RUNTIME_DIR": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}
            | {"OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def told(job):
    """What a job says of itself: its device, asked twice, and what it computed."""
    taken, again, drawn = json.loads(job.stdout.readline())
    assert again == taken
    return taken, drawn


@pytest.mark.slow
def test_concurrent_jobs_see_different_devices_and_others_wait_for_one_that_ends(jobs):
    first, second = jobs(), jobs()
    said = {job: told(job) for job in (first, second)}
    assert {taken for taken, _ in said.values()} == {"cuda:0", "cuda:1"}
    assert len({drawn for _, drawn in said.values()}) == 1, "the device changes no number here"
    third = jobs()
    assert third.stderr.readline() == "all 2 GPUs are taken, by 1 each; waiting\n"
    second.send_signal(signal.SIGKILL)
    assert told(third)[0] == said[second][0]
    fourth = jobs()
    assert "waiting" in fourth.stderr.readline()
    third.stdin.write("done\n")
    third.stdin.flush()
    assert told(fourth)[0] == said[second][0]
    assert third.stderr.read() == "", "it says once that it waits"


@pytest.mark.slow
def test_jobs_share_a_device_where_they_may_and_the_least_used_comes_first(jobs):
    taken = {job: told(job)[0] for job in [jobs(share=2) for _ in range(4)]}
    assert sorted(taken.values()) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
    for job in [job for job in taken if taken[job] == "cuda:1"]:
        job.communicate("done\n")
    assert told(jobs(share=2))[0] == "cuda:1"


def test_one_device_is_not_locked(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device.pick_device("auto", visible=lambda: 1) == "cuda"
    assert device.pick_device("auto", visible=lambda: 0) == "cpu"
    # A scheduler's, whatever the machine has beside it.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert device.pick_device("auto", visible=lambda: 2) == "cuda"
    assert list(tmp_path.iterdir()) == []


def test_locks_are_named_as_the_machine_names_its_devices(tmp_path, monkeypatch):
    def taken(listed, job=""):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
        monkeypatch.setenv("SLURM_JOB_ID", job)
        monkeypatch.setattr(device, "_held", {})
        place = device.pick_device("cuda", visible=lambda: 2)
        held.append(device._held)
        return place

    held = []
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(device.torch.cuda, "set_device", lambda number: None)
    assert taken("2,3") == "cuda:0"
    # GPU 2 is the second that this job sees.
    assert taken("3,2") == "cuda:0"
    # Two jobs of SLURM with two devices each may call different ones by the same numbers.
    assert taken("2,3", job="7") == "cuda:0"
    made = {path.name for path in (tmp_path / "cch").iterdir()}
    assert made > {"gpu-2.slot-0", "gpu-3.slot-0", "job-7.gpu-2.slot-0"}
    for some in held:
        next(iter(some.values())).release()


def test_a_gpu_that_is_asked_for_and_not_there_is_one_line():
    with pytest.raises(CchError, match=r"compute\.device: is cuda, and torch sees no GPU"):
        device.pick_device("cuda", visible=lambda: 0)
    assert device.pick_device("cpu", visible=lambda: 2) == "cpu"


def test_the_folder_of_locks_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    monkeypatch.setattr(device.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = device.lock_folder()
    assert folder == tmp_path / f"cch-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(device.os, "getuid", lambda: 4711)
    (tmp_path / "cch-4711").mkdir()
    with pytest.raises(CchError, match="belongs to another user"):
        device.lock_folder()


def test_a_record_names_model_and_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"Model {number}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device.device_name("cuda:1") == "Model 1, GPU 1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert device.device_name("cuda") == "Model 0, GPU 3"
    assert device.device_name("cpu") == "cpu"


def test_a_job_of_the_workflow_takes_its_share_from_the_configuration(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "_sharing", {"jobs_per_gpu": 1})

    job = SimpleNamespace(
        log=[],
        threads=1,
        output=Namedlist(fromdict={"record": str(tmp_path / "x.record.json")}),
        params={"code": "0", "spec": None},
        input=[],
        rule="compare",
        config=overlay(raw_config(), {"compute": {"jobs_per_gpu": 3}}),
    )
    with stage(job, "compare"):
        assert device._sharing == {"jobs_per_gpu": 3}
    assert json.loads((tmp_path / "x.record.json").read_text())["rule"] == "compare"


def test_sharing_makes_nothing_stale():
    plans = [Plan(overlay(raw_config(), {"compute": {"jobs_per_gpu": n}}), ROOT) for n in (1, 4)]
    for study, settings in plans[0].config.studies.items():
        for role in study_roles(settings):
            assert len({plan.train_spec(study, role) for plan in plans}) == 1
        assert len({plan.estimate_spec(study, "latentmi") for plan in plans}) == 1
        assert len({plan.calibrate_spec(study, "latentmi") for plan in plans}) == 1


def test_sharing_is_validated():
    with pytest.raises(CchError, match=r"compute\.jobs_per_gpu: .*greater than or equal to 1"):
        load(overlay(raw_config(), {"compute": {"jobs_per_gpu": 0}}))
