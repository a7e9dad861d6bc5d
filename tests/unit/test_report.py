"""The report over a small finished run: what its pages say, and what the audit says of them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cch.audit.printed import check_shown
from cch.audit.report import Audit
from cch.audit.run import audit
from cch.base.errors import CchError
from cch.paper.ledger.build import build_ledger
from cch.records.record import Recorder, processor
from cch.report.collect import collect
from cch.report.site import _duration, _size, build_site
from cch.tables.claims import load_claims
from cch.tables.documents import parse_document, read_document
from small_tree import RESULTS, STUDY
from support import ROOT

SITE = Path(RESULTS) / "report"


@pytest.fixture
def site(small_run, own_copy) -> Path:
    """The site over a copy of a small run, with its record; the run is the working folder."""
    own_copy(small_run())
    for path in Path("resources").rglob("*.record.json"):
        record = json.loads(path.read_text())
        record["raw"]["stand_in"] = "made up"
        path.write_text(json.dumps(record))
    script = ROOT / "workflow" / "scripts" / "build_report.py"
    recorder = Recorder("build_report", script, [], {})
    run = collect(
        RESULTS, ["table13"], {"lihc": "no file"}, {"Assumptions": "# A\n\n|a|\n|-|\n|1|"}
    )
    recorder.made += build_site(run, SITE)
    recorder.write(f"{RESULTS}/report.record.json", [])
    return SITE


class Links(HTMLParser):
    """The targets of a page's links, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: list[str] = []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in ("a", "link", "script", "img"):
            self.targets += [v for k in ("href", "src") if (v := found.get(k))]
        if "id" in found:
            self.anchors.append(found["id"])


def read(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def test_every_link_leads_to_a_page_and_a_place_that_is_there(site):
    pages = {path.resolve(): read(path) for path in site.rglob("*.html")}
    assert len(pages) >= 9
    for path, links in pages.items():
        assert len(set(links.anchors)) == len(links.anchors), path
        for target in links.targets:
            if target.startswith("data:"):
                continue
            assert "://" not in target, f"{path} needs the network: {target}"
            name, _, anchor = target.partition("#")
            where = (path.parent / name).resolve() if name else path
            assert where.is_file(), f"{path}: {target}"
            if anchor and where.suffix == ".html":
                assert anchor in pages[where].anchors, f"{path}: {target}"


def test_every_cell_is_on_its_page_and_led_back_to_raw_files(site):
    document = read_document(f"{RESULTS}/tables/table13.json")
    text = (site / "tables" / "table13.html").read_text()
    for key, cell in document.all_cells.items():
        assert f"<code>{cell.id}</code> <strong>{cell.text}</strong>" in text, key
    entry = re.search(r'id="c-0-kd">.*?</details>', text, flags=re.DOTALL)
    assert entry
    for member in document.cells["0/kd"].members:
        assert f"<code>{member.value}</code>" in entry[0]
    behind = collect(RESULTS).behind(document.cells["0/kd"])
    assert any(file.raw for file in behind)
    for file in behind:
        assert file.sha256 in entry[0]
        assert file.raw["address"] in entry[0]


def test_stand_in_data_are_said(site):
    said = {p.name for p in site.rglob("*.html") if "rest on stand-in data" in p.read_text()}
    assert {path.name for path in site.glob("*.html")} < said
    assert {"table13.html", f"criterion-{STUDY}.html"} < said


def test_a_table_without_stand_in_data_or_paper_values_shows_neither(site, tmp_path):
    page = (site / "tables" / "table13.html").read_text()
    assert "rest on stand-in data" in page and "Show the paper's values" in page
    run = collect(RESULTS)
    table = run.tables["table13"]
    alone = {
        key: cell.model_copy(update={"inputs": (), "paper": None})
        for key, cell in table.cells.items()
    }
    run.tables["table13"] = table.model_copy(update={"cells": alone, "notes": ()})
    build_site(run, tmp_path)
    page = (tmp_path / "tables" / "table13.html").read_text()
    assert "rest on stand-in data" not in page and "Show the paper's values" not in page


def test_what_was_not_run_is_said(site):
    assert "<strong>lihc</strong>: no file" in (site / "index.html").read_text()
    assert "<td>1</td>" in (site / "assumptions.html").read_text()


def test_the_papers_tables_come_first(site):
    index = (site / "index.html").read_text()
    order = re.findall(r'<a href="tables/([^"]+)\.html">', index)
    assert order[0] == "table13" and f"sweep-{STUDY}" in order


def test_the_ledger_lists_every_printed_cell_and_flag(site):
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    ledger, text = build_ledger(claims, {}), (site / "ledger.html").read_text()
    assert text.count("<tr data-table=") == len(ledger["cells"])
    assert all(f'id="{flag["id"]}"' in text for flag in ledger["flags"])


def test_equal_runs_give_equal_pages(site):
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    run = collect(
        RESULTS, ["table13"], {"lihc": "no file"}, {"Assumptions": "# A\n\n|a|\n|-|\n|1|"}
    )
    build_site(run, site)
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before


def test_the_audit_reads_the_pages(site):
    assert audit(RESULTS).lines() == []
    page = site / "tables" / "table13.html"
    cell = json.loads(Path(f"{RESULTS}/tables/table13.json").read_text())["cells"]["0/kd"]
    text, other = page.read_text(), cell["text"].replace("0.", "1.", 1)
    for place in (f">{cell['text']}</a>", f"<strong>{cell['text']}</strong>"):
        page.write_text(text.replace(place, place.replace(cell["text"], other), 1))
        said = audit(RESULTS).lines()
        assert any("table13.html" in line and other in line for line in said), said
    page.write_text(text.replace("</footer>", "</footer >"))
    assert any("table13.html" in line for line in audit(RESULTS).lines())


def test_the_audit_reads_the_page_of_the_ledger(site):
    page = site / "ledger.html"
    cell = json.loads(Path(f"{RESULTS}/tables/table13.json").read_text())["cells"]["0/kd"]
    text = page.read_text()
    assert f">{cell['text']}</td>" in text
    page.write_text(text.replace(f">{cell['text']}</td>", ">0.9999</td>", 1))
    said = audit(RESULTS).lines()
    assert any("ledger.html: table13/0/kd: says " in line and "0.9999" in line for line in said)


def test_a_run_without_choices_says_so(site):
    assert "This run has no sensitivity table" in (site / "sensitivity.html").read_text()
    assert 'href="sensitivity.html"' in (site / "index.html").read_text()


def choices() -> dict:
    """A table of two choices, made of another's cells: the second trains longer, and harms."""
    table = json.loads(Path(f"{RESULTS}/tables/criterion-{STUDY}.json").read_text())
    kinds = {key: cell["query"]["kind"] for key, cell in table["cells"].items()}
    column = next(key.partition("/")[2] for key, kind in kinds.items() if kind == "effect")
    first, other = (dict(table["cells"][f"{row}/{column}"]) for row in ("0", "1.5"))
    for cell, said in ((first, "helps"), (other, "harms")):
        cell["value"] = cell["text"] = said
    other["study"] = "longer"
    longer = json.loads(json.dumps(table["settings"][STUDY]))
    longer["study"]["training"]["epochs"] = 500
    longer["study"]["title"] = "no choice"
    return table | {
        "id": "sensitivity",
        "number": "Sensitivity",
        "columns": [c for c in table["columns"] if c["key"] == column],
        "rows": [{"key": "base", "label": "as it is"}, {"key": "longer", "label": "longer"}],
        "cells": {f"base/{column}": first, f"longer/{column}": other},
        "settings": {**table["settings"], "longer": longer},
        "notes": [],
    }


def test_a_choice_says_what_it_changes_and_whether_the_conclusion_moves(site):
    run = collect(RESULTS)
    table = choices()
    run.tables["sensitivity"] = parse_document(table, "sensitivity")
    build_site(run, site)
    text = (site / "sensitivity.html").read_text()
    assert "training.epochs: 500 in place of 5" in text
    assert "no choice" not in text
    assert f"moves: {table['columns'][0]['label']}" in text
    assert "This configuration runs the first choice only" not in text
    report = Audit(site)
    check_shown("sensitivity.html", text, table, report)
    assert report.lines() == []
    check_shown("sensitivity.html", text.replace(">harms<", ">helps<"), table, report)
    assert report.lines() == ["sensitivity.html: its table holds 'helps' for 'harms'"]
    anchor = re.search(r'href="(tables/sensitivity\.html)#([^"]+)">harms', text)
    assert anchor and f'id="{anchor[2]}"' in (site / anchor[1]).read_text()
    column = table["columns"][0]["key"]
    alone = table | {"rows": table["rows"][:1]}
    alone["cells"] = {f"base/{column}": table["cells"][f"base/{column}"]}
    run.tables["sensitivity"] = parse_document(alone, "sensitivity")
    build_site(run, site)
    said = "This configuration runs the first choice only"
    assert said in (site / "sensitivity.html").read_text()


def test_the_run_summary_names_the_processor(site):
    jobs = sum(path.name != "report.record.json" for path in Path().rglob("*.record.json"))
    assert f"{processor()}: {jobs} jobs" in (site / "run.html").read_text()


def test_a_folder_without_tables_is_refused(tmp_path):
    (tmp_path / "tables").mkdir()
    with pytest.raises(CchError, match="holds no tables"):
        collect(tmp_path)


@pytest.mark.parametrize(
    ("count", "said"), [(7, "7 B"), (1_500, "1.5 KB"), (2_340_000, "2.3 MB"), (5e9, "5.0 GB")]
)
def test_sizes_are_said_as_people_read_them(count, said):
    assert _size(count) == said


def test_times_are_said_in_hours():
    assert _duration(3_725.4) == "1:02:05"
