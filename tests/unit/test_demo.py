from __future__ import annotations

import fcntl
import subprocess

import pytest

from cch.base.errors import CchError
from cch.workflow import demo


@pytest.fixture
def calls(monkeypatch):
    """Snakemake's command lines; the exit status is ``calls.status``, an exception is a kill."""

    class Calls(list):
        status = 0

    made = Calls()

    def run(command, **_):
        made.append(command)
        if isinstance(made.status, BaseException) and "--unlock" not in command:
            raise made.status
        return subprocess.CompletedProcess(command, made.status if "--unlock" not in command else 0)

    monkeypatch.setattr(demo.subprocess, "run", run)
    return made


def unlocked(calls):
    return ["--unlock" in command for command in calls]


def test_a_demo_says_where_its_results_are(tmp_path, calls, capsys):
    assert demo.run_demo(2, tmp_path) == 0
    printed = capsys.readouterr().out
    for name in ("tables/", "figures/", "comparison.md", "cch explain"):
        assert name in printed


def test_the_lock_is_taken_away_only_after_a_kill(tmp_path, calls):
    demo.run_demo(2, tmp_path)
    demo.run_demo(2, tmp_path)
    assert unlocked(calls) == [False, False]
    calls.status = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        demo.run_demo(2, tmp_path)
    calls.status = 0
    demo.run_demo(2, tmp_path)
    assert unlocked(calls) == [False, False, False, True, False]


def test_the_lock_is_taken_away_after_a_kill_of_snakemake_alone(tmp_path, calls):
    calls.status = -9
    assert demo.run_demo(2, tmp_path) == -9
    calls.status = 1
    demo.run_demo(2, tmp_path)
    demo.run_demo(2, tmp_path)
    assert unlocked(calls) == [False, True, False, False]


def test_two_demos_in_one_folder_are_refused(tmp_path, calls):
    (tmp_path / demo.RESULTS).mkdir(parents=True)
    with open(tmp_path / demo.RESULTS / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(CchError, match="another demo runs here"):
            demo.run_demo(2, tmp_path)
    assert calls == []


def test_a_failed_demo_passes_its_status_on(tmp_path, calls, capsys):
    calls.status = 1
    assert demo.run_demo(2, tmp_path) == 1
    assert "done" not in capsys.readouterr().out
