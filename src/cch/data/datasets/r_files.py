"""Data frames in files of R (``.rda``), and the tables of TCGA that packages of R publish in them.

Two libraries, because neither reads all files: ``pyreadr`` rejects ``sysdata.rda`` of TCGAbiolinks,
and ``rdata``, which is pure Python, takes minutes for the millions of texts in a table of miRNAs,
where ``pyreadr`` takes seconds. Neither runs code of the file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN
from cch.data.datasets.matrix import LabelTable, Matrix, PathLike
from cch.data.datasets.segments import Regions, Segments, chromosome_number

if TYPE_CHECKING:
    import pandas as pd

PER_MILLION = "reads_per_million_miRNA_mapped"
"""What ``miRNA_ID`` says of the row of a sample that is used, one of three."""

SUBTYPES = "pancan2018"
"""The table of molecular subtypes in ``sysdata.rda``."""

GENE_COLUMNS = ("chromosome_name", "start_position", "end_position", "ensembl_gene_id")
SEGMENT_COLUMNS = ("Sample", "Chromosome", "Start", "End", "Segment_Mean")


def read_segments(path: PathLike) -> Segments:
    """Read copy-number segments of RTCGA.CNV, one in a row.

    Raises:
        CchError: the file is no data frame of R, lacks a column, or holds no segments.
    """
    columns = _columns(path, _only_frame(path), SEGMENT_COLUMNS)
    sample, chromosome, start, end, mean = columns
    return Segments.of(
        samples=[str(name) for name in sample],
        chromosome=_integers(path, chromosome),
        start=_integers(path, start),
        end=_integers(path, end),
        mean=np.asarray(mean, dtype=np.float64),
        origin=str(path),
    )


def read_gene_locations(path: PathLike) -> Regions:
    """Read hg19 coordinates of Ensembl genes, in genomic order: autosomes and X.

    RTCGA.CNV has no segments on Y. A gene of several Entrez ids has several rows, which are equal
    in what is read here.

    Raises:
        CchError: as ``read_segments``.
    """
    chromosome, start, end, gene = _columns(path, _only_frame(path), GENE_COLUMNS)
    found: dict[str, tuple[int, int, int]] = {}
    for name, first, last, ensembl in zip(chromosome, start, end, gene, strict=True):
        number = chromosome_number(str(name))
        if number is not None:
            found.setdefault(str(ensembl), (number, int(first), int(last)))
    if not found:
        raise CchError(path, "holds no genes on autosomes or X", AGAIN)
    return Regions.of(found, str(path))


def read_mirna(path: PathLike) -> Matrix:
    """Read miRNAs of RTCGA.miRNASeq as log2(reads per million mapped + 1), samples by miRNAs.

    A sample has three rows, told apart by ``miRNA_ID``: reads, reads per million, cross-mapped. The
    names of the second and third are the barcode with a number appended.

    Raises:
        CchError: as ``read_segments``, or a value is no number of 0 or more.
    """
    frame = _only_frame(path)
    (kind,) = _columns(path, frame, ("miRNA_ID",))
    rows = np.flatnonzero(np.asarray(kind).astype(str) == PER_MILLION)
    if not len(rows):
        raise CchError(path, f"has no row with {PER_MILLION!r} in its column miRNA_ID", AGAIN)
    taken = frame.iloc[rows].drop(columns=["machine", "miRNA_ID"], errors="ignore")
    barcodes = tuple(str(name).partition(".")[0] for name in taken.index)
    # As text column by column: a column is a factor of R with a level for every value.
    values = np.empty(taken.shape, dtype=np.float64)
    for place, name in enumerate(taken.columns):
        values[:, place] = _numbers(path, taken[name], str(name))
    return Matrix(_log2(path, values), barcodes, tuple(map(str, taken.columns)), str(path))


def read_expression(path: PathLike) -> Matrix:
    """Read a data frame of genes by samples, such as GSALightning's, as log2(value + 1).

    Raises:
        CchError: as ``read_segments``, or a value is no number of 0 or more.
    """
    frame = _only_frame(path)
    values = np.column_stack(
        [_numbers(path, frame[name], str(name)) for name in frame.columns]
    ).T  # fmt: skip
    samples, genes = tuple(map(str, frame.columns)), tuple(map(str, frame.index))
    return Matrix(_log2(path, values), samples, genes, str(path))


def read_subtypes(path: PathLike) -> LabelTable:
    """Read the subtypes of TCGAbiolinks (``pancan2018``), a sample in a row.

    A ``Subtype_Selected`` such as ``KIRC.NA`` is missing.

    Raises:
        CchError: the file is none of R, or has no such table.
    """
    frame = _frame_among(path, SUBTYPES)
    return LabelTable(
        {
            str(name): [_text(value) for value in frame[name].astype(object).fillna("NA")]
            for name in frame.columns
        },
        str(path),
    )


def _text(value: Any) -> str | None:
    """Return a text, or None for a missing one: NA, or NA behind the name of a cohort."""
    text = str(value)
    return None if text == "NA" or text.endswith(".NA") else text


def _only_frame(path: PathLike) -> pd.DataFrame:
    """Return the data frame of a file that holds one, read by ``pyreadr``."""
    import pyreadr

    _exists(path)
    try:
        found = pyreadr.read_r(os.fspath(path))
    except Exception as error:  # the library's own errors, those of the C code below, of decoding
        raise _unreadable(path, error) from None
    if len(found) != 1:
        raise CchError(path, f"holds {len(found)} objects of R, one data frame expected", AGAIN)
    return next(iter(found.values()))


def _frame_among(path: PathLike, name: str) -> pd.DataFrame:
    """Return the data frame called ``name`` of a file of many objects, read by ``rdata``."""
    import rdata

    _exists(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that plain data frames do not need
            parsed = rdata.parser.parse_file(path)
            for tag, node in _objects(parsed.object):
                if tag == name:
                    wanted = rdata.parser.RData(parsed.versions, parsed.extra, node)
                    return rdata.conversion.convert(wanted)
    except Exception as error:  # whatever a damaged file makes a parser of bytes raise
        raise _unreadable(path, error) from None
    raise CchError(path, f"holds no object {name!r}", AGAIN)


def _objects(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and objects of a parsed file, which is a linked list."""
    while getattr(node, "tag", None) is not None:
        symbol = node.tag if node.tag.value is not None else node.tag.referenced_object
        yield symbol.value.value.decode(), node.value[0]
        node = node.value[1]


def _exists(path: PathLike) -> None:
    if not os.path.isfile(path):
        raise CchError(path, "there is no such file", "fetch it first")


def _unreadable(path: PathLike, error: Exception) -> CchError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return CchError(path, f"cannot be read as a data file of R ({reason})", AGAIN)


def _columns(path: PathLike, frame: pd.DataFrame, names: tuple[str, ...]) -> list[Any]:
    for name in names:
        if name not in frame.columns:
            raise CchError(path, f"has no column {name!r}", AGAIN)
    if not len(frame):
        raise CchError(path, "has no rows", AGAIN)
    return [frame[name] for name in names]


def _integers(path: PathLike, column: Any) -> np.ndarray:
    try:
        return np.asarray(column, dtype=np.int64)
    except (TypeError, ValueError) as error:
        raise CchError(path, f"column {column.name!r} holds no integers ({error})", AGAIN) from None


def _numbers(path: PathLike, column: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(column.astype(object), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CchError(path, f"column {name!r} holds no numbers ({error})", AGAIN) from None


def _log2(path: PathLike, values: np.ndarray) -> np.ndarray:
    if (values < 0).any():
        raise CchError(path, "holds negative values where 0 or more are expected", AGAIN)
    return np.log2(values + 1).astype(np.float32)
