"""The criterion of a study by its bounds and closed forms, level by level."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cch.criterion.closed_form import ClosedForm, closed_form
from cch.criterion.ground import (
    Claim,
    GroundVerdict,
    Side,
    Sides,
    claims,
    decide,
    entropy_side,
)
from cch.information.units import Nats
from cch.tables.source import Source
from cch.training.plan import level_name
from cch.training.store import RunsFile

Entry = dict[str, Any]
"""A bound as it is stored."""

BOUNDS = {
    "teacher-student": "lower",
    "teacher-student-given-label": "lower",
    "label-given-teacher": "upper",
}
"""The quantities of claims, with the side on which each is bounded."""


def criterion_by_level(source: Source) -> dict[str, GroundVerdict]:
    """Decide the criterion at every level of a study; see ``cch.criterion.ground``."""
    closed = closed_forms(source)
    names = map(level_name, source.study.degradation.levels)
    return decide({name: _claims(source, name, closed.get(name)) for name in names}, closed)


def closed_forms(source: Source) -> dict[str, ClosedForm]:
    """What is known exactly of a study's inputs, by level."""
    study, dataset = source.study, source.config.datasets[source.study.dataset]
    found = {
        level_name(level): closed_form(study, dataset, level) for level in study.degradation.levels
    }
    return {name: exact for name, exact in found.items() if exact is not None}


def bounds_at(source: Source, level: str) -> list[Entry]:
    """All bounds of a study at a level that have a value, in order of run."""
    found = [
        entry
        for estimator in source.study.bounds
        for quantity, kind in BOUNDS.items()
        for entry in source.estimates(estimator, quantity)
        if (entry["level"], entry["kind"]) == (level, kind) and entry["value"] is not None
    ]
    return sorted(found, key=lambda e: (e["seed"], e["quantity"], e["estimator"]))


def _claims(source: Source, level: str, exact: ClosedForm | None) -> list[Claim]:
    entries, runs = bounds_at(source, level), range(source.study.information.runs)
    lower, lower_given_label, cross_entropy = (
        _sides(entries, quantity, runs) for quantity in BOUNDS
    )
    upper: dict[str, Sides] = {}
    if exact is not None:
        upper["closed form"] = [Side(Nats(exact.student_label)) for _ in runs]
    elif lower:
        upper = _entropies(source, max(entry["n"] for entry in entries), runs)
    return claims(lower, upper, lower_given_label, cross_entropy)


def _sides(entries: Iterable[Entry], quantity: str, runs: Iterable[int]) -> dict[str, Sides]:
    """Bounds of a quantity by estimator, run by run."""
    found: dict[str, dict[int, Side | None]] = {}
    for entry in entries:
        if entry["quantity"] == quantity:
            found.setdefault(entry["estimator"], {})[entry["seed"]] = Side.of_entry(entry)
    return {name: [by_run.get(run) for run in runs] for name, by_run in found.items()}


def _entropies(source: Source, rows: int, runs: Iterable[int]) -> dict[str, Sides]:
    """H(Y) of the rows that each run's bounds were given; empty for a continuous label."""
    with RunsFile(source.runs_path("baseline")) as file:
        if file.header["task"] != "classification":
            return {}
        labels = file.array("information_label")
    return {"H(Y)": [entropy_side(labels[run][:rows]) for run in runs]}
