"""Files against records, records against each other, and chains to where they end."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cch.audit.report import Audit
from cch.audit.tree import SUFFIX, Recorded, Tree
from cch.base.errors import CchError
from cch.records.record import record_path

SHORT = 12


def check_files(tree: Tree, report: Audit) -> None:
    """Hold every output against its record, and every input against the record that made it."""
    for recorded in tree.records.values():
        report.count("records")
        for name, digest in recorded.outputs.items():
            report.count("files")
            _check_output(tree, report, recorded, name, digest)
        # What an earlier audit looked at may have been made again since.
        for name, digest in recorded.inputs.items() if recorded.rule != "audit" else ():
            if "raw" in recorded.content:
                _check_own_file(tree, report, name, digest)
            else:
                _check_input(tree, report, recorded, name, digest)
        if "raw" in recorded.content:
            report.count("generated files" if _generated(recorded) else "raw files")
            _check_raw(tree, report, recorded)
    for name in tree.files():
        if not name.endswith(SUFFIX) and name not in tree.made:
            report.not_known(name, "no record says what made it")


def _check_output(tree: Tree, report: Audit, recorded: Recorded, name: str, digest: str) -> None:
    where, place = tree.label(recorded.path), tree.place(name)
    names = {f"{place.name}{SUFFIX}", place.with_suffix(SUFFIX).name}
    here = recorded.path.parent.resolve() == place.parent.resolve()
    # A record may be that of a folder, beside which it lies.
    folder = recorded.path.with_name(recorded.path.name.removesuffix(SUFFIX)).resolve()
    inside = folder in place.resolve().parents
    if not inside and (not here or recorded.path.name not in names):
        report.wrong("record", where, f"is the record of {name}, beside which it does not lie")
        return
    now = tree.digest(name)
    if now is None:
        report.wrong("file", name, "is missing")
        report.missing.append(name)
    elif now != digest:
        report.wrong(
            "file", name,
            f"its bytes are not those of its record: sha256 {now[:SHORT]}, recorded "
            f"{digest[:SHORT]} in {where}",
        )  # fmt: skip


def _check_own_file(tree: Tree, report: Audit, name: str, digest: str) -> None:
    """Check the user file that a raw file was copied from: it may be gone, but not changed."""
    now = tree.digest(name)
    if now is not None and now != digest:
        report.wrong(
            "file", name,
            f"is not the file any more that was taken in: sha256 {now[:SHORT]}, recorded "
            f"{digest[:SHORT]}",
        )  # fmt: skip


def _check_input(tree: Tree, report: Audit, recorded: Recorded, name: str, digest: str) -> None:
    """The bytes that a stage read are those that the stage before it made."""
    where, source = tree.label(recorded.path), tree.made.get(name)
    if source is None:
        _without_record(tree, report, name, f"{where} read it")
    elif source.outputs[name] != digest:
        report.wrong(
            "chain", where,
            f"read {name} with sha256 {digest[:SHORT]}, and {tree.label(source.path)} says "
            f"{source.outputs[name][:SHORT]}",
        )  # fmt: skip


def _without_record(tree: Tree, report: Audit, name: str, reader: str) -> None:
    """Report a file that no record says the making of: the file, or its record, is missing."""
    if tree.digest(name) is None:
        report.missing.append(name)
        report.wrong("file", name, f"is missing; {reader}, and no record says what made it")
    elif record_path(tree.place(name)) is None:
        own = tree.record_name(name)
        if own not in report.missing:
            report.missing.append(own)
            report.wrong("record", own, f"is missing; it is the record of {name}, and {reader}")


def _check_raw(tree: Tree, report: Audit, recorded: Recorded) -> None:
    """A raw file's record agrees with itself, with the published digest and with the pin."""
    raw, where = recorded.content["raw"], tree.label(recorded.path)
    for name, digest in recorded.outputs.items():
        said = {"its facts": raw.get("sha256"), "the published digest": _published(recorded)}
        said["sources.lock"] = _pinned(tree, name)
        for what, other in said.items():
            if other and other != digest:
                report.wrong("record", where, f"says sha256 {digest[:SHORT]}, {what} {other[:12]}")
        place = tree.place(name)
        if place.is_file() and raw.get("bytes") not in (None, place.stat().st_size):
            size = place.stat().st_size
            report.wrong("file", name, f"has {size} bytes, its record says {raw['bytes']}")
    if not raw.get("address") or not raw.get("sha256"):
        report.wrong("chain", where, "names no address and digest of the raw file")
    made, asked = _generated(recorded), _entry(recorded)
    given = {"kind": asked.get("generator"), "seed": asked.get("seed")}
    if asked and made != (given if given["kind"] else None):
        said = f"says {_words(made or {})}, its job was given {_words(given)}"
        report.wrong("record", where, said)


def _entry(recorded: Recorded) -> dict[str, Any]:
    """The entry of the source table that the fetching job was given; empty where there is none."""
    try:
        return dict(json.loads(recorded.content["params"]["entry"]))
    except (KeyError, TypeError, ValueError):
        return {}


def _published(recorded: Recorded) -> str | None:
    """The digest in the source table that the fetching job was given."""
    return _entry(recorded).get("sha256")


def _generated(recorded: Recorded) -> dict[str, Any] | None:
    """The generator and seed of a raw file that was written rather than fetched."""
    return recorded.content["raw"].get("generator")


def _words(generator: dict[str, Any]) -> str:
    if not generator.get("kind"):
        return "no generator"
    return f"generator {generator['kind']}, seed {generator.get('seed')}"


def _pinned(tree: Tree, name: str) -> str | None:
    """The digest that was pinned on first use."""
    parts = Path(name).parts
    try:
        lock = tree.json(Path(*parts[:-2], "sources.lock").as_posix())
        return lock["/".join(parts[-2:])]["sha256"]
    except (CchError, KeyError, TypeError):
        return None


def check_code(tree: Tree, report: Audit, root: Path | None) -> None:
    """Find outputs of other code or another environment.

    Each record's digest is the one that its job was given; a script has one digest in all records;
    and behind a table every stage ran in one environment. Fetching is left out of the last two: raw
    bytes are held against their digest, whatever fetched them. That the code of this checkout is
    another is unknown rather than wrong: results stay what they were.

    Args:
        tree: the files.
        report: takes what is wrong.
        root: the checkout; None where only the package is there.
    """
    # Jobs of one script that name the same code, such as estimators, have the same digest.
    scripts: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for recorded in tree.records.values():
        where, code = tree.label(recorded.path), recorded.content.get("code", {})
        given = recorded.content.get("params", {}).get("code")
        if not code.get("digest"):
            report.wrong("code", where, "says nothing of the code")
            continue
        if given and given != code["digest"]:
            report.wrong(
                "code", where,
                f"was made by code {code['digest'][:SHORT]}, its job was given {given[:SHORT]}",
            )  # fmt: skip
        if "raw" not in recorded.content:
            behind = (code.get("script", "?"), *code.get("named", ()))
            scripts[behind][code["digest"]].extend(recorded.outputs)
    for (script, *named), by_digest in scripts.items():
        _check_script(report, script, named, by_digest, root)
    _check_environments(tree, report)


def _check_script(
    report: Audit,
    script: str,
    named: list[str],
    by_digest: dict[str, list[str]],
    root: Path | None,
) -> None:
    most = max(by_digest, key=lambda digest: len(by_digest[digest]))
    for digest, outputs in by_digest.items():
        if digest != most:
            for name in outputs:
                report.wrong(
                    "code", name,
                    f"was made by other code: {script} {digest[:SHORT]}, where "
                    f"{len(by_digest[most])} other files say {most[:SHORT]}",
                )  # fmt: skip
    if root is not None:
        from cch.records.code import code_now

        now = code_now(root / "workflow" / "scripts" / script, {"named": named})
        if now is not None and now != most:
            report.not_known(
                script,
                f"{len(by_digest[most])} files were made by its code {most[:SHORT]}, the checkout "
                f"has {now[:SHORT]}",
            )


def _check_environments(tree: Tree, report: Audit) -> None:
    for name in tree.under("tables", ".json"):
        found: dict[str, list[str]] = defaultdict(list)
        for recorded in ancestors(tree, name):
            about = recorded.content.get("environment", {})
            if "raw" not in recorded.content:
                said = f"{about.get('digest', 'none')[:SHORT]}, Python {about.get('python')}"
                found[said].append(tree.label(recorded.path))
        if len(found) > 1:
            said = "; ".join(f"{key} ({len(paths)}: {paths[0]})" for key, paths in found.items())
            report.wrong("environment", name, f"rests on jobs of different environments: {said}")


def ancestors(tree: Tree, name: str) -> Iterator[Recorded]:
    """Yield the records behind a file, its own first, each once."""
    seen, waiting = set(), [name]
    while waiting:
        recorded = tree.made.get(waiting.pop())
        if recorded is not None and recorded.path not in seen:
            seen.add(recorded.path)
            yield recorded
            waiting += recorded.inputs


class Chains:
    """Follows files to raw files or generators, each file once."""

    def __init__(self, tree: Tree, report: Audit) -> None:
        self.tree, self.report = tree, report
        self._ends: dict[str, frozenset[str]] = {}

    def ends(self, name: str) -> frozenset[str]:
        """Names of the raw files and generators that a file rests on."""
        if name not in self._ends:
            self._ends[name] = frozenset()  # a chain that leads to itself ends nowhere
            self._ends[name] = self._follow(name)
        return self._ends[name]

    def _follow(self, name: str) -> frozenset[str]:
        recorded = self.tree.made.get(name)
        if recorded is None:
            if not self._said(name):
                self.report.wrong("chain", name, "the chain ends here, with no record")
            return frozenset()
        if "raw" in recorded.content:
            made = _generated(recorded)
            return frozenset({self._generator(recorded, made) if made else name})
        if "generator" in recorded.content:
            return frozenset({self._generator(recorded, recorded.content["generator"])})
        if not recorded.inputs:
            said = "the chain ends here, neither at a raw file nor at a generator"
            self.report.wrong("chain", name, said)
        return frozenset().union(*(self.ends(before) for before in recorded.inputs))

    def _said(self, name: str) -> bool:
        """Whether the file or its record is reported already: missing, or unreadable."""
        known = {name, self.tree.record_name(name)}
        return any(one.where in known for one in self.report.problems)

    def _generator(self, recorded: Recorded, said: dict[str, Any]) -> str:
        if not said.get("kind") or said.get("seed") is None:
            self.report.wrong("chain", self.tree.label(recorded.path), "its generator has no key")
        return _words(said)


def check_cell_files(
    tree: Tree, chains: Chains, report: Audit, document: str, cell: dict[str, Any]
) -> set[str]:
    """Hold the files of a cell against those of its table; return where its chains end."""
    recorded = tree.made.get(document)
    ends: set[str] = set()
    if recorded is None:
        _without_record(tree, report, document, "its cells rest on files")
    for item in cell["inputs"]:
        name, digest = item["path"], item["sha256"]
        listed = recorded.inputs.get(name) if recorded else None
        if recorded is not None and listed != digest:
            said = f"the record of its table {'says ' + listed[:SHORT] if listed else 'does not'}"
            report.wrong("cell", cell["id"], f"rests on {name} {digest[:SHORT]}, {said}")
        found = chains.ends(name)
        report.count("chains", len(found))
        ends |= found
    return ends
