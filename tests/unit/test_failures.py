"""What is said of jobs that failed, from the words of Snakemake and of a cluster."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from snakemake.logging import DefaultFormatter, LogEvent

from cch.failures import Heard, failures

STARTED = """\
[Wed Nov 25 20:07:44 2026]
rule train_teacher:
    input: results/datasets/mnistm.h5
    output: results/runs/mnistm-a18/teacher.h5
    log: results/logs/train/mnistm-a18.teacher.log
    jobid: 9
    wildcards: study=mnistm-a18
    resources: tmpdir=<TBD>, mem_mb=5000

"""
FAILED = """\
[Wed Nov 25 20:08:16 2026]
Error in rule train_teacher:
    message: SLURM-job '5' failed, SLURM status is: 'OUT_OF_MEMORY'.
    jobid: 9
    output: results/runs/mnistm-a18/teacher.h5
    log: results/logs/train/mnistm-a18.teacher.log, {folder}/5.log (check log file(s) for error details)
    external_jobid: 5
Trying to restart job 9.
"""  # noqa: E501
FINISHED = "Finished jobid: 9 (Rule: train_teacher)\n3 of 28 steps (11%) done\n"
LOG = "results/logs/train/mnistm-a18.teacher.log"


def test_a_failure_has_rule_study_attempts_message_and_logs(tmp_path):
    (one,) = failures(STARTED + FAILED + STARTED + FAILED)
    assert (one.rule, one.of, one.attempts) == ("train_teacher", "mnistm-a18", 2)
    assert one.logs == [LOG, "{folder}/5.log"]
    assert one.line(tmp_path) == (
        "train_teacher of mnistm-a18 failed (2 attempts): SLURM-job '5' failed, SLURM status is: "
        f"'OUT_OF_MEMORY'.; log: {LOG}, {{folder}}/5.log"
    )


def test_the_reason_is_the_last_that_the_jobs_log_states(tmp_path):
    (tmp_path / LOG).parent.mkdir(parents=True)
    (tmp_path / LOG).write_text(
        "20:07:59 error in rule train_teacher: an older one\n"
        "20:08:01 error in rule train_teacher: data.h5: is truncated; prepare it again\n"
        "something after it\n"
    )
    (one,) = failures(STARTED + FAILED)
    said = one.line(tmp_path)
    assert said.startswith("train_teacher of mnistm-a18 failed: data.h5: is truncated; prepare it")
    assert said.endswith(f"log: {LOG}, {{folder}}/5.log")


def test_a_reason_of_several_lines_points_to_the_log(tmp_path):
    (tmp_path / LOG).parent.mkdir(parents=True)
    (tmp_path / LOG).write_text(
        "20:08:01 error in rule fetch_raw: not to be had; get it like this:\n  1. git clone\n"
    )
    (one,) = failures(STARTED + FAILED)
    said = "not to be had; get it like this (steps in the log); log: results/logs/"
    assert said in one.line(tmp_path)


def test_what_a_later_attempt_made_good_is_no_failure():
    assert failures(STARTED + FAILED + STARTED + FINISHED) == []
    assert len(failures(STARTED + FAILED + FINISHED.replace("9", "19"))) == 1


def test_a_local_rule_without_wildcards_or_logs():
    failed = "Error in rule compare:\n    message: None\n    jobid: 3\n"
    text = f"localrule compare:\n    jobid: 3\n\n{failed}"
    (one,) = failures(text)
    assert (one.rule, one.of, one.logs) == ("compare", "", [])
    assert one.line(Path("nowhere")) == "compare failed: no reason was left behind"


def test_a_job_of_a_cluster_is_named_by_its_log():
    (one,) = failures(FAILED)
    assert (one.rule, one.of) == ("train_teacher", "mnistm-a18.teacher")


def test_other_words_are_no_failures():
    assert failures("Building DAG of jobs...\nError in rule x:\n    no field\nrule y:\n") == []


@pytest.fixture
def logger():
    """A logger as Snakemake sets one up."""
    logger = logging.Logger("snakemake-like", logging.INFO)
    return logger


def test_what_is_said_of_jobs_is_heard_and_nothing_else(logger):
    heard = Heard(DefaultFormatter())
    logger.addHandler(heard)
    job = {"rule_name": "prepare", "jobid": 4, "input": [], "output": ["a.h5"], "log": [LOG]}
    job |= {"rule_msg": None, "conda_env": None, "shellcmd": None, "aux": {}}
    logger.info("Building DAG of jobs...")
    logger.error(None, extra={"event": LogEvent.JOB_ERROR, **job, "indent": False})
    (one,) = failures(heard.text)
    assert (one.rule, one.of, one.logs) == ("prepare", "mnistm-a18.teacher", [LOG])
    assert "DAG" not in heard.text
    logger.info("Finished jobid: 4 (Rule: prepare)", extra={"event": LogEvent.JOB_FINISHED})
    assert failures(heard.text) == []
