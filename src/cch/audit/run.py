"""The audit from end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cch import CHECKOUT
from cch.audit import derive, derive_criterion, derive_generated, derive_teachers, printed
from cch.audit.derive import Derived, NotDerivable, Place
from cch.audit.facts import Facts, near, same
from cch.audit.files import Chains, check_cell_files, check_code, check_files
from cch.audit.ledger import check_ledger
from cch.audit.report import Audit
from cch.audit.rerun_command import restoring
from cch.audit.tree import Tree
from cch.base.errors import CchError
from cch.base.files import parse_yaml

assert derive_criterion and derive_generated and derive_teachers  # imported for what they register

DOCUMENT = "cch-table-2"
MAIN = "main"  # in a layout: the first estimator of the study
BY_LEVEL = ("md", "tex")
LEVELS_IN_ROWS = ("criterion-", "teachers-")
"""Tables of a study's own with a row for each level."""
RENDERED: dict[str, Callable[[str, str, Mapping[str, Any], Audit], None]] = {
    "csv": printed.check_csv,
    "md": printed.check_markdown,
    "tex": printed.check_latex,
}


def audit(results: str | Path, checkout: Path | None = CHECKOUT) -> Audit:
    """Check every file, cell and printed number of a results folder.

    Args:
        results: the folder, as the configuration names it, or a path to it.
        checkout: where the workflow's scripts and the transcription of the paper are; parts that
            need them are left out where they are not there.

    Raises:
        CchError: there is no such folder, it holds no records, or it was made under another name.
    """
    report = Audit(Path(results))
    tree = Tree(results, report)
    check_files(tree, report)
    if report.missing:
        report.restore = restoring(tree.base, tree.name, sorted(report.missing))
    check_code(tree, report, checkout)
    documents = dict(_documents(tree, report))
    facts, chains = Facts(tree, report), Chains(tree, report)
    printed_in_paper, layouts = (_paper_file(checkout, name) for name in ("claims", "tables"))
    claims = printed_in_paper.get("tables", {})
    ends: set[str] = set()
    for name, document in documents.items():
        unread: dict[str, int] = {}
        _guarded(report, name, _check_queries, report, document, layouts)
        _guarded(report, name, _check_settings, report, document, facts)
        for key, cell in printed.cells_of(document).items():
            report.count("cells")
            place, where = Place(document, key, cell), f"{document['id']}/{key}"
            _guarded(report, where, _check_cell, report, place, facts, claims, unread)
            found = _guarded(report, where, check_cell_files, tree, chains, report, name, cell)
            ends |= found or set()
        for broken, cells in unread.items():
            report.wrong("cell", name, f"cells not derived again: {cells}; {broken}")
        _guarded(report, name, _check_rendered, tree, report, name, document)
        if document["id"] == "sensitivity":
            _guarded(report, name, _check_sensitivity, tree, report, document)
    report.count("generators", sum(end.startswith("generator ") for end in ends))
    _check_figures(tree, report, documents)
    _guarded(report, f"{tree.name}/comparison.md", _check_pages, tree, report, documents)
    _guarded(report, f"{tree.name}/report/index.html", _check_outcomes, tree, report, documents)
    name = f"{tree.name}/ledger.json"
    _guarded(report, name, check_ledger, tree, report, documents, claims)
    return report


def _documents(tree: Tree, report: Audit) -> Any:
    """Yield (name, document) of all table documents that can be read."""
    for name in tree.under("tables", ".json"):
        try:
            document = tree.json(name)
            if document.get("format") != DOCUMENT:
                raise CchError(name, f"format is {document.get('format')!r}, not {DOCUMENT!r}")
            missing = {"id", "cells", "rows", "columns", "deviations"} - set(document)
            if missing:
                raise CchError(name, f"has no {min(missing)!r}")
            printed.cells_of(document)
            printed.deviations_of(document)
        except CchError as error:
            report.wrong("file", name, error.what)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            report.wrong("file", name, f"is no table document ({type(error).__name__}: {error})")
        else:
            if document["id"] != Path(name).stem:
                report.wrong("file", name, f"is the document of {document['id']}")
            yield name, document


def _paper_file(checkout: Path | None, name: str) -> dict[str, Any]:
    """``paper/claims.yaml`` or ``paper/tables.yaml``; empty where it is not there."""
    path = checkout / "paper" / f"{name}.yaml" if checkout else None
    if path is None or not path.is_file():
        return {}
    return parse_yaml(path.read_text(encoding="utf-8")) or {}


def _check_queries(report: Audit, document: dict[str, Any], layouts: dict[str, Any]) -> None:
    """Every cell asks for what its place in ``paper/tables.yaml`` says, at the level of its row."""
    layout = layouts.get(document["id"], {})
    columns = {entry["key"]: entry.get("query", {}) for entry in layout.get("columns", [])}
    written = layout.get("rows", "levels")
    rows = {} if written == "levels" else {entry["key"]: entry for entry in written}
    by_level = document.get("kind") == "curves" or (layout and written == "levels")
    by_level = by_level or document["id"].startswith(LEVELS_IN_ROWS)
    wanted = {f"notes/{note['key']}": note["query"] for note in layout.get("notes", [])}
    for key, cell in printed.cells_of(document).items():
        row, _, column = key.partition("/")
        entry = rows.get(row, {})
        of_row = {"study": entry["study"]} if entry.get("study") else {}
        of_row |= columns.get(column, {})
        asked = dict(wanted.get(key) or of_row | entry.get("cells", {}).get(column, {}))
        study = asked.pop("study", None)
        if study and cell.get("study") != study:
            said = f"is of study {cell.get('study')!r}, its place says {study!r}"
            report.wrong("cell", f"{document['id']}/{key}", said)
        if by_level and row != "notes" and "level" in cell["query"]:
            asked = asked | {"level": row}
        for part, value in asked.items():
            if value != MAIN and cell["query"].get(part) != value:
                said = f"asks for {part} {cell['query'].get(part)!r}, its place says {value!r}"
                report.wrong("cell", f"{document['id']}/{key}", said)


def _check_settings(report: Audit, document: dict[str, Any], facts: Facts) -> None:
    """The configuration that a document holds is that of the jobs behind it."""
    for study, stated in document.get("settings", {}).items():
        own = stated["study"] | {"dataset": stated["dataset"]}
        for path in unlike(facts.recorded_settings(study), own):
            said = f"its {path} of study {study} is not what the records of the jobs say"
            report.wrong("cell", document["id"], said)


def unlike(recorded: Any, stated: Any, path: str = "") -> list[str]:
    """Return where two configurations differ, as far as the first goes."""
    if not isinstance(recorded, dict) or not isinstance(stated, dict):
        return [] if recorded == stated else [path]
    return [
        place
        for key, value in recorded.items()
        for place in unlike(value, stated.get(key), f"{path}.{key}".lstrip("."))
    ]


def _guarded(report: Audit, where: str, check: Callable[..., Any], *rest: Any) -> Any:
    """Run a check; what lacks a part that every cell has is a finding, not a traceback."""
    try:
        return check(*rest)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        report.wrong("cell", where, f"is damaged ({type(error).__name__}: {error})")
        return None


def _check_cell(
    report: Audit, place: Place, facts: Facts, claims: dict[str, Any], unread: dict[str, int]
) -> None:
    cell = place.cell
    identity = f"{place.document['id']}/{place.key}"
    if cell["id"] != identity:
        report.wrong("cell", identity, f"is stored as {cell['id']}")
    _check_paper(report, place, claims)
    rule = derive.RULES.get(cell["query"]["kind"])
    if rule is None:
        said = f"not derived again: nothing here knows queries of kind {cell['query']['kind']!r}"
        report.not_known(identity, said)
        _check_text(report, place, Derived(cell["value"], cell["se"], cell["n"]))
        return
    try:
        derived = rule(cell["query"], place, facts)
    except NotDerivable as error:
        report.not_known(identity, f"not derived again: {error}")
        return
    except CchError as error:
        unread[str(error)] = unread.get(str(error), 0) + 1
        return
    report.count("derived")
    _compare(report, place, derived)
    _check_text(report, place, derived)


def _compare(report: Audit, place: Place, derived: Derived) -> None:
    """Value, error, n, unit, flags and members against those derived."""
    cell, identity = place.cell, f"{place.document['id']}/{place.key}"
    pairs = {"value": derived.value, "se": derived.se, "n": derived.n}
    for key, value in pairs.items():
        if not same(cell[key], value):
            report.wrong("cell", identity, f"{key} is {cell[key]!r}, derived again {value!r}")
    if derived.unit != derive.UNSTATED and cell["unit"] != derived.unit:
        report.wrong("cell", identity, f"unit is {cell['unit']!r}, derived again {derived.unit!r}")
    if derived.flags is not None and cell["flags"] != derived.flags:
        report.wrong("cell", identity, f"flags are {cell['flags']}, derived again {derived.flags}")
    _compare_interval(report, identity, cell.get("interval"), derived.interval)
    if derived.members is None:
        return
    stored = [(m["id"], m.get("minus"), m["value"]) for m in cell["members"]]
    wanted = list(derived.members)
    if [m[:2] for m in stored] != [m[:2] for m in wanted]:
        ours, theirs = ([m[0] for m in ms] for ms in (stored, wanted))
        report.wrong("cell", identity, f"rests on {ours}, derived again on {theirs}")
        return
    for (name, _, ours), (_, _, again) in zip(stored, wanted, strict=True):
        if not same(ours, again):
            report.wrong("cell", identity, f"{name} gives {ours!r}, derived again {again!r}")


def _compare_interval(
    report: Audit, identity: str, stored: dict[str, Any] | None, derived: dict[str, Any] | None
) -> None:
    """The interval of a paired difference against the one derived."""
    if stored is None or derived is None:
        if stored is not derived:
            report.wrong("cell", identity, f"interval is {stored}, derived again {derived}")
        return
    for part, value in derived.items():
        said = stored.get(part, False if part == "grouped" else None)
        pairs = zip(said, value, strict=True) if said and part == "corrected" else [(said, value)]
        if not all(near(ours, again) for ours, again in pairs):
            report.wrong("cell", identity, f"{part} is {said!r}, derived again {value!r}")


def _as_stored(stored: Any, again: Any, equal: Callable[[Any, Any], bool] = same) -> Any:
    """The stored number where it is the derived one.

    A sum in another order differs in its last bit, and a mean half way between two decimals is then
    rounded the other way. The text of an honest table is that of its own number.
    """
    return stored if equal(stored, again) else again


def _check_text(report: Audit, place: Place, derived: Derived) -> None:
    """The printed text follows from the value, error and interval that were derived."""
    cell, text = place.cell, derived.text
    if text is None:
        bits = cell.get("text_unit") == "bits"
        digits = cell["query"].get("digits", printed.DIGITS)
        value, se = (_as_stored(cell[key], getattr(derived, key)) for key in ("value", "se"))
        text = value if isinstance(value, str) else printed.printed(value, se, digits, bits)
        if derived.interval:
            stored = cell.get("interval") or {}
            ends = (_as_stored(stored.get(e), derived.interval[e], near) for e in ("low", "high"))
            text += f" [{', '.join(printed.printed(end, None, digits) for end in ends)}]"
    if cell["text"] != text:
        where = f"{place.document['id']}/{place.key}"
        report.wrong("text", where, f"text is {cell['text']!r}, printed again {text!r}")


def _check_paper(report: Audit, place: Place, claims: dict[str, Any]) -> None:
    """The paper's value beside a cell is the transcribed one."""
    table = claims.get(place.document["id"])
    if table is None:
        return
    row, _, column = place.key.partition("/")
    if row == "notes":
        said = (table.get("notes") or {}).get(column)
    else:
        columns, texts = table.get("columns") or [], (table.get("rows") or {}).get(row)
        said = texts[columns.index(column)] if texts and column in columns else None
    stored = printed.paper_of(place.cell)
    if stored != ("" if said is None else str(said)):
        where = f"{place.document['id']}/{place.key}"
        report.wrong("cell", where, f"the paper's value is {stored!r}, transcribed as {said!r}")


def _check_rendered(tree: Tree, report: Audit, name: str, document: dict[str, Any]) -> None:
    for suffix, check in RENDERED.items():
        rendered = f"{name.removesuffix('json')}{suffix}"
        if rendered not in tree.made:
            continue
        text = _text(tree, rendered, report)
        if text is None:
            continue
        check(rendered, text, document, report)
        if suffix in BY_LEVEL:
            plain = printed.plain_tex(text) if suffix == "tex" else text.replace("\\", "")
            printed.check_numbers(rendered, plain, document, report)
    page = f"{tree.name}/report/tables/{Path(name).stem}.html"
    if page in tree.made and (text := _text(tree, page, report)) is not None:
        printed.check_html(page, text, document, report)


def _check_sensitivity(tree: Tree, report: Audit, document: dict[str, Any]) -> None:
    """The report's page of choices has the cells of its table."""
    page = f"{tree.name}/report/sensitivity.html"
    if page in tree.made and (text := _text(tree, page, report)) is not None:
        printed.check_shown(page, text, {**document, "notes": []}, report)


def _check_outcomes(tree: Tree, report: Audit, documents: dict[str, Any]) -> None:
    """The report's first page counts what the tables of the criterion say."""
    page = f"{tree.name}/report/index.html"
    if page in tree.made and (text := _text(tree, page, report)) is not None:
        printed.check_outcomes(page, text, documents.values(), report)


def _text(tree: Tree, name: str, report: Audit) -> str | None:
    """A file's text; None where it is missing, which is said of files already."""
    try:
        # Line ends are kept: a cell may hold one.
        return tree.place(name).read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        report.wrong("file", name, f"is no text ({error})")
        return None


def _check_figures(tree: Tree, report: Audit, documents: dict[str, Any]) -> None:
    """Every figure is drawn from one document, or dataset, and from that as it is now."""
    for name in [*tree.under("figures", ".pdf"), *tree.under("figures", ".png")]:
        recorded = tree.made.get(name)
        if recorded is None:
            continue
        report.count("figures")
        data = f"{tree.name}/datasets/"
        sources = [path for path in recorded.inputs if path in documents or path.startswith(data)]
        if len(sources) != len(recorded.inputs) or not sources:
            read = ", ".join(recorded.inputs) or "nothing"
            report.wrong("figure", name, f"is drawn from {read}, expected a table document")
        for path in sources:
            if tree.digest(path) != recorded.inputs[path]:
                report.wrong("figure", name, f"was drawn from {path} with other bytes than now")


def _check_pages(tree: Tree, report: Audit, documents: dict[str, Any]) -> None:
    """The comparison page lists the cells of the documents that its record names."""
    name = f"{tree.name}/comparison.md"
    recorded = tree.made.get(name)
    text = _text(tree, name, report) if recorded else None
    if recorded is None or text is None:
        return
    listed = [documents[path] for path in recorded.inputs if path in documents]
    # Without one of its documents, which is said already, the page cannot be judged.
    if len(listed) == len(recorded.inputs):
        printed.check_page(name, text, listed, report)
