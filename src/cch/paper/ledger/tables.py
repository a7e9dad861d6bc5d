"""Checks within and between tables: differences, agreement, signs, and sizes relative to noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cch.paper.ledger.checks import Findings, Flag, check
from cch.paper.ledger.printed import TINY, Gain, Paper, number

SWEEPS = {
    "table04": ("kd", "no-kd"),
    "table05": ("student-kd-f1", "student-no-kd-f1"),
    "table06": ("student-kd-f1", "student-no-kd-f1"),
    "table07": ("student-kd-f1", "student-no-kd-f1"),
    "table13": ("kd", "no-kd"),
}
"""Columns with and without KD of the tables whose rows are levels of noise or blur."""

TABLE_THREE = ("table03/vision/no-kd-f1", "table03/vision/kd-f1")


@check("baseline", "The student without KD does not change with the teacher's noise")
def baseline(paper: Paper) -> Findings:
    """Find baselines that change with the teacher's noise; if the KD column does not, a swap."""
    for table, (kd, no_kd) in SWEEPS.items():
        with_kd, without = paper.column(table, kd), paper.column(table, no_kd)
        moving = {cell.claim.text for cell in without}
        if len(moving) <= 1 or len(without) < 2:
            yield None
            continue
        fixed = {cell.claim.text for cell in with_kd}
        values = ", ".join(cell.digits for cell in without)
        swapped = len(fixed) == 1
        yield Flag(
            "baseline",
            "contradiction",
            f"{number(table)}: the columns with and without KD are swapped"
            if swapped
            else f"{number(table)}: the student without KD changes with the teacher's noise",
            f"headed no KD: {values}; headed KD: {', '.join(cell.digits for cell in with_kd)}. "
            "A student without a teacher cannot depend on the teacher's noise"
            + _table_three(paper, table),
            cells=tuple(cell.id for cell in (*with_kd, *without)),
            beside=TABLE_THREE if table == "table04" else (),
        )


def _table_three(paper: Paper, table: str) -> str:
    if table != "table04" or "table03/vision/kd-f1" not in paper:
        return ""
    kd, no_kd = paper["table03/vision/kd-f1"], paper["table03/vision/no-kd-f1"]
    return f"; Table 3 prints {kd.digits} with KD and {no_kd.digits} without for the same student"


# Cells that print the same quantity: (cells to question if they differ, cells to compare with).
SAME: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("table05/0/teacher-student", "table20/mrna/teacher-student"), ()),
    (("table05/0/student-label", "table20/mrna/student-label", "table20/rppa/student-label"), ()),
    (("table05/notes/teacher-label", "table20/mrna/teacher-label"), ()),
    (("table06/0/teacher-student", "table08/mrna/teacher-student"), ()),
    (("table06/0/student-label", "table08/mrna/student-label", "table08/rppa/student-label"), ()),
    (("table06/notes/teacher-label", "table08/mrna/teacher-label"), ()),
    (("table02/latentmi/text-vision", "table03/vision/teacher-student"), ()),
    (("table02/latentmi/vision-label", "table03/vision/student-label"), ()),
    (("table02/latentmi/text-audio", "table03/audio/teacher-student"), ()),
    (("table02/latentmi/audio-label", "table03/audio/student-label"), ()),
    (("table02/latentmi/text-label", "table03/notes/teacher-label"), ()),
    (("table03/vision/teacher-student", "table04/0/teacher-student"), ()),
    (("table03/vision/student-label", "table04/0/student-label"), ()),
    (("table04/0/kd",), ("table03/vision/kd-f1",)),
    (("table04/0/no-kd",), ("table03/vision/no-kd-f1",)),
    # The teacher's input is MNIST, whatever the student's α.
    (("fig02/notes/teacher-accuracy", "table13/notes/teacher-accuracy"), ()),
    (("fig02/notes/teacher-label", "table13/notes/teacher-label"), ()),
)


def _same(paper: Paper) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield the list above, and I(student; label) in every sweep: one student without teacher."""
    yield from SAME
    for table in SWEEPS:
        yield tuple(cell.id for cell in paper.column(table, "student-label")), ()


@check("agreement", "One quantity has one value, between tables and within a column")
def agreement(paper: Paper) -> Findings:
    """Compare the cells that print the same quantity."""
    for doubted, beside in _same(paper):
        cells = [paper[identity] for identity in (*doubted, *beside) if identity in paper]
        if len(cells) < 2:
            continue
        low, high = min(cells, key=lambda c: c.value), max(cells, key=lambda c: c.value)
        apart = high.value - low.value
        # Two roundings of one number differ by less than this.
        if apart < low.claim.rounding + high.claim.rounding - TINY:
            yield None
            continue
        places = "; ".join(f"{c.place}, {c.column.replace('-', ' ')}: {c.digits}" for c in cells)
        yield Flag(
            "agreement",
            "contradiction",
            f"{' and '.join(dict.fromkeys(number(c.table) for c in cells))} print different values "
            "of one quantity",
            f"{places}; {high.digits} - {low.digits} = {apart:.4f}",
            cells=doubted,
            beside=beside,
        )


@check("differences", "A difference column is the difference of two columns")
def differences(paper: Paper) -> Findings:
    """Compare printed gaps and gains with the difference of their columns."""
    for table, (kd, no_kd) in SWEEPS.items():
        subtractions = (("teacher-student", "student-label", "mi-gap"), (kd, no_kd, "difference"))
        for row in paper.rows(table):
            for names in subtractions:
                ids = [f"{table}/{row}/{name}" for name in names]
                if any(identity not in paper for identity in ids):
                    continue
                first, second, printed = (paper[identity] for identity in ids)
                value = first.value - second.value
                slack = sum(cell.claim.rounding for cell in (first, second, printed)) + TINY
                if abs(value - printed.value) <= slack:
                    yield None
                    continue
                yield Flag(
                    "differences",
                    "contradiction",
                    f"{number(table)}, {paper.label(table, row)}: a difference is not that of "
                    "its columns",
                    f"{first.digits} - {second.digits} = {value:.4f}; printed {printed.digits}",
                    cells=(printed.id,),
                    beside=(first.id, second.id),
                )


@check("paired-error", "The error of a difference lies between difference and sum of the errors")
def paired_error(paper: Paper) -> Findings:
    """Check the standard error of a difference of two means over the same runs."""
    for table, (kd, no_kd) in SWEEPS.items():
        for row in paper.rows(table):
            ids = [f"{table}/{row}/{name}" for name in (kd, no_kd, "difference")]
            errors = [paper[i].claim.se for i in ids if i in paper]
            if len(errors) < 3 or None in errors:
                continue
            first, second, both = (float(error) for error in errors if error is not None)
            slack = 1.5e-4 + TINY
            if abs(first - second) - slack <= both <= first + second + slack:
                yield None
                continue
            yield Flag(
                "paired-error",
                "contradiction",
                f"{number(table)}, {row}: the error of the difference is impossible with its parts",
                f"|{first} - {second}| <= {both} <= {first} + {second} does not hold",
                cells=(ids[2],),
                beside=(ids[0], ids[1]),
            )


@check("signs", "Gap and gain have the same sign, as the paper says of every row")
def signs(paper: Paper) -> Findings:
    """Compare the sign of the gap with that of the gain."""
    for gain in paper.gains():
        if gain.gap * gain.gain >= 0:
            yield None
            continue
        yield Flag(
            "signs",
            "caution",
            f"{gain.place}: the gap is {_sign(gain.gap)}, the gain {_sign(gain.gain)}",
            f"gap {gain.gap_words}; gain {gain.gain_words}",
            cells=gain.gain_cells,
            beside=gain.gap_cells,
        )


def _sign(value: float) -> str:
    return "positive" if value > 0 else "negative"


TIMES = 10


@check("gap-size", f"No gain is more than {TIMES} times its gap")
def gap_size(paper: Paper) -> Findings:
    """Find gaps near zero with a large gain, where a small change of the gap changes its sign."""
    rows: dict[tuple[str, str], list[Gain]] = {}
    for gain in paper.gains():
        rows.setdefault((gain.table, gain.row), []).append(gain)
    for (table, row), gains in rows.items():
        large = [gain for gain in gains if abs(gain.gain) > TIMES * abs(gain.gap)]
        if not large:
            yield None
            continue
        first = large[0]
        shown = "; ".join(
            f"{gain.metric}: {gain.gain_words}, {abs(gain.gain / gain.gap):.0f} times"
            for gain in large
        )
        yield Flag(
            "gap-size",
            "caution",
            f"{number(table)}, {row}: a gap near zero with a large {_gain_or_loss(first)}",
            f"gap {first.gap_words}; {shown}",
            cells=first.gap_cells,
            beside=tuple(cell for gain in large for cell in gain.gain_cells),
        )


def _gain_or_loss(gain: Gain) -> str:
    return "gain" if gain.gain > 0 else "loss"


def smallest_spread(paper: Paper) -> float:
    """Return the smallest printed standard deviation of latentmi (Table 2), in its unit."""
    spreads = [
        cell.claim.se
        for key in ("text-vision", "text-audio", "text-label", "vision-label", "audio-label")
        if (cell := paper.cells.get(f"table02/latentmi/{key}")) and cell.claim.se
    ]
    return min(spreads, default=0.0)


@check("gap-noise", "The gap is larger than the noise of a difference of two estimates")
def gap_noise(paper: Paper) -> Findings:
    """Compare gaps with twice their error, from the smallest spread printed for latentmi.

    That spread is over 50 runs on thousands of rows. With fewer rows it is larger, so the limit is
    too low rather than too high.
    """
    spread, seen = smallest_spread(paper), set()
    for gain in paper.gains():
        if gain.gap_cells in seen or gain.table in ("table03", "table04"):
            continue
        seen.add(gain.gap_cells)
        limit = 2 * math.sqrt(2) * spread / math.sqrt(gain.runs)
        if abs(gain.gap) > limit:
            yield None
            continue
        yield Flag(
            "gap-noise",
            "caution",
            f"{number(gain.table)}, {gain.row}: the gap is within the noise of two estimates",
            f"gap {gain.gap_words}; 2 x sqrt(2) x {spread} / sqrt({gain.runs}) = {limit:.4f}, with "
            "the smallest spread that the paper prints for latentmi (Table 2, 50 runs)",
            cells=gain.gap_cells,
        )


@check("gain-noise", "The gain is larger than twice its printed standard error")
def gain_noise(paper: Paper) -> Findings:
    """Compare gains with twice their printed errors; errors of two means as if independent."""
    for gain in paper.gains():
        if gain.se is None:
            continue
        if abs(gain.gain) >= 2 * gain.se:
            yield None
            continue
        yield Flag(
            "gain-noise",
            "caution",
            f"{gain.place}: the gain is within two standard errors of zero",
            f"gain {gain.gain_words}; standard error {gain.se_words}; "
            f"{abs(gain.gain):.4f} / {gain.se:.4f} = {abs(gain.gain) / gain.se:.2f}",
            cells=gain.gain_cells,
        )
