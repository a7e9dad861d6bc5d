"""All checks, run in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from cch.paper.ledger import (  # noqa: F401
    classifiers,
    fractions,
    information,
    order,
    settings,
    tables,
)
from cch.paper.ledger.checks import CHECKS, Flag
from cch.paper.ledger.printed import Paper


@dataclass
class Outcome:
    """All flags, and the number of cases that each check examined."""

    flags: list[Flag] = field(default_factory=list)
    looked: dict[str, int] = field(default_factory=dict)


def run_checks(paper: Paper) -> Outcome:
    """Run every registered check in the order of ``ORDER``."""
    outcome = Outcome()
    for name in ORDER:
        found = list(CHECKS[name].run(paper))
        outcome.looked[name] = len(found)
        outcome.flags += [flag for flag in found if flag is not None]
    return outcome


ORDER = (
    "entropy", "fano", "hellman-raviv", "three-way", "data-processing", "negative", "unit",
    "baseline", "agreement", "differences", "paired-error", "signs", "fano-gap", "order",
    "gap-size", "gap-noise", "gain-noise",
    "granularity", "confusion", "majority",
    "stated", "covariance", "unstated",
)  # fmt: skip
"""Order in which the checks run and their flags are listed."""
