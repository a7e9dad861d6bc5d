"""Read the files of the Genomic Data Commons, one per sample, as a matrix.

They come as the tar that ``cch.data.sources.gdc`` writes: a manifest, then one table per sample.
Each kind of table has a column with the feature's name and one with its value.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN
from cch.data.datasets.matrix import Matrix, PathLike, parse_table
from cch.data.sources.gdc import MANIFEST, GdcFile

PRIMARY = "01"

Column = tuple[tuple[str, ...], np.ndarray]
"""Features of a file, and their values."""


@dataclass(frozen=True)
class Table:
    """The columns of names and values in a kind of file, and the scale of the values."""

    feature: str
    value: str
    scale: Callable[[np.ndarray], np.ndarray] = lambda values: values
    skip: str = "\0"


STAR = Table("gene_id", "unstranded", lambda counts: np.log2(counts + 1), skip="N_")
COPY_NUMBER = Table("gene_id", "copy_number")
RPPA = Table("peptide_target", "protein_expression")


def read_star_counts(path: PathLike) -> Matrix:
    """Read STAR counts as log2(count + 1), the ``star_counts`` of the UCSC Xena hub."""
    return _read(path, STAR)


def read_copy_number(path: PathLike) -> Matrix:
    """Read copy numbers by gene; genes without a call are missing."""
    return _read(path, COPY_NUMBER)


def read_rppa(path: PathLike) -> Matrix:
    """Read normalised protein expression by antibody; values not measured are missing."""
    return _read(path, RPPA)


def _read(path: PathLike, table: Table) -> Matrix:
    """Read a tar; raise CchError if it or a table in it is damaged."""
    try:
        with tarfile.open(path, "r:") as tar:
            member = tar.extractfile(MANIFEST)
            if member is None:
                raise KeyError(MANIFEST)
            manifest = json.loads(member.read())
            files = [GdcFile.model_validate(entry) for entry in manifest["files"]]
            columns = list(_columns(path, tar, files, table))
    except FileNotFoundError:
        raise CchError(path, "there is no such file", "fetch it first") from None
    except (tarfile.TarError, KeyError, ValueError, OSError) as error:
        raise CchError(path, f"is no archive of the GDC's files ({error})", AGAIN) from None
    if not columns:
        raise CchError(path, "holds no files", AGAIN)
    samples = tuple(measured(file) for file in files)
    return Matrix(*_side_by_side(columns, samples), str(path))


def _side_by_side(
    columns: Sequence[Column], samples: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Return values (N, D), samples and features; a feature that a file lacks is missing there."""
    names = [names for names, _ in columns]
    if all(some is names[0] for some in names):
        return np.stack([values for _, values in columns]), samples, names[0]
    features = tuple(dict.fromkeys(name for some in names for name in some))
    place = {name: number for number, name in enumerate(features)}
    values = np.full((len(columns), len(features)), np.nan, dtype=np.float32)
    for row, (some, column) in enumerate(columns):
        values[row, [place[name] for name in some]] = column
    return values, samples, features


def _columns(
    path: PathLike, tar: tarfile.TarFile, files: Sequence[GdcFile], table: Table
) -> Iterator[Column]:
    """Yield names and values of each file; equal names share one tuple, to save memory."""
    first: tuple[str, ...] = ()
    for file in files:
        names, values = _column(path, tar, file, table)
        first = first or names
        yield (first if names == first else names), values


def _column(path: PathLike, tar: tarfile.TarFile, file: GdcFile, table: Table) -> Column:
    member = tar.extractfile(file.member)
    if member is None:
        raise KeyError(file.member)
    where = f"{path}:{file.member}"
    text = b"".join(line for line in io.BytesIO(member.read()) if not line.startswith(b"#"))
    rows = [
        (name, value)
        for name, value in parse_table(where, text).pairs(table.feature, table.value, empty=True)
        if name is not None and not name.startswith(table.skip)
    ]
    names = tuple(name for name, _ in rows)
    if len(set(names)) < len(names):
        raise CchError(where, "names a feature twice", AGAIN)
    numbers = np.array([np.nan if value is None else float(value) for _, value in rows])
    return names, table.scale(numbers).astype(np.float32)


def measured(file: GdcFile) -> str:
    """Return the barcode that a file measures: the primary tumour's if it names several."""
    barcodes: Sequence[str] = file.aliquots or [sample.sample for sample in file.samples]
    if not barcodes:
        raise CchError(file.name, "names no sample in the GDC's manifest", AGAIN)
    return next((code for code in barcodes if code[13:15] == PRIMARY), barcodes[0])
