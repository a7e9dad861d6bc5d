"""Every cell again: what a query asks for, answered a second time and as simply as possible.

A function for each kind of query, in a registry::

    @derives("metric")
    def metric(query: Query, place: Place, facts: Facts) -> Derived: ...

Kinds that nothing here knows are reported as not derived again, which strict mode refuses.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from scipy.special import stdtrit

from cch.audit.facts import Facts
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
    """What a cell must hold. ``text`` is None where it follows from value and error."""

    value: float | str | None
    se: float | None = None
    n: int | None = None
    members: Sequence[Member] | None = None
    text: str | None = None
    unit: str | None = UNSTATED


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


def _runs(query: Query, role: str, place: Place, facts: Facts) -> list[dict[str, Any]]:
    """Runs that a query means and that count: not diverged, with the metric."""
    chosen = []
    runs = facts.runs(place.study, role)
    by_level = role != "baseline" and any(run["level"] is not None for run in runs)
    treated = role not in ("teacher", "baseline")
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
    runs = _runs(query, query["role"], place, facts)
    return mean_of([(run["id"], None, run["metrics"][query["metric"]]) for run in runs])


def _differences(query: Query, place: Place, facts: Facts) -> list[Member]:
    name = query["metric"]
    rivals = {run["seed"]: run for run in _runs(query, "baseline", place, facts)}
    return [
        (run["id"], rival["id"], run["metrics"][name] - rival["metrics"][name])
        for run in _runs(query, "student", place, facts)
        if (rival := rivals.get(run["seed"]))
    ]


@derives("difference")
def difference(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean over seeds of student minus baseline."""
    return mean_of(_differences(query, place, facts))


@derives("effect")
def effect(query: Query, place: Place, facts: Facts) -> Derived:
    """Whether the 95 % interval of the paired difference excludes zero, and on which side."""
    return _judged(_differences(query, place, facts), query)


def _judged(members: list[Member], query: Query) -> Derived:
    found, said = mean_of(members), "undecided"
    if found.n and found.n > 1 and isinstance(found.value, float) and found.se is not None:
        reach = float(stdtrit(found.n - 1, 0.975)) * found.se
        better = -found.value if query["metric"] == "mse" else found.value
        said = "helps" if better - reach > 0 else "harms" if better + reach < 0 else "undecided"
    return Derived(said, members=members)


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


def _arms_apart(query: Query, place: Place, facts: Facts) -> list[Member]:
    name = query["metric"]
    rivals = _fusions(query["minus"], name, place, facts)
    return [
        (run["id"], rivals[seed]["id"], run["metrics"][name] - rivals[seed]["metrics"][name])
        for seed, run in _fusions(query["arm"], name, place, facts).items()
        if seed in rivals
    ]


@derives("fusion-difference")
def fusion_difference(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean over seeds of one arm minus another."""
    return mean_of(_arms_apart(query, place, facts))


@derives("fusion-effect")
def fusion_effect(query: Query, place: Place, facts: Facts) -> Derived:
    """Whether an arm helps over another."""
    return _judged(_arms_apart(query, place, facts), query)


# Information


def _inputs_below(folder: str, place: Place, facts: Facts) -> list[str]:
    """The input files of a cell that are of its study and of this kind."""
    below = facts.path(folder, place.study, "")
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


@derives("criterion")
def criterion(query: Query, place: Place, facts: Facts) -> Derived:
    """The interval around the gap and where it lies, by the rule atop ``cch.criterion.gap``."""
    pairs = _pairs(query, place, facts)
    members = [(a["id"], b["id"], a["value"] - b["value"]) for a, b in pairs]
    ends = _interval(query, pairs, place, facts)
    if query["measure"] == "verdict":
        low, high = ends if ends else (-math.inf, math.inf)
        said = "holds" if low > 0 else "fails" if high < 0 else "undecided"
        return Derived(said, members=members)
    value = ends[query["measure"] == "high"] if ends else None
    return Derived(value, members=members, unit="nats")


def _interval(
    query: Query, pairs: Sequence[tuple[Any, Any]], place: Place, facts: Facts
) -> tuple[float, float] | None:
    """Ends of the gap's 95 % interval in nats; None where nothing measures its error."""
    if not pairs:
        return None
    sides = [[pair[side]["value"] for pair in pairs] for side in (0, 1)]
    gaps = [a - b for a, b in zip(*sides, strict=True)]
    gap, n = statistics.fmean(gaps), len(gaps)
    readings, parts = [gap], []
    for name in _inputs_below("calibration", place, facts):
        results = facts.calibration(name, query["estimator"])
        errs = [
            _error_at([r for r in results if r["quantity"] == quantity and not r["options"]], mean)
            for quantity, mean in zip(
                ("teacher-student", "student-label"), map(statistics.fmean, sides), strict=True
            )
        ]
        readings.append(gap - (errs[0][0] - errs[1][0]))
        parts = [(noise**2, repeats - 1) for _, noise, repeats in errs]
    spread = statistics.stdev(gaps) / math.sqrt(n) if n > 1 else None
    # Equal runs measure no error; 1e-8 nats is rounding.
    if not parts and (spread is None or spread < 1e-8):
        return None
    if spread is not None:
        parts.append((spread**2, n - 1))
    parts = [(variance, freedom) for variance, freedom in parts if variance > 0]
    total = sum(variance for variance, _ in parts)
    if any(freedom < 1 for _, freedom in parts):
        return None
    if not parts:
        return min(readings), max(readings)
    freedom = total**2 / sum(variance**2 / freedom for variance, freedom in parts)
    reach = float(stdtrit(freedom, 0.975)) * math.sqrt(total)
    return min(readings) - reach, max(readings) + reach


def _error_at(results: Sequence[dict[str, Any]], estimate: float) -> tuple[float, float, int]:
    """Bias, noise and repeats at an estimate: pooled cases of known truth, linear in between."""
    usable = [r for r in results if len(r["values"]) > 1]
    pools: list[list[tuple[float, float, float]]] = []
    for r in sorted(usable, key=lambda r: r["truth"]):
        pools.append(
            [(statistics.fmean(r["values"]), r["truth"], statistics.variance(r["values"]))]
        )
        while len(pools) > 1 and _mean(pools[-2], 0) >= _mean(pools[-1], 0):
            pools[-2:] = [pools[-2] + pools[-1]]
    values = [_mean(pool, 0) for pool in pools]
    biases = [_mean(pool, 0) - _mean(pool, 1) for pool in pools]
    noises = [math.sqrt(_mean(pool, 2)) for pool in pools]
    bias, noise = (float(np.interp(estimate, values, curve)) for curve in (biases, noises))
    return bias, noise, min(len(r["values"]) for r in usable)


def _mean(pool: Sequence[tuple[float, float, float]], place: int) -> float:
    return statistics.fmean(entry[place] for entry in pool)


# Calibration


@derives("calibration")
def calibration(query: Query, place: Place, facts: Facts) -> Derived:
    """What an estimator gave on one case of known truth."""
    wanted = (query["quantity"], query["case"], query["options"])
    results = [
        entry
        for name in _inputs_below("calibration", place, facts)
        for entry in facts.calibration(name, query["estimator"])
    ]
    for entry in results:
        if (entry["quantity"], entry["name"], entry["options"]) == wanted:
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
