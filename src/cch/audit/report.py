"""What an audit found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = "cch-audit-1"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that the audit does not know.

    Attributes:
        kind: ``file``, ``record``, ``chain``, ``code``, ``environment``, ``run``, ``cell``,
            ``text``, ``csv``, ``md``, ``tex``, ``figure``, ``ledger``, ``page`` or ``unknown``.
        where: the file or cell.
        what: what is wrong with it.
    """

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Audit:
    """The outcome: what is wrong, what is unknown, and how much was looked at.

    Attributes:
        results: the folder.
        problems: what is wrong.
        unknown: what the audit could not judge; wrong only in strict mode.
        counts: files, records, cells, numbers derived again, chains, raw files, ...
        missing: files that records name and that are not there, as recorded.
        restore: the command that makes them again; empty where nothing is missing.
    """

    results: Path
    problems: list[Finding] = field(default_factory=list)
    unknown: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    restore: str = ""

    def wrong(self, kind: str, where: object, what: str) -> None:
        """Note that something is wrong; the same thing is noted once."""
        found = Finding(kind, str(where), what)
        if found not in self.problems:
            self.problems.append(found)

    def not_known(self, where: object, what: str) -> None:
        """Note that something could not be judged."""
        found = Finding("unknown", str(where), what)
        if found not in self.unknown:
            self.unknown.append(found)

    def count(self, what: str, more: int = 1) -> None:
        """Count what was looked at."""
        self.counts[what] = self.counts.get(what, 0) + more

    def passed(self, strict: bool = False) -> bool:
        """Whether nothing is wrong and, where ``strict``, nothing is unknown."""
        return not self.problems and not (strict and self.unknown)

    def lines(self, strict: bool = False) -> list[str]:
        """The list of what is wrong, causes first; what is unknown goes along in strict mode.

        Where files are missing, the command that makes them again is the last line.
        """
        problems = sorted(self.problems, key=lambda found: found.kind not in CAUSES)
        said = [str(found) for found in [*problems, *(self.unknown if strict else [])]]
        return [*said, *([f"make again what is missing: {self.restore}"] if self.restore else [])]

    def summary(self) -> str:
        """One paragraph on what was looked at."""
        c = {name: self.counts.get(name, 0) for name in COUNTED}
        text = (
            f"{self.results}: {c['files']} files are as their {c['records']} records say. "
            f"{c['derived']} of {c['cells']} cells were derived again from {c['runs']} runs, "
            f"{c['estimates']} estimates and what else they rest on, and printed again. "
            f"{c['printed']} printed cells and {c['numbers']} numbers in CSV, Markdown and LaTeX "
            f"stand in the documents; {c['figures']} figures are drawn from files as they are now. "
            f"{c['chains']} chains end at {c['raw files']} raw files and {c['generators']} keyed "
            "generators."
        )
        if not c["cells"]:
            text = f"{self.results}: holds no tables yet, so there is no number to check. {text}"
        if self.unknown:
            text += f" Unknown: {len(self.unknown)}; --strict lists and refuses what is."
        return text

    def to_json(self, strict: bool = False) -> dict[str, Any]:
        """The outcome as plain data."""
        return {
            "format": FORMAT,
            "results": str(self.results),
            "strict": strict,
            "passed": self.passed(strict),
            "counts": dict(sorted(self.counts.items())),
            "problems": [vars(found) for found in self.problems],
            "unknown": [vars(found) for found in self.unknown],
            "restore": self.restore or None,
        }


CAUSES = ("file", "record")
"""Kinds of finding that others follow from: a missing file breaks chains and cells."""

COUNTED = (
    "files",
    "records",
    "cells",
    "derived",
    "runs",
    "estimates",
    "printed",
    "numbers",
    "figures",
    "chains",
    "raw files",
    "generators",
)
