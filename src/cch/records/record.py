"""The record beside every output: what made it, from what, with which code, where and when.

A record is a JSON file of its own (``results/runs/<study>/teacher.record.json``), so that data
files hold nothing that differs between two equal runs: start and duration live here. It names its
outputs and inputs by SHA-256; following inputs from record to record ends at raw files with their
addresses, or at a generator with its key. What is not known is left out.
"""

from __future__ import annotations

import functools
import json
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from cch.base.errors import CchError
from cch.base.files import digest, sha256_file, write_json
from cch.config.specs import named_code
from cch.records.code import code_digest, modules_behind

FORMAT = "cch-record-1"


@dataclass
class Recorder:
    """Collects what one job did; ``write`` is called once its outputs are in place.

    Args:
        rule: the rule's name.
        script: the script that ran, whose imports define the code digest.
        inputs: the files that the job read.
        params: what else determined the outputs (JSON-able).
        facts: additional entries of the record.
        made: output files that the rule does not declare.
    """

    rule: str
    script: str | Path
    inputs: Iterable[str | Path]
    params: Mapping[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._start = time.monotonic()
        self._started = datetime.now(UTC)

    def write(self, path: str | Path, outputs: Iterable[str | Path]) -> None:
        """Hash inputs and outputs and write the record to ``path``."""
        named = named_code(Path(self.script).stem, self.params.get("spec"))
        content = {
            "format": FORMAT,
            "rule": self.rule,
            "outputs": _hashes(dict.fromkeys([*map(str, outputs), *self.made])),
            "inputs": _hashes(self.inputs),
            "params": dict(self.params),
            **self.facts,
            "code": {
                "digest": code_digest(self.script, named),
                "script": Path(self.script).name,
                "modules": sorted(modules_behind(self.script, named)),
                "named": named,
                **git_state(),
            },
            "environment": environment(),
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._start, 3),
        }
        write_json(path, content)


def _hashes(paths: Iterable[str | Path]) -> dict[str, str]:
    return {str(path): sha256_file(path) for path in paths}


@functools.cache
def environment() -> dict[str, Any]:
    """Python, platform, processor and a digest over all installed distributions with versions."""
    installed = sorted(
        {f"{d.metadata['Name'].lower()}=={d.version}" for d in metadata.distributions()}
    )
    return {
        "digest": digest(installed),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "packages": len(installed),
    }


@functools.cache
def processor() -> str:
    """The processor's model name: sums of floats come out the same on one model only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, named), "") or platform.processor() or platform.machine()


@functools.cache
def git_state() -> dict[str, Any]:
    """Commit of the library and whether its checkout was dirty; empty where neither is known.

    New files count where code lies; elsewhere they are a user's own (a configuration, data).
    """
    here = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=here, capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", __file__) is None:
        return _installed_commit()
    state: dict[str, Any] = {}
    if commit := git("rev-parse", "HEAD"):
        state["commit"] = commit
    edited = git("status", "--porcelain", "--untracked-files=no")
    new = git("status", "--porcelain", "--", ":/src", ":/workflow")
    if edited is not None and new is not None:
        state["dirty"] = bool(edited or new)
    return state


def _installed_commit() -> dict[str, Any]:
    """Commit that pip installed the library from; empty where it was no git address."""
    try:
        said = metadata.distribution("cch").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return {}
    commit = json.loads(said or "{}").get("vcs_info", {}).get("commit_id")
    return {"commit": commit, "dirty": False} if commit else {}


def record_path(path: str | Path) -> Path | None:
    """Return where the record of a file lies, or None where there is none."""
    path = Path(path)
    for candidate in (
        path.with_name(f"{path.name}.record.json"),
        path.with_suffix(".record.json"),
    ):
        if candidate.is_file():
            return candidate
    return None


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a record file.

    Raises:
        CchError: it is missing, no JSON, or of another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CchError(path, "there is no such record") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CchError(path, f"is no JSON ({error})", "delete it and build it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CchError(path, f"is no record of format {FORMAT!r}")
    return content


def specification(record: dict[str, Any]) -> dict[str, Any]:
    """The part of the configuration that a job was given, from its record; empty where none is."""
    try:
        found = json.loads(record["params"]["spec"])
    except (KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
