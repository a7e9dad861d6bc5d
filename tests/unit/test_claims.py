from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cch.base.errors import CchError
from cch.config import load
from cch.tables import claims as module
from cch.tables.claims import Claim, load_claims, setting, titled
from cch.tables.compare import compare_numbers, compare_texts, half_width, paper_half_width
from cch.tables.layout import layout_inputs
from cch.tables.layouts import all_layouts
from support import ROOT, overlay, raw_config

CLAIMS = ROOT / "paper" / "claims.yaml"
TABLES = ROOT / "paper" / "tables.yaml"


def study_deviations(*given) -> list[str]:
    return [deviation.sentence for deviation in module.study_deviations(*given)]


def all_deviations(*given) -> list[str]:
    return [deviation.sentence for deviation in module.all_deviations(*given)]


@pytest.mark.parametrize(
    ("text", "value", "se", "rounding"),
    [
        ("0.0010 ± 0.0040", 0.0010, 0.0040, 0.00005),
        ("-0.1190 ± 0.0165", -0.1190, 0.0165, 0.00005),
        ("0.981", 0.981, None, 0.0005),
        ("10,000", 10000.0, None, 0.5),
        ("Adam", None, None, 0.0),
    ],
)
def test_a_printed_cell_is_read_as_number_error_and_rounding(text, value, se, rounding):
    claim = Claim.parse(text)
    assert (claim.value, claim.se) == (value, se)
    assert claim.rounding == pytest.approx(rounding)


def test_every_claim_belongs_to_a_cell_of_its_layout():
    config = load(raw_config())
    claims, layouts = load_claims(CLAIMS), all_layouts(config, TABLES)
    # What the paper prints and no cell of ours answers.
    extra = {
        "table13": {"notes/alpha"},
        "table15": {"schedule-minimum/value"},  # no key: `cosine` always ends at 0
        "table18": {"dropout/modality-2"},
    }
    for name in set(claims.tables) & set(layouts):
        keys = {key for key, _, _ in layouts[name].queries(config)}
        assert set(claims.cells(name)) - keys == extra.get(name, set())


def test_a_ragged_transcription_is_refused(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("tables: {t: {columns: [a, b], rows: {r: ['1']}}}\nsettings: {}\n")
    with pytest.raises(CchError, match=r"claims\.yaml: tables\.t\.rows\.r has 1 cells for 2"):
        load_claims(path)


def test_the_full_configuration_is_the_papers():
    config, claims = load(raw_config()), load_claims(CLAIMS)
    deviations = {name: study_deviations(config, claims, name) for name in config.studies}
    sensitivity = {"brca-selection-all", "brca-noise-3", "brca-mi-train", "brca-mi-test"}
    for name in sensitivity:
        assert deviations.pop(name) == ["a study that is not in the paper"]
    assert deviations.pop("lihc") == ["dataset.title: TCGA-LIHC (iCluster) (paper: TCGA-LIHC)"]
    as_in_the_paper = {"synthetic", "mnistm-a20", "mnistm-a18", "mosei-vision", "mosei-audio"}
    as_in_the_paper |= {"brca", "brca-rppa", "kipan", "kipan-rppa"}
    assert set(deviations) == as_in_the_paper
    assert not any(deviations.values())


def test_what_differs_from_the_paper_is_said(paper_config):
    change = {"studies": {"mnistm-a18": {"training": {"epochs": 7}}}}
    config = load(overlay(paper_config, change))
    assert study_deviations(config, load_claims(CLAIMS), "mnistm-a18") == [
        "training.epochs: 7 (paper: 100)"
    ]


def test_of_a_mapping_only_what_differs_is_said(paper_config):
    change = {"studies": {"brca": {"fusion": {"dropout": 0.5, "training": {"epochs": 7}}}}}
    config = load(overlay(paper_config, change))
    assert study_deviations(config, load_claims(CLAIMS), "brca") == [
        "fusion.dropout: 0.5 (paper: 0.25)",
        "fusion.training.epochs: 7 (paper: 200)",
    ]
    without = load(overlay(paper_config, {"studies": {"brca": {"fusion": None}}}))
    (deviation,) = study_deviations(without, load_claims(CLAIMS), "brca")
    assert deviation.startswith("fusion: none (paper: encoder 64, batch_norm True")


def test_a_title_names_the_setting_that_ran(paper_config):
    config = load(overlay(paper_config, {"datasets": {"mnistm-a18": {"alpha": 0.3}}}))
    layout = all_layouts(config, TABLES)["table13"]
    assert titled(layout, config).endswith("at α = 0.3")


def test_a_study_of_ones_own_is_marked_as_such(paper_config):
    mine = paper_config["studies"]["mnistm-a20"] | {"group": None}
    config = load(overlay(paper_config, {"studies": {"mine": mine}}))
    deviations = study_deviations(config, load_claims(CLAIMS), "mine")
    assert deviations == ["a study that is not in the paper"]


def test_only_tables_of_the_paper_mark_a_study_that_is_not_in_it(paper_config):
    mine = paper_config["studies"]["mnistm-a20"] | {"group": None}
    config = load(overlay(paper_config, {"studies": {"mine": mine}}))
    claims, layouts = load_claims(CLAIMS), all_layouts(config, TABLES)
    own = [layout for layout in layouts.values() if layout.own and layout.study == "mine"]
    assert len(own) == 3
    assert [all_deviations(config, claims, layout) for layout in own] == [[], [], []]
    # A table of the paper over it states the paper's numbers, so its study is marked.
    over = layouts["table13"].model_copy(update={"study": "mine"})
    assert all_deviations(config, claims, over) == ["a study that is not in the paper"]
    # And a study of the paper with another setting is marked in its own table too.
    change = {"studies": {"mnistm-a20": {"training": {"epochs": 7}}}}
    config = load(overlay(paper_config, change))
    (deviation,) = all_deviations(config, claims, all_layouts(config, TABLES)["sweep-mnistm-a20"])
    assert deviation.startswith("training.epochs: 7 (paper: ")


def test_either_side_of_a_contradiction_is_the_papers(paper_config):
    for test, expected in ((1000, 0), (5000, 0), (2000, 1)):
        config = load(overlay(paper_config, {"datasets": {"synthetic": {"test": test}}}))
        assert len(study_deviations(config, load_claims(CLAIMS), "synthetic")) == expected


def test_settings_are_found_by_path():
    config = load(raw_config())
    assert setting(config, "synthetic", "network.hidden.0") == 64
    assert setting(config, "synthetic", "dataset.features") == 100
    with pytest.raises(CchError, match="no setting 'network\\.depth'"):
        setting(config, "synthetic", "network.depth")


@pytest.mark.parametrize(
    ("value", "se", "n", "text", "signed", "verdict"),
    [
        (0.983, 0.001, 5, "0.981", False, "reproduced"),
        (0.975, 0.001, 5, "0.981", False, "differs"),
        (0.0300, 0.003, 5, "0.0318 ± 0.0040", True, "reproduced"),
        (0.0600, 0.003, 5, "0.0318 ± 0.0040", True, "same direction"),
        (-0.0500, 0.003, 5, "0.0318 ± 0.0040", True, "contradicted"),
        (-0.0500, 0.040, 5, "0.4399", True, "undetermined"),
        (0.0010, 0.002, 5, "0.0002 ± 0.0089", True, "reproduced"),
        # A wide interval confirms nothing, on whichever side its centre lies.
        (-0.0300, 0.030, 5, "0.0146 ± 0.0052", True, "undetermined"),
        (-0.5000, 0.400, 5, "0.0146 ± 0.0052", True, "undetermined"),
        (0.9000, 0.100, 5, "0.8484 ± 0.0019", False, "undetermined"),
        (0.0088, 0.0034, 2, "-0.0042 ± 0.0034", True, "undetermined"),
        (-0.0030, 0.0030, 5, "-0.0042 ± 0.0034", True, "reproduced"),
        # Two runs have one degree of freedom: 12.7 standard errors.
        (-0.0500, 0.003, 2, "0.0318 ± 0.0040", True, "contradicted"),
        (-0.0300, 0.003, 2, "0.0318 ± 0.0040", True, "undetermined"),
        (None, None, 0, "0.4399", True, "undetermined"),
        (0.43994, None, 1, "0.4399", True, "undetermined"),
    ],
)
def test_verdicts_on_numbers(value, se, n, text, signed, verdict):
    claim = Claim.parse(text)
    assert compare_numbers(value, se, n, claim, signed=signed, stand_in=False) == verdict


def test_our_half_width_is_students():
    assert half_width(1.0, 2) == pytest.approx(12.706, abs=1e-3)
    assert half_width(1.0, 5) == pytest.approx(2.776, abs=1e-3)
    assert half_width(None, 5) == half_width(1.0, 1) == math.inf


def test_stand_in_data_is_never_compared():
    claim = Claim.parse("0.981")
    kinds = {"signed": False, "stand_in": True}
    assert compare_numbers(0.981, 0.001, 5, claim, **kinds) == "not comparable"
    assert compare_numbers(0.981, 0.001, 5, None, **kinds) == "not in the paper"


def test_settings_are_compared_as_texts():
    assert compare_texts("60,000 / 10,000", Claim.parse("60000 / 10000"), False) == "as published"
    assert compare_texts("LeakyReLU", Claim.parse("LeakyReLU"), True) == "as published"
    assert compare_texts("0.0020", Claim.parse("0.002"), False) == "as published"
    assert compare_texts("40", Claim.parse("100"), False) == "differs"
    assert compare_texts("40", Claim.parse("100"), True) == "not comparable"


def test_a_table_of_settings_needs_no_training_and_a_difference_no_estimates():
    config = load(raw_config())
    layouts = all_layouts(config, TABLES)
    assert layout_inputs(layouts["table10"], config) == ["results/datasets/synthetic.h5"]
    assert layout_inputs(layouts["fig04"], config) == [
        "results/runs/synthetic/baseline.h5",
        "results/runs/synthetic/student.h5",
    ]


def test_a_study_of_ones_own_gets_its_sweep(paper_config):
    mine = paper_config["studies"]["mnistm-a20"] | {"title": "Mine", "group": None}
    config = load(overlay(paper_config, {"studies": {"my-cohort": mine}}))
    layout = all_layouts(config, TABLES)["sweep-my-cohort"]
    keys = {key for key, _, _ in layout.queries(config)}
    assert {"0.5/latentmi-gap", "0.5/ksg-gap", "0.5/kd-t3-w0.5", "3.5/difference-t4-w0.5"} <= keys


def test_a_wrong_layout_names_file_and_key(tmp_path):
    path = tmp_path / "tables.yaml"
    path.write_text("t: {number: T, title: t, study: synthetic, colums: []}\n")
    with pytest.raises(CchError, match=r"tables\.yaml: .*colums"):
        all_layouts(load(raw_config()), path)


def test_a_printed_deviation_is_no_standard_error_of_the_mean():
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    cell, mean = (get("table02")["mine/text-vision"] for get in (claims.cells, claims.means))
    assert (cell.text, cell.value, cell.se) == ("0.7955 ± 0.0019", 0.7955, 0.0019)
    assert (mean.text, mean.value) == (cell.text, cell.value)
    assert mean.se == pytest.approx(0.0019 / math.sqrt(50), rel=1e-15)
    # Table 1 prints standard errors, Table 3 does not say; both stand as they are.
    for table, n in (("table01", 5), ("table03", None)):
        for key, cell in claims.cells(table).items():
            wanted = cell if cell.se is None else replace(cell, n=n)
            assert claims.means(table)[key] == wanted
    assert claims.means("no-such-table") == {}


def test_the_papers_interval_has_the_n_that_it_states():
    claim = replace(Claim.parse("0.0302 ± 0.0100"), n=5)
    assert paper_half_width(claim) == pytest.approx(2.776 * 0.01, abs=1e-5)
    assert paper_half_width(replace(claim, n=None)) == pytest.approx(1.96 * 0.01)
    # Half a unit of the last digit where it prints no error.
    assert paper_half_width(Claim.parse("0.03")) == pytest.approx(0.005)
    # 0.023 away: outside 1.96 standard errors of five runs, inside 2.776.
    wide = {"signed": False, "stand_in": False}
    assert compare_numbers(0.0532, 0.0001, 5, claim, **wide) == "reproduced"


def test_runs_are_those_that_the_paper_states_of_a_study(paper_config):
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    assert claims.runs("brca", estimated=False) == 5
    assert (claims.runs("mosei-vision", False), claims.runs("mosei-vision", True)) == (None, 50)
    assert claims.runs("no-such-study", False) is None
