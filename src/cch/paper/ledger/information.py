"""Checks of printed information against bounds that hold for any estimator."""

from __future__ import annotations

from collections.abc import Iterator

from cch.information.units import from_bits, to_bits
from cch.paper.ledger.checks import Findings, Flag, check
from cch.paper.ledger.printed import (
    LEVEL_KINDS,
    PAIR_KINDS,
    Entropy,
    Paper,
    Printed,
    number,
    tolerance,
)


@check("entropy", "I(H; Y) is at most H(Y), in nats and in bits")
def entropies(paper: Paper) -> Findings:
    """Compare information with the label with the label's entropy."""
    for cell in paper.of_kind(LEVEL_KINDS):
        limit = paper.entropy(cell.table)
        if limit is None:
            continue
        least = cell.value - cell.claim.rounding
        if least <= limit.nats:
            yield None
            continue
        bits = least <= to_bits(limit.nats)
        yield Flag(
            "entropy",
            "contradiction",
            f"{cell.place}: I(H; Y) above H(Y) in nats"
            + (": it can only be bits" if bits else " and in bits: impossible"),
            f"I(H; Y) = {cell.digits}; {limit.words} = {limit.both}; {cell.digits} > "
            f"{limit.nats:.4f}" + (f", {cell.digits} < {to_bits(limit.nats):.4f}" if bits else "")
            + ". The only unit that the paper names is nats (Table 1).",
            cells=(cell.id,),
        )  # fmt: skip


def _triples() -> Iterator[tuple[str, str, str]]:
    """Yield the cells of I(T; S), I(T; Y), I(S; Y) in rows without noise or blur."""
    for table, rows in (("table03", ("vision", "audio")), *((t, ("0",)) for t in SWEPT)):
        for row in rows:
            place = f"{table}/{row}"
            yield (
                f"{place}/teacher-student",
                f"{table}/notes/teacher-label",
                f"{place}/student-label",
            )
    for table in ("table08", "table20"):
        for row in ("mrna", "rppa"):
            place = f"{table}/{row}"
            yield f"{place}/teacher-student", f"{place}/teacher-label", f"{place}/student-label"


SWEPT = ("table05", "table06", "table07", "table13")


@check("three-way", "I(T; S) is at least I(T; Y) + I(S; Y) - H(Y)")
def three_way(paper: Paper) -> Findings:
    """Compare I(T; S) with the least that I(T; Y) and I(S; Y) allow."""
    for triple in _triples():
        if any(identity not in paper for identity in triple):
            continue
        shared, teacher, student = (paper[identity] for identity in triple)
        limit = paper.entropy(shared.table)
        if limit is None:
            continue
        slack = shared.claim.rounding + teacher.claim.rounding + student.claim.rounding
        nats = teacher.value + student.value - limit.nats
        if shared.value + slack >= nats:
            yield None
            continue
        yield _three_way_flag(shared, teacher, student, limit, slack)


def _three_way_flag(
    shared: Printed, teacher: Printed, student: Printed, limit: Entropy, slack: float
) -> Flag:
    both = teacher.value + student.value
    bits = both - to_bits(limit.nats)
    possible = shared.value + slack >= bits
    return Flag(
        "three-way",
        "contradiction",
        f"{shared.place}: I(T; S) is below I(T; Y) + I(S; Y) - H(Y) in nats"
        + (": the three can only be bits" if possible else " and in bits: impossible"),
        f"{teacher.digits} + {student.digits} - {limit.nats:.4f} = {both - limit.nats:.4f} > "
        f"{shared.digits} in nats; in bits {teacher.digits} + {student.digits} - "
        f"{to_bits(limit.nats):.4f} = {bits:.4f} {'<' if possible else '>'} {shared.digits}",
        cells=(teacher.id,),
        beside=(shared.id, student.id),
    )


NOISIER = {
    "table01": "mi-gap",
    "table04": "teacher-student",
    "table05": "teacher-student",
    "table06": "teacher-student",
    "table07": "teacher-student",
    "table13": "teacher-student",
}
"""Column of I(T; S) in the tables whose rows add noise or blur to the teacher's input.

Table 1 prints the gap alone. It changes as I(T; S) does, since I(S; Y) is that of one student.
"""


@check("data-processing", "I(T; S) does not rise as the teacher's input gets noisier")
def data_processing(paper: Paper) -> Findings:
    """Compare each level with the lowest estimate of the cleaner levels.

    The noisier input is the cleaner one processed further, so it has no more information on the
    student's input. This holds for a representation too if it keeps what its input tells of the
    student; a frozen network may discard from the cleaner input what it keeps of the noisier one.
    """
    for table, column in NOISIER.items():
        cells = paper.column(table, column)
        for at, cell in enumerate(cells[1:], start=1):
            lowest = min(cells[:at], key=lambda cleaner: cleaner.value)
            rises = cell.value - lowest.value > tolerance(lowest, cell)
            yield _rise_flag(paper, lowest, cell) if rises else None


def _rise_flag(paper: Paper, cleaner: Printed, noisier: Printed) -> Flag:
    rise = noisier.value - cleaner.value
    gaps = [gap for gap in paper.column(noisier.table, "mi-gap") if abs(gap.value) <= rise]
    smaller = ", ".join(f"{gap.digits} ({gap.label})" for gap in gaps)
    return Flag(
        "data-processing",
        "caution",
        f"{noisier.place}: {'the gap' if noisier.column == 'mi-gap' else 'I(T; S)'} is higher than "
        f"at {cleaner.label}, with a noisier input of the teacher",
        f"{noisier.digits} - {cleaner.digits} = {rise:.4f}. More noise cannot add information on "
        f"the student's input (data processing), so the difference of the two "
        f"estimates is off by at least {rise:.4f}, unless the frozen teacher keeps of the noisier "
        "input what it discards from the cleaner one. Gaps of this table no larger than that: "
        f"{smaller or 'none'}",
        cells=(noisier.id,),
        beside=(cleaner.id,),
    )


@check("negative", "Information is not negative")
def negative(paper: Paper) -> Findings:
    """Find printed information below zero."""
    for cell in paper.of_kind(LEVEL_KINDS + PAIR_KINDS):
        if cell.value >= 0:
            yield None
            continue
        ratio = f"; {abs(cell.value) / cell.claim.se:.1f} printed errors" if cell.claim.se else ""
        yield Flag(
            "negative",
            "caution",
            f"{cell.place}: information below zero, estimator noise around zero",
            f"{cell.claim.text}{ratio}",
            cells=(cell.id,),
        )


@check("unit", "Printed information has a unit")
def unit(paper: Paper) -> Findings:
    """Find tables that print information and name no unit."""
    without = {}
    for name, table in paper.claims.tables.items():
        columns = [key for key, said in table.units.items() if said == "unstated"]
        if columns:
            without[name] = columns
        elif {"nats", "bits"} & set(table.units.values()):
            yield None
    if without:
        listed = "; ".join(f"{number(name)}: {', '.join(keys)}" for name, keys in without.items())
        yield Flag(
            "unit",
            "caution",
            f"{len(without)} tables and captions print information and name no unit",
            f"{listed}. Table 1 says nats. 1 bit = {from_bits(1.0):.4f} nats: a reading may be "
            f"wrong by a factor of {to_bits(1.0):.4f}",
            tables=tuple(without),
        )
