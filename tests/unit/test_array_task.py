"""The command of an array task, packed as the executor packs it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib

import pytest

from cch.array_task import OPTION, own_command
from support import ROOT

COMMANDS = {2: "snakemake second", 3: "snakemake 'third one'"}
PACKED = base64.b64encode(
    json.dumps(
        {str(task): zlib.compress(command.encode()).hex() for task, command in COMMANDS.items()}
    ).encode()
).decode()


def slurm(task: int) -> dict[str, str]:
    return {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MIN": "1"}


@pytest.mark.parametrize("words", [[f"{OPTION}={PACKED}"], [OPTION, PACKED]])
def test_a_task_has_its_own_command(words):
    line = ["snakemake", *words]
    assert own_command(line, slurm(2)) == "snakemake second"
    assert own_command(line, slurm(3)) == "snakemake 'third one'"


def test_the_first_task_and_single_jobs_are_what_they_are():
    assert own_command(["snakemake", f"{OPTION}={PACKED}"], slurm(1)) is None
    assert own_command(["snakemake", f"{OPTION}={PACKED}"], {}) is None
    assert own_command(["snakemake", "--cores", "8"], slurm(2)) is None


def test_the_process_goes_on_as_its_own_job():
    commands = {"2": zlib.compress(b"echo I am $SLURM_ARRAY_TASK_ID; exit 3").hex()}
    packed = base64.b64encode(json.dumps(commands).encode()).decode()
    code = "from cch.array_task import become_own_job; become_own_job(); print('another job')"
    done = subprocess.run(
        [sys.executable, "-c", code, f"{OPTION}={packed}"],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/bin", **slurm(2)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "I am 2\n"), done.stderr
