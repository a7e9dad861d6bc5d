"""Configuration files laid over one another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from cch import CHECKOUT
from cch.base.errors import CchError, did_you_mean
from cch.base.files import parse_yaml
from cch.config.model import _without_nulls


def overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge two configurations key by key, as Snakemake's ``--configfile`` does."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = overlay(merged[key], value) if both else value
    return merged


def layered(layers: Iterable[tuple[object, dict[str, Any]]]) -> dict[str, Any]:
    """Merge named configurations in order; later ones override earlier ones.

    Raises:
        CchError: a null removes a dataset or a study that no earlier configuration has.
    """
    merged: dict[str, Any] = {}
    for where, content in layers:
        if merged:
            _check_removals(merged, content, where)
        merged = overlay(merged, content)
    return merged


def _check_removals(below: dict[str, Any], above: dict[str, Any], where: object) -> None:
    for section, kind in (("datasets", "dataset"), ("studies", "study")):
        there, entries = (part.get(section) or {} for part in (below, above))
        if not isinstance(there, dict) or not isinstance(entries, dict):
            continue
        # An entry that a layer in between has removed is still a key, with null.
        lost = [str(name) for name, entry in entries.items() if entry is None and name not in there]
        if lost:
            known = list(map(str, _without_nulls(there)))
            raise CchError(
                where,
                f"{section}.{lost[0]}: null takes away a {kind} that is not there",
                f"{did_you_mean(lost[0], known)}there are {', '.join(known)}",
            )


def read(overlays: Sequence[str | Path], root: str | Path = CHECKOUT) -> dict[str, Any]:
    """Return ``config.yaml`` with overlays over it, not yet validated.

    Raises:
        CchError: a file is missing or is no YAML, or it removes what is not there.
    """
    layers: list[tuple[object, dict[str, Any]]] = []
    for path in (Path(root) / "config.yaml", *map(Path, overlays)):
        try:
            content = parse_yaml(path.read_text(encoding="utf-8")) or {}
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise CchError(path, "there is no such configuration file") from None
        except OSError as error:
            raise CchError(path, f"cannot be read: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise CchError(path, f"is no YAML: {' '.join(str(error).split())}") from None
        if not isinstance(content, dict):
            raise CchError(path, "holds no keys and values")
        layers.append((path, content))
    return layered(layers)
