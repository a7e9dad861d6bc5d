"""Which code makes an output: a digest over a stage's script and all library modules it imports.

Snakemake reruns a rule when its script changes, not when a module that the script imports does.
The digest is a parameter of every rule, so an edit in a library module makes exactly the outputs
of the stages that import it stale. It is taken over the syntax tree without docstrings: comments,
formatting and documentation change nothing.
"""

from __future__ import annotations

import ast
import functools
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cch.base.errors import CchError
from cch.base.files import digest

PACKAGE = "cch"
ROOT = Path(__file__).resolve().parents[1]

# What these modules hold cannot change a number: the values of the configuration reach a stage
# through its parameters, and the rest reports. An edit there must not retrain anything.
NEUTRAL = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "base.device",
        "base.errors",
        "base.progress",
        "config",
        "config.model",
        "config.overlays",
        "config.paths",
        "config.validation",
        "records.code",
        "records.record",
        "records.stage",
        "workflow.planning",
    )
) | {PACKAGE}


def modules_behind(script: str | Path) -> dict[str, Path]:
    """Return the library modules that ``script`` imports, directly or through others, by name.

    Imports are found in the text, inside functions too, so a module counts before it runs.

    Raises:
        CchError: a file has a syntax error.
    """
    found: dict[str, Path] = {}
    waiting = sorted(_imports(Path(script), package=""))
    while waiting:
        name = waiting.pop()
        path = _module_path(name)
        if path is None or name in found or name in NEUTRAL:
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting.extend(sorted(_imports(path, package)))
        # Importing a module runs the packages above it.
        waiting.append(name.rpartition(".")[0])
    return dict(sorted(found.items()))


def code_digest(script: str | Path) -> str:
    """Return one SHA-256 over the script and the modules behind it; see the module docstring."""
    parts = {name: _source(path).meaning for name, path in modules_behind(script).items()}
    return digest({"script": _source(Path(script)).meaning, "modules": parts})


def _module_path(name: str) -> Path | None:
    """The file of a library module, or None for other packages and for names in modules."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return None
    base = ROOT.joinpath(*parts[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Every statement, and what holds some; expressions, most of a tree, hold none."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            waiting.extend(getattr(node, part, ()))


@dataclass(frozen=True)
class _Source:
    """What a digest needs of a file; its syntax tree is large, and is not kept."""

    imports: tuple[ast.Import | ast.ImportFrom, ...]
    meaning: str
    """Digest of the syntax tree without docstrings and positions."""


@functools.cache
def _source(path: Path) -> _Source:
    try:
        tree = _parsed(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise CchError(path, f"line {error.lineno}: {error.msg}") from None
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    imports = []
    for node in _statements(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
    return _Source(tuple(imports), digest(ast.dump(tree, include_attributes=False)))


def _parsed(text: str) -> ast.Module:
    # A tree is many objects and no garbage, through which the collector would go again and again.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        if collecting:
            gc.enable()


def _imports(path: Path, package: str) -> frozenset[str]:
    names: set[str] = set()
    for node in _source(path).imports:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            continue
        base = node.module or ""
        if node.level:
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        names.add(base)
        names.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(name for name in names if name.split(".")[0] == PACKAGE)
