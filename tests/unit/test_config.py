from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace

import pytest
import yaml

from cch.base.errors import CchError
from cch.config import load, read, reference
from cch.workflow import generated_files
from cch.workflow.snakemake_targets import check_overlays
from support import ROOT, overlay, raw_config

COHORTS = {"brca", "brca-rppa", "kipan", "kipan-rppa", "lihc"}
SENSITIVITY = {"brca-selection-all", "brca-noise-3", "brca-mi-train", "brca-mi-test"}
PAPER = {"synthetic", "mnistm-a20", "mnistm-a18", "mosei-vision", "mosei-audio"} | COHORTS
ORIGINALS = {"brca", "brca-mrna", "kipan", "lihc", "blca", "coadread", "kirc", "kirp", "lgg"}
ORIGINALS |= {"luad", "lusc", "prad", "ucec"}
ENTRIES = {*(f"tcga-{name}" for name in ORIGINALS), *(f"pancancer-{n}" for n in (300, 1000, 4000))}
SPLITS = {f"{name}-100" for name in COHORTS - {"lihc"}} | {"lihc-rppa", "lihc-rppa-100"}
OTHERS = {"mosi-video", "mosi-audio", "tcga-brca-two-teachers"}


@pytest.mark.parametrize(
    ("preset", "studies"),
    [
        (None, PAPER | SENSITIVITY),
        ("demo", PAPER - {"kipan", "kipan-rppa", "lihc"}),
        ("open", PAPER - {"lihc"} | SENSITIVITY | SPLITS | OTHERS),
    ],
)
def test_shipped_configurations_are_valid(preset, studies):
    config = load(raw_config(preset))
    assert {name for name, study in config.studies.items() if study.entry is None} == studies
    pairs = Counter(study.entry for study in config.studies.values() if study.entry)
    expected = dict.fromkeys(ENTRIES, 6) | {"tcga-kipan": 12}
    assert pairs == (expected if preset == "open" else {})


def test_null_takes_the_options_of_an_estimator_away():
    change = {"options": {"mine": None, "latent-light": {"epochs": 7}}}
    change |= {"estimators": ["latent-light"], "calibration": None}
    raw = overlay(raw_config("demo"), {"studies": {"mnistm-a20": {"information": change}}})
    found = load(raw).studies["mnistm-a20"].information
    assert found.options == {"latent-light": {"epochs": 7}}
    assert raw["studies"]["mnistm-a20"]["information"]["options"]["mine"] is None


def test_null_takes_a_study_away_and_its_dataset_too():
    change = {"studies": {"mnistm-a18": None}, "datasets": {"mnistm-a18": None}}
    config = load(overlay(raw_config(), change))
    assert "mnistm-a18" not in {*config.studies, *config.datasets}
    change = {"datasets": {"mnistm-a18": None}}
    with pytest.raises(CchError, match=r"mnistm-a18.dataset: there is no dataset 'mnistm-a18'"):
        load(overlay(raw_config(), change))


def over(folder, *contents):
    """Files of overlays, in order."""
    paths = [folder / f"{number}.yaml" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return paths


def as_snakemake_has_it(paths, **changes):
    """What ``check_overlays`` asks of Snakemake's workflow."""
    merged = {}
    for path in paths:
        merged = overlay(merged, yaml.safe_load(path.read_text()))
    found = {"configfiles": paths, "config": {}, "overwrite_config": merged}
    found |= {"replace_workflow_config": False} | changes
    return SimpleNamespace(
        config_settings=SimpleNamespace(**found),
        modifier=SimpleNamespace(skip_configfile=False),
        is_main_process=True,
    )


NOT_THERE = {
    "studies": "studies.synthtic: null takes away a study that is not there; "
    "did you mean 'synthetic'? there are synthetic, mnistm-a20",
    "datasets": "datasets.synthtic: null takes away a dataset that is not there; "
    "did you mean 'synthetic'? there are synthetic, mnistm-a20",
}


@pytest.mark.parametrize("section", NOT_THERE)
def test_a_null_that_takes_nothing_away_is_refused_with_what_there_is(tmp_path, section):
    paths = over(tmp_path, {"compute": {"threads": 1}}, {section: {"synthtic": None}})
    with pytest.raises(CchError) as alone:
        read(paths)
    with pytest.raises(CchError) as in_snakemake:
        check_overlays(as_snakemake_has_it(paths), ROOT / "config.yaml")
    assert str(alone.value) == str(in_snakemake.value)
    assert str(alone.value).startswith(f"{paths[1]}: {NOT_THERE[section]}")


def test_a_null_may_take_away_what_an_overlay_below_has_or_took_away_already(tmp_path):
    mine = raw_config()["studies"]["synthetic"]
    change = {"studies": {"mine": None, "lihc": None}}
    paths = over(tmp_path, {"studies": {"mine": mine}}, change, change)
    assert not {"mine", "lihc"} & set(load(read(paths)).studies)
    check_overlays(as_snakemake_has_it(paths), ROOT / "config.yaml")
    with pytest.raises(CchError, match=r"studies\.mine: null"):
        read(paths[1:])


def test_overlays_that_replace_the_configuration_lie_over_nothing(tmp_path):
    paths = over(tmp_path, {"studies": {"synthtic": None}})
    workflow = as_snakemake_has_it(paths, replace_workflow_config=True)
    check_overlays(workflow, ROOT / "config.yaml")


@pytest.mark.parametrize(
    ("study", "change", "expected"),
    [
        ("mosei-vision", {"split": {"kind": "random", "test": 0.2}}, "the dataset's own split"),
        ("synthetic", {"inputs": "standardised"}, "every draw is a sample of its own"),
        ("mosei-vision", {"training": {"momentum": 0.9}}, "adamw has none"),
        ("brca", {"fusion": {"training": {"momentum": 0.9}}}, "fusion.training.momentum: adam has"),
    ],
)
def test_inputs_and_momentum_are_refused_where_they_mean_nothing(study, change, expected):
    with pytest.raises(CchError, match=expected):
        load(overlay(raw_config(), {"studies": {study: change}}))


@pytest.mark.parametrize(
    ("change", "key", "expected"),
    [
        (
            {"studies": {"synthetic": {"trainning": {}}}},
            "studies.synthetic.trainning",
            "no such key; did you mean 'training'? expected one of title",
        ),
        (
            # The misspelled key is named, not the required one that is missing for it.
            {"studies": {"mine": {"titel": "A study"}}},
            "studies.mine.titel",
            "no such key; did you mean 'title'? expected one of title",
        ),
        (
            {"studies": {"synthetic": {"training": {"epocs": 3}}}},
            "studies.synthetic.training.epocs",
            "expected one of optimizer, learning_rate",
        ),
        (
            {"studies": {"synthetic": {"training": {"epochs": "many"}}}},
            "studies.synthetic.training.epochs",
            "valid integer",
        ),
        (
            {"studies": {"synthetic": {"training": {"epochs": 0}}}},
            "studies.synthetic.training.epochs",
            "greater than or equal to 1, not 0",
        ),
        (
            {"studies": {"synthetic": {"training": {"optimizer": "rmsprop"}}}},
            "studies.synthetic.training.optimizer",
            "no optimizer 'rmsprop'; there are sgd, adam, adamw",
        ),
        (
            {"datasets": {"mnistm-a20": {"alpha": 1.2}}},
            "datasets.mnistm-a20.alpha",
            "less than or equal to 1, not 1.2",
        ),
        ({"datasets": {"synthetic": {"kind": "gaussian"}}}, "datasets.synthetic", "'gaussian'"),
        (
            {"datasets": {"synthetic": {"sigma_12": [0.95]}}},
            "datasets.synthetic",
            "negative variance",
        ),
        (
            {"studies": {"synthetic": {"dataset": "nothing"}}},
            "studies.synthetic.dataset",
            "there are synthetic, mnistm-a20",
        ),
        ({"studies": {"synthetic": {"seeds": 11}}}, "studies.synthetic.seeds", "draws = 10"),
        (
            {"studies": {"synthetic": {"degradation": {"levels": [0.15]}}}},
            "studies.synthetic.degradation.levels",
            "[0.15] not in datasets.synthetic.sigma_12",
        ),
        ({"studies": {"synthetic": {"metric": "accuracy"}}}, "studies.synthetic.metric", "mse"),
        (
            {"studies": {"mnistm-a20": {"distillation": {"weights": [1.5]}}}},
            "studies.mnistm-a20.distillation.weights",
            "0..1",
        ),
        (
            {"studies": {"mnistm-a20": {"information": {"runs": 9}}}},
            "studies.mnistm-a20",
            "runs = 9 exceeds seeds = 5",
        ),
        (
            {"studies": {"mnistm-a20": {"information": {"estimators": ["mine2"]}}}},
            "studies.mnistm-a20.information.estimators.0",
            "no estimator 'mine2'; did you mean 'mine'?",
        ),
        (
            {"studies": {"mnistm-a20": {"split": {"kind": "random", "test": 0.7, "valid": 0.3}}}},
            "studies.mnistm-a20.split",
            "no training rows",
        ),
        (
            {"studies": {"mnistm-a20": {"teacher": "mnst"}}},
            "studies.mnistm-a20.teacher",
            "no modality 'mnst'; it has mnist, mnistm",
        ),
        (
            {"studies": {"synthetic": {"training": {"momentum": 0.5}}}},
            "studies.synthetic.training.momentum",
            "adam has none",
        ),
        ({"stuides": {}}, "stuides", "expected one of results, resources"),
        (
            {"calibration": {}},
            "calibration: there is no such key",
            "it belongs under studies.NAME.information",
        ),
        ({"seeds": 3}, "seeds: there is no such key", "it belongs under studies.NAME"),
        (
            {"studies": {"synthetic": {"calibration": {}}}},
            "studies.synthetic.calibration: there is no such key",
            "it belongs under studies.synthetic.information",
        ),
        (
            {"studies": {"synthetic": {"options": {}}}},
            "studies.synthetic.options: there is no such key",
            "it belongs under studies.synthetic.information",
        ),
        (
            {"studies": {"synthetic": {"training": {"seeds": 3}}}},
            "studies.synthetic.training.seeds: there is no such key",
            "it belongs under studies.synthetic",
        ),
        ({"compute": {"device": "tpu"}}, "compute.device", "not 'tpu'"),
        (
            {"studies": {"brca": {"degradation": {"levels": [0.8, 0]}}}},
            "studies.brca.degradation.levels: ",
            "these are in rising order; write [0, 0.8]",
        ),
        (
            {"studies": {"brca": {"teacher": "cnv"}}},
            "studies.brca.student: ",
            "'cnv' is the teacher; take another of mrna, cnv, rppa",
        ),
        ({"results": ""}, "results: ", "names no folder"),
        ({"resources": " "}, "resources: ", "names no folder"),
        ({"resources": "results"}, "resources: ", "take two side by side"),
        ({"resources": "./results/"}, "resources: ", "one folder or one inside the other"),
        ({"resources": "results/raw"}, "resources: ", "take two side by side"),
        ({"results": "resources/made"}, "resources: ", "take two side by side"),
        ({"results": "."}, "resources: ", "take two side by side"),
    ],
)
def test_wrong_key_type_or_range_is_one_line_with_the_key(paper_config, change, key, expected):
    with pytest.raises(CchError) as caught:
        load(overlay(paper_config, change))
    message = str(caught.value)
    assert "\n" not in message
    assert key in message
    assert expected in message


def at(key, value):
    """A change of one key, written with dots."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


STUDY = "studies.mnistm-a20"


@pytest.mark.parametrize(
    ("key", "values", "twice"),
    [
        (f"{STUDY}.distillation.weights", [0.5, 0.5], "0.5"),
        (f"{STUDY}.distillation.temperatures", [3, 1, 3.0], "3"),
        (f"{STUDY}.degradation.levels", [0, 0], "0"),
        (f"{STUDY}.degradation.levels", [0, 0.5, 0.50000001], "0.5"),
        (f"{STUDY}.information.estimators", ["ksg", "ksg"], "ksg"),
        (f"{STUDY}.information.calibration.estimators", ["ksg", "ksg"], "ksg"),
        (f"{STUDY}.information.calibration.truths", [1, 1], "1"),
        (f"{STUDY}.information.calibration.shares", [0.5, 0.5], "0.5"),
        ("datasets.synthetic.sigma_12", [0, 0.1, -0.0], "0"),
        ("theory.kappas", [2, 2], "2"),
        ("theory.sigma_12", [0.1, 0.1], "0.1"),
        ("theory.teacher_label", [0.7, 0.7], "0.7"),
    ],
)
def test_a_list_holds_every_value_once(paper_config, key, values, twice):
    with pytest.raises(CchError) as caught:
        load(overlay(paper_config, at(key, values)))
    assert str(caught.value) == f"configuration: {key}: list every value once, not {twice} twice"


def test_settings_to_vary_are_listed_once(paper_config):
    key = f"{STUDY}.information.calibration.settings"
    with pytest.raises(CchError) as caught:
        load(overlay(paper_config, at(key, {"ksg": {"k": [3, 10, 3]}})))
    assert str(caught.value) == f"configuration: {key}: ksg.k: list every value once, not 3 twice"


def test_layers_of_equal_width_are_no_repetition(paper_config):
    load(overlay(paper_config, at(f"{STUDY}.network.hidden", [64, 64])))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(
    "key",
    [
        f"{STUDY}.training.learning_rate",
        f"{STUDY}.degradation.scale",
        f"{STUDY}.information.options.ksg.k",
        f"{STUDY}.information.calibration.truths",
        f"{STUDY}.information.calibration.settings.ksg.k",
        "compute.memory_gb",
        "theory.lambdas",
    ],
)
def test_numbers_are_finite(paper_config, key, value):
    listed = key.endswith((".truths", ".settings.ksg.k", ".lambdas"))
    with pytest.raises(CchError) as caught:
        load(overlay(paper_config, at(key, [value] if listed else value)))
    said = str(caught.value)
    assert said.startswith(f"configuration: {key}")
    assert said.endswith(f", not {value}")
    assert "\n" not in said


def test_a_covariance_on_the_edge_is_valid(paper_config):
    dataset = {"sigma_12": [0], "sigma_13": 0.6, "sigma_23": 0.8}
    levels = {"degradation": {"levels": [0]}}
    change = {"datasets": {"synthetic": dataset}, "studies": {"synthetic": levels}}
    assert load(overlay(paper_config, change)).datasets["synthetic"].sigma_12 == [0]


def test_a_missing_key_is_named(paper_config):
    del paper_config["studies"]["synthetic"]["training"]["optimizer"]
    with pytest.raises(CchError, match=r"studies\.synthetic\.training\.optimizer: .*required"):
        load(paper_config)


def test_generated_schema_and_reference_match_the_model():
    assert generated_files.check() == [], "run `cch docs --write`"


def test_drift_of_a_generated_file_is_found(tmp_path, monkeypatch):
    target = tmp_path / "page.md"
    target.write_text("old")
    monkeypatch.setattr(generated_files, "CHECKOUT", tmp_path)
    monkeypatch.setattr(generated_files, "generated", lambda: {target: "new"})
    assert generated_files.check() == ["page.md"]
    generated_files.write_all()
    assert generated_files.check() == []
    assert target.read_text() == "new"


def test_reference_page_names_every_key():
    page = (ROOT / "docs" / "configuration.md").read_text()
    for _, model in reference.SECTIONS:
        for name in model.model_fields:
            assert f"| `{name}` |" in page
