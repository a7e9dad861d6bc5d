"""The register of checks, and what a check returns.

A check reads the printed numbers alone (``Paper``). It yields one item for each case that it
examines: a ``Flag``, or None where the case is consistent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cch.paper.ledger.printed import Paper

Kind = Literal["contradiction", "caution"]
KINDS = {
    "contradiction": "printed statements that cannot all be right, or an impossible number",
    "caution": "no contradiction, but the number supports less than it seems to",
}


@dataclass(frozen=True)
class Flag:
    """A finding of a check.

    Attributes:
        check: name of the check.
        kind: see ``KINDS``.
        title: the finding in one sentence.
        arithmetic: the numbers behind it, with their places.
        cells: cells that it questions.
        beside: other cells in the arithmetic.
        tables: tables that it questions as a whole.
    """

    check: str
    kind: Kind
    title: str
    arithmetic: str
    cells: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    @property
    def concerned(self) -> list[str]:
        """Return the tables of all its cells, and ``tables``."""
        named = [cell.partition("/")[0] for cell in (*self.cells, *self.beside)]
        return sorted({*named, *self.tables})

    def to_json(self, identity: str) -> dict[str, Any]:
        """Return the flag as the ledger stores it."""
        return {
            "id": identity,
            "check": self.check,
            "kind": self.kind,
            "title": self.title,
            "arithmetic": self.arithmetic,
            "cells": list(self.cells),
            "beside": list(self.beside),
            "tables": self.concerned,
        }


Findings = Iterator[Flag | None]


@dataclass
class Check:
    """A registered check: its name, the rule that it checks, and its function."""

    name: str
    asks: str
    run: Callable[[Paper], Findings]


CHECKS: dict[str, Check] = {}


def check(name: str, asks: str) -> Callable[[Callable[[Paper], Findings]], Any]:
    """Register a check under a name."""

    def register(function: Callable[[Paper], Findings]) -> Callable[[Paper], Findings]:
        CHECKS[name] = Check(name, asks, function)
        return function

    return register
