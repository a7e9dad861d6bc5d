"""What a configuration may name: estimators, optimisers, kinds of dataset, readers.

An entry is an object, or its place, ``"module:attribute"``, which is imported on first use: so
checking a configuration imports neither torch nor an estimator. The project's own estimators and
optimisers are below, its kinds of dataset and readers in ``cch.data.datasets.registry``.

Code outside the package is added by a plugin: a Python file under the key ``plugins`` of the
configuration, which calls ``add``. Snakemake hands the configuration to every job, on whatever
machine it runs, so a file that it names reaches all of them; an entry point would have to be
installed on each. What a job uses of a plugin is part of its code digest.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from cch.base.errors import CchError, did_you_mean


class Registry:
    """Entries by name.

    Args:
        what: what an entry is, for messages: "estimator".
        entries: objects, or the places of objects.
    """

    def __init__(self, what: str, entries: dict[str, Any] | None = None) -> None:
        self.what = what
        self._entries = dict(entries or {})
        self._files: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Any:
        """Return an entry.

        Raises:
            CchError: there is none of that name.
        """
        if name not in self._entries:
            raise CchError(self.what, self.unknown(name))
        entry = self._entries[name]
        if not isinstance(entry, str):
            return entry
        module, _, attribute = entry.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def add(self, name: str, entry: Any) -> None:
        """Add an entry: an object, or the place of one.

        Raises:
            CchError: the name is taken.
        """
        if name in self._entries:
            raise CchError(_loading or self.what, f"the {self.what} {name!r} is there already")
        self._entries[name] = entry
        if _loading:
            self._files[name] = _loading

    def unknown(self, name: str) -> str:
        """Return the words for a name that is not there: the nearest, and all that are."""
        known = list(self._entries)
        question = did_you_mean(name, known)
        return f"there is no {self.what} {name!r}; {question}there are {', '.join(known)}"

    def known(self, name: str) -> str:
        """Return ``name`` if there is such an entry; a validator of pydantic."""
        if name not in self._entries:
            raise PydanticCustomError("unknown_name", "{said}", {"said": self.unknown(name)})
        return name

    def code(self, names: Iterable[str]) -> list[str]:
        """Return what no import leads to: modules of entries named by place, files of plugins."""
        found = []
        for name in names:
            entry = self._entries.get(name)
            if name in self._files:
                found.append(self._files[name])
            elif isinstance(entry, str):
                found.append(entry.partition(":")[0])
        return list(dict.fromkeys(found))


ESTIMATORS = Registry(
    "estimator",
    {
        "latentmi": "cch.information.latent:LatentMI",
        "latentmi-corrected": "cch.information.latent:LatentMICorrected",
        "latent-light": "cch.information.latent:LatentLight",
        "latentmi-library": "cch.information.latentmi_library:LatentMILibrary",
        "mine": "cch.information.mine:MINE",
        "ksg": "cch.information.ksg:KSG",
        "infonce": "cch.information.infonce:InfoNCE",
        "nwj": "cch.information.infonce:NWJ",
        "classifier": "cch.information.classifier:Classifier",
    },
)
"""Classes of estimators; see ``cch.information.estimator``."""

BOUNDS = ["infonce", "nwj", "classifier"]
"""Those that give a bound at a stated confidence, not a point; a plugin appends its own."""

CLASSIFIER = "classifier"
"""The bound of I(student; label) or H(label | teacher); other bounds are of I(teacher; student)."""

OPTIMIZERS = Registry(
    "optimizer",
    {
        "sgd": "cch.training.optimizers:SGD",
        "adam": "cch.training.optimizers:ADAM",
        "adamw": "cch.training.optimizers:ADAMW",
    },
)
"""See ``cch.training.optimizers``."""

KINDS = Registry("kind of dataset")
"""See ``cch.data.datasets.registry``; their models are in ``cch.config.model.DATASETS``."""

READERS = Registry("reader")
"""See ``cch.data.datasets.registry``."""

_loading = ""
"""The plugin that is being loaded, as the configuration names it."""

_loaded: set[Path] = set()


def load_plugins(files: Iterable[str]) -> None:
    """Run plugins that this process has not run yet.

    Args:
        files: Python files; relative ones are below the working folder.

    Raises:
        CchError: a file is missing, fails, or adds a name that is taken.
    """
    global _loading
    for file in files:
        path = Path(file).resolve()
        if path in _loaded:
            continue
        name = f"cch_plugin_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise CchError(file, "there is no such Python file", "correct `plugins`")
        _loading, sys.modules[name] = file, importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except CchError:
            raise
        except Exception as error:
            raise CchError(file, f"fails: {type(error).__name__}: {error}") from error
        finally:
            _loading = ""
        _loaded.add(path)
