"""Checks of a printed accuracy against I(H; Y) of the same network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from cch.information.units import from_bits, to_bits
from cch.paper.ledger.checks import Findings, Flag, check
from cch.paper.ledger.printed import Entropy, Paper, Printed, entropy, number, tolerance

MNIST_TEST = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
"""Class counts of the MNIST test set, which the paper does not print."""

Pair = tuple[str, tuple[str, ...]]
"""Cell of an accuracy, and the cells that print I(H; Y) of that network, all the same number."""

IMAGES: tuple[Pair, ...] = (
    ("fig02/notes/teacher-accuracy", ("fig02/notes/teacher-label",)),
    ("table13/notes/teacher-accuracy", ("table13/notes/teacher-label",)),
    (
        "table13/0/no-kd",
        tuple(f"table13/{level}/student-label" for level in ("0", "0.5", "1.5", "2.5", "3.5")),
    ),
)
"""Networks whose label entropy is known: MNIST and MNIST-M have the same labels."""

MOSEI: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("text", "table03/notes/teacher-accuracy", ("table03/notes/teacher-label",)),
    (
        "vision",
        "table03/vision/no-kd-accuracy",
        (
            "table03/vision/student-label",
            *(f"table04/{level}/student-label" for level in ("0", "0.2", "0.4", "0.6", "0.8")),
        ),
    ),
    ("audio", "table03/audio/no-kd-accuracy", ("table03/audio/student-label",)),
)
"""Modality, accuracy, and the cells that repeat latentmi's estimate of Table 2."""


def _mosei_pairs() -> Iterator[Pair]:
    """The accuracies of Table 3 with each estimator of Table 2."""
    for modality, accuracy, repeated in MOSEI:
        for estimator in ("latentmi", "mine", "ksg"):
            also = repeated if estimator == "latentmi" else ()
            yield accuracy, (*also, f"table02/{estimator}/{modality}-label")


def _present(paper: Paper, pairs: Iterable[Pair]) -> Iterator[tuple[Printed, list[Printed]]]:
    """The pairs of which the accuracy and some information are printed."""
    for accuracy, information in pairs:
        cells = [paper[identity] for identity in information if identity in paper]
        if accuracy in paper and cells:
            yield paper[accuracy], cells


def fano_nats(accuracy: float, label_entropy: float, classes: int) -> float:
    """Return the smallest I(H; Y) in nats with which a decision from H has this accuracy.

    Fano's inequality: H(Y) - h(e) - e ln(K - 1) with e = 1 - accuracy and h the binary entropy.

    Args:
        accuracy: share of correct decisions.
        label_entropy: H(Y) in nats.
        classes: number of classes K.
    """
    error = 1 - accuracy
    noise = entropy_of_bernoulli(error)
    return label_entropy - noise - error * math.log(classes - 1)


def entropy_of_bernoulli(p: float) -> float:
    """Return the binary entropy in nats."""
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


def least_information(accuracy: Printed) -> float:
    """Return Fano's bound in nats for an accuracy on MNIST's classes, less two of its errors."""
    return fano_nats(accuracy.value - tolerance(accuracy), entropy(MNIST_TEST), len(MNIST_TEST))


@check("fano", "I(H; Y) is at least Fano's bound for the printed accuracy")
def fano(paper: Paper) -> Findings:
    """Compare I(H; Y) with Fano's bound where the class counts are known."""
    mix = entropy(MNIST_TEST)
    for accuracy, information in _present(paper, IMAGES):
        cell, lower = information[0], least_information(accuracy)
        if cell.value + cell.claim.rounding >= lower:
            yield None
            continue
        least = fano_nats(accuracy.value, mix, len(MNIST_TEST))
        yield Flag(
            "fano",
            "contradiction",
            f"{number(cell.table)}: I(H; Y) = {cell.digits} is too little for an accuracy of "
            f"{accuracy.digits}, in nats and more so in bits",
            f"H(Y) - h(e) - e ln 9 with e = 1 - {accuracy.digits} = {1 - accuracy.value:.4f} and "
            f"H(Y) = {mix:.4f} nats (MNIST's test set): at least {least:.4f} nats = "
            f"{to_bits(least):.4f} bits, or {lower:.4f} nats if the accuracy is "
            f"{tolerance(accuracy):.4f} lower; printed {cell.digits}",
            cells=tuple(one.id for one in information),
            beside=(accuracy.id,),
        )


@check("fano-gap", "A gap keeps its sign when I(S; Y) is raised to Fano's bound")
def fano_gap(paper: Paper) -> Findings:
    """Compare the sign of a printed gap with that of I(T; S) less Fano's bound on I(S; Y).

    Raising I(S; Y) lowers the gap, so only a positive gap can change its sign.
    """
    for accuracy, information in _present(paper, IMAGES):
        lower = least_information(accuracy)
        for student in information:
            place = student.id.removesuffix("student-label")
            ids = [f"{place}{column}" for column in ("mi-gap", "teacher-student")]
            if any(identity not in paper for identity in ids):
                continue
            gap, shared = (paper[identity] for identity in ids)
            changes = gap.value > 0 > shared.value + shared.claim.rounding - lower
            kept = student.value + student.claim.rounding >= lower
            yield None if kept or not changes else _fano_gap_flag(paper, gap, shared, accuracy)


def _fano_gap_flag(paper: Paper, gap: Printed, shared: Printed, accuracy: Printed) -> Flag:
    lower, in_bits = least_information(accuracy), to_bits(least_information(accuracy))
    gain = gap.id.replace("mi-gap", "difference")
    said = f" Printed gain: {paper[gain].claim.text}." if gain in paper else ""
    return Flag(
        "fano-gap",
        "contradiction",
        f"{gap.place}: the printed gap is positive; with Fano's bound on I(S; Y) it is negative",
        f"printed gap {gap.digits}. An accuracy of {accuracy.digits} - {tolerance(accuracy):.4f} "
        f"(two errors lower) needs I(S; Y) >= {lower:.4f} nats = {in_bits:.4f} bits, so the gap "
        f"is at most {shared.digits} - {lower:.4f} = {shared.value - lower:.4f} in nats, "
        f"{shared.digits} - {in_bits:.4f} = {shared.value - in_bits:.4f} in bits.{said} The same "
        "estimator gives I(T; S), which may be too low as well: the true sign is unknown",
        cells=(gap.id,),
        beside=(shared.id, accuracy.id, *((gain,) if gain in paper else ())),
    )


def hellman_raviv(information: float, label_entropy: float) -> float:
    """Return the largest possible error of the best classifier of H (Hellman and Raviv, 1970).

    H(Y | H) / 2 in bits, which is (H(Y) - I(H; Y)) / (2 ln 2) in nats.

    Args:
        information: I(H; Y) in nats.
        label_entropy: H(Y) in nats, or an upper bound of it.
    """
    return to_bits(label_entropy - information) / 2


@check("hellman-raviv", "A head's error is at most Hellman and Raviv's bound for I(H; Y)")
def head_error(paper: Paper) -> Findings:
    """Compare the error of a network's head with a bound on the error of the best classifier of H.

    A larger error of the head is no contradiction: the head need not be the best classifier, and
    the information may be of other rows than the accuracy. A smaller one says nothing. Weighted F1
    is no accuracy, and the fused networks are not those whose information is printed.
    """
    for accuracy, information in _present(paper, (*IMAGES, *_mosei_pairs())):
        cell = information[0]
        limit = paper.entropy(cell.table)
        if limit is None or cell.value > limit.nats:
            continue  # above H(Y): the check `entropy`
        error = 1 - accuracy.value - tolerance(accuracy)
        if error <= hellman_raviv(cell.value - tolerance(cell), limit.nats):
            yield None
            continue
        yield _head_flag(accuracy, information, limit)


def _head_flag(accuracy: Printed, information: list[Printed], limit: Entropy) -> Flag:
    cell, error = information[0], 1 - accuracy.value
    units = (1.0, float(from_bits(1.0)))
    nats, bits = (hellman_raviv(unit * cell.value, limit.nats) for unit in units)
    lower = cell.value - tolerance(cell)
    highest = [hellman_raviv(unit * lower, limit.nats) for unit in units]
    lowest = error - tolerance(accuracy)
    return Flag(
        "hellman-raviv",
        "caution",
        f"{cell.place}: an accuracy of {accuracy.digits} means a larger error than that of the "
        f"best classifier of H at I(H; Y) = {cell.digits} nats",
        f"{limit.words} = {limit.both}. The best classifier of H has an error of at most (H(Y) - "
        f"I(H; Y)) / (2 ln 2) = ({limit.nats:.4f} - {cell.digits}) / {2 * math.log(2):.4f} = "
        f"{nats:.4f} in nats, ({to_bits(limit.nats):.4f} - {cell.digits}) / 2 = {bits:.4f} in "
        f"bits. The head's error is 1 - {accuracy.digits} = {error:.4f}. With two printed errors "
        f"off both: {lowest:.4f} against {highest[0]:.4f} in nats and {highest[1]:.4f} in bits. "
        "The head is far from the best classifier, or I(H; Y) is too high, in bits, or of other "
        "rows than the accuracy",
        cells=tuple(one.id for one in information),
        beside=(accuracy.id,),
    )
