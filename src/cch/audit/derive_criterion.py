"""The criterion by bounds and closed forms again, by the rule atop ``cch.criterion.ground``."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from scipy.special import stdtr, stdtrit

from cch.audit.derive import Derived, Place, Query, derives
from cch.audit.facts import Facts
from cch.base.errors import CchError

ALPHA = 0.05
LOWER = {"bound (a)": "teacher-student", "bound (b)": "teacher-student-given-label"}
UPPER = "label-given-teacher"

Side = tuple[float, float, float]
"""Mean of a bound, its standard error and the degrees of freedom of that."""
EXACT = (0.0, math.inf)
Entry = dict[str, Any]


@dataclass
class Claim:
    """A lower bound beside an upper one; ``alpha`` is what Holm's procedure leaves it."""

    level: str
    ground: str
    low: Side
    high: Side
    alpha: float = 0.0

    @property
    def uncertain(self) -> int:
        """Sides with an error."""
        return sum(side[1] > 0 for side in (self.low, self.high))

    @property
    def degrees(self) -> float:
        """Degrees of freedom of both sides."""
        return min(self.low[2], self.high[2])

    @property
    def order(self) -> tuple[float, float]:
        """Probability of such a margin where the criterion does not hold, and minus its size."""
        apart, error = self.low[0] - self.high[0], self.low[1] + self.high[1]
        if not self.uncertain:
            return (0.0, -math.inf) if apart > 0 else (1.0, math.inf)
        return min(1.0, self.uncertain * float(stdtr(self.degrees, -apart / error))), -apart / error

    @property
    def ends(self) -> tuple[float, float]:
        """Both bounds at ``alpha``."""
        t = -float(stdtrit(self.degrees, self.alpha / self.uncertain)) if self.uncertain else 0.0
        return self.low[0] - t * self.low[1], self.high[0] + t * self.high[1]


@derives("criterion")
def criterion(query: Query, place: Place, facts: Facts) -> Derived:
    """The verdict at a level, its ground, or an amount in nats."""
    level, measure = query["level"], query["measure"]
    entries = _bounds(place, facts)
    here = [e for e in entries if e["level"] == level]
    here.sort(key=lambda e: (e["seed"], e["quantity"], e["estimator"]))
    members = [(e["id"], None, e["value"]) for e in here]
    claims = list(_claims(entries, place, facts))
    holm(claims)
    grounds = {c.ends: c.ground for c in claims if c.level == level}
    ends = max(grounds, key=lambda ends: ends[0] - ends[1], default=None)
    said, ground = "undecided", "none"
    flags = [] if ends is None else _row_flags(place)
    if ends is not None and ends[0] > ends[1]:
        said, ground = "holds", grounds[ends]
    elif (exact := _closed_form(level, place, facts)) is not None:
        ends, ground = exact[:2], "closed form of inputs"
        said = "holds" if exact[0] > exact[1] else "fails"
        flags = ["of the inputs, not of the representations"]
        if not math.isfinite(exact[0]):
            flags.append("infinite: one side determines the other")
    if measure in ("verdict", "ground"):
        return Derived(said if measure == "verdict" else ground, members=members, flags=flags)
    value = None
    if ends is not None:
        value = {"lower": ends[0], "upper": ends[1], "margin": ends[0] - ends[1]}[measure]
    if value is None or not math.isfinite(value):
        return Derived(None, n=0, members=members, unit="nats", flags=flags)
    return Derived(value, members=members, unit="nats", flags=flags)


def _row_flags(place: Place) -> list[str]:
    """Flags of bounds for the rows that they were estimated on."""
    rows = place.document["settings"][place.study]["study"]["information"]["rows"]
    return [] if rows == "test" else ["the bounds' rows include those that trained the networks"]


@derives("linear-margin")
def linear_margin(query: Query, place: Place, facts: Facts) -> Derived:
    """I(t; s) - I(s; y) of the means of the features, which is what the best linear models see."""
    exact = _closed_form(query["level"], place, facts)
    if exact is None:
        return Derived(None, n=0, members=[], unit="nats")
    return Derived(exact[2] - exact[1], members=[], unit="nats")


def _bounds(place: Place, facts: Facts) -> list[Entry]:
    """The bounds of all levels that claims are made of."""
    below = facts.path("information", place.study, "")
    kinds = dict.fromkeys(LOWER.values(), "lower") | {UPPER: "upper"}
    return [
        entry
        for item in place.cell["inputs"]
        if item["path"].startswith(below)
        for entry in facts.json(item["path"])["estimates"]
        if entry["value"] is not None and kinds.get(entry["quantity"]) == entry.get("kind")
    ]


def _claims(entries: list[Entry], place: Place, facts: Facts) -> Iterator[Claim]:
    """Every lower bound of every level with every upper bound of its ground."""
    for level in sorted({entry["level"] for entry in entries}):
        here = [entry for entry in entries if entry["level"] == level]
        exact, upper = _closed_form(level, place, facts), {}
        if exact is not None:
            runs = {entry["seed"] for entry in here}
            upper["bound (a)"] = [dict.fromkeys(runs, (exact[1], *EXACT))]
        else:
            upper["bound (a)"] = _entropies(here, place, facts)
        upper["bound (b)"] = _by_estimator(here, UPPER)
        for ground, quantity in LOWER.items():
            for low, high in itertools.product(_by_estimator(here, quantity), upper[ground]):
                if runs := sorted(low.keys() & high.keys()):
                    yield Claim(
                        level, ground, *(_mean(s[run] for run in runs) for s in (low, high))
                    )


def _by_estimator(entries: Iterable[Entry], quantity: str) -> list[dict[int, Side]]:
    """The sides of a quantity by run, for each estimator."""
    found: dict[str, dict[int, Side]] = {}
    for entry in entries:
        if entry["quantity"] == quantity:
            mean, degrees = entry["fit"]["mean"], entry["fit"].get("degrees_of_freedom", math.inf)
            error = abs(mean - entry["value"]) / float(stdtrit(degrees, entry["confidence"]))
            found.setdefault(entry["estimator"], {})[entry["seed"]] = mean, error, degrees
    return list(found.values())


def _mean(sides: Iterable[Side]) -> Side:
    means, errors, degrees = zip(*sides, strict=True)
    return statistics.fmean(means), statistics.fmean(errors), min(degrees)


def _entropies(entries: list[Entry], place: Place, facts: Facts) -> list[dict[int, Side]]:
    """H(Y) of the rows of each run, with the correction for few rows."""
    name = facts.path("runs", place.study, "baseline.h5")
    lower = [entry for entry in entries if entry["quantity"] == LOWER["bound (a)"]]
    if not lower:
        return []
    labels = facts.once((name, "labels"), lambda: _labels(name, facts))
    if labels is None:
        return []
    return [{entry["seed"]: label_entropy(labels[entry["seed"]][: entry["n"]]) for entry in lower}]


def _labels(name: str, facts: Facts) -> np.ndarray | None:
    """The labels that information was estimated on, (runs, rows); None for no classes."""
    try:
        with h5py.File(facts.tree.place(name), "r") as file:
            classes = json.loads(file.attrs["header"])["task"] == "classification"
            return file["information_label"][()] if classes else None
    except (OSError, KeyError) as error:
        raise CchError(name, f"cannot be read as runs ({error})") from None


def label_entropy(labels: np.ndarray) -> Side:
    """H(Y) of labels (n,), with the correction for few rows."""
    n = len(labels)
    counts = np.unique(labels, return_counts=True)[1].tolist()
    shares = [count / n for count in counts]
    mean = -sum(p * math.log(p) for p in shares)
    error = math.sqrt(sum(p * (-math.log(p) - mean) ** 2 for p in shares) / n)
    mean += (len(counts) - 1) / (2 * n)
    most = math.log(len(counts))
    return (most, *EXACT) if mean >= most else (mean, error, math.inf)


def holm(claims: list[Claim]) -> None:
    """Holm's procedure: the smallest p first, each at what is left of ``ALPHA``."""
    left = len(claims)
    for claim in sorted(claims, key=lambda claim: claim.order):
        claim.alpha = ALPHA / left
        left -= claim.order[0] < claim.alpha


def _closed_form(level: str, place: Place, facts: Facts) -> tuple[float, float, float] | None:
    """I(X1; X2), I(X2; Y) and the means' I(X1; X2) of Appendix B's sampler; None for other data.

    Its covariances are diagonal in one basis: the mean of the features, and what is orthogonal.
    """
    stated = place.document["settings"][place.study]
    study, recorded = stated["study"], facts.recorded_settings(place.study)
    # Where the dataset has no record, as in a recomputation, its name alone is recorded.
    made = recorded.get("dataset")
    data = stated["dataset"] | (made if isinstance(made, dict) else {})
    asked = (data["kind"], study["degradation"]["kind"], study["teacher"], study["student"])
    if asked != ("synthetic", "modality", "x1", "x2"):
        return None
    p, r, s, t = data["features"], float(level), data["sigma_13"], data["sigma_23"]
    own1, own2, both = 1 - s**2, 1 - t**2, r - s * t
    shared = [
        -0.5 * times * math.log(unlike) if (unlike := 1 - c**2 / (a * b)) > 1e-12 else math.inf
        for times, a, b, c in (
            (1, own1 + p * s**2, own2 + p * t**2, both + p * s * t),
            (p - 1, own1, own2, both),
        )
        if times
    ]
    return sum(shared), 0.5 * math.log1p(p * t**2 / own2), shared[0]
