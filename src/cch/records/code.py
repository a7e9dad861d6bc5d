"""Which code makes an output: a digest over a stage's script and the library modules behind it.

Snakemake reruns a rule when its script changes, not when a module that the script imports does.
The digest is a parameter of every rule, so an edit in a library module makes exactly the outputs
of the stages that import it stale. It is taken over the syntax tree without docstrings: comments,
formatting and documentation change nothing. Code that a specification names, such as an estimator,
counts for the jobs that name it.
"""

from __future__ import annotations

import ast
import functools
import gc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cch.base.errors import CchError
from cch.base.files import digest

PACKAGE = "cch"
ROOT = Path(__file__).resolve().parents[1]

NEUTRAL = frozenset({"base", "config", "records", "workflow"})
"""Packages left out of code digests because they cannot change a number.

Settings reach a job only as its parameter ``spec``, and Snakemake compares that text. Code that
builds a model of the configuration itself must name every field, since a changed default would go
unnoticed. `paths` names files, which are the rule's inputs and outputs. `base.files` and `records`
write files and compute SHA-256, of which ids are made: ids name things, and no generator is seeded
by one (`cch.data.rng` hashes its own keys). The rest reports, or chooses a device. What decides
which numbers are computed, or in which order, does not belong in these packages.
"""


def modules_behind(script: str | Path, named: Iterable[str] = ()) -> dict[str, Path]:
    """Return the modules of this package that a job imports, directly or indirectly, by name.

    Imports are found in the text, inside functions too, so a module counts before it runs. Packages
    in ``NEUTRAL`` are left out, and so is every other library. A plugin counts as a file; its
    imports from outside this package do not.

    Args:
        script: the job's script.
        named: modules and plugins that its specification names (``cch.config.specs.named_code``).

    Raises:
        CchError: a file has a syntax error.
    """
    plugins = {name: Path(name).resolve() for name in named if name.endswith(".py")}
    found: dict[str, Path] = {}
    waiting = [name for name in named if name not in plugins]
    for source in (Path(script), *plugins.values()):
        waiting += _imports(source, package="")
    while waiting:
        name = waiting.pop()
        path = None if name in found else _module_path(name)
        if path is None:
            continue
        found[name] = path
        # Importing a.b.c also imports a and a.b.
        above = name.rpartition(".")[0]
        waiting += [above, *_imports(path, name if path.name == "__init__.py" else above)]
    return dict(sorted((found | plugins).items()))


def code_digest(script: str | Path, named: Iterable[str] = ()) -> str:
    """Return one SHA-256 over a job's script and the modules behind it; see ``modules_behind``."""
    parts = {
        name: _source(path).tree_digest for name, path in modules_behind(script, named).items()
    }
    return digest({"script": _source(Path(script)).tree_digest, "modules": parts})


def code_now(script: Path, recorded: Mapping[str, Any]) -> str | None:
    """Return the digest that a job would have now, or None where its code is not here.

    Args:
        script: the job's script.
        recorded: what a record says of the code.
    """
    try:
        return code_digest(script, recorded.get("named", ())) if script.is_file() else None
    except CchError:
        return None


def _module_path(name: str) -> Path | None:
    """Return the file of a library module that counts, or None, also for names in modules."""
    package, *parts = name.split(".")
    if package != PACKAGE or not parts or parts[0] in NEUTRAL:
        return None
    base = ROOT.joinpath(*parts)
    candidates = (base / "__init__.py", base.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


@dataclass(frozen=True)
class _Source:
    """What a digest needs of a file; its syntax tree is large and is not kept."""

    imports: tuple[ast.Import | ast.ImportFrom, ...]
    tree_digest: str
    """Digest of the syntax tree without docstrings and positions."""


@functools.cache
def _source(path: Path) -> _Source:
    try:
        tree = _parsed(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise CchError(path, f"line {error.lineno}: {error.msg}") from None
    except FileNotFoundError:
        raise CchError(path, "there is no such Python file") from None
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    imports = []
    for node in _statements(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
    return _Source(tuple(imports), digest(ast.dump(tree, include_attributes=False)))


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield every statement. Expressions contain no statements and are skipped."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            # A lambda's body and a conditional's branches are expressions, not lists.
            some = getattr(node, part, None)
            waiting += some if isinstance(some, list) else ()


def _parsed(text: str) -> ast.Module:
    # Garbage collection is off while parsing: it only costs time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        if collecting:
            gc.enable()


def _imports(path: Path, package: str) -> set[str]:
    """Return the names that a file of ``package`` imports: modules, and names in modules."""
    names: set[str] = set()
    for node in _source(path).imports:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            continue
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, node.module] if node.module else above)
        names.add(base)
        names.update(f"{base}.{alias.name}" for alias in node.names)
    return names
