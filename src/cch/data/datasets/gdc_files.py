"""Files of the Genomic Data Commons, one a sample, as a matrix.

They come as the tar that ``cch.data.sources.gdc`` puts together: a manifest, then a table a sample.
Each kind of table has a column that names the feature and one that holds the value.
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
    """Where a kind of file keeps names and values, and what becomes of a value."""

    feature: str
    value: str
    scale: Callable[[np.ndarray], np.ndarray] = lambda values: values
    skip: str = "\0"


STAR = Table("gene_id", "unstranded", lambda counts: np.log2(counts + 1), skip="N_")
COPY_NUMBER = Table("gene_id", "copy_number")
RPPA = Table("peptide_target", "protein_expression")


def read_star_counts(path: PathLike) -> Matrix:
    """STAR counts as log2(count + 1), what the UCSC Xena hub calls ``star_counts``."""
    return _read(path, STAR)


def read_copy_number(path: PathLike) -> Matrix:
    """Copy numbers by gene; genes without a call are missing."""
    return _read(path, COPY_NUMBER)


def read_rppa(path: PathLike) -> Matrix:
    """Normalised protein expression by antibody; what was not measured is missing."""
    return _read(path, RPPA)


def _read(path: PathLike, table: Table) -> Matrix:
    """Raise CchError where the tar or a table of it is damaged, or features differ."""
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
    """Values (N, D), samples and features of all files; what a file lacks is missing."""
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
    """Names and values of each file; equal names are one object, since there are thousands."""
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
    """The barcode that a file is about: of several the primary tumour's, else the first."""
    barcodes: Sequence[str] = file.aliquots or [sample.sample for sample in file.samples]
    if not barcodes:
        raise CchError(file.name, "names no sample in the GDC's manifest", AGAIN)
    return next((code for code in barcodes if code[13:15] == PRIMARY), barcodes[0])
