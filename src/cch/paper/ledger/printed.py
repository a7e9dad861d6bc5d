"""The paper's numbers: every transcribed cell, the cohorts' classes, and gaps with their gains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from cch.information.units import to_bits
from cch.tables.claims import Claim, ClaimedTable, Claims

LEVEL_KINDS = ("teacher-label", "student-label", "text-label", "vision-label", "audio-label")
"""Columns and notes that print information with the label."""

PAIR_KINDS = ("teacher-student", "text-vision", "text-audio")
"""Columns that print information between two representations."""

COHORTS = {
    "table05": "brca",
    "table06": "kipan",
    "table07": "lihc",
    "table08": "kipan",
    "table20": "brca",
}
CLASSES = {"fig02": 10, "table13": 10, "table02": 2, "table03": 2, "table04": 2}
"""Number of classes where the paper prints no class counts."""

TRAINING = {"brca": "table21", "kipan": "table19", "lihc": "table17"}
"""Table that prints a cohort's split."""


@dataclass(frozen=True)
class Printed:
    """One printed cell; ``claim`` is its text, number and error, ``label`` its row as printed."""

    id: str
    table: str
    row: str
    column: str
    claim: Claim
    unit: str | None
    label: str

    @property
    def place(self) -> str:
        """Return table and row in words."""
        return f"{number(self.table)}, {'caption' if self.row == 'notes' else self.label}"

    @property
    def value(self) -> float:
        """Return the printed number."""
        if self.claim.value is None:
            raise ValueError(f"{self.id} is no number")
        return self.claim.value

    @property
    def digits(self) -> str:
        """Return the number as printed, without ± and its error."""
        return self.claim.text.split("±")[0].strip()


@dataclass(frozen=True)
class Cohort:
    """A cohort's class counts (Table 16) and the share of its cases in the test set."""

    name: str
    counts: tuple[int, ...]
    test_share: float

    @property
    def rows(self) -> int:
        """Return the number of cases."""
        return sum(self.counts)

    @property
    def test_rows(self) -> int:
        """Return the number of test cases, rounded up as by scikit-learn."""
        return math.ceil(round(self.rows * self.test_share, 6))

    @property
    def by_size(self) -> tuple[int, ...]:
        """Return the indices of the classes from the smallest to the largest."""
        return tuple(sorted(range(len(self.counts)), key=self.counts.__getitem__))

    @property
    def majority(self) -> float:
        """Return the share of the largest class."""
        return max(self.counts) / self.rows


@dataclass(frozen=True)
class Entropy:
    """H(Y) in nats or an upper bound of it; ``words`` say which."""

    nats: float
    words: str

    @property
    def both(self) -> str:
        """Return it in nats and in bits."""
        return f"{self.nats:.4f} nats = {to_bits(self.nats):.4f} bits"


@dataclass(frozen=True)
class Gain:
    """A printed gain from distillation with the information gap of the same row.

    Attributes:
        table: id of the table.
        row: label of the row as printed.
        metric: metric of the gain.
        gap: I(teacher; student) - I(student; label); ``gap_words`` shows the arithmetic.
        gain: distilled student minus baseline; ``gain_words`` shows the arithmetic.
        gap_cells: cells that the gap is computed from.
        gain_cells: cells that the gain is computed from.
        se: standard error of the gain, None if none is printed; ``se_words`` shows the arithmetic.
        runs: runs behind the gap, 1 where the paper does not say.
    """

    table: str
    row: str
    metric: str
    gap: float
    gap_words: str
    gain: float
    gain_words: str
    gap_cells: tuple[str, ...]
    gain_cells: tuple[str, ...]
    se: float | None
    se_words: str
    runs: int

    @property
    def place(self) -> str:
        """Return table, row and metric in words."""
        return f"{number(self.table)}, {self.row}, {self.metric}"


Columns = tuple[str | None, str | None, str | None, str]
F1 = ("student-kd-f1", "student-no-kd-f1", "difference", "F1")
FUSION: tuple[Columns, ...] = tuple(
    (f"fusion-kd-{metric}", f"fusion-{metric}", None, metric.replace("-", " "))
    for metric in ("accuracy", "auc", "macro-f1", "weighted-f1")
)

# Gains of each table: (KD column, no-KD column, difference column, metric). The difference is read
# if it is printed, else computed from the two columns.
GAINS: dict[str, tuple[Columns, ...]] = {
    "table01": tuple(
        (None, None, f"difference-t{t}", f"accuracy at T = {t}") for t in (1, 2, 3, 4)
    ),
    "table03": (
        ("kd-accuracy", "no-kd-accuracy", None, "accuracy"),
        ("kd-f1", "no-kd-f1", None, "F1"),
    ),
    "table04": (("kd", "no-kd", None, "F1, columns as headed"),),
    "table05": (F1,),
    "table06": (F1,),
    "table07": (F1,),
    "table08": FUSION,
    "table13": (("kd", "no-kd", "difference", "accuracy"),),
    "table20": FUSION,
}

RUNS = {"table03": 50, "table04": 50} | dict.fromkeys(
    ("table01", "table05", "table06", "table07", "table08", "table13", "table20"), 5
)
"""Runs behind a mean of information (Sections 4.2 to 4.4)."""


class Paper:
    """All transcribed cells by id (``table05/0.2/mi-gap``, ``table05/notes/teacher-label``)."""

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self.cells: dict[str, Printed] = {}
        for name, table in claims.tables.items():
            for key, claim in claims.cells(name).items():
                row, _, column = key.partition("/")
                unit = table.units.get(column)
                self.cells[f"{name}/{key}"] = Printed(
                    f"{name}/{key}", name, row, column, claim, unit, table.labels.get(row, row)
                )

    def __getitem__(self, identity: str) -> Printed:
        return self.cells[identity]

    def __contains__(self, identity: str) -> bool:
        return identity in self.cells

    def table(self, name: str) -> ClaimedTable:
        """Return a table of the transcription."""
        return self.claims.tables[name]

    def rows(self, name: str) -> list[str]:
        """Return the keys of a table's rows, in order."""
        return list(self.table(name).rows) if name in self.claims.tables else []

    def label(self, table: str, row: str) -> str:
        """Return a row's label as printed."""
        return self.table(table).labels.get(row, row)

    def column(self, table: str, column: str) -> list[Printed]:
        """Return the cells of a column, in order of rows."""
        found = (self.cells.get(f"{table}/{row}/{column}") for row in self.rows(table))
        return [cell for cell in found if cell is not None]

    def of_kind(self, kinds: tuple[str, ...]) -> Iterator[Printed]:
        """Yield the numeric cells in columns or notes of these keys."""
        for cell in self.cells.values():
            if cell.column in kinds and cell.claim.value is not None:
                yield cell

    @cached_property
    def cohorts(self) -> dict[str, Cohort]:
        """Return the cohorts of Table 16 by name."""
        found: dict[str, list[int]] = {}
        for cell in self.column("table16", "cases"):
            found.setdefault(cell.row.partition("-")[0], []).append(int(cell.value))
        return {
            name: Cohort(name, tuple(counts), self._test_share(name))
            for name, counts in found.items()
        }

    def _test_share(self, cohort: str) -> float:
        split = self.cells.get(f"{TRAINING[cohort]}/split/value")
        return float(split.claim.text.split("/")[1].strip(" %")) / 100 if split else math.nan

    def cohort(self, table: str) -> Cohort | None:
        """Return the cohort of a table, or None."""
        return self.cohorts.get(COHORTS.get(table, ""))

    def entropy(self, table: str) -> Entropy | None:
        """Return H(Y) from the printed class counts, else its upper bound ln K, else None."""
        cohort = self.cohort(table)
        if cohort is not None:
            counts = " + ".join(map(str, cohort.counts))
            return Entropy(entropy(cohort.counts), f"H(Y) of {counts} cases (Table 16)")
        if table in CLASSES:
            classes = CLASSES[table]
            return Entropy(math.log(classes), f"H(Y) of {classes} classes, at most ln {classes},")
        return None

    def gains(self) -> Iterator[Gain]:
        """Yield every printed gain with its gap."""
        for table, columns in GAINS.items():
            for row in self.rows(table):
                gap = self._gap(table, row)
                for kd, no_kd, difference, metric in columns:
                    if gap is not None:
                        yield self._gain(table, row, metric, gap, (kd, no_kd, difference))

    def _gap(self, table: str, row: str) -> tuple[float, str, tuple[str, ...]] | None:
        printed = self.cells.get(f"{table}/{row}/mi-gap")
        if printed is not None:
            return printed.value, printed.digits, (printed.id,)
        pair = [self.cells.get(f"{table}/{row}/{c}") for c in ("teacher-student", "student-label")]
        ts, sl = pair
        if ts is None or sl is None:
            return None
        value = ts.value - sl.value
        return value, f"{ts.digits} - {sl.digits} = {value:.4f}", (ts.id, sl.id)

    def _gain(
        self,
        table: str,
        row: str,
        metric: str,
        gap: tuple[float, str, tuple[str, ...]],
        columns: tuple[str | None, ...],
    ) -> Gain:
        kd, no_kd, difference = (f"{table}/{row}/{column}" for column in columns)
        if difference in self.cells:
            cell = self[difference]
            gain, words, cells = cell.value, cell.digits, (cell.id,)
            se, se_words = cell.claim.se, f"{cell.claim.se}"
        else:
            ours, theirs = self[kd], self[no_kd]
            gain, cells = ours.value - theirs.value, (ours.id, theirs.id)
            words = f"{ours.digits} - {theirs.digits} = {gain:.4f}"
            errors = [cell.claim.se for cell in (ours, theirs)]
            se, se_words = None, ""
            if all(error is not None for error in errors):
                se = math.hypot(*errors)  # type: ignore[arg-type]
                se_words = f"sqrt({errors[0]}² + {errors[1]}²) = {se:.4f}"
        value, gap_words, gap_cells = gap
        return Gain(
            table, self.label(table, row), metric, value, gap_words, gain, words, gap_cells, cells,
            se, se_words, RUNS.get(table, 1),
        )  # fmt: skip


TINY = 1e-9
"""Allowance for decimal numbers in binary."""


def tolerance(*cells: Printed) -> float:
    """Return how far a sum or difference of cells may be off by what is printed.

    The larger of their roundings, added, and of two combined errors, where the paper prints errors.
    """
    rounding = sum(cell.claim.rounding for cell in cells)
    return max(rounding, 2 * math.hypot(*(cell.claim.se or 0.0 for cell in cells))) + TINY


def entropy(counts: tuple[int, ...]) -> float:
    """Return the entropy in nats of class counts."""
    total = sum(counts)
    return -sum(c / total * math.log(c / total) for c in counts if c)


def number(table: str) -> str:
    """Return ``Table 5`` for ``table05``, ``Figure 2`` for ``fig02``."""
    word, digits = ("Table", table[5:]) if table.startswith("table") else ("Figure", table[3:])
    return f"{word} {int(digits)}" if digits.isdigit() else table
