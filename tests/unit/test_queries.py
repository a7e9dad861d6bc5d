"""Kinds of query: one from outside the package, and which deviations reach a cell."""

from __future__ import annotations

import sys

import pytest

from cch.audit.explain import explain
from cch.base.errors import CchError
from cch.base.files import write_text
from cch.config import load
from cch.data.paired import Contents, Modality, write_paired
from cch.paper.ledger.build import build_ledger
from cch.tables.claims import load_claims
from cch.tables.documents import Deviation, read_document
from cch.tables.layout import Layout, layout_inputs
from cch.tables.queries import KINDS, can_reach, read_query
from cch.tables.queries.base import Query
from cch.tables.spec import table_spec
from cch.tables.write import make
from cch.workflow.planning import Plan
from support import ROOT, raw_config

STUDY = "mnistm-a18"

MODULE = '''
from typing import Literal

from cch.tables.queries import Answer, Query, register


@register
class Widths(Query):
    """Mean number of values of a row over modalities."""

    kind: Literal["widths"]
    modalities: list[str]

    def inputs(self, source):
        return {source.dataset_path}

    def answer(self, source):
        with source.dataset() as dataset:
            shapes = [dataset.values(name)[0].size for name in self.modalities]
        return Answer(values=shapes, aggregation="mean over modalities")

    def depends_on(self, path):
        return path.startswith("dataset.")
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A query in a module of its own, imported from outside the package."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_widths.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    __import__("my_widths")
    yield
    del KINDS["widths"], sys.modules["my_widths"]


def write_dataset(path: str) -> None:
    import numpy as np

    values = {n: Modality(np.zeros((4, w), np.float32)) for n, w in (("a", 2), ("b", 6))}
    write_paired(path, Contents("classification", np.arange(4) % 2, list("abcd"), values, "01"))


def test_a_query_from_outside_the_package_needs_one_registration(toy):
    config, claims = load(raw_config()), load_claims(ROOT / "paper" / "claims.yaml")
    query = {"kind": "widths", "modalities": ["a", "b"]}
    layout = Layout(
        number="Table 99",
        title="Widths",
        study=STUDY,
        rows=[{"key": "all", "label": "all", "cells": {"width": query}}],
        columns=[{"key": "width", "label": "Width"}],
    )
    data = f"results/datasets/{config.studies[STUDY].dataset}.h5"
    assert layout_inputs(layout, config) == [data]
    with pytest.raises(CchError, match=f"widths: needs {data}, which does not exist"):
        list(make(table_spec("widths", layout, config, claims, [])))
    write_dataset(data)
    (made,) = make(table_spec("widths", layout, config, claims, ["zeros"]))
    assert made.inputs == [data]
    document = read_document("results/tables/widths.json")
    cell = document.cells["all/width"]
    assert (cell.value, cell.n, cell.text) == (4.0, 2, "4.0000 ± 2.0000")
    assert document.reaching(cell) == ["zeros"]
    # Reading a document needs no query: explain and the ledger work without the module.
    registered = KINDS.pop("widths")
    assert explain("widths/all/width", "results")["cell"]["value"] == 4.0
    assert build_ledger(claims, {"widths.json": document})["cells"]
    KINDS["widths"] = registered


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"kind": "metrics"}, "there is no query of kind 'metrics'; the nearest are .*metric"),
        ({"kind": "metric", "role": "student"}, "query of kind 'metric', metric: Field required"),
        ({"kind": "count", "parts": ["tset"]}, "query of kind 'count', parts.0: Input should be"),
    ],
)
def test_a_wrong_query_is_one_line(query, words):
    with pytest.raises(CchError, match=f"^Table 9, cell a/b: {words}"):
        read_query(query, "Table 9, cell a/b")


def test_every_query_of_the_configurations_is_registered_and_says_what_it_reads():
    kinds = {
        query.kind
        for plan in (Plan(raw_config(preset), ROOT) for preset in (None, "open"))
        for layout in plan.layouts.values()
        for *_, query in layout.queries(plan.config)
    }
    assert kinds == set(KINDS)
    for kind in KINDS.values():
        assert issubclass(kind, Query)
        assert kind.answer is not Query.answer


DEVIATIONS = [
    Deviation(text="digits of a package, in place of MNIST"),
    Deviation(study=STUDY, path="dataset.alpha", ours=0.4, paper=(0.18,)),
    Deviation(study=STUDY, path="training.epochs", ours=12, paper=(100,)),
    Deviation(study=STUDY, path="distillation.temperatures", ours=[3], paper=([1, 3],)),
    Deviation(study=STUDY, path="degradation.levels", ours=[0, 1.5], paper=([0],)),
    Deviation(study=STUDY, path="seeds", ours=3, paper=(5,)),
    Deviation(study=STUDY, path="information.estimators.0", ours="ksg", paper=("latentmi",)),
    Deviation(study=STUDY, path="information.runs", ours=2, paper=(5,)),
    Deviation(study="another", path="training.epochs", ours=7, paper=(100,)),
    Deviation(study=STUDY, path="degradation.kind", ours="blur", paper=("noise",)),
    Deviation(study=STUDY, path="distillation.reduction", ours="mean", paper=("sum",)),
    Deviation(study=STUDY, path="fusion.dropout", ours=0.5, paper=(0.25,)),
]
PAIR = {"metric": "accuracy", "level": "0", "temperature": 3, "weight": 0.5}


def reaching(query: dict, answered: bool = True) -> list[int]:
    asked = read_query(query, "a cell")
    return [n for n, one in enumerate(DEVIATIONS) if can_reach(one, asked, STUDY, answered)]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({"kind": "metric", "metric": "auc", "role": "baseline", "level": "0"}, [0, 1, 2, 5]),
        ({"kind": "metric", "role": "student", **PAIR}, [0, 1, 2, 5, 9, 10]),
        ({"kind": "metric", "metric": "auc", "role": "teacher"}, [0, 1, 2, 5]),
        ({"kind": "metric", "metric": "auc", "role": "teacher", "level": "0"}, [0, 1, 2, 5, 9]),
        ({"kind": "effect", **PAIR}, [0, 1, 2, 4, 5, 9, 10]),
        ({"kind": "gap", "estimator": "ksg", "level": "0"}, [0, 1, 2, 6, 7, 9]),
        ({"kind": "fusion", "arm": "kd", "metric": "auc"}, [0, 1, 2, 5, 9, 10, 11]),
        ({"kind": "setting", "path": "training.epochs"}, [2]),
        ({"kind": "setting", "path": "dataset.alpha"}, [0, 1]),
        ({"kind": "setting", "path": "distillation.temperatures"}, [3]),
        ({"kind": "count", "parts": ["train"]}, [0, 1]),
        ({"kind": "cases"}, [0, 1]),
    ],
)
def test_only_deviations_that_can_reach_a_cell_are_its_own(query, kept):
    assert reaching(query) == kept


def test_a_cell_that_was_not_run_names_the_grid_that_left_it_out():
    assert {3, 4} <= set(reaching({"kind": "difference", **PAIR}, answered=False))


def test_a_deviation_is_said_from_its_parts():
    assert [deviation.sentence for deviation in DEVIATIONS[:8]] == [
        "digits of a package, in place of MNIST",
        "dataset.alpha: 0.4 (paper: 0.18)",
        "training.epochs: 12 (paper: 100)",
        "distillation.temperatures: 3 (paper: 1, 3)",
        "degradation.levels: 0, 1.5 (paper: 0)",
        "seeds: 3 (paper: 5)",
        "main estimator: ksg (paper: latentmi)",
        "information.runs: 2 (paper: 5)",
    ]
    of_two = Deviation(study=STUDY, path="dataset.test", ours=2000, paper=(1000, 5000))
    assert of_two.sentence == "dataset.test: 2000 (paper: 1000 or 5000)"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read .*No such file.*; build it first"),
        ('{"format": "cch-ta', "is no JSON"),
        ('{"format": "cch-record-1"}', "its format is 'cch-record-1', expected"),
        ('{"format": "cch-table-2", "id": "t"}', "is no table document: it has no 'kind'"),
    ],
)
def test_a_document_that_cannot_be_read_is_one_line(tmp_path, content, words):
    path = tmp_path / "t.json"
    if content is not None:
        write_text(path, content)
    with pytest.raises(CchError, match=words) as error:
        read_document(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
