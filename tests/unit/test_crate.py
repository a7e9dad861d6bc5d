"""The exported run: what is in the crate, what is said of it, and what is refused.

The lists of what the profiles require are written out here; ``tests/workflow/test_export.py`` asks
the validator too.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from cch.audit.crate.contents import digest_uri
from cch.audit.crate.write import export
from cch.audit.explain import explain
from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.cli import app
from cch.records.record import Recorder
from cch.report.collect import collect
from cch.report.site import build_site
from small_tree import RESULTS, STUDY
from support import ROOT

NAME = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/provenance/0.5"


@pytest.fixture(scope="module")
def finished(small_run, tmp_path_factory) -> Path:
    """A small run with its report; nobody may change it."""
    folder = tmp_path_factory.mktemp("crated") / "run"
    shutil.copytree(small_run(), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        script = ROOT / "workflow" / "scripts" / "build_report.py"
        recorder = Recorder("build_report", script, [f"{RESULTS}/tables/table13.json"], {})
        recorder.made += build_site(collect(RESULTS), f"{RESULTS}/report")
        recorder.write(f"{RESULTS}/report.record.json", [])
    return folder


@pytest.fixture(scope="module")
def crate(finished, tmp_path_factory) -> Path:
    """The run unpacked as a folder."""
    target = tmp_path_factory.mktemp("crate") / "crate"
    export(finished / RESULTS, target)
    return target


@pytest.fixture(scope="module")
def graph(crate) -> dict[str, dict]:
    """Entities by identifier."""
    described = json.loads((crate / NAME).read_text(encoding="utf-8"))
    found = {entity["@id"]: entity for entity in described["@graph"]}
    assert len(found) == len(described["@graph"])
    return found


@pytest.fixture
def run(finished, tmp_path, monkeypatch) -> Path:
    """A copy to spoil; it is the working folder."""
    shutil.copytree(finished, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


def types(entity: dict) -> set[str]:
    found = entity["@type"]
    return {found} if isinstance(found, str) else set(found)


def targets(entity: dict, key: str) -> list[str]:
    found = entity.get(key, [])
    return [item["@id"] for item in (found if isinstance(found, list) else [found])]


def of_type(graph: dict[str, dict], name: str) -> list[dict]:
    return [entity for entity in graph.values() if name in types(entity)]


def test_the_root_has_what_ro_crate_and_the_profiles_require(graph):
    descriptor, root = graph[NAME], graph["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert "https://w3id.org/ro/crate/1.1" in targets(descriptor, "conformsTo")
    assert root["@type"] == "Dataset"
    assert {"name", "description", "license", "datePublished"} <= root.keys()
    profiles = targets(root, "conformsTo")
    assert PROFILE in profiles and len(profiles) == 4
    assert all(graph[name]["@type"] == "CreativeWork" for name in profiles)


def test_every_reference_leads_to_an_entity(graph):
    outside = {"https://w3id.org/ro/crate/1.1"}
    outside |= {"https://snakemake.github.io", "https://www.python.org"}
    outside |= {"https://doi.org/10.1093/bioinformatics/bts480"}
    for entity in graph.values():
        for key, value in entity.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    assert item.keys() == {"@id"}, (entity["@id"], key)
                    assert item["@id"] in graph or item["@id"] in outside, (entity["@id"], key)


def test_the_workflow_names_its_tools_and_steps(graph):
    workflow = graph[targets(graph["./"], "mainEntity")[0]]
    wanted = {"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"}
    assert types(workflow) == wanted and workflow["@id"] == "Snakefile"
    assert types(graph[targets(workflow, "programmingLanguage")[0]]) == {"ComputerLanguage"}
    used = {
        name for action in of_type(graph, "CreateAction") for name in targets(action, "instrument")
    }
    tools = targets(workflow, "hasPart")
    assert tools and set(tools) | {"Snakefile"} == used
    assert all("SoftwareSourceCode" in types(graph[name]) for name in tools)
    steps = targets(workflow, "step")
    assert {step["@id"] for step in of_type(graph, "HowToStep")} == set(steps)
    for name in steps:
        assert targets(graph[name], "workExample")[0] in tools
        assert int(graph[name]["position"]) > 0
    for parameter in of_type(graph, "FormalParameter"):
        assert parameter["additionalType"] == "File"
        assert parameter["@id"] in targets(workflow, "input") + targets(workflow, "output")


def test_every_job_is_an_action_with_its_files_times_and_step(graph, finished):
    records = [json.loads(path.read_text()) for path in finished.rglob("*.record.json")]
    jobs = [a for a in of_type(graph, "CreateAction") if a["@id"] != "#run"]
    assert len(jobs) == len(records) > 10
    assert set(targets(graph["./"], "mentions")) == {"#run", *(job["@id"] for job in jobs)}
    controls = {targets(c, "object")[0]: c for c in of_type(graph, "ControlAction")}
    assert controls.keys() == {job["@id"] for job in jobs}
    for job in jobs:
        assert job["startTime"] <= job["endTime"]
        step = graph[targets(controls[job["@id"]], "instrument")[0]]
        assert targets(step, "workExample") == targets(job, "instrument")
    (engine,) = of_type(graph, "OrganizeAction")
    assert set(targets(engine, "object")) == {control["@id"] for control in controls.values()}
    assert targets(engine, "result") == ["#run"]
    assert types(graph[targets(engine, "instrument")[0]]) == {"SoftwareApplication"}


def test_a_job_says_what_its_record_says(graph, crate):
    path = f"{RESULTS}/runs/{STUDY}/student.record.json"
    record = json.loads((crate / path).read_text(encoding="utf-8"))
    (job,) = [a for a in of_type(graph, "CreateAction") if targets(a, "subjectOf") == [path]]
    read = {graph[name].get("sha256") for name in targets(job, "object")}
    assert set(record["inputs"].values()) <= read
    made = [graph[name]["sha256"] for name in targets(job, "result")]
    assert made == list(record["outputs"].values())
    said = {graph[n]["name"]: graph[n]["value"] for n in targets(job, "additionalProperty")}
    assert said["code"] == record["code"]["digest"]
    assert said["environment"] == record["environment"]["digest"]
    assert said["device"] == "cpu" and said["platform"] == record["environment"]["platform"]
    given = {graph[n]["name"]: graph[n].get("value") for n in targets(job, "object")}
    assert given["spec"] == record["params"]["spec"]
    assert job["startTime"] == record["started"]


def test_every_file_is_there_with_its_digest_or_named_by_it(graph, crate):
    parts = set(targets(graph["./"], "hasPart"))
    packed = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    said = {}
    for entity in of_type(graph, "File"):
        assert entity["@id"] in parts
        if ":" in entity["@id"]:
            assert entity["sha256"] and int(entity["contentSize"]) > 0
            continue
        said[unquote(entity["@id"])] = entity
    assert said.keys() | {NAME} == packed
    for name, entity in said.items():
        assert entity["sha256"] == sha256_file(crate / name)
        assert entity["contentSize"] == str((crate / name).stat().st_size)


def test_models_and_raw_files_are_only_named(graph, crate):
    assert not list(crate.rglob("*.h5"))
    named = {e["name"]: e for e in of_type(graph, "File") if ":" in e["@id"]}
    raw = named["resources/digits/digits.csv.gz"]
    assert raw["@id"] == "https://example.org/digits.csv.gz"
    assert raw["usageInfo"] == "CC0" and raw["contentSize"] == "11"
    assert not (crate / "resources/digits/digits.csv.gz").exists()
    model = named[f"{RESULTS}/runs/{STUDY}/student.h5"]
    assert model["@id"] == digest_uri(model["sha256"])


def test_a_digest_as_a_uri_is_that_of_the_rfc():
    # RFC 6920, section 8.1: "Hello World!".
    known = "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk"
    assert digest_uri(hashlib.sha256(b"Hello World!").hexdigest()) == known


def test_a_cell_is_explained_from_the_crate_alone(crate, monkeypatch):
    monkeypatch.chdir(crate)
    found = explain("table13/0/kd", RESULTS)
    whole = json.loads((crate / RESULTS / "tables" / "table13.json").read_text())
    assert found["cell"]["value"] == whole["cells"]["0/kd"]["value"]


def test_the_same_run_gives_the_same_bytes(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(finished)
    export(RESULTS, tmp_path / "a.zip")
    for path in Path(RESULTS).rglob("*"):
        path.touch()
    monkeypatch.chdir(tmp_path)
    export(finished / RESULTS, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    # Beside the sources, which every crate has, a small run is small.
    assert (tmp_path / "a.zip").stat().st_size < 2_000_000
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist()[0] == NAME and archive.testzip() is None


def test_an_earlier_crate_does_not_go_into_the_next(run, tmp_path):
    export(RESULTS, tmp_path / "before.zip")
    shutil.copy(tmp_path / "before.zip", f"{RESULTS}/crate.zip")
    script = ROOT / "workflow" / "scripts" / "export.py"
    recorder = Recorder("export", script, [f"{RESULTS}/tables/table13.json"], {})
    recorder.write(f"{RESULTS}/crate.record.json", [f"{RESULTS}/crate.zip"])
    export(RESULTS, tmp_path / "after.zip")
    assert (tmp_path / "before.zip").read_bytes() == (tmp_path / "after.zip").read_bytes()


def test_other_code_than_that_of_the_sources_is_said(run, tmp_path):
    path = Path(f"{RESULTS}/tables/table13.record.json")
    record = json.loads(path.read_text())
    record["code"] |= {"digest": "0" * 64, "commit": "abcdef0123456789"}
    path.write_text(json.dumps(record))
    said = export(RESULTS, tmp_path / "crate").lines()
    assert said[1:] == [
        "workflow/scripts/tabulate.py is not the code of the run, commit abcdef012345"
    ]
    root = json.loads((tmp_path / "crate" / NAME).read_text())["@graph"][1]
    assert "not those of the run for workflow/scripts/tabulate.py" in root["description"]


def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(run, tmp_path):
    target = tmp_path / "crate.zip"

    def refused(said: str) -> None:
        with pytest.raises(CchError, match=said):
            export(RESULTS, target)
        assert not target.exists()
        assert not list(tmp_path.glob(".*.part"))

    csv = Path(f"{RESULTS}/tables/table13.csv")
    text = csv.read_text()
    csv.write_text(text + "x")
    refused(r"tables/table13\.csv: has not the bytes that its record says; audit the run")
    csv.unlink()
    refused(r"tables/table13\.csv: is missing")
    csv.write_text(text)
    target.mkdir()
    with pytest.raises(CchError, match=r"crate\.zip: exists; name another place or remove it"):
        export(RESULTS, target)
    target.rmdir()
    Path(f"{RESULTS}/report.record.json").unlink()
    refused("holds no finished run: it has no report; run the workflow first")
    with pytest.raises(CchError, match="nope: is no folder"):
        export("nope", target)
    with pytest.raises(CchError, match="holds no Snakefile"):
        export(RESULTS, target, root=tmp_path)


def test_a_place_that_cannot_be_written_is_one_line(run):
    Path("file").write_text("x")
    with pytest.raises(CchError, match=r"file/crate\.zip: cannot be written \("):
        export(RESULTS, "file/crate.zip")


def test_a_run_in_an_absolute_folder_is_packed_too(run, tmp_path):
    for record in run.rglob("*.record.json"):
        content = json.loads(record.read_text(encoding="utf-8"))
        for part in ("outputs", "inputs"):
            content[part] = {f"{run}/{name}": value for name, value in content[part].items()}
        record.write_text(json.dumps(content), encoding="utf-8")
    export(RESULTS, tmp_path / "crate")
    inside = tmp_path / "crate" / str(run).lstrip("/")
    assert (inside / RESULTS / "tables" / "table13.json").is_file()
    described = json.loads((tmp_path / "crate" / NAME).read_text())["@graph"]
    files = [entity["@id"] for entity in described if entity["@type"] == "File"]
    assert f"{str(run).lstrip('/')}/{RESULTS}/tables/table13.json" in files
    examples = [entity.get("exampleOfWork") for entity in described]
    assert {"@id": "#tables"} in examples and {"@id": "#raw-data"} in examples


def test_the_command_says_what_went_in(run):
    done = CliRunner().invoke(app, ["export", "--results", RESULTS])
    assert done.exit_code == 0, done.output
    jobs = len(list(Path().rglob("*.record.json")))
    assert jobs > 10
    assert done.stdout.startswith(f"small-crate.zip: {jobs} jobs, ")
    assert Path("small-crate.zip").is_file()
    again = CliRunner().invoke(app, ["export", "--results", RESULTS])
    assert again.exit_code == 1 and "exists" in str(again.exception)
