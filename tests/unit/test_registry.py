"""Names in a configuration: the nearest is said, plugins add their own, nothing heavy is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cch.base.errors import CchError
from cch.config import load
from cch.config import registry as module
from cch.config.registry import ESTIMATORS, OPTIMIZERS, Registry, load_plugins
from cch.config.specs import estimate_spec, named_code
from cch.records.code import code_digest, modules_behind
from cch.workflow.planning import Plan
from support import ROOT, overlay, raw_config

SCRIPT = ROOT / "workflow" / "scripts" / "estimate.py"
PLUGIN = "from cch.config.registry import ESTIMATORS\nESTIMATORS.add('mine-too', 'json:dumps')\n"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A plugin below the working folder; what it adds goes with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ESTIMATORS, "_entries", dict(ESTIMATORS._entries))
    monkeypatch.setattr(ESTIMATORS, "_files", {})
    monkeypatch.setattr(module, "_loaded", set())
    (tmp_path / "plugin.py").write_text(PLUGIN)
    return tmp_path / "plugin.py"


def study(**change):
    return overlay(raw_config("demo"), {"studies": {"brca": change}})


def test_a_wrong_name_is_answered_by_the_nearest_and_all():
    wrong = study(information={"estimators": ["latent-ligth"]})
    with pytest.raises(CchError) as error:
        load(wrong)
    assert "studies.brca.information.estimators.0: there is no estimator" in str(error.value)
    assert "did you mean 'latent-light'? there are latentmi, " in str(error.value)
    with pytest.raises(CchError, match=r"optimizer 'adamm'; did you mean 'adam'\? there are sgd"):
        load(study(training={"optimizer": "adamm"}))
    with pytest.raises(CchError, match=r"datasets\.brca: there is no kind of dataset 'tgca'; did"):
        load(overlay(raw_config("demo"), {"datasets": {"brca": {"kind": "tgca"}}}))


def test_checking_a_configuration_imports_neither_torch_nor_an_estimator():
    code = (
        "import sys\nfrom cch.config import load, read\nfrom cch.workflow.planning import Plan\n"
        "plan = Plan(read([]), sys.argv[1])\n"
        "plan.code('estimate.py', plan.estimate_spec('synthetic', 'latentmi'))\n"
        "loaded = {'torch', 'cch.information.ksg', 'cch.training.optimizers'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT)], check=True)


def test_a_plugin_adds_names_once(plugin):
    load(raw_config("demo") | {"plugins": ["plugin.py"]})
    load(study(information={"estimators": ["mine-too", "ksg", "latent-light", "mine"]}))
    load_plugins(["plugin.py", str(plugin)])
    assert "mine-too" in ESTIMATORS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0\n", r"plugin.py: fails: ZeroDivisionError: division by zero"),
        ("import no_such_module\n", r"plugin.py: fails: ModuleNotFoundError"),
        (PLUGIN.replace("mine-too", "ksg"), r"plugin.py: the estimator 'ksg' is there already"),
        (None, r"plugin.py: there is no such Python file; correct `plugins`"),
    ],
)
def test_a_plugin_that_fails_is_said_in_one_line(plugin, text, words):
    plugin.unlink() if text is None else plugin.write_text(text)
    with pytest.raises(CchError, match=words) as error:
        load(raw_config("demo") | {"plugins": ["plugin.py"]})
    assert "\n" not in str(error.value)


def named(*names: str) -> list[str]:
    settings = load(raw_config("demo")).studies["brca"].information
    specs = [estimate_spec("brca", settings, name).model_dump_json() for name in names]
    return [name for spec in specs for name in named_code("estimate", spec)]


def test_an_estimator_counts_for_the_jobs_that_name_it(plugin):
    load_plugins(["plugin.py"])
    assert named("ksg") == ["cch.information.ksg"]
    assert named("mine-too") == ["plugin.py"]
    behind = modules_behind(SCRIPT, named("ksg"))
    # What it imports counts too; the others do not.
    assert {"cch.information.ksg", "cch.information.neighbours"} <= set(behind)
    assert "cch.information.mine" not in behind
    ksg, own = code_digest(SCRIPT, named("ksg")), code_digest(SCRIPT, named("mine-too"))
    assert own not in (ksg, code_digest(SCRIPT))
    other = plugin.with_name("other.py")
    other.write_text(PLUGIN + "ADDED = 1\n")
    assert code_digest(SCRIPT, ["other.py"]) != own


def test_every_module_that_is_named_by_its_place_is_there():
    for registry in (ESTIMATORS, OPTIMIZERS):
        for name in registry:
            assert registry[name] is not None


def test_an_entry_may_be_an_object():
    registry = Registry("thing")
    registry.add("a", 1)
    assert (registry["a"], registry.code(["a"])) == (1, [])
    with pytest.raises(CchError, match="there is no thing 'b'; there are a"):
        registry["b"]


def test_a_source_with_an_unknown_reader_is_refused_before_anything_runs(tmp_path):
    text = (ROOT / "workflow" / "sources.yaml").read_text(encoding="utf-8")
    (tmp_path / "sources.yaml").write_text(text.replace("reader: digits-csv", "reader: digit-csv"))
    words = r"source 'digits': there is no reader 'digit-csv'; did you mean 'digits-csv'\?"
    with pytest.raises(CchError, match=words):
        Plan(raw_config("demo") | {"sources": str(tmp_path / "sources.yaml")}, ROOT)
