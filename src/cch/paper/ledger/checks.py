"""The register of checks, and what a check returns.

A check reads the printed numbers alone (``Paper``). It yields a ``Flag`` for what it finds and
None for each thing that it looked at and found in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cch.paper.ledger.printed import Paper

Kind = Literal["contradiction", "caution"]
KINDS = {
    "contradiction": "two printed things cannot both be right, or a number is impossible as headed",
    "caution": "no contradiction, but less can be read from the number than it seems",
}


@dataclass(frozen=True)
class Flag:
    """What a check found.

    Attributes:
        check: name of the check.
        kind: see ``KINDS``.
        title: one sentence.
        arithmetic: the numbers that show it, with their places.
        cells: the cells that it is about.
        beside: other cells in the arithmetic.
        tables: tables that it concerns as a whole.
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
        """All tables of its cells, and those concerned as a whole."""
        named = [cell.partition("/")[0] for cell in (*self.cells, *self.beside)]
        return sorted({*named, *self.tables})

    def to_json(self, identity: str) -> dict[str, Any]:
        """As the ledger stores it."""
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
    """A registered check: its name, what it asks, and the function."""

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
