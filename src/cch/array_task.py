"""A task of a SLURM array becomes a process of its own job.

Snakemake's executor starts every task of an array as the array's first job. That process runs the
task's own command and then looks for the outputs of the first job, so a task that ends before the
first one has ended fails, though its work is done, and is run again (issue 447 of
snakemake-executor-plugin-slurm; 2.6.1 and later). Here the process replaces itself by the task's
own command before it has planned anything: from then on it is as if the job had been submitted
alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

OPTION = "--slurm-jobstep-array-execs"


def own_command(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Return the shell command of this array task; None where this process is its own job's.

    Args:
        arguments: Snakemake's command line, which holds the commands of all tasks but the first.
        environment: with what SLURM says of the task.
    """
    task = environment.get("SLURM_ARRAY_TASK_ID")
    payload = _value_of(OPTION, arguments)
    if not payload or not task or task == environment.get("SLURM_ARRAY_TASK_MIN"):
        return None
    from snakemake_executor_plugin_slurm_jobstep import _decompress_array_task_call

    return _decompress_array_task_call(payload, int(task))


def become_own_job() -> None:
    """Go on as the task's own command, where this process was started as another job's."""
    command = own_command(sys.argv, os.environ)
    if command is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv("/bin/sh", ["sh", "-c", command])


def _value_of(option: str, arguments: Sequence[str]) -> str:
    for place, argument in enumerate(arguments):
        name, given, value = argument.partition("=")
        if name == option:
            return value if given else "".join(arguments[place + 1 : place + 2])
    return ""
