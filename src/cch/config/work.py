"""How much a job has to compute, from its specification and the sizes of its dataset.

Formulas stand beside the code that does the work: ``cch.training.work``, ``cch.information.work``,
and ``work`` of each estimator.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cch.config.model import Split, SyntheticDataset, part_rows

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Work:
    """What a job computes.

    Attributes:
        operations: floating-point operations, a product and a sum being two; None where a size or
            a method's own work is not known.
        bytes: of the arrays that it reads and stores; None likewise.
        runs: models trained.
        estimates: of mutual information, those of calibrations included.
    """

    operations: float | None
    bytes: float | None = None
    runs: int = 0
    estimates: int = 0

    @classmethod
    def total(cls, parts: Iterable[Work]) -> Work:
        """Return the work of several parts; unknown where one of them is."""
        every = list(parts)
        operations, held = (
            [getattr(one, name) for one in every] for name in ("operations", "bytes")
        )
        return cls(
            None if None in operations else sum(operations),
            None if None in held else sum(held),
            runs=sum(one.runs for one in every),
            estimates=sum(one.estimates for one in every),
        )


@dataclass(frozen=True)
class Size:
    """Sizes of a dataset.

    Attributes:
        rows: rows of one sample by part; all are training rows where the dataset has no split.
        features: values of a row by modality; levels of one (``x1@0.2``) go by its name.
        outputs: classes, or 1 for a regression.
    """

    rows: dict[str, int]
    features: dict[str, int]
    outputs: int

    def split(self, split: Split | None) -> dict[str, int]:
        """Rows by part as a study splits them."""
        if split is None:
            return {part: self.rows.get(part, 0) for part in PARTS}
        total = sum(self.rows.values())
        sizes = part_rows(total, split.test, split.valid, split.train)
        return dict(zip(PARTS, sizes, strict=True))

    def rows_of(self, part: str, split: Split | None) -> int:
        """Rows of a part, or of ``all``."""
        rows = self.split(split)
        return sum(rows.values()) if part == "all" else rows[part]


def dataset_size(dataset: Any, prepared: str | Path) -> Size | None:
    """Return the sizes of a dataset, or None where nothing says them yet.

    Args:
        dataset: its settings. Those of a synthetic dataset say its sizes.
        prepared: where its file is, or will be. Where it is, its own sizes count.
    """
    if Path(prepared).is_file():
        return _of_file(Path(prepared))
    if isinstance(dataset, SyntheticDataset):
        rows = {"train": dataset.train, "test": dataset.test}
        return Size(rows, dict.fromkeys(dataset.modalities, dataset.features), 1)
    return None


def _of_file(path: Path) -> Size:
    import h5py
    import numpy as np

    with h5py.File(path) as file:
        count = len(file["label"])
        draws = len(np.unique(file["draw"][:])) if "draw" in file else 1
        names = file["split"][:] if "split" in file else np.full(count, b"train")
        rows = {part: int((names == part.encode()).sum()) // draws for part in PARTS}
        classes = json.loads(file.attrs["class_names"]) if "class_names" in file.attrs else []
        features = {
            name.split("@")[0]: math.prod(group["values"].shape[1:])
            for name, group in file["modalities"].items()
        }
    return Size(rows, features, max(1, len(classes)))
