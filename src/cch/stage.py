"""What every workflow script does around its one call into the library.

Logging to the job's log and to the terminal, one line instead of a traceback for errors that a
user can mend, and the record beside the outputs.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cch.errors import CchError
from cch.record import Recorder

LINE = "%(asctime)s %(message)s"


def log_to(path: str | None) -> None:
    """Send the library's log to the terminal and, where given, to a file."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    logger = logging.getLogger("cch")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers.clear()
    for handler in handlers:
        handler.setFormatter(logging.Formatter(LINE, datefmt="%H:%M:%S"))
        logger.addHandler(handler)


@contextmanager
def stage(job: Any, script: str) -> Iterator[Recorder]:
    """Run the body of a workflow script; ``job`` is the ``snakemake`` object.

    The body makes all outputs but ``job.output.record``, which is written when it ends well. A
    ``CchError`` ends the script with one line and exit status 1.
    """
    log_to(job.log[0] if job.log else None)
    limit_threads(job.threads)
    share_gpus(job.config)
    outputs = [str(path) for path in job.output if str(path) != str(job.output.record)]
    parameters = dict(job.params.items())
    # Records say what files are; they are no part of what a number is made of.
    records = {str(path) for path in job.input if str(path).endswith(".record.json")}
    recorder = Recorder(
        rule=job.rule,
        script=script,
        inputs=sorted({str(path) for path in job.input} - records),
        params=parameters,
        facts={"threads": job.threads, **allocation()},
    )
    try:
        yield recorder
        recorder.write(job.output.record, outputs)
    except CchError as error:
        logging.getLogger("cch").error("error in rule %s: %s", job.rule, error)
        sys.exit(1)
    except KeyboardInterrupt:
        logging.getLogger("cch").error("rule %s: interrupted; nothing is half-written", job.rule)
        sys.exit(130)


def allocation() -> dict[str, dict[str, str]]:
    """Return which SLURM job this is, where, and with which GPUs; empty without SLURM."""
    said = os.environ.get
    if not (job := said("SLURM_JOB_ID")):
        return {}
    if said("SLURM_ARRAY_JOB_ID"):
        job = f"{said('SLURM_ARRAY_JOB_ID')}_{said('SLURM_ARRAY_TASK_ID')}"
    given = {"job": job, "node": said("SLURMD_NODENAME"), "gpus": said("CUDA_VISIBLE_DEVICES")}
    return {"slurm": {name: value for name, value in given.items() if value}}


def limit_threads(threads: int) -> None:
    """Hold torch, where it is used, to the threads that the rule asked for."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def share_gpus(config: dict[str, Any]) -> None:
    """Tell the choice of a device, where one is made, how many jobs may share a GPU."""
    if "cch.device" in sys.modules:
        sys.modules["cch.device"].share((config.get("compute") or {}).get("jobs_per_gpu", 1))
