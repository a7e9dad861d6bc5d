"""Snakemake's own report over a finished run: categories, captions and files, without network."""

from __future__ import annotations

import json
import re
import zipfile

import pytest

from harness import RESULTS, documents, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_the_report_has_every_table_figure_and_the_ledger(finished, tmp_path):
    # Proxies that lead nowhere: what is fetched from the network would fail.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    path = tmp_path / "report.zip"
    snakemake(finished, "--report", str(path), **nowhere)
    with zipfile.ZipFile(path) as archive:
        page = archive.read("report/report.html").decode("utf-8")
        packed = {name.rpartition("/")[2] for name in archive.namelist()}
    (found,) = re.findall(r"var categories = (\{.*\})", page)
    categories = {
        category: {name for names in parts.values() for name in names}
        for category, parts in json.loads(found).items()
    }
    tables = {f"{RESULTS}/tables/{name.removesuffix('.json')}.csv" for name in documents(finished)}
    assert categories["Tables"] == tables
    drawn = {str(p.relative_to(finished)) for p in finished.glob(f"{RESULTS}/figures/*.png")}
    assert categories["Figures"] == drawn
    assert categories["Ledger"] == {f"{RESULTS}/ledger.md", f"{RESULTS}/comparison.md"}
    every = set().union(*categories.values())
    assert {name.rpartition("/")[2] for name in every} <= packed
    # A job makes several tables, so a caption names none; the label does.
    assert '"labels": {"table": "table13"}' in page
    assert f"--results</span> {RESULTS}</tt> follows a cell" in page
    assert "Explained in" in page
