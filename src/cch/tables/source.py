"""The files of one study that cells are made from, each read once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cch.base.files import sha256_file
from cch.config import Config
from cch.config.paths import Paths
from cch.data.paired import PairedDataset
from cch.training.store import RunsFile


class Source:
    """Reads runs, estimates and datasets of one study, each file once."""

    def __init__(self, config: Config, study: str) -> None:
        self.config, self.name = config, study
        self.study = config.studies[study]
        self.paths = Paths.of(config)
        self._runs: dict[str, list[dict[str, Any]]] = {}
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._digests: dict[str, str] = {}

    def runs(self, role: str) -> list[dict[str, Any]]:
        """All runs of a role."""
        path = self.paths.runs(self.name, role)
        if path not in self._runs:
            with RunsFile(path) as file:
                self._runs[path] = file.runs
        return self._runs[path]

    def estimates(self, estimator: str, quantity: str) -> list[dict[str, Any]]:
        """All estimates of a quantity by an estimator."""
        entries = self._read(self.estimates_path(estimator), "estimates")
        wanted = (estimator, quantity)
        return [entry for entry in entries if (entry["estimator"], entry["quantity"]) == wanted]

    def estimates_path(self, estimator: str) -> str:
        """The file of an estimator's estimates."""
        return self.paths.information(self.name, estimator)

    def calibration(self, estimator: str) -> list[dict[str, Any]]:
        """All calibration results of an estimator."""
        entries = self._read(self.calibration_path(estimator), "results")
        return [entry for entry in entries if entry["estimator"] == estimator]

    def calibration_path(self, estimator: str) -> str:
        """The file of an estimator's calibration."""
        return self.paths.calibration(self.name, estimator)

    def _read(self, path: str, key: str) -> list[dict[str, Any]]:
        if path not in self._entries:
            self._entries[path] = json.loads(Path(path).read_text(encoding="utf-8"))[key]
        return self._entries[path]

    def dataset(self) -> PairedDataset:
        """The prepared dataset, opened."""
        return PairedDataset(self.paths.dataset(self.study.dataset))

    def inputs(self, files: list[str]) -> list[dict[str, str]]:
        """Files with their digests, as a cell lists them."""
        for path in files:
            if path not in self._digests:
                self._digests[path] = sha256_file(path)
        return [{"path": path, "sha256": self._digests[path]} for path in sorted(set(files))]
