"""What is said of a run's jobs, from the records that Snakemake logs."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from snakemake.logging import LogEvent

from cch.workflow.events import JobEventHandler, RunProgress

LOG = "results/logs/train/mnistm-a18.teacher.log"
OUT_OF_MEMORY = "SLURM-job '5' failed, SLURM status is: 'OUT_OF_MEMORY'."


class Run:
    """Logs events as Snakemake does, to the handler under test."""

    def __init__(self, progress: RunProgress | None = None) -> None:
        self.handler = JobEventHandler(progress)
        self.logger = logging.Logger("snakemake-like", logging.INFO)
        self.logger.addHandler(self.handler)

    def started(self, jobid: int = 9, **wildcards: str) -> None:
        said = {"rule_name": "train", "jobid": jobid, "wildcards": wildcards, "log": [LOG]}
        self.logger.info(None, extra={"event": LogEvent.JOB_INFO, **said})

    def failed(self, jobid: int = 9, rule: str = "train", message=None, logs=(LOG,)) -> None:
        said = {"rule_name": rule, "jobid": jobid, "rule_msg": message, "log": list(logs)}
        self.logger.error(None, extra={"event": LogEvent.JOB_ERROR, **said})

    def finished(self, jobid: int = 9) -> None:
        self.logger.info(None, extra={"event": LogEvent.JOB_FINISHED, "job_id": jobid})


def test_a_failure_has_rule_study_attempts_message_and_logs(tmp_path):
    run = Run()
    for _ in range(2):
        run.started(study="mnistm-a18", role="teacher")
        run.failed(message=OUT_OF_MEMORY, logs=(LOG, "5.log"))
    (one,) = run.handler.failures
    assert one.line(tmp_path) == (
        f"train of mnistm-a18, teacher failed (2 attempts): {OUT_OF_MEMORY}; log: {LOG}, 5.log"
    )


def test_the_reason_is_the_last_that_the_jobs_log_states(tmp_path):
    (tmp_path / LOG).parent.mkdir(parents=True)
    (tmp_path / LOG).write_text(
        "20:07:59 error in rule train: an older one\n"
        "20:08:01 error in rule train: data.h5: is truncated; prepare it again\n"
        "something after it\n"
    )
    run = Run()
    run.failed(message=OUT_OF_MEMORY)
    (one,) = run.handler.failures
    assert "failed: data.h5: is truncated; prepare it again; log: " in one.line(tmp_path)


def test_a_reason_of_several_lines_points_to_the_log(tmp_path):
    (tmp_path / LOG).parent.mkdir(parents=True)
    (tmp_path / LOG).write_text(
        "20:08:01 error in rule fetch_raw: not available; get it like this:\n  1. git clone\n"
    )
    run = Run()
    run.failed()
    said = "not available; get it like this (steps in the log); log: results/logs/"
    assert said in run.handler.failures[0].line(tmp_path)


def test_what_a_later_attempt_made_good_is_no_failure():
    run = Run()
    run.failed(9)
    run.failed(4)
    run.finished(9)
    assert [failure.rule for failure in run.handler.failures] == ["train"]
    run.finished(4)
    assert run.handler.failures == []


def test_a_rule_without_wildcards_or_logs():
    run = Run()
    run.started(3)
    run.failed(3, "compare", logs=())
    (one,) = run.handler.failures
    assert one.line(Path("nowhere")) == "compare failed: no reason was left behind"


def test_a_job_of_a_cluster_is_named_by_its_log():
    run = Run()
    run.failed()
    assert run.handler.failures[0].wildcards == ["mnistm-a18", "teacher"]


def test_records_without_an_event_are_passed_over():
    run = Run()
    run.logger.info("Building DAG of jobs...")
    run.logger.error("Error in rule x:")
    assert run.handler.failures == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def counted(run: Run, done: int, total: int = 8) -> None:
    extra = {"event": LogEvent.PROGRESS, "done": done, "total": total}
    run.logger.info(None, extra=extra)


def test_progress_is_lines_where_there_is_no_terminal(monkeypatch):
    stream, now = io.StringIO(), [100.0]
    monkeypatch.setattr("cch.workflow.events.time.monotonic", lambda: now[0])
    run = Run(RunProgress(stream))
    run.logger.info(None, extra={"event": LogEvent.RUN_INFO, "stats": {"train": 7, "total": 8}})
    for done in range(1, 9):
        now[0] += 6
        counted(run, done)
    assert stream.getvalue().splitlines() == [
        "cch: 0 of 8 jobs, 0:00",
        "cch: 2 of 8 jobs, 0:12, about 0:36 left",
        "cch: 4 of 8 jobs, 0:24, about 0:24 left",
        "cch: 6 of 8 jobs, 0:36, about 0:12 left",
        "cch: 8 of 8 jobs, 0:48",
    ]


def test_progress_is_one_bar_on_a_terminal():
    stream = Terminal()
    run = Run(RunProgress(stream))
    for done in range(9):
        counted(run, done)
    run.handler.progress.close()
    shown = stream.getvalue()
    assert "8/8" in shown
    assert "left" in shown


@pytest.mark.parametrize("event", ["JOB_INFO", "JOB_ERROR", "JOB_FINISHED", "RUN_INFO", "PROGRESS"])
def test_the_events_are_those_that_snakemake_logs(event):
    assert hasattr(LogEvent, event)
