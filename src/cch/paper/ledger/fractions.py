"""Checks of fractions on a small test set against the possible counts and confusion matrices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cch.paper.ledger.checks import Findings, Flag, check
from cch.paper.ledger.printed import Cohort, Paper, Printed, number

RUNS = 5
ARMS = ("fusion", "fusion-kd")


def count_of(value: float, rounding: float, rows: int) -> int | None:
    """Return the count k with k / rows equal to a value within its rounding, or None."""
    k = round(value * rows)
    return k if abs(k / rows - value) <= rounding + 1e-9 else None


def _accuracies(paper: Paper, table: str) -> list[Printed]:
    return [
        paper[f"{table}/{row}/{arm}-accuracy"]
        for row in paper.rows(table)
        for arm in ARMS
        if f"{table}/{row}/{arm}-accuracy" in paper
    ]


@check("granularity", "Fusion accuracies are counts of patients of the known test set")
def granularity(paper: Paper) -> Findings:
    """Find tables whose accuracies are all counts k/n: single runs, not means over five."""
    for table in ("table08", "table20"):
        cells, cohort = _accuracies(paper, table), paper.cohort(table)
        if not cells or cohort is None:
            continue
        rows = cohort.test_rows
        counts = [count_of(cell.value, cell.claim.rounding, rows) for cell in cells]
        if None in counts:
            yield None
            continue
        shown = ", ".join(f"{c.digits} = {k}/{rows}" for c, k in zip(cells, counts, strict=True))
        chance = RUNS ** -len(cells)
        yield Flag(
            "granularity",
            "caution",
            f"{number(table)}: all accuracies are counts of patients of one test set of "
            f"{rows}: single runs",
            f"{cohort.rows} cases, {cohort.test_share:.0%} tested: {rows}; {shown}. A mean over "
            f"{RUNS} runs is a multiple of 1/{RUNS * rows}, of which one in {RUNS} is such a "
            f"count: {len(cells)} times by chance {chance:.4f}",
            cells=tuple(cell.id for cell in cells),
        )
        for row in paper.rows(table):
            yield _patients(paper, table, row, rows)


def _patients(paper: Paper, table: str, row: str, rows: int) -> Flag | None:
    """Return a flag if too few patients differ for McNemar's exact test to be significant."""
    direct, kd = (paper[f"{table}/{row}/{arm}-accuracy"] for arm in ARMS)
    first, second = (count_of(c.value, c.claim.rounding, rows) or 0 for c in (direct, kd))
    apart = abs(second - first)
    least = min(1.0, 2 * 0.5**apart)
    if least < 0.05:
        return None
    patients = "one patient" if apart == 1 else f"{apart} patients"
    return Flag(
        "granularity",
        "caution",
        f"{number(table)}, {row}: fusion with and without KD differ by {patients} of {rows}",
        f"{kd.digits} - {direct.digits} = ({second} - {first})/{rows}; the exact McNemar test "
        f"cannot give a p below 2 x 0.5^{apart} = {least:.2f}",
        cells=(direct.id, kd.id),
    )


def confusion_matrices(
    rows: int,
    right: int,
    macro: float,
    weighted: float,
    larger: tuple[int, ...] = (0, 1, 2),
    rounding: float = 5e-5,
) -> list[NDArray[np.int64]]:
    """Return all confusion matrices of three classes with these figures, for all class sizes.

    Neither F1 depends on the order of the classes, so class sizes are tried in one order only.
    Every class has at least one row.

    Args:
        rows: size of the test set.
        right: number of rows on the diagonal.
        macro: macro F1.
        weighted: F1 weighted by class size.
        larger: the classes from the smallest to the largest.
        rounding: half a unit of the last printed digit.

    Returns:
        Matrices (3, 3), true class by row.
    """
    errors = _errors(rows - right)
    sizes = np.array([(a, b, rows - a - b) for a in range(1, rows - 1) for b in range(1, rows - a)])
    ordered = sizes[:, list(larger)]
    sizes = sizes[(np.diff(ordered) >= 0).all(1)]
    found: list[NDArray[np.int64]] = []
    for wrong in errors:
        diagonal = sizes - wrong.sum(1)
        real = (diagonal >= 0).all(1)
        called = diagonal + wrong.sum(0)
        f1 = 2 * diagonal / np.maximum(sizes + called, 1)
        means = f1.mean(1), (f1 * sizes).sum(1) / rows
        hit = real & (abs(means[0] - macro) <= rounding + 1e-9)
        hit &= abs(means[1] - weighted) <= rounding + 1e-9
        found += [wrong + np.diag(diagonal[at]) for at in np.flatnonzero(hit)]
    return found


def _errors(count: int) -> Iterator[NDArray[np.int64]]:
    """Yield all ways to place a number of errors off the diagonal of a (3, 3) matrix."""
    places = [(i, j) for i in range(3) for j in range(3) if i != j]

    def split(left: int, parts: int) -> Iterator[tuple[int, ...]]:
        if parts == 1:
            yield (left,)
            return
        for first in range(left + 1):
            for rest in split(left - first, parts - 1):
                yield (first, *rest)

    for numbers in split(count, len(places)):
        matrix = np.zeros((3, 3), np.int64)
        for place, value in zip(places, numbers, strict=True):
            matrix[place] = value
        yield matrix


@check("confusion", "Accuracy, macro and weighted F1 on KIPAN have a common confusion matrix")
def confusion(paper: Paper) -> Findings:
    """List the confusion matrices behind the figures of Table 8; those of BRCA are too many."""
    cohort = paper.cohort("table08")
    if cohort is None:
        return
    for row in paper.rows("table08"):
        for arm in ARMS:
            yield _admitted(paper, cohort, row, arm)


def _admitted(paper: Paper, cohort: Cohort, row: str, arm: str) -> Flag | None:
    ids = [f"table08/{row}/{arm}-{metric}" for metric in ("accuracy", "macro-f1", "weighted-f1")]
    if any(identity not in paper for identity in ids):
        return None
    accuracy, macro, weighted = (paper[identity] for identity in ids)
    right = count_of(accuracy.value, accuracy.claim.rounding, cohort.test_rows)
    place = f"Table 8, {row}, {'fusion with KD' if arm == 'fusion-kd' else 'fusion'}"
    printed = f"accuracy {accuracy.digits}, macro F1 {macro.digits}, weighted F1 {weighted.digits}"
    if right is None:
        return None
    found = confusion_matrices(cohort.test_rows, right, macro.value, weighted.value, cohort.by_size)
    if not found:
        return Flag(
            "confusion",
            "contradiction",
            f"{place}: no confusion matrix of {cohort.test_rows} patients has these figures",
            f"{printed}: none with {right} of {cohort.test_rows} right",
            cells=tuple(ids),
        )
    if len(found) > 1:
        return None
    matrix = found[0]
    return Flag(
        "confusion",
        "caution",
        f"{place}: exactly one confusion matrix gives these figures: one run, one test set",
        f"{printed}: {right}/{cohort.test_rows} right, classes KICH, KIRC, KIRP of "
        f"{', '.join(map(str, matrix.sum(1)))} patients, rows of the matrix "
        f"{'; '.join(' '.join(map(str, line)) for line in matrix)}",
        cells=tuple(ids),
    )


F1_COLUMNS = ("student-kd-f1", "student-no-kd-f1", "teacher-f1")
WEIGHTED = (*F1_COLUMNS, "fusion-weighted-f1", "fusion-kd-weighted-f1")
ACCURACY = ("fusion-accuracy", "fusion-kd-accuracy")


@check(
    "majority", "Accuracy and weighted F1 are above those of always predicting the largest class"
)
def majority(paper: Paper) -> Findings:
    """Compare printed figures with those of a constant prediction on the classes of Table 16."""
    for cell in paper.of_kind(WEIGHTED + ACCURACY):
        cohort = paper.cohort(cell.table)
        if cohort is None:
            continue
        share = cohort.majority
        constant = share if cell.column in ACCURACY else share * 2 * share / (1 + share)
        if cell.value + cell.claim.rounding > constant:
            yield None
            continue
        formula = "p" if cell.column in ACCURACY else "2 p² / (1 + p)"
        yield Flag(
            "majority",
            "caution",
            f"{cell.place}: {cell.digits} is no better than always predicting the largest class",
            f"p = {max(cohort.counts)}/{cohort.rows} = {share:.4f}; {formula} = {constant:.4f} >= "
            f"{cell.digits}",
            cells=(cell.id,),
        )
