"""Check of the order of gaps against the order of gains, within tables and between tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from cch.information.units import from_bits
from cch.paper.ledger.checks import Findings, Flag, check
from cch.paper.ledger.printed import Gain, Paper, number, tolerance

# Table 1 at the temperature of Table 13. Table 4 is left out: its two columns are swapped.
BETWEEN: dict[str, tuple[tuple[str, str], ...]] = {
    "accuracy": (
        ("table01", "accuracy at T = 3"),
        ("table03", "accuracy"),
        ("table13", "accuracy"),
    ),
    "weighted F1": tuple((table, "F1") for table in ("table03", "table05", "table06", "table07")),
} | {
    f"fusion {metric}": (("table08", metric), ("table20", metric))
    for metric in ("accuracy", "auc", "macro f1", "weighted f1")
}
"""Gains that are compared between tables: (table, metric of the gain) by name."""


@dataclass(frozen=True)
class Reversal:
    """Two gains of which the one with the larger gap is the smaller."""

    larger: Gain
    smaller: Gain

    def words(self, between: bool) -> str:
        """Return the pair with its numbers; between tables with the tables' names."""
        first, second = (
            f"{number(gain.table)} {gain.row}" if between else gain.row
            for gain in (self.larger, self.smaller)
        )
        return (
            f"{first} and {second}: gap {self.larger.gap:.4f} > {self.smaller.gap:.4f}, gain "
            f"{self.larger.gain:.4f} < {self.smaller.gain:.4f}"
        )


@check("order", "A larger gap has a larger gain, within a table and between tables")
def order(paper: Paper) -> Findings:
    """Find pairs of rows in which the larger gap has the smaller gain.

    A pair counts where gaps and gains both differ by more than rounding and two combined printed
    errors. Between tables gaps must also differ in any mix of nats and bits, where a table does not
    say which. Only gains of one metric are compared.
    """
    groups: dict[tuple[str, str], list[Gain]] = {}
    for gain in paper.gains():
        groups.setdefault((gain.table, gain.metric), []).append(gain)
    for (table, metric), gains in groups.items():
        yield _judge(paper, f"{number(table)}, {metric}", list(combinations(gains, 2)))
    for name, members in BETWEEN.items():
        for first, second in combinations(members, 2):
            pairs = list(product(groups.get(first, []), groups.get(second, [])))
            place = f"{number(first[0])} and {number(second[0])}, {name}"
            if pairs:
                yield _judge(paper, place, pairs)


def _judge(paper: Paper, place: str, pairs: list[tuple[Gain, Gain]]) -> Flag | None:
    """Return a flag with all reversed pairs, None where there are none."""
    signs = [(order_of_gaps(paper, *pair) * order_of_gains(paper, *pair), pair) for pair in pairs]
    reversed_pairs = [_reversal(paper, *pair) for sign, pair in signs if sign < 0]
    if not reversed_pairs:
        return None
    same = sum(sign > 0 for sign, _ in signs)
    found, between = len(reversed_pairs), pairs[0][0].table != pairs[0][1].table
    return Flag(
        "order",
        "caution",
        f"{place}: the larger gap has the smaller gain in {found} of {len(pairs)} pairs",
        "; ".join(pair.words(between) for pair in reversed_pairs)
        + f". {found} reversed + {same} in order + {len(pairs) - found - same} that rounding or "
        f"printed errors leave open = {len(pairs)}",
        beside=tuple(dict.fromkeys(_cells(reversed_pairs))),
    )


def _reversal(paper: Paper, first: Gain, second: Gain) -> Reversal:
    if order_of_gaps(paper, first, second) > 0:
        return Reversal(first, second)
    return Reversal(second, first)


def _cells(pairs: list[Reversal]) -> Iterator[str]:
    for pair in pairs:
        for gain in (pair.larger, pair.smaller):
            yield from (*gain.gap_cells, *gain.gain_cells)


def order_of_gains(paper: Paper, first: Gain, second: Gain) -> int:
    """Return 1 or -1 where the first gain is larger or smaller, 0 where that is open."""
    slack = tolerance(*(paper[cell] for cell in (*first.gain_cells, *second.gain_cells)))
    return _sign(first.gain - second.gain, slack)


def order_of_gaps(paper: Paper, first: Gain, second: Gain) -> int:
    """Return 1 or -1 where the first gap is larger or smaller in any units, else 0."""
    slack = tolerance(*(paper[cell] for cell in (*first.gap_cells, *second.gap_cells)))
    if first.table == second.table:
        return _sign(first.gap - second.gap, slack)
    signs = {
        _sign(one * first.gap - other * second.gap, slack)
        for one, other in product(_units(paper, first), _units(paper, second))
    }
    return signs.pop() if len(signs) == 1 else 0


def _units(paper: Paper, gain: Gain) -> tuple[float, ...]:
    """Return the possible units of a gap in nats."""
    return (1.0,) if paper[gain.gap_cells[0]].unit == "nats" else (1.0, from_bits(1.0))


def _sign(difference: float, slack: float) -> int:
    if abs(difference) <= slack:
        return 0
    return 1 if difference > 0 else -1
