from __future__ import annotations

import pytest

from cch import reference
from cch.config import load
from cch.errors import CchError
from support import ROOT, overlay, raw_config

COHORTS = {"brca", "brca-rppa", "kipan", "kipan-rppa", "lihc"}
SENSITIVITY = {"brca-selection-all", "brca-noise-3", "brca-mi-train", "brca-mi-test"}
PAPER = {"synthetic", "mnistm-a20", "mnistm-a18", "mosei-vision", "mosei-audio"} | COHORTS
SPLITS = {f"{name}-100" for name in COHORTS - {"lihc"}} | {"lihc-rppa", "lihc-rppa-100"}


@pytest.mark.parametrize(
    ("preset", "studies"),
    [
        (None, PAPER | SENSITIVITY),
        ("demo", PAPER - {"kipan", "kipan-rppa", "lihc"}),
        ("open", PAPER - {"lihc"} | SENSITIVITY | SPLITS | {"mosi-video", "mosi-audio"}),
    ],
)
def test_shipped_configurations_are_valid(preset, studies):
    assert set(load(raw_config(preset)).studies) == studies


def test_null_takes_the_options_of_an_estimator_away():
    change = {"options": {"mine": None, "latent-light": {"epochs": 7}}}
    change |= {"estimators": ["latent-light"]}
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


@pytest.mark.parametrize(
    ("study", "change", "expected"),
    [
        ("mosei-vision", {"split": {"kind": "random", "test": 0.2}}, "the dataset's own split"),
        ("synthetic", {"inputs": "standardised"}, "every draw is a sample of its own"),
        ("mosei-vision", {"training": {"momentum": 0.9}}, "adamw has none"),
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
            "no such key; expected one of title",
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
            "'sgd', 'adam' or 'adamw', not 'rmsprop'",
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
            "not 'mine2'",
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
    ],
)
def test_wrong_key_type_or_range_is_one_line_with_the_key(paper_config, change, key, expected):
    with pytest.raises(CchError) as caught:
        load(overlay(paper_config, change))
    message = str(caught.value)
    assert "\n" not in message
    assert key in message
    assert expected in message


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
    assert reference.check() == [], "run `cch docs --write`"


def test_drift_of_a_generated_file_is_found(tmp_path, monkeypatch):
    target = tmp_path / "page.md"
    target.write_text("old")
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "generated", lambda: {target: "new"})
    assert reference.check() == ["page.md"]
    reference.write_all()
    assert reference.check() == []
    assert target.read_text() == "new"


def test_reference_page_names_every_key():
    page = (ROOT / "docs" / "configuration.md").read_text()
    for _, model in reference.SECTIONS:
        for name in model.model_fields:
            assert f"| `{name}` |" in page
