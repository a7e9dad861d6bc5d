"""The verdict on one cell: ours beside the paper's."""

from __future__ import annotations

import math
from typing import Literal

from cch.tables.claims import Claim

Verdict = Literal[
    "reproduced",
    "same direction",
    "differs",
    "contradicted",
    "undetermined",
    "not comparable",
    "not in the paper",
]

# Two-sided 95 % of a normal distribution.
Z = 1.96


def compare_numbers(
    value: float | None, se: float | None, claim: Claim | None, signed: bool, stand_in: bool
) -> Verdict:
    """Compare a mean with the printed one.

    Args:
        value: ours; None where it could not be had.
        se: its standard error, or None.
        claim: the printed cell.
        signed: the sign carries the meaning (differences and gaps).
        stand_in: our number rests on other data than the paper's.

    Returns:
        ``reproduced`` within 1.96 combined standard errors (and the rounding of the print); else
        for signed values ``same direction``, ``contradicted`` (our interval excludes zero on the
        other side) or ``undetermined`` (our interval covers zero), for others ``differs``.
    """
    if claim is None:
        return "not in the paper"
    if stand_in:
        return "not comparable"
    if value is None or claim.value is None:
        return "undetermined"
    spread = math.hypot(se or 0.0, claim.se or 0.0)
    if abs(value - claim.value) <= Z * spread + claim.rounding:
        return "reproduced"
    if not signed:
        return "differs"
    if se is not None and abs(value) <= Z * se:
        return "undetermined"
    return "same direction" if value * claim.value > 0 else "contradicted"


def compare_texts(text: str, claim: Claim | None, stand_in: bool) -> Verdict:
    """Compare a setting with the printed one, blind to case, spaces and thousands separators."""
    if claim is None:
        return "not in the paper"
    if _plain(text) == _plain(claim.text):
        return "reproduced"
    return "not comparable" if stand_in else "differs"


def _plain(text: str) -> str:
    squeezed = text.lower().replace(",", "").replace(" ", "").replace("_", "")
    try:
        return repr(float(squeezed))
    except ValueError:
        return squeezed
