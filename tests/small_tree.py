"""A small finished run, made by the library in seconds without Snakemake.

Where it is not ``trained``, the outputs of networks and estimates are drawn instead.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.files import digest, sha256_file, write_json, write_text
from cch.config.specs import CalibrateSpec, EstimateSpec, read_train_spec
from cch.data.paired import Contents, Modality, write_paired
from cch.information.calibration_model import Case, CaseResult
from cch.information.calibration_stage import calibrate
from cch.information.estimator import get_estimator
from cch.information.stage import estimate
from cch.paper.ledger.build import build_ledger
from cch.paper.ledger.render import to_markdown
from cch.records.record import Recorder
from cch.tables import render
from cch.tables.documents import read_document
from cch.tables.spec import TableSpec
from cch.tables.write import make
from cch.training.metrics import evaluate
from cch.training.plan import baseline_runs, level_name, run_id, student_runs, teacher_runs
from cch.training.stage import train
from cch.training.store import write_runs
from cch.workflow.planning import Plan
from support import ROOT, overlay, raw_config

STUDY, RESULTS = "mnistm-a18", "results/small"
ESTIMATOR = "ksg"
TABLES = (
    *("table12", "table13"),
    *(f"{kind}-{STUDY}" for kind in ("sweep", "criterion", "calibration", "sensitivity")),
)
CHANGE: dict[str, Any] = {
    "results": RESULTS,
    "studies": {
        STUDY: {
            "network": {"hidden": [8]},
            "training": {"epochs": 5, "learning_rate": 0.1},
            "seeds": 3,
            "distillation": {"temperatures": [3], "weights": [0.5]},
            "degradation": {"levels": [0, 1.5]},
            "information": {
                "estimators": ["ksg"],
                "runs": 2,
                "calibration": {"repeats": 3, "truths": [1], "shares": [0.5]},
            },
        }
    },
}
TRAIN, TEST, CLASSES = 60, 60, 3


def make_tree(trained: bool = False) -> Plan:
    """Write a run's files with their records into the working folder."""
    raw = overlay(raw_config("demo"), CHANGE)
    raw["studies"][STUDY]["information"]["options"] = {}
    plan = Plan(raw, ROOT)
    # Its settings are those of the one study here.
    plan.layouts["table12"] = plan.layouts["table12"].model_copy(update={"study": STUDY})
    rng = np.random.Generator(np.random.PCG64(0))
    data = plan.paths.dataset(STUDY)
    _write_raw_and_dataset(plan, data, rng)
    if trained:
        _train(plan, data)
        _estimate(plan)
    else:
        write_drawn_runs(plan, STUDY, data, rng)
        write_drawn_estimates(plan, STUDY, rng)
        write_drawn_bounds(plan, STUDY)
        _write_calibration(plan, rng)
    for name in TABLES:
        _write_table(plan, name)
    documents = [plan.paths.table(name) for name in TABLES[:2]]
    pages = [read_document(path) for path in documents]
    write_text(plan.comparison, render.to_comparison(pages))
    record(plan, "compare", documents, [plan.comparison])
    _write_ledger(plan, documents)
    return plan


def _write_ledger(plan: Plan, paths: list[str]) -> None:
    documents = {path: read_document(path) for path in paths}
    ledger = build_ledger(plan.claims, documents)
    write_json(plan.ledger[0], ledger)
    write_text(plan.ledger[1], to_markdown(ledger))
    record(plan, "ledger", paths, plan.ledger, plan.ledger_digest())


def record(
    plan: Plan, script: str, inputs: list[str], outputs: list[str], spec: str = "", **facts: Any
) -> None:
    params = {"spec": spec, "code": plan.code(f"{script}.py", spec)}
    recorder = Recorder(script, ROOT / "workflow" / "scripts" / f"{script}.py", inputs, params)
    recorder.facts.update(facts)
    recorder.write(Path(outputs[0]).with_suffix(".record.json"), outputs)


def _write_raw_and_dataset(plan: Plan, data: str, rng: np.random.Generator) -> None:
    raw = "resources/digits/digits.csv.gz"
    Path(raw).parent.mkdir(parents=True)
    Path(raw).write_bytes(b"some digits")
    about = {
        "source": "digits",
        "file": "digits.csv.gz",
        "address": "https://example.org/digits.csv.gz",
        "published_addresses": [],
        "sha256": sha256_file(raw),
        "bytes": 11,
        "retrieved": "2026-11-25T00:00:00+00:00",
        "licence": "CC0",
    }
    script = ROOT / "workflow" / "scripts" / "fetch_raw.py"
    fetched = Recorder("fetch_raw", script, [], {"entry": json.dumps({"sha256": about["sha256"]})})
    fetched.facts["raw"] = about
    fetched.write(f"{raw}.record.json", [raw])
    write_json("resources/sources.lock", {"digits/digits.csv.gz": {"sha256": about["sha256"]}})
    rows = TRAIN + TEST
    split = ["train"] * TRAIN + ["test"] * TEST
    names = [str(number) for number in range(CLASSES)]
    label = np.arange(rows) % CLASSES
    values = {}
    for name, signal in (("mnist", 1.0), ("mnistm", 0.3)):
        images = rng.random((rows, 6, 6), np.float32)
        images[:, 0] += (signal * label[:, None]).astype(np.float32)
        values[name] = Modality(images)
    write_paired(
        data, Contents("classification", label, list(map(str, range(rows))), values, names, split)
    )
    record(plan, "prepare_dataset", [raw], [data], plan.prepare_spec(STUDY))


def _train(plan: Plan, data: str) -> None:
    teacher = plan.paths.runs(STUDY, "teacher")
    for role in ("teacher", "baseline", "student"):
        path, given = plan.paths.runs(STUDY, role), plan.train_spec(STUDY, role)
        facts = train(
            read_train_spec(given), data, path, compute=plan.config.compute, teacher=teacher
        )
        inputs = [data, teacher] if role == "student" else [data]
        record(plan, "train", inputs, [path], given, threads=1, **facts)


def _estimate(plan: Plan) -> None:
    runs, compute = plan.representations(STUDY), plan.config.compute
    for name in (ESTIMATOR, *plan.config.studies[STUDY].information.bounds):
        path, given = plan.paths.information(STUDY, name), plan.estimate_spec(STUDY, name)
        estimate(EstimateSpec.model_validate_json(given), runs, path, compute)
        record(plan, "estimate", list(runs.values()), [path], given, device="cpu")
    path, given = plan.paths.calibration(STUDY, ESTIMATOR), plan.calibrate_spec(STUDY, ESTIMATOR)
    calibrate(CalibrateSpec.model_validate_json(given), runs, path, compute)
    record(plan, "calibrate", list(runs.values()), [path], given, device="cpu")


def write_drawn_runs(
    plan: Plan, name: str, data: str, rng: np.random.Generator, classes: int = CLASSES
) -> None:
    """Runs of a study whose outputs are drawn, in favour of the right class."""
    study, known = plan.config.studies[name], sha256_file(data)
    label = np.tile(np.arange(TRAIN, TRAIN + TEST) % classes, (study.seeds, 1))
    header = {"study": name, "task": "classification", "train_rows": TRAIN, "test_rows": TEST}
    made = {"teacher": teacher_runs, "baseline": baseline_runs, "student": student_runs}
    for role, every in made.items():
        given = plan.train_spec(name, role)
        spec = read_train_spec(given)
        runs = every(spec)
        logits = rng.normal(size=(len(runs), TEST, classes)).astype(np.float32)
        logits += 2 * np.eye(classes, dtype=np.float32)[label[0]]
        entries = [
            {
                "id": run_id(run, spec, known),
                "role": role,
                "modality": run.modality,
                "seed": run.seed,
                "level": None if run.level is None else level_name(run.level),
                "temperature": run.temperature,
                "weight": run.weight,
                "diverged": None,
                "metrics": evaluate(outputs, label[run.seed], "classification"),
            }
            for run, outputs in zip(runs, logits, strict=True)
        ]
        path = plan.paths.runs(name, role)
        rows = np.tile(np.arange(TRAIN, TRAIN + TEST), (study.seeds, 1))
        arrays = {"logits": logits, "test_label": label, "test_rows": rows}
        arrays["information_label"] = label[: study.information.runs]
        write_runs(path, header | {"role": role}, entries, arrays)
        inputs = [data] if role != "student" else [data, plan.paths.runs(name, "teacher")]
        record(plan, "train", inputs, [path], given, device="cpu")


def write_drawn_bounds(plan: Plan, name: str) -> None:
    """Bounds of a study: lower ones around two nats, upper ones around half a nat."""
    study, rng = plan.config.studies[name], np.random.Generator(np.random.PCG64(7))
    for estimator in study.information.bounds:
        found = []
        for quantity in get_estimator(estimator).quantities:
            upper = quantity == "label-given-teacher"
            for level in study.degradation.levels:
                for seed in range(study.information.runs):
                    mean = float(rng.normal(0.5 if upper else 2, 0.1))
                    about = [name, estimator, quantity, level, seed]
                    entry = {"id": digest(about)[:16], "estimator": estimator, "seed": seed}
                    entry |= {"quantity": quantity, "level": level_name(level), "runs": []}
                    entry |= {"value": mean + (0.1 if upper else -0.1), "confidence": 0.975}
                    entry |= {"kind": "upper" if upper else "lower", "n": TEST, "flags": []}
                    found.append(entry | {"fit": {"mean": mean, "degrees_of_freedom": 17.0}})
        path = plan.paths.information(name, estimator)
        write_json(path, {"format": "cch-estimates-1", "unit": "nats", "estimates": found})
        inputs = list(plan.representations(name).values())
        record(plan, "estimate", inputs, [path], plan.estimate_spec(name, estimator))


def write_drawn_estimates(plan: Plan, name: str, rng: np.random.Generator) -> None:
    """Estimates of a study by all its estimators, drawn around one nat."""
    study = plan.config.studies[name]
    every = [level_name(level) for level in study.degradation.levels]
    levels = {"teacher-student": every, "student-label": [None], "teacher-label": ["0"]}
    for estimator in study.information.estimators:
        found = [
            {
                "id": digest([name, estimator, quantity, level, seed])[:16],
                "estimator": estimator,
                "quantity": quantity,
                "level": level,
                "seed": seed,
                "runs": [],
                "value": float(rng.normal(1, 0.2)),
                "flags": [],
            }
            for quantity, at in levels.items()
            for level in at
            for seed in range(study.information.runs)
        ]
        path = plan.paths.information(name, estimator)
        write_json(path, {"format": "cch-estimates-1", "unit": "nats", "estimates": found})
        inputs = list(plan.representations(name).values())
        record(plan, "estimate", inputs, [path], plan.estimate_spec(name, estimator))


def _write_calibration(plan: Plan, rng: np.random.Generator) -> None:
    ts, sl = "teacher-student", "student-label"
    of_label = {"class_counts": (10, 10, 10), "ceiling": math.log(3)}
    cases = [
        (level, Case(kind, ts, truth, 30, 4, 4))
        for level in map(level_name, plan.config.studies[STUDY].degradation.levels)
        for kind, truth in (("permutation-null", 0.0), ("gaussian", 1.0))
    ]
    cases.append((None, Case("permutation-null", sl, 0.0, 30, 4, **of_label)))
    cases.append((None, Case("class-mixture", sl, 0.55, 30, 4, share=0.5, **of_label)))
    results = [
        {"id": digest(index)[:16], "estimator": ESTIMATOR, "level": level}
        | CaseResult(case, (case.truth + rng.normal(0, 0.1, 3)).tolist()).to_json()
        for index, (level, case) in enumerate(cases)
    ]
    path = plan.paths.calibration(STUDY, ESTIMATOR)
    write_json(path, {"format": "cch-calibration-2", "unit": "nats", "results": results})
    inputs = list(plan.representations(STUDY).values())
    record(plan, "calibrate", inputs, [path], plan.calibrate_spec(STUDY, ESTIMATOR))


def _write_table(plan: Plan, name: str) -> None:
    given = plan.table_spec(name)
    for made in make(TableSpec.model_validate_json(given)):
        record(plan, "tabulate", made.inputs, made.outputs, given)
