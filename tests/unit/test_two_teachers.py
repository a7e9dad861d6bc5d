"""Two teachers and one student: known targets, the choice, and what a study of two makes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from scipy.special import softmax

from cch.audit.derive_teachers import better_teacher
from cch.base.errors import CchError
from cch.config import Compute, Study, load
from cch.config.specs import read_train_spec, train_spec
from cch.config.work import Size
from cch.data.paired import Contents, Modality, write_paired
from cch.data.rng import numpy_generator
from cch.training.stage import train
from cch.training.store import RunsFile
from cch.training.two_teachers import index_of_better, mean_targets, validation_split
from cch.training.work import training_work
from cch.workflow.planning import Plan
from support import ROOT, overlay, raw_config

CPU = Compute(device="cpu", threads=1)
ROLES = ("teacher", "second-teacher", "student", "two-teachers")
TRAIN, TEST = 90, 30
STUDY = {
    "title": "cohort",
    "dataset": "cohort",
    "teacher": "mrna",
    "second_teacher": "rppa",
    "student": "cnv",
    "network": {"hidden": [6], "activation": "relu"},
    "training": {"optimizer": "adam", "learning_rate": 0.02, "batch_size": 16, "epochs": 3},
    "distillation": {"temperatures": [2.0], "weights": [0.5]},
    "degradation": {"kind": "noise", "levels": [0, 0.8], "symbol": "noise"},
    "seeds": 3,
    "information": {"estimators": ["ksg"], "runs": 2, "limit": 50},
}


def study(**change) -> Study:
    return Study.model_validate(overlay(STUDY, change))


def contents() -> Contents:
    """Three modalities of one cohort, the first two about equally good."""
    rows = TRAIN + TEST
    generator, label = numpy_generator("two-teachers"), np.arange(rows) % 3
    made = {
        name: generator.normal(size=(rows, 5)) + signal * np.eye(3, 5)[label]
        for name, signal in {"mrna": 2.0, "rppa": 2.0, "cnv": 0.7}.items()
    }
    modalities = {name: Modality(values.astype(np.float32)) for name, values in made.items()}
    names, split = [f"case-{row}" for row in range(rows)], ["train"] * TRAIN + ["test"] * TEST
    return Contents("classification", label, names, modalities, ("a", "b", "c"), split)


def train_all(folder, spec: Study, data: Contents | None = None, roles=ROLES):
    """Train roles of a study in a folder; return the open files by role."""
    folder.mkdir(parents=True, exist_ok=True)
    write_paired(folder / "d.h5", data or contents())
    for role in roles:
        train(
            train_spec("cohort", spec, role),
            folder / "d.h5",
            folder / f"{role}.h5",
            compute=CPU,
            teacher=folder / "teacher.h5",
            second_teacher=folder / "second-teacher.h5",
        )
    return {role: RunsFile(folder / f"{role}.h5") for role in roles}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study of two teachers, trained; nobody may change it."""
    return train_all(tmp_path_factory.mktemp("two"), study())


def students(files, name: str) -> tuple[list[dict], np.ndarray]:
    """The students of one kind and their logits, in order of level and seed."""
    file = files["two-teachers"]
    places = [place for place, run in enumerate(file.runs) if run["targets"] == name]
    return [file.runs[place] for place in places], file.array("logits")[places]


# Targets


def test_the_mean_of_softened_probabilities_is_what_the_mean_targets_soften_to():
    first, second = numpy_generator("logits").normal(scale=4, size=(2, 7, 3))
    mean = mean_targets(first, second, 3.0, "classification")
    wanted = (softmax(first / 3, axis=1) + softmax(second / 3, axis=1)) / 2
    np.testing.assert_allclose(softmax(mean / 3, axis=1), wanted, rtol=1e-5)
    # (3/4 + 1/4) / 2 for both classes: no preference.
    even = mean_targets(np.log([[3.0, 1.0]]), np.log([[1.0, 3.0]]), 1.0, "classification")
    np.testing.assert_allclose(even[:, 0], even[:, 1], atol=1e-6)


def test_equal_teachers_are_their_own_mean_and_outputs_have_an_ordinary_one():
    logits = numpy_generator("logits").normal(scale=4, size=(50, 3)).astype(np.float32)
    np.testing.assert_array_equal(mean_targets(logits, logits, 4.5, "classification"), logits)
    np.testing.assert_array_equal(
        mean_targets(np.array([[1.0]]), np.array([[4.0]]), 9.0, "regression"), [[2.5]]
    )


def test_a_diverged_teacher_has_no_mean():
    broken = mean_targets(np.array([[np.inf, 0.0]]), np.zeros((1, 2)), 1.0, "classification")
    assert not np.isfinite(broken).all()


@pytest.mark.parametrize(
    ("scores", "metric", "wanted"),
    [
        ([0.7, 0.8], "accuracy", 1),
        ([0.8, 0.8], "accuracy", 0),
        ([0.7, 0.8], "mse", 0),
        ([None, 0.1], "auc", 1),
        ([0.1, None], "auc", 0),
        ([None, 3.0], "mse", 1),
        ([None, None], "auc", 0),
    ],
)
def test_the_better_teacher(scores, metric, wanted):
    assert index_of_better(scores, metric) == wanted


def test_validation_rows_are_a_quarter_of_the_training_rows_with_their_class_mix():
    label = np.arange(200) % 4
    rows = np.stack([np.arange(160), np.arange(40, 200)])
    held, rest = validation_split(rows, label, "cohort")
    assert held.shape == (2, 40) and rest.shape == (2, 120)
    for mine, other, every in zip(held, rest, rows, strict=True):
        np.testing.assert_array_equal(np.sort(np.concatenate([mine, other])), every)
        assert (np.bincount(label[mine]) == 10).all()
    assert not np.array_equal(held[0], held[1])


# Students


def test_the_second_teacher_s_students_are_those_of_a_study_with_it_alone(tmp_path, trained):
    alone = study(teacher="rppa", second_teacher=None)
    files = train_all(tmp_path, alone, roles=("teacher", "student"))
    runs, logits = students(trained, "second")
    np.testing.assert_array_equal(logits, files["student"].array("logits"))
    assert [run["id"] for run in runs] == [run["id"] for run in files["student"].runs]
    assert [run["teacher"] for run in runs] == [run["teacher"] for run in files["student"].runs]


def test_students_of_both_are_trained_against_the_mean_of_the_targets(tmp_path, trained):
    train_all(tmp_path, study(), roles=("teacher",))
    with h5py.File(tmp_path / "teacher.h5", "a") as file:
        for level in ("0", "0.8"):
            first, second = (
                trained[role].array(f"soft_target/{level}")
                for role in ("teacher", "second-teacher")
            )
            mean = (softmax(first / 2.0, axis=2) + softmax(second / 2.0, axis=2)) / 2
            file[f"soft_target/{level}"][...] = 2.0 * np.log(mean)
    files = train_all(tmp_path, study(), roles=("student",))
    runs, logits = students(trained, "mean")
    np.testing.assert_allclose(logits, files["student"].array("logits"), atol=1e-4)
    both = [trained[role].runs[0]["id"] for role in ("teacher", "second-teacher")]
    assert runs[0]["teacher"] == both


def test_the_better_teacher_s_students_are_those_of_the_chosen_one(trained):
    runs, logits = students(trained, "better")
    first, second = trained["student"].array("logits"), students(trained, "second")[1]
    for place, run in enumerate(runs):
        taught = {"mrna": first, "rppa": second}[run["chosen"]]
        np.testing.assert_array_equal(logits[place], taught[place])
        scores = run["validation"]
        assert run["chosen"] == ("rppa" if scores["rppa"] > scores["mrna"] else "mrna")
    assert {run["chosen"] for run in runs} == {"mrna", "rppa"}, "the test needs both"
    ids = [run["id"] for run in trained["two-teachers"].runs]
    assert len(set(ids)) == len(ids)


def test_two_equal_teachers_give_the_student_of_one(tmp_path):
    data = contents()
    same = replace(data, modalities=data.modalities | {"rppa": data.modalities["mrna"]})
    files = train_all(tmp_path, study(degradation={"levels": [0]}), same)
    wanted = files["student"].array("logits")
    for name in ("second", "mean", "better"):
        np.testing.assert_array_equal(students(files, name)[1], wanted)
    assert {run["chosen"] for run in students(files, "better")[0]} == {"mrna"}


def test_no_test_row_is_read_by_the_choice_or_the_training(tmp_path, trained):
    data = contents()
    label = data.label.copy()
    label[TRAIN:] = (label[TRAIN:] + 1) % 3
    values = {n: m.values.copy() for n, m in data.modalities.items()}
    for one in values.values():
        one[TRAIN:] += 100
    moved = {name: Modality(one) for name, one in values.items()}
    roles = ("teacher", "second-teacher", "two-teachers")
    files = train_all(tmp_path, study(), replace(data, label=label, modalities=moved), roles)
    before, after = trained["two-teachers"], files["two-teachers"]
    assert np.all(before.array("validation_rows") < TRAIN)
    for name in ("loss", "validation_rows", "validation_logits/0", "validation_logits/0.8"):
        np.testing.assert_array_equal(before.array(name), after.array(name))
    for old, new in zip(before.runs, after.runs, strict=True):
        assert old.get("chosen") == new.get("chosen")
        assert old.get("validation") == new.get("validation")
        assert old["metrics"] != new["metrics"]


# The audit's own derivation


@pytest.fixture
def derived(tmp_path, trained):
    """Derive the cell of the choice at level 0 from a file whose runs may be changed first."""
    path = tmp_path / "two-teachers.h5"
    path.write_bytes(trained["two-teachers"].path.read_bytes())
    runs = {role: list(file.runs) for role, file in trained.items()}
    facts = SimpleNamespace(
        recorded_settings=lambda _: {
            "teacher": "mrna",
            "second_teacher": "rppa",
            "metric": "accuracy",
        },
        runs=lambda _, role: runs[role],
        path=lambda *parts: parts[-1],
        tree=SimpleNamespace(place=lambda name: tmp_path / name),
    )
    place = SimpleNamespace(study="cohort")
    return runs, path, lambda: better_teacher({"level": "0"}, place, facts)


def test_the_audit_counts_the_choice_from_stored_outputs(derived, trained):
    names = [run["chosen"] for run in students(trained, "better")[0] if run["level"] == "0"]
    assert derived[2]().value == f"mrna {names.count('mrna')}, rppa {names.count('rppa')}"


@pytest.mark.parametrize("part", ["chosen", "validation", "teacher"])
def test_the_audit_finds_a_choice_that_the_outputs_do_not_give(derived, part):
    runs, _, again = derived
    place = next(n for n, run in enumerate(runs["two-teachers"]) if run["targets"] == "better")
    run = runs["two-teachers"][place]
    other = {"mrna": "rppa", "rppa": "mrna"}
    changed = {
        "chosen": other[run["chosen"]],
        "validation": run["validation"] | {"mrna": 0.123},
        "teacher": "another",
    }
    runs["two-teachers"][place] = run | {part: changed[part]}
    with pytest.raises(CchError, match=run["id"]):
        again()


def test_the_audit_takes_a_choice_that_rests_on_a_last_digit(derived):
    """Two scores that are equal by the audit's own arithmetic differ in another's."""
    runs, path, again = derived
    with h5py.File(path, "a") as file:
        outputs = file["validation_logits/0"]
        outputs[1] = outputs[0]
    ids = {run["seed"]: run["id"] for run in runs["second-teacher"]}
    for place, run in enumerate(runs["two-teachers"]):
        if run["targets"] == "better" and run["level"] == "0":
            score = run["validation"]["mrna"]
            validation = {"mrna": score, "rppa": float(np.nextafter(score, 2))}
            chosen = {"chosen": "rppa", "validation": validation, "teacher": ids[run["seed"]]}
            runs["two-teachers"][place] = run | chosen
    assert again().value.startswith("mrna 0, rppa ")


def test_the_audit_refuses_validation_on_test_rows(derived):
    _, path, again = derived
    with h5py.File(path, "a") as file:
        file["validation_rows"][0, 0] = file["test_rows"][0, 0]
    with pytest.raises(CchError, match="has validation rows that are test rows"):
        again()


# Configuration and plan


def configured(**change) -> dict:
    raw = raw_config("demo")
    raw["studies"] = {"brca": overlay(raw["studies"]["brca"], change)}
    return raw


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"second_teacher": "mrna"}, "studies.brca.second_teacher: 'mrna' is the teacher"),
        ({"second_teacher": "cnv"}, "studies.brca.second_teacher: 'cnv' is the student"),
        ({"second_teacher": "x"}, "studies.brca.second_teacher: datasets.brca has no modality 'x'"),
        (
            {"second_teacher": "rppa", "pairs": "all", "teacher": None, "student": None},
            "studies.brca.pairs: cannot be combined with second_teacher",
        ),
    ],
)
def test_a_wrong_second_teacher_is_refused_in_one_line(change, said):
    with pytest.raises(CchError, match=said):
        load(configured(**change))


def test_levels_that_are_modalities_have_no_second_teacher():
    change = {"second_teacher": "rppa", "selection": None, "degradation": {"kind": "modality"}}
    with pytest.raises(
        CchError, match=r"brca.second_teacher: cannot be combined with degradation.kind"
    ):
        load(configured(**change))


def test_a_study_without_a_second_teacher_is_described_as_before():
    plan = Plan(configured(), ROOT)
    assert "second_teacher" not in plan.table_spec("sweep-brca")
    assert not any("teachers-" in name for name in plan.layouts)
    with pytest.raises(CchError, match=r"studies.brca: has no `second_teacher`"):
        plan.train_spec("brca", "two-teachers")


def test_a_second_teacher_adds_two_jobs_and_changes_no_other():
    one, two = (Plan(configured(second_teacher=name, fusion=None), ROOT) for name in (None, "rppa"))
    before, after = ({step.output: step for step in plan.steps("brca")} for plan in (one, two))
    added = [step for name, step in after.items() if name not in before]
    assert {name: after[name] for name in before} == before
    assert [step.output.rpartition("/")[2] for step in added] == [
        "second-teacher.h5",
        "two-teachers.h5",
    ]
    assert {"dataset", "teacher", "second_teacher", "mrna", "rppa", "cnv"} == set(added[1].inputs)
    assert {"teachers-brca"} == two.layouts.keys() - one.layouts.keys()
    wanted = {one.paths.runs("brca", role) for role in ("baseline", *ROLES)}
    assert set(two.layout_inputs("teachers-brca")) == wanted


def test_a_fusion_has_an_arm_of_three_modalities_with_a_second_teacher(tmp_path):
    training = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 16, "epochs": 2}
    spec = study(fusion={"encoder": 4, "training": training})
    one = spec.model_copy(update={"second_teacher": None})
    assert "second_teacher" not in train_spec("cohort", one, "fusion").model_dump_json()
    three = train_all(tmp_path / "three", spec, roles=("fusion",))["fusion"]
    two = train_all(tmp_path / "two", one, roles=("fusion",))["fusion"]
    arms = [run["arm"] for run in three.runs]
    assert arms == [arm for arm in ("direct", "kd", "heads", "three") for _ in range(spec.seeds)]
    assert three.runs[: len(two.runs)] == two.runs
    np.testing.assert_array_equal(three.array("logits")[: len(two.runs)], two.array("logits"))
    assert three.runs[-1]["modality"] == "mrna+cnv+rppa"
    size = Size({"train": 40, "test": 10}, {"mrna": 5, "rppa": 5, "cnv": 5}, 3)
    of_two, of_three = (
        training_work(train_spec("cohort", which, "fusion"), size).operations
        for which in (one, spec)
    )
    each = 5 * 4 + 4 * 3 + 4 * 3  # an encoder, its head, its part of the fusion head
    per_weight = 6 * 40 * 2 * spec.seeds
    assert (of_two, of_three) == (per_weight * 3 * 2 * each, per_weight * (3 * 2 + 3) * each)


def test_the_work_of_two_teachers_counts_students_and_the_teachers_that_choose():
    spec = read_train_spec(
        Plan(configured(second_teacher="rppa"), ROOT).train_spec("brca", ROLES[-1])
    )
    grid = spec.distillation
    students = 3 * spec.seeds * 3 * len(grid.temperatures) * len(grid.weights)
    assert training_work(spec, None).runs == students + 2 * spec.seeds
    size = Size({"train": 160}, {"mrna": 30, "rppa": 30, "cnv": 30}, 4)
    rows = size.split(spec.split)["train"]
    each = 6 * (30 * spec.network.hidden[0] + spec.network.hidden[-1] * 4) * spec.training.epochs
    assert len(spec.network.hidden) == 1
    wanted = each * rows * (students + 2 * 0.75 * spec.seeds)
    assert training_work(spec, size).operations == pytest.approx(wanted)
