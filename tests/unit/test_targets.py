"""What can be asked for, and one line for what cannot."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cch.audit.explain import tables
from cch.base.errors import CchError, nearest
from cch.cli import app
from cch.workflow.planning import Plan
from small_tree import RESULTS, TABLES
from support import ROOT, overlay, raw_config

PRESETS = [None, "demo", "open"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_target_has_a_title_in_one_group(preset):
    plan = Plan(raw_config(preset), ROOT)
    groups = plan.titles()
    assert list(groups) == ["studies", "tables", "figures", "others"]
    names = [name for group in groups.values() for name in group]
    assert len(names) == len(set(names))
    assert set(plan.targets()) <= set(names)
    others = {"all", "fetch", "comparison", "ledger", "report", "audit", "export"}
    assert set(names) - set(plan.targets()) == others
    assert all(title for group in groups.values() for title in group.values())


def test_the_rules_have_the_other_targets():
    snakefiles = [ROOT / "workflow" / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in snakefiles)
    plan = Plan(raw_config("demo"), ROOT)
    for name in set(plan.titles()["others"]) - set(plan.targets()):
        assert f"rule {name}:" in text


def test_groups_name_their_studies():
    studies = Plan(raw_config(), ROOT).titles()["studies"]
    assert studies["mnistm"] == "mnistm-a20, mnistm-a18"
    assert studies["brca"].startswith("TCGA-BRCA, mRNA teacher, CNV student; with brca-rppa, ")


def test_a_group_skips_what_needs_a_missing_file(tmp_path, monkeypatch):
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    plan = Plan(raw_config("open") | {"resources": str(tmp_path)}, ROOT)
    raw = tmp_path / "tcga-brca-open-mrna" / "TCGA-BRCA.mrna_rsem.tsv.gz"
    files = plan.targets()["open-cohorts"]
    assert any("tcga-brca-cnv-rppa" in path for path in files)
    assert not any("tcga-brca-mrna" in path for path in files)
    line, steps = plan.by_hand("open-cohorts")
    assert line == f"open-cohorts skips tcga-brca-mrna, which needs a file placed by hand: {raw}"
    assert "tcga-brca-gsalightning-mrna" in steps
    # A study or an entry that is asked for by name is not skipped.
    for target in ("tcga-brca-mrna", "tcga-brca-mrna-mrna-cnv"):
        assert any("tcga-brca-mrna" in path for path in plan.targets()[target])
        line, _ = plan.by_hand(target)
        assert line == f"{target} needs a file that has to be placed by hand: {raw}"


def test_what_a_request_leaves_out(tmp_path, monkeypatch):
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    plan = Plan(raw_config("open") | {"resources": str(tmp_path)}, ROOT)
    pairs = set(plan.members("tcga-brca-mrna"))
    assert set(plan.left_out(["open-cohorts"])) == pairs
    # What another target builds is not left out, and `all` leaves out whatever is unavailable.
    assert plan.left_out(["open-cohorts", "tcga-brca-mrna"]) == {}
    assert plan.left_out(["tcga-kirc"]) == {}
    assert plan.left_out([]) == plan.left_out(["open-cohorts", "all"]) == plan.excluded()
    assert pairs < set(plan.excluded())


def test_a_group_is_whole_once_the_file_is_there(tmp_path, monkeypatch):
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    raw = tmp_path / "tcga-brca-open-mrna" / "TCGA-BRCA.mrna_rsem.tsv.gz"
    raw.parent.mkdir()
    raw.touch()
    plan = Plan(raw_config("open") | {"resources": str(tmp_path)}, ROOT)
    assert any("tcga-brca-mrna" in path for path in plan.targets()["open-cohorts"])
    assert plan.by_hand("open-cohorts") == []


def test_an_unknown_target_is_one_short_line():
    plan = Plan(raw_config(), ROOT)
    for target in ("synthetic", "table13", "all", "export", "mnistm", "some/file", "file.json"):
        plan.check_target(target)
    with pytest.raises(CchError) as error:
        plan.check_target("tabel13")
    assert str(error.value) == (
        "target 'tabel13': is neither a study, a table nor a figure of this configuration; "
        "the nearest are table13, table21, table19; `cch targets [--configfile FILE]` lists all"
    )


def test_the_nearest_names():
    assert nearest("x", ["a", "b"], "list") == "there are a, b"
    assert nearest("axb", ["b", "ab", "axc", "abc"], "list") == (
        "the nearest are ab, axc, abc; `list` lists all"
    )


def test_the_command_lists_targets():
    overlay = str(ROOT / "presets" / "demo.yaml")
    done = CliRunner().invoke(app, ["targets", "--configfile", overlay])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "studies:",
        "tables:",
        "figures:",
        "others:",
    ]
    assert any(line.split() == ["fetch", "only", "download"] for line in lines)
    assert any(line.startswith("  table13 ") and "α = 0.4" in line for line in lines)
    done = CliRunner().invoke(app, ["targets", "--configfile", overlay, "--json"])
    assert json.loads(done.output) == Plan(raw_config("demo"), ROOT).titles()


def test_explain_without_a_cell_lists_the_tables_of_a_run(tmp_path, small_run):
    with pytest.raises(CchError, match="holds no tables"):
        tables(tmp_path)
    done = CliRunner().invoke(app, ["explain", "--results", str(small_run() / RESULTS)])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines] == sorted(TABLES)
    assert any(line.startswith("  table13 ") and " Table 13. " in line for line in lines)


@pytest.mark.parametrize("name", ["all", "audit", "theory", "table01"])
def test_a_study_cannot_take_the_name_of_another_target(name):
    change = {"studies": {name: raw_config("demo")["studies"]["synthetic"]}}
    with pytest.raises(CchError, match=f"studies.{name}: is also the name of "):
        Plan(overlay(raw_config("demo"), change), ROOT)


def test_the_ledger_of_a_folder_that_is_not_there_is_refused(tmp_path):
    done = CliRunner().invoke(app, ["ledger", "--results", str(tmp_path / "nope")])
    assert isinstance(done.exception, CchError)
    assert "there is no such folder" in str(done.exception)
