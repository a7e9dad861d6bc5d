"""What the networks of a study read: one table a modality, or one for each seed.

Where features are selected, every split has its own: other columns, other fills, other scales. The
tables of all seeds then lie one below the other, so that runs of all seeds still train in one
stack; a row's place in them is its number plus the seed's offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.config.specs import TrainSpec
from cch.data.degradation import degrade
from cch.data.paired import PairedDataset
from cch.data.scaling import fit_columns
from cch.data.selection import SelectionFile


class Inputs:
    """Tables of a study's modalities, as stored, standardised or selected; clean or degraded.

    Args:
        spec: what determines the runs.
        dataset: the dataset, opened.
        train_rows: (S, n) training rows of every seed: all that anything here is fitted on.
        features: selection files by modality, where the study selects.

    Raises:
        CchError: a selection file is missing, damaged, or was made from another dataset.
    """

    def __init__(
        self,
        spec: TrainSpec,
        dataset: PairedDataset,
        train_rows: np.ndarray,
        features: Mapping[str, str | Path] | None = None,
    ) -> None:
        self.spec, self.dataset, self.train_rows = spec, dataset, train_rows
        self.selected = {m: SelectionFile(path) for m, path in (features or {}).items()}
        for file in self.selected.values():
            _check_selection(file, spec, dataset)
        self.tables = max((len(file.seeds) for file in self.selected.values()), default=1)
        self._table: dict[str, np.ndarray] = {}
        self._degraded: dict[tuple[str, float, int | None], np.ndarray] = {}

    def table(self, modality: str) -> np.ndarray:
        """All clean inputs (T, D), in stored units; T is N, or S * N. The last one is kept."""
        if modality not in self._table:
            self._table.clear()
            values = self.dataset.values(modality)
            values = values.reshape(len(values), -1)
            if self.spec.selection:
                values = self._chosen(modality).inputs(values)
                values = values.reshape(-1, values.shape[-1])
            elif self.dataset.missing(modality):
                raise CchError(
                    self.dataset.path,
                    f"modality {modality!r} has missing values",
                    "give the study a `selection`, which fills them in",
                )
            elif self.spec.inputs == "standardised":
                values = fit_columns(values, self.train_rows[0]).transform(values)
            self._table[modality] = values
        return self._table[modality]

    def _chosen(self, modality: str) -> SelectionFile:
        if modality not in self.selected:
            raise CchError(self.dataset.path, f"no features were selected for {modality!r}")
        return self.selected[modality]

    def scale(self, modality: str) -> float:
        """The factor from the values of ``table`` to network inputs."""
        fitted = self.spec.selection or self.spec.inputs == "standardised"
        return 1.0 if fitted else self.dataset.scale(modality)

    def labels(self) -> np.ndarray:
        """The label of every row of a table, (T,)."""
        return np.tile(self.dataset.label, self.tables)

    def places(self, rows: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        """Where rows (M, n) of the dataset lie in a table, each in that of its seed."""
        if self.tables == 1:
            return rows
        return rows + len(self.dataset) * np.asarray(seeds, dtype=np.int64)[:, None]

    def seen(
        self, modality: str, level: float, rows: np.ndarray, seeds: Sequence[int]
    ) -> list[tuple[list[int], np.ndarray, np.ndarray]]:
        """What networks read at a level of degradation, in as few tables as can be.

        Noise is drawn for each seed, and scaled by the features' spread on that seed's training
        rows; blur is the same for all seeds.

        Args:
            modality: which.
            level: how much it is degraded; 0 leaves it clean.
            rows: (M, n) rows of the dataset for each of M networks.
            seeds: of each network.

        Returns:
            For each table: which of the M networks read it, the table, their places in it.
        """
        if level and self.spec.degradation.kind == "noise":
            return [
                ([network], self._noisy(modality, level, seed), rows[[network]])
                for network, seed in enumerate(seeds)
            ]
        values = self._blurred(modality, level) if level else self.table(modality)
        return [(list(range(len(rows))), values, self.places(rows, seeds))]

    def _noisy(self, modality: str, level: float, seed: int) -> np.ndarray:
        clean = self.table(modality)
        if self.tables > 1:
            clean = clean[seed * len(self.dataset) :][: len(self.dataset)]
        std = clean[self.train_rows[seed]].std(axis=0) * self.spec.degradation.scale
        return self._keep((modality, level, seed), clean, std)

    def _blurred(self, modality: str, level: float) -> np.ndarray:
        return self._keep((modality, level, None), self.table(modality), None)

    def _keep(
        self, key: tuple[str, float, int | None], clean: np.ndarray, std: np.ndarray | None
    ) -> np.ndarray:
        """Degrade, or return what was degraded last."""
        if key not in self._degraded:
            self._degraded.clear()
            modality, level, seed = key
            self._degraded[key] = degrade(
                clean,
                self.spec.degradation.kind,
                level,
                shape=self.dataset.shape(modality),
                std=std,
                key=("noise", modality, seed),
            )
        return self._degraded[key]


def _check_selection(file: SelectionFile, spec: TrainSpec, dataset: PairedDataset) -> None:
    seeds = list(range(spec.seeds if spec.split else 1))
    if file.header["dataset"] != sha256_file(dataset.path):
        raise CchError(file.path, "was selected from another dataset file", "select again")
    if file.seeds[: len(seeds)] != seeds:
        raise CchError(file.path, f"holds seeds {file.seeds}, {spec.seeds} are asked for")
