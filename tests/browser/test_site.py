"""The report as its reader uses it: in a browser, wide and narrow."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import pytest

from cch.paper.ledger.build import build_ledger
from cch.report.collect import collect
from cch.report.site import build_site
from cch.tables.claims import load_claims
from small_tree import RESULTS, make_tree
from support import ROOT

pytestmark = pytest.mark.slow

WIDE, NARROW = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site over a small run with a ledger over it."""
    folder = tmp_path_factory.mktemp("site")
    with chdir(folder):
        make_tree()
        run = collect(RESULTS, ["table13"], {}, {"Assumptions": "# Assumptions\n\nNone."})
        documents = {f"{RESULTS}/tables/{name}.json": table for name, table in run.tables.items()}
        claims = load_claims(ROOT / "paper" / "claims.yaml")
        run.ledger = build_ledger(claims, {k: v for k, v in documents.items() if "table13" in k})
        build_site(run, "report")
    return folder / "report"


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def find(browser, selector: str):
    from selenium.webdriver.common.by import By

    return browser.find_element(By.CSS_SELECTOR, selector)


def find_all(browser, selector: str):
    from selenium.webdriver.common.by import By

    return browser.find_elements(By.CSS_SELECTOR, selector)


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_every_page_opens_without_an_error_and_never_scrolls_sideways(browser, site, size):
    browser.set_window_size(*size)
    browser.get_log("browser")
    for path in pages(site):
        browser.get(path.as_uri())
        assert find(browser, "h1").text
        width, inner = browser.execute_script(
            "return [document.documentElement.scrollWidth, window.innerWidth]"
        )
        assert width <= inner, f"{path.name} is {width} wide in a window of {inner}"
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_a_cell_leads_to_its_raw_file_and_its_address(browser, site):
    browser.set_window_size(*WIDE)
    browser.get((site / "index.html").as_uri())
    find(browser, 'a[href="tables/table13.html"]').click()
    find(browser, 'a.cell[href="#c-0-kd"]').click()
    assert find(browser, "#c-0-kd").get_attribute("open")
    raw = find_all(browser, '#c-0-kd dd a[href^="../files.html#"]')[-1]
    named = raw.text
    raw.click()
    opened = find(browser, "details.lineage:target")
    assert opened.get_attribute("open")
    assert named in opened.text
    assert find(browser, "details.lineage:target .address").text


def test_a_cell_is_reached_by_the_keyboard_alone(browser, site):
    from selenium.webdriver.common.keys import Keys

    browser.get((site / "tables" / "table13.html").as_uri())
    cell = find(browser, 'a.cell[href="#c-0-kd"]')
    browser.execute_script("arguments[0].focus()", cell)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert find(browser, "#c-0-kd").get_attribute("open")
    browser.get((site / "index.html").as_uri())
    find(browser, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("class") == "skip"


def test_the_papers_values_are_shown_on_demand(browser, site):
    browser.get((site / "tables" / "table13.html").as_uri())
    paper = find(browser, "td .paper")
    assert not paper.is_displayed()
    find(browser, '[data-toggle="paper"]').click()
    assert paper.is_displayed()
    assert "1.3956" in paper.text


def test_the_ledger_is_filtered_and_sorted(browser, site):
    from selenium.webdriver.support.select import Select

    browser.set_window_size(*WIDE)
    browser.get((site / "ledger.html").as_uri())
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    cells = build_ledger(claims, {})["cells"]
    Select(find(browser, 'select[name="table"]')).select_by_value("table06")
    shown = [row for row in find_all(browser, "#ledger tbody tr") if row.is_displayed()]
    expected = [cell for cell in cells if cell["table"] == "table06"]
    assert len(shown) == len(expected) > 0
    assert find(browser, "output").text == f"{len(expected)} of {len(cells)} cells"
    find(browser, 'input[name="flagged"]').click()
    flagged = [row for row in find_all(browser, "#ledger tbody tr") if row.is_displayed()]
    assert len(flagged) == sum(bool(cell["flags"]) for cell in expected)
    find(browser, 'input[name="text"]').send_keys("no such thing")
    assert not any(row.is_displayed() for row in find_all(browser, "#ledger tbody tr"))


def test_the_ledger_is_sorted_by_number(browser, site):
    browser.get((site / "ledger.html").as_uri())
    heading = find_all(browser, "#ledger thead button")[3]
    heading.click()
    script = (
        "return [...document.querySelectorAll('#ledger tbody tr')]"
        ".map(row => row.cells[3].dataset.value).filter(value => value !== '').map(Number)"
    )
    values = browser.execute_script(script)
    assert values == sorted(values) and len(values) > 100
    heading.click()
    assert browser.execute_script(script) == sorted(values, reverse=True)
