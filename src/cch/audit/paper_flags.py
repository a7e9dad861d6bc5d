"""Flags of four of the ledger's checks again, derived from the transcription alone.

Two numbers differ where their difference exceeds both their roundings and two combined printed
errors. Information whose unit the paper does not name is nats or bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from cch.audit.report import Audit

NUMBER = re.compile(r"(-?\d*\.?(\d*))\s*(?:±\s*(\d*\.?\d+))?")
LN2 = math.log(2)
CHECKS = ("data-processing", "hellman-raviv", "fano-gap", "order")
IMAGE_LABELS = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
"""Class counts of the MNIST test set."""


@dataclass(frozen=True)
class Flagged:
    """A flag that must be there: its check, its cells, and what its arithmetic must hold."""

    check: str
    cells: frozenset[str]
    beside: frozenset[str]
    holds: tuple[str, ...]


class Transcription:
    """Printed numbers by cell, as value, error and half a unit of the last digit."""

    def __init__(self, tables: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        self.tables = tables
        self.numbers: dict[str, tuple[float, float, float]] = {}
        for cell, text in texts.items():
            match = NUMBER.fullmatch(text.strip())
            if match and match[1] not in ("", "-"):
                half = 0.5 * 10.0 ** -len(match[2])
                self.numbers[cell] = (float(match[1]), float(match[3] or 0), half)

    def __contains__(self, cell: str) -> bool:
        return cell in self.numbers

    def value(self, cell: str) -> float:
        """Return the printed number of a cell."""
        return self.numbers[cell][0]

    def slack(self, *cells: str) -> float:
        """Return the largest difference that rounding and two printed errors explain."""
        errors = math.sqrt(sum(self.numbers[cell][1] ** 2 for cell in cells))
        return max(sum(self.numbers[cell][2] for cell in cells), 2 * errors) + 1e-9

    def column(self, table: str, column: str) -> list[str]:
        """Return the cells of a column from the first row to the last."""
        rows = (self.tables.get(table) or {}).get("rows") or {}
        return [cell for row in rows if (cell := f"{table}/{row}/{column}") in self]

    def unit_factors(self, cell: str) -> tuple[float, ...]:
        """Return what one printed unit of a cell may be in nats."""
        table, _, column = cell.split("/")
        named = (self.tables[table].get("units") or {}).get(column) == "nats"
        return (1.0,) if named else (1.0, LN2)


def check_flags(
    name: str,
    flags: Sequence[Mapping[str, Any]],
    tables: Mapping[str, Any],
    texts: Mapping[str, str],
    report: Audit,
) -> None:
    """Compare the flags of four checks with those that the printed numbers give.

    Args:
        name: path of the ledger.
        flags: its flags.
        tables: tables of ``paper/claims.yaml`` by id.
        texts: transcribed text by cell.
        report: takes what is wrong.
    """
    printed = Transcription(tables, texts)
    derived = [*rises(printed), *heads(printed), *fano_signs(printed), *reversals(printed)]
    wanted = {(one.check, one.cells, one.beside): one for one in derived}
    for flag in flags:
        if flag["check"] not in CHECKS:
            continue
        key = flag["check"], frozenset(flag["cells"]), frozenset(flag["beside"])
        flagged = wanted.pop(key, None)
        if flagged is None:
            report.wrong("ledger", name, f"{flag['id']}: the printed numbers do not give this flag")
            continue
        report.count("flags")
        for number in flagged.holds:
            if number not in flag["arithmetic"]:
                said = f"{flag['id']}: its arithmetic does not give {number}"
                report.wrong("ledger", name, said)
    for flagged in wanted.values():
        where = ", ".join(sorted(flagged.cells or flagged.beside))
        report.wrong("ledger", name, f"{flagged.check}: lacks the flag about {where}")


def rises(printed: Transcription) -> Iterator[Flagged]:
    """I(T; S) above that of a less noisy input."""
    columns = dict.fromkeys(("table04", "table05", "table06", "table07"), "teacher-student")
    columns |= {"table01": "mi-gap", "table13": "teacher-student"}
    for table, column in columns.items():
        lowest: str | None = None
        for cell in printed.column(table, column):
            if lowest is None or printed.value(cell) < printed.value(lowest):
                lowest = cell
                continue
            rise = printed.value(cell) - printed.value(lowest)
            if rise > printed.slack(cell, lowest):
                cells, beside = frozenset([cell]), frozenset([lowest])
                yield Flagged("data-processing", cells, beside, (f"= {rise:.4f}",))


def heads(printed: Transcription) -> Iterator[Flagged]:
    """Classifiers whose error exceeds Hellman and Raviv's bound, with H(Y) at its maximum ln K."""
    for classes, accuracy, cells in _networks(printed):
        error = 1 - printed.value(accuracy)
        information, slack = printed.value(cells[0]), printed.slack(cells[0])
        highest = (math.log2(classes) - (information - slack) / LN2) / 2
        if information > math.log(classes) or error - printed.slack(accuracy) <= highest:
            continue
        nats = (math.log2(classes) - information / LN2) / 2
        bits = (math.log2(classes) - information) / 2
        holds = (f"= {nats:.4f} in nats", f"= {bits:.4f} in bits", f"= {error:.4f}")
        yield Flagged("hellman-raviv", frozenset(cells), frozenset([accuracy]), holds)


def _networks(printed: Transcription) -> Iterator[tuple[int, str, list[str]]]:
    """Number of classes, cell of an accuracy, and cells of one estimate of I(H; Y)."""
    found = [
        (10, "fig02/notes/teacher-accuracy", ["fig02/notes/teacher-label"]),
        (10, "table13/notes/teacher-accuracy", ["table13/notes/teacher-label"]),
        (10, "table13/0/no-kd", printed.column("table13", "student-label")),
    ]
    again = {
        "text": ["table03/notes/teacher-label"],
        "vision": ["table03/vision/student-label", *printed.column("table04", "student-label")],
        "audio": ["table03/audio/student-label"],
    }
    for modality, repeated in again.items():
        row = "notes/teacher-accuracy" if modality == "text" else f"{modality}/no-kd-accuracy"
        for cell in printed.column("table02", f"{modality}-label"):
            latentmi = cell.startswith("table02/latentmi/")
            found.append((2, f"table03/{row}", [*(repeated if latentmi else []), cell]))
    for classes, accuracy, cells in found:
        present = [cell for cell in cells if cell in printed]
        if accuracy in printed and present:
            yield classes, accuracy, present


def fano_signs(printed: Transcription) -> Iterator[Flagged]:
    """Printed positive gaps that are negative if I(S; Y) is raised to Fano's lower bound."""
    accuracy = "table13/0/no-kd"
    if accuracy not in printed:
        return
    error = 1 - printed.value(accuracy) + printed.slack(accuracy)
    total = sum(IMAGE_LABELS)
    entropy = sum(n / total * math.log(total / n) for n in IMAGE_LABELS)
    least = entropy + error * math.log(error) + (1 - error) * math.log(1 - error)
    least -= error * math.log(9)
    for gap in printed.column("table13", "mi-gap"):
        place = gap.removesuffix("mi-gap")
        shared, student = f"{place}teacher-student", f"{place}student-label"
        gain = f"{place}difference"
        if shared not in printed or student not in printed or printed.value(gap) <= 0:
            continue
        half = printed.numbers[student][2]
        highest = printed.value(shared) - least
        if printed.value(student) + half < least and highest + printed.numbers[shared][2] < 0:
            beside = frozenset({shared, accuracy} | ({gain} & printed.numbers.keys()))
            yield Flagged("fano-gap", frozenset([gap]), beside, (f"= {highest:.4f}",))


Gain = tuple[tuple[str, ...], tuple[str, ...]]
"""Cells of a gap and of the gain beside it, each one difference or the two that it is of."""

F1 = ("student-kd-f1", "student-no-kd-f1")
METRICS = ("accuracy", "auc", "macro-f1", "weighted-f1")
FUSION = {metric: (f"fusion-kd-{metric}", f"fusion-{metric}") for metric in METRICS}
COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "table01": {f"t{t}": (f"difference-t{t}",) for t in (1, 2, 3, 4)},
    "table03": {"accuracy": ("kd-accuracy", "no-kd-accuracy"), "f1": ("kd-f1", "no-kd-f1")},
    "table04": {"swapped": ("kd", "no-kd")},
    **{table: {"f1": F1} for table in ("table05", "table06", "table07")},
    "table08": FUSION,
    "table13": {"accuracy": ("kd", "no-kd")},
    "table20": FUSION,
}
"""Columns of the gains of each table by metric; a column ``difference`` is read instead."""

ACROSS = (
    (("table01", "t3"), ("table03", "accuracy"), ("table13", "accuracy")),
    tuple((table, "f1") for table in ("table03", "table05", "table06", "table07")),
    *(tuple((table, metric) for table in ("table08", "table20")) for metric in METRICS),
)
"""Gains of one metric in several tables."""


def reversals(printed: Transcription) -> Iterator[Flagged]:
    """Groups of rows in which a larger gap has a smaller gain."""
    gains = {
        (table, metric): list(_gains(printed, table, columns))
        for table, metrics in COLUMNS.items()
        for metric, columns in metrics.items()
    }
    groups = [(list(combinations(rows, 2)), False) for rows in gains.values()]
    for members in ACROSS:
        for one, other in combinations(members, 2):
            groups.append((list(product(gains[one], gains[other])), True))
    for pairs, between in groups:
        odd = [pair for pair in pairs if _reversed(printed, pair, between)]
        if odd:
            beside = frozenset(cell for pair in odd for gain in pair for c in gain for cell in c)
            holds = (f"{len(odd)} reversed", f"= {len(pairs)}")
            yield Flagged("order", frozenset(), beside, holds)


def _gains(printed: Transcription, table: str, columns: tuple[str, ...]) -> Iterator[Gain]:
    for row in (printed.tables.get(table) or {}).get("rows") or {}:
        gap, difference = (f"{table}/{row}/{column}" for column in ("mi-gap", "difference"))
        two = tuple(f"{table}/{row}/{column}" for column in ("teacher-student", "student-label"))
        gain = tuple(f"{table}/{row}/{column}" for column in columns)
        cells = (gap,) if gap in printed else two, (difference,) if difference in printed else gain
        if all(cell in printed for part in cells for cell in part):
            yield cells


def _reversed(printed: Transcription, pair: tuple[Gain, Gain], between: bool) -> bool:
    (one_gap, one_gain), (other_gap, other_gain) = pair
    gains = _value(printed, one_gain) - _value(printed, other_gain)
    if abs(gains) <= printed.slack(*one_gain, *other_gain):
        return False
    units = [printed.unit_factors(gap[0]) if between else (1.0,) for gap in (one_gap, other_gap)]
    slack = printed.slack(*one_gap, *other_gap)
    gaps = [
        first * _value(printed, one_gap) - second * _value(printed, other_gap)
        for first, second in product(*units)
    ]
    return max(gaps) < -slack if gains > 0 else min(gaps) > slack


def _value(printed: Transcription, cells: tuple[str, ...]) -> float:
    return printed.value(cells[0]) - (printed.value(cells[1]) if len(cells) == 2 else 0.0)
