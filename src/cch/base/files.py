"""Atomic files, locks, digests and YAML."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block succeeds.

    If the block raises, the temporary file is removed and ``path`` is unchanged. A killed process
    leaves at most the temporary file, ``.NAME.part``, which the next writer replaces.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as indented JSON atomically; NaN and infinities are refused."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def parse_yaml(text: str) -> Any:
    """Return dicts, lists and scalars of a YAML text.

    Raises:
        yaml.YAMLError: the text is no valid YAML.
    """
    # libyaml reads it ten times faster; a PyYAML that was built without it has no CSafeLoader.
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def process_lock(path: str | os.PathLike[str]) -> FileLock:
    """Return a lock, ``flock`` on ``path``, that is released when its process ends in any way."""
    # The fallback for file systems without flock would outlive a killed process.
    return FileLock(path, fallback_to_soft=False)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def canonical_json(content: Any) -> str:
    """Return canonical JSON of ``content``: sorted keys, no spaces, no NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(content: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``content``, in hex."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
