"""Every cell again: what a query asks for, answered a second time and as simply as possible.

A function for each kind of query, in a registry::

    @derives("metric")
    def metric(query: Query, place: Place, facts: Facts) -> Derived: ...

Kinds that nothing here knows are reported as not derived again, which strict mode refuses.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from scipy.special import stdtrit

from cch.audit.facts import Facts
from cch.audit.gains import Pair, conclusion, interval
from cch.base.errors import CchError

UNSTATED = "?"
"""A unit that a derivation says nothing about."""

Query = dict[str, Any]
Member = tuple[str, str | None, float]
"""Id, id of what was subtracted, value."""


@dataclass(frozen=True)
class Place:
    """Where a cell stands: its document, its row and column, and the cell as it is stored."""

    document: dict[str, Any]
    key: str
    cell: dict[str, Any]

    @property
    def study(self) -> str:
        """The study of the cell."""
        return self.cell.get("study", self.document["study"])


@dataclass(frozen=True)
class Derived:
    """What a cell must hold.

    ``text`` is None where value, error and interval determine it. ``flags`` is None where flags are
    not checked.
    """

    value: float | str | None
    se: float | None = None
    n: int | None = None
    members: Sequence[Member] | None = None
    text: str | None = None
    unit: str | None = UNSTATED
    interval: dict[str, Any] | None = None
    flags: list[str] | None = None


Rule = Callable[[Query, Place, Facts], Derived]
RULES: dict[str, Rule] = {}


def derives(*kinds: str) -> Callable[[Rule], Rule]:
    """Register a function for kinds of query."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return register


class NotDerivable(Exception):
    """The files do not hold what a derivation needs; the message says what."""


def mean_of(members: Sequence[Member], unit: str | None = None) -> Derived:
    """Mean, standard error and count of single values."""
    values = [value for _, _, value in members]
    n = len(values)
    se = statistics.stdev(values) / math.sqrt(n) if n > 1 else None
    return Derived(statistics.fmean(values) if n else None, se, n, members, unit=unit)


def sd_of(members: Sequence[Member], unit: str | None = None) -> Derived:
    """Standard deviation of single values, its standard error for normal ones, and their count."""
    values = [value for _, _, value in members]
    n = len(values)
    sd = statistics.stdev(values) if n > 1 else None
    return Derived(sd, None if sd is None else sd / math.sqrt(2 * (n - 1)), n, members, unit=unit)


# Runs


def counted_runs(query: Query, role: str, place: Place, facts: Facts) -> list[dict[str, Any]]:
    """Runs that a query means and that count: not diverged, with the metric."""
    chosen = []
    runs = facts.runs(place.study, role)
    by_level = role != "baseline" and any(run["level"] is not None for run in runs)
    treated = role not in ("teacher", "second-teacher", "baseline")
    for run in runs:
        if by_level and query["level"] is not None and run["level"] != query["level"]:
            continue
        treatment = (run["temperature"], run["weight"])
        if treated and treatment != (query["temperature"], query["weight"]):
            continue
        if run["diverged"] is None and run["metrics"].get(query["metric"]) is not None:
            chosen.append(run)
    return sorted(chosen, key=lambda run: run["seed"])


@derives("metric")
def metric(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean over the runs of a role."""
    runs = counted_runs(query, query["role"], place, facts)
    return mean_of([(run["id"], None, run["metrics"][query["metric"]]) for run in runs])


def with_baselines(
    runs: Sequence[dict[str, Any]], query: Query, place: Place, facts: Facts
) -> list[Pair]:
    """Return students with the baselines of their seeds."""
    baselines = {run["seed"]: run for run in counted_runs(query, "baseline", place, facts)}
    return [(run, baselines[run["seed"]]) for run in runs if run["seed"] in baselines]


def _pairs_of_runs(query: Query, place: Place, facts: Facts) -> list[Pair]:
    return with_baselines(counted_runs(query, "student", place, facts), query, place, facts)


def _members(pairs: Sequence[Pair], query: Query) -> list[Member]:
    name = query["metric"]
    return [(a["id"], b["id"], a["metrics"][name] - b["metrics"][name]) for a, b in pairs]


STUDENTS, FUSIONS = ("student", "baseline"), ("fusion", "fusion")


def paired_difference(
    pairs: Sequence[Pair], roles: tuple[str, str], query: Query, place: Place, facts: Facts
) -> Derived:
    """Mean of a paired difference, and its interval."""
    found = interval(place.study, roles, query["metric"], pairs, facts)
    stored = found and found.stored(found.p)
    return replace(mean_of(_members(pairs, query)), interval=stored)


@derives("difference")
def difference(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean over seeds of student minus baseline."""
    return paired_difference(_pairs_of_runs(query, place, facts), STUDENTS, query, place, facts)


@derives("effect")
def effect(query: Query, place: Place, facts: Facts) -> Derived:
    """Whether distilling helps at the level, by Holm's correction over all levels."""
    return sweep_effect(_pairs_of_runs, STUDENTS, query, place, facts)


def sweep_effect(
    pairs_of: Callable[[Query, Place, Facts], list[Pair]],
    roles: tuple[str, str],
    query: Query,
    place: Place,
    facts: Facts,
) -> Derived:
    """Whether distilling helps at the level of a query, by Holm's correction over all levels.

    Args:
        pairs_of: returns the students of a query, each with the run that it is compared with.
        roles: role of the students, and of what they are compared with.
        query: the cell's query.
        place: the cell and its study.
        facts: the files that the audit has read.
    """
    treatment = (query["temperature"], query["weight"])
    levels = [None]
    if query["level"] is not None:
        levels = list(
            dict.fromkeys(
                run["level"]
                for run in facts.runs(place.study, roles[0])
                if (run["temperature"], run["weight"]) == treatment
            )
        )
    sweep = {one: pairs_of(query | {"level": one}, place, facts) for one in levels}
    return _judged(sweep, query["level"], roles, query, place, facts)


def _judged(
    sweep: dict[str | None, list[Pair]],
    level: str | None,
    roles: tuple[str, str],
    query: Query,
    place: Place,
    facts: Facts,
) -> Derived:
    """Whether distilling helps at a level of a sweep, by the pairs of every level."""
    metric = query["metric"]
    intervals = [interval(place.study, roles, metric, pairs, facts) for pairs in sweep.values()]
    at = list(sweep).index(level) if level in sweep else None
    said, p = conclusion(intervals, at, metric)
    found = None if at is None else intervals[at]
    members = _members(sweep.get(level, []), query)
    if found is None:
        return Derived(said, members=members)
    return Derived(said, n=len(members), members=members, interval=found.stored(p))


def _fusions(arm: str, metric: str, place: Place, facts: Facts) -> dict[int, dict[str, Any]]:
    """Fusions of an arm that count, by seed; none where none were trained."""
    if not place.cell["inputs"]:
        return {}
    runs = [run for run in facts.runs(place.study, "fusion") if run["arm"] == arm]
    counted = [r for r in runs if r["diverged"] is None and r["metrics"].get(metric) is not None]
    return {run["seed"]: run for run in sorted(counted, key=lambda run: run["seed"])}


@derives("fusion")
def fusion(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean over the fusions of an arm."""
    runs = _fusions(query["arm"], query["metric"], place, facts).values()
    return mean_of([(run["id"], None, run["metrics"][query["metric"]]) for run in runs])


def _pairs_of_arms(query: Query, place: Place, facts: Facts) -> list[Pair]:
    """Fusions of an arm with those of another of their seeds."""
    first, second = (
        _fusions(query[arm], query["metric"], place, facts) for arm in ("arm", "minus")
    )
    return [(run, second[seed]) for seed, run in first.items() if seed in second]


@derives("fusion-difference")
def fusion_difference(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean over seeds of one arm minus another."""
    return paired_difference(_pairs_of_arms(query, place, facts), FUSIONS, query, place, facts)


@derives("fusion-effect")
def fusion_effect(query: Query, place: Place, facts: Facts) -> Derived:
    """Whether an arm helps over another."""
    pairs = _pairs_of_arms(query, place, facts)
    return _judged({None: pairs}, None, FUSIONS, query, place, facts)


# Information


def _inputs_below(folder: str, place: Place, facts: Facts) -> list[str]:
    """The input files of a cell that are of its study and of this kind."""
    below = facts.path(folder, place.study, "")
    return [item["path"] for item in place.cell["inputs"] if item["path"].startswith(below)]


def _calibrations(place: Place, facts: Facts) -> list[str]:
    """The calibrations that a cell rests on: of its study, or of another that serves it."""
    below = facts.path("calibration", "")
    return [item["path"] for item in place.cell["inputs"] if item["path"].startswith(below)]


def _estimates(
    query: Query, quantity: str, level: str | None, place: Place, facts: Facts
) -> list[dict[str, Any]]:
    """Estimates of a quantity at a level, in order of seed; none where none were made."""
    found = [
        entry
        for name in _inputs_below("information", place, facts)
        for entry in facts.estimates(name, query["estimator"], quantity)
    ]
    chosen = [e for e in found if level is None or e["level"] is None or e["level"] == level]
    return sorted(chosen, key=lambda estimate: estimate["seed"])


@derives("information")
def information(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean of estimates over runs."""
    found = _estimates(query, query["quantity"], query["level"], place, facts)
    members = [(e["id"], None, e["value"]) for e in found if e["value"] is not None]
    return (sd_of if query.get("measure") == "sd" else mean_of)(members, "nats")


def _pairs(query: Query, place: Place, facts: Facts) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Estimates of I(teacher; student) with I(student; label) of the same run."""
    labels = {e["seed"]: e for e in _estimates(query, "student-label", None, place, facts)}
    found = _estimates(query, "teacher-student", query["level"], place, facts)
    pairs = [(e, labels[e["seed"]]) for e in found if e["seed"] in labels]
    return [(a, b) for a, b in pairs if a["value"] is not None and b["value"] is not None]


@derives("gap")
def gap(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean over runs of I(teacher; student) minus I(student; label)."""
    pairs = _pairs(query, place, facts)
    return mean_of([(a["id"], b["id"], a["value"] - b["value"]) for a, b in pairs], "nats")


@derives("gap-interval")
def gap_interval(query: Query, place: Place, facts: Facts) -> Derived:
    """An end of the interval around the gap, by the rule atop ``cch.criterion.gap``."""
    pairs = _pairs(query, place, facts)
    members = [(a["id"], b["id"], a["value"] - b["value"]) for a, b in pairs]
    ends = _interval(pairs, _curves(query, place, facts))
    value = ends[query["end"] == "high"] if ends else None
    return Derived(value, members=members, unit="nats")


@derives("sensitivity")
def sensitivity(query: Query, place: Place, facts: Facts) -> Derived:
    """An end of what a quantity or the gap comes to without bias, by the same rule."""
    pairs, curves = _pairs(query, place, facts), _curves(query, place, facts)
    members = [(a["id"], b["id"], a["value"] - b["value"]) for a, b in pairs]
    span = None
    if query["of"] != "gap":
        side = ("teacher-student", "student-label").index(query["of"])
        if pairs and query["of"] in curves:
            values = [pair[side]["value"] for pair in pairs]
            span = _reading(values, curves[query["of"]])
    elif pairs and len(curves) == 2:
        span = _corners(pairs, curves)
    if span is None:
        return Derived("no reading", members=members)
    end = span[query["end"] == "high"]
    if math.isinf(end):
        return Derived("open", members=members)
    return Derived(end, members=members, unit="nats")


@dataclass(frozen=True)
class Curve:
    """What an estimator gave where the truth is known: plateaus (first truth, last, value, sd)."""

    plateaus: list[tuple[float, float, float, float]]
    repeats: int
    freedom: int
    ceiling: float

    def noise(self, estimate: float) -> float:
        """The larger of the noise between cases and that of all."""
        values, noises = [p[2] for p in self.plateaus], [p[3] for p in self.plateaus]
        near = float(np.interp(estimate, values, noises))
        return max(near, math.sqrt(statistics.fmean(noise**2 for noise in noises)))

    def truth(self, value: float, *, largest: bool) -> float:
        """The smallest or the largest truth at which the curve has a value."""
        first, last, top, _ = self.plateaus[-1]
        if value > top:
            return math.inf if largest else first
        if value == top:
            return (last if first == last else math.inf) if largest else first
        if value < self.plateaus[0][2]:
            return self.plateaus[0][0]
        for (left, end, low, _), (right, _, high, _) in itertools.pairwise(self.plateaus):
            if value == low:
                return end if largest else left
            if low < value < high:
                return end + (right - end) * (value - low) / (high - low)
        raise AssertionError("plateaus rise")


def _curves(query: Query, place: Place, facts: Facts) -> dict[str, Curve]:
    """The curves of both quantities at the level of a cell, where they were calibrated."""
    curves = {}
    for name in _calibrations(place, facts):
        results = facts.calibration(name, query["estimator"])
        for quantity, level in (("teacher-student", query["level"]), ("student-label", None)):
            mine = [
                r for r in results
                if r["quantity"] == quantity and r["level"] == level and not r["options"]
                and len(r["values"]) > 1
            ]  # fmt: skip
            if mine:
                curves[quantity] = _curve(mine)
    return curves


def _curve(results: Sequence[dict[str, Any]]) -> Curve:
    """Cases of known truth, pooled until their means rise."""
    pools: list[list[tuple[float, float, float]]] = []
    for r in sorted(results, key=lambda r: r["truth"]):
        pools.append(
            [(statistics.fmean(r["values"]), r["truth"], statistics.variance(r["values"]))]
        )
        while len(pools) > 1 and _mean(pools[-2], 0) >= _mean(pools[-1], 0):
            pools[-2:] = [pools[-2] + pools[-1]]
    counts, ceiling = [len(r["values"]) for r in results], results[0]["ceiling"]
    return Curve(
        [(p[0][1], p[-1][1], _mean(p, 0), math.sqrt(_mean(p, 2))) for p in pools],
        min(counts),
        sum(count - 1 for count in counts),
        math.inf if ceiling is None else ceiling,
    )


def _interval(
    pairs: Sequence[tuple[Any, Any]], curves: dict[str, Curve]
) -> tuple[float, float] | None:
    """Ends of the gap's 95 % interval in nats; None where nothing measures its error."""
    if not pairs:
        return None
    gaps = [a["value"] - b["value"] for a, b in pairs]
    gap, parts = statistics.fmean(gaps), []
    if curves:
        sides = {"teacher-student": 0, "student-label": 1}
        noises = [
            curve.noise(statistics.fmean(pair[sides[quantity]]["value"] for pair in pairs))
            for quantity, curve in curves.items()
        ]
        parts = [(sum(noises) ** 2, min(curve.freedom for curve in curves.values()))]
    spread = _standard_error(gaps)
    # Equal runs measure no error; 1e-8 nats is rounding.
    if (spread is None and len(curves) < 2) or (not parts and (spread or 0) < 1e-8):
        return None
    if spread is not None:
        parts.append((spread**2, len(gaps) - 1))
    reach = _reach(parts)
    return None if math.isinf(reach) else (gap - reach, gap + reach)


def _standard_error(values: Sequence[float]) -> float | None:
    n = len(values)
    return statistics.stdev(values) / math.sqrt(n) if n > 1 else None


def _reach(parts: Sequence[tuple[float, int]]) -> float:
    """Half a 95 % interval whose variance is a sum of parts with degrees of freedom."""
    parts = [(variance, freedom) for variance, freedom in parts if variance > 0]
    if not parts:
        return 0.0
    if any(freedom < 1 for _, freedom in parts):
        return math.inf
    total = sum(variance for variance, _ in parts)
    freedom = total**2 / sum(variance**2 / freedom for variance, freedom in parts)
    return float(stdtrit(freedom, 0.975)) * math.sqrt(total)


def _reach_of(values: Sequence[float], curve: Curve, factor: float) -> float:
    """Half the interval of one quantity: runs, and noise of so many times its variance."""
    parts = [(factor * curve.noise(statistics.fmean(values)) ** 2, curve.freedom)]
    spread = _standard_error(values)
    if spread is not None and spread >= 1e-8:
        parts.append((spread**2, len(values) - 1))
    return _reach(parts)


def _reading(values: Sequence[float], curve: Curve) -> tuple[float, float] | None:
    """The truths at which such estimates are given; None below all that was tried."""
    mean, reach = statistics.fmean(values), _reach_of(values, curve, 1 + 1 / curve.repeats)
    if mean + reach < curve.plateaus[0][2] or math.isinf(reach):
        return None
    low = curve.truth(mean - reach, largest=False)
    high = curve.truth(mean + reach, largest=True)
    return min(low, curve.ceiling), min(high, curve.ceiling)


def _corners(pairs: Sequence[tuple[Any, Any]], curves: dict[str, Curve]) -> tuple[float, float]:
    """The gap over all combinations of raw and debiased quantities."""
    ends = []
    for side, quantity in enumerate(("teacher-student", "student-label")):
        values, curve = [pair[side]["value"] for pair in pairs], curves[quantity]
        reach, read = _reach_of(values, curve, 1.0), _reading(values, curve)
        low, high = statistics.fmean(values) - reach, statistics.fmean(values) + reach
        if read:
            low, high = min(low, read[0]), max(high, read[1])
        ends.append([min(max(end, 0.0), curve.ceiling) for end in (low, high)])
    (ts_low, ts_high), (sl_low, sl_high) = ends
    return ts_low - sl_high, ts_high - sl_low


def _mean(pool: Sequence[tuple[float, float, float]], place: int) -> float:
    return statistics.fmean(entry[place] for entry in pool)


# Calibration


@derives("calibration")
def calibration(query: Query, place: Place, facts: Facts) -> Derived:
    """What an estimator gave on one case of known truth."""
    wanted = (query["quantity"], query["case"], query["options"])
    results = [
        entry
        for name in _calibrations(place, facts)
        for entry in facts.calibration(name, query["estimator"])
    ]
    for entry in results:
        level = query.get("level") or entry["level"]
        found = (entry["quantity"], entry["name"], entry["options"])
        if found == wanted and entry["level"] == level:
            break
    else:
        return Derived(None, n=0, members=[])
    measure, truth = query["measure"], entry["truth"]
    if measure == "sizes":
        return Derived(_sizes(entry), members=[])
    if measure == "truth":
        return Derived(truth, members=[], unit="nats")
    shift = truth if measure == "bias" else 0.0
    members = [(entry["id"], None, value - shift) for value in entry["values"]]
    return (sd_of if measure == "sd" else mean_of)(members, "nats")


def _sizes(entry: dict[str, Any]) -> str:
    counts = entry["class_counts"]
    said = f"n = {entry['rows']:,}, {entry['dx']} columns"
    if counts is None:
        return f"{said} and {entry['dy']}"
    if len(counts) > 5:
        return f"{said}, {len(counts)} classes of {min(counts)} to {max(counts)} rows"
    return f"{said}, classes of {', '.join(str(count) for count in counts)} rows"


# Settings and counts

SHOWN = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "relu": "ReLU", "leaky_relu": "LeakyReLU"}
SHOWN["cosine"] = "CosineAnnealingLR"


@derives("setting")
def setting(query: Query, place: Place, facts: Facts) -> Derived:
    """A setting, from what the records of the study's jobs say.

    What no job is given (a title) is taken from the configuration that the document holds.
    """
    recorded = facts.recorded_settings(place.study)
    stated = place.document.get("settings", {}).get(place.study, {})
    value, found = _lookup(recorded, query["path"])
    own, has_own = _lookup(
        stated.get("study", {}) | {"dataset": stated.get("dataset")}, query["path"]
    )
    if not found and not has_own:
        raise NotDerivable(f"no record holds the setting {query['path']}")
    if found and has_own and value != own:
        raise CchError(
            place.cell["id"], f"its table says {own!r}, the records of the jobs {value!r}"
        )
    value = value if found else own
    items = value if isinstance(value, list) else [value]
    return Derived(", ".join(_said(item) for item in items), members=[])


def _said(item: Any) -> str:
    if item is True or item is False:
        return {True: "yes", False: "no"}[item]
    return SHOWN.get(item, item) if isinstance(item, str) else f"{item:g}"


def _lookup(node: Any, path: str) -> tuple[Any, bool]:
    """A value by its dotted path, and whether there is one."""
    for part in path.split("."):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return None, False
    return node, True


def _dataset(place: Place, facts: Facts) -> h5py.File:
    """The dataset file that a cell rests on, opened."""
    name = place.cell["inputs"][0]["path"]
    try:
        return h5py.File(facts.tree.place(name), "r")
    except OSError as error:
        raise CchError(name, f"cannot be read as HDF5 ({error})") from None


@derives("count")
def count(query: Query, place: Place, facts: Facts) -> Derived:
    """Rows of the parts of one seed, counted."""
    with _dataset(place, facts) as file:
        if "split" not in file:
            numbers = _drawn(query["parts"], len(file["label"]), place, facts)
        else:
            part = file["split"][()].astype(str)
            first = file["draw"][()] == 0 if "draw" in file else np.ones(len(part), bool)
            numbers = [int(((part == name) & first).sum()) for name in query["parts"]]
    if query.get("percent"):
        return Derived(" / ".join(f"{n / sum(numbers):.0%}" for n in numbers), members=[])
    return Derived(" / ".join(f"{number:,}" for number in numbers), members=[])


def _drawn(parts: Sequence[str], rows: int, place: Place, facts: Facts) -> list[int]:
    """Rows of the parts of a split that is drawn for each seed: what the runs were given."""
    name = facts.path("runs", place.study, "baseline.h5")
    if name not in facts.tree.made:
        raise NotDerivable("the split is drawn for each seed, and there are no runs to count in")
    import json

    with h5py.File(facts.tree.place(name), "r") as file:
        header = json.loads(file.attrs["header"])
    known = {"train": header["train_rows"], "test": header["test_rows"]}
    valid = facts.recorded_settings(place.study)["split"]["valid"]
    known["valid"] = valid if isinstance(valid, int) else round(valid * rows)
    return [known[part] for part in parts]


@derives("cases")
def cases(query: Query, place: Place, facts: Facts) -> Derived:
    """Samples of one class, or of all, counted."""
    import json

    with _dataset(place, facts) as file:
        label, classes = file["label"][()], json.loads(file.attrs["class_names"])
    if query["name"] is None:
        return Derived(f"{len(label):,}", members=[])
    if query["name"] not in classes:
        return Derived("-", members=[])
    return Derived(f"{sum(label == classes.index(query['name'])):,}", members=[])


@derives("outputs")
def outputs(query: Query, place: Place, facts: Facts) -> Derived:
    """Classes of the dataset, or one."""
    import json

    with _dataset(place, facts) as file:
        classes = json.loads(file.attrs["class_names"])
        number = len(classes) if file.attrs["task"] == "classification" else 1
    return Derived(str(number), members=[])
