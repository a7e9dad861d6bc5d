"""Cells of the documents that belong to no study: null gaps, and the theory."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import yaml

from cch import CHECKOUT
from cch.audit.derive import Derived, NotDerivable, Place, Query, derives
from cch.audit.facts import Facts


@derives("null-gaps")
def null_gaps(query: Query, place: Place, facts: Facts) -> Derived:
    """Gaps of independent samples, and the share that reaches a printed one."""
    row, column = place.key.split("/")
    printed = _printed_gaps(query["table"], query["column"])
    if column == "paper":
        return Derived(printed[row], members=[])
    values = facts.json(place.cell["inputs"][0]["path"])["values"]
    own = values[row] if row in values else values["gap"]
    members = [(f"sample {i}", None, value) for i, value in enumerate(own)]
    n = len(own)
    if row == "gap-sd":
        sd = statistics.stdev(own)
        return Derived(sd, sd / math.sqrt(2 * (n - 1)), n, members)
    if row in printed:
        beyond = sum(abs(value) >= abs(printed[row]) for value in own)
        return Derived((1 + beyond) / (1 + n), None, n, members)
    return Derived(statistics.fmean(own), statistics.stdev(own) / math.sqrt(n), n, members)


@functools.cache
def _printed_gaps(table: str, column: str) -> dict[str, float]:
    """The gaps that the paper prints, by row of the table of null gaps."""
    text = (CHECKOUT / "paper" / "claims.yaml").read_text(encoding="utf-8")
    printed = yaml.safe_load(text)["tables"][table]
    place, labels = printed["columns"].index(column), printed.get("labels", {})
    return {
        f"printed-{labels.get(row, row).rstrip('%')}": float(cells[place])
        for row, cells in printed["rows"].items()
    }


@derives("theory")
def theory(query: Query, place: Place, facts: Facts) -> Derived:
    """A closed form or a mean over replications, read off the simulation's file."""
    path, of = place.cell["inputs"][0]["path"], place.document["id"]
    make = _risks if of == "theory" else _points
    made = facts.once((path, of), lambda: make(facts.json(path)))
    try:
        return made[query["cell"]]
    except KeyError:
        raise NotDerivable(f"the simulation holds nothing for {query['cell']}") from None


def _mean(key: str, values: Sequence[float]) -> Derived:
    members = [(f"{key}/{i}", None, value) for i, value in enumerate(values)]
    se = statistics.stdev(values) / math.sqrt(len(values))
    return Derived(statistics.fmean(values), se, len(values), members)


def _exact(value: float | None, text: str | None = None) -> Derived:
    return Derived(value, members=[], text=text)


def _risks(content: dict[str, Any]) -> dict[str, Derived]:
    """The cells of ``theory`` by key."""
    found = {}
    for one in content["settings"]:
        key = f"s{one['sigma_12']:g}-k{one['kappa']:g}-l{one['lambda']:g}"
        found[f"{key}/asymptotic"] = _exact(one["asymptotic"])
        found[f"{key}/exact"] = _exact(one["finite"])
        found[f"{key}/monte-carlo"] = _mean(key, one["values"])
        apart = [value - one["asymptotic"] for value in one["values"]]
        found[f"{key}/difference"] = _mean(key, apart)
        found[f"{key}/change"] = _mean(key, one["changes"])
        found[f"{key}/change-asymptotic"] = _exact(one["change"])
    for one in content["thresholds"]:
        key = f"notes/break-even-s{one['sigma_12']:g}-k{one['kappa']:g}"
        value = one["break_even"]
        found[key] = _exact(value, "all λ" if value is None else None)
    return found


def _points(content: dict[str, Any]) -> dict[str, Derived]:
    """The cells of ``theory-region`` by key."""
    from cch.paper.theory.stage import POINT_KAPPA, POINT_LAMBDA

    # What a unit of Eq. 17's left side makes of the risk at this kappa and lambda.
    unit = 2 * POINT_LAMBDA / ((POINT_KAPPA - 1) * (1 + POINT_LAMBDA) ** 2)
    found = {}
    for one in content["points"]:
        key = f"c{one['teacher_label']:g}-{one['number']}"
        found[f"{key}/margin"] = _exact(one["margin"])
        found[f"{key}/monte-carlo"] = _mean(key, [change / unit for change in one["changes"]])
        found[f"{key}/criterion"] = _exact(None, "holds" if one["criterion"] else "fails")
    for one in content["areas"]:
        at = "all" if one["teacher_label"] is None else f"c{one['teacher_label']:g}"
        kind = "best" if one["best"] else "bound"
        for what in ("found", "helps"):
            found[f"notes/{what}-{at}-{kind}"] = _exact(one[what])
    for what, value in content["flips"].items():
        found[f"notes/flip-{what}"] = _exact(value)
    return found
