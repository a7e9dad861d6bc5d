"""An explanation of a cell for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.tree import Tree

from cch.records.record import specification


def as_tree(found: dict[str, Any]) -> Tree:
    """Lay an explanation out for the terminal."""
    cell = found["cell"]
    shown_in = cell.get("text_unit") or cell["unit"]
    unit = f" {shown_in}" if shown_in else ""
    tree = Tree(_plain(f"{cell['id']} = {cell['text']}{unit}"))
    if found["table"]["state"] != "as recorded":
        tree.add(_plain(f"{found['table']['path']}  [{found['table']['state'].upper()}]"))
    if cell["n"] is not None:
        in_nats = f" {cell['unit']}" if cell["unit"] else ""
        tree.add(f"value {cell['value']!r}{in_nats}, n {cell['n']}, standard error {cell['se']!r}")
    elif isinstance(cell["value"], float):
        tree.add(f"value {cell['value']!r} {cell['unit'] or ''}".rstrip())
    if interval := cell.get("interval"):
        ends = f"95 % interval {interval['low']!r} to {interval['high']!r}"
        tree.add(f"{ends}, standard error {interval['se']!r}, p = {interval['p']:.3g}")
    tree.add(_plain(f"aggregation: {cell['aggregation']}"))
    _add_paper(tree, found)
    for deviation in found["deviations"]:
        tree.add(_plain(f"not the paper's setting: {deviation}"))
    for flag in cell["flags"]:
        tree.add(_plain(f"flag: {flag}"))
    _add_members(tree, found)
    if not found["files"]:
        tree.add("rests on the configuration alone")
    shown: set[str] = set()
    for link in found["files"]:
        _grow(tree, link, shown)
    if found["files"] or not found["whole"]:
        tree.add(_ending(found))
    return tree


def _plain(text: str) -> str:
    """Text in which rich sees no markup."""
    return text.replace("[", r"\[")


def _ending(found: dict[str, Any]) -> str:
    said = "the chain is whole" if found["whole"] else "THE CHAIN IS BROKEN, see above"
    if found["unread"]:
        files = "1 large file" if found["unread"] == 1 else f"{found['unread']} large files"
        said += f"; the bytes of {files} were not read, --full reads them"
    return said


def _add_paper(tree: Tree, found: dict[str, Any]) -> None:
    cell, compared = found["cell"], found["comparison"]
    paper = cell["paper"]["text"] if cell["paper"] else "prints no such number"
    branch = tree.add(_plain(f"paper: {paper}; verdict: {cell['verdict']}"))
    if compared is None:
        return
    unit = f" {compared['unit']}" if compared["unit"] else ""
    ours = f"ours {_shown(compared['ours'])}{unit}"
    if compared["ours"]["half"] is not None:
        ours += f" (95 %, Student's t at n = {cell['n']})"
    theirs = "the last printed digit"
    if cell["paper"]["se"]:
        n = cell["paper"].get("n")
        theirs = f"95 %, Student's t at n = {n}" if n else "1.96 standard errors, of the printed ±"
    branch.add(f"compared: {ours} with the paper's {_shown(compared['paper'])}{unit} ({theirs})")


def _shown(side: dict[str, Any]) -> str:
    if side["half"] is None:
        return f"{side['value']:.4f}, with no interval"
    low, high = side["ends"]
    return f"{side['value']:.4f} ± {side['half']:.4f}, {low:.4f} to {high:.4f}"


def _add_members(tree: Tree, found: dict[str, Any]) -> None:
    members = found["cell"]["members"]
    if not members:
        return
    kind = members[0]["kind"]
    branch = tree.add(f"{len(members)} {kind if len(members) == 1 else f'{kind}s'}")
    for member, sides in zip(members, found["sides"], strict=True):
        of = member["id"]
        if "minus" in member:
            of += f" minus {member['minus']}"
        if sides:
            of += f": {sides[0]!r} - {sides[1]!r}"
        branch.add(f"seed {member['seed']}: {member['value']!r}  ({of})")


def _grow(tree: Tree, link: dict[str, Any], shown: set[str]) -> None:
    state = "" if link["state"] == "as recorded" else f"  [{link['state'].upper()}]"
    label = f"{link['path']}  sha256 {link['sha256']}{state}"
    if not link["hashed"] and link["bytes"] is not None:
        label += f"  ({link['bytes'] / 2**20:,.0f} MiB, bytes not read)"
    if link["path"] in shown:
        tree.add(_plain(f"{label} (above)"))
        return
    shown.add(link["path"])
    branch = tree.add(_plain(label))
    if "rule" in link:
        branch.add(_plain(_made_by(link)))
        for line in _about(link):
            branch.add(_plain(line))
    for before in link["inputs"]:
        _grow(branch, before, shown)


def _about(link: dict[str, Any]) -> Iterator[str]:
    """Lines on where a raw file, a generated or a prepared file came from, and on the split."""
    if "raw" in link:
        raw = link["raw"]
        if made := raw.get("generator"):
            yield (
                f"generated, no measured data: {raw['bytes']} bytes written by this project's "
                f"generator {made['kind']}, seed {made['seed']}, {raw['retrieved']}"
            )
        else:
            yield f"raw file, {raw['bytes']} bytes from {raw['address']}, {raw['retrieved']}"
        for address in raw["published_addresses"]:
            yield f"published at {address}"
        if raw.get("stand_in"):
            yield f"stand-in: {raw['stand_in']}"
    if "generator" in link:
        yield f"generator {link['generator']['kind']}, seed {link['generator']['seed']}"
    if link.get("notes"):
        said = [f"{key}: {_words(value)}" for key, value in link["notes"].items()]
        yield f"notes: {'; '.join(said)}"
    if link.get("chosen"):
        counts = [f"level {level} {_words(count)}" for level, count in link["chosen"].items()]
        yield f"better teacher on validation rows, seeds: {'; '.join(counts)}"
    spec = specification(link)
    if "split" in spec:
        split = spec["split"]
        yield f"split: {_words(split) if split else 'that of the dataset'}"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list) else str(value)


def _made_by(link: dict[str, Any]) -> str:
    code, environment = link["code"], link["environment"]
    commit = code.get("commit", "")[:12]
    dirty = " with uncommitted changes" if code.get("dirty") else ""
    where = f", commit {commit}{dirty}" if commit else ""
    named = [link.get("device"), environment.get("processor")]
    device = f", on {' of '.join(filter(None, named))}" if any(named) else ""
    if "slurm" in link:
        device += f", SLURM job {link['slurm']['job']}"
    python = f" (Python {environment['python']})" if "python" in environment else ""
    return (
        f"rule {link['rule']}, code {code['digest'][:12]}{where}, environment "
        f"{environment['digest'][:12]}{python}{device}, {link['started']}, {link['seconds']:g} s"
    )
