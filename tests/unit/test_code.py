from __future__ import annotations

import textwrap

import pytest

from cch.records import code


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


def test_training_does_not_rest_on_tables_or_sources():
    script = code.ROOT.parents[1] / "workflow" / "scripts" / "train.py"
    names = code.modules_behind(script)
    assert "cch.training.stack" in names
    assert not [name for name in names if name.startswith(("cch.tables", "cch.data.sources"))]
