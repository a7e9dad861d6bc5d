"""A study of two teachers through the real rules, its audit, and two of its cells made again."""

from __future__ import annotations

import json

import pytest

from cch.audit.explain import explain
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
    runs = {
        f"{TABLE}/0.8/chosen": 3 + 3 + 9,
        f"{TABLE}/0.8/{mean}": 3 + 3 + 3 + 18,
        f"{FUSION}/accuracy/difference-three": 12,
    }
    for cell, trained in runs.items():
        done = recompute(cell, RESULTS)
        assert done.identical, done.lines()
        assert sum(part.kind == "run" for part in done.parts) == trained
    found = explain(f"{TABLE}/0/chosen", RESULTS, full=True)
    assert found["whole"]
    assert sum(found["files"][0]["chosen"]["0"].values()) == 3
