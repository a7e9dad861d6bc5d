"""The files of one study that cells are made from, each read once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.config import Config
from cch.config.paths import Paths
from cch.data.paired import PairedDataset
from cch.tables.documents import InputFile
from cch.training.store import RunsFile


class Source:
    """Reads runs, estimates, calibrations and the dataset of one study when they are asked for.

    Args:
        config: the configuration.
        study: name of the study.
    """

    def __init__(self, config: Config, study: str) -> None:
        self.config, self.name = config, study
        self.study = config.studies[study]
        self.paths = Paths.of(config)
        self._runs: dict[str, list[dict[str, Any]]] = {}
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._digests: dict[str, str] = {}
        self._made: dict[str, Any] = {}

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, made once for a key: for what many cells share."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def runs_path(self, role: str) -> str:
        """The file of the runs of a role."""
        return self.paths.runs(self.name, role)

    def runs(self, role: str) -> list[dict[str, Any]]:
        """All runs of a role."""
        path = self.runs_path(role)
        if path not in self._runs:
            with RunsFile(path) as file:
                self._runs[path] = file.runs
        return self._runs[path]

    def estimates_path(self, estimator: str) -> str:
        """The file of an estimator's estimates."""
        return self.paths.information(self.name, estimator)

    def estimates(self, estimator: str, quantity: str) -> list[dict[str, Any]]:
        """All estimates of a quantity by an estimator."""
        entries = self._read(self.estimates_path(estimator), "estimates")
        wanted = (estimator, quantity)
        return [entry for entry in entries if (entry["estimator"], entry["quantity"]) == wanted]

    def calibration_path(self, estimator: str) -> str:
        """The file of an estimator's calibration; studies of one shape may share it."""
        return self.paths.calibration(self.config.calibrated_on(self.name), estimator)

    def calibration(self, estimator: str) -> list[dict[str, Any]]:
        """All calibration results of an estimator."""
        entries = self._read(self.calibration_path(estimator), "results")
        return [entry for entry in entries if entry["estimator"] == estimator]

    def _read(self, path: str, key: str) -> list[dict[str, Any]]:
        if path not in self._entries:
            self._entries[path] = json.loads(Path(path).read_text(encoding="utf-8"))[key]
        return self._entries[path]

    @property
    def dataset_path(self) -> str:
        """The file of the prepared dataset."""
        return self.paths.dataset(self.study.dataset)

    def dataset(self) -> PairedDataset:
        """The prepared dataset, opened."""
        return PairedDataset(self.dataset_path)

    def setting(self, path: str) -> Any:
        """A value of the study's configuration, see ``setting``."""
        return setting(self.config, self.name, path)

    def inputs(self, files: Iterable[str]) -> tuple[InputFile, ...]:
        """Files with their digests, sorted, as a cell lists them."""
        return tuple(InputFile(path=path, sha256=self.digest(path)) for path in sorted(files))

    def digest(self, path: str) -> str:
        """SHA-256 of a file."""
        if path not in self._digests:
            self._digests[path] = sha256_file(path)
        return self._digests[path]


def setting(config: Config, study_name: str, path: str) -> Any:
    """Return a value of a study by its dotted path; ``dataset.*`` reads the study's dataset.

    Raises:
        CchError: there is no such key.
    """
    study = config.studies[study_name]
    first, _, rest = path.partition(".")
    node: Any = study.model_dump(mode="json")
    if first == "dataset" and rest:
        node, path = config.datasets[study.dataset].model_dump(mode="json"), rest
    for part in path.split("."):
        try:
            node = node[int(part)] if isinstance(node, list) else node[part]
        except (KeyError, IndexError, ValueError):
            raise CchError(f"studies.{study_name}", f"has no setting {path!r}") from None
    return node
