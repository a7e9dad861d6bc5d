"""An edit in the library makes exactly the outputs of the stages that import it stale."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cch.planning import Plan
from checkout import copy_checkout, run_from
from support import ROOT
from test_workflow import load_tiny, planned

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

MODULE = "\nADDED_BY_A_TEST = 1\n"
COMMENT = "\n# a comment that a test has added\n"


@pytest.fixture(scope="module")
def copied(finished, tmp_path_factory) -> Path:
    """A copy of the finished run, which dry runs do not change."""
    folder = tmp_path_factory.mktemp("stale") / "run"
    shutil.copytree(finished, folder, symlinks=True)
    return folder


def plan_after(copied: Path, checkout: Path, edits: dict[str, str]) -> tuple[dict[str, int], str]:
    """Edit modules of a checkout and return the jobs that Snakemake plans, with its words."""
    for module, text in edits.items():
        path = checkout / "src" / "cch" / module
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    done = run_from(checkout, copied, "-n")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return planned(said), said


def rests_on(plan: Plan, folders: set[str]) -> list[str]:
    """Tables and figures with numbers from any of these folders of the results."""
    return [
        name
        for name, layout in plan.layouts.items()
        if layout.kind != "samples"
        and any(Path(path).parts[2] in folders for path in plan.layout_inputs(name))
    ]


def test_a_checkout_without_an_edit_plans_nothing(copied, tmp_path):
    _, said = plan_after(copied, copy_checkout(tmp_path / "checkout"), {})
    assert "Nothing to be done" in said


def test_comments_and_what_no_number_rests_on_rerun_nothing(copied, tmp_path):
    edits = dict.fromkeys(("degrade.py", "tables/cells.py", "networks.py", "rng.py"), COMMENT)
    edits |= {"progress.py": MODULE, "recompute.py": MODULE}
    _, said = plan_after(copied, copy_checkout(tmp_path / "checkout"), edits)
    assert "Nothing to be done" in said


def test_an_edit_in_training_reruns_training_and_what_is_after_it(copied, tmp_path):
    jobs, _ = plan_after(copied, copy_checkout(tmp_path / "checkout"), {"degrade.py": MODULE})
    plan = Plan(load_tiny(copied), ROOT)
    studies = len(plan.config.studies)
    later = rests_on(plan, {"runs", "information", "calibration"})
    kinds = [plan.layouts[name].kind for name in later]
    jobs.pop("all")
    estimated = jobs.pop("estimate_information")
    assert estimated > studies
    assert jobs == {
        "train_teacher": studies,
        "train_baseline": studies,
        "train_student": studies,
        "train_fusion": sum(study.fusion is not None for study in plan.config.studies.values()),
        "calibrate_estimator": sum(
            len(study.information.calibrated) for study in plan.config.studies.values()
        ),
        "tabulate": len(later),
        "plot_curves": kinds.count("curves"),
        "plot_calibration": kinds.count("calibration"),
        "compare": 1,
        "ledger": 1,
        "build_report": 1,
    }


def test_an_edit_in_estimation_trains_nothing(copied, tmp_path):
    jobs, _ = plan_after(
        copied, copy_checkout(tmp_path / "checkout"), {"information/stage.py": MODULE}
    )
    plan = Plan(load_tiny(copied), ROOT)
    assert set(jobs) == {
        "all", "estimate_information", "calibrate_estimator", "tabulate", "plot_curves",
        "plot_calibration", "compare", "ledger", "build_report",
    }  # fmt: skip
    assert jobs["tabulate"] == len(rests_on(plan, {"information", "calibration"}))


def test_an_edit_in_tables_estimates_and_trains_nothing(copied, tmp_path):
    jobs, _ = plan_after(copied, copy_checkout(tmp_path / "checkout"), {"tables/judged.py": MODULE})
    plan = Plan(load_tiny(copied), ROOT)
    drawn = {"plot_curves", "plot_calibration", "plot_architecture"}
    pages = {"compare", "ledger", "build_report"}
    assert set(jobs) == {"all", "tabulate", *drawn, *pages}
    assert jobs["tabulate"] == sum(layout.kind != "samples" for layout in plan.layouts.values())


def test_an_edit_in_the_theory_reruns_the_theory(copied, tmp_path):
    jobs, _ = plan_after(copied, copy_checkout(tmp_path / "checkout"), {"theory/risk.py": MODULE})
    assert set(jobs) == {"all", "theory_simulate", "theory_tabulate", "plot_theory", "build_report"}


def test_an_edit_in_drawing_draws_again(copied, tmp_path):
    jobs, _ = plan_after(copied, copy_checkout(tmp_path / "checkout"), {"figures.py": MODULE})
    assert not {"tabulate", "compare", "ledger", "train_teacher", "theory_simulate"} & set(jobs)
    drawn = {"plot_curves", "plot_calibration", "plot_samples", "plot_architecture"}
    assert drawn <= set(jobs)
