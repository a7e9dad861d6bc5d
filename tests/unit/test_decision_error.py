"""Decision errors: known worlds, known answers, the table, and what the audit finds in it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import binomtest

from cch.audit.derive_generated import _exact_interval
from cch.audit.run import audit
from cch.base.errors import CchError
from cch.base.files import write_json, write_text
from cch.config import DecisionError, load
from cch.config.specs import DecisionSpec, DecisionTableSpec
from cch.data.rng import numpy_generator
from cch.information import decision_error
from cch.information.decision_error import FORMAT, draw, estimate_world
from cch.information.estimator import CheckedEstimator, Measured
from cch.information.gaussian import mutual_information_nats
from cch.information.known import gap_worlds, mixture_information
from cch.information.worlds import worlds
from cch.records.record import Recorder
from cch.tables import render
from cch.tables.decision_error import decision_document
from cch.tables.documents import write_document
from cch.tables.figures import draw_decision_error
from cch.tables.outcomes import Outcomes, clopper_pearson
from cch.workflow.planning import Plan
from support import ROOT, overlay, raw_config

SMALL = {"rows": [60, 90], "columns": [4], "ranks": [2], "gaps": [-0.2, 0.5], "repeats": 4}
"""Two numbers of rows, a gap of each sign."""


@dataclass(frozen=True)
class Oracle(CheckedEstimator):
    """Says the truth of one world, or the opposite gap, or none; it looks at no sample."""

    name: ClassVar[str] = "ksg"
    gap: float = 0.0
    fails: bool = False

    @property
    def version(self):
        return "1"

    def _measure(self, sample, seed):
        own = 0.3
        value = own if sample.discrete else own + self.gap
        return Measured(math.nan if self.fails else value)


@dataclass(frozen=True)
class OracleBound(CheckedEstimator):
    """A lower bound at ``value``, or an upper bound of H(Y | T) at ln 2, with a small error."""

    quantities: ClassVar[tuple[str, ...]] = ("teacher-student", "teacher-student-given-label")
    name: ClassVar[str] = "infonce"
    kind: ClassVar[str] = "lower"
    confidence: ClassVar[float] = 0.975
    value: float = 0.0
    fails: bool = False
    spread: float = 0.0

    @property
    def version(self):
        return "1"

    def _measure(self, sample, seed):
        value = self.value + self.spread * numpy_generator(seed).normal()
        error = 0.01 if sample.y.ndim == 2 else -0.01
        fit = {"mean": value + error, "degrees_of_freedom": 30.0}
        return Measured(math.nan if self.fails else value, fit)


def results(tmp_path: Path, answer, estimator="ksg") -> tuple[dict[str, str], DecisionTableSpec]:
    """A file of estimates by what ``answer`` gives of each small world, and its table."""
    entry = DecisionError(**SMALL, estimators=[estimator])
    spec = DecisionSpec(estimator=estimator, **entry.model_dump(exclude={"estimators"}))
    made = [
        one
        for world in worlds(spec)
        for one in estimate_world(world, spec, lambda name, world=world: answer(world, name))
    ]
    path = tmp_path / f"{estimator}.json"
    write_json(path, {"format": FORMAT, "unit": "nats", "results": made})
    return {estimator: str(path)}, DecisionTableSpec(entry=entry, results="results")


def counted(files, spec, estimator="ksg") -> set[str]:
    cells = decision_document(files, spec).cells
    return {cell.text for key, cell in cells.items() if key.endswith(f"{estimator}-counts")}


# Worlds


@pytest.mark.parametrize(("gap", "classes", "knows"), [(-0.2, 2, False), (0.7, 3, True)])
def test_a_world_has_the_information_that_it_states(gap, classes, knows):
    truth, n, d = 0.4, 20_000, 6
    (teacher,), (student,), (labels,) = gap_worlds(
        n, d, gap, truth, keys=[("test",)], rank=2, classes=classes, teacher_knows_label=knows
    )
    means = np.stack([teacher[labels == one].mean(axis=0) for one in range(classes)])
    distance = np.linalg.norm(means[0] - means[1])
    assert (distance > 1.5) if knows else (distance < 0.1)
    # Where the teacher determines the label, the gap is what is shared within the classes.
    within = [side - _class_means(side, labels) if knows else side for side in (teacher, student)]
    if knows:
        axes = np.linalg.svd(within[0], full_matrices=False)
        assert (axes[1] < 1e-6).sum() == classes - 1
        within[0] = within[0] @ axes[2][: d - classes + 1].T
    first = within[0].shape[1]
    shared = np.cov(np.hstack(within).T)
    found = mutual_information_nats(shared, slice(0, first), slice(first, first + d))
    assert found == pytest.approx(gap if knows else gap + truth, abs=0.015)
    means = np.stack([student[labels == one].mean(axis=0) for one in range(classes)])
    within = np.cov((student - means[labels]).T)
    apart = means[0] - means[1]
    separation = math.sqrt(apart @ np.linalg.solve(within, apart))
    known = mixture_information(np.full(classes, 1 / classes), separation, classes - 1)
    assert known == pytest.approx(truth, abs=0.02)
    assert np.ptp(np.bincount(labels)) <= 1


def _class_means(values, labels):
    return np.stack([values[labels == one].mean(axis=0) for one in range(labels.max() + 1)])[labels]


def test_worlds_are_independent_of_each_other_and_of_the_chunk(monkeypatch):
    spec = DecisionSpec(estimator="ksg", **SMALL)
    first, second = worlds(spec)[:2]
    assert not np.allclose(draw(first, range(1))[0][0], draw(second, range(1))[0][0, :60])
    whole = list(estimate_world(first, spec))
    monkeypatch.setattr(decision_error, "CHUNK_BYTES", 1)
    assert list(estimate_world(first, spec)) == whole
    assert [one["quantity"] for one in whole] == ["teacher-student", "student-label"]
    assert {len(one["values"]) for one in whole} == {4}
    assert len({one["id"] for one in whole}) == 2


def test_a_teacher_that_determines_the_label_has_no_gap_below_0():
    entry = DecisionError(**SMALL, teacher_knows_label=[False, True])
    assert [world.name.removeprefix("n60-d4-r2-") for world in worlds(entry)[::2]] == [
        "g-0.2",
        "g0.5",
        "g0.5-known",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gaps": [0]}, "gaps: 0 cannot be used"),
        ({"gaps": [-0.4]}, "gaps: -0.4 cannot be used; take values of at least -student_label"),
        ({"repeat": 3}, "decision_error.repeat: there is no such key; did you mean 'repeats'"),
        ({"gaps": [1000]}, "gaps: 1000 is too large for 2 canonical pairs"),
        ({"student_label": 0.7}, "student_label: 0.7 nats is not below 99 % of the entropy"),
        ({"gaps": [-0.1], "teacher_knows_label": [True]}, "gaps: none is above 0"),
        ({"columns": [4], "ranks": [4]}, "columns: 4 are too few for 4 canonical pairs"),
        ({"estimators": ["classifier"]}, "classifier gives no bound of I"),
        ({"estimators": ["kgs"]}, "did you mean 'ksg'"),
        ({"rows": [40]}, "rows"),
        ({"rows": [100, 100]}, "list every value once"),
    ],
)
def test_worlds_that_cannot_be_are_refused_in_one_line(change, words):
    with pytest.raises(CchError, match=words) as error:
        load(overlay(raw_config("demo"), {"decision_error": change}))
    assert "\n" not in str(error.value)


# Answers


def test_an_estimator_that_says_the_truth_is_never_wrong(tmp_path):
    found = results(tmp_path, lambda world, name: Oracle(world.gap))
    assert counted(*found) == {"0 / 0 / 4"}
    cell = decision_document(*found).cells["n60-d4-r2-g-0.2/ksg"]
    assert cell.value == 0
    assert cell.text == "0.00 [0.00, 0.60]"
    assert [member.value for member in cell.members] == pytest.approx([-0.2] * 4)


def test_an_estimator_that_says_the_opposite_is_always_wrong(tmp_path):
    found = results(tmp_path, lambda world, name: Oracle(-world.gap))
    assert counted(*found) == {"4 / 0 / 0"}
    assert decision_document(*found).cells["n90-d4-r2-g0.5/ksg"].value == 1


def test_an_estimator_that_says_zero_decides_nothing(tmp_path):
    assert counted(*results(tmp_path, lambda world, name: Oracle())) == {"0 / 4 / 0"}


def test_an_estimator_that_fails_has_no_number(tmp_path):
    document = decision_document(*results(tmp_path, lambda world, name: Oracle(fails=True)))
    assert {cell.text for cell in document.cells.values()} == {"–"}
    assert render.to_markdown(document)
    draw_decision_error(document)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        # Below H(Y) = 0.693 nothing is said; above it "holds", which is wrong of a gap below 0.
        (0.5, {"0 / 4 / 0"}),
        (1.2, {"0 / 0 / 4", "4 / 0 / 0"}),
    ],
)
def test_bounds_decide_as_the_criterion_does(tmp_path, value, said):
    def answer(world, name):
        return OracleBound(math.log(2) if name == "classifier" else value)

    assert counted(*results(tmp_path, answer, "infonce"), "infonce") == said


def test_bounds_that_fail_say_nothing(tmp_path):
    found = results(tmp_path, lambda world, name: OracleBound(fails=True), "infonce")
    assert counted(*found, "infonce") == {"–"}


def test_ksg_is_right_in_few_columns_and_wrong_in_many():
    """In 64 columns KSG loses more of what teacher and student share than of the label."""
    found = {}
    for columns in (3, 64):
        one = {"rows": [400], "columns": [columns], "ranks": [2], "gaps": [0.5], "repeats": 8}
        spec = DecisionSpec(estimator="ksg", **one)
        mutual, own = (one["values"] for one in estimate_world(worlds(spec)[0], spec))
        found[columns] = Outcomes.of(np.subtract(mutual, own).tolist(), 0.5, False).wrong
    assert found[3] == 0
    assert found[64] >= 6


# Counting


@pytest.mark.parametrize(
    ("count", "n"), [(0, 1), (0, 20), (1, 20), (7, 50), (20, 20), (99, 100), (600, 1100)]
)
def test_the_interval_is_clopper_and_pearsons(count, n):
    known = binomtest(count, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(count, n) == pytest.approx((known.low, known.high), abs=1e-12)
    assert _exact_interval(count, n) == pytest.approx((known.low, known.high), abs=1e-9)


def test_outcomes_are_read_as_they_are_written():
    found = Outcomes.of([-0.1, 0.2, 0.0, 0.3], 0.25, False)
    assert (found.text, found.share) == ("1 / 1 / 2", 0.25)
    assert Outcomes.read(found.text) == found
    assert Outcomes.of([-0.1, 0.2, 0.0, 0.3], -0.25, True).text == "2 / 2 / 0"


# Table, figure, audit, plan


def test_the_audit_derives_every_cell_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def noisy(world, name):
        return OracleBound(math.log(2) if name == "classifier" else 0.7, spread=0.05)

    files, spec = results(Path(), noisy, "infonce")
    point, _ = results(Path(), lambda world, name: Oracle(-0.1))
    files |= point
    spec = spec.model_copy(
        update={"entry": spec.entry.model_copy(update={"estimators": ["infonce", "ksg"]})}
    )
    script = ROOT / "workflow" / "scripts" / "tabulate_decision.py"
    for name, path in files.items():
        new = Path(f"results/calibration/decision-error/{name}.json")
        new.parent.mkdir(parents=True, exist_ok=True)
        files[name] = str(Path(path).rename(new))
        recorder = Recorder("estimate_decision", script, [], {})
        recorder.facts["generator"] = {"kind": "worlds of known gap", "seed": 0}
        recorder.write(f"{new.with_suffix('')}.record.json", [str(new)])
    document, table = decision_document(files, spec), "results/tables/decision-error"
    write_document(f"{table}.json", document)
    write_text(f"{table}.md", render.to_markdown(document))
    outputs = [f"{table}.json", f"{table}.md"]
    Recorder("tabulate_decision", script, [*files.values()], {}).write(
        f"{table}.record.json", outputs
    )
    done = audit("results")
    assert done.lines(strict=True) == []
    assert done.counts["derived"] == len(document.cells) == 16
    content = json.loads(Path(f"{table}.json").read_text())
    content["cells"]["n60-d4-r2-g0.5/infonce-counts"]["value"] = "9 / 1 / 3"
    content["cells"]["n90-d4-r2-g0.5/ksg"]["value"] = 0.0
    write_json(f"{table}.json", content)
    said = audit("results").lines()
    assert any(line.startswith("decision-error/n60-d4-r2-g0.5/infonce-counts: ") for line in said)
    assert any(line.startswith("decision-error/n90-d4-r2-g0.5/ksg: value is 0.0") for line in said)


def test_the_figure_has_a_panel_a_gap_and_a_line_an_estimator(tmp_path):
    document = decision_document(*results(tmp_path, lambda world, name: Oracle(-world.gap)))
    figure = draw_decision_error(document)
    assert len(figure.axes) == 2
    for axis in figure.axes:
        line = axis.get_lines()[0]
        assert line.get_xdata().tolist() == [60, 90]
        assert line.get_ydata().tolist() == [1, 1]


def test_it_is_a_target_and_part_of_all():
    plan = Plan(raw_config("demo"))
    (files,) = plan.decision_targets().values()
    assert set(files) <= set(plan.everything())
    assert [Path(path).stem for path in plan.decision_inputs()] == ["ksg"]
    study = {"decision-error": raw_config("demo")["studies"]["synthetic"]}
    with pytest.raises(CchError, match="is also the name of the decision error"):
        Plan(overlay(raw_config("demo"), {"studies": study}))
