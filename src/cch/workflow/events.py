"""Progress of a run, and one line for each job that failed in its last attempt.

Both read the records that Snakemake logs for its events (``snakemake_interface_logger_plugins``).
"""

from __future__ import annotations

import logging
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from cch.base.progress import clock

TERMINAL = "CCH_TERMINAL"
"""Environment variable with the file descriptor for progress; unset for none."""

REASON = re.compile(r"error in rule \S+: (?P<reason>.*)$")
TAIL_BYTES = 20_000
LINE_EVERY = 10.0
"""Seconds between two lines of progress without a terminal."""


@dataclass
class Failure:
    """A job that failed, with no later attempt that succeeded.

    Attributes:
        rule: its rule.
        wildcards: their values, e.g. the study.
        attempts: how often it failed.
        message: what Snakemake or the cluster says of the last attempt; may be empty.
        logs: its log files, the job's own first.
    """

    rule: str
    wildcards: list[str]
    attempts: int = 0
    message: str = ""
    logs: list[str] = field(default_factory=list)

    def line(self, folder: Path) -> str:
        """Return one line with the reason; log files are relative to ``folder``."""
        name = f"{self.rule} of {', '.join(self.wildcards)}" if self.wildcards else self.rule
        times = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        found = (reason_in(folder / path) for path in self.logs)
        reason = next(filter(None, found), self.message or "no reason was left behind")
        where = f"; log: {', '.join(self.logs)}" if self.logs else ""
        return f"{name} failed{times}: {reason}{where}"


def reason_in(path: Path) -> str:
    """Return the last error line of ours in a job's log, or ''.

    It is one line: where more lines belong to it, such as steps, it says that the log has them.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    found = [match["reason"] for line in text.splitlines() if (match := REASON.search(line))]
    last = found[-1] if found else ""
    return f"{last[:-1]} (steps in the log)" if last.endswith(":") else last


class JobEventHandler(logging.Handler):
    """Follow the jobs of one call of Snakemake, also under ``--quiet``.

    Args:
        progress: where the number of finished jobs is shown; nowhere if None.
    """

    def __init__(self, progress: RunProgress | None = None) -> None:
        super().__init__()
        self.progress = progress
        self._wildcards: dict[int, list[str]] = {}
        self._failed: dict[int, Failure] = {}

    @property
    def failures(self) -> list[Failure]:
        """Jobs that failed in their last attempt, in order of their first failure."""
        return list(self._failed.values())

    def emit(self, record: logging.LogRecord) -> None:
        """Handle an event of Snakemake; ignore other records."""
        event = getattr(getattr(record, "event", None), "name", None)
        said: dict[str, Any] = record.__dict__
        if event == "JOB_INFO":
            self._wildcards[said["jobid"]] = list(map(str, said["wildcards"].values()))
        elif event == "JOB_ERROR":
            self._add_failure(said)
        elif event == "JOB_FINISHED":
            self._failed.pop(said["job_id"], None)
        elif event == "RUN_INFO" and self.progress:
            self.progress.update(0, said["stats"]["total"])
        elif event == "PROGRESS" and self.progress:
            self.progress.update(said["done"], said["total"])

    def _add_failure(self, said: dict[str, Any]) -> None:
        jobid = said["jobid"]
        logs = list(map(str, said.get("log") or []))
        # Snakemake does not log the start of a cluster job. Its log file is named by the wildcards,
        # and none of them holds a dot.
        named = Path(logs[0]).name.removesuffix(".log").split(".") if logs else []
        wildcards = self._wildcards.get(jobid, named)
        failure = self._failed.setdefault(jobid, Failure(said["rule_name"], wildcards))
        failure.attempts += 1
        failure.message = said.get("rule_msg") or ""
        failure.logs = logs


class RunProgress:
    """A bar or lines with jobs done, total, elapsed time and time left.

    Args:
        stream: where it is shown; a bar on a terminal, elsewhere a line every few seconds.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._start = time.monotonic()
        self._last = -float("inf")
        self._bar: Any = None

    def update(self, done: int, total: int) -> None:
        """Show the number of finished jobs and the total."""
        if self._stream.isatty():
            self._redraw(done, total)
        elif time.monotonic() - self._last >= LINE_EVERY or done == total:
            self._last = time.monotonic()
            print(f"cch: {self.line(done, total)}", file=self._stream, flush=True)

    def line(self, done: int, total: int) -> str:
        """Return the state as text."""
        elapsed = time.monotonic() - self._start
        left = f", about {clock(elapsed / done * (total - done))} left" if 0 < done < total else ""
        return f"{done} of {total} jobs, {clock(elapsed)}{left}"

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Stop the bar and leave its last state."""
        if self._bar is not None:
            self._bar.stop()

    def _redraw(self, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            columns = (
                TextColumn("jobs"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
            )
            # Jobs differ in duration, so the rate is averaged over the whole run.
            self._bar = Progress(
                *columns, console=Console(file=self._stream), speed_estimate_period=24 * 3600
            )
            self._task = self._bar.add_task("jobs", total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total)


def run_progress() -> RunProgress | None:
    """Return progress on the descriptor of the parent process, or None."""
    descriptor = os.environ.get(TERMINAL)
    return None if descriptor is None else RunProgress(os.fdopen(int(descriptor), "w"))
