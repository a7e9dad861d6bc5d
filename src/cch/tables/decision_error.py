"""The table of decision errors: how often an estimator gets the sign of a known gap wrong.

A point estimator decides by the sign of its estimated gap, bounds by the rule of
``cch.criterion.ground``. The table belongs to no study, because its samples are generated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.config.registry import BOUNDS
from cch.config.specs import DecisionTableSpec
from cch.criterion.ground import Claim, Side, claims, decide, entropy_side
from cch.information.units import Nats
from cch.information.worlds import World, worlds
from cch.tables.documents import (
    FORMAT,
    NO_VALUE,
    Cell,
    Column,
    Document,
    InputFile,
    Member,
    Row,
    generated_cell,
)
from cch.tables.outcomes import COUNTS_SUFFIX, Outcomes

NAME = "decision-error"
Entries = Mapping[str, dict[str, Any]]
"""The stored entries of one world, by quantity."""


def decision_document(files: Mapping[str, str], spec: DecisionTableSpec) -> Document:
    """Return the table of decision errors.

    Args:
        files: paths of the files that ``cch.information.decision_error`` wrote, by estimator.
        spec: worlds and estimators.
    """
    entry, all_worlds = spec.entry, worlds(spec.entry)
    cells = [cell for name, path in files.items() for cell in _cells(name, path, all_worlds)]
    columns = []
    for name in files:
        columns.append(Column(key=name, label=name, unit=None, style=None))
        label = f"{name}: wrong / undecided / right"
        columns.append(Column(key=f"{name}{COUNTS_SUFFIX}", label=label, unit=None, style=None))
    return Document(
        format=FORMAT,
        id=NAME,
        kind=NAME,
        number="Decision error",
        title="Probability that an estimator gives the gap the wrong sign",
        caption="Share of samples whose gap got the wrong sign, with the 95 % interval of its "
        "probability (Clopper and Pearson); then how many got the wrong sign, none and the right "
        "one. The samples are of generated worlds in which I(teacher; student) - "
        f"I(student; label) is known; I(student; label) is {entry.student_label:g} nats of "
        f"{entry.classes} classes. Point estimators decide by the sign of the estimated gap, "
        "bounds as the criterion does, with one run.",
        study=None,
        row_label="world",
        deviations=(),
        columns=tuple(columns),
        rows=tuple(
            Row(key=world.name, label=heading(world), parameters=_parameters(world))
            for world in all_worlds
        ),
        panels=(),
        cells={cell.key: cell for cell in cells},
        notes=(),
    )


def heading(world: World) -> str:
    """Return the heading of a world's row."""
    size = f"{world.columns} columns, rank {world.rank}, n = {world.rows}"
    teacher = "teacher knows the label, " if world.teacher_knows_label else ""
    return f"gap {world.gap:g} nats, {teacher}{size}"


def _parameters(world: World) -> dict[str, float | bool]:
    """Return the settings that place a row in the figure."""
    names = ("rows", "columns", "rank", "gap", "teacher_knows_label")
    return {name: getattr(world, name) for name in names}


def _cells(estimator: str, path: str, all_worlds: Iterable[World]) -> Iterator[Cell]:
    """Yield the cells of one estimator: a share and counts for each world."""
    inputs = (InputFile(path=path, sha256=sha256_file(path)),)
    entries = json.loads(Path(path).read_text(encoding="utf-8"))["results"]
    for world in all_worlds:
        stored = {one["quantity"]: one for one in entries if one["name"] == world.name}
        bounds = estimator in BOUNDS
        amounts = margins(stored) if bounds else gaps(stored)
        found = Outcomes.of(list(amounts.values()), world.gap, bounds)
        query = {"kind": NAME, "estimator": estimator, "world": world.name}
        share, counts = None, None
        if found.samples:
            low, high = found.interval
            share = f"{found.share:.2f} [{low:.2f}, {high:.2f}]"
            counts = found.text
        yield generated_cell(
            f"{NAME}/{world.name}/{estimator}",
            query | {"measure": "wrong"},
            found.share if found.samples else None,
            "share of independent samples with the wrong sign",
            text=share or NO_VALUE,
            members=_members(amounts, path),
            inputs=inputs,
        )
        yield generated_cell(
            f"{NAME}/{world.name}/{estimator}{COUNTS_SUFFIX}",
            query | {"measure": "counts"},
            counts,
            "independent samples with the wrong sign / undecided / with the right sign",
            text=counts or NO_VALUE,
            inputs=inputs,
        )


def _members(amounts: Mapping[int, float], path: str) -> tuple[Member, ...]:
    """Return estimated gaps or margins, in nats, as members; keys are numbers of samples."""
    return tuple(
        Member(kind="estimate", id=f"sample {i}", file=path, seed=i, value=value)
        for i, value in amounts.items()
    )


def gaps(entries: Entries) -> dict[int, float]:
    """Return estimated gaps in nats by sample; those with a failed estimate are left out."""
    both = zip(
        *(entries[name]["values"] for name in ("teacher-student", "student-label")), strict=True
    )
    return {
        i: mutual - own
        for i, (mutual, own) in enumerate(both)
        if mutual is not None and own is not None
    }


def margins(entries: Entries) -> dict[int, float]:
    """Return margins of the criterion by bounds, in nats, by sample; see ``cch.criterion.ground``.

    A sample is left out where bounds failed and neither comparison is possible.
    """
    sides = {quantity: _sides(one) for quantity, one in entries.items()}
    one = entries["teacher-student"]
    entropy = entropy_side(np.arange(one["rows"]) % one["classes"])
    found = {}
    for i, below in enumerate(sides["teacher-student"]):
        given, above = (
            sides[name][i] for name in ("teacher-student-given-label", "label-given-teacher")
        )
        some = _claims(below, entropy, given, above)
        if (margin := decide({"": some})[""].margin) is not None:
            found[i] = float(margin)
    return found


def _claims(
    below: Side | None, entropy: Side, given: Side | None, above: Side | None
) -> list[Claim]:
    """Return the claims that the bounds of one sample make."""
    return claims({"": [below]}, {"": [entropy]}, {"": [given]}, {"": [above]})


def _sides(entry: Mapping[str, Any]) -> list[Side | None]:
    """Return the bounds of one quantity, sample by sample; None where one failed."""
    return [
        None if value is None else _side(value, entry["confidence"], mean, degrees)
        for value, mean, degrees in zip(
            *(entry[part] for part in ("values", "mean", "degrees_of_freedom")), strict=True
        )
    ]


def _side(value: float, confidence: float, mean: float | None, degrees: float | None) -> Side:
    # No rows to estimate on give the limit 0 without an error: information is never below 0.
    if mean is None and value != 0:
        raise CchError("a bound", "has no `mean` in its fit", "let the estimator store it")
    if mean is None or math.isclose(mean, value):
        return Side(Nats(value))
    return Side.of_bound(value, confidence, mean, degrees)
