"""The calibration stage: a study's sizes in, cells out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.config import Compute, Information, load
from cch.config.paths import Paths
from cch.config.specs import CalibrateSpec, NullGapsSpec, NullTableSpec, calibrate_spec
from cch.data.rng import numpy_generator
from cch.information.calibration_stage import (
    calibrate,
    calibrated_rows,
    read_results,
    usable_pairs,
)
from cch.information.estimator import entropy_of_labels, get_estimator
from cch.information.known import spectrum
from cch.information.null_gaps import null_gaps
from cch.tables.cells import build_document
from cch.tables.claims import load_claims
from cch.tables.documents import parse_document
from cch.tables.figures import draw_calibration, draw_null_gaps
from cch.tables.layout import layout_inputs
from cch.tables.layouts import all_layouts
from cch.tables.null_gaps import null_document
from cch.tables.render import to_csv, to_latex, to_markdown
from cch.tables.source import Source
from cch.tables.spec import table_spec
from cch.training.store import write_runs
from cch.workflow.planning import Plan
from support import ROOT, overlay, raw_config

CALIBRATION = {"repeats": 2, "truths": [0.5, 1], "shares": [0.5], "settings": {"ksg": {"k": [5]}}}
INFORMATION = Information(estimators=["ksg"], runs=2, limit=100, calibration=CALIBRATION)
SPEC = calibrate_spec("study", INFORMATION, "ksg")
CPU = Compute(device="cpu")


def write_both(paths, classes=True, broken=(), flat_level=None):
    """Teacher and baseline runs of two seeds and levels; seeds in ``broken`` diverged."""
    signal = numpy_generator("signal").normal(size=(2, 120, 1))
    label = (signal[..., 0] > 0).astype(np.int64) if classes else signal[..., 0]

    def seen(name):
        drawn = signal + 0.3 * numpy_generator(name).normal(size=(2, 120, 3))
        drawn[list(broken)] = np.nan
        return drawn.astype(np.float32)

    def entries(role):
        return [{"id": f"{role}{seed}", "seed": seed, "level": None} for seed in range(2)]

    teacher = {f"representation/{level}": seen(level) for level in ("0", "2")}
    if flat_level:
        teacher[f"representation/{flat_level}"][..., 1:] = 0
    write_runs(paths["teacher"], {}, entries("t"), teacher | {"information_label": label})
    student = {"representation/0": seen("b"), "information_label": label}
    write_runs(paths["baseline"], {}, entries("b"), student)


@pytest.fixture
def runs(tmp_path):
    paths = {"teacher": str(tmp_path / "t.h5"), "baseline": str(tmp_path / "b.h5")}
    write_both(paths)
    return paths


def test_a_study_is_calibrated_at_its_own_sizes(tmp_path, runs):
    out = tmp_path / "ksg.json"
    calibrate(SPEC, runs, out, CPU)
    found = read_results(out)
    plain = [entry for entry in found if not entry["options"]]
    assert [(e["quantity"], e["level"], e["name"], e["kind"]) for e in plain] == [
        *(
            ("teacher-student", level, name, kind)
            for level in ("0", "2")
            for name, kind in (("null", "permutation-null"), ("0.5", "gaussian"), ("1", "gaussian"))
        ),
        ("student-label", None, "null", "permutation-null"),
        ("student-label", None, "h0.5", "class-mixture"),
    ]
    assert {(e["rows"], e["dx"], e["spectrum"]) for e in found} == {(100, 3, "study")}
    (pair,) = usable_pairs("student-label", runs)
    label = np.sum(pair.y[:100])
    assert sorted(plain[-1]["class_counts"]) == sorted([label, 100 - label])
    # Other settings on the first level alone.
    varied = [e for e in found if e["options"]]
    assert [(e["options"], e["level"]) for e in varied] == [({"k": 5}, "0")] * 3 + [
        ({"k": 5}, None)
    ] * 2
    assert len({e["id"] for e in found}) == len(found)
    assert found[0]["runs"] == ["t0", "b0"]
    again = tmp_path / "again.json"
    calibrate(SPEC, runs, again, CPU)
    assert again.read_bytes() == out.read_bytes()


def values_of(entries, level):
    return [e["values"] for e in entries if (e["level"], e["options"]) == (level, {})]


def test_each_level_is_calibrated_on_its_own_pair(tmp_path, runs):
    """The second level's teacher has one direction, the first's three."""
    write_both(runs, flat_level="2")
    calibrate(SPEC, runs, tmp_path / "ksg.json", CPU)
    found = read_results(tmp_path / "ksg.json")
    ranks = {(e["level"], e["rank"]) for e in found if e["kind"] == "gaussian"}
    assert ranks == {("0", 3), ("2", 1)}
    assert values_of(found, "0") != values_of(found, "2")


def test_at_most_so_many_rows_are_drawn_by_key(tmp_path, runs):
    asked = INFORMATION.calibration.model_copy(update={"rows": 60})
    spec = SPEC.model_copy(update={"calibration": asked})
    calibrate(spec, runs, tmp_path / "ksg.json", CPU)
    found = read_results(tmp_path / "ksg.json")
    assert {e["rows"] for e in found} == {60}
    rows = calibrated_rows(100, 60, "study")
    assert len(np.unique(rows)) == 60 and rows.max() < 100
    assert not np.array_equal(rows, np.arange(60))
    (pair,) = usable_pairs("student-label", runs)
    counts = np.bincount(pair.y[rows]).tolist()
    assert found[-1]["class_counts"] == counts
    # H(Y) is of all rows of the estimates.
    assert found[-1]["ceiling"] == entropy_of_labels(pair.y[:100])
    assert all(e["ceiling"] is None for e in found if e["quantity"] == "teacher-student")


def test_a_closed_form_is_the_ceiling_of_a_regressions_label(tmp_path, runs):
    write_both(runs, classes=False)
    plan = Plan(raw_config("demo"), ROOT)
    given = CalibrateSpec.model_validate_json(plan.calibrate_spec("synthetic", "ksg"))
    data = plan.config.datasets["synthetic"]
    signal = data.features * data.sigma_23**2 / (1 - data.sigma_23**2)
    assert given.label_ceiling == pytest.approx(0.5 * np.log1p(signal))
    spec = SPEC.model_copy(update={"label_ceiling": given.label_ceiling})
    calibrate(spec, runs, tmp_path / "ksg.json", CPU)
    ceilings = {(e["quantity"], e["ceiling"]) for e in read_results(tmp_path / "ksg.json")}
    assert ceilings == {("teacher-student", None), ("student-label", given.label_ceiling)}
    assert (
        CalibrateSpec.model_validate_json(plan.calibrate_spec("brca", "ksg")).label_ceiling is None
    )


def test_a_regressions_label_is_one_gaussian_column(tmp_path, runs):
    write_both(runs, classes=False)
    calibrate(SPEC, runs, tmp_path / "ksg.json", CPU)
    label = [e for e in read_results(tmp_path / "ksg.json") if e["quantity"] == "student-label"]
    assert [(e["kind"], e["dy"], e["rank"]) for e in label[:2]] == [
        ("permutation-null", 1, None),
        ("gaussian", 1, 1),
    ]


def test_a_diverged_run_is_passed_over_and_a_study_of_them_is_said(tmp_path, runs):
    write_both(runs, broken=[0])
    assert [pair.seed for pair in usable_pairs("teacher-student", runs)] == [1, 1]
    write_both(runs, broken=[0, 1])
    calibrate(SPEC, runs, tmp_path / "ksg.json", CPU)
    found = read_results(tmp_path / "ksg.json")
    assert {e["spectrum"] for e in found} == {"flat"}
    assert all("constant or not finite" in e["flags"][0] for e in found)
    assert found[0]["name"] == "null"


def test_a_broken_file_is_named(tmp_path):
    with pytest.raises(CchError, match=r"none\.json: there is no such file"):
        read_results(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(CchError, match=r"bad\.json: is no JSON"):
        read_results(tmp_path / "bad.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(CchError, match=r"other\.json: is not of format"):
        read_results(tmp_path / "other.json")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A configured image study whose calibration by two estimators' files exists."""
    monkeypatch.chdir(tmp_path)
    information = {
        "estimators": ["ksg"],
        "runs": 2,
        "limit": 100,
        "calibration": CALIBRATION,
    }
    change = {"information": information, "degradation": {"levels": [0, 2]}}
    config = load(overlay(raw_config(), {"studies": {"mnistm-a18": change}}))
    paths = Paths.of(config)
    runs = {role: paths.runs("mnistm-a18", role) for role in ("teacher", "baseline")}
    write_both(runs)
    spec = calibrate_spec("mnistm-a18", config.studies["mnistm-a18"].information, "ksg")
    calibrate(spec, runs, paths.calibration("mnistm-a18", "ksg"), CPU)
    return config


def document(config):
    layout = all_layouts(config, ROOT / "paper" / "tables.yaml")["calibration-mnistm-a18"]
    claims = load_claims(ROOT / "paper" / "claims.yaml")
    return build_document(table_spec("calibration-mnistm-a18", layout, config, claims, []))


def test_cells_are_bias_and_sd_with_the_number_of_samples(study):
    found = document(study)
    entries = read_results(Paths.of(study).calibration("mnistm-a18", "ksg"))
    entry = next(e for e in entries if (e["name"], e["options"]) == ("h0.5", {}))
    row = "student-label-h0.5"
    truth = found.cells[f"{row}/truth"]
    assert (truth.value, truth.n, truth.se) == (entry["truth"], None, None)
    bias = found.cells[f"{row}/ksg-bias"]
    assert bias.value == pytest.approx(entry["bias"], abs=1e-12)
    assert (bias.n, bias.unit) == (2, "nats")
    assert bias.se == pytest.approx(entry["sd"] / np.sqrt(2))
    assert bias.inputs[0].path == "results/calibration/mnistm-a18/ksg.json"
    sd = found.cells[f"{row}/ksg-sd"]
    assert sd.value == pytest.approx(entry["sd"])
    assert sd.se == pytest.approx(entry["sd"] / np.sqrt(2))
    assert found.cells["teacher-student-0.5-k-5/ksg-mean"].n == 2
    assert found.notes[0].cell.text == "n = 100, 3 columns and 3"
    assert all(cell.value is not None for cell in found.cells.values())
    for rendering in (to_csv, to_markdown, to_latex):
        assert "50 % of H(label)" in rendering(found).replace("\\%", "%")


def test_the_figure_is_drawn_from_the_cells(study):
    import matplotlib.pyplot as plt

    stored = document(study).to_json()
    stored["cells"]["teacher-student-1/ksg-mean"]["value"] = 0.777
    figure = draw_calibration(parse_document(stored, "changed"))
    axis = figure.axes[0]
    drawn = np.concatenate([line.get_ydata() for line in axis.get_lines()])
    assert 0.777 in drawn
    assert axis.get_legend().get_texts()[1].get_text() == "ksg"
    plt.close(figure)


def test_what_is_not_calibrated_has_no_document():
    off = overlay(raw_config(), {"studies": {"synthetic": {"information": {"calibration": None}}}})
    plan = Plan(off, ROOT)
    assert "calibration-synthetic" not in plan.layouts
    assert "calibration-mnistm-a20" in plan.layouts
    one = {"studies": {"synthetic": {"information": {"calibration": {"estimators": ["ksg"]}}}}}
    layout = Plan(overlay(raw_config(), one), ROOT).layouts["calibration-synthetic"]
    assert [column.key for column in layout.columns] == ["truth", "ksg-mean", "ksg-bias", "ksg-sd"]


LIKE = {"like": "mnistm-a20"}


def sharing(**change):
    """A configuration in which a second image study is calibrated like the first."""
    both = {"dataset": "mnistm-a20", "information": {"estimators": ["ksg"], "options": {}}}
    second = both | {"information": both["information"] | {"calibration": LIKE}}
    return overlay(
        raw_config(), {"studies": {"mnistm-a20": both, "mnistm-a18": overlay(second, change)}}
    )


def test_studies_of_one_shape_share_one_calibration():
    plan = Plan(sharing(), ROOT)
    assert [s.output for s in plan.steps("mnistm-a20") if s.stage == "calibrate"] == [
        "results/calibration/mnistm-a20/ksg.json"
    ]
    assert not [s for s in plan.steps("mnistm-a18") if s.stage == "calibrate"]
    assert "calibration-mnistm-a18" not in plan.layouts
    source = Source(plan.config, "mnistm-a18")
    assert source.calibration_path("ksg") == "results/calibration/mnistm-a20/ksg.json"
    layout = plan.layouts["sensitivity-mnistm-a18"]
    assert "results/calibration/mnistm-a20/ksg.json" in layout_inputs(layout, plan.config)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": {"hidden": [64, 32]}}, "is of another shape \\(columns\\)"),
        ({"information": {"limit": 100}}, "is of another shape \\(limit\\)"),
        ({"information": {"options": {"ksg": {"k": 7}}}}, "is of another shape \\(ksg\\)"),
        ({"degradation": {"levels": [0, 9]}}, "is of another shape \\(levels\\)"),
        ({"information": {"calibration": {"like": "other"}}}, "there is no study 'other'; name a"),
        (
            {"information": {"calibration": {"like": "mnistm-a18"}}},
            "'mnistm-a18' has no calib",
        ),
    ],
)
def test_studies_of_other_shapes_share_nothing(change, words):
    with pytest.raises(CchError, match=words):
        load(sharing(**change))


@pytest.mark.parametrize(
    ("calibration", "words"),
    [
        ({"repeats": 1}, "calibration.repeats: .*greater than or equal to 2"),
        ({"shares": [1]}, "shares.0: .*less than 1"),
        (
            {"truth": [1]},
            "there is no such key; did you mean 'truths'\\? expected one of estimators, like, rows",
        ),
        ({"settings": {"other": {}}}, "calibration.settings names 'other', which is not estimated"),
        ({"estimators": ["other"]}, "calibration.estimators names 'other'"),
    ],
)
def test_a_wrong_section_is_refused_in_one_line(calibration, words):
    change = {"studies": {"synthetic": {"information": {"calibration": calibration}}}}
    with pytest.raises(CchError, match=words):
        load(overlay(raw_config(), change))


def test_only_what_matters_makes_a_calibration_stale():
    def spec(change):
        config = overlay(raw_config(), {"studies": {"synthetic": {"information": change}}})
        return Plan(config, ROOT).calibrate_spec("synthetic", "ksg")

    base = spec({})
    assert spec({"options": {"latentmi": {"epochs": 3}}}) == base
    assert spec({"calibration": {"settings": {"latentmi": {"N_dims": [4]}}}}) == base
    assert spec({"calibration": {"repeats": 4}}) != base
    assert spec({"limit": 500}) != base


def test_lihcs_null_is_a_document_with_the_printed_gaps(tmp_path):
    plan = Plan(overlay(raw_config(), {"null_gaps": {"lihc": {"repeats": 6}}}))
    spec = NullTableSpec.model_validate_json(plan.null_table_spec("lihc"))
    asked = NullGapsSpec.model_validate_json(plan.null_spec("lihc", "ksg"))
    values = null_gaps(get_estimator("ksg"), asked)
    path = tmp_path / "ksg.json"
    path.write_text(json.dumps({"values": values}))
    found = null_document({"ksg": str(path)}, spec)
    cells = found.cells
    assert cells["gap/ksg"].value == pytest.approx(np.mean(values["gap"]))
    assert cells["gap-sd/ksg"].value == pytest.approx(np.std(values["gap"], ddof=1))
    assert cells["printed-80/paper"].value == -0.0372
    beyond = sum(abs(gap) >= 0.0372 for gap in values["gap"])
    assert cells["printed-80/ksg"].value == pytest.approx((1 + beyond) / 7)
    assert "-0.0372" in to_markdown(found)
    assert "-0.0372" in to_csv(found)
    figure = draw_null_gaps(found)
    drawn = np.concatenate([np.atleast_1d(line.get_ydata()) for line in figure.axes[0].get_lines()])
    assert set(values["gap"]) <= set(drawn)
    assert set(spec.gaps.values()) <= set(drawn)


def test_the_spectrum_of_the_pair_is_taken(runs):
    pair = usable_pairs("teacher-student", runs)[0]
    assert spectrum(pair.x).sum() == pytest.approx(3)
