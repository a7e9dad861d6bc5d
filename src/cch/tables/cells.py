"""Cells: queries answered from runs and estimates, with all that they rest on.

A cell holds the unrounded value, the printed text, n, the standard error, how it was aggregated,
the runs or estimates behind it with their single values, the files they came from by SHA-256, and
the paper's value with a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.errors import CchError
from cch.config import Config
from cch.data.paired import split_of
from cch.information.units import to_bits
from cch.tables import layouts
from cch.tables.claims import Claim, filled, setting, titled
from cch.tables.compare import compare_numbers, compare_texts
from cch.tables.layouts import Layout, layout_inputs
from cch.tables.render import format_value
from cch.tables.source import Source
from cch.tables.spec import TableSpec
from cch.tables.verdict_cells import criterion, effect

FORMAT = "cch-table-1"
DISPLAY = {
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "cosine": "CosineAnnealingLR",
}


@dataclass
class Answer:
    """What a query came to, before the paper's value is set beside it.

    The cell is the mean of ``values``, their standard deviation where ``spread``, or the number
    ``exact`` or the ``text`` where one is given.
    """

    values: list[float] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    aggregation: str = ""
    spread: bool = False
    exact: float | None = None
    unit: str | None = None
    signed: bool = False
    text: str | None = None
    flags: list[str] = field(default_factory=list)


def answer(query: Any, source: Source) -> Answer:
    """Answer a query from the files of its study."""
    handlers: dict[type, Callable[[Any, Source], Answer]] = {
        layouts.Metric: _metric,
        layouts.Difference: _difference,
        layouts.Information: _information,
        layouts.Gap: _gap,
        layouts.Calibration: _calibration,
        layouts.Criterion: _criterion,
        layouts.Effect: _effect,
        layouts.FusionMetric: _fusion,
        layouts.FusionDifference: _fusion_difference,
        layouts.FusionEffect: _fusion_effect,
        layouts.Setting: _setting,
        layouts.Count: _count,
        layouts.Cases: _cases,
        layouts.Outputs: _outputs,
    }
    return handlers[type(query)](query, source)


def _select(source: Source, role: str, query: Any) -> list[dict[str, Any]]:
    """Runs that a query asks for, in order of seed."""
    chosen = source.runs(role)
    per_level = role == "student" or any(run["level"] is not None for run in chosen)
    if per_level and role != "baseline" and query.level is not None:
        chosen = [run for run in chosen if run["level"] == query.level]
    if role == "student":
        treatment = (query.temperature, query.weight)
        chosen = [run for run in chosen if (run["temperature"], run["weight"]) == treatment]
    return sorted(chosen, key=lambda run: run["seed"])


def _usable(runs: list[dict[str, Any]], metric: str, flags: list[str]) -> list[dict[str, Any]]:
    """Runs whose metric counts; what is left out is said in ``flags``."""
    diverged = [run["seed"] for run in runs if run["diverged"] is not None]
    if diverged:
        flags.append(f"{len(diverged)} of {len(runs)} runs diverged: seeds {diverged}")
    kept = [run for run in runs if run["diverged"] is None]
    missing = [run["seed"] for run in kept if run["metrics"].get(metric) is None]
    if missing:
        flags.append(f"{metric} is not defined for seeds {missing}")
    return [run for run in kept if run["metrics"].get(metric) is not None]


def _run_member(path: str, run: dict[str, Any], value: float) -> dict[str, Any]:
    return {"kind": "run", "id": run["id"], "file": path, "seed": run["seed"], "value": value}


def _metric(query: layouts.Metric, source: Source) -> Answer:
    path = source.paths.runs(source.name, query.role)
    found = Answer(files=[path], aggregation=f"mean of test {query.metric} over seeds, last epoch")
    runs = _select(source, query.role, query)
    if not runs:
        found.flags.append(_not_run(query))
    for run in _usable(runs, query.metric, found.flags):
        found.values.append(run["metrics"][query.metric])
        found.members.append(_run_member(path, run, run["metrics"][query.metric]))
    return found


def _difference(query: layouts.Difference, source: Source) -> Answer:
    student = source.paths.runs(source.name, "student")
    baseline = source.paths.runs(source.name, "baseline")
    found = Answer(
        files=[student, baseline],
        aggregation=f"mean over seeds of test {query.metric}, student minus baseline of that seed",
        signed=True,
    )
    chosen = _select(source, "student", query)
    if not chosen:
        found.flags.append(_not_run(query))
    rivals = _select(source, "baseline", query)
    _subtract(found, query.metric, (student, chosen), (baseline, rivals))
    return found


def _subtract(
    found: Answer,
    metric: str,
    first: tuple[str, list[dict[str, Any]]],
    second: tuple[str, list[dict[str, Any]]],
) -> None:
    """Add to ``found`` a metric of the first file's runs minus that of the second's, by seed."""
    (path, chosen), (rival_path, rivals) = first, second
    kept = _usable(chosen, metric, found.flags)
    by_seed = {run["seed"]: run for run in _usable(rivals, metric, found.flags)}
    for run in kept:
        rival = by_seed.get(run["seed"])
        if rival is None:
            continue
        value = run["metrics"][metric] - rival["metrics"][metric]
        found.values.append(value)
        member = _run_member(path, run, value)
        found.members.append(member | {"minus": rival["id"], "minus_file": rival_path})


def _not_run(query: Any) -> str:
    wanted = f"T = {query.temperature:g}, λ = {query.weight:g}" if query.temperature else "it"
    return f"not run in this configuration: {wanted}"


def _pick(source: Source, estimator: str, quantity: str, level: str | None) -> list[dict[str, Any]]:
    """Estimates of a quantity at a level, in order of seed; some quantities have no level."""
    every = source.estimates(estimator, quantity)
    return sorted(
        (e for e in every if e["level"] is None or level is None or e["level"] == level),
        key=lambda e: e["seed"],
    )


def _information(query: layouts.Information, source: Source) -> Answer:
    found = Answer(aggregation=f"{query.measure} of estimates over runs", unit="nats")
    found.spread = query.measure == "sd"
    if query.estimator not in source.study.information.estimators:
        found.flags.append(f"not estimated in this configuration: {query.estimator}")
        return found
    path = source.estimates_path(query.estimator)
    found.files = [path]
    for estimate in _pick(source, query.estimator, query.quantity, query.level):
        found.flags += [f"seed {estimate['seed']}: {flag}" for flag in estimate["flags"]]
        if estimate["value"] is not None:
            found.values.append(estimate["value"])
            found.members.append(_estimate_member(path, estimate, estimate["value"]))
    return found


def _estimate_member(path: str, estimate: dict[str, Any], value: float) -> dict[str, Any]:
    return {
        "kind": "estimate",
        "id": estimate["id"],
        "file": path,
        "seed": estimate["seed"],
        "value": value,
    }


def _gap(query: layouts.Gap, source: Source) -> Answer:
    found = Answer(
        aggregation="mean over runs of I(teacher; student) minus I(student; label) of that run",
        unit="nats",
        signed=True,
    )
    if query.estimator not in source.study.information.estimators:
        found.flags.append(f"not estimated in this configuration: {query.estimator}")
        return found
    path = source.estimates_path(query.estimator)
    found.files = [path]
    labels = {e["seed"]: e for e in _pick(source, query.estimator, "student-label", None)}
    for estimate in _pick(source, query.estimator, "teacher-student", query.level):
        other = labels.get(estimate["seed"])
        if other is None or estimate["value"] is None or other["value"] is None:
            found.flags.append(f"seed {estimate['seed']}: an estimate is missing")
            continue
        value = estimate["value"] - other["value"]
        found.values.append(value)
        member = _estimate_member(path, estimate, value)
        found.members.append(member | {"minus": other["id"], "minus_file": path})
    return found


def _criterion(query: layouts.Criterion, source: Source) -> Answer:
    gap = _gap(layouts.Gap(kind="gap", estimator=query.estimator, level=query.level), source)
    judged = criterion(
        source,
        query.estimator,
        _pick(source, query.estimator, "teacher-student", query.level),
        _pick(source, query.estimator, "student-label", None),
    )
    found = Answer(members=gap.members, files=list(gap.files), flags=judged.flags)
    if query.estimator in source.study.information.calibrated:
        found.files.append(source.calibration_path(query.estimator))
    if query.measure == "verdict":
        found.text, found.aggregation = judged.verdict, "where the gap's interval lies"
        return found
    found.exact, found.unit = getattr(judged, query.measure), "nats"
    found.signed = True
    found.aggregation = f"{query.measure} end of the gap's {judged.level:.0%} interval"
    if found.exact is None:
        found.flags.append("no interval")
    return found


def _effect(query: layouts.Effect, source: Source) -> Answer:
    difference = _difference(
        layouts.Difference(**query.model_dump(exclude={"kind"}), kind="difference"), source
    )
    return _judged(difference, query.metric)


def _judged(difference: Answer, metric: str) -> Answer:
    """Whether the interval of a paired difference says that it helps."""
    text, low, high = effect(difference.values, lower_is_better=metric == "mse")
    found = replace(difference, values=[], text=text)
    found.aggregation = f"where the 95 % interval of the paired {metric} difference lies"
    if len(difference.values) > 1:
        found.aggregation += f": {low:.4f} to {high:.4f}, n = {len(difference.values)}"
    return found


def _fusions(source: Source, arm: str) -> tuple[str, list[dict[str, Any]]]:
    """Path of the fusions of a study, and its runs of an arm in order of seed."""
    chosen = [run for run in source.runs("fusion") if run["arm"] == arm]
    return source.paths.runs(source.name, "fusion"), sorted(chosen, key=lambda run: run["seed"])


def _fusion(query: layouts.FusionMetric, source: Source) -> Answer:
    found = Answer(aggregation=f"mean of test {query.metric} over seeds, last epoch")
    if not source.study.fusion:
        found.flags.append("this configuration fuses nothing here")
        return found
    path, runs = _fusions(source, query.arm)
    found.files = [path]
    for run in _usable(runs, query.metric, found.flags):
        found.values.append(run["metrics"][query.metric])
        found.members.append(_run_member(path, run, run["metrics"][query.metric]))
    return found


def _fusion_difference(query: Any, source: Source) -> Answer:
    found = Answer(
        aggregation=f"mean over seeds of test {query.metric}, fusion {query.arm} minus "
        f"{query.minus} of that seed",
        signed=True,
    )
    if not source.study.fusion:
        found.flags.append("this configuration fuses nothing here")
        return found
    first, second = _fusions(source, query.arm), _fusions(source, query.minus)
    found.files = [first[0]]
    _subtract(found, query.metric, first, second)
    return found


def _fusion_effect(query: layouts.FusionEffect, source: Source) -> Answer:
    return _judged(_fusion_difference(query, source), query.metric)


def _calibration(query: layouts.Calibration, source: Source) -> Answer:
    path = source.calibration_path(query.estimator)
    for entry in source.calibration(query.estimator):
        wanted = (query.quantity, query.case, query.options)
        if (entry["quantity"], entry["name"], entry["options"]) == wanted:
            break
    else:
        return Answer(files=[path], flags=[f"{query.case} was not calibrated"])
    found = Answer(files=[path], unit="nats")
    if query.measure == "sizes":
        found.text, found.unit, found.aggregation = _sizes(entry), None, "sizes of the samples"
        return found
    if query.measure == "truth":
        found.exact, found.aggregation = entry["truth"], f"known truth, {entry['kind']}"
        return found
    shift = entry["truth"] if query.measure == "bias" else 0.0
    found.spread, found.signed = query.measure == "sd", query.measure == "bias"
    found.aggregation = {
        "mean": "mean of estimates on samples of known truth",
        "bias": "mean of estimates on samples of known truth, minus the truth",
        "sd": "standard deviation of an estimate over samples of known truth",
    }[query.measure]
    found.flags = list(entry["flags"])
    for repeat, value in enumerate(entry["values"]):
        found.values.append(value - shift)
        member = {"kind": "estimate", "id": entry["id"], "file": path, "seed": repeat}
        found.members.append(member | {"value": value - shift})
    return found


def _sizes(entry: dict[str, Any]) -> str:
    """Rows, columns and class mix of a calibration case, in words."""
    text = f"n = {entry['rows']:,}, {entry['dx']} columns"
    if entry["class_counts"] is None:
        return f"{text} and {entry['dy']}"
    counts = entry["class_counts"]
    if len(counts) > 5:
        return f"{text}, {len(counts)} classes of {min(counts)} to {max(counts)} rows"
    return f"{text}, classes of {', '.join(map(str, counts))} rows"


def _setting(query: layouts.Setting, source: Source) -> Answer:
    value = setting(source.config, source.name, query.path)
    items = value if isinstance(value, list) else [value]
    text = ", ".join(_shown_setting(item) for item in items)
    return Answer(text=text, aggregation=f"setting {query.path} of study {source.name}")


def _shown_setting(item: Any) -> str:
    if isinstance(item, bool):
        return "yes" if item else "no"
    return DISPLAY.get(item, item) if isinstance(item, str) else f"{item:g}"


def _count(query: layouts.Count, source: Source) -> Answer:
    with source.dataset() as dataset:
        split = split_of(source.study.split, source.study.dataset)
        counts = [len(dataset.rows(part, 0, split)) for part in query.parts]
    shares = [f"{100 * count / max(sum(counts), 1):.0f}%" for count in counts]
    return Answer(
        text=" / ".join(shares if query.percent else [f"{count:,}" for count in counts]),
        files=[source.paths.dataset(source.study.dataset)],
        aggregation=f"rows in {', '.join(query.parts)} of one seed, counted",
    )


def _cases(query: layouts.Cases, source: Source) -> Answer:
    found = Answer(files=[source.paths.dataset(source.study.dataset)])
    with source.dataset() as dataset:
        if query.name is None:
            found.text, found.aggregation = f"{len(dataset):,}", "samples of the dataset, counted"
        elif query.name in dataset.class_names:
            count = int((dataset.label == dataset.class_names.index(query.name)).sum())
            found.text, found.aggregation = f"{count:,}", f"samples of class {query.name}, counted"
        else:
            found.text, found.aggregation = "-", "no such class in the dataset"
            found.flags.append(f"the dataset has no class {query.name!r}")
    return found


def _outputs(query: layouts.Outputs, source: Source) -> Answer:
    with source.dataset() as dataset:
        count = len(dataset.class_names) if dataset.task == "classification" else 1
    return Answer(
        text=str(count),
        files=[source.paths.dataset(source.study.dataset)],
        aggregation="classes of the dataset, or one for regression",
    )


def _summary(found: Answer) -> tuple[float | None, float | None]:
    """Value of a cell and its standard error, each None where there are too few values."""
    n = len(found.values)
    if found.exact is not None:
        return found.exact, None
    sd = float(np.std(found.values, ddof=1)) if n > 1 else None
    if found.spread:
        # Of a standard deviation, for normal values.
        return sd, None if sd is None else sd / math.sqrt(2 * (n - 1))
    return float(np.mean(found.values)) if n else None, None if sd is None else sd / math.sqrt(n)


def _settings(layout: Layout, config: Config) -> dict[str, Any]:
    """The configuration of every study of a table, and of its dataset: where titles come from."""
    return {
        name: {
            "study": config.studies[name].model_dump(mode="json"),
            "dataset": config.datasets[config.studies[name].dataset].model_dump(mode="json"),
        }
        for name in layout.studies
    }


def build_cell(
    identity: str,
    query: Any,
    source: Source,
    claim: Claim | None,
    stand_in: bool,
    bits: bool = False,
) -> dict[str, Any]:
    """Return one cell as it is stored; see the module docstring.

    Where ``bits``, text and verdict are in bits, the paper's unit there; values stay nats.
    """
    found = answer(query, source)
    n = len(found.values)
    value: float | str | None
    if found.text is not None:
        value, se, text = found.text, None, found.text
        verdict = compare_texts(text, claim, stand_in)
    else:
        value, se = _summary(found)
        shown, shown_se = (_in_unit(number, bits) for number in (value, se))
        text = format_value(shown, shown_se, query.digits)
        verdict = compare_numbers(shown, shown_se, n, claim, signed=found.signed, stand_in=stand_in)
    return {
        "id": identity,
        "study": source.name,
        "value": value,
        "text": text,
        "unit": found.unit,
        **({"text_unit": "bits"} if bits else {}),
        "n": n if found.text is None and found.exact is None else None,
        "se": se,
        "aggregation": found.aggregation,
        "query": query.model_dump(mode="json"),
        "members": found.members,
        "inputs": source.inputs(found.files),
        "paper": {"text": claim.text, "value": claim.value, "se": claim.se} if claim else None,
        "verdict": verdict,
        "flags": found.flags,
    }


def _in_unit(nats: float | None, bits: bool) -> float | None:
    return to_bits(nats) if bits and nats is not None else nats


def build_document(spec: TableSpec) -> dict[str, Any]:
    """Return a table, or the numbers behind a figure, as a JSON document.

    Raises:
        CchError: a file that a cell reads is missing or broken.
    """
    name, layout, config, claims = spec.name, spec.layout, spec.config, spec.claims
    for path in layout_inputs(layout, config):
        if not Path(path).is_file():
            raise CchError(name, f"needs {path}, which does not exist", "build it first")
    sources = {study: Source(config, study) for study in layout.studies}
    source = sources[layout.study]
    printed = claims.means(name)
    cells = {
        key: build_cell(
            f"{name}/{key}",
            query,
            sources[study],
            printed.get(key),
            bool(spec.stand_ins),
            bits=layout.in_bits(key),
        )
        for key, study, query in layout.queries(config)
    }
    return {
        "format": FORMAT,
        "id": name,
        "kind": layout.kind,
        "number": layout.number,
        "title": titled(layout, config),
        "caption": layout.caption,
        "study": layout.study,
        "row_label": layout.row_label,
        "deviations": spec.deviations,
        "settings": _settings(layout, config),
        "columns": [
            column.model_dump(mode="json", exclude={"query"})
            | {"label": filled(layout.labelled(column, source.study), layout, config)}
            for column in layout.columns
        ],
        "rows": [
            {"key": row.key, "label": filled(row.label, layout, config)}
            for row in layout.row_list(source.study)
        ],
        "panels": [panel.model_dump(mode="json") for panel in layout.panels],
        "cells": {key: cell for key, cell in cells.items() if not key.startswith("notes/")},
        "notes": [
            {"label": layout.labelled(note, source.study), "cell": cells[f"notes/{note.key}"]}
            for note in layout.notes
        ],
    }
