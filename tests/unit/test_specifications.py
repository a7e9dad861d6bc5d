"""Every field of the configuration is changed in turn: exactly these jobs become stale.

``STALE`` says of every field which stages get another specification when it changes. A field that
is not in it fails the test, and so does one whose change reaches other jobs than it says.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml

from cch.audit.facts import numbers_only
from cch.audit.run import unlike
from cch.base.errors import CchError
from cch.config import DATASETS, Model, load
from cch.config.specs import study_roles
from cch.workflow.planning import Plan
from support import ROOT, raw_config

Job = tuple[str, str]
Path = tuple[str, ...]

RUNS = "teacher baseline student fusion second-teacher two-teachers"
NETWORKS = "teacher baseline student second-teacher two-teachers tabulate"

# By section and fields: the stages whose specification they are part of. Those that a study does
# not have (a selection, fusions, calibrations) are passed over.
STALE: dict[str, dict[str, str]] = {
    "": {
        "results": "tabulate tabulate_null tabulate_decision tabulate_theory",
        "decision_error": "estimate_decision tabulate_decision",
        "resources sources": "tabulate",
        "mirror plugins": "",
    },
    "compute": {"device memory_gb threads jobs_per_gpu": ""},
    "theory": {
        "dimension kappas lambdas sigma_12 sigma_13 sigma_23 teacher_label replications seed": (
            "simulate_theory tabulate_theory"
        )
    },
    "null_gaps.*": {
        "title table column runs": "tabulate_null",
        "class_counts columns repeats estimators": "estimate_null tabulate_null",
    },
    "decision_error": {
        "rows columns ranks gaps teacher_knows_label student_label classes repeats estimators": (
            "estimate_decision tabulate_decision"
        )
    },
    "datasets.synthetic": {
        "title": "tabulate",
        "train test sigma_12 sigma_13 draws seed": "prepare tabulate",
        # They say what I(student; label) cannot exceed.
        "features sigma_23": "prepare calibrate tabulate",
    },
    "datasets.mnistm": {
        "title": "tabulate",
        "digits photographs alpha threshold channels seed": "prepare tabulate",
    },
    "datasets.mosei": {"title": "tabulate", "source length pooled split": "prepare tabulate"},
    "datasets.mosi": {"title": "tabulate", "source": "prepare tabulate"},
    "datasets.tcga": {
        "title": "tabulate",
        "cohorts aliquots averaged gene_names segments": "prepare tabulate",
    },
    "datasets.tcga.label": {
        "source sample column classes": "prepare tabulate",
        "defined_by": "tabulate",
    },
    "datasets.matrices": {"title": "tabulate"},
    "datasets.matrices.files.*": {
        "file rows values row_names column_names": "prepare tabulate",
    },
    "datasets.matrices.labels": {"file sample label": "prepare tabulate"},
    "studies.*": {
        "title group entry": "tabulate",
        # The better of two teachers is chosen by it.
        "metric": "two-teachers tabulate",
        "dataset": f"select {RUNS} tabulate",
        # Students learn from the file of their teachers, which is an input.
        "teacher": "select teacher fusion two-teachers tabulate",
        "second_teacher": "select fusion second-teacher two-teachers tabulate",
        "student": "select baseline student fusion two-teachers tabulate",
        "seeds split": f"select {RUNS} tabulate",
        "selection": f"select {RUNS} tabulate",
        "inputs": f"{RUNS} tabulate",
        "fusion": "fusion tabulate",
        # The same specifications, as one job's or as those of many.
        "together": "tabulate",
    },
    "studies.*.network": {"hidden activation batch_norm dropout": NETWORKS},
    "studies.*.training": {
        "optimizer learning_rate schedule momentum weight_decay batch_size epochs": NETWORKS
    },
    "studies.*.distillation": {"temperatures weights": "student two-teachers tabulate"},
    "studies.*.degradation": {
        "kind levels scale": "teacher student second-teacher two-teachers tabulate",
        "symbol": "tabulate",
    },
    "studies.*.split": {"test valid stratified train": f"select {RUNS} tabulate"},
    "studies.*.selection": {"features rows method": f"select {RUNS} tabulate"},
    "studies.*.fusion": {
        "encoder batch_norm dropout temperature weight teacher_head": "fusion tabulate"
    },
    "studies.*.fusion.training": {
        "optimizer learning_rate schedule momentum weight_decay batch_size epochs": (
            "fusion tabulate"
        )
    },
    "studies.*.information": {
        "estimators options limit": "estimate calibrate tabulate",
        "bounds": "estimate tabulate",
        # Runs hold the representations of these seeds and rows.
        "runs": "teacher baseline second-teacher tabulate",
        "rows": "teacher baseline second-teacher estimate calibrate tabulate",
        "calibration": "calibrate tabulate",
    },
    "studies.*.information.calibration": {
        "estimators like rows repeats truths shares rank settings": "calibrate tabulate"
    },
}

# Fields of one valid value each: another kind has other keys.
ONE_VALUE = {
    *(f"datasets.{kind}.kind" for kind in DATASETS),
    "datasets.tcga.label.kind",
    "studies.*.network.kind",
    "studies.*.split.kind",
    # Replaced by studies before any job is specified.
    "studies.*.pairs",
}

MOST = 2
"""How many studies or datasets a field is changed in."""

TRAINING = {"optimizer": "sgd", "learning_rate": 1, "batch_size": 8, "epochs": 1}
# Other valid values, where the type and the value that is there say none.
OTHER: dict[str, list[Any]] = {
    "mirror": ["/mirror"],
    "plugins": [[str(ROOT / "tests" / "guard.py")]],
    "sources": [str(ROOT / "workflow" / "sources.yaml")],
    "digits": ["mnist"],
    "photographs": ["bsds500"],
    "source": ["tcga-made-mrna", "mosei-made"],
    "gene_names": ["gencode-v36-probemap"],
    "averaged": [["TCGA-ZZ-0001"]],
    "segments": [{"bins": 5}],
    "cohorts": [{"BRCA": dict.fromkeys(("mrna", "cnv", "rppa"), "tcga-made-cnv")}],
    "dataset": ["mnistm-a18", "other-brca"],
    "teacher": ["audio", "rppa", "c"],
    "student": ["audio", "rppa", "c"],
    "second_teacher": ["audio", "mrna", "c"],
    "metric": ["auc"],
    "group": [["a-group"]],
    "entry": ["an-entry"],
    "estimators": [["latent-light", "mine"], ["ksg"]],
    "bounds": [["nwj"]],
    "options": [{"ksg": {"k": 4}}],
    "settings": [{"ksg": {"k": [3, 5]}}],
    "runs": [1],
    "like": ["own"],
    "table": ["table13", "table04"],
    "teacher_knows_label": [[True]],
    "column": ["difference", "mi-gap"],
    "optimizer": ["adamw", "sgd"],
    "calibration": [{}],
    "split": [{"kind": "random", "test": 0.3}],
    "selection": [{}],
    "fusion": [
        {"training": {"optimizer": "sgd", "learning_rate": 1, "batch_size": 8, "epochs": 1}}
    ],
}


@functools.cache
def configuration() -> dict[str, Any]:
    """The demo, cut down to a study of every sort, with every key written out."""
    raw = raw_config("demo")
    kept = ("brca", "synthetic", "mnistm-a20", "mosei-vision")
    raw["studies"] = {name: copy.deepcopy(raw["studies"][name]) for name in kept}
    raw["studies"]["brca"]["split"] = {"kind": "random", "test": 0.2, "valid": 0.1, "train": 0.6}
    raw["studies"]["brca"]["second_teacher"] = "rppa"
    raw["studies"]["own"] = copy.deepcopy(raw["studies"]["brca"])
    raw["studies"]["own"] |= {"dataset": "own", "teacher": "a", "student": "b"}
    raw["studies"]["own"]["second_teacher"] = None
    raw["studies"]["own"]["fusion"]["training"]["optimizer"] = "sgd"  # which has a momentum
    # One more of the same shape.
    raw["studies"]["own-too"] = copy.deepcopy(raw["studies"]["own"])
    files = {name: {"file": f"{name}.tsv"} for name in "abc"}
    own = {"kind": "matrices", "title": "Own", "files": files, "labels": {"file": "own.tsv"}}
    raw["datasets"] |= {"own": own, "mosi": {"kind": "mosi"}, "kipan": None, "lihc": None}
    raw["null_gaps"]["lihc"]["estimators"] = ["ksg", "mine"]
    raw["datasets"]["other-brca"] = raw["datasets"]["brca"] | {"aliquots": "mean"}
    return load(raw).model_dump(mode="json")


def specifications(plan: Plan) -> dict[Job, Any]:
    """The specification of every job of a configuration, by stage and name."""
    jobs: dict[Job, Any] = {
        ("simulate_theory", ""): plan.simulate_spec(),
        ("tabulate_theory", ""): plan.theory_spec(),
        ("ledger", ""): plan.ledger_digest(),
        ("build_report", ""): plan.report_digest(),
    }
    jobs |= {("prepare", name): plan.prepare_spec(name) for name in plan.config.datasets}
    for dataset, selection in plan.selections:
        jobs["select", f"{dataset}/{selection}"] = plan.select_spec(dataset, selection)
    for name, gaps in plan.config.null_gaps.items():
        jobs["tabulate_null", name] = plan.null_table_spec(name)
        for estimator in gaps.estimators or ():
            jobs["estimate_null", f"{name}/{estimator}"] = plan.null_spec(name, estimator)
    if plan.config.decision_error:
        jobs["tabulate_decision", ""] = plan.decision_table_spec()
        for estimator in plan.config.decision_error.estimators:
            jobs["estimate_decision", estimator] = plan.decision_spec(estimator)
    for name, study in plan.config.studies.items():
        for role in study_roles(study):
            jobs[role, name] = plan.train_spec(name, role)
        wanted = study.information
        for estimator in [*wanted.estimators, *study.bounds]:
            jobs["estimate", f"{name}/{estimator}"] = plan.estimate_spec(name, estimator)
        for estimator in wanted.calibrated if not wanted.shared_with else ():
            jobs["calibrate", f"{name}/{estimator}"] = plan.calibrate_spec(name, estimator)
    return jobs | {("tabulate", name): plan.table_spec(name) for name in plan.layouts}


def fields(model: Model, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield path and annotation of every field: of values, and of parts that may be left out."""
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), (*path, name)
        parts = value if isinstance(value, dict) else {"": value}
        held = {key: part for key, part in parts.items() if isinstance(part, Model)}
        for key, part in held.items():
            yield from fields(part, (*here, key) if key else here)
        if not held or type(None) in get_args(field.annotation):
            yield here, field.annotation


def section(path: Path, raw: dict[str, Any]) -> str:
    """The section of ``STALE`` that a field is in."""
    parts = list(path[:-1])
    if len(parts) > 1:
        parts[1] = raw["datasets"][parts[1]]["kind"] if parts[0] == "datasets" else "*"
    if parts[2:3] == ["files"]:
        parts[3] = "*"
    return ".".join(parts)


def values(name: str, annotation: Any, value: Any) -> list[Any]:
    """Other values that a field might take; not all need be valid."""
    found = list(OTHER.get(name, ()))
    types = [annotation, *get_args(annotation)]
    found += [word for one in types if get_origin(one) is Literal for word in get_args(one)]
    if isinstance(value, bool):
        found.append(not value)
    elif isinstance(value, int | float):
        found += [value + 1, value - 1, value / 2, value + 0.01, 0.5]
    elif isinstance(value, str):
        found.append(f"{value}-other")
    elif isinstance(value, list):
        found += [value[:-1], [*value[:-1], 3], [*value[:-1], 0.3], [*value, 0.71]]
    elif isinstance(value, dict):
        found += [{key: f"{part}-other" for key, part in value.items()}]
    found += [None] if type(None) in types else []
    found += ["a-word"] if value is None and str in types else []
    return [other for other in found if other != value]


def changed(raw: dict[str, Any], path: Path, annotation: Any) -> dict[Job, Any]:
    """The jobs of the configuration with another valid value at ``path``; none if none is found."""
    for other in values(path[-1], annotation, functools.reduce(dict.get, path, raw)):
        edited = copy.deepcopy(raw)
        functools.reduce(lambda at, key: at[key], path[:-1], edited)[path[-1]] = other
        with contextlib.suppress(CchError):
            return specifications(Plan(edited, ROOT))
    return {}


def stages_of(path: Path, jobs: Iterable[Job], raw: dict[str, Any]) -> set[str]:
    """The stages that a field's study or dataset has, or all where it is of neither."""
    if path[0] not in ("studies", "datasets"):
        return {stage for stage, _ in jobs}
    users = {name: study["dataset"] for name, study in raw["studies"].items()}
    if path[0] == "datasets":
        read = {"prepare", "calibrate", "tabulate"}
        return read if path[1] in users.values() else {"prepare"}
    owners = (path[1], users[path[1]])
    return {"tabulate"} | {stage for stage, name in jobs if name.split("/")[0] in owners}


def by_place() -> dict[str, list[tuple[Path, Any]]]:
    """The fields of the configuration by section and name."""
    raw, found = configuration(), {}
    for path, annotation in fields(load(raw)):
        place = f"{section(path, raw)}.{path[-1]}".removeprefix(".")
        found.setdefault(place, []).append((path, annotation))
    return {place: every for place, every in found.items() if place not in ONE_VALUE}


read = functools.cache(yaml.load)


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    """Read the large tables of the project once, and keep no plan."""
    monkeypatch.setattr(yaml, "load", read)
    yield
    for method in vars(Plan).values():
        if hasattr(method, "cache_clear"):
            method.cache_clear()


@pytest.fixture(scope="module")
def before():
    return specifications(Plan(configuration(), ROOT))


@pytest.mark.parametrize("place", by_place())
def test_a_field_changes_exactly_the_jobs_that_depend_on_it(place, before):
    raw, tried = configuration(), 0
    part, _, name = place.rpartition(".")
    said = [stages for names, stages in STALE[part].items() if name in names.split()]
    assert said, f"{place} is not in STALE: which jobs depend on it?"
    for path, annotation in by_place()[place]:
        if tried == MOST or not (after := changed(raw, path, annotation)):
            continue
        tried += 1
        jobs = {job for job in before | after if before.get(job) != after.get(job)}
        expected = set(said[0].split()) & stages_of(path, before | after, raw)
        if {name for stage, name in before.keys() ^ after.keys() if stage == "tabulate"}:
            # There is one table more or less, and the report lists them.
            expected.add("build_report")
        assert {stage for stage, _ in jobs} == expected, path
    assert tried, f"no other valid value of {place} was found: write one into OTHER"


def test_every_field_that_is_classified_exists():
    there = set(by_place())
    for part, groups in STALE.items():
        for name in " ".join(groups).split():
            assert f"{part}.{name}".removeprefix(".") in there


@pytest.mark.parametrize("preset", [None, "demo", "open"])
def test_a_key_of_a_study_s_specifications_means_one_setting(preset):
    """The audit puts together what the records of a study's runs say."""
    plan = Plan(raw_config(preset), ROOT)
    for name, study in plan.config.studies.items():
        together: dict[str, Any] = {}
        for role in study_roles(study):
            for key, value in json.loads(plan.train_spec(name, role)).items():
                if key != "role":
                    assert together.setdefault(key, value) == value, (name, role, key)


@pytest.mark.parametrize("preset", [None, "demo", "open"])
def test_the_audit_finds_recorded_datasets_as_tables_state_them(preset):
    plan = Plan(raw_config(preset), ROOT)
    for name, dataset in plan.config.datasets.items():
        recorded = json.loads(plan.prepare_spec(name))["dataset"]
        assert unlike(numbers_only(recorded), dataset.model_dump(mode="json")) == [], name
