"""Cells of the criterion from stored bounds, and the audit's own derivation of them."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cch.audit import derive_criterion
from cch.audit.derive import RULES, Place
from cch.audit.facts import same
from cch.base.files import write_json
from cch.config import load
from cch.tables.cells import build_cell
from cch.tables.ground_cells import criterion_by_level
from cch.tables.source import Source
from cch.tables.study_layouts import criterion_layout
from cch.training.store import write_runs
from support import raw_config

assert derive_criterion
RUNS, ROWS = 3, 400
Z = 1.6448536269514722  # of 95 %, one-sided


def study_of(name, **information):
    config = load(raw_config())
    study = config.studies[name]
    asked = study.information.model_copy(update={"runs": RUNS, "limit": ROWS} | information)
    studies = {name: study.model_copy(update={"information": asked})}
    return Source(config.model_copy(update={"results": "results", "studies": studies}), name)


def write_bounds(source, estimator, quantities, seed):
    """Bounds at every level and run: ``{quantity: (kind, mean)}``, with an error of 0.02."""
    draws, found = np.random.default_rng(seed), []
    for quantity, (kind, means) in quantities.items():
        for level, mean in zip(source.study.degradation.levels, means, strict=False):
            for run in range(RUNS):
                value = mean + draws.normal(0, 0.05)
                sign = -1 if kind == "lower" else 1
                found.append(
                    {
                        "id": f"{estimator}-{quantity}-{level:g}-{run}",
                        "estimator": estimator,
                        "quantity": quantity,
                        "level": f"{level:g}",
                        "seed": run,
                        "n": ROWS,
                        "value": value + sign * 0.02 * Z,
                        "kind": kind,
                        "confidence": 0.95,
                        "fit": {"mean": value},
                        "flags": [],
                    }
                )
    write_json(source.estimates_path(estimator), {"estimates": found})


@pytest.fixture
def images(tmp_path, monkeypatch):
    """The image study with bounds that decide its first levels."""
    monkeypatch.chdir(tmp_path)
    source = study_of("mnistm-a20", bounds=["infonce", "classifier"])
    labels = np.random.default_rng(0).choice(10, (RUNS, 2 * ROWS), p=[0.2] + [0.8 / 9] * 9)
    header = {"task": "classification"}
    write_runs(source.runs_path("baseline"), header, [], {"information_label": labels})
    lower = {
        "teacher-student": ("lower", [3.5, 2.4, 2.0, 1.0, 0.1]),
        "teacher-student-given-label": ("lower", [2.0, 1.0, 0.5, 0.2, 0.0]),
    }
    write_bounds(source, "infonce", lower, 1)
    upper = {"label-given-teacher": ("upper", [0.1, 0.1, 0.2, 0.22, 0.5])}
    write_bounds(source, "classifier", upper, 2)
    return source


@pytest.fixture
def synthetic(tmp_path, monkeypatch):
    """The synthetic study with a lower bound that decides where much is shared."""
    monkeypatch.chdir(tmp_path)
    source = study_of("synthetic", bounds=["infonce"])
    write_runs(source.runs_path("baseline"), {"task": "regression"}, [], {})
    means = [4.0, 3.0, 1.8, 1.4, 1.4, 1.7, 3.0, 4.0]
    write_bounds(source, "infonce", {"teacher-student": ("lower", means)}, 3)
    return source


def cells(source, kinds=("criterion", "linear-margin")):
    """The cells of the table of the criterion, by key."""
    layout = criterion_layout(source.name, source.study)
    return {
        key: build_cell(f"criterion-{source.name}/{key}", query, source, None)
        for key, _, query in layout.queries(source.config)
        if query.kind in kinds
    }


def column(found, name):
    return [cell.value for key, cell in found.items() if key.endswith(f"/{name}")]


def derived(source, key, cell):
    """What the audit says that a cell must hold."""
    data = source.config.datasets[source.study.dataset]
    stated = {"study": source.study.model_dump(mode="json"), "dataset": data.model_dump()}
    document = {"id": "criterion", "study": source.name, "settings": {source.name: stated}}
    facts = SimpleNamespace(
        path=lambda *parts: "/".join(("results", *parts)),
        json=lambda name: json.loads(Path(name).read_text()),
        once=lambda key, make: make(),
        tree=SimpleNamespace(place=Path),
        recorded_settings=lambda study: {},
    )
    place = Place(document, key, cell.to_json())
    return RULES[cell.query["kind"]](cell.query, place, facts)


def test_bounds_decide_level_by_level(images):
    found = cells(images, ["criterion"])
    assert column(found, "verdict") == ["holds", "holds", "holds", "undecided", "undecided"]
    assert column(found, "ground") == [
        *("bound (b)", "bound (b)", "bound (b)"),
        *("none", "none"),
    ]
    margins = column(found, "margin")
    assert all((margin > 0) == (said == "holds") for margin, said in zip(
        margins, column(found, "verdict"), strict=True
    ))  # fmt: skip
    bounds = zip(column(found, "lower"), column(found, "upper"), strict=True)
    assert margins == pytest.approx([low - high for low, high in bounds])
    # The nearest claim is shown where nothing decides.
    assert margins[3] > -0.3


def test_a_verdict_lists_the_bounds_of_its_level(images):
    cell = cells(images)["0/verdict"]
    assert len(cell.members) == 3 * RUNS
    assert all("-0-" in member.id for member in cell.members)
    assert "infonce, classifier" in cell.aggregation


def test_without_bounds_nothing_is_decided(images):
    none = study_of("mnistm-a20", bounds=[])
    found = cells(none)
    assert set(column(found, "verdict")) == {"undecided"}
    assert set(column(found, "margin")) == {None}
    assert all(not cell.inputs for cell in found.values())


def test_the_synthetic_study_is_decided_at_every_level(synthetic):
    found = cells(synthetic)
    assert column(found, "verdict") == ["holds"] * 8
    ground = column(found, "ground")
    assert ground[3:5] == ["closed form of inputs"] * 2 and ground[0] == ground[7] == "bound (a)"
    # I(X2; Y) = 1/2 ln(1 + 100 * 0.16 / 0.84) bounds I(S; Y), exactly.
    assert column(found, "upper") == pytest.approx([0.5 * math.log1p(16 / 0.84)] * 8)
    # Theorem 1 compares the best linear representations: there it fails at low sigma_12.
    linear = column(found, "linear-margin")
    assert [margin > 0 for margin in linear] == [False] * 5 + [True] * 3
    assert linear[4] == pytest.approx(-0.0012, abs=1e-4)


def test_closed_forms_alone_decide_the_synthetic_study(synthetic):
    verdicts = criterion_by_level(study_of("synthetic", bounds=[]))
    assert {one.verdict for one in verdicts.values()} == {"holds"}
    assert {one.ground for one in verdicts.values()} == {"closed form of inputs"}
    margins = [one.margin for one in verdicts.values()]
    assert min(margins) == pytest.approx(2.0 - 1.499, abs=0.01)


@pytest.mark.parametrize("name", ["images", "synthetic"])
def test_the_audit_derives_the_same(name, request):
    source = request.getfixturevalue(name)
    found = cells(source)
    assert len(found) >= 25
    for key, cell in found.items():
        again = derived(source, key, cell)
        assert same(cell.value, again.value), key
        assert [(m.id, m.minus, m.value) for m in cell.members] == list(again.members), key
        assert cell.unit == (again.unit if again.unit != "?" else None), key
        assert again.flags is None or list(cell.flags) == again.flags, key


@pytest.mark.parametrize("rows", ["test", "train", "all"])
def test_rows_that_trained_the_networks_are_flagged(images, rows):
    source = study_of("mnistm-a20", bounds=images.study.information.bounds, rows=rows)
    for key, cell in cells(source, ["criterion"]).items():
        assert any("trained the networks" in flag for flag in cell.flags) == (rows != "test")
        assert derived(source, key, cell).flags == list(cell.flags)


def test_the_audit_sees_a_bound_that_was_changed(images):
    stored = cells(images)
    path = Path(images.estimates_path("classifier"))
    content = json.loads(path.read_text())
    for entry in content["estimates"]:
        entry["fit"]["mean"] -= 3.0
        entry["value"] -= 3.0
    path.write_text(json.dumps(content))
    assert stored["3.5/verdict"].value == "undecided"
    assert derived(images, "3.5/verdict", stored["3.5/verdict"]).value == "holds"
