"""The source table, ``workflow/sources.yaml``: addresses and digests of every raw file."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from cch.base.errors import CchError
from cch.base.files import parse_yaml
from cch.config import Config, MatricesDataset, Model, Name
from cch.data.sources import gdc, generated, pypi, user_files  # noqa: F401  (they register their kinds)
from cch.data.sources.types import FileEntry
from cch.data.sources.user_files import local_source

MANY = 12
"""Most names that an error line lists."""


class Source(Model):
    """One source: raw files that are cited and read together."""

    title: str
    licence: str
    citation: str
    note: str | None = None
    release: str | None = Field(None, description="Release of the data.")
    reader: str = Field(description="Reader of its files.")
    stand_in: str | None = Field(
        None, description="What the stand-in data are and replace; shown beside every number."
    )
    files: Annotated[tuple[FileEntry, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Source:
        for key in ("name", "role"):
            values = [getattr(entry, key) for entry in self.files]
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"two files have the {key} {value!r}")
        return self

    def with_role(self, role: str) -> FileEntry:
        """Return the file with this role.

        Raises:
            CchError: no file has it.
        """
        for entry in self.files:
            if entry.role == role:
                return entry
        raise CchError(
            self.title, f"has no file with the role {role!r}; {_known(e.role for e in self.files)}"
        )


@dataclass(frozen=True)
class SourceTable:
    """The table as read from ``path``; ``sources`` maps names to sources in the file's order."""

    path: Path
    sources: dict[str, Source]

    def source(self, name: str) -> Source:
        """Return a source by name.

        Raises:
            CchError: there is no such source; the line lists those there are.
        """
        if name not in self.sources:
            raise CchError(self.path, f"there is no source {name!r}; {_known(self.sources, name)}")
        return self.sources[name]

    def file(self, source: str, name: str) -> FileEntry:
        """Return a file of a source by its name.

        Raises:
            CchError: there is no such source, or it has no such file.
        """
        files = {entry.name: entry for entry in self.source(source).files}
        if name not in files:
            raise CchError(
                self.path, f"source {source!r} has no file {name!r}; {_known(files, name)}"
            )
        return files[name]


_TABLE = TypeAdapter(dict[Name, Source])


def load_table(path: str | os.PathLike[str]) -> SourceTable:
    """Read and validate a source table.

    Raises:
        CchError: one line naming the file and the first wrong key.
    """
    path = Path(path)
    try:
        raw = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CchError(path, "there is no such source table") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CchError(path, f"is not readable as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict) or not raw:
        raise CchError(path, "must map names of sources to their entries")
    try:
        return SourceTable(path, _TABLE.validate_python(_with_mirror_paths(raw)))
    except ValidationError as error:
        raise CchError(path, _first_problem(error, raw)) from None


def _with_mirror_paths(raw: dict[Any, Any]) -> dict[Any, Any]:
    """Set the default path under a mirror, ``<source>/<name>``."""

    def file(source: Any, entry: Any) -> Any:
        return (
            {"mirror": f"{source}/{entry['name']}"} | entry
            if isinstance(entry, dict) and "name" in entry
            else entry
        )

    def source(name: Any, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("files"), list):
            return value
        return value | {"files": [file(name, entry) for entry in value["files"]]}

    return {name: source(name, value) for name, value in raw.items()}


def _first_problem(error: ValidationError, raw: dict[Any, Any]) -> str:
    problems = error.errors()
    first = problems[0]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        model = FileEntry if "files" in first["loc"] else Source
        message = f"there is no such key; expected one of {', '.join(model.model_fields)}"
    elif first["type"] == "missing":
        message = "this key is required"
    elif not isinstance(first.get("input"), dict | list | tuple | BaseModel):
        message += f", not {first.get('input')!r}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{_key(first['loc'], raw)}: {message}{more}"


def _key(location: tuple[Any, ...], raw: Any) -> str:
    """Return the key of a location in the table, with files by name."""
    parts: list[str] = []
    for step in location:
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            raw = None
        if isinstance(step, int) and isinstance(raw, dict) and "name" in raw:
            parts[-1] += f"[{raw['name']}]"
        elif isinstance(step, int):
            parts[-1] += f"[{step}]"
        elif step != "[key]":
            parts.append(str(step))
    return ".".join(parts)


def _known(names: Any, wanted: str = "") -> str:
    """List the names there are, or the nearest ones if they are many."""
    names = list(names)
    if len(names) <= MANY:
        return f"there are {', '.join(names)}"
    nearest = difflib.get_close_matches(wanted, names, n=5, cutoff=0.0)
    return f"there are {len(names)}, the nearest {', '.join(nearest)}"


def with_local(table: SourceTable, config: Config) -> SourceTable:
    """Return the table with a source for every dataset of user files in the configuration."""
    sources = dict(table.sources)
    for name, dataset in config.datasets.items():
        if not isinstance(dataset, MatricesDataset):
            continue
        paths = {role: entry.file for role, entry in dataset.files.items()}
        paths["labels"] = dataset.labels.file
        sources[local_source(name)] = Source(
            title=dataset.title,
            licence="of the files' owner",
            citation="none; files named in the configuration",
            reader="local-files",
            files=tuple(
                FileEntry(
                    name=f"{role}{''.join(Path(path).suffixes[-2:])}",
                    role=role,
                    kind="local",
                    path=path,
                )
                for role, path in paths.items()
            ),
        )
    return replace(table, sources=sources)
