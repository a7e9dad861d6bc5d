"""Checks on information: bounds that hold for any estimator, in nats and in bits."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cch.information.units import from_bits, to_bits
from cch.paper.ledger.checks import Findings, Flag, check
from cch.paper.ledger.printed import (
    LEVEL_KINDS,
    PAIR_KINDS,
    Entropy,
    Paper,
    Printed,
    entropy,
    number,
)

MNIST_TEST = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
"""Digits of the MNIST test set: public, not printed; nearly ten equal classes."""


@check("entropy", "I(H; Y) is at most H(Y), in nats and in bits")
def entropies(paper: Paper) -> Findings:
    """Information with the label against the label's entropy."""
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


def fano_nats(accuracy: float, label_entropy: float, classes: int) -> float:
    """The least I(H; Y) in nats where a decision from H is right this often (Fano).

    H(Y) - h(e) - e ln(K - 1) with e = 1 - accuracy and h the binary entropy.
    """
    error = 1 - accuracy
    noise = entropy_of_bernoulli(error)
    return label_entropy - noise - error * math.log(classes - 1)


def entropy_of_bernoulli(p: float) -> float:
    """Binary entropy in nats."""
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


# (accuracy, information of the same network), where the class mix is known.
FANO = (
    ("fig02/notes/teacher-accuracy", ("fig02/notes/teacher-label",)),
    ("table13/notes/teacher-accuracy", ("table13/notes/teacher-label",)),
    (
        "table13/0/no-kd",
        tuple(f"table13/{level}/student-label" for level in ("0", "0.5", "1.5", "2.5", "3.5")),
    ),
)


@check("fano", "I(H; Y) is at least what Fano's inequality asks for the printed accuracy")
def fano(paper: Paper) -> Findings:
    """Printed accuracy, less two of its errors, against printed information on MNIST's mix."""
    mix = entropy(MNIST_TEST)
    for accuracy_id, information in FANO:
        if accuracy_id not in paper or information[0] not in paper:
            continue
        accuracy, cell = paper[accuracy_id], paper[information[0]]
        least = fano_nats(accuracy.value, mix, 10)
        slack = max(accuracy.claim.rounding, 2 * (accuracy.claim.se or 0.0))
        lower = fano_nats(accuracy.value - slack, mix, 10)
        if cell.value + cell.claim.rounding >= lower:
            yield None
            continue
        error = 1 - accuracy.value
        yield Flag(
            "fano",
            "contradiction",
            f"{number(cell.table)}: I(H; Y) = {cell.digits} is too little for an accuracy of "
            f"{accuracy.digits}, in nats and more so in bits",
            f"H(Y) - h(e) - e ln 9 with e = 1 - {accuracy.digits} = {error:.4f} and H(Y) = "
            f"{mix:.4f} nats (MNIST's test set): at least {least:.4f} nats = "
            f"{to_bits(least):.4f} bits, or {lower:.4f} nats were the accuracy {slack:.4f} lower; "
            f"printed {cell.digits}",
            cells=information,
            beside=(accuracy.id,),
        )


def _triples() -> Iterator[tuple[str, str, str]]:
    """I(T; S), I(T; Y), I(S; Y) of one and the same teacher: rows without noise or blur."""
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
    """The three quantities together: what both know of Y beyond H(Y) they must share."""
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


@check("negative", "Information is not negative")
def negative(paper: Paper) -> Findings:
    """Printed information below zero."""
    for cell in paper.of_kind(LEVEL_KINDS + PAIR_KINDS):
        if cell.value >= 0:
            yield None
            continue
        ratio = f"; {abs(cell.value) / cell.claim.se:.1f} printed errors" if cell.claim.se else ""
        yield Flag(
            "negative",
            "caution",
            f"{cell.place}: information below zero, an estimator's noise around none",
            f"{cell.claim.text}{ratio}",
            cells=(cell.id,),
        )


@check("unit", "Information has a unit")
def unit(paper: Paper) -> Findings:
    """Tables that print information and name no unit."""
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
