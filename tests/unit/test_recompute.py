"""A cell made again: bit for bit by the ordinary rules, and nothing that it does not rest on."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from cch.audit import recompute as module
from cch.audit.cell_config import cell_config
from cch.audit.derive import Place
from cch.audit.recompute import TOLERANCE, CellRecomputation, recompute
from cch.audit.run import audit
from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.cli import app
from cch.config import Config, Theory, load
from cch.paper.theory.documents import DOCUMENTS
from cch.paper.theory.stage import simulate_all
from cch.records.record import Recorder
from cch.tables.documents import write_document
from small_tree import CHANGE, ESTIMATOR, RESULTS, STUDY
from support import ROOT, overlay, raw_config


@pytest.fixture
def tree(small_run, own_copy) -> Path:
    """A copy of a run whose networks were trained; it is the working folder."""
    return own_copy(small_run(trained=True))


@pytest.fixture(scope="module")
def again(small_run, tmp_path_factory) -> Path:
    """What the rules made again for table13/0/no-kd and table13/0/student-label."""
    folder = tmp_path_factory.mktemp("again")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(small_run(trained=True))
        for cell in ("table13/0/student-label", "table13/0/no-kd"):
            assert recompute(cell, RESULTS, folder / cell).identical
    return folder


@pytest.fixture
def made_before(again, monkeypatch) -> None:
    """Take files that the rules have made before, in place of running them once more."""

    def copied(self: CellRecomputation, threads: int, targets: list[str]) -> None:
        shutil.copytree(again / self.place.cell["id"], self.folder, dirs_exist_ok=True)

    monkeypatch.setattr(CellRecomputation, "_snakemake", copied)


def digests() -> dict[str, str]:
    return {str(path): sha256_file(path) for path in Path().rglob("*") if path.is_file()}


def trained(done) -> Counter[str]:
    """How many runs were trained by role."""
    return Counter(part.what.partition(",")[0] for part in done.parts if part.kind == "run")


@pytest.mark.slow
def test_a_trained_run_passes_the_audit_strictly(tree):
    assert audit(RESULTS).lines(strict=True) == []


# By the rules, as a user calls it


@pytest.mark.parametrize(
    ("cell", "runs", "counts"),
    [
        # I(teacher; student) at the cell's level and at the first, the others once; 2 runs each.
        (
            f"criterion-{STUDY}/1.5/ksg-low",
            {"teacher": 2, "baseline": 2},
            {"estimate": 8, "calibration sample": 18},
        ),
        pytest.param(
            "table13/1.5/difference",
            {"teacher": 3, "baseline": 3, "student": 3},
            {},
        ),
        pytest.param(
            f"calibration-{STUDY}/student-label-h0.5/ksg-bias",
            {"teacher": 2, "baseline": 2},
            # The case, and of both quantities that without information.
            {"calibration sample": 9},
        ),
    ],
)
@pytest.mark.slow
def test_a_cell_is_the_same_again_and_the_results_are_only_read(tree, cell, runs, counts):
    before = digests()
    done = recompute(cell, RESULTS)
    assert done.identical and done.passed
    assert not done.elsewhere
    assert trained(done) == runs
    made = Counter(part.kind for part in done.parts)
    assert made == counts | {"run": sum(runs.values())}
    assert digests() == before


@pytest.mark.slow
def test_results_under_an_absolute_path_are_not_written_to(tree, monkeypatch):
    """Joining a scratch folder with an absolute path gives the absolute path."""
    absolute = str(tree / RESULTS)
    for path in Path(RESULTS).rglob("*.json"):
        text = path.read_text().replace(f'"{RESULTS}/', f'"{absolute}/')
        path.write_text(text.replace(f'\\"{RESULTS}\\"', f'\\"{absolute}\\"'))
    before = digests()
    monkeypatch.chdir("/")
    done = recompute("table13/0/kd", absolute)
    assert done.passed
    assert trained(done) == {"teacher": 3, "student": 3}
    monkeypatch.chdir(tree)
    assert digests() == before


@pytest.mark.slow
def test_a_theory_cell_is_simulated_again_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = Theory(
        dimension=20, kappas=[0.5, 2.0], lambdas=[0.0, 0.3], sigma_12=[0.7], teacher_label=[0.9],
        replications=4,
    )  # fmt: skip
    path = "results/theory/simulation.json"
    Path(path).parent.mkdir(parents=True)
    with threadpool_limits(limits=1):  # as the rule has
        simulate_all(spec, path)
    scripts = ROOT / "workflow" / "scripts"
    recorder = Recorder(
        "simulate_theory", scripts / "simulate_theory.py", [], {"spec": spec.model_dump_json()}
    )
    recorder.facts["generator"] = {"kind": "theory", "seed": 0}
    recorder.write("results/theory/simulation.record.json", [path])
    given = {"spec": json.dumps({"theory": spec.model_dump(mode="json"), "results": "results"})}
    for name in ("theory", "theory-region"):
        write_document(f"results/tables/{name}.json", DOCUMENTS[name](spec, path))
        Recorder("tabulate_theory", scripts / "tabulate_theory.py", [path], given).write(
            f"results/tables/{name}.record.json", [f"results/tables/{name}.json"]
        )
    assert audit("results").lines() == []
    done = recompute("theory/s0.7-k2-l0.3/change", "results", "new")
    assert done.counts() == ["4 replications simulated, 4 identical"]
    assert done.passed
    asked = json.loads(Path("new/configuration.json").read_text())["theory"]
    assert (asked["kappas"], asked["lambdas"]) == ([2.0], [0.3])


@pytest.mark.slow
def test_a_job_that_fails_is_one_line_with_its_reason(tree):
    data = Path(f"{RESULTS}/datasets/{STUDY}.h5")
    data.write_bytes(b"no dataset")
    tamper(
        f"{RESULTS}/runs/{STUDY}/baseline.record.json",
        lambda record: record["inputs"].update({str(data): sha256_file(data)}),
    )
    with pytest.raises(CchError, match=r"could not be computed again; train .* failed: ") as error:
        recompute("table13/0/no-kd", RESULTS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda spec: spec.pop("config"), "the record of table13: holds no configuration"),
        (
            lambda spec: spec["config"]["studies"][STUDY].update(seeds=1),
            f"the record of table13: studies.{STUDY}.seeds: ",
        ),
    ],
)
def test_a_record_of_another_version_is_one_line(tree, change, said):
    def changed(record):
        spec = json.loads(record["params"]["spec"])
        change(spec)
        record["params"]["spec"] = json.dumps(spec)

    tamper(f"{RESULTS}/tables/table13.record.json", changed)
    with pytest.raises(CchError) as error:
        recompute("table13/0/no-kd", RESULTS)
    assert str(error.value).startswith(said)


# What a cell rests on


def cut(query: dict, change: dict | None = None, inputs: tuple[str, ...] = (), results=()):
    """The configuration of a cell of the paper's digits study, or of another, and its files."""
    name = query.pop("study", STUDY)
    config = load(overlay(raw_config(), change or {}))
    cell = {"id": "table/row/column", "query": query, "study": name}
    cell["inputs"] = [{"path": path} for path in inputs]
    given = {"config": config.model_dump(mode="json")}
    made, files = cell_config(
        Place({"study": name, "id": "table"}, "row/column", cell),
        given,
        "results",
        lambda _: results,
    )
    # It is one that the rules take.
    made = Config.model_validate(made.model_dump(mode="json"))
    assert list(made.studies) == [name]
    return made.studies[name], [path.removeprefix("results/") for path in files]


def test_a_student_rests_on_its_own_level_and_treatment():
    query = {"kind": "metric", "metric": "accuracy", "role": "student", "level": "1.5"}
    study, files = cut(query | {"temperature": 3.0, "weight": 0.5})
    assert files == [f"runs/{STUDY}/teacher.h5", f"runs/{STUDY}/student.h5"]
    assert study.degradation.levels == [1.5]
    assert (study.distillation.temperatures, study.distillation.weights) == ([3], [0.5])
    assert study.seeds == load(raw_config()).studies[STUDY].seeds
    assert study.information.runs == 1 and study.information.calibration is None


def test_a_conclusion_rests_on_every_level_of_its_sweep():
    query = {"kind": "effect", "metric": "accuracy", "level": "1.5"}
    study, _ = cut(query | {"temperature": 3.0, "weight": 0.5})
    assert study.degradation.levels == load(raw_config()).studies[STUDY].degradation.levels
    assert (study.distillation.temperatures, study.distillation.weights) == ([3], [0.5])


@pytest.mark.parametrize(
    ("query", "roles"),
    [
        ({"kind": "metric", "metric": "auc", "role": "baseline", "level": "1.5"}, ["baseline"]),
        ({"kind": "metric", "metric": "auc", "role": "baseline", "level": "77"}, ["baseline"]),
        ({"kind": "metric", "metric": "auc", "role": "teacher", "level": None}, ["teacher"]),
        ({"kind": "effect", "metric": "auc", "level": "1.5", "temperature": 1.0, "weight": 0.0},
         ["teacher", "baseline", "student"]),
        ({"kind": "fusion-difference", "metric": "auc", "arm": "kd"}, ["fusion"]),
    ],
)  # fmt: skip
def test_roles_that_a_query_rests_on(query, roles):
    study, files = cut(query)
    assert files == [f"runs/{STUDY}/{role}.h5" for role in roles]
    if "weight" in query:
        assert study.distillation.weights == [0]


def test_an_estimate_rests_on_the_seeds_that_have_any_and_on_one_estimator():
    query = {
        "kind": "information",
        "quantity": "teacher-student",
        "estimator": "ksg",
        "level": "1.5",
    }
    study, files = cut(query)
    assert files[2:] == [f"information/{STUDY}/ksg.json"]
    assert study.information.estimators == ["ksg"]
    assert set(study.information.options) <= {"ksg"}
    assert study.seeds == study.information.runs == 5
    # The teacher's information about the label is that at the first level.
    assert study.degradation.levels == [0, 1.5]
    query = {"kind": "information", "quantity": "student-label", "estimator": "ksg", "level": None}
    assert cut(query)[0].degradation.levels == [0]


def test_levels_with_teachers_of_their_own_do_not_need_the_first():
    query = {"study": "synthetic", "kind": "gap", "estimator": "ksg", "level": "0.3"}
    assert cut(query)[0].degradation.levels == [0.3]
    done = {"estimator": "ksg", "quantity": "teacher-student", "name": "1", "options": {}}
    done |= {"truth": 1.0, "share": None}
    query = {"study": "synthetic", "kind": "sensitivity", "estimator": "ksg", "level": "0.3"}
    query |= {"of": "gap", "end": "high"}
    inputs = ("results/calibration/synthetic/ksg.json",)
    study, files = cut(query, None, inputs, [done])
    assert files[-2:] == ["information/synthetic/ksg.json", "calibration/synthetic/ksg.json"]
    # Calibrations have the sizes of the first.
    assert study.degradation.levels == [0, 0.3]


def test_a_calibration_rests_on_its_case_alone():
    def result(name, truth=None, share=None, **options):
        about = {"estimator": "ksg", "quantity": "student-label", "name": name, "options": options}
        return about | {"truth": truth, "share": share}

    stored = [result("0", 0.0), result("h0.5", 0.4, 0.5), result("h0.9", 0.8, 0.9),
              result("h0.5", 0.4, 0.5, k=10)]  # fmt: skip
    query = {"kind": "calibration", "estimator": "ksg", "quantity": "student-label", "case": "h0.5"}
    query["measure"] = "mean"
    inputs = (f"results/calibration/{STUDY}/ksg.json",)
    study, files = cut(query | {"options": {}}, None, inputs, stored)
    asked = study.information.calibration
    assert files[2:] == [f"calibration/{STUDY}/ksg.json"]
    assert (asked.truths, asked.shares, asked.settings) == ([], [0.5], {})
    study, _ = cut(query | {"options": {"k": 10}}, None, inputs, stored)
    assert study.information.calibration.settings == {"ksg": {"k": [10]}}


# Without running the rules once more


@pytest.mark.parametrize("cell", ["table12/epochs/value", "table12/split/value"])
def test_settings_and_counts_are_counted_again(tree, cell):
    done = recompute(cell, RESULTS)
    assert done.counts() == ["1 counted again, 1 identical"]
    assert done.passed


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


@pytest.mark.slow
def test_a_stored_value_that_was_changed_is_not_reproduced(tree, made_before):
    path = f"{RESULTS}/information/{STUDY}/{ESTIMATOR}.json"
    tamper(path, lambda d: d["estimates"][0].update(value=d["estimates"][0]["value"] + 1e-12))
    done = recompute("table13/0/student-label", RESULTS)
    assert done.counts()[1] == "6 estimates made, 5 identical"
    assert not done.identical
    assert not done.passed
    assert any("within the tolerance" in line for line in done.lines())


@pytest.mark.slow
def test_stored_outputs_of_another_run_are_not_identical(tree, made_before):
    import h5py

    with h5py.File(f"{RESULTS}/runs/{STUDY}/baseline.h5", "r+") as file:
        file["logits"][0, 0, 0] += 1e-3
    done = recompute("table13/0/no-kd", RESULTS)
    assert done.counts() == ["3 runs trained, 2 identical"]
    assert not done.passed


@pytest.mark.parametrize("part", ["platform", "processor"])
@pytest.mark.slow
def test_elsewhere_a_tolerance_holds_and_is_said(tree, made_before, part):
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


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (".", "is not empty; name a new folder"),
        (RESULTS, "is not empty; name a new folder"),
        ("a-file", "cannot be written"),
        ("a-file/below", "cannot be written"),
    ],
)
def test_new_files_never_replace_others(tree, keep, said):
    Path("a-file").touch()
    before = digests()
    with pytest.raises(CchError, match=said):
        recompute("table13/0/no-kd", RESULTS, keep)
    assert digests() == before


@pytest.mark.slow
def test_the_command_says_counts_and_keeps_files_where_asked(tree, made_before):
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
