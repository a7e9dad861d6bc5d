"""From a cell to raw bytes: the chain of records behind one number."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.tree import Tree

from cch.errors import CchError
from cch.files import sha256_file
from cch.record import read_record, record_path
from cch.tables.render import text_unit


@dataclass
class Link:
    """One file of the chain: what it is now, what its record says of it, and what it came from.

    ``state`` is ``as recorded``, ``changed`` (its bytes are not those that the next stage read),
    ``missing`` or ``no record``.
    """

    path: str
    sha256: str
    state: str
    record: dict[str, Any] = field(default_factory=dict)
    inputs: list[Link] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether this file and all before it are as recorded."""
        return self.state == "as recorded" and all(link.whole for link in self.inputs)

    def to_json(self) -> dict[str, Any]:
        """The link and all before it as plain data."""
        kept = ("rule", "raw", "generator", "device", "threads", "started", "seconds", "params")
        facts = {key: self.record[key] for key in kept if key in self.record}
        for key in ("code", "environment"):
            if key in self.record:
                facts[key] = self.record[key]
        return {
            "path": self.path,
            "sha256": self.sha256,
            "state": self.state,
            **facts,
            "inputs": [link.to_json() for link in self.inputs],
        }


def read_document(path: str | Path) -> dict[str, Any]:
    """Read a table's JSON document.

    Raises:
        CchError: it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CchError(path, f"is no JSON ({error})", "delete it and build it again") from None


def find_cell(name: str, results: str | Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Return (document path, document, cell) for ``table/row/column``.

    Raises:
        CchError: there is no such table, or no such cell in it; the line lists what there is.
    """
    table, _, rest = name.partition("/")
    folder = Path(results) / "tables"
    path = folder / f"{table}.json"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.json") if ".record" not in p.name)
        listed = ", ".join(known) or "none; build one first"
        raise CchError(name, f"there is no table {table!r} in {folder}", f"there are {listed}")
    document = read_document(path)
    cells = dict(document["cells"])
    cells |= {note["cell"]["id"].partition("/")[2]: note["cell"] for note in document["notes"]}
    if rest not in cells:
        raise CchError(name, f"{table} has no such cell", f"it has {', '.join(cells)}")
    return path, document, cells[rest]


def chain(path: str, expected: str, base: Path, seen: dict[str, Link]) -> Link:
    """Follow a file to the raw files behind it.

    Args:
        path: the file, as recorded.
        expected: its SHA-256 as the stage that read it recorded.
        base: the folder that recorded paths are relative to.
        seen: links already followed, by path; a file is followed once.
    """
    if path in seen:
        return seen[path]
    link = seen[path] = Link(path, expected, "as recorded")
    place = base / path
    if not place.is_file():
        link.state = "missing"
        return link
    if sha256_file(place) != expected:
        link.state = "changed"
    where = record_path(place)
    if where is None:
        link.state = "no record"
        return link
    link.record = read_record(where)
    if link.record["outputs"].get(path) != expected:
        link.state = "changed"
    ends = "raw" in link.record or "generator" in link.record
    if not link.record["inputs"] and not ends:
        link.state = "no record"
    link.inputs = [chain(p, digest, base, seen) for p, digest in link.record["inputs"].items()]
    return link


def explain(name: str, results: str | Path) -> dict[str, Any]:
    """Return a cell with all that it rests on, as plain data.

    The table itself is held against its record first, then every file behind the cell.

    Raises:
        CchError: no such table or cell, or the results lie elsewhere than recorded.
    """
    path, document, cell = find_cell(name, results)
    where = record_path(path)
    record = read_record(where) if where else {"outputs": {}}
    recorded = [known for known in record["outputs"] if Path(known).name == path.name]
    state, base = "no record", Path()
    if recorded:
        base = _working_folder(path, recorded[0])
        same = sha256_file(path) == record["outputs"][recorded[0]]
        state = "as recorded" if same else "changed"
    seen: dict[str, Link] = {}
    links = [chain(item["path"], item["sha256"], base, seen) for item in cell["inputs"]]
    return {
        "cell": cell,
        "table": {
            "path": str(path),
            "state": state,
            "title": document["title"],
            "marks": document["marks"],
        },
        "whole": state == "as recorded" and all(link.whole for link in links),
        "files": [link.to_json() for link in links],
    }


def _working_folder(path: Path, recorded: str) -> Path:
    """The folder that recorded paths are relative to: where ``path`` lies as ``recorded``."""
    parts, tail = path.resolve().parts, Path(recorded).parts
    if parts[-len(tail) :] != tail:
        raise CchError(
            path, f"was made as {recorded}", "put the results back under that name to explain them"
        )
    return Path(*parts[: -len(tail)])


def as_tree(found: dict[str, Any]) -> Tree:
    """Lay an explanation out for the terminal."""
    cell = found["cell"]
    unit = f" {text_unit(cell)}" if text_unit(cell) else ""
    tree = Tree(f"{cell['id']} = {cell['text']}{unit}")
    if found["table"]["state"] != "as recorded":
        tree.add(f"{found['table']['path']}  \\[{found['table']['state'].upper()}]")
    if cell["n"] is not None:
        in_nats = f" {cell['unit']}" if cell["unit"] else ""
        tree.add(f"value {cell['value']!r}{in_nats}, n {cell['n']}, standard error {cell['se']!r}")
    tree.add(f"aggregation: {cell['aggregation']}")
    paper = cell["paper"]["text"] if cell["paper"] else "prints no such number"
    tree.add(f"paper: {paper}; verdict: {cell['verdict']}")
    for mark in found["table"]["marks"]:
        tree.add(f"not the paper's setting: {mark}")
    for flag in cell["flags"]:
        tree.add(f"flag: {flag}")
    if cell["members"]:
        branch = tree.add(f"{len(cell['members'])} {cell['members'][0]['kind']}s")
        for member in cell["members"]:
            less = f" minus {member['minus']}" if "minus" in member else ""
            branch.add(f"seed {member['seed']}: {member['value']!r}  ({member['id']}{less})")
    if not found["files"]:
        tree.add("rests on the configuration alone")
    shown: set[str] = set()
    for link in found["files"]:
        _grow(tree, link, shown)
    if found["files"] or not found["whole"]:
        tree.add("the chain is whole" if found["whole"] else "THE CHAIN IS BROKEN, see above")
    return tree


def _grow(tree: Tree, link: dict[str, Any], shown: set[str]) -> None:
    state = "" if link["state"] == "as recorded" else f"  [{link['state'].upper()}]"
    label = f"{link['path']}  sha256 {link['sha256']}{state}"
    if link["path"] in shown:
        tree.add(f"{label} (above)")
        return
    shown.add(link["path"])
    branch = tree.add(label.replace("[", r"\["))
    if "rule" in link:
        branch.add(_made_by(link))
    if "raw" in link:
        raw = link["raw"]
        branch.add(f"raw file, {raw['bytes']} bytes from {raw['address']}, {raw['retrieved']}")
        for address in raw["published_addresses"]:
            branch.add(f"published at {address}")
    if "generator" in link:
        generator = link["generator"]
        branch.add(f"generator {generator['kind']}, seed {generator['seed']}")
    for before in link["inputs"]:
        _grow(branch, before, shown)


def _made_by(link: dict[str, Any]) -> str:
    code = link["code"]
    commit = code.get("commit", "")[:12]
    dirty = " with uncommitted changes" if code.get("dirty") else ""
    where = f", commit {commit}{dirty}" if commit else ""
    device = f", on {link['device']}" if "device" in link else ""
    return (
        f"rule {link['rule']}, code {code['digest'][:12]}{where}, environment "
        f"{link['environment']['digest'][:12]}{device}, {link['started']}, {link['seconds']:g} s"
    )
