"""An edit in the library makes exactly the outputs of the stages that import it stale."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from cch.workflow.planning import Plan
from checkout import copy_checkout, run_from
from support import ROOT
from test_workflow import load_tiny, planned

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

PAGES = ("compare", "ledger", "build_report")
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


def tabulated(plan: Plan, folders: set[str] | None = None) -> set[str]:
    """Jobs that make tables with numbers from any of these folders of the results; all if None."""
    return {
        f"tabulate_{bundle.name}"
        for bundle in plan.bundles()
        for name in bundle.layouts
        if folders is None
        or any(Path(path).parts[2] in folders for path in plan.layout_inputs(name))
    }


def test_a_checkout_without_an_edit_plans_nothing(copied, tmp_path):
    _, said = plan_after(copied, copy_checkout(tmp_path / "checkout"), {})
    assert "Nothing to be done" in said


def test_comments_and_what_no_number_rests_on_rerun_nothing(copied, tmp_path):
    edits = dict.fromkeys(
        ("data/degradation.py", "tables/cells.py", "training/networks.py", "data/rng.py"), COMMENT
    )
    edits |= {"base/progress.py": MODULE, "audit/recompute.py": MODULE}
    _, said = plan_after(copied, copy_checkout(tmp_path / "checkout"), edits)
    assert "Nothing to be done" in said


def test_an_edit_in_training_reruns_training_and_what_is_after_it(copied, tmp_path):
    jobs, _ = plan_after(
        copied, copy_checkout(tmp_path / "checkout"), {"data/degradation.py": MODULE}
    )
    plan = Plan(load_tiny(copied), ROOT)
    studies = plan.config.studies
    apart = Counter(
        step.stage for name in studies if not studies[name].together for step in plan.steps(name)
    )
    whole = {f"study_{name}": 1 for name in plan.together()}
    later = tabulated(plan, {"runs", "information", "calibration"})
    assert whole and {"train", "estimate", "calibrate"} == set(apart)
    assert jobs == dict.fromkeys(later, 1) | whole | apart | {
        "compare": 1,
        "ledger": 1,
        "build_report": 1,
        "all": 1,
    }


def test_an_edit_in_estimation_trains_nothing(copied, tmp_path):
    jobs, _ = plan_after(
        copied, copy_checkout(tmp_path / "checkout"), {"information/stage.py": MODULE}
    )
    plan = Plan(load_tiny(copied), ROOT)
    later = tabulated(plan, {"information", "calibration"})
    whole = {f"study_{name}" for name in plan.together()}
    assert set(jobs) == {"all", "estimate", "calibrate", *whole, *later, *PAGES}


@pytest.mark.parametrize("module", ["tables/verdict_cells.py", "tables/figures.py"])
def test_an_edit_in_tables_or_figures_estimates_and_trains_nothing(copied, tmp_path, module):
    jobs, _ = plan_after(copied, copy_checkout(tmp_path / "checkout"), {module: MODULE})
    plan = Plan(load_tiny(copied), ROOT)
    pages = set(PAGES) & set(jobs)
    assert set(jobs) == {"all", *tabulated(plan), "tabulate_theory", *pages}


def test_an_edit_in_the_theory_reruns_the_theory(copied, tmp_path):
    jobs, _ = plan_after(
        copied, copy_checkout(tmp_path / "checkout"), {"paper/theory/risk.py": MODULE}
    )
    assert set(jobs) == {"all", "simulate_theory", "tabulate_theory", "build_report"}
