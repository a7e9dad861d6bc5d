"""Derive cells of studies with two teachers, and the choice of the better one, from stored runs."""

from __future__ import annotations

from typing import Any

import h5py

from cch.audit.derive import (
    Derived,
    Place,
    Query,
    counted_runs,
    derives,
    mean_of,
    paired_difference,
    sweep_effect,
    with_baselines,
)
from cch.audit.facts import Facts, same
from cch.audit.gains import Pair
from cch.audit.metrics import metrics_again
from cch.base.errors import CchError

ROLE = "two-teachers"
ROLES = (ROLE, "baseline")


def _students(query: Query, place: Place, facts: Facts) -> list[dict[str, Any]]:
    """Students of one kind that count, in order of seed."""
    return [
        run for run in counted_runs(query, ROLE, place, facts) if run["targets"] == query["targets"]
    ]


def _pairs(query: Query, place: Place, facts: Facts) -> list[Pair]:
    return with_baselines(_students(query, place, facts), query, place, facts)


@derives("two-teachers")
def two_teachers(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean over the students of one kind."""
    found = _students(query, place, facts)
    return mean_of([(run["id"], None, run["metrics"][query["metric"]]) for run in found])


@derives("two-teachers-difference")
def two_teachers_difference(query: Query, place: Place, facts: Facts) -> Derived:
    """Mean over seeds of student minus baseline."""
    return paired_difference(_pairs(query, place, facts), ROLES, query, place, facts)


@derives("two-teachers-effect")
def two_teachers_effect(query: Query, place: Place, facts: Facts) -> Derived:
    """Whether distilling helps at the level, by Holm's correction over all levels."""
    return sweep_effect(_pairs, ROLES, query, place, facts)


@derives("better-teacher")
def better_teacher(query: Query, place: Place, facts: Facts) -> Derived:
    """Seeds in which each teacher did better on validation rows, by their stored outputs.

    Raises:
        CchError: a run says otherwise, was taught by another teacher, or a validation row is a
            test row.
    """
    settings = facts.recorded_settings(place.study)
    names, metric = (settings["teacher"], settings["second_teacher"]), settings["metric"]
    teachers = [
        {run["seed"]: run["id"] for run in facts.runs(place.study, role)}
        for role in ("teacher", "second-teacher")
    ]
    scores = _scores(query["level"], metric, place, facts)
    file = facts.path("runs", place.study, f"{ROLE}.h5")
    better = [r for r in facts.runs(place.study, ROLE) if r["targets"] == "better"]
    better = [r for r in better if r["level"] == query["level"]]
    members: dict[int, tuple[str, None, float]] = {}
    for run in better:
        seed, about = run["seed"], f"run {run['id']}"
        stored = [run["validation"].get(name) for name in names]
        if not all(map(same, stored, scores[seed])):
            said = f"{about} has validation scores {stored}, stored outputs give {scores[seed]}"
            raise CchError(file, said, "train it again")
        # By the stored scores: two that are equal here may differ in a last digit there.
        second = _is_better(stored[1], stored[0], metric)
        if run["chosen"] != names[second]:
            said = f"{about} chose {run['chosen']}, its validation scores are {stored}"
            raise CchError(file, said, "train it again")
        if run["teacher"] != teachers[second].get(seed):
            said = f"{about} was not taught by the {names[second]} teacher of the study"
            raise CchError(file, said, "train it again")
        members.setdefault(seed, (run["id"], None, float(second)))
    found = [members[seed] for seed in sorted(members)]
    seconds = sum(int(value) for _, _, value in found)
    text = f"{names[0]} {len(found) - seconds}, {names[1]} {seconds}"
    return Derived(text, members=found)


def _is_better(one: float | None, other: float | None, metric: str) -> bool:
    """Whether a score is better than another; one that is not defined is worse than any."""
    if one is None or other is None:
        return one is not None
    return one < other if metric == "mse" else one > other


def _scores(level: str, metric: str, place: Place, facts: Facts) -> list[list[float | None]]:
    """The metric of both teachers on the validation rows of each seed."""
    name = facts.path("runs", place.study, f"{ROLE}.h5")
    try:
        with h5py.File(facts.tree.place(name), "r") as file:
            outputs, label = file[f"validation_logits/{level}"][()], file["validation_label"][()]
            pairs = zip(file["validation_rows"][()], file["test_rows"][()], strict=True)
            if any(set(held.tolist()) & set(tested.tolist()) for held, tested in pairs):
                raise CchError(name, "has validation rows that are test rows", "train it again")
    except (OSError, KeyError) as error:
        raise CchError(name, f"holds no validation outputs ({error})") from None
    task = "regression" if metric == "mse" else "classification"
    return [
        [metrics_again(one[seed], label[seed], task)[metric] for one in outputs]
        for seed in range(len(label))
    ]
