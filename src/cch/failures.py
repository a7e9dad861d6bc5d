"""One line for every job that failed for good, from Snakemake's own words during the call.

Snakemake prints a block for each attempt, among everything else; a cluster adds its own. What a
person needs is what was being made, why it failed, and where to read on.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

HEADING = re.compile(r"^(?:Error in )?(?:local|check)?(?:rule|checkpoint) (?P<rule>\S+):$")
FINISHED = re.compile(r"^Finished jobid: (?P<jobid>\d+)\b")
FIELD = re.compile(r"^    (?P<name>\w+): (?P<value>.*)$")
REASON = re.compile(r"error in rule \S+: (?P<reason>.*)$")
TAIL_BYTES = 20_000
EVENTS = ("JOB_INFO", "JOB_ERROR", "JOB_FINISHED")


class Heard(logging.Handler):
    """Keeps what Snakemake says of jobs; ``--quiet`` takes it from the terminal and from its log.

    Args:
        formatter: Snakemake's own, which words its events.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record that is of a job."""
        if getattr(getattr(record, "event", None), "name", None) in EVENTS:
            self.said.append(self.format(record))

    @property
    def text(self) -> str:
        """All of it, as a log."""
        return "\n".join(self.said)


@dataclass
class Failure:
    """A job that failed and was not made good by a later attempt.

    Attributes:
        rule: its rule.
        of: its wildcards' values, e.g. the study; the name of its log where Snakemake prints none,
            as for a job of a cluster; empty where it has neither.
        attempts: how often it failed.
        message: what Snakemake or the cluster says of the last attempt; may be empty.
        logs: its log files, the job's own first.
    """

    rule: str
    of: str = ""
    attempts: int = 0
    message: str = ""
    logs: list[str] = field(default_factory=list)

    def line(self, folder: Path) -> str:
        """One line for a person; log files are read in ``folder``."""
        name = f"{self.rule} of {self.of}" if self.of else self.rule
        times = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        found = (reason_in(folder / path) for path in self.logs)
        reason = next(filter(None, found), self.message or "no reason was left behind")
        where = f"; log: {', '.join(self.logs)}" if self.logs else ""
        return f"{name} failed{times}: {reason}{where}"


def reason_in(path: Path) -> str:
    """The last error that a job's log states in our own form; empty where there is none.

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


def failures(text: str) -> list[Failure]:
    """Return the jobs that failed for good, in the order in which they first failed.

    Args:
        text: what Snakemake said of jobs in one call, as in its log.
    """
    wildcards: dict[str, str] = {}
    failed: dict[str, Failure] = {}
    for heading, fields in blocks(text):
        if done := FINISHED.match(heading):
            failed.pop(done["jobid"], None)
            continue
        rule, jobid = HEADING.match(heading), fields.get("jobid", "")
        if rule is None or not jobid:
            continue
        if "wildcards" in fields:
            values = (part.partition("=")[2] for part in fields["wildcards"].split(", "))
            wildcards[jobid] = ", ".join(values)
        if heading.startswith("Error in"):
            one = failed.setdefault(jobid, Failure(rule["rule"]))
            one.attempts += 1
            said = fields.get("message", "")
            one.message = "" if said == "None" else said
            logs = fields.get("log", "").partition(" (check log file")[0]
            one.logs = [path for path in logs.split(", ") if path]
            named = Path(one.logs[0]).name.removesuffix(".log") if one.logs else ""
            one.of = wildcards.get(jobid, named)
    return list(failed.values())


def blocks(text: str) -> list[tuple[str, dict[str, str]]]:
    """Split a log into lines at the margin, each with the indented fields below it."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        if line and not line[0].isspace():
            found.append((line, {}))
        elif found and (match := FIELD.match(line)):
            found[-1][1][match["name"]] = match["value"]
    return found
