"""Cells of the documents that belong to no study: null gaps, decision errors, the theory."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import bdtrc, stdtrit

from cch import CHECKOUT
from cch.audit.derive import Derived, NotDerivable, Place, Query, derives
from cch.audit.derive_criterion import Claim, Side, holm, label_entropy
from cch.audit.facts import Facts
from cch.base.files import parse_yaml


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
    printed = parse_yaml(text)["tables"][table]
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


@derives("decision-error")
def decision_error(query: Query, place: Place, facts: Facts) -> Derived:
    """The share of wrong decisions with its interval, or wrong, undecided and right decisions."""
    content = facts.json(place.cell["inputs"][0]["path"])["results"]
    stored = {one["quantity"]: one for one in content if one["name"] == query["world"]}
    if not stored:
        raise NotDerivable(f"the file holds nothing of {query['world']}")
    bounds = "label-given-teacher" in stored
    if bounds:
        amounts = _margins(stored)
    else:
        both = (stored[name]["values"] for name in ("teacher-student", "student-label"))
        amounts = [None if None in pair else pair[0] - pair[1] for pair in zip(*both, strict=True)]
    members = [(f"sample {i}", None, v) for i, v in enumerate(amounts) if v is not None]
    sign, n = math.copysign(1, stored["teacher-student"]["gap"]), len(members)
    above = sum(value > 0 for _, _, value in members)
    below = 0 if bounds else sum(value < 0 for _, _, value in members)
    right, wrong = (above, below) if sign > 0 else (below, above)
    text = f"{wrong} / {n - wrong - right} / {right}"
    if query["measure"] == "counts":
        return Derived(text if n else None, members=[], text=text if n else "–")
    if not n:
        return Derived(None, members=[], text="–")
    low, high = _exact_interval(wrong, n)
    return Derived(wrong / n, None, n, members, f"{wrong / n:.2f} [{low:.2f}, {high:.2f}]")


def _margins(stored: dict[str, Any]) -> list[float | None]:
    """The larger margin of bounds (a) and (b) in each sample; None where there is neither."""
    sides = {name: _sides(one) for name, one in stored.items()}
    one = stored["teacher-student"]
    entropy = label_entropy(np.arange(one["rows"]) % one["classes"])
    found: list[float | None] = []
    for place in range(len(one["values"])):
        at = {name: every[place] for name, every in sides.items()}
        pairs = {
            "bound (a)": (at["teacher-student"], entropy),
            "bound (b)": (at["teacher-student-given-label"], at["label-given-teacher"]),
        }
        claims = [
            Claim("", ground, low, high)
            for ground, (low, high) in pairs.items()
            if low is not None and high is not None
        ]
        holm(claims)
        found.append(max((c.ends[0] - c.ends[1] for c in claims), default=None))
    return found


def _sides(entry: dict[str, Any]) -> list[Side | None]:
    """Mean, standard error and degrees of freedom of each sample's bound."""
    found: list[Side | None] = []
    every = zip(entry["values"], entry["mean"], entry["degrees_of_freedom"], strict=True)
    for value, mean, degrees in every:
        if value is None:
            found.append(None)
        elif mean is None:
            if value != 0:
                raise NotDerivable("a bound has no mean")
            found.append((0.0, 0.0, math.inf))
        elif math.isclose(mean, value):
            found.append((value, 0.0, math.inf))
        else:
            degrees = math.inf if degrees is None else degrees
            error = abs(mean - value) / float(stdtrit(degrees, entry["confidence"]))
            found.append((mean, error, degrees))
    return found


def _exact_interval(count: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a probability: binomial tails, by bisection."""

    def solved(least: int, tail: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            at_least = bdtrc(least - 1, n, middle)
            low, high = (middle, high) if at_least < tail else (low, middle)
        return low

    return (
        solved(count, 0.025) if count else 0.0,
        solved(count + 1, 0.975) if count < n else 1.0,
    )
