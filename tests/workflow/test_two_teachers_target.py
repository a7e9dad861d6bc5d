"""A study of two teachers through the real rules, its audit, and one of its cells made again."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from cch.audit.explain import explain
from cch.audit.explain_tree import as_tree
from cch.audit.recompute import recompute
from cch.audit.run import audit
from harness import RESULTS, snakemake, write_config
from support import raw_config

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

TABLE, FUSION = "teachers-brca", "fusion-brca"


def test_a_study_of_two_teachers_to_its_table_and_back(tmp_path, monkeypatch):
    gone = dict.fromkeys(name for name in raw_config("demo")["studies"] if name != "brca")
    change = {"second_teacher": "rppa", "seeds": 3}
    without = dict.fromkeys(("latent-light", "mine"))
    change["information"] = {"estimators": ["ksg"], "options": without, "calibration": None}
    write_config(tmp_path, {"studies": gone | {"brca": change}})
    snakemake(tmp_path, TABLE, FUSION)
    monkeypatch.chdir(tmp_path)
    assert audit(RESULTS).lines(strict=True) == []
    document = json.loads((tmp_path / RESULTS / "tables" / f"{TABLE}.json").read_text())
    columns = [column["key"] for column in document["columns"]]
    assert columns[:4] == ["baseline", "teacher", "second-teacher", "chosen"]
    assert {"first", "second", "mean", "better"} == {key.split("-")[1] for key in columns[4:]}
    mean = next(key for key in columns if key.startswith("effect-mean"))
    assert document["cells"][f"0.8/{mean}"]["interval"]
    done = recompute(f"{TABLE}/0.8/chosen", RESULTS)
    assert done.identical, done.lines()
    # Of each seed both teachers, and students of the second, of the mean and of the better.
    assert sum(part.kind == "run" for part in done.parts) == 3 + 3 + 9
    found = explain(f"{TABLE}/0/chosen", RESULTS, full=True)
    assert found["whole"]
    assert sum(found["files"][0]["chosen"]["0"].values()) == 3
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(as_tree(found))
    assert "better teacher on validation rows, seeds: level 0 mrna" in console.export_text()
