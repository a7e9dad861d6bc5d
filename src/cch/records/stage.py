"""What every workflow script does around its one call into the library.

Logging to the job's log and to the terminal, one line instead of a traceback for errors that a
user can mend, and the record beside the outputs.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cch import CHECKOUT
from cch.base.errors import CchError
from cch.config import Compute
from cch.config.registry import load_plugins
from cch.config.specs import named_code
from cch.records.code import code_digest
from cch.records.record import Recorder

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


class Job:
    """One running job, for its script: what was asked, what it may use, and what it did.

    Args:
        job: the ``snakemake`` object.
        name: of the script, which is the name of its rule in this project.

    Attributes:
        facts: additional entries of the record; the script adds to it.
        made: output files that the rule does not declare, such as pages of the report.
    """

    def __init__(self, job: Any, name: str) -> None:
        # Not the script's __file__, which is an address where the workflow is a remote module.
        self._job, self._script = job, CHECKOUT / "workflow" / "scripts" / f"{name}.py"
        self.facts: dict[str, Any] = {"threads": job.threads, **allocation()}
        self.made: list[str] = []
        self._recorder = Recorder(
            self._script.stem,
            self._script,
            _without_records(job.input),
            dict(job.params.items()),
            self.facts,
        )

    @property
    def spec(self) -> Any:
        """The specification as the rule passes it: JSON, or a list of them."""
        return self._job.params.spec

    @property
    def compute(self) -> Compute:
        """What the job may use; no number depends on it, so it is no part of a specification."""
        return Compute.model_validate(self._job.config.get("compute") or {})

    def record(
        self,
        path: str,
        inputs: list[str],
        outputs: list[str],
        spec: str,
        stage: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the record of some outputs of a job that makes several things.

        Args:
            path: of the record.
            inputs: files that were read.
            outputs: files that were made.
            spec: what determines these outputs.
            stage: the script that would make them alone, and whose code they rest on; the job's
                own if None.
            facts: additional entries of the record, beside the job's.
        """
        script = self._script.with_stem(stage) if stage else self._script
        code = code_digest(script, named_code(script.stem, spec))
        params = {"code": code, "spec": spec}
        said = self.facts | dict(facts or {})
        Recorder(script.stem, script, inputs, params, said).write(path, outputs)

    def close(self) -> None:
        """Write the record of all outputs, where the rule names one."""
        record = self._job.output.get("record")
        if record is not None:
            outputs = [str(path) for path in self._job.output if str(path) != str(record)]
            self._recorder.made = self.made
            self._recorder.write(record, outputs)


def _without_records(paths: Any) -> list[str]:
    """Return input paths without records, which describe files and change no number."""
    names = {str(path) for path in paths}
    return sorted(name for name in names if not name.endswith(".record.json"))


@contextmanager
def stage(job: Any, name: str) -> Iterator[Job]:
    """Run the body of the workflow script ``name``; ``job`` is the ``snakemake`` object.

    The body makes all outputs but ``job.output.record``, which is written when it ends well. A
    ``CchError`` ends the script with one line and exit status 1.
    """
    log_to(job.log[0] if job.log else None)
    limit_threads(job.threads)
    share_gpus(job.config)
    try:
        load_plugins(job.config.get("plugins") or [])
        running = Job(job, name)
        yield running
        running.close()
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
    """Limit torch to the rule's threads, if it is imported."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def share_gpus(config: dict[str, Any]) -> None:
    """Pass `compute.jobs_per_gpu` to `cch.base.device`, if it is imported."""
    if "cch.base.device" in sys.modules:
        sys.modules["cch.base.device"].share((config.get("compute") or {}).get("jobs_per_gpu", 1))
