from __future__ import annotations

import re
import shutil
import textwrap

import grimp
import pytest

from cch.records import code
from support import ROOT

SCRIPTS = ROOT / "workflow" / "scripts"
QUICK = ("train", "estimate", "tabulate")


@pytest.fixture
def package(tmp_path, monkeypatch):
    root = tmp_path / "cch"
    files = {
        "__init__.py": '"""Package."""\n',
        "common.py": '"""Base."""\nVALUE = 1\n',
        "base/errors.py": "class E(Exception): pass\n",
        "other.py": "VALUE = 3\n",
        "part/__init__.py": "",
        "part/model.py": "def f():\n    from ..common import VALUE\n    return VALUE\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    script = tmp_path / "train.py"
    script.write_text("from cch.part.model import f\nfrom cch.base.errors import E\n")
    monkeypatch.setattr(code, "ROOT", root)
    return root, script


def fresh_digest(script):
    code._source.cache_clear()
    return code.code_digest(script)


def test_modules_are_followed_through_imports_inside_functions(package):
    _, script = package
    assert list(code.modules_behind(script)) == ["cch.common", "cch.part", "cch.part.model"]


def test_an_edit_in_an_imported_module_changes_the_digest(package):
    root, script = package
    before = fresh_digest(script)
    (root / "common.py").write_text('"""Base."""\nVALUE = 2\n')
    assert fresh_digest(script) != before


def test_comments_docstrings_and_unrelated_modules_do_not(package):
    root, script = package
    before = fresh_digest(script)
    (root / "common.py").write_text(
        textwrap.dedent('"""Other words."""\n\n# a comment\nVALUE = 1\n')
    )
    (root / "other.py").write_text("VALUE = 4\n")
    (root / "base/errors.py").write_text("class E(Exception):\n    x = 1\n")
    assert fresh_digest(script) == before


@pytest.fixture(scope="module")
def graph():
    """Which module imports which, by the library behind the import contracts."""
    graph = grimp.build_graph("cch", cache_dir=None)
    for module in graph.modules:
        if code.NEUTRAL.intersection(module.split(".")[1:2]):
            graph.remove_module(module)
    return graph


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the library and the scripts, to edit."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(code.ROOT, root / "cch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SCRIPTS, root / "scripts")
    return root


def imported(script, graph):
    """The modules that a script imports, directly or through others, with their packages."""
    names = re.findall(r"^from (cch[\w.]*) import", script.read_text(), re.MULTILINE)
    found: set[str] = set()
    waiting = [name for name in names if name in graph.modules]
    while waiting:
        name = waiting.pop()
        if name not in found | {"cch", ""}:
            found.add(name)
            waiting += [name.rpartition(".")[0], *graph.find_modules_directly_imported_by(name)]
    return found


EDITED = [
    pytest.param(path.name, marks=[] if path.stem in QUICK else pytest.mark.slow)
    for path in sorted(SCRIPTS.glob("*.py"))
]


@pytest.mark.parametrize("name", EDITED)
def test_an_edit_counts_in_every_imported_module_outside_the_neutral_rooms(
    copied, graph, monkeypatch, name
):
    root, script, read = copied / "cch", copied / "scripts" / name, {}
    read_again = code._source.__wrapped__

    def source(path):
        return read[path] if path in read else read.setdefault(path, read_again(path))

    monkeypatch.setattr(code, "ROOT", root)
    monkeypatch.setattr(code, "_source", source)
    before, counted = code.code_digest(script), set()
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(f"{text}\nADDED_BY_A_TEST = 1\n", encoding="utf-8")
        read.pop(path, None)
        if code.code_digest(script) != before:
            parts = path.relative_to(root).with_suffix("").parts
            counted.add(".".join(["cch", *parts]).removesuffix(".__init__"))
        path.write_text(text, encoding="utf-8")
        read.pop(path, None)
    assert counted == imported(script, graph)


def test_training_does_not_rest_on_tables_or_sources():
    names = code.modules_behind(SCRIPTS / "train.py")
    assert "cch.training.stack" in names
    assert not [name for name in names if name.startswith(("cch.tables", "cch.data.sources"))]
