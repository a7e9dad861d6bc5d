"""What ``cch verdict`` prints: the teachers as a table, and notes below it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table


def as_table(document: dict[str, Any]) -> Table:
    """Return the teachers as a table, ranked; information in nats."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{document['criterion']}, n = {document['rows']} rows",
        title_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    calibrated, name = (
        document["settings"]["calibration_repeats"],
        document["settings"]["estimator"],
    )
    table.add_column("teacher", overflow="fold")
    table.add_column("criterion", no_wrap=True)
    table.add_column("ground", no_wrap=True)
    for heading in ("margin", "lower", "upper", f"gap, {name}"):
        table.add_column(f"{heading}\n(nats)", justify="right", no_wrap=True)
    if calibrated:
        table.add_column("95 % interval\n(nats)", justify="right", no_wrap=True)
    for teacher in document["teachers"]:
        evidence = teacher["evidence"]
        amounts = [*(teacher[part] for part in ("margin", "lower", "upper")), evidence["gap"]]
        shown = [*map(_text, amounts)]
        if calibrated:
            low, high = evidence["low"], evidence["high"]
            shown.append("unknown" if low is None else f"{_text(low)} to {_text(high)}")
        ground = teacher["ground"] or "none"
        table.add_row(escape(teacher["name"]), teacher["verdict"], ground, *shown)
    return table


def _text(nats: float | None) -> str:
    return "unknown" if nats is None else f"{nats:.4f}"


def notes(document: dict[str, Any]) -> list[str]:
    """Return what stands below the table: the label, what was used, the ranking and all flags."""
    settings, label = document["settings"], document["label"]
    version = document["student_label"]["estimates"][0]["fit"]["version"]
    confidence = document["confidence"]
    repeats = settings["calibration_repeats"]
    calibrated = f"calibrated on {repeats} samples of each case" if repeats else "not calibrated"
    lines = [
        f"H(Y) = {label['entropy']:.4f} nats, {len(label['classes'])} classes"
        if label["classes"]
        else "continuous label",
        f"bounds: {', '.join(document['estimators'])}; all verdicts together at {confidence:.0%}; "
        f"{settings['repeats']} runs, {document['runs']}"
        if document["estimators"]
        else "bounds: none, since a continuous label has no entropy",
        f"evidence, no verdict: {settings['estimator']} {version}, {calibrated}",
        f"ranked {document['ranking']}",
    ]
    return lines + [f"flag: {flag}" for flag in all_flags(document)]


def all_flags(document: dict[str, Any]) -> list[str]:
    """Return every flag once: of the arrays, of I(student; label), and of each teacher by name.

    What is said of every teacher is about what they share, and stands without a name. Flags of the
    evidence are left out where it is not calibrated: they all say so.
    """
    teachers = document["teachers"]
    calibrated = document["settings"]["calibration_repeats"]
    flags = {
        one["name"]: one["flags"] + (one["evidence"]["flags"] if calibrated else [])
        for one in teachers
    }
    said = Counter(flag for some in flags.values() for flag in dict.fromkeys(some))
    shared = [flag for flag, count in said.items() if count == len(teachers) > 1]
    own = [f"{n}: {flag}" for n, some in flags.items() for flag in some if flag not in shared]
    return [*document["flags"], *document["student_label"]["flags"], *shared, *own]
