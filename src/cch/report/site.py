"""From a run to the pages."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from cch.base.files import whole_file, write_text
from cch.report.collect import Run
from cch.tables.documents import Cell, Document

ASSETS = ("style.css", "script.js")

VERDICTS = {
    "reproduced": "good",
    "as published": "good",
    "same direction": "fair",
    "differs": "bad",
    "contradicted": "bad",
    "undetermined": "open",
    "not comparable": "open",
}
"""Colour of a verdict; words say it too."""

CRITERION = ("holds", "fails", "undecided")
EFFECTS = ("helps", "harms", "equivalent", "undecided")


def build_site(run: Run, out: str | Path) -> list[str]:
    """Write the site into a folder, which is emptied first; return the paths of its files.

    Args:
        run: what the pages say.
        out: the folder.
    """
    out = Path(out)
    if out.is_dir():
        shutil.rmtree(out)
    pages = _pages(run)
    written = []
    for name, (template, data) in pages.items():
        depth = "../" * name.count("/")
        html = ENVIRONMENT.get_template(template).render(
            run=run,
            root=depth,
            page=name,
            navigation=_navigation(run),
            **{"stand_in": run.stand_in, **data},
        )
        write_text(out / name, html)
        written.append(str(out / name))
    for name in ASSETS:
        text = resources.files("cch.report").joinpath("templates", name).read_text("utf-8")
        write_text(out / name, text)
        written.append(str(out / name))
    return written + [_copied(path, out) for path in _figures(run).values()]


def _pages(run: Run) -> dict[str, tuple[str, dict[str, Any]]]:
    """Template and data of every page by file name."""
    figures = {name: f"figures/{path.name}" for name, path in _figures(run).items()}
    pages: dict[str, tuple[str, dict[str, Any]]] = {
        "index.html": ("index.html.j2", {"counts": _counts(run), "outcomes": _outcomes(run)}),
        "figures.html": ("figures.html.j2", {"figures": figures}),
        "files.html": ("files.html.j2", {}),
        "run.html": ("run.html.j2", {}),
        "sensitivity.html": ("sensitivity.html.j2", _sensitivity(run.tables.get("sensitivity"))),
    }
    if run.ledger:
        pages["ledger.html"] = ("ledger.html.j2", {"cell_ids": run.cell_ids})
    for heading, text in run.notes.items():
        name = f"{heading.lower().replace(' ', '-')}.html"
        pages[name] = ("notes.html.j2", {"heading": heading, "body": _markdown(text)})
    for name, table in run.tables.items():
        cells = table.all_cells
        behind = [file for cell in cells.values() for file in run.behind(cell)]
        pages[f"tables/{name}.html"] = (
            "table.html.j2",
            {
                "name": name,
                "table": table,
                "cells": cells,
                "figure": figures.get(name),
                "stand_in": any(file.raw.get("stand_in") for file in behind),
            },
        )
    return pages


def _navigation(run: Run) -> dict[str, str]:
    """Pages that every page links to, by heading."""
    named = {"Overview": "index.html", "Figures": "figures.html"}
    if run.ledger:
        named["Ledger"] = "ledger.html"
    named["Sensitivity"] = "sensitivity.html"
    named |= {heading: f"{heading.lower().replace(' ', '-')}.html" for heading in run.notes}
    return named | {"Files": "files.html", "Run": "run.html"}


def _counts(run: Run) -> dict[str, Mapping[str, int]]:
    """Verdicts of each of the paper's tables, by name."""
    counts: dict[str, Mapping[str, int]] = {}
    for name, table in run.tables.items():
        printed: list[str] = [cell.verdict for cell in table.all_cells.values() if cell.paper]
        counts[name] = Counter(printed)
    return counts


def _outcomes(run: Run) -> Counter[tuple[str, str]]:
    """How often the criterion says what where distilling did what, over levels and treatments."""
    found: Counter[tuple[str, str]] = Counter()
    for name, table in run.tables.items():
        if not name.startswith("criterion-"):
            continue
        for row in table.rows:
            said = table.cells.get(f"{row.key}/verdict")
            effects = (table.cells.get(f"{row.key}/{column.key}") for column in table.columns)
            for cell in effects:
                if said and cell and cell.query["kind"] == "effect" and cell.members:
                    found[str(said.value), str(cell.value)] += 1
    return found


def _sensitivity(table: Document | None) -> dict[str, Any]:
    """The table of choices; for each, what it changes and which conclusions are not the first's."""
    if table is None:
        return {"table": None, "choices": {}}
    choices, first = {}, None
    for row in table.rows:
        cells = {
            column.key: cell
            for column in table.columns
            if (cell := table.cells.get(f"{row.key}/{column.key}"))
        }
        study = next((cell.study for cell in cells.values() if cell.study), table.study)
        first = first or (study, cells)
        own, base = (
            table.settings.get(name or "", {}).get("study", {}) for name in (study, first[0])
        )
        moved = [c.label for c in table.columns if _moves(cells.get(c.key), first[1].get(c.key))]
        choices[row.key] = {"changes": _changes(own, base), "moved": moved}
    return {"table": table, "choices": choices}


def _moves(cell: Cell | None, first: Cell | None) -> bool:
    """Whether a choice leads to another conclusion than the first one."""
    if cell is None or first is None:
        return False
    return cell.kind == "conclusion" and cell.value != first.value


def _changes(own: Any, base: Any, path: str = "") -> list[str]:
    """What one configuration of a study has other than another, in words."""
    if isinstance(own, dict) and isinstance(base, dict):
        keys = [key for key in own if path or key not in ("title", "group")]
        parts = (_changes(own[k], base.get(k), f"{path}.{k}".lstrip(".")) for k in keys)
        return [line for lines in parts for line in lines]
    return [] if own == base else [f"{path}: {own} in place of {base}"]


def _figures(run: Run) -> dict[str, Path]:
    """PNG files of the run by name of their table, or their own."""
    return {path.stem: path for path in sorted((run.results / "figures").glob("*.png"))}


def _copied(path: Path, out: Path) -> str:
    target = out / "figures" / path.name
    with whole_file(target) as temporary:
        shutil.copyfile(path, temporary)
    return str(target)


def _markdown(text: str) -> Markup:
    """Markdown as HTML; the project's own pages, so no foreign markup gets in."""
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def _size(count: int) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000  # type: ignore[assignment]
    raise AssertionError


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _anchor(key: str) -> str:
    """A cell's place on its page."""
    return "c-" + "".join(c if c.isalnum() else "-" for c in key)


ENVIRONMENT = Environment(
    loader=PackageLoader("cch.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {"size": _size, "duration": _duration, "anchor": _anchor}
ENVIRONMENT.globals |= {"verdict_class": lambda verdict: VERDICTS.get(verdict, "none")}
ENVIRONMENT.globals |= {"criterion_words": CRITERION, "effect_words": EFFECTS}
