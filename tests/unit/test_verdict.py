"""``cch verdict``: verdicts where the truth is known, its formats, and its one-line errors."""

import json
import logging
import math
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cch import cli
from cch.criterion.verdict import DEFAULT_ESTIMATOR, Settings, answer
from cch.criterion.verdict_inputs import load_inputs
from cch.information.estimator import MIN_ROWS, get_estimator

ROOT = Path(__file__).parents[2]
QUICK = ["--estimator", "ksg", "--repeats", "2", "--calibration-repeats", "4"]


@pytest.fixture(autouse=True)
def log_as_it_was():
    """The command sends the library's log to the terminal; other tests read it elsewhere."""
    logger = logging.getLogger("cch")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.fixture
def bounds():
    """Asked for by tests that fit bounds; for all others there are none, which saves seconds."""


@pytest.fixture(autouse=True)
def no_bounds(request, monkeypatch):
    if "bounds" not in request.fixturenames:
        none = lambda inputs, settings: {name: {} for name in inputs.teachers}  # noqa: E731
        monkeypatch.setattr("cch.criterion.verdict.bound", none)


@pytest.fixture
def cch(monkeypatch, capsys):
    """Run the command line as a user does; returns (exit status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["cch", *map(str, arguments)])
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code or 0
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def refused(cch):
    """Run ``cch verdict`` on bad input and return its one line."""

    def run(*arguments):
        status, out, err = cch("verdict", *QUICK, *arguments)
        assert (status, out) == (1, "")
        assert err.count("\n") == 1
        assert err.startswith("cch: ")
        return err.removeprefix("cch: ").rstrip("\n")

    return run


def scene(rows, between, separation, seed=0, classes=2):
    """A student, a teacher and labels with known information.

    The label moves the student's first column; the teacher is the student's second column seen
    through noise that leaves ``between`` nats: I(teacher; student) = -1/2 ln(1 - rho^2).
    """
    generator = np.random.default_rng(seed)
    label = np.arange(rows) % classes
    student = generator.normal(size=(rows, 2))
    student[:, 0] += separation * label
    rho = math.sqrt(-math.expm1(-2 * between))
    teacher = rho * student[:, 1] + math.sqrt(1 - rho**2) * generator.normal(size=rows)
    return {"student": student, "teacher": teacher[:, None], "label": label}


def two_gaussians(separation):
    """I(student; label) of two unit Gaussians with equal shares, by a fine sum over the line."""
    grid = np.linspace(-10, 10 + separation, 40001)
    density = np.exp(-0.5 * (grid - np.array([[0.0], [separation]])) ** 2) / math.sqrt(2 * math.pi)
    ratio = np.log(np.maximum(density, 1e-300) / np.maximum(density.mean(axis=0), 1e-300))
    return 0.5 * float((density * ratio).sum()) * (grid[1] - grid[0])


def judged(cch, folder, *more, **arrays):
    np.savez(folder / "data.npz", **arrays)
    status, out, err = cch(
        "verdict", folder / "data.npz", "--student", "student", "--teacher", "teacher",
        "--label", "label", "--json", *QUICK, *more,
    )  # fmt: skip
    assert status == 0, err
    return json.loads(out)


# Where the truth is known


def known(what, rows, seed=0):
    """A scene of known truth: 8 classes, four columns of style beside two of the label."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 8, rows)
    centres = 4 * np.column_stack([np.cos(np.arange(8)), np.sin(np.arange(8))])
    style = generator.normal(size=(rows, 4))
    student = np.column_stack([centres[label] + generator.normal(size=(rows, 2)), style])
    if what == "shares style":
        other = style + 0.2 * generator.normal(size=(rows, 4))
        teacher = np.column_stack([centres[label] + generator.normal(size=(rows, 2)), other])
    elif what == "shares the label alone":
        # Given the label it is independent of the student: I(T; S) <= I(S; Y).
        teacher = centres[label] + 0.3 * generator.normal(size=(rows, 2))
    else:
        teacher = generator.normal(size=(rows, 6))
    return {"student": student, "teacher": teacher, "label": label}


@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        ("shares style", "holds"),
        ("shares the label alone", "undecided"),
        ("is independent", "undecided"),
    ],
)
def test_the_verdict_is_right_where_the_truth_is_known(bounds, cch, tmp_path, what, verdict):
    document = judged(cch, tmp_path, "--calibration-repeats", "0", **known(what, 600))
    (teacher,) = document["teachers"]
    assert teacher["verdict"] == verdict
    assert (teacher["margin"] > 0) == (verdict == "holds")
    # Each style column has I = 1/2 ln(1 + 1/0.04) nats: the margin is below the true gap.
    assert teacher["margin"] < 4 * 0.5 * math.log1p(25)
    assert set(teacher["bounds"]) == {
        "teacher-student", "teacher-student-given-label", "label-given-teacher",
    }  # fmt: skip


def test_bounds_need_no_calibration_and_an_interval_gives_no_verdict(bounds, cch, tmp_path):
    """KSG's calibrated interval is all above zero here; the bounds see too little to decide."""
    document = judged(cch, tmp_path, **scene(300, 0.8, 1.0))
    (teacher,) = document["teachers"]
    assert teacher["evidence"]["low"] > 0
    assert (teacher["verdict"], teacher["ground"]) == ("undecided", None)
    assert "verdict" not in teacher["evidence"]


@pytest.mark.slow
def test_the_interval_covers_the_truth_over_draws(tmp_path):
    """20 draws of 100 rows; at 95 % fewer than 16 covered has probability 0.003."""
    settings = Settings("ksg", repeats=2, calibration_repeats=4)
    truth = 0.3 - two_gaussians(1.5)
    covered = 0
    for seed in range(20):
        np.savez(tmp_path / "data.npz", **scene(100, 0.3, 1.5, seed))
        inputs = load_inputs(tmp_path / "data.npz", "student", ["teacher"], "label")
        (teacher,) = answer(inputs, settings)["teachers"]
        covered += teacher["evidence"]["low"] <= truth <= teacher["evidence"]["high"]
    assert covered >= 16


def test_teachers_are_ranked_by_margin(bounds, cch, tmp_path):
    arrays = scene(400, 2.0, 1.5)
    weak = scene(400, 0.05, 1.5)["teacher"]
    np.savez(tmp_path / "data.npz", **arrays, weak=weak)
    _, out, _ = cch(
        "verdict", tmp_path / "data.npz", "--student", "student", "--teacher", "poor=weak",
        "--teacher", "teacher", "--label", "label", "--json", *QUICK,
    )  # fmt: skip
    document = json.loads(out)
    first, second = document["teachers"]
    assert [(one["rank"], one["name"]) for one in (first, second)] == [(1, "teacher"), (2, "poor")]
    assert first["margin"] > second["margin"]
    # Holm's procedure counts the teachers; bounds and evidence do not depend on what else is asked.
    alone = judged(cch, tmp_path, **arrays)["teachers"][0]
    assert alone["evidence"] == first["evidence"]
    for quantity, some in alone["bounds"].items():
        values = [one["value"] for one in first["bounds"][quantity]]
        assert [one["value"] for one in some] == pytest.approx(values, abs=1e-6)
    assert alone["confidence"] < first["confidence"]


def test_without_calibration_equal_runs_measure_nothing(cch, tmp_path):
    document = judged(cch, tmp_path, "--calibration-repeats", "0", **scene(300, 0.8, 1.0))
    (teacher,) = document["teachers"]
    assert teacher["evidence"]["low"] is None
    assert "no calibration: estimator noise and bias unknown" in teacher["evidence"]["flags"]
    assert "calibration" not in teacher["information"]


def independent(rows, relu=False):
    """A student, a teacher and labels that know nothing of one another."""
    generator = np.random.default_rng(3)
    student, teacher = generator.normal(size=(2, rows, 3))
    if relu:
        student, teacher = np.maximum(student, 0), np.maximum(teacher, 0)
    return {"student": student, "teacher": teacher, "label": generator.integers(0, 2, rows)}


def test_without_calibration_the_jitter_of_ties_measures_nothing(cch, tmp_path):
    # Zeros of a ReLU are ties, which KSG breaks at random: runs differ, and say nothing of the gap.
    document = judged(cch, tmp_path, "--calibration-repeats", "0", **independent(300, relu=True))
    (teacher,) = document["teachers"]
    assert teacher["evidence"]["spread"] > 1e-8
    assert (teacher["verdict"], teacher["evidence"]["low"]) == ("undecided", None)
    assert "runs share their rows: they do not measure noise" in teacher["evidence"]["flags"]


def test_rows_that_stand_twice_are_flagged(cch, tmp_path):
    arrays, flag = independent(150), "rows duplicate an earlier row in all representations"
    assert not judged(cch, tmp_path, "--calibration-repeats", "0", **arrays)["flags"]
    more = {name: np.concatenate([values, values[:50]]) for name, values in arrays.items()}
    (said,) = judged(cch, tmp_path, "--calibration-repeats", "0", **more)["flags"]
    assert said.startswith(f"50 of 200 {flag}, first row 150 (counted from 0), a copy of row 0;")
    assert "keep one of each" in said


def test_a_label_that_the_student_knows_wholly_is_flagged_at_its_bound(cch, tmp_path):
    document = judged(cch, tmp_path, **scene(300, 0.1, 40.0))
    (teacher,) = document["teachers"]
    assert document["label"]["entropy"] == pytest.approx(math.log(2))
    assert teacher["verdict"] == "undecided"  # no bound of I(T; S) from above is known
    debiased = teacher["evidence"]["student_label"]["debiased"]
    assert debiased["high"] == pytest.approx(math.log(2))
    assert any("beyond the largest possible value" in flag for flag in teacher["evidence"]["flags"])


# What is printed


def test_the_table_has_units_rows_runs_and_flags(bounds, cch, tmp_path):
    arrays = scene(300, 2.0, 1.0)
    arrays["student"] = np.column_stack([arrays["student"], np.full(300, 7.0)])
    np.savez(tmp_path / "data.npz", **arrays)
    status, out, err = cch(
        "verdict", tmp_path / "data.npz", "--student", "student", "--teacher", "rna=teacher",
        "--label", "label", *QUICK,
    )  # fmt: skip
    assert status == 0
    row = next(line.split() for line in out.splitlines() if "rna" in line)
    assert row[:3] == ["rna", "holds", "bound"]
    assert "n = 300 rows" in out
    assert out.count("(nats)") >= 5
    assert "H(Y) = 0.6931 nats, 2 classes" in out
    assert "flag: student: 1 of 3 columns are constant" in out
    assert "bounds: infonce, classifier; all verdicts together at 95%" in out
    assert "evidence, no verdict: ksg" in out
    assert "I(student; label): 2/2 estimates" in err  # progress goes beside the answer


def test_json_is_the_same_bytes_twice_and_the_file_holds_it(bounds, cch, tmp_path):
    np.savez(tmp_path / "data.npz", **scene(120, 0.3, 1.0))
    outs = [
        cch(
            "verdict", tmp_path / "data.npz", "--student", "student", "--teacher", "teacher",
            "--label", "label", "--json", "--out", tmp_path / "new" / f"{i}.json", *QUICK,
        )[1]
        for i in range(2)
    ]  # fmt: skip
    assert outs[0] == outs[1]
    assert [(tmp_path / "new" / f"{i}.json").read_text() for i in range(2)] == outs
    document = json.loads(outs[0])
    assert document["unit"] == "nats"
    assert document["settings"]["seed"] == 0
    assert document["versions"]["numpy"] == np.__version__
    assert len(document["files"][str(tmp_path / "data.npz")]) == 64
    information = document["teachers"][0]["information"]
    assert len(information["estimates"]) == 2
    assert information["calibration"]["cases"][0]["kind"] == "permutation-null"


def test_another_seed_gives_other_numbers(cch, tmp_path):
    arrays = scene(120, 0.3, 1.0)
    first, other = (judged(cch, tmp_path, "--seed", seed, **arrays) for seed in (0, 1))
    assert first["teachers"][0]["evidence"]["low"] != other["teachers"][0]["evidence"]["low"]


def test_options_reach_the_estimator(cch, tmp_path):
    document = judged(cch, tmp_path, "--option", "k=7", **scene(120, 0.3, 1.0))
    assert document["settings"]["options"] == {"k": 7}
    assert document["student_label"]["estimates"][0]["fit"]["options"]["k"] == 7


# Formats and places


def places(folder, form, arrays):
    """Write the arrays in a format; return the arguments that name them."""
    student, teacher, label = arrays["student"], arrays["teacher"], arrays["label"]
    if form == "npz":
        np.savez(folder / "d.npz", **arrays)
        return [folder / "d.npz", "--student", "student", "--teacher", "teacher", "--label=label"]
    if form == "hdf5":
        with h5py.File(folder / "d.h5", "w") as file:
            file["h/student"], file["h/t/teacher"], file["y"] = student, teacher, label
        return [
            folder / "d.h5", "--student", "/h/student", "--teacher", "teacher=h/t/teacher",
            "--label", "y",
        ]  # fmt: skip
    if form == "one csv":
        write_csv(folder / "d.csv", ["s_0", "s_1", "t", "y"], np.c_[student, teacher, label])
        return [folder / "d.csv", "--student", "s_*", "--teacher", "teacher=t", "--label", "y"]
    if form == "csv files":
        write_csv(folder / "s.csv", ["a", "b", "y"], np.c_[student, label])
        write_csv(folder / "t.csv", ["t"], teacher)
        return [
            "--student", folder / "s.csv", "--teacher", f"teacher={folder / 't.csv'}",
            "--label", f"{folder / 's.csv'}:y",
        ]  # fmt: skip
    np.savez(folder / "s.npz", only=student)
    with h5py.File(folder / "t.hdf5", "w") as file:
        file["deep/teacher"] = teacher
    write_csv(folder / "y.csv", ["y"], label[:, None])
    return [
        "--student", folder / "s.npz", "--teacher", f"teacher={folder / 't.hdf5'}:deep/teacher",
        "--label", folder / "y.csv",
    ]  # fmt: skip


def write_csv(path, header, values):
    """Floats with all their digits; whole columns as integers."""
    whole = (values == np.round(values)).all(axis=0)
    lines = [",".join(header)]
    for row in values:
        lines.append(
            ",".join(str(int(v)) if w else repr(float(v)) for v, w in zip(row, whole, strict=True))
        )
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("form", ["npz", "hdf5", "one csv", "csv files", "mixed"])
def test_every_format_gives_the_same_answer(cch, tmp_path, form):
    arrays = scene(100, 0.8, 1.0)
    expected = judged(cch, tmp_path, **arrays)["teachers"][0]
    status, out, err = cch("verdict", *places(tmp_path, form, arrays), "--json", *QUICK)
    assert status == 0, err
    document = json.loads(out)
    found = document["teachers"][0]
    assert found["evidence"] == expected["evidence"]
    assert found["bounds"] == expected["bounds"]
    assert found["name"] == "teacher"
    assert document["flags"] == []


@pytest.mark.parametrize(
    "label",
    [
        lambda y: np.array(["no", "yes"])[y],
        lambda y: np.array([b"no", b"yes"])[y],
        lambda y: y.astype(bool),
        lambda y: y.astype(np.uint8)[:, None],
        lambda y: 10 * y - 3,
    ],
    ids=["text", "bytes", "bool", "column", "codes"],
)
def test_labels_of_every_type_are_the_same_classes(cch, tmp_path, label):
    arrays = scene(100, 0.8, 1.0)
    expected = judged(cch, tmp_path, **arrays)["teachers"][0]["evidence"]["low"]
    found = judged(cch, tmp_path, **arrays | {"label": label(arrays["label"])})
    assert found["teachers"][0]["evidence"]["low"] == expected
    assert list(found["label"]["classes"].values()) == [50, 50]


def test_text_in_hdf5_and_csv_is_classes(cch, tmp_path):
    arrays = scene(100, 0.8, 1.0)
    words = np.array(["no", "yes"])[arrays["label"]]
    np.savez(tmp_path / "d.npz", **arrays)
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["y"] = words.astype(object)
    (tmp_path / "y.csv").write_text("\n".join(["y", *words]) + "\n")
    for name in ("y.h5", "y.csv"):
        _, out, _ = cch(
            "verdict", tmp_path / "d.npz", "--student", "student", "--teacher", "teacher",
            "--label", tmp_path / name, "--json", *QUICK,
        )  # fmt: skip
        assert json.loads(out)["label"]["classes"] == {"no": 50, "yes": 50}


def test_floats_are_a_continuous_label(cch, tmp_path):
    """y = student's first column with 0.2 nats; the teacher has 1 nat of the second."""
    arrays = scene(500, 1.0, 0.0)
    rho = math.sqrt(-math.expm1(-0.4))
    noise = np.random.default_rng(1).normal(size=500)
    arrays["label"] = rho * arrays["student"][:, 0] + math.sqrt(1 - rho**2) * noise
    document = judged(cch, tmp_path, **arrays)
    (teacher,) = document["teachers"]
    assert document["label"] == {
        "place": f"{tmp_path / 'data.npz'}:label",
        "task": "regression",
        "classes": None,
        "entropy": None,
    }
    assert (teacher["verdict"], teacher["margin"], teacher["bounds"]) == ("undecided", None, {})
    assert any("where it is continuous" in flag for flag in document["flags"])
    assert teacher["evidence"]["low"] < 0.8 < teacher["evidence"]["high"]


def test_the_task_can_be_said(cch, tmp_path):
    arrays = scene(100, 0.8, 1.0)
    floats = arrays | {"label": arrays["label"].astype(float)}
    document = judged(cch, tmp_path, "--task", "classification", **floats)
    assert document["label"]["classes"] == {"0": 50, "1": 50}
    document = judged(cch, tmp_path, "--task", "regression", **arrays)
    assert document["label"]["task"] == "regression"


@pytest.mark.parametrize("header", [["", "a", "b"], ["a", "b"]], ids=["pandas", "R"])
def test_an_index_column_in_a_csv_is_no_part_of_the_representation(cch, tmp_path, header):
    arrays = scene(100, 0.8, 1.0)
    expected = judged(cch, tmp_path, **arrays)["teachers"][0]["evidence"]["low"]
    write_csv(tmp_path / "s.csv", header, np.c_[np.arange(100), arrays["student"]])
    _, out, _ = cch(
        "verdict", tmp_path / "data.npz", "--student", tmp_path / "s.csv", "--teacher", "teacher",
        "--label", "label", "--json", *QUICK,
    )  # fmt: skip
    document = json.loads(out)
    assert document["teachers"][0]["evidence"]["low"] == expected
    assert document["flags"] == ["s.csv: a column without a name is left out"]


def test_many_classes_are_flagged(cch, tmp_path):
    arrays = scene(100, 0.8, 1.0)
    arrays["label"] = np.append(np.arange(98) % 12, [12, 13])
    flags = judged(cch, tmp_path, "--calibration-repeats", "0", **arrays)["flags"]
    assert flags == ["label: 14 classes in 100 rows", "label: 2 classes have one row"]


def test_the_default_estimator_is_one_that_there_is():
    assert get_estimator(DEFAULT_ESTIMATOR).name == DEFAULT_ESTIMATOR


def csv_with_ids(path, ids, column, values):
    """One column of numbers beside the samples' ids."""
    rows = [f"{one},{value!r}" for one, value in zip(ids, values.tolist(), strict=True)]
    path.write_text("\n".join([f"sample,{column}", *rows]) + "\n")


def test_ids_that_agree_are_left_out_and_ids_that_do_not_are_refused(cch, refused, tmp_path):
    arrays, ids = scene(100, 0.8, 1.0), [f"TCGA-{i}" for i in range(100)]
    swapped = [*ids[:7], ids[8], ids[7], *ids[9:]]
    s, t, y = (tmp_path / f"{name}.csv" for name in "sty")
    csv_with_ids(s, ids, "h", arrays["student"][:, 1])
    rows = [
        f"{one},{['no', 'yes'][label]}" for one, label in zip(ids, arrays["label"], strict=True)
    ]
    y.write_text("\n".join(["sample,y", *rows]) + "\n")
    places = ["--student", s, "--teacher", t, "--label", y, "--id", "sample"]
    csv_with_ids(t, ids, "t", arrays["teacher"][:, 0])
    status, out, _ = cch("verdict", *places, "--json", *QUICK)
    assert status == 0
    assert json.loads(out)["teachers"][0]["columns"] == 1
    assert "repeat an id" not in out
    twice = [name.replace("9", "8") for name in ids]
    csv_with_ids(t, twice, "t", arrays["teacher"][:, 0])
    csv_with_ids(s, twice, "h", arrays["student"][:, 1])
    y.write_text("\n".join(["sample,y", *(row.replace("9", "8") for row in rows)]) + "\n")
    _, out, _ = cch("verdict", *places, "--json", *QUICK)
    said = "sample: 19 rows repeat an id; bounds ask for independent rows"
    assert said in json.loads(out)["flags"]
    csv_with_ids(s, ids, "h", arrays["student"][:, 1])
    y.write_text("\n".join(["sample,y", *rows]) + "\n")
    csv_with_ids(t, swapped, "t", arrays["teacher"][:, 0])
    assert refused(*places) == (
        f"{t}:sample: row 7 (counted from 0) is TCGA-8 but TCGA-7 in {s}; "
        "bring all files into one order"
    )
    write_csv(t, ["t", "u"], arrays["student"])
    assert refused(*places) == f"{t}: has no column 'sample'; there are t, u"


def test_a_pattern_does_not_let_the_label_into_a_representation(cch, refused, tmp_path):
    arrays = scene(100, 0.8, 1.0)
    columns = np.c_[arrays["student"], arrays["teacher"], arrays["label"]]
    write_csv(tmp_path / "d.csv", ["x_0", "x_1", "t", "x_class"], columns)
    d = tmp_path / "d.csv"
    asked = [d, "--student", "x_*", "--teacher", "t", "--label", "x_class"]
    _, out, _ = cch("verdict", *asked, "--json", *QUICK)
    assert json.loads(out)["student"]["columns"] == 2
    asked[2] = "x_c*"
    assert refused(*asked) == f"{d}: has no other columns than the label and the ids"


# Errors, each one line


@pytest.fixture
def bad(refused, tmp_path):
    """Refuse ``scene`` with some arrays replaced (None: left out)."""

    def run(*more, **arrays):
        kept = {k: v for k, v in (scene(100, 0.8, 1.0) | arrays).items() if v is not None}
        np.savez(tmp_path / "d.npz", **kept)
        names = ["--student", "student", "--teacher", "teacher", "--label", "label"]
        return refused(tmp_path / "d.npz", *names, *more).replace(f"{tmp_path}/", "")

    return run


def test_a_missing_file(refused, tmp_path):
    line = refused(tmp_path / "no.npz", "--student", "a", "--teacher", "b", "--label", "c")
    assert line == f"{tmp_path}/no.npz: there is no such file"


def test_a_place_that_is_no_file(refused):
    line = refused("--student", "h_student", "--teacher", "b", "--label", "c")
    assert line == (
        "h_student: is no .npz, .h5, .hdf5 or .csv file; write FILE or FILE:NAME, or give the "
        "file of bare names first"
    )


@pytest.mark.parametrize("first", [True, False])
def test_an_unknown_format(refused, tmp_path, first):
    path = tmp_path / "d.parquet"
    path.write_bytes(b"PAR1")
    arguments = [path, "--student", "a"] if first else ["--student", path]
    line = refused(*arguments, "--teacher", "b", "--label", "c")
    assert line == f"{path}: unknown format '.parquet'; known are .npz, .h5, .hdf5, .csv"


@pytest.mark.parametrize("name", ["d.npz", "d.h5", "d.csv"])
def test_an_empty_file(refused, tmp_path, name):
    (tmp_path / name).touch()
    line = refused(tmp_path / name, "--student", "a", "--teacher", "b", "--label", "c")
    assert line == f"{tmp_path}/{name}: is empty"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("d.npz", "is no NPZ file; write it with numpy.savez"),
        ("d.h5", "is no HDF5 file, or a damaged one"),
        ("d.csv", "is not readable as CSV"),
    ],
)
def test_a_file_of_another_format_under_this_name(refused, tmp_path, name, said):
    (tmp_path / name).write_bytes(b'\xff\xfe\x00"garbage\n' * 20)
    line = refused(tmp_path / name, "--student", "a", "--teacher", "b", "--label", "c")
    assert line.startswith(f"{tmp_path}/{name}: {said}")


def test_a_plain_array_under_the_name_of_an_archive(refused, tmp_path):
    with open(tmp_path / "d.npz", "wb") as file:
        np.save(file, np.zeros(3))
    line = refused(tmp_path / "d.npz", "--student", "a", "--teacher", "b", "--label", "c")
    assert "is no NPZ file" in line


def test_a_missing_array_lists_what_there_is(bad):
    assert bad(teacher=None) == "d.npz: has no array 'teacher'; there are student, label"


def test_a_missing_dataset_lists_what_there_is(refused, tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["h/a"], file["y"] = np.zeros(3), np.zeros(3)
    line = refused(tmp_path / "d.h5", "--student", "h", "--teacher", "h/a", "--label", "y")
    assert line == f"{tmp_path}/d.h5: has no dataset 'h'; there are h/a, y"


def test_a_missing_column_lists_what_there_is(refused, tmp_path):
    write_csv(tmp_path / "d.csv", ["a", "b"], np.zeros((3, 2)))
    line = refused(tmp_path / "d.csv", "--student", "a", "--teacher", "x_*", "--label", "b")
    assert line == f"{tmp_path}/d.csv: has no column 'x_*'; there are a, b"
    csv = tmp_path / "d.csv"
    line = refused("--student", f"{csv}:a,c", "--teacher", f"{csv}:a", "--label", f"{csv}:b")
    assert line == f"{csv}: has no column 'c'; there are a, b"


def test_a_file_of_several_arrays_needs_a_name(refused, tmp_path):
    np.savez(tmp_path / "d.npz", a=1, b=2)
    npz = tmp_path / "d.npz"
    line = refused("--student", npz, "--teacher", f"{npz}:a", "--label", f"{npz}:b")
    assert line == f"{npz}: holds 2 arrays; say which with d.npz:NAME; there are a, b"


def test_rows_that_differ_say_which_has_how_many(bad):
    assert bad(teacher=np.ones((99, 1))) == (
        "rows differ: student (d.npz:student) 100, teacher teacher (d.npz:teacher) 99, "
        "label (d.npz:label) 100; all arrays must hold the same samples in order"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_say_where(bad, value):
    student = scene(100, 0.8, 1.0)["student"]
    student[17], student[40, 1] = value, value
    assert bad(student=student) == (
        "student (d.npz:student): 3 values in 2 rows are NaN or infinite, first in row 17 "
        "(counted from 0); leave those rows out of all arrays, or mend them"
    )
    label = np.random.default_rng(0).normal(size=100)
    label[3] = value
    assert "label (d.npz:label): 1 values in 1 rows are NaN or infinite, first in row 3" in bad(
        label=label
    )


def test_a_gap_in_a_csv_says_where(refused, tmp_path):
    for name, cells in (("x", ["1.5"] * 60), ("y", ["a", "b"] * 30)):
        cells[5] = ""
        rows = [f"{i},{cell}" for i, cell in enumerate(cells)]
        (tmp_path / f"{name}.csv").write_text("\n".join([f"i,{name}", *rows]) + "\n")
    x, y = tmp_path / "x.csv", tmp_path / "y.csv"
    line = refused("--student", f"{x}:x", "--teacher", f"{x}:i", "--label", f"{x}:i")
    assert "1 values in 1 rows are NaN or infinite, first in row 5" in line
    line = refused("--student", f"{x}:i", "--teacher", f"{x}:i", "--label", f"{y}:y")
    assert line.startswith(f"{y}:y: 1 values are missing, first in row 5 (counted from 0)")


def test_columns_of_a_large_offset_are_not_called_constant(bad):
    line = bad(teacher=1e9 + np.random.default_rng(0).normal(size=(100, 3)))
    assert line == (
        "teacher teacher (d.npz:teacher): all 3 columns vary by less than float32 resolves at that "
        "size; subtract each column's mean, if that is more than rounding"
    )


def test_constant_representations(bad):
    assert bad(teacher=np.full((100, 3), 2.0)) == (
        "teacher teacher (d.npz:teacher): all 3 columns are constant; "
        "a constant representation carries nothing"
    )


def test_too_few_rows(bad):
    few = scene(MIN_ROWS - 1, 0.8, 1.0)
    assert bad(**few) == f"d.npz: {MIN_ROWS - 1} rows are too few; give at least {MIN_ROWS}"


def test_one_class(bad):
    line = "label (d.npz:label): all 100 rows are of one class: 4"
    assert bad(label=np.full(100, 4)) == line


def test_a_constant_continuous_label(bad):
    line = bad("--task", "regression", label=np.full(100, 2.5))
    assert line == "label (d.npz:label): all 100 rows are the same value: 2.5"


@pytest.mark.parametrize(
    ("values", "kind"),
    [(np.array(["a", "b"] * 50), "text"), (np.ones((100, 2), complex), "complex numbers")],
)
def test_a_representation_that_is_no_numbers(bad, values, kind):
    assert bad(student=values) == f"student (d.npz:student): holds {kind}, expected numbers"


def test_two_columns_of_one_name_are_refused(refused, tmp_path):
    rows = [f"{i}.5,{i}.25,{i % 2}" for i in range(60)]
    (tmp_path / "s.csv").write_text("\n".join(["x,x,y", *rows]) + "\n")
    s = tmp_path / "s.csv"
    line = refused("--student", f"{s}:x", "--teacher", f"{s}:x", "--label", f"{s}:y")
    assert line == f"{s}: two columns are called 'x'; give each a name of its own"


def test_a_text_column_in_a_csv_taken_whole(refused, tmp_path):
    rows = [f"TCGA-{i},{i}.5" for i in range(60)]
    (tmp_path / "s.csv").write_text("\n".join(["sample,x", *rows]) + "\n")
    s = tmp_path / "s.csv"
    line = refused("--student", s, "--teacher", f"{s}:x", "--label", f"{s}:x")
    assert line == f"student ({s}:sample): holds text, expected numbers"
    rows = [f"{row},1" for row in rows]
    s.write_text("\n".join(["sample,x,y", *rows]) + "\n")
    line = refused("--student", s, "--teacher", f"{s}:x", "--label", f"{s}:x")
    assert "column 'sample' holds text ('TCGA-0' in row 0, counted from 0), expected" in line
    assert "; name the columns to use" in line
    # One wrong cell makes texts of the whole column: it is that one which is named.
    rows = [f"{i}.5,{'abc' if i == 9 else i},1" for i in range(60)]
    s.write_text("\n".join(["x,z,y", *rows]) + "\n")
    line = refused("--student", s, "--teacher", f"{s}:x", "--label", f"{s}:y")
    assert "column 'z' holds text ('abc' in row 9, counted from 0), expected numbers" in line


def test_a_csv_without_header_or_rows(refused, tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("1,2.5\n3,4\n")
    line = refused("--student", path, "--teacher", path, "--label", path)
    assert line == f"{path}: has no header: its first line is numbers; give the columns names"
    path.write_text("a;b\n1;2\n")
    line = refused("--student", path, "--teacher", path, "--label", path)
    assert line == f"{path}: is separated by semicolons; write it with commas"
    path.write_text("a,b\n")
    line = refused("--student", path, "--teacher", path, "--label", path)
    assert line == f"{path}: has a header but no rows"


def test_images_are_not_flattened_silently(bad):
    assert bad(student=np.ones((100, 4, 4))) == (
        "student (d.npz:student): has shape (100, 4, 4), expected (rows, columns); "
        "flatten it to (100, columns)"
    )


def test_labels_of_the_wrong_shape(bad):
    assert bad(label=np.ones((100, 3))) == (
        "label (d.npz:label): has shape (100, 3), expected (rows,); give one column"
    )
    assert bad(label=np.eye(4)[np.arange(100) % 4]) == (
        "label (d.npz:label): has shape (100, 4), expected (rows,); "
        "it looks one-hot: give values.argmax(axis=1)"
    )
    assert "label (d.npz:label): has shape (), expected (rows,)" in bad(label=np.array(3))


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (np.arange(100) % 3 * 1.0, "3 distinct whole numbers"),
        (np.arange(100) % 3 / 2, "3 distinct values"),
    ],
)
def test_a_float_label_that_may_be_classes(bad, label, said):
    assert bad(label=label) == (
        f"label (d.npz:label): {said} stored as floats: classes or continuous?; "
        "say --task classification or --task regression"
    )


def test_a_task_that_does_not_fit_the_label(bad):
    words = np.array(["a", "b"] * 50)
    assert "holds text, which is no continuous label" in bad("--task", "regression", label=words)
    fractions = np.arange(100) % 7 / 3
    line = bad("--task", "classification", label=fractions)
    assert line == (
        "label (d.npz:label): holds fractions, which are no classes; say --task regression"
    )


def test_pickled_objects_are_never_loaded(bad):
    line = bad(label=np.array([{"a": 1}] * 100, dtype=object))
    assert line == (
        "d.npz: array 'label' holds pickled Python objects, which are never loaded; "
        "save it as an array of numbers or strings"
    )


def test_two_teachers_of_one_name(bad):
    line = bad("--teacher", "student", "--teacher", "teacher")
    assert line == "--teacher: two teachers are called 'teacher'; name them: NAME=PLACE"


def test_settings_that_cannot_be(bad, tmp_path):
    assert bad("--repeats", 0) == "--repeats: is 0, expected at least 1"
    assert "expected at least 2, or 0 for no calibration" in bad("--calibration-repeats", 1)
    assert bad("--option", "k") == "--option: 'k' is no NAME=VALUE; write for example k=5"
    line = bad("--option", "k=3", "--option", "k=5")
    assert line == "--option: k is there twice; say which value it has"
    assert bad("--option", "k=[") == "--option: '[' of k is no value"
    assert bad("--option", "q=1") == "ksg: has no option 'q'; it has k, backend, device"
    assert bad("--option", "device=foo") == "ksg: device = 'foo' is no device; take cpu or cuda"
    assert bad("--estimator", "infonce").startswith("--estimator: infonce is a bound, no estimate")
    assert "there is no estimator 'nn'" in bad("--estimator", "nn")
    assert bad("--out", tmp_path) == f"{tmp_path}: is a folder; name a file"
    line = bad("--out", tmp_path / "d.npz" / "new" / "v.json")
    assert line == "d.npz/new/v.json: cannot be written: d.npz is no folder to write in"
    line = bad("--out", tmp_path / "d.npz")
    assert line == "d.npz: is one of the files that are read; name another for --out"
    (tmp_path / "link").symlink_to(tmp_path / "d.npz")
    assert bad("--out", tmp_path / "link") == line
    os.mkfifo(tmp_path / "pipe")
    assert bad("--out", tmp_path / "pipe") == "pipe: is no regular file; name another"


def test_a_seed_below_zero(bad):
    assert bad("--seed", -1) == "--seed: is -1, expected 0 or more"


@pytest.mark.parametrize("classes", [2, 100])
def test_classes_of_one_row_are_no_classes(bad, classes):
    label = np.minimum(np.arange(100), classes - 1)[::-1]  # all but the last class have one row
    found = f"{int(classes == 2)} of {classes} classes have more than one row"
    assert f"label (d.npz:label): {found} ({99 * (classes == 2)} of 100 rows)" in bad(label=label)


def test_more_classes_than_can_be_calibrated(bad, cch, tmp_path):
    label = np.arange(100) % 45
    assert bad(label=label) == (
        "calibration: 45 classes are too many for samples of known information in 2 columns; "
        "merge classes, or say --calibration-repeats 0"
    )
    flags = judged(cch, tmp_path, "--calibration-repeats", "0", **scene(100, 0.8, 1.0, classes=45))
    assert flags["flags"] == ["label: 45 classes in 100 rows"]


@pytest.mark.parametrize("size", [1e300, 1e-300, 2.0**1020])
def test_values_of_any_size_give_the_same_answer(cch, tmp_path, size):
    plain = scene(100, 0.8, 1.0)
    expected = judged(cch, tmp_path, **plain)
    # A power of two near the size, so that scaling is exact and the answers are equal.
    scale = 2.0 ** round(math.log2(size))
    found = judged(cch, tmp_path, **plain | {"student": plain["student"] * scale})
    assert found["teachers"][0]["evidence"]["low"] == expected["teachers"][0]["evidence"]["low"]
    assert found["student_label"]["estimates"] == expected["student_label"]["estimates"]
    assert len(found["flags"]) == 1
    assert found["flags"][0].startswith("student: 2 of 2 columns rescaled, their values are up to")


def test_subnormal_values_are_rescaled_too(cch, tmp_path):
    plain = scene(100, 0.8, 1.0)
    found = judged(cch, tmp_path, **plain | {"teacher": plain["teacher"] * 1e-318})
    assert found["flags"][0].startswith("teacher teacher: 1 of 1 columns rescaled")
    # 1e-318 keeps some five digits of each value.
    expected = judged(cch, tmp_path, **plain)["teachers"][0]["evidence"]["gap"]
    assert found["teachers"][0]["evidence"]["gap"] == pytest.approx(expected, abs=0.01)


def test_a_teacher_that_is_the_student_is_said_to_be(cch, tmp_path):
    arrays = scene(100, 0.8, 1.0)
    student = arrays["student"]
    infinite = "where they are continuous the true I(teacher; student) is infinite"
    for teacher, what in [
        (student, "the array is the student's"),
        (np.c_[arrays["teacher"], student[:, 1]], "1 of 2 columns are the student's"),
    ]:
        flags = judged(cch, tmp_path, **arrays | {"teacher": teacher})["flags"]
        assert len(flags) == 1
        assert flags[0].startswith(f"teacher teacher: {what}; {infinite}")
    assert judged(cch, tmp_path, **arrays)["flags"] == []


def test_a_representation_that_holds_the_label_is_flagged(cch, tmp_path):
    arrays = scene(100, 0.8, 1.0)
    arrays["student"] = np.c_[arrays["student"], arrays["label"]]
    assert judged(cch, tmp_path, **arrays)["flags"] == ["student: a column is the label"]


@pytest.mark.parametrize(
    ("line", "said"),
    [("5,1", "line 7 has 2 values, expected 3; mend that line"), ("5,1,2,3", "line 7, saw 4")],
)
@pytest.mark.parametrize("index", [False, True])
def test_a_ragged_csv_names_the_line(refused, tmp_path, line, said, index):
    rows = [f"{number},1,{number % 2}" for number in range(100)]
    rows[5] = line
    if index:
        rows = [f"{number},{row}" for number, row in enumerate(rows)]
        said = said.replace("3;", "4;").replace("2 values", "3 values").replace("saw 4", "saw 5")
    (tmp_path / "d.csv").write_text("\n".join(["a,b,c", *rows]) + "\n")
    found = refused(tmp_path / "d.csv", "--student", "a", "--teacher", "b", "--label", "c")
    assert said in found


def test_a_calibration_that_does_not_fit_in_memory(bad, monkeypatch):
    monkeypatch.setattr("cch.criterion.verdict.CALIBRATION_GB", 1e-6)
    assert "calibration: 32 samples of 100 rows and 3 columns take 7.68e-05 GB" in bad()


def test_a_damaged_archive(refused, tmp_path):
    np.savez_compressed(tmp_path / "d.npz", **scene(100, 0.8, 1.0))
    content = bytearray((tmp_path / "d.npz").read_bytes())
    content[80:200] = bytes(120)
    (tmp_path / "d.npz").write_bytes(content)
    line = refused(tmp_path / "d.npz", "--student=student", "--teacher=teacher", "--label=label")
    assert line.startswith(f"{tmp_path}/d.npz: array 'student' is not readable")


@pytest.mark.slow
def test_the_documented_example_runs_and_says_what_the_page_says(
    bounds, cch, tmp_path, monkeypatch
):
    page = (ROOT / "docs" / "verdict.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    command = next(line for line in page.splitlines() if line.startswith("cch verdict example"))
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "docs/verdict.md", "exec"), {})
    status, out, _ = cch(*command.split()[1:])
    assert status == 0

    def shown(text):
        """Name, verdict and ground of each teacher, and its numbers."""
        rows = [line.replace("bound (", "bound(").split() for line in text.splitlines()]
        return [(r[:3], [float(n) for n in r[3:]]) for r in rows if r and r[0] in TEACHERS]

    found, printed = shown(out), shown(page.partition("n = 1000 rows")[2])
    assert [words[1] for words, _ in found] == ["holds", "undecided", "undecided"]
    for (words, numbers), (expected, values) in zip(found, printed, strict=True):
        assert words == expected
        # Another processor rounds otherwise, and training makes more of it.
        assert numbers == pytest.approx(values, abs=0.02)


TEACHERS = ("rna", "rppa", "cnv")
