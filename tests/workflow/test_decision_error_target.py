"""The target ``decision-error``: no data, from a cell back to a keyed generator."""

from __future__ import annotations

import json

import pytest

from cch.audit.explain import explain
from cch.audit.recompute import recompute
from cch.audit.run import audit
from harness import RESULTS, snakemake, write_config
from test_workflow import leaves, planned

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

SMALL = {
    **{"rows": [60, 100], "columns": [4], "ranks": [2], "gaps": [-0.25, 1], "repeats": 3},
    "teacher_knows_label": [False, True],
}


def test_decision_errors_from_generator_to_figure(tmp_path, monkeypatch):
    asked = SMALL | {"estimators": ["ksg", "infonce"]}
    write_config(tmp_path, {"decision_error": asked})
    done = snakemake(tmp_path, "-n", "decision-error")
    assert planned(done.stdout + done.stderr) == {
        "estimate_decision": 2,
        "tabulate_decision": 1,
        "decision-error": 1,
    }
    done = snakemake(tmp_path, "decision-error")
    assert "fetch_raw" not in done.stdout + done.stderr
    for suffix in ("json", "csv", "md", "tex"):
        assert (tmp_path / RESULTS / f"tables/decision-error.{suffix}").stat().st_size > 100
    assert (tmp_path / RESULTS / "figures/decision-error.png").stat().st_size > 1000
    document = json.loads((tmp_path / RESULTS / "tables/decision-error.json").read_text())
    assert len(document["cells"]) == (4 + 2) * 2 * 2
    monkeypatch.chdir(tmp_path)
    assert audit(RESULTS).lines(strict=True) == []
    for cell in ("n60-d4-r2-g-0.25/ksg-counts", "n100-d4-r2-g1-known/infonce"):
        found = explain(f"decision-error/{cell}", RESULTS)
        assert found["whole"]
        assert {end["generator"]["kind"] for end in leaves(found["files"])} == {
            "worlds of known gap"
        }
    again = recompute(f"decision-error/{cell}", RESULTS)
    assert again.identical
    assert {part.what.split(", ")[1] for part in again.parts} == {cell.split("/")[0]}

    # Another estimator makes its own estimates and the table.
    write_config(tmp_path, {"decision_error": asked | {"estimators": ["ksg", "infonce", "mine"]}})
    done = snakemake(tmp_path, "-n", "decision-error")
    assert planned(done.stdout + done.stderr)["estimate_decision"] == 1
