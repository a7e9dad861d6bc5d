"""A run whose tests call an installer or a service manager fails and names the call."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support import ROOT

CALLS = """
import subprocess

def test_calls():
    subprocess.run({call!r}, shell=True, check=False)
"""


def run(folder, call, *options):
    """A pytest of its own with the guard, over one test that makes a call."""
    (folder / "test_one.py").write_text(CALLS.format(call=call))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "guard", "-p", "no:cacheprovider", *options, folder],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one-process", "worker"])
@pytest.mark.parametrize("call", ["apt-get --version", "pip3 install nothing", "exec sudo true"])
def test_a_call_fails_the_run_and_is_named(tmp_path, call, options):
    done = run(tmp_path, call, *options)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"test_one.py::test_calls (call): {call.removeprefix('exec ')}\n" in done.stdout
    assert "1 passed, 1 error" in done.stdout


def test_what_changes_nothing_is_let_through(tmp_path):
    done = run(tmp_path, "pip3 --version; true")
    assert done.returncode == 0, done.stdout + done.stderr
