"""A cell made anew: bit for bit, and nothing trained that it does not rest on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from typer.testing import CliRunner

from cch import recompute as module
from cch.audit import audit
from cch.cli import app
from cch.config import Theory
from cch.errors import CchError
from cch.files import sha256_file, write_json
from cch.recompute import TOLERANCE, recompute
from cch.theory.documents import DOCUMENTS
from cch.theory.stage import simulate_all
from small_tree import CHANGE, RESULTS, STUDY


@pytest.fixture
def tree(small_run, own_copy) -> Path:
    """A copy of a run whose networks were trained; it is the working folder."""
    return own_copy(small_run(trained=True))


def digests() -> dict[str, str]:
    return {str(path): sha256_file(path) for path in Path().rglob("*") if path.is_file()}


def trained(done) -> Counter[str]:
    """How many runs were trained by role."""
    return Counter(part.what.partition(",")[0] for part in done.parts if part.kind == "run")


def test_a_trained_run_passes_the_audit_strictly(tree):
    assert audit(RESULTS).lines(strict=True) == []


@pytest.mark.parametrize(
    ("cell", "runs", "estimates"),
    [
        ("table13/0/kd", {"teacher": 3, "student": 3}, 0),
        ("table13/1.5/kd", {"teacher": 3, "student": 3}, 0),
        ("table13/0/no-kd", {"baseline": 3}, 0),
        ("table13/1.5/difference", {"teacher": 3, "baseline": 3, "student": 3}, 0),
        ("table13/notes/teacher-accuracy", {"teacher": 3}, 0),
        ("table13/0/student-label", {"baseline": 2}, 2),
        ("table13/1.5/teacher-student", {"teacher": 2, "baseline": 2}, 2),
        ("table13/1.5/mi-gap", {"teacher": 2, "baseline": 2}, 4),
        ("table13/notes/teacher-label", {"teacher": 2}, 2),
        (f"criterion-{STUDY}/1.5/ksg-low", {"teacher": 2, "baseline": 2}, 4),
        (f"criterion-{STUDY}/0/ksg-verdict", {"teacher": 2, "baseline": 2}, 4),
        (f"criterion-{STUDY}/0/effect-t3-w0.5", {"teacher": 3, "baseline": 3, "student": 3}, 0),
        (f"calibration-{STUDY}/student-label-h0.5/ksg-bias", {"baseline": 1}, 0),
        (f"calibration-{STUDY}/teacher-student-1/ksg-sd", {"teacher": 1, "baseline": 1}, 0),
        (f"sweep-{STUDY}/1.5/ksg-gap", {"teacher": 2, "baseline": 2}, 4),
    ],
)
def test_a_cell_is_the_same_again_and_nothing_else_is_trained(tree, cell, runs, estimates):
    before = digests()
    done = recompute(cell, RESULTS)
    assert done.identical and done.passed
    assert not done.elsewhere
    assert trained(done) == runs
    assert sum(part.kind == "estimate" for part in done.parts) == estimates
    assert digests() == before


def test_results_under_an_absolute_path_are_not_written_to(tree, monkeypatch):
    """Joining a scratch folder with an absolute path gives the absolute path."""
    absolute = str(tree / RESULTS)
    for path in Path(RESULTS).rglob("*.json"):
        path.write_text(path.read_text().replace(f'"{RESULTS}/', f'"{absolute}/'))
    before = digests()
    monkeypatch.chdir("/")
    done = recompute("table13/0/kd", absolute)
    assert done.passed
    assert trained(done)["student"] > 0
    monkeypatch.chdir(tree)
    assert digests() == before


def test_one_case_of_a_calibration_is_estimated_and_no_other(tree):
    done = recompute(f"calibration-{STUDY}/teacher-student-1/ksg-mean", RESULTS)
    samples = [part for part in done.parts if part.kind == "calibration sample"]
    assert [part.what for part in samples] == [f"teacher-student, 1, sample {i}" for i in range(3)]


@pytest.mark.parametrize("cell", ["table12/epochs/value", "table12/split/value"])
def test_settings_and_counts_are_counted_again(tree, cell):
    done = recompute(cell, RESULTS)
    assert done.counts() == ["1 counted again, 1 identical"]
    assert done.passed


def test_a_theory_cell_is_simulated_again_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = Theory(
        dimension=20, kappas=[0.5, 2.0], lambdas=[0.0, 0.3], sigma_12=[0.7], teacher_label=[0.9],
        replications=4,
    )  # fmt: skip
    path = "results/theory/simulation.json"
    Path(path).parent.mkdir(parents=True)
    with module.threads_of({}):  # one, as the rule has
        simulate_all(spec, path)
    from cch.record import Recorder
    from support import ROOT

    script = ROOT / "workflow" / "scripts" / "theory_simulate.py"
    params = {"spec": spec.model_dump_json()}
    recorder = Recorder("theory_simulate", script, [], params)
    recorder.facts["generator"] = {"kind": "theory", "seed": 0}
    recorder.write("results/theory/simulation.record.json", [path])
    for name in ("theory", "theory-region"):
        write_json(f"results/tables/{name}.json", DOCUMENTS[name](spec, path))
        Recorder("theory_tabulate", script, [path], params).write(
            f"results/tables/{name}.record.json", [f"results/tables/{name}.json"]
        )
    assert audit("results").lines() == []
    seen = []
    original = simulate_all
    monkeypatch.setattr(
        "cch.theory.stage.simulate_all", lambda s, p: (seen.append(s), original(s, p))
    )
    done = recompute("theory/s0.7-k2-l0.3/change", "results")
    assert done.counts() == ["4 replications simulated, 4 identical"]
    assert done.passed
    assert (seen[0].kappas, seen[0].lambdas) == ([2.0], [0.3])
    assert recompute("theory-region/c0.9-3/monte-carlo", "results").identical


def tamper(path: str, change) -> None:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    change(content)
    Path(path).write_text(json.dumps(content), encoding="utf-8")


def change_value(by: float) -> None:
    """Move the stored value of table13/0/no-kd."""

    def change(document):
        document["cells"]["0/no-kd"]["value"] += by

    tamper(f"{RESULTS}/tables/table13.json", change)


def test_a_cell_that_was_not_run_says_so(tree):
    def not_run(document):
        flags = ["not run in this configuration: T = 3, λ = 0.5"]
        document["cells"]["0/kd"].update(value=None, n=0, flags=flags)

    tamper(f"{RESULTS}/tables/table13.json", not_run)
    with pytest.raises(CchError, match=r"has no value \(not run in this configuration: T = 3"):
        recompute("table13/0/kd", RESULTS)


def test_linear_algebra_has_as_many_threads_as_the_job_had():
    def of_blas():
        return {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}

    with threadpool_limits(limits=2):
        with module.threads_of({"threads": 1}):
            assert of_blas() == {1}
            assert torch.get_num_threads() == 1
        assert of_blas() == {2}


def test_a_stored_value_that_was_changed_is_not_reproduced(tree):
    path = f"{RESULTS}/information/{STUDY}/ksg.student-label.json"
    tamper(path, lambda d: d["estimates"][0].update(value=d["estimates"][0]["value"] + 1e-12))
    done = recompute("table13/0/student-label", RESULTS)
    assert done.counts()[1] == "2 estimates made, 1 identical"
    assert not done.identical
    assert not done.passed
    assert any("within the tolerance" in line for line in done.lines())


def test_stored_outputs_of_another_run_are_not_identical(tree):
    import h5py

    with h5py.File(f"{RESULTS}/runs/{STUDY}/baseline.h5", "r+") as file:
        file["logits"][0, 0, 0] += 1e-3
    done = recompute("table13/0/no-kd", RESULTS)
    assert done.counts() == ["3 runs trained, 2 identical"]
    assert not done.passed


@pytest.mark.parametrize("part", ["platform", "processor"])
def test_elsewhere_a_tolerance_holds_and_is_said(tree, part):
    for role in ("teacher", "baseline", "student"):
        path = f"{RESULTS}/runs/{STUDY}/{role}.record.json"
        tamper(path, lambda r: r["environment"].update({part: "another"}))
    change_value(1e-6)
    done = recompute("table13/0/no-kd", RESULTS)
    assert (done.identical, done.passed) == (False, True)
    assert any(f"elsewhere: {part}" in x and "made in another" in x for x in done.lines())
    assert done.to_json()["tolerance"] == TOLERANCE
    change_value(0.2)
    assert not recompute("table13/0/no-kd", RESULTS).passed


@pytest.mark.parametrize(
    ("stored", "again", "close"),
    [
        ({"accuracy": 0.5, "mse": 10.0}, {"accuracy": 0.519, "mse": 10.19}, True),
        ({"accuracy": 0.5}, {"accuracy": 0.53}, False),
        ({"mse": 1.0}, {"mse": 1.03}, False),
        ({"auc": None}, {"auc": None}, True),
        ({"auc": None}, {"auc": 0.5}, False),
        (4.0, 4.15, True),
        (0.1, 0.16, False),
    ],
)
def test_what_is_close(stored, again, close):
    assert module._close(stored, again) == close


def test_another_dataset_file_is_refused(tree):
    path = Path(f"{RESULTS}/datasets/{STUDY}.h5")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CchError, match=r"is not the file that the runs were trained on"):
        recompute("table13/0/no-kd", RESULTS)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_stored_runs_that_cannot_be_read_name_the_command(tree, damage):
    path = Path(f"{RESULTS}/runs/{STUDY}/baseline.h5")
    Path("small.yaml").write_text(json.dumps(CHANGE), encoding="utf-8")
    path.write_bytes(b"none") if damage == "cut" else path.unlink()
    with pytest.raises(CchError) as error:
        recompute("table13/0/no-kd", tree / RESULTS)
    said = str(error.value)
    assert said.startswith(f"{path}: ")
    assert ("; delete it and make it again: " in said) == (damage == "cut")
    assert f"make it again: snakemake --cores 2 {path} --snakefile" in said
    assert said.endswith(" --configfile small.yaml")


def test_cells_of_other_kinds_are_refused_in_one_line(tree):
    path = f"{RESULTS}/tables/table13.json"
    tamper(path, lambda d: d["cells"]["0/kd"]["query"].update(kind="funnel"))
    with pytest.raises(CchError, match=r"cells of kind 'funnel' cannot be recomputed; these can"):
        recompute("table13/0/kd", RESULTS)


def test_the_command_says_counts_and_keeps_files_where_asked(tree):
    run = CliRunner().invoke
    done = run(app, ["recompute", "table13", "0", "no-kd", "--results", RESULTS, "--keep", "new"])
    assert done.exit_code == 0
    assert "3 runs trained, 3 identical\n" in done.stdout
    assert done.stdout.rstrip().endswith("the same again")
    assert Path(f"new/{RESULTS}/runs/{STUDY}/baseline.h5").is_file()
    as_json = run(app, ["recompute", "table13/0/no-kd", "--results", RESULTS, "--json"])
    assert json.loads(as_json.stdout)["identical"] is True
    change_value(1e-6)
    assert run(app, ["recompute", "table13/0/no-kd", "--results", RESULTS]).exit_code == 1
