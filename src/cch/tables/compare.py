"""The verdict on one cell: ours beside the paper's."""

from __future__ import annotations

import math

from cch.criterion.gap import LEVEL
from cch.criterion.inference import student_quantile
from cch.tables.documents import Claim, Verdict

# Two-sided 95 % of a normal distribution: the paper's standard errors where it states no n.
Z = 1.96

# An interval wider than this fraction of the printed value cannot confirm it.
PRECISION = 0.1


def half_width(se: float | None, n: int) -> float:
    """Half of our 95 % interval: Student's t over n runs; infinite where there is no spread."""
    if se is None or n < 2:
        return math.inf
    return student_quantile(LEVEL, n - 1) * se


def paper_half_width(claim: Claim) -> float:
    """Half of the paper's 95 % interval: Student's t over its runs, where it states their number.

    Where it does not, 1.96 printed standard errors; at least the rounding of the print.
    """
    times = Z if claim.n is None else student_quantile(LEVEL, claim.n - 1)
    return max(times * claim.se if claim.se else 0.0, claim.rounding)


def compare_numbers(
    value: float | None,
    se: float | None,
    n: int,
    claim: Claim | None,
    *,
    signed: bool,
    stand_in: bool,
) -> Verdict:
    """Compare a mean with the printed one.

    Two intervals of 95 % decide: ours from Student's t with n - 1 degrees of freedom, the paper's
    as ``paper_half_width`` has it. Both are over runs on the same cases: whether a number can be
    reproduced, not whether it holds for other cases. A wide interval of ours confirms nothing.

    Args:
        value: our mean; None where there is none.
        se: its standard error over n runs, or None.
        n: how many runs.
        claim: the printed cell.
        signed: the sign carries the meaning (differences and gaps).
        stand_in: our number rests on other data than the paper's.

    Returns:
        For signed values ``undetermined`` where our interval covers zero (unless the paper's does
        too and ours is at most twice as wide), ``contradicted`` where ours lies on the other side
        of zero. For others
        ``undetermined`` where our half-width exceeds a tenth of the printed value. Else
        ``reproduced`` within the combined intervals, and ``same direction`` (signed) or
        ``differs`` outside.
    """
    if claim is None:
        return "not in the paper"
    if stand_in:
        return "not comparable"
    if value is None or claim.value is None:
        return "undetermined"
    ours = half_width(se, n)
    theirs = paper_half_width(claim)
    close = abs(value - claim.value) <= math.hypot(ours, theirs)
    if signed:
        if abs(value) <= ours:
            # Nothing here and nothing in the paper agree, if we looked about as closely.
            nothing = abs(claim.value) <= theirs and ours <= 2 * theirs
            return "reproduced" if nothing and close else "undetermined"
        if close:
            return "reproduced"
        return "same direction" if value * claim.value > 0 else "contradicted"
    if ours > PRECISION * abs(claim.value):
        return "undetermined"
    return "reproduced" if close else "differs"


def compare_texts(text: str, claim: Claim | None, stand_in: bool) -> Verdict:
    """Compare a setting with the printed one, blind to case, spaces and thousands separators."""
    if claim is None:
        return "not in the paper"
    if _plain(text) == _plain(claim.text):
        return "as published"
    return "not comparable" if stand_in else "differs"


def _plain(text: str) -> str:
    squeezed = text.lower().replace(",", "").replace(" ", "").replace("_", "")
    try:
        return repr(float(squeezed))
    except ValueError:
        return squeezed
