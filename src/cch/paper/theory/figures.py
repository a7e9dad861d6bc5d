"""Figures ``theory-risk`` and ``theory-region``, drawn from their documents' cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cch.paper.theory.documents import area_key
from cch.paper.theory.region import edges, teacher_ratio
from cch.tables.documents import Cell, Document, Row
from cch.tables.figures import SPARE, STYLES

BLUE, RED = STYLES["no-kd"]["color"], STYLES["kd"]["color"]
COLORS = (BLUE, RED, *SPARE[1:5])
MARKERS = "osD^vP"
PANEL = (2.45, 2.55)
ASIDE = {"criterion": "#0072B2", "helps": "#9ECAE9", "hurts": "#F6C8A6"}


def draw_risk(document: Document) -> Figure:
    """Draw the table ``theory``: curves are asymptotic cells, points with bars are simulated ones.

    Left: risk against kappa for some lambda, at the largest sigma_12. Right: for each sigma_12 the
    change from no distillation against lambda, relative to the risk without it. Between its cells
    a curve takes the form that it has exactly, see ``_risk_curve`` and ``_lambda_curve``. Bars are
    two standard errors.

    Args:
        document: as ``cch.paper.theory.documents.risk_document`` makes it.
    """
    rows = document.rows
    values = sorted({row.parameters["sigma_12"] for row in rows})
    figure, axes = _frame(1 + len(values))
    _draw_against_kappa(
        axes[0], document, [r for r in rows if r.parameters["sigma_12"] == values[-1]]
    )
    axes[0].set_title(f"(a) $\\sigma_{{12}}$ = {values[-1]:g}", fontsize=8)
    for number, (axis, value) in enumerate(zip(axes[1:], values, strict=True), start=1):
        _draw_against_lambda(axis, document, [r for r in rows if r.parameters["sigma_12"] == value])
        verdict = next(r.parameters["criterion"] for r in rows if r.parameters["sigma_12"] == value)
        axis.set_title(
            f"({'abcdefgh'[number % 8]}) $\\sigma_{{12}}$ = {value:g}: "
            f"criterion {'holds' if verdict else 'fails'}",
            fontsize=8,
        )
    axes[1].set_ylabel(r"Change of risk from $\lambda = 0$ (%)", fontsize=8)
    count = {cell.n for cell in document.cells.values() if cell.n}
    figure.suptitle(
        f"{document.title}\nlines: asymptotic; points: mean of {max(count)} replications "
        "± 2 standard errors",
        fontsize=8,
    )
    return figure


def _frame(panels: int) -> tuple[Figure, Sequence[Axes]]:
    sns.set_theme(style="ticks", context="paper", font="DejaVu Sans")
    size = (PANEL[0] * panels + 0.3, PANEL[1] + 0.6)
    figure, axes = plt.subplots(1, panels, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
        sns.despine(ax=axis)
    return figure, list(axes.flat)


def _spread(values: Iterable[float], count: int) -> list[float]:
    """At most ``count`` of the sorted values, the ends and what lies evenly between."""
    every = sorted(set(values))
    places = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
    return [every[place] for place in dict.fromkeys(places.tolist())]


def _points(document: Document, rows: Sequence[Row], column: str, over: str) -> np.ndarray:
    """(key value, value, standard error or 0) of a column's cells, sorted, (m, 3)."""
    found = []
    for row in rows:
        if cell := document.cells.get(f"{row.key}/{column}"):
            found.append((row.parameters[over], cell.value, cell.se or 0.0))
    return np.array(sorted(found)).reshape(-1, 3)


def _draw_against_kappa(axis: Axes, document: Document, rows: Sequence[Row]) -> None:
    for number, lam in enumerate(_spread((row.parameters["lambda"] for row in rows), 3)):
        chosen = [row for row in rows if row.parameters["lambda"] == lam]
        style = {"color": COLORS[number], "linewidth": 1.2}
        curve = _points(document, chosen, "asymptotic", "kappa")
        for part in (curve[curve[:, 0] < 1], curve[curve[:, 0] > 1]):
            if len(part):
                axis.plot(*_risk_curve(part), **style)
        _bars(
            axis, _points(document, chosen, "monte-carlo", "kappa"), number, rf"$\lambda$ = {lam:g}"
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.axvline(1, color="grey", linewidth=0.7, linestyle=":")
    axis.set_xlabel(r"$\kappa = n/p$", fontsize=8)
    axis.set_ylabel("Excess risk", fontsize=8)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.legend(frameon=False, fontsize=6.5)


def _draw_against_lambda(axis: Axes, document: Document, rows: Sequence[Row]) -> None:
    kappas = _spread((row.parameters["kappa"] for row in rows), 4)
    for number, kappa in enumerate(kappas):
        chosen = [row for row in rows if row.parameters["kappa"] == kappa]
        change = _points(document, chosen, "change-asymptotic", "lambda")
        if not len(change):
            continue
        risk = _points(document, chosen, "asymptotic", "lambda")
        start = float(risk[risk[:, 0] == change[0, 0]][0, 1] - change[0, 1])
        x, y = _lambda_curve(change, start)
        axis.plot(x, 100 * y / start, color=COLORS[number], linewidth=1.2)
        points = _points(document, chosen, "change", "lambda")
        points[:, 1:] *= 100 / start
        _bars(axis, points, number, rf"$\kappa$ = {kappa:g}")
    axis.axhline(0, color="grey", linewidth=0.7, linestyle=":")
    axis.set_xscale("symlog", linthresh=0.1, linscale=0.5)
    axis.set_xlim(left=-0.01)
    shown = sorted({row.parameters["lambda"] for row in rows})
    axis.set_xticks(shown, [f"{value:g}" for value in shown])
    axis.minorticks_off()
    axis.set_xlabel(r"$\lambda$", fontsize=8)
    axis.legend(frameon=False, fontsize=6.5)


def _bars(axis: Axes, points: np.ndarray, number: int, label: str) -> None:
    axis.errorbar(
        *(points[:, 0], points[:, 1], 2 * points[:, 2]),
        fmt=MARKERS[number % len(MARKERS)],
        color=COLORS[number % len(COLORS)],
        markersize=3.5,
        capsize=2,
        linewidth=1,
        label=label,
    )


def _through(
    x: np.ndarray, y: np.ndarray, basis: Callable[[np.ndarray], Sequence[np.ndarray]], t: np.ndarray
) -> np.ndarray | None:
    """Values at ``t`` of the combination of ``basis`` through all points; None if they miss it."""
    design = np.stack(basis(x), axis=1)
    weights, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    missed = np.abs(design @ weights - y).max() > 1e-8 * np.abs(y).max()
    if rank < design.shape[1] or missed:
        return None
    return np.stack(basis(t), axis=1) @ weights


def _risk_curve(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The asymptotic risk over kappa on one side of 1 at one lambda, Sigma_22 a multiple of I.

    It is a + b / (kappa - 1) above 1 and a + b kappa + c kappa / (1 - kappa) below it. Straight
    lines join points that are too few for that, or that are of another model.
    """
    x, y = points[:, 0], points[:, 1]
    t = np.geomspace(x[0], x[-1], 200)
    if x[0] > 1:
        curve = _through(x, y, lambda k: (np.ones_like(k), 1 / (k - 1)), t)
    else:
        curve = _through(x, y, lambda k: (np.ones_like(k), k, k / (1 - k)), t)
    return (x, y) if curve is None else (t, curve)


def _lambda_curve(points: np.ndarray, start: float) -> tuple[np.ndarray, np.ndarray]:
    """The change of risk over lambda: (start + b lambda + c lambda^2) / (1 + lambda)^2 - start."""
    x, y = np.concatenate([[[0.0, 0.0]], points[:, :2]]).T
    t = np.unique(np.concatenate([np.linspace(0, 0.1, 50), np.linspace(0, x[-1], 400)]))
    t = t[t <= x[-1]]
    curve = _through(x, (y + start) * (1 + x) ** 2 - start, lambda v: (v, v**2), t)
    return (x, y) if curve is None else (t, (curve + start) / (1 + t) ** 2 - start)


def draw_region(document: Document) -> Figure:
    """Draw ``theory-region``: where the criterion holds over where distillation helps.

    A panel for each rho(t, y). Fills are Eqs. 17 and 21 for the best linear teacher; the dashed
    line bounds the helping region of a teacher as variable as y, the largest that Theorem 1
    allows. Markers are simulated points: filled below zero, open above it, a cross where two
    standard errors cover zero. Shares are cells.

    Args:
        document: as ``cch.paper.theory.documents.region_document`` makes it.
    """
    values = list(dict.fromkeys(row.parameters["teacher_label"] for row in document.rows))
    notes = document.all_cells
    figure, axes = _frame(len(values))
    # The most negative correlation that is possible at the smallest rho(t, y), with a margin.
    low = -float(np.sqrt(1 - min(values) ** 2)) - 0.05
    for axis, value in zip(axes, values, strict=True):
        _draw_regions(axis, value)
        _draw_signs(
            axis, document, [r for r in document.rows if r.parameters["teacher_label"] == value]
        )
        found = notes[area_key(value, True, "found")].value
        helps = notes[area_key(value, True, "helps")].value
        axis.set_title(
            rf"$\rho(t, y)$ = {value:g}: helps in {helps:.0%},"
            "\n"
            f"criterion finds {found:.0%} of that",
            fontsize=8,
        )
        axis.set(xlim=(0, 1), ylim=(low, 1.02), xticks=(0, 0.25, 0.5, 0.75, 1))
        axis.set_xticklabels(["0", "0.25", "0.5", "0.75", "1"])
        axis.set_xlabel(r"$\rho(s, y)$, student and label", fontsize=8)
    axes[0].set_ylabel(r"$\rho(t, s)$, teacher and student", fontsize=8)
    figure.suptitle(document.title, fontsize=8)
    handles = _region_handles(document)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=6.5, frameon=False)
    return figure


def _draw_regions(axis: Axes, teacher_label: float) -> None:
    x = np.linspace(1e-6, 1 - 1e-9, 2000)
    best = edges(teacher_label, teacher_ratio(teacher_label, best=True), x)
    bound = edges(teacher_label, teacher_ratio(teacher_label, best=False), x)
    plain = {"linewidth": 0, "zorder": 1}
    axis.set_facecolor("#EEEEEE")
    axis.fill_between(x, best.low, best.helps, color=ASIDE["hurts"], **plain)
    axis.fill_between(x, best.helps, best.high, color=ASIDE["helps"], **plain)
    for low, high in (
        (np.maximum(x, best.low), best.high),
        (best.low, np.minimum(-x, best.high)),
    ):
        axis.fill_between(x, low, high, where=high > low, color=ASIDE["criterion"], **plain)
    inside = (bound.helps > bound.low) & (bound.helps < bound.high)
    line = np.where(inside, bound.helps, np.nan)
    axis.plot(x, line, color="black", linewidth=0.9, linestyle="--", zorder=2)


def _draw_signs(axis: Axes, document: Document, rows: Sequence[Row]) -> None:
    for row in rows:
        cell = document.cells[f"{row.key}/monte-carlo"]
        place = ([row.parameters["student_label"]], [row.parameters["teacher_student"]])
        if _undecided(cell):
            axis.plot(*place, "x", color="black", markersize=4, markeredgewidth=0.9, zorder=3)
            continue
        fill = "black" if cell.value < 0 else "white"
        axis.plot(
            *place, "o", markersize=4, markerfacecolor=fill, markeredgecolor="black",
            markeredgewidth=0.8, zorder=3,
        )  # fmt: skip


def _undecided(cell: Cell) -> bool:
    return bool(abs(cell.value) <= 2 * cell.se)


def _region_handles(document: Document) -> list[Any]:
    dot = {"linestyle": "", "markeredgecolor": "black", "markersize": 4}
    handles: list[Any] = [
        Patch(color=ASIDE["criterion"], label="helps, criterion holds"),
        Patch(color=ASIDE["helps"], label="helps, criterion fails"),
        Patch(color=ASIDE["hurts"], label="does not help"),
        Patch(color="#EEEEEE", label="no such Gaussian"),
        Line2D(
            [], [], color="black", linestyle="--", linewidth=0.9, label="helps above, Var t = Var y"
        ),
        Line2D([], [], marker="o", markerfacecolor="black", label="simulated: helps", **dot),
        Line2D([], [], marker="o", markerfacecolor="white", label="simulated: hurts", **dot),
    ]
    simulated = (c for key, c in document.cells.items() if key.endswith("/monte-carlo"))
    if any(_undecided(cell) for cell in simulated):
        handles.append(Line2D([], [], marker="x", label="simulated: undecided", **dot))
    return handles


DRAW = {"theory-risk": draw_risk, "theory-region": draw_region}
"""What draws each figure of the target ``theory``."""
