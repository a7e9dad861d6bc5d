"""What a configuration takes: counts and arithmetic by hand, beside measured sums, and no clock."""

import json
import math

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from cch import cli
from cch.config import load, read
from cch.costs import Costs, costs, step_of, throughput, time_limit
from cch.costs.render import duration, notes
from cch.costs.sizes import UNKNOWN_FEATURES, Size, size
from cch.errors import CchError
from cch.planning import Plan
from cch.training.stack import Member, _chunks_by_group
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
                "options": None,
                "calibration": {"repeats": 3, "truths": [1], "shares": [0.5]},
            },
            "degradation": {"levels": [0, 0.7]},
            "distillation": {"weights": [0.3, 0.8]},
        }
    },
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No results or raw files of this checkout, and no mirror."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CCH_MIRROR", raising=False)


def small_plan() -> Plan:
    raw = overlay(raw_config("demo"), SMALL)
    # The overlay keeps what the demo's options name.
    raw["studies"]["synthetic"]["information"]["options"] = {}
    return Plan(raw, ROOT)


def planned_costs(preset: str | None) -> Costs:
    return costs(Plan(raw_config(preset), ROOT))


def test_runs_and_estimates_by_hand():
    found = costs(small_plan())
    (synthetic,) = [part for part in found.parts if part.name == "synthetic"]
    # Teachers: 2 levels x 3 seeds; baselines: 3; students: 2 levels x 2 weights x 3 seeds.
    assert synthetic.sum("runs") == 6 + 3 + 12
    # I(teacher; student) at 2 levels of 2 runs, I(student; label) of 2 runs.
    assert synthetic.sum("estimates") == 4 + 2
    # Null and one truth, 3 samples each, of both quantities: the label is a number.
    assert synthetic.sum("calibrating") == 2 * (2 * 3)
    counts = synthetic.counts
    assert {step: counts[step] for step in ("prepare", "select", "train", "estimate")} == {
        "prepare": 1,
        "select": 0,
        "train": 3,
        "estimate": 2,
    }
    assert counts["calibrate"] == 1


def test_seconds_of_training_by_hand():
    plan = small_plan()
    study = plan.config.studies["synthetic"]
    sizes = size(plan.config, "synthetic", "nowhere.h5")
    taken = throughput.training(study, "student", sizes, memory_gb=4)
    # 12 students of 20-64-1 in one chunk, 40 epochs of 1,000 rows in 4 batches of 256. The engine
    # fills the last layer up to 16 units.
    parameters, steps = 21 * 64 + 65 * 16, 40 * 4
    rows = 12 * 40 * 1000
    expected = (
        throughput.TRAIN_START
        + steps * throughput.TRAIN_STEP
        + 12 * steps * (throughput.TRAIN_MEMBER_STEP + parameters * throughput.TRAIN_PARAMETER_STEP)
        + rows
        * (parameters * throughput.TRAIN_PARAMETER_ROW + 64 * throughput.TRAIN_ACTIVATION_ROW)
    )
    assert taken.cpu == pytest.approx(expected)
    assert taken.gpu == pytest.approx(
        throughput.GPU_START
        + steps * throughput.GPU_STEP
        + 6 * parameters * rows / throughput.GPU_FLOPS
    )
    # Teachers of two levels are two stacks, one after the other.
    both = throughput.training(study, "teacher", sizes, memory_gb=4)
    assert both.gpu > throughput.GPU_START + 2 * steps * throughput.GPU_STEP
    assert taken.cpu_bytes > throughput.TORCH_BYTES


def test_seconds_of_estimates_by_hand():
    study = small_plan().config.studies["synthetic"]
    batch = throughput.Batch(6, 300, (64, 64))
    taken = throughput.estimation(study, "ksg", [batch], 4, calibrates=False)
    pairs = 6 * 300**2 * 128
    assert taken.cpu == pytest.approx(4.6 + 6 * 0.02 + 0.53e-9 * pairs)
    assert (taken.estimates, taken.calibrating) == (6, 0)
    mine = throughput.estimation(study, "mine", [batch, batch], 4, calibrates=True)
    # 200 epochs unless the configuration says otherwise.
    assert mine.cpu == pytest.approx(6.6 + 2 * (200 * 3.4e-3 + 6 * 200 * 300 * 1.75e-6))
    assert (mine.estimates, mine.calibrating) == (0, 12)


@pytest.mark.slow
def test_time_limits_are_those_of_the_longest_job():
    def limit(change: dict, rules: str = "calibrate_estimator") -> int:
        return time_limit(Plan(overlay(raw_config(), change), ROOT), rules)

    cpu = {"compute": {"device": "cpu"}}
    # 32 hours by `cch plan`.
    assert limit(cpu) == pytest.approx(60 + 2 * 32.1 * 60, rel=0.01)
    assert 60 < limit({}) < limit(cpu)
    assert 60 < limit({}, "train_") < limit(cpu, "train_") < limit(cpu)
    images = dict.fromkeys(("mnistm-a20", "mnistm-a18", "mosei-vision", "mosei-audio", "synthetic"))
    assert 60 < limit(overlay(cpu, {"studies": images})) < limit(cpu) / 10


@pytest.mark.parametrize("fitting", [1, 2, 5, 6, 7, 11, 30, 100])
@pytest.mark.parametrize("together", [1, 4, 6])
def test_chunks_are_those_of_the_engine(fitting, together):
    members = [Member(("student", seed), seed) for _ in range(together) for seed in range(5)]
    stack = throughput.Stack(len(members), 5, None, 0)
    assert throughput._chunks(stack, fitting) == len(_chunks_by_group(members, fitting))


def test_the_label_of_a_network_is_asked_about_once():
    config = load(raw_config())
    sizes = {name: size(config, name, "nowhere.h5") for name in config.datasets}
    count = {
        (name, quantity): throughput.estimating(study, sizes[study.dataset], quantity).count
        for name, study in config.studies.items()
        for quantity in ("teacher-student", "student-label", "teacher-label")
    }
    assert count["mnistm-a20", "teacher-student"] == 25
    assert count["mnistm-a20", "teacher-label"] == count["mnistm-a20", "student-label"] == 5
    # Every sigma_12 is a modality with teachers of its own.
    assert count["synthetic", "teacher-label"] == count["synthetic", "teacher-student"] == 80


# Sizes


def test_sizes_that_are_known_without_data():
    config = load(raw_config())
    assert size(config, "mnistm-a20", "x.h5").parts == {"train": 60_000, "test": 10_000}
    assert size(config, "kipan", "x.h5").rows == 767
    assert size(config, "brca", "x.h5").features == {"mrna": 60_660, "cnv": 60_623, "rppa": 487}
    assert size(config, "mosei", "x.h5").parts["test"] == 4_662
    synthetic = size(config, "synthetic", "x.h5")
    assert (synthetic.rows, synthetic.stored) == (15_000, 150_000)
    assert synthetic.values == 150_000 * 9 * 100
    assert not any(size(config, name, "x.h5").assumed for name in config.datasets)


def test_a_file_that_is_there_says_its_own_size(tmp_path):
    with h5py.File(tmp_path / "brca.h5", "w") as file:
        file["label"] = np.arange(12) % 3
        file.attrs["class_names"] = json.dumps(["a", "b", "c"])
        file["modalities/mrna/values"] = np.zeros((12, 7), np.float32)
        file["modalities/cnv/values"] = np.zeros((12, 5), np.float32)
    found = size(load(raw_config()), "brca", tmp_path / "brca.h5")
    assert found == Size({"train": 12, "valid": 0, "test": 0}, {"mrna": 7, "cnv": 5}, 3, 12, 144)


def test_what_is_not_known_is_said_to_be_assumed(tmp_path):
    (tmp_path / "a.csv").write_text("id,x,y\n" + "s,1,2\n" * 40)
    (tmp_path / "b.tsv").write_text("gene\t" + "\t".join(map(str, range(40))) + "\n" + "g\t1\n" * 9)
    files = {
        "one": {"file": "a.csv"},
        "two": {"file": "b.tsv", "rows": "features"},
        "three": {"file": "not-there.csv"},
    }
    own = {"kind": "matrices", "title": "x", "files": files, "labels": {"file": "l.csv"}}
    config = load(overlay(raw_config(), {"datasets": {"own": own}}))
    found = size(config, "own", "x.h5")
    assert found.features == {"one": 2, "two": 9, "three": UNKNOWN_FEATURES}
    assert found.rows == 40
    assert "not-there.csv" in found.assumed
    assert "5 classes of l.csv" in found.assumed


# Against measured runs


# Seconds by the clock of the demo's jobs, by kind: `make demo` on two cores, one thread a job
# (sums over results/demo/benchmarks). They are within a tenth of the processor time.
DEMO = {
    "prepare": 8.4,
    "select": 9.2,
    "train": 236.6,
    "estimate": 282.5,
    "calibrate": 59.9,
    "tables": 121.1,
    "theory": 33.7,
    "pages": 5.1,
}
# The same of the cohorts of the open preset, where other work shared the cores: by the clock, and
# processor time.
COHORTS = {
    "prepare": (18.2, 12.4),
    "select": (1963.7, 983.9),
    "train": (2539.7, 1277.0),
    "estimate": (1066.4, 755.6),
    "calibrate": (371.8, 282.3),
    "tables": (213.0, 164.0),
}


def seconds_by_kind(parts):
    sums = {}
    for part in parts:
        for job, taken in part.jobs:
            sums[step_of(job)] = sums.get(step_of(job), 0) + taken.cpu
    return sums


def test_the_demo_is_within_a_factor_of_two_of_its_measured_run():
    estimated = seconds_by_kind(planned_costs("demo").parts)
    assert estimated.pop("fetch") == 0
    assert set(estimated) == set(DEMO)
    ratios = {kind: estimated[kind] / DEMO[kind] for kind in DEMO}
    assert all(0.5 < ratio < 2 for ratio in ratios.values()), ratios


def test_the_cohorts_are_within_a_factor_of_two_of_their_measured_run():
    found = planned_costs("open")
    cohorts = ("brca", "kipan", "lihc")
    parts = [part for part in found.parts + found.left_out if part.name.startswith(cohorts)]
    estimated = seconds_by_kind(parts)
    for kind, measured in COHORTS.items():
        assert all(0.5 < estimated[kind] / seconds < 2 for seconds in measured), kind


# The command


def test_a_study_that_waits_for_a_file_is_beside_the_total():
    found = planned_costs(None)
    assert [part.name for part in found.left_out] == ["mosei-vision", "mosei-audio"]
    names = [job.about for job, _ in found.total.jobs]
    assert not any("mosei" in "/".join(about) for about in names)
    # Fifty teachers, fifty baselines, fifty students at each of five levels.
    assert [part.sum("runs") for part in found.left_out] == [350, 350]
    assert sum("left out of `all`: mosei" in line for line in notes(found)) == 2


def test_the_command_prints_totals_that_add_up_and_starts_nothing(tmp_path):
    called = CliRunner().invoke(
        cli.app, ["plan", "--json", "--configfile", str(ROOT / "presets" / "demo.yaml")]
    )
    assert called.exit_code == 0, called.output
    found = json.loads(called.stdout)
    for key in ("runs", "estimates", "calibration_estimates"):
        assert found["total"][key] == sum(part[key] for part in found["studies"])
    assert found["total"]["jobs"]["total"] == sum(p["jobs"]["total"] for p in found["studies"])
    seconds = math.fsum(part["cpu"]["seconds"] for part in found["studies"])
    assert found["total"]["cpu"]["seconds"] == pytest.approx(seconds, abs=1)
    assert "no GPU was measured" in found["gpu"]
    assert list(tmp_path.iterdir()) == []


def test_the_table_says_that_no_gpu_was_measured():
    called = CliRunner().invoke(
        cli.app, ["plan", "--configfile", str(ROOT / "presets" / "demo.yaml")]
    )
    assert called.exit_code == 0, called.output
    assert "no GPU was measured" in called.stdout
    for name in ("synthetic", "brca-rppa", "theory and pages", "all"):
        assert f"\n {name} " in called.stdout
    assert "longest job: train/mnistm-a20.student" in called.stdout


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
