"""Figures as a paper has them, drawn from cells (curves, calibration, a network) or a dataset.

PDF and PNG carry no date, so that equal inputs give equal files.
"""

from __future__ import annotations

import itertools
import os
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from cch.base.files import whole_file
from cch.data.paired import PairedDataset
from cch.tables.documents import Cell, Document, Panel, Row
from cch.tables.outcomes import COUNTS_SUFFIX, Outcomes

# Colour-blind-safe (Okabe and Ito); a marker and a dash of its own for print without colour.
STYLES: dict[str, dict[str, Any]] = {
    "kd": {"color": "#D55E00", "marker": "o", "linestyle": "-"},
    "no-kd": {"color": "#0072B2", "marker": "s", "linestyle": "--"},
    "teacher-student": {"color": "#CC3311", "marker": "o", "linestyle": "-"},
    "student-label": {"color": "#882288", "marker": "D", "linestyle": "--"},
}
SPARE = ("#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000")
ESTIMATOR_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SYMBOLS = {"σ12": r"$\sigma_{12}$", "γ": r"$\gamma$ (pixels)", "λ": r"$\lambda$"}
PANEL_INCHES = (3.4, 2.7)


def draw_curves(document: Document) -> Figure:
    """Draw the panels of a document of kind ``curves``: columns against levels, with error bars.

    Bars are one standard error over runs. A cell without a value leaves a gap; a column without
    any is named in the legend as not available.

    Args:
        document: a table document.
    """
    panels = document.panels
    sns.set_theme(style="ticks", context="paper", font="DejaVu Sans")
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.5),
        squeeze=False,
        layout="constrained",
    )
    for axis, panel in zip(axes.flat, panels, strict=False):
        _draw_panel(axis, document, panel)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    _head(figure, document.heading, document.deviation_sentences)
    return figure


def _draw_panel(axis: Axes, document: Document, panel: Panel) -> None:
    columns = {column.key: column for column in document.columns}
    spare = iter(SPARE * len(columns))
    styles = [columns[key].style for key in panel.columns]
    runs: set[int] = set()
    for key in panel.columns:
        column = columns[key]
        style = dict(STYLES.get(column.style or "", {}))
        if not style or styles.count(column.style) > 1:
            style = {"marker": "o", "linestyle": "-"} | style | {"color": next(spare)}
        cells = [cell for _, cell in document.column_cells(key)]
        runs |= {cell.n for cell in cells if cell and cell.n}
        _draw_curve(axis, document.rows, cells, column.label, style)
    axis.set_xlabel(SYMBOLS.get(document.row_label, document.row_label))
    axis.set_ylabel(panel.y_label)
    count = f" (n = {min(runs)})" if len(runs) == 1 else ""
    axis.set_title(f"({panel.key}) {panel.title}{count}", fontsize=8)
    axis.legend(frameon=False, fontsize=7)
    sns.despine(ax=axis)


def _draw_curve(
    axis: Axes,
    rows: Sequence[Row],
    cells: Sequence[Cell | None],
    label: str,
    style: dict[str, Any],
) -> None:
    points = [
        (float(row.key), cell.number, cell.se or 0.0)
        for row, cell in zip(rows, cells, strict=True)
        if cell and cell.value is not None
    ]
    if not points:
        axis.plot([], [], color="grey", label=f"{label}: not available")
        return
    x, y, se = map(np.array, zip(*points, strict=True))
    axis.errorbar(x, y, yerr=se, label=label, capsize=2, markersize=4, linewidth=1.3, **style)


def draw_calibration(document: Document) -> Figure:
    """Draw estimates against known truths, a panel a quantity, a colour an estimator.

    Bars are one standard deviation of a single estimate; the diagonal is no error, and 0 on the
    horizontal axis is the study's own pair with one side permuted.

    Args:
        document: a table document of kind ``calibration``.
    """
    panels = document.panels
    sns.set_theme(style="ticks", context="paper", font="DejaVu Sans")
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(PANEL_INCHES[0] * len(panels), PANEL_INCHES[1] + 0.5),
        squeeze=False,
        layout="constrained",
    )
    sizes = [note.cell.text for note in document.notes]
    for axis, panel, size in zip(axes.flat, panels, sizes, strict=True):
        repeats = _draw_response(axis, document, panel)
        count = f", {repeats.pop()} samples each" if len(repeats) == 1 else ""
        axis.set_title(f"({panel.key}) {panel.title}{count}\n{_wrapped(size)}", fontsize=8)
    _head(figure, document.heading, document.deviation_sentences)
    return figure


def _wrapped(size: str) -> str:
    return textwrap.fill(size, 40)


def _draw_response(axis: Axes, document: Document, panel: Panel) -> set[int]:
    """Draw one panel of ``draw_calibration``; return the numbers of samples behind its points."""
    cells = document.cells
    truths = np.array([cells[f"{row}/truth"].number for row in panel.rows], dtype=float)
    top = float(np.nanmax(truths))
    axis.plot([0, top], [0, top], color="grey", linewidth=0.9, linestyle=":", label="truth")
    repeats: set[int] = set()
    # Side by side around their truth, so that bars of several estimators do not hide each other.
    shifts = (np.arange(len(panel.columns)) - (len(panel.columns) - 1) / 2) * 0.012 * top
    for column, color, marker, shift in zip(
        panel.columns, itertools.cycle(ESTIMATOR_COLORS), itertools.cycle("osD^v"), shifts,
        strict=False,
    ):  # fmt: skip
        name = column.removesuffix("-mean")
        mean, sd = (
            np.array([cells[f"{row}/{name}-{what}"].number for row in panel.rows], dtype=float)
            for what in ("mean", "sd")
        )
        repeats |= {cells[f"{row}/{column}"].n or 0 for row in panel.rows}
        style = {"color": color, "marker": marker, "capsize": 2, "markersize": 4, "linewidth": 1.3}
        axis.errorbar(truths + shift, mean, yerr=np.nan_to_num(sd), label=name, **style)
    axis.set_xlabel("Known mutual information (nats)")
    axis.set_ylabel(panel.y_label)
    axis.legend(frameon=False, fontsize=7)
    sns.despine(ax=axis)
    return repeats


def draw_null_gaps(document: Document) -> Figure:
    """Draw what gaps estimators give where there is none, beside the gaps that the paper prints.

    A dot is one estimate of the gap, the bar its mean and standard deviation over all dots. Black
    diamonds are the printed gaps; the band is their range.

    Args:
        document: the document of ``cch.tables.null_gaps``.
    """
    cells = document.cells
    names = [column.key for column in document.columns if column.key != "paper"]
    printed = [cell.number for key, cell in cells.items() if key.endswith("/paper")]
    sns.set_theme(style="ticks", context="paper", font="DejaVu Sans")
    size = (max(3.6, 1.1 * (2 + len(names))), 3.0)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.axhline(0, color="grey", linewidth=0.9, linestyle=":")
    axis.axhspan(min(printed), max(printed), color="black", alpha=0.08, linewidth=0)
    spread = np.linspace(-0.1, 0.1, len(printed))
    axis.plot(spread, printed, "D", color="black", markersize=4)
    for place, (name, color) in enumerate(
        zip(names, itertools.cycle(ESTIMATOR_COLORS), strict=False), start=1
    ):
        cell, sd = cells[f"gap/{name}"], cells[f"gap-sd/{name}"].number
        values = [member.value for member in cell.members]
        spread = np.linspace(-0.3, 0.1, len(values))
        axis.plot(place + spread, values, ".", color=color, markersize=5, alpha=0.7)
        bar = {"fmt": "o", "color": color, "capsize": 3, "markersize": 5}
        axis.errorbar([place + 0.25], [cell.number], yerr=[sd], **bar)
    table = document.columns[-1].label.removeprefix("printed gap, ")
    ticks = [f"printed\n({table})", *(f"{name}\nn = {cells[f'gap/{name}'].n}" for name in names)]
    axis.set_xticks(range(len(ticks)), ticks)
    axis.set_xlim(-0.5, len(names) + 0.5)
    axis.set_ylabel("MI gap (nats)")
    sns.despine(ax=axis)
    _head(figure, document.heading, document.deviation_sentences)
    return figure


def draw_decision_error(document: Document) -> Figure:
    """Draw the share of wrong decisions against n, one line for each estimator.

    Rows of panels are gaps, those with a teacher that knows the label apart; columns of panels are
    dimension and rank. Error bars are 95 % intervals. Dashed lines are shares of undecided samples.

    Args:
        document: the document of ``cch.tables.decision_error``.
    """
    every = [(row, row.parameters) for row in document.rows]
    down = list(dict.fromkeys((at["teacher_knows_label"], at["gap"]) for _, at in every))
    across = list(dict.fromkeys((at["columns"], at["rank"]) for _, at in every))
    sns.set_theme(style="ticks", context="paper", font="DejaVu Sans")
    figure, axes = plt.subplots(
        len(down),
        len(across),
        figsize=(2.3 * len(across) + 0.8, 1.7 * len(down) + 0.6),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    names = [column.key for column in document.columns if not column.key.endswith(COUNTS_SUFFIX)]
    for (place, (knows, gap)), (side, (columns, rank)) in itertools.product(
        enumerate(down), enumerate(across)
    ):
        axis = axes[place, side]
        here = {"teacher_knows_label": knows, "gap": gap, "columns": columns, "rank": rank}
        rows = [(row, at) for row, at in every if here.items() <= at.items()]
        for name, color, marker in zip(
            names, itertools.cycle(ESTIMATOR_COLORS), itertools.cycle("osD^v"), strict=False
        ):
            _draw_decisions(axis, document, rows, name, {"color": color, "marker": marker})
        axis.set(xscale="log", ylim=(-0.05, 1.05))
        axis.set_xticks(*_ticks([at["rows"] for _, at in rows]), fontsize=6)
        axis.minorticks_off()
        title = f"gap {gap:g} nats, {columns:g} columns, rank {rank:g}"
        axis.set_title(f"{title}\nteacher knows the label" if knows else title, fontsize=7)
        sns.despine(ax=axis)
    for axis in axes[-1]:
        axis.set_xlabel("n")
    for axis in axes[:, 0]:
        axis.set_ylabel("P(wrong sign)")
    axes[0, 0].legend(frameon=False, fontsize=6)
    _head(figure, document.heading, document.deviation_sentences)
    return figure


def _ticks(rows: Sequence[float]) -> tuple[list[float], list[str]]:
    """Return positions and labels of ticks at the sample sizes."""
    places = sorted(set(rows))
    return places, [f"{place:g}" for place in places]


def _draw_decisions(
    axis: Axes,
    document: Document,
    rows: Sequence[tuple[Row, dict[str, Any]]],
    name: str,
    style: dict[str, Any],
) -> None:
    """Draw one estimator in one panel of ``draw_decision_error``."""
    cells = [(at["rows"], document.cells[f"{row.key}/{name}{COUNTS_SUFFIX}"]) for row, at in rows]
    points = [(n, Outcomes.read(cell.text)) for n, cell in cells if cell.value is not None]
    if not points:
        axis.plot([], [], color="grey", label=f"{name}: not available")
        return
    n = [size for size, _ in points]
    share = np.array([one.share for _, one in points])
    ends = np.array([one.interval for _, one in points]).T
    bars = np.abs(ends - share)
    axis.errorbar(n, share, yerr=bars, label=name, capsize=2, markersize=3, linewidth=1.2, **style)
    undecided = [one.undecided / one.samples for _, one in points]
    if any(undecided):
        label = f"{name}, undecided"
        axis.plot(n, undecided, "--", color=style["color"], linewidth=0.9, label=label)


def draw_pairs(document: Document) -> Figure:
    """Draw what distilling changed for every pair and level, a colour a treatment.

    Bars are 95 % intervals over test cases and seeds, where cells have one; right of zero the
    student of a class metric gained.

    Args:
        document: a table document of kind ``pairs``.
    """
    columns = [column for column in document.columns if column.key.startswith("difference-")]
    sns.set_theme(style="ticks", context="paper", font="DejaVu Sans")
    size = (PANEL_INCHES[0] * 1.6, 0.9 + 0.2 * len(document.rows))
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.axvline(0, color="grey", linewidth=0.9, linestyle=":")
    shifts = (np.arange(len(columns)) - (len(columns) - 1) / 2) * 0.6 / len(columns)
    for column, color, shift in zip(columns, itertools.cycle(SPARE), shifts, strict=False):
        bar = {"fmt": "o", "color": color, "capsize": 2, "markersize": 4}
        for place, (_, cell) in enumerate(document.column_cells(column.key)):
            if cell is None or cell.value is None:
                continue
            x, interval = cell.number, cell.interval
            ends = [[x - interval.low], [interval.high - x]] if interval else None
            axis.errorbar([x], [place + shift], xerr=ends, **bar)
        axis.plot([], [], "o", color=color, markersize=4, label=column.label)
    axis.set_yticks(range(len(document.rows)), [row.label for row in document.rows])
    axis.invert_yaxis()
    axis.set_xlabel(columns[0].label if len(columns) == 1 else "Difference, KD minus no KD")
    if len(columns) > 1:
        axis.legend(frameon=False, fontsize=7)
    sns.despine(ax=axis)
    _head(figure, document.heading, document.deviation_sentences)
    return figure


def draw_architecture(document: Document) -> Figure:
    """Draw the fusion of two modalities, direct and with distillation (Fig. 3).

    Args:
        document: a table document of kind ``architecture``; its rows are sizes and settings of
            the network, see ``fig03`` in ``paper/tables.yaml``.
    """
    said = {key.partition("/")[0]: cell.text for key, cell in document.cells.items()}
    sns.set_theme(style="white", context="paper", font="DejaVu Sans")
    size = (PANEL_INCHES[0] * 2, PANEL_INCHES[1] + 0.8)
    figure, axes = plt.subplots(1, 2, figsize=size, layout="constrained")
    for axis, distilled in zip(axes, (False, True), strict=True):
        axis.set(xlim=(0, 10), ylim=(-0.3, 11.2))
        axis.set_axis_off()
        _draw_fusion(axis, said)
        if distilled:
            _draw_heads(axis, said)
        name = "Fusion with distillation" if distilled else "Direct fusion"
        axis.set_title(f"({'ab'[distilled]}) {name}", fontsize=8)
    _head(figure, document.heading, document.deviation_sentences)
    return figure


# Where the two modalities stand, from left to right: part, middle, colour.
BRANCHES = (("teacher", 2.6, "#D55E00"), ("student", 7.4, "#0072B2"))


def _draw_fusion(axis: Axes, said: dict[str, str]) -> None:
    """Draw encoders, concatenation and fusion head."""
    normed = "\nBatchNorm" if said["batch-norm"] == "yes" else ""
    encoder = f"Linear {said['encoder']}, ReLU{normed}\nDropout {said['dropout']}"
    for part, x, color in BRANCHES:
        _box(axis, x, 0.7, f"{said[part]} ({part})\n{said['features']} features", color)
        _box(axis, x, 3.2, encoder, color)
        _arrow(axis, (x, 1.4), (x, 2.3))
        _arrow(axis, (x, 4.1), (5 + (x - 5) * 0.35, 5.3))
    _box(axis, 5, 5.9, "Concatenate", "#555555", width=2.6)
    _box(axis, 5, 7.8, f"Fusion head\nLinear {said['classes']}", "#555555", width=2.6)
    _arrow(axis, (5, 6.5), (5, 7.1))
    _arrow(axis, (5, 8.5), (5, 9.2))
    axis.text(5, 9.3, "cross-entropy", ha="center", va="bottom", fontsize=7)


def _draw_heads(axis: Axes, said: dict[str, str]) -> None:
    """Draw the modalities' heads and what is distilled from one to the other."""
    for part, x, color in BRANCHES:
        outer = 1.5 if x < 5 else 8.5
        _box(axis, outer, 7.8, f"Head\nLinear {said['classes']}", color, width=2.2)
        _arrow(axis, (outer, 4.1), (outer, 7.1))
        if part == "teacher" and said["teacher-head"] == "supervised":
            _arrow(axis, (outer, 8.5), (outer, 9.2))
            axis.text(outer, 9.3, "cross-entropy", ha="center", va="bottom", fontsize=7)
    _arrow(axis, (2.3, 8.55), (7.7, 8.55), color="#CC3311", linestyle="--", curve=-0.56)
    label = f"$\\lambda T^2$ KL, T = {said['temperature']}, $\\lambda$ = {said['weight']}"
    axis.text(5, 10.4, label, ha="center", va="bottom", fontsize=7, color="#CC3311")


def _box(axis: Axes, x: float, y: float, text: str, color: str, width: float = 4.2) -> None:
    lines = text.count("\n") + 1
    height = 0.55 * lines + 0.3
    corner = (x - width / 2, y - height / 2)
    style = {"boxstyle": "round,pad=0.05", "edgecolor": color, "facecolor": "white"}
    axis.add_patch(FancyBboxPatch(corner, width, height, linewidth=1.2, **style))
    axis.text(x, y, text, ha="center", va="center", fontsize=7)


def _arrow(
    axis: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str = "#333333",
    linestyle: str = "-",
    curve: float = 0.0,
) -> None:
    style = {"color": color, "linestyle": linestyle, "linewidth": 1.0, "mutation_scale": 8}
    bend = f"arc3,rad={curve}"
    axis.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", connectionstyle=bend, **style))


def draw_samples(
    dataset: PairedDataset, modalities: Sequence[str], title: str, deviations: Sequence[str]
) -> Figure:
    """Draw the first training sample of each class, one block a modality, side by side.

    Args:
        dataset: images (N, H, W) under each modality.
        modalities: what to show, left to right.
        title: of the figure.
        deviations: what sets the data apart from the paper's.
    """
    split = dataset.split
    train = np.arange(len(dataset)) if split is None else np.flatnonzero(split == "train")
    _, first = np.unique(dataset.label[train], return_index=True)
    rows = train[first]
    across = 5
    figure, axes = plt.subplots(
        1, len(modalities), figsize=(3.4 * len(modalities), 2.2), layout="constrained"
    )
    for axis, name in zip(np.atleast_1d(axes), modalities, strict=True):
        images = dataset.values(name)[rows]
        blank = np.zeros((-len(images) % across, *images.shape[1:]), images.dtype)
        grid = np.concatenate([images, blank])
        grid = grid.reshape(-1, across, *images.shape[1:]).transpose(0, 2, 1, 3)
        axis.imshow(grid.reshape(grid.shape[0] * grid.shape[1], -1), cmap="gray", vmin=0, vmax=255)
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    _head(figure, title, deviations)
    return figure


def _head(figure: Figure, title: str, deviations: Sequence[str]) -> None:
    """Put the title over the figure; what sets it apart from the paper's stands in both places."""
    width = figure.get_figwidth()
    lines = textwrap.wrap(title, int(width * 13))
    notes: list[str] = []
    if deviations:
        lines.append("Not the paper's setting (see below)")
        notes = textwrap.wrap("Not the paper's setting: " + "; ".join(deviations), int(width * 21))
        figure.supxlabel("\n".join(notes), fontsize=6, ha="left", x=0.02)
    extra = 0.14 * len(lines) + 0.11 * len(notes)
    figure.set_size_inches(width, figure.get_figheight() + extra)
    figure.suptitle("\n".join(lines), fontsize=8, fontweight="bold" if deviations else "normal")


DRAW: dict[str, Callable[[Document], Figure]] = {
    "curves": draw_curves,
    "calibration": draw_calibration,
    "architecture": draw_architecture,
    "null": draw_null_gaps,
    "decision-error": draw_decision_error,
    "pairs": draw_pairs,
}
"""What draws a document, by its kind; a table is not drawn."""


def save(figure: Figure, pdf: str | os.PathLike[str], png: str | os.PathLike[str]) -> None:
    """Write a figure as PDF and PNG, each whole or not at all, and close it."""
    with whole_file(pdf) as temporary:
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None, "ModDate": None})
    with whole_file(png) as temporary:
        figure.savefig(temporary, format="png", dpi=200, metadata={"Software": None})
    plt.close(figure)
