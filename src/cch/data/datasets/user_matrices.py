"""User data: one matrix per modality and a table of labels, joined by sample.

Samples are kept that are in every matrix and have a label; classes with a single member are left
out, since no split can have them in both training and test rows. The notes and the log say what was
left out. Constant features stay, and are 0 after scaling.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN
from cch.data.datasets.matrix import (
    LabelTable,
    Matrix,
    read_features_by_samples,
    read_samples_by_features,
    read_table,
)
from cch.data.paired import Contents, Modality
from cch.data.sources.user_files import local_source

if TYPE_CHECKING:
    from cch.config import MatricesDataset, MatrixFile

log = logging.getLogger("cch.data.datasets")

SEPARATORS = {".tsv": "\t", ".txt": "\t", ".csv": ","}
HDF5 = (".h5", ".hdf5")
LEAST = 10
"""Smallest number of samples."""


@dataclass(frozen=True)
class LocalFiles:
    """Paths of the fetched files, by modality, and ``labels``."""

    paths: Mapping[str, Path]


def read_local(**paths: Path) -> LocalFiles:
    """Return the paths; the dataset's configuration says how the files are read."""
    return LocalFiles(paths)


def prepare(spec: MatricesDataset, raw: LocalFiles) -> Contents:
    """Join the matrices by sample.

    Args:
        spec: the dataset's configuration.
        raw: paths of the files.

    Raises:
        CchError: a file does not have the configured format, matrices share no sample, a sample is
            labelled twice, or fewer than two classes or ten samples remain.
    """
    matrices = {}
    for name, entry in spec.files.items():
        with _named(entry.file, raw.paths[name]):
            matrices[name] = _matrix(raw.paths[name], entry)
    with _named(spec.labels.file, raw.paths["labels"]):
        label_of = _labels(spec, raw.paths["labels"])
    first = next(iter(matrices.values()))
    common = set.intersection(*(set(matrix.samples) for matrix in matrices.values()))
    if not common:
        raise CchError(first.origin, "shares no sample with the other files", _orientation(spec))
    labelled = [name for name in first.samples if name in common and name in label_of]
    counts = Counter(label_of[name] for name in labelled)
    alone = sorted(name for name, count in counts.items() if count == 1)
    samples = [name for name in labelled if label_of[name] not in alone]
    _say(spec, matrices, common, labelled, alone)
    classes = sorted(set(counts) - set(alone))
    _check_left(spec, samples, classes, matrices)
    return Contents(
        task="classification",
        label=np.array([classes.index(label_of[name]) for name in samples]),
        sample=samples,
        modalities={name: _modality(matrix, samples) for name, matrix in matrices.items()},
        class_names=classes,
        notes={
            "dataset": spec.title,
            "funnel": {
                "samples": {name: len(matrix.samples) for name, matrix in matrices.items()},
                "complete": len(common),
                "labelled": len(labelled),
                **({"classes left out, of one member": alone} if alone else {}),
                "kept": len(samples),
            },
            "classes": {name: counts[name] for name in classes},
            "features": {name: len(matrix.features) for name, matrix in matrices.items()},
        },
    )


@contextlib.contextmanager
def _named(file: str, copy: Path) -> Iterator[None]:
    """Name the user's file in errors about the copy that is read."""
    try:
        yield
    except CchError as error:
        if error.where != str(copy):
            raise
        todo = "mend your file" if error.todo == AGAIN else error.todo
        raise CchError(file, error.what, todo) from None


def _check_left(
    spec: MatricesDataset, samples: list[str], classes: list[str], matrices: Mapping[str, Matrix]
) -> None:
    if len(classes) < 2:
        said = f"of {classes[0]!r} only" if classes else "none"
        raise CchError(
            spec.labels.file,
            f"leaves samples of one class: {said}",
            "two classes of two members are needed at least",
        )
    if len(samples) < LEAST:
        raise CchError(
            spec.title,
            f"{len(samples)} samples are in all files and have a label, {LEAST} are needed",
            _orientation(spec),
        )


def _orientation(spec: MatricesDataset) -> str:
    said = ", ".join(f"{entry.file}: {entry.rows}" for entry in spec.files.values())
    return f"see whether `rows` says what a row is ({said}) and names are written alike"


def _matrix(path: Path, entry: MatrixFile) -> Matrix:
    ending = Path(entry.file).suffixes
    ending = [part for part in ending if part != ".gz"][-1:] or [""]
    if ending[0] in SEPARATORS:
        read = read_features_by_samples if entry.rows == "features" else read_samples_by_features
        return read(path, SEPARATORS[ending[0]])
    if ending[0] == ".parquet":
        return _from_parquet(path, entry)
    if ending[0] in HDF5:
        return _from_hdf5(path, entry)
    known = ", ".join([*SEPARATORS, ".parquet", *HDF5])
    raise CchError(entry.file, f"ends in {ending[0]!r}", f"it must be one of {known}")


def _oriented(values: np.ndarray, rows: list[str], columns: list[str], entry: MatrixFile) -> Matrix:
    for names, what in ((rows, "row"), (columns, "column")):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise CchError(entry.file, f"has two {what}s named {twice[0]!r}", "name each once")
    values = np.asarray(values, dtype=np.float32)
    if entry.rows == "features":
        values, rows, columns = np.ascontiguousarray(values.T), columns, rows
    return Matrix(values, tuple(rows), tuple(columns), entry.file)


def _from_parquet(path: Path, entry: MatrixFile) -> Matrix:
    import polars as pl

    try:
        frame = pl.read_parquet(path)
        names = frame[:, 0].cast(pl.String).to_list()
        numbers = frame[:, 1:].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CchError(
            entry.file, f"is no table of numbers ({reason})", "the first column names the rows"
        ) from None
    return _oriented(numbers, names, frame.columns[1:], entry)


def _from_hdf5(path: Path, entry: MatrixFile) -> Matrix:
    try:
        with h5py.File(path, "r") as file:
            values = file[entry.values][()]
            rows, columns = (
                [name.decode() if isinstance(name, bytes) else str(name) for name in file[key][()]]
                for key in (entry.row_names, entry.column_names)
            )
    except KeyError as error:
        raise CchError(
            entry.file, f"lacks a dataset ({' '.join(str(error).split())})",
            f"it needs {entry.values}, {entry.row_names} and {entry.column_names}; see the keys "
            "`values`, `row_names` and `column_names`",
        ) from None  # fmt: skip
    except OSError as error:
        raise CchError(entry.file, f"cannot be read as HDF5 ({error})") from None
    if values.shape != (len(rows), len(columns)):
        named = (len(rows), len(columns))
        raise CchError(entry.file, f"has values of shape {values.shape}, and names for {named}")
    return _oriented(values, rows, columns, entry)


def _labels(spec: MatricesDataset, path: Path) -> dict[str, str]:
    entry = spec.labels
    if entry.file.endswith(".parquet"):
        import polars as pl

        frame = pl.read_parquet(path)
        texts = {name: frame[name].cast(pl.String).to_list() for name in frame.columns}
        table = LabelTable(texts, entry.file)
    else:
        table = read_table(path, "," if ".csv" in Path(entry.file).suffixes else "\t")
    found: dict[str, str] = {}
    for sample, label in table.pairs(entry.sample, entry.label):
        if sample in found:
            raise CchError(
                entry.file, f"has two lines for {sample!r}", "give each sample one label"
            )
        found[sample] = label
    return found


def _modality(matrix: Matrix, samples: list[str]) -> Modality:
    place = {name: number for number, name in enumerate(matrix.samples)}
    values = matrix.values[[place[name] for name in samples]]
    seen = ~np.isnan(values).all(axis=0)
    if not seen.any():
        raise CchError(matrix.origin, "holds no value for any of the samples that are left")
    names = [name for name, known in zip(matrix.features, seen, strict=True) if known]
    return Modality(values[:, seen], names, missing=bool(np.isnan(values[:, seen]).any()))


def _say(
    spec: MatricesDataset,
    matrices: Mapping[str, Matrix],
    common: set[str],
    labelled: list[str],
    alone: list[str],
) -> None:
    for name, matrix in matrices.items():
        if more := len(matrix.samples) - len(common):
            log.warning("%s: %d samples are not in all files and are left out", name, more)
        constant = int((np.nanmin(matrix.values, 0) == np.nanmax(matrix.values, 0)).sum())
        if constant:
            log.warning("%s: %d features are constant", name, constant)
    if more := len(common) - len(labelled):
        log.warning("%s: %d samples have no label and are left out", spec.labels.file, more)
    if alone:
        log.warning("%s: classes of one member are left out: %s", spec.title, ", ".join(alone))


def needs(name: str, spec: MatricesDataset) -> dict[str, tuple[str, type]]:
    """Return the source of the files; see ``cch.data.sources.user_files``."""
    return {"files": (local_source(name), LocalFiles)}
