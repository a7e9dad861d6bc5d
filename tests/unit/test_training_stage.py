from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cch.base.errors import CchError
from cch.config import Compute, Study, load
from cch.config.specs import select_spec, train_spec
from cch.data.features import select
from cch.data.paired import Contents, Modality, PairedDataset, write_paired
from cch.data.rng import numpy_generator
from cch.data.selection import SelectionFile
from cch.training.fusion import FusionMember, train_fusion
from cch.training.plan import run_id, student_runs, teacher_runs
from cch.training.stage import StudyContext, train
from cch.training.store import RunsFile, write_runs
from support import overlay, raw_config

CPU = Compute(device="cpu", threads=1)


def study(**change):
    """A study of a cohort as a reader would write it: features, noise, a split for each seed."""
    mine = {
        "title": "cohort",
        "dataset": "mnistm-a20",
        "teacher": "mrna",
        "student": "cnv",
        "network": {"hidden": [8], "activation": "relu"},
        "training": {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 16, "epochs": 4},
        "distillation": {"temperatures": [2.0], "weights": [0.0, 0.5]},
        "degradation": {"kind": "noise", "levels": [0, 0.4], "symbol": "noise"},
        "metric": "weighted_f1",
        "seeds": 3,
        "information": {"estimators": ["ksg"], "runs": 2, "rows": "test", "limit": 50},
        "split": {"kind": "random", "test": 0.25},
    }
    # Its dataset is written by the tests, so it is not checked against a configured one.
    return Study.model_validate(overlay(mine, change))


def contents(rows=200):
    generator = numpy_generator("cohort")
    label = np.arange(rows) % 3
    strong = generator.normal(size=(rows, 6)).astype(np.float32) + label[:, None]
    weak = generator.normal(size=(rows, 5)).astype(np.float32) + 0.3 * label[:, None]
    modalities = {"mrna": Modality(strong.astype(np.float32)), "cnv": Modality(weak)}
    names = [f"case-{row}" for row in range(rows)]
    return Contents("classification", label, names, modalities, ("a", "b", "c"))


ROLES = ("teacher", "baseline", "student")


def train_all(folder, spec, data=None, roles=ROLES):
    """Select, where the study does, and train ``roles`` in ``folder``; the open files by role."""
    folder.mkdir(parents=True, exist_ok=True)
    write_paired(folder / "d.h5", data or contents())
    features = {}
    for modality in (spec.teacher, spec.student) if spec.selection else ():
        features[modality] = folder / f"{modality}.h5"
        select(select_spec(spec, modality), folder / "d.h5", features[modality])
    for role in roles:
        out, teacher = folder / f"{role}.h5", folder / "teacher.h5"
        given = train_spec("cohort", spec, role)
        train(given, folder / "d.h5", out, compute=CPU, teacher=teacher, features=features)
    return {role: RunsFile(folder / f"{role}.h5") for role in roles}


def test_a_student_of_weight_zero_is_its_seeds_baseline(tmp_path):
    files = train_all(tmp_path, study())
    baseline = files["baseline"].array("logits")
    for place, run in enumerate(files["student"].runs):
        same = np.allclose(files["student"].array("logits")[place], baseline[run["seed"]])
        assert same == (run["weight"] == 0.0)


def test_each_seed_has_a_split_of_its_own_with_the_class_mix(tmp_path):
    files = train_all(tmp_path, study())
    rows, label = files["teacher"].array("test_rows"), files["teacher"].array("test_label")
    assert rows.shape == (3, 50)
    assert not (np.sort(rows[0]) == np.sort(rows[1])).all()
    assert all(abs(np.bincount(mine) - 50 / 3).max() < 1.5 for mine in label)


def test_noise_degrades_what_the_teacher_says_and_nothing_else(tmp_path):
    teacher = train_all(tmp_path, study())["teacher"]
    clean, noisy = teacher.array("soft_target/0"), teacher.array("soft_target/0.4")
    assert clean.shape == noisy.shape == (3, 150, 3)
    assert not np.allclose(clean, noisy)
    assert teacher.array("representation/0.4").shape == (2, 50, 8)
    assert [run["degraded"]["0"] for run in teacher.runs] == [r["metrics"] for r in teacher.runs]


def test_nothing_fitted_depends_on_test_rows(tmp_path):
    first = train_all(tmp_path / "a", study())
    data = contents()
    test_rows = first["teacher"].array("test_rows")
    everywhere_test = np.intersect1d(np.intersect1d(*test_rows[:2]), test_rows[2])
    assert len(everywhere_test) > 0
    changed = {}
    for name, modality in data.modalities.items():
        values = modality.values.copy()
        values[everywhere_test] += 100.0
        changed[name] = replace(modality, values=values)
    second = train_all(tmp_path / "b", study(), replace(data, modalities=changed))
    for name in ("loss", "soft_target/0", "soft_target/0.4"):
        assert np.array_equal(first["teacher"].array(name), second["teacher"].array(name))
    assert np.array_equal(first["student"].array("loss"), second["student"].array("loss"))


def test_standardised_inputs_make_units_meaningless_and_never_see_test_rows(tmp_path):
    spec = study(split=None, inputs="standardised")
    data = replace(contents(), split=["train"] * 150 + ["test"] * 50)
    scaled = {
        # Powers of two, so that rounding is the same.
        name: Modality(modality.values * np.float32(1024), scale=0.25)
        for name, modality in data.modalities.items()
    }
    plain = train_all(tmp_path / "plain", spec, data)
    other = train_all(tmp_path / "other", spec, replace(data, modalities=scaled))
    for role in plain:
        np.testing.assert_array_equal(plain[role].array("logits"), other[role].array("logits"))
    shifted = {
        name: Modality(np.concatenate([m.values[:150], 7 + m.values[150:]]))
        for name, m in data.modalities.items()
    }
    moved = train_all(tmp_path / "moved", spec, replace(data, modalities=shifted))
    for role in plain:
        np.testing.assert_array_equal(plain[role].array("loss"), moved[role].array("loss"))
    assert (plain["baseline"].array("logits") != moved["baseline"].array("logits")).any()


def test_equal_runs_are_equal_bytes(tmp_path):
    train_all(tmp_path / "a", study())
    train_all(tmp_path / "b", study())
    for name in ("d.h5", "teacher.h5", "baseline.h5", "student.h5"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_more_seeds_leave_the_first_ones_as_they_are(tmp_path):
    few = train_all(tmp_path / "a", study(seeds=2))
    many = train_all(tmp_path / "b", study(seeds=3))
    assert np.allclose(few["baseline"].array("logits"), many["baseline"].array("logits")[:2])
    ids = [run["id"] for run in many["baseline"].runs]
    assert [run["id"] for run in few["baseline"].runs] == ids[:2]


def test_a_diverging_run_is_flagged_and_has_no_metrics(tmp_path):
    spec = study(training={"optimizer": "sgd", "learning_rate": 1e30, "epochs": 3})
    files = train_all(tmp_path, spec)
    assert all(run["diverged"] is not None for run in files["baseline"].runs)
    assert all(run["diverged"] is not None for run in files["student"].runs)


def test_an_id_changes_with_whatever_determines_the_run():
    spec = study()
    run = student_runs(spec)[0]
    ids = {
        run_id(run, spec, "data", "t1"),
        run_id(run, spec, "data", "t2"),
        run_id(run, spec, "other", "t1"),
        run_id(student_runs(spec)[1], spec, "data", "t1"),
        run_id(run, study(training={"epochs": 5}), "data", "t1"),
        run_id(run, study(split={"test": 0.3}), "data", "t1"),
    }
    assert len(ids) == 6
    retitled = spec.model_copy(update={"title": "other words"})
    assert run_id(run, retitled, "data", "t1") == run_id(run, spec, "data", "t1")


def test_teachers_are_one_a_seed_unless_levels_are_modalities():
    config = load(raw_config())
    for name, count in (("mnistm-a20", 5), ("synthetic", 80)):
        assert len(teacher_runs(train_spec(name, config.studies[name], "teacher"))) == count
    assert len(student_runs(config.studies["mnistm-a20"])) == 5 * 4 * 5
    assert len(student_runs(config.studies["synthetic"])) == 8 * 5 * 10


def test_teachers_of_another_dataset_are_refused(tmp_path):
    train_all(tmp_path, study())
    write_paired(tmp_path / "d.h5", contents(rows=220))
    given = train_spec("cohort", study(), "student")
    with pytest.raises(CchError, match=r"teacher\.h5: was trained on another dataset"):
        train(
            given,
            tmp_path / "d.h5",
            tmp_path / "s.h5",
            compute=CPU,
            teacher=tmp_path / "teacher.h5",
        )
    assert not (tmp_path / "s.h5").exists()


@pytest.mark.parametrize("damage", ["truncated", "missing", "other format"])
def test_a_broken_runs_file_is_named(tmp_path, damage):
    path = tmp_path / "teacher.h5"
    write_runs(path, {"study": "x"}, [], {"logits": np.zeros((100, 100))})
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "missing":
        path.unlink()
    else:
        write_runs(path, {"format": "other"}, [], {})
    with pytest.raises(CchError, match=r"teacher\.h5"):
        RunsFile(path)


# Selection


def selecting(**change):
    return study(**overlay({"selection": {"features": 3}}, change))


def test_runs_of_selected_features_are_those_of_each_seed_alone(tmp_path):
    """A seed's features, fills and scales are its own, though all seeds train in one stack."""
    files = train_all(tmp_path / "all", selecting())
    data, rows = contents(), files["teacher"].array("test_rows")
    for seed in range(3):
        train = np.setdiff1d(np.arange(200), rows[seed])
        split = np.where(np.isin(np.arange(200), train), "train", "test")
        alone = replace(data, split=list(split))
        # The dataset's own split is the same for all seeds, so there is one table.
        spec = selecting(split=None, information={"runs": 2})
        one = train_all(tmp_path / f"{seed}", spec, alone)
        for role, name in (("teacher", "logits"), ("baseline", "logits"), ("teacher", "loss")):
            ours, theirs = files[role].array(name)[seed], one[role].array(name)[seed]
            np.testing.assert_array_equal(ours, theirs)
        for level in ("0", "0.4"):
            name = f"soft_target/{level}"
            ours, theirs = files["teacher"].array(name)[seed], one["teacher"].array(name)[seed]
            np.testing.assert_array_equal(ours, theirs)


def test_nothing_selected_or_fitted_depends_on_test_rows(tmp_path):
    """A feature that separates the classes in test rows alone changes no training anywhere."""
    first = train_all(tmp_path / "a", selecting(seeds=2, fusion=FUSION), roles=(*ROLES, "fusion"))
    data, test = contents(), first["teacher"].array("test_rows")
    planted = np.intersect1d(*test)
    assert len(planted) > 5
    changed = {}
    for name, modality in data.modalities.items():
        values = modality.values.copy()
        values[planted, 4] = 1000.0 * data.label[planted]
        changed[name] = replace(modality, values=values)
    second = train_all(
        tmp_path / "b",
        selecting(seeds=2, fusion=FUSION),
        replace(data, modalities=changed),
        roles=(*ROLES, "fusion"),
    )
    for role in (*ROLES, "fusion"):
        np.testing.assert_array_equal(first[role].array("loss"), second[role].array("loss"))
    for name in ("mrna", "cnv"):
        a, b = (SelectionFile(tmp_path / folder / f"{name}.h5") for folder in "ab")
        np.testing.assert_array_equal(a.index, b.index)
        np.testing.assert_array_equal(a.mean, b.mean)


def test_the_choice_on_all_rows_does_see_test_rows(tmp_path):
    """The control of the test above: the planted feature is found where the leak is asked for."""
    spec = selecting(seeds=2)
    first = train_all(tmp_path / "a", spec)
    data, planted = contents(), np.union1d(*first["teacher"].array("test_rows"))
    values = data.modalities["cnv"].values.copy()
    values[planted, 4] = 10.0 * data.label[planted]
    leaky = overlay(spec.model_dump(mode="json"), {"selection": {"rows": "all", "features": 1}})
    changed = data.modalities | {"cnv": Modality(values)}
    train_all(tmp_path / "b", Study.model_validate(leaky), replace(data, modalities=changed))
    assert (SelectionFile(tmp_path / "b" / "cnv.h5").index == 4).all()


def test_what_was_selected_is_said_in_words(tmp_path):
    write_paired(tmp_path / "d.h5", contents())
    said = select(select_spec(selecting(), "mrna"), tmp_path / "d.h5", tmp_path / "s.h5")
    file = SelectionFile(tmp_path / "s.h5")
    everywhere = set(file.chosen(0)) & set(file.chosen(1)) & set(file.chosen(2))
    assert said["chosen"] == "3 of 6 features by mrmr, on training rows of 3 splits"
    assert said["first of seed 0"] == ", ".join(file.chosen(0))
    assert said["in every split"].count(",") == max(len(everywhere) - 1, 0)


def test_missing_values_need_a_selection_which_fills_them_in(tmp_path):
    data = contents()
    values = data.modalities["cnv"].values.copy()
    values[::7, 1] = np.nan
    gaps = replace(data, modalities=data.modalities | {"cnv": Modality(values, missing=True)})
    with pytest.raises(CchError, match="'cnv' has missing values; give the study a `selection`"):
        train_all(tmp_path / "a", study(), gaps)
    files = train_all(tmp_path / "b", selecting(selection={"features": None}), gaps)
    assert np.isfinite(files["student"].array("logits")).all()


def test_a_selection_of_another_dataset_is_refused(tmp_path):
    train_all(tmp_path, selecting())
    write_paired(tmp_path / "d.h5", contents(rows=220))
    features = {name: tmp_path / f"{name}.h5" for name in ("mrna", "cnv")}
    with (
        PairedDataset(tmp_path / "d.h5") as dataset,
        pytest.raises(CchError, match=r"mrna\.h5: was selected from another dataset file"),
    ):
        StudyContext(train_spec("cohort", selecting(), "teacher"), dataset, CPU, features=features)


def test_studies_of_one_dataset_share_the_splits_of_a_seed(tmp_path):
    write_paired(tmp_path / "d.h5", contents())
    with PairedDataset(tmp_path / "d.h5") as dataset:
        specs = [train_spec(name, study(), "baseline") for name in ("one", "other")]
        contexts = [StudyContext(spec, dataset, CPU) for spec in specs]
        np.testing.assert_array_equal(contexts[0].test_rows, contexts[1].test_rows)
        other = train_spec("one", study(dataset="other"), "baseline")
        elsewhere = StudyContext(other, dataset, CPU)
        assert (elsewhere.test_rows != contexts[0].test_rows).any()


def test_information_on_all_rows_reads_every_row_once(tmp_path):
    spec = study(information={"rows": "all"})
    files = train_all(tmp_path, spec)
    rows = files["baseline"].array("information_rows")
    np.testing.assert_array_equal(rows, np.tile(np.arange(200), (2, 1)))
    assert files["baseline"].array("representation/0").shape == (2, 200, 8)


# Fusion

FUSION = {
    "encoder": 6,
    "training": {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 16, "epochs": 4},
    "weight": 0.5,
}


@pytest.mark.parametrize("chosen", [None, {"features": 3}])
def test_fusions_are_those_of_train_fusion_and_pair_within_a_seed(tmp_path, chosen):
    spec = study(fusion=FUSION, selection=chosen)
    file = train_all(tmp_path, spec, roles=("fusion",))["fusion"]
    assert [(run["arm"], run["seed"]) for run in file.runs] == [
        (arm, seed) for arm in ("direct", "kd", "heads") for seed in range(3)
    ]
    assert len({run["id"] for run in file.runs}) == 9
    assert {run["weight"] for run in file.runs if run["arm"] != "kd"} == {0.0}
    seed = 1
    data = contents()
    tables = [data.modalities[name].values for name in ("mrna", "cnv")]
    if chosen:
        files = [SelectionFile(tmp_path / f"{name}.h5") for name in ("mrna", "cnv")]
        tables = [f.inputs(t)[seed] for f, t in zip(files, tables, strict=True)]
    tables = [torch.from_numpy(table).float() for table in tables]
    test = torch.from_numpy(file.array("test_rows")[seed])
    train = torch.tensor(sorted(set(range(200)) - set(test.tolist())))
    alone = train_fusion(
        fusion=spec.fusion,
        teacher_inputs=tables[0],
        student_inputs=tables[1],
        labels=torch.from_numpy(data.label),
        row_sets=[train],
        members=[FusionMember(("fusion", seed), 0, "kd")],
        outputs=3,
    )
    place = next(i for i, r in enumerate(file.runs) if (r["arm"], r["seed"]) == ("kd", seed))
    said = alone.predict(*tables, test, representation=False).logits[0].numpy()
    # Rounding of another stack, which Adam's division amplifies; logits are of size 1.
    np.testing.assert_allclose(said, file.array("logits")[place], atol=0.01)


def test_a_study_without_fusion_has_none_to_train(tmp_path):
    with pytest.raises(CchError, match=r"studies\.cohort: has no `fusion`"):
        train_all(tmp_path, study(), roles=("fusion",))
