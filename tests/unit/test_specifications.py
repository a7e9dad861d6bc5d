"""Every field of the configuration is changed in turn: exactly these jobs become stale.

``STALE`` says of every field which stages get another specification when it changes. A field that
is not in it fails the test, and so does one whose change reaches other jobs than it says.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml

from cch.base.errors import CchError
from cch.config import Model, load
from cch.workflow.planning import Plan
from support import ROOT, raw_config

Job = tuple[str, str]
Path = tuple[str, ...]

RUNS = "teacher baseline student fusion"
NETWORKS = "teacher baseline student tabulate"

# By section and fields: the stages whose specification they are part of. Those that a study does
# not have (a selection, fusions, calibrations) are passed over.
STALE: dict[str, dict[str, str]] = {
    "": {
        "results": "tabulate tabulate_null tabulate_theory",
        "resources sources": "tabulate",
        "mirror plugins": "",
    },
    "compute": {"device memory_gb threads jobs_per_gpu": ""},
    "theory": {
        "dimension kappas lambdas sigma_12 sigma_13 sigma_23 teacher_label replications seed": (
            "simulate_theory tabulate_theory"
        )
    },
    "datasets.synthetic": {
        "title": "tabulate",
        "train test features sigma_12 sigma_13 sigma_23 draws seed": "prepare tabulate",
    },
    "datasets.mnistm": {
        "title": "tabulate",
        "digits photographs alpha threshold channels seed": "prepare tabulate",
    },
    "datasets.mosei": {"title": "tabulate", "source length pooled split": "prepare tabulate"},
    "datasets.mosi": {"title": "tabulate", "source": "prepare tabulate"},
    "datasets.tcga": {"title": "tabulate", "cohorts aliquots gene_names": "prepare tabulate"},
    "datasets.tcga.label": {"source sample column classes": "prepare tabulate"},
    "datasets.matrices": {"title": "tabulate"},
    "datasets.matrices.files.*": {
        "file rows values row_names column_names": "prepare tabulate",
    },
    "datasets.matrices.labels": {"file sample label": "prepare tabulate"},
    "studies.*": {
        "title group metric": "tabulate",
        "dataset": f"select {RUNS} tabulate",
        "teacher": "select teacher student fusion tabulate",
        "student": "select baseline student fusion tabulate",
        "seeds split": f"select {RUNS} tabulate",
        "selection": f"select {RUNS} tabulate",
        "inputs": f"{RUNS} tabulate",
        "fusion": "fusion tabulate",
    },
    "studies.*.network": {"hidden activation batch_norm dropout": NETWORKS},
    "studies.*.training": {
        "optimizer learning_rate schedule momentum weight_decay batch_size epochs": NETWORKS
    },
    "studies.*.distillation": {"temperatures weights": "student tabulate"},
    "studies.*.degradation": {
        "kind levels scale": "teacher student tabulate",
        "symbol": "tabulate",
    },
    "studies.*.split": {"test valid stratified": f"select {RUNS} tabulate"},
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
        # Runs hold the representations of these seeds and rows.
        "runs": "teacher baseline tabulate",
        "rows": "teacher baseline estimate calibrate tabulate",
        # The same estimates, by jobs of other names.
        "together": "estimate calibrate tabulate",
        "calibration": "calibrate tabulate",
    },
    "studies.*.information.calibration": {
        "estimators repeats truths shares rank settings": "calibrate tabulate"
    },
}

# Fields of one valid value each: another kind has other keys.
KINDS = {
    "datasets.*.kind",
    "datasets.*.label.kind",
    "studies.*.network.kind",
    "studies.*.split.kind",
}

# Other valid values, where the type and the value that is there say none.
OTHER: dict[str, list[Any]] = {
    "mirror": ["/mirror"],
    "plugins": [[str(ROOT / "tests" / "guard.py")]],
    "sources": [str(ROOT / "workflow" / "sources.yaml")],
    "digits": ["mnist"],
    "photographs": ["bsds500"],
    "source": ["mosei", "tcga-subtypes", "mosei-made"],
    "gene_names": ["gencode-v36-probemap"],
    "cohorts": [{"BRCA": dict.fromkeys(("mrna", "cnv", "rppa"), "tcga-made-cnv")}],
    "dataset": ["mnistm-a18", "other-brca"],
    "teacher": ["audio", "rppa", "c"],
    "student": ["audio", "rppa", "c"],
    "metric": ["auc"],
    "group": ["a-group"],
    "estimators": [["ksg", "latent-light", "mine"], ["ksg"]],
    "options": [{"ksg": {"k": 4}}],
    "settings": [{"ksg": {"k": [3, 5]}}],
    "runs": [1],
}


@functools.cache
def configuration() -> dict[str, Any]:
    """The demo, cut down to a study of every sort, with every key written out."""
    raw = raw_config("demo")
    kept = ("synthetic", "mnistm-a20", "mosei-vision", "brca")
    raw["studies"] = {name: copy.deepcopy(raw["studies"][name]) for name in kept}
    raw["studies"]["brca"]["split"] = {"kind": "random", "test": 0.2, "valid": 0.1}
    raw["studies"]["own"] = copy.deepcopy(raw["studies"]["brca"])
    raw["studies"]["own"] |= {"dataset": "own", "teacher": "a", "student": "b"}
    files = {name: {"file": f"{name}.tsv"} for name in "abc"}
    own = {"kind": "matrices", "title": "Own", "files": files, "labels": {"file": "own.tsv"}}
    raw["datasets"] |= {"own": own, "mosi": {"kind": "mosi"}, "kipan": None, "lihc": None}
    raw["datasets"]["other-brca"] = raw["datasets"]["brca"] | {"aliquots": "mean"}
    return load(raw).model_dump(mode="json")


def specifications(raw: dict[str, Any]) -> dict[Job, Any]:
    """The specification of every job of a configuration, by stage and name."""
    plan = Plan(raw, ROOT)
    jobs: dict[Job, Any] = {
        ("simulate_theory", ""): plan.simulate_spec(),
        ("tabulate_theory", ""): plan.theory_spec(),
        ("tabulate_null", ""): plan.paths.results,
        ("ledger", ""): plan.ledger_spec(),
        ("build_report", ""): plan.report_spec(),
    }
    jobs |= {("prepare", name): plan.prepare_spec(name) for name in plan.config.datasets}
    for dataset, selection in plan.selections:
        jobs["select", f"{dataset}/{selection}"] = plan.select_spec(dataset, selection)
    for name, study in plan.config.studies.items():
        for role in RUNS.split():
            if role != "fusion" or study.fusion:
                jobs[role, name] = plan.train_spec(name, role)
        wanted = study.information
        for job in wanted.jobs(wanted.estimators):
            jobs["estimate", f"{name}/{job}"] = plan.estimate_spec(name, job)
        for job in wanted.jobs(wanted.calibrated) if wanted.calibrated else ():
            jobs["calibrate", f"{name}/{job}"] = plan.calibrate_spec(name, job)
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
        found += [[*value[:-1], *other] for other in ([], [0.65], [3], [0.3])]
    elif isinstance(value, dict):
        found += [{key: f"{part}-other" for key, part in value.items()}]
    found += [None] if type(None) in types else []
    found += ["a-word"] if value is None and str in types else []
    return [other for other in found if other != value]


def changed(raw: dict[str, Any], path: Path, annotation: Any) -> dict[str, Any]:
    """The configuration with another valid value at ``path``."""
    there = raw
    for part in path:
        there = there[part]
    for other in values(path[-1], annotation, there):
        edited = copy.deepcopy(raw)
        place = edited
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = other
        try:
            Plan(edited, ROOT)
        except CchError:
            continue
        return edited
    return {}


EVERY = dict(fields(load(configuration())))


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    """Read the tables of the project once: they are large, and do not change here."""
    monkeypatch.setattr(yaml, "safe_load", functools.cache(yaml.safe_load))


@pytest.fixture(scope="module")
def before():
    return specifications(configuration())


@pytest.mark.parametrize("path", EVERY, ids=".".join)
def test_a_field_changes_exactly_the_jobs_that_depend_on_it(path, before):
    raw = configuration()
    place = ".".join([path[0], "*", *path[2:]])
    stages = {
        stage
        for names, stages in STALE.get(section(path, raw), {}).items()
        if path[-1] in names.split()
        for stage in stages.split()
    }
    if place in KINDS:
        return
    assert any(path[-1] in names.split() for names in STALE.get(section(path, raw), {})), place
    edited = changed(raw, path, EVERY[path])
    assert edited, "no other valid value was found: write one into OTHER"
    after = specifications(edited)
    jobs = {job for job in before | after if before.get(job) != after.get(job)}
    assert {stage for stage, _ in jobs} == stages
