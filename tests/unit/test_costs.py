"""What a configuration takes: counts and work by hand, seconds by a throughput that is given."""

import json

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from cch import cli
from cch.base.errors import CchError
from cch.base.files import write_json
from cch.config import load, read
from cch.config.registry import ESTIMATORS
from cch.config.specs import SelectSpec, calibrate_spec, estimate_spec, read_train_spec, train_spec
from cch.config.work import Size, Work, dataset_size
from cch.information.autoencoders import Shape
from cch.information.estimator import CheckedEstimator, get_estimator
from cch.information.work import calibrate_work, estimate_work
from cch.paper.theory.stage import simulation_work
from cch.records.record import Recorder
from cch.training.work import selection_work, training_work
from cch.workflow import costs as module
from cch.workflow.costs import Benchmarks, Costs, Job, Probe, Works, costs, duration, operations
from cch.workflow.planning import Plan
from support import ROOT, overlay, raw_config

# One study of two teachers' levels, three seeds; everything else of the configuration is away.
SMALL = {
    "studies": dict.fromkeys(
        ("mnistm-a20", "mnistm-a18", "mosei-vision", "mosei-audio", "brca", "brca-rppa")
    )
    | {
        "synthetic": {
            "information": {
                "estimators": ["ksg"],
                "runs": 2,
                "options": {"latent-light": None, "mine": None},
                "calibration": {"repeats": 3, "truths": [1], "shares": [0.5]},
            },
            "degradation": {"levels": [0, 0.7]},
            "distillation": {"weights": [0.3, 0.8]},
        }
    },
}
STUDY = "synthetic"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No results or raw files of this checkout."""
    monkeypatch.chdir(tmp_path)


def small_plan() -> Plan:
    return Plan(overlay(raw_config("demo"), SMALL), ROOT)


@pytest.fixture
def measured(monkeypatch) -> None:
    """A throughput of a billion operations a second, in place of a measurement."""
    monkeypatch.setattr(module, "probe", lambda device, threads: Probe(device, threads, 1e9))


# Work by hand


def training_of(role: str) -> Work:
    plan = small_plan()
    size = dataset_size(plan.config.datasets[STUDY], "nowhere.h5")
    return training_work(read_train_spec(plan.train_spec(STUDY, role)), size)


@pytest.mark.parametrize(
    ("role", "runs"),
    # Teachers: 2 levels x 3 seeds; baselines: 3; students: 2 levels x 2 weights x 3 seeds.
    [("teacher", 6), ("baseline", 3), ("student", 12)],
)
def test_operations_of_training_by_hand(role, runs):
    taken = training_of(role)
    assert taken.runs == runs
    # Networks of 20-64-1, 40 epochs of 1,000 rows; six operations a weight.
    assert taken.operations == runs * 40 * 1_000 * 6 * (20 * 64 + 64 * 1)


def test_operations_of_a_fusion_by_hand():
    config = load(raw_config("demo"))
    study = config.studies["brca"]
    size = Size({"train": 100}, {study.teacher: 30, study.student: 7}, 3)
    taken = training_work(train_spec("brca", study, "fusion"), size)
    features = min(30, study.selection.features), 7
    units = study.fusion.encoder
    weights = sum(width * units + units * 3 for width in features) + 2 * units * 3
    rows = 100 - round(100 * study.split.test) - round(100 * study.split.valid)
    assert taken.runs == 3 * study.seeds
    assert taken.operations == taken.runs * study.fusion.training.epochs * rows * 6 * weights


def test_operations_of_a_selection_by_hand():
    asked = load(raw_config("demo")).studies["brca"].selection.model_copy(update={"features": 10})
    size = Size({"train": 50}, {"mrna": 200}, 3)
    spec = SelectSpec(dataset="brca", modality="mrna", selection=asked, split=None, seeds=4)
    assert selection_work(spec, size).operations == 4 * (1 + 10) * 2 * 50 * 200
    every = spec.model_copy(update={"selection": asked.model_copy(update={"features": None})})
    assert selection_work(every, size).operations == 4 * 2 * 50 * 200


def test_operations_of_estimates_by_hand():
    # Distances of all pairs of rows in every column: a difference, its size, a maximum.
    assert get_estimator("ksg").work(100, 4, 2, labels=False) == 3 * 100**2 * 6
    assert get_estimator("ksg").work(100, 4, 3, labels=True) == 3 * 100**2 * 4
    mine = get_estimator("mine", {"epochs": 10, "units": 8, "layers": 2, "shifts": 4})
    # Six tenths of the rows are trained on, each in one true pair and four others.
    assert mine.work(100, 4, 3, labels=True) == pytest.approx(
        10 * 60 * 5 * 6 * ((4 + 3) * 8 + 8 * 8 + 8)
    )
    light = get_estimator("latent-light", {"epochs": 10, "width": 16, "depth": 1, "N_dims": 8})
    # Half of the rows are trained on.
    parameters = Shape(16, 16, latent=8, width=16, depth=1).parameters()
    assert light.work(100, 16, 16, labels=False) == 10 * 50 * 6 * parameters


def test_estimates_of_a_study_by_hand():
    study = small_plan().config.studies[STUDY]
    size = Size({"train": 1_000, "test": 500}, {"x1": 20, "x2": 20}, 1)
    limit, units = min(500, study.information.limit), study.network.hidden[-1]
    taken = estimate_work(estimate_spec(STUDY, study.information, "ksg"), study, size)
    # Of 2 runs: I(teacher; student) and I(teacher; label) at 2 levels, I(student; label) once.
    assert taken.estimates == 2 * (2 + 2 + 1)
    assert taken.operations == 3 * limit**2 * (4 * 2 * units + 6 * (units + 1))
    taken = calibrate_work(calibrate_spec(STUDY, study.information, "ksg"), study, size)
    # Null and one truth, 3 samples each: at both levels, and of the label, which is a number.
    assert taken.estimates == 3 * (2 * 3)
    assert taken.operations == 3 * limit**2 * (12 * 2 * units + 6 * (units + 1))


def test_calibrations_of_the_image_study_take_less_than_a_tenth_of_its_estimates():
    """At the full configuration's sizes: 10,000 test rows for the estimates."""
    study = load(raw_config()).studies["mnistm-a20"]
    size = Size({"train": 60_000, "test": 10_000}, {"mnist": 784, "mnistm": 2352}, 10)
    total = {"estimate": 0.0, "calibrate": 0.0}
    for name in study.information.estimators:
        made = estimate_work(estimate_spec("s", study.information, name), study, size)
        total["estimate"] += made.operations
        made = calibrate_work(calibrate_spec("s", study.information, name), study, size)
        total["calibrate"] += made.operations
    assert 0 < total["calibrate"] < 0.1 * total["estimate"]


def test_settings_that_are_varied_are_calibrated_too():
    study = load(raw_config()).studies["mnistm-a18"]
    asked = study.information.calibration.model_copy(
        update={"settings": {"ksg": {"k": [1, 5, 10]}}, "repeats": 2, "shares": [0.5]}
    )
    information = study.information.model_copy(update={"calibration": asked})
    spec = calibrate_spec("mnistm-a18", information, "ksg")
    truths = len(asked.truths)
    taken = calibrate_work(spec, study, None)
    # Classes have shares in place of truths; other settings are looked at on the first level alone.
    levels = len(study.degradation.levels)
    assert taken.estimates == 2 * (levels * (1 + truths) + 2) + 3 * 2 * ((1 + truths) + 2)
    assert taken.operations is None


def test_an_estimator_that_does_not_say_its_work_makes_it_unknown(monkeypatch):
    class Other(CheckedEstimator):
        name = "other"
        version = "1"

        def _measure(self, sample, seed):
            raise NotImplementedError

    study = small_plan().config.studies[STUDY]
    size = Size({"train": 1_000, "test": 500}, {"x1": 20, "x2": 20}, 1)
    monkeypatch.setitem(ESTIMATORS._entries, "other", Other)
    taken = estimate_work(estimate_spec(STUDY, study.information, "other"), study, size)
    assert (taken.estimates, taken.operations) == (10, None)


def test_the_label_of_a_network_is_asked_about_once():
    config = load(raw_config())
    counts = {}
    for name, study in config.studies.items():
        spec = estimate_spec(name, study.information, study.information.estimators[0])
        counts[name] = estimate_work(spec, study, None).estimates
    # Of 5 runs: I(teacher; student) at 5 levels, both labels once.
    assert counts["mnistm-a20"] == 25 + 5 + 5
    # Every sigma_12 is a modality with teachers of its own: 8 of 10 runs.
    assert counts["synthetic"] == 80 + 80 + 10


def test_the_work_of_the_theory_grows_with_its_replications():
    spec = load(raw_config()).theory
    twice = spec.model_copy(update={"replications": 2 * spec.replications})
    assert simulation_work(twice).operations == 2 * simulation_work(spec).operations > 0


# Sizes


def test_a_synthetic_dataset_says_its_sizes_and_others_do_not():
    config = load(raw_config())
    known = {n: dataset_size(d, "nowhere.h5") is not None for n, d in config.datasets.items()}
    assert [name for name, there in known.items() if there] == ["synthetic"]
    found = dataset_size(config.datasets["synthetic"], "nowhere.h5")
    assert found.split(None) == {"train": 10_000, "valid": 0, "test": 5_000}


def test_a_file_that_is_there_says_its_own_size(tmp_path):
    with h5py.File(tmp_path / "brca.h5", "w") as file:
        file["label"] = np.arange(12) % 3
        file.attrs["class_names"] = json.dumps(["a", "b", "c"])
        file["modalities/mrna/values"] = np.zeros((12, 7), np.float32)
        file["modalities/cnv/values"] = np.zeros((12, 2, 5), np.float32)
    found = dataset_size(object(), tmp_path / "brca.h5")
    assert found == Size({"train": 12, "valid": 0, "test": 0}, {"mrna": 7, "cnv": 10}, 3)


def test_a_new_kind_of_dataset_is_unknown_and_no_error():
    plan = small_plan()
    works = Works(plan.config.studies, {STUDY: object()}, lambda name: f"{name}.h5")
    taken = works.of("train", plan.train_spec(STUDY, "student"))
    assert (taken.runs, taken.operations) == (12, None)
    job = Job("train", STUDY, 1, "train/a.tsv", "train", taken)
    assert Probe("cpu", 1, 1e9).seconds(job) is None
    assert works.of("a_new_rule", "{}") == Work(None)
    found = Costs([STUDY], [job], Probe("cpu", 1, 1e9), {})
    assert found.to_json()["total"]["jobs_of_unknown_seconds"] == 1
    assert any(line.startswith("unknown: seconds of 1 jobs: 1 train") for line in found.notes())


# Seconds


def test_seconds_are_work_over_throughput(measured):
    found = costs(small_plan()).to_json()
    (study, other), total = found["studies"], found["total"]
    assert (study["name"], other["name"]) == (STUDY, module.OTHER)
    assert study["runs"] == total["runs"] == 6 + 3 + 12
    # Ten by the estimator, 18 of its calibration, four bounds: 2 runs at 2 levels.
    assert study["estimates"] == 10 + 18 + 4
    for key in ("jobs", "estimates", "operations", "jobs_of_unknown_seconds"):
        assert total[key] == study[key] + other[key]
    assert total["seconds"] == pytest.approx(total["operations"] / 1e9)
    # Preparing and tables say no work.
    assert total["jobs_of_unknown_seconds"] == total["jobs_of_unknown_work"] > 2
    assert total["memory_mb"] == 4 * 1024 + 4000


def test_a_throughput_is_measured():
    assert module.probe("cpu", 1, seconds=0.01).rate > 1e6


STAGES = ("train", "tabulate")


def earlier_run(folder, seconds) -> None:
    """Benchmark files and records of two training jobs and a table."""
    plan = small_plan()
    config = plan.config.model_dump(mode="json")
    train, tabulate = (ROOT / "workflow" / "scripts" / f"{name}.py" for name in STAGES)
    for role in ("baseline", "student"):
        recorder = Recorder("train", train, [], {"spec": plan.train_spec(STUDY, role)})
        recorder.write(folder / "runs" / STUDY / f"{role}.record.json", [])
    given = {"spec": json.dumps({"config": config})}
    Recorder("tabulate", tabulate, [], given).write(folder / "tables" / "table13.record.json", [])
    for name, taken in seconds.items():
        path = folder / "benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{taken}\t0:00:01\n")


def test_an_earlier_run_says_seconds_by_work_and_means_of_the_rest(tmp_path):
    # 10 seconds whatever the work, and 1 for each model.
    taken = {"train/synthetic.baseline": 13.0, "train/synthetic.student": 22.0}
    earlier_run(tmp_path / "done", taken | {"tabulate/a": 2.0, "tabulate/b": 4.0, "ledger": 1.5})
    found = Benchmarks(tmp_path / "done")
    plan = small_plan()
    works = Works(plan.config.studies, plan.config.datasets, plan.paths.dataset)

    def seconds(kind: str, work: Work) -> float | None:
        return found.seconds(Job(kind, STUDY, 1, f"{kind}/a.tsv", kind, work))

    teachers = works.of("train", plan.train_spec(STUDY, "teacher"))
    assert seconds("train", teachers) == pytest.approx(10 + 6, rel=1e-3)
    assert seconds("tabulate", Work(None)) == 3
    assert seconds("ledger", Work(None)) == 1.5
    # Neither was run, and a mean of other work says nothing.
    assert seconds("estimate/ksg", Work(1e9)) is None
    assert seconds("train", Work(None, runs=3)) is None
    assert "as 5 jobs in" in found.said


def test_a_folder_without_benchmark_files_is_one_line(tmp_path):
    with pytest.raises(CchError, match="holds no benchmark files"):
        Benchmarks(tmp_path)


# The command


def test_the_command_prints_a_table_or_json_and_starts_nothing(tmp_path, measured):
    write_json(tmp_path / "mine.yaml", SMALL | {"compute": {"device": "cpu"}})
    named = ["--configfile", str(ROOT / "presets" / "demo.yaml"), "--configfile", "mine.yaml"]
    called = CliRunner().invoke(cli.app, ["plan", *named])
    assert called.exit_code == 0, called.output
    for name in (STUDY, module.OTHER, "total"):
        assert f"\n {name} " in called.stdout
    assert "at 1.0 GFLOP/s as measured now" in called.stdout
    assert "unknown: seconds of" in called.stdout
    called = CliRunner().invoke(cli.app, ["plan", "--json", *named])
    whole = json.loads(called.stdout)["total"]
    assert whole["runs"] == 21
    called = CliRunner().invoke(cli.app, ["plan", "table09", "--json", *named])
    assert called.exit_code == 0, called.output
    part = json.loads(called.stdout)["total"]
    assert part["jobs"] < whole["jobs"] and part["runs"] == 0
    for wrong, said in (("fig1", "the nearest are fig01"), ("a/b.json", "No rule to produce")):
        called = CliRunner().invoke(cli.app, ["plan", wrong, *named])
        assert said in str(called.exception)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"mine.yaml", ".snakemake"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no such configuration file"),
        ("a: [", "is no YAML"),
        ("- a", "holds no keys and values"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, monkeypatch, capsys, text, said):
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr("sys.argv", ["cch", "plan", "--configfile", str(path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith(f"cch: {path}: {said}")
    assert error.count("\n") == 1


def test_overlays_are_merged_as_snakemake_merges_them(tmp_path):
    (tmp_path / "top.yaml").write_text("studies: {synthetic: {seeds: 2}}\n")
    demo = ROOT / "presets" / "demo.yaml"
    merged = read([demo, tmp_path / "top.yaml"])
    assert merged == overlay(raw_config("demo"), {"studies": {"synthetic": {"seeds": 2}}})
    for path in (tmp_path, tmp_path / "top.yaml" / "below"):
        with pytest.raises(CchError, match="no such configuration file"):
            read([demo, path])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(41.6, "42 s"), (120, "2 min"), (7_199, "120 min"), (7_200, "2.0 h"), (200_000, "2.3 d")],
)
def test_durations_in_words(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, ""),
        (5_000, "0.0 MFLOP"),
        (2.5e6, "2.5 MFLOP"),
        (1.2e12, "1.2 TFLOP"),
        (3e19, "30.0 EFLOP"),
    ],
)
def test_operations_in_words(count, said):
    assert operations(count) == said
