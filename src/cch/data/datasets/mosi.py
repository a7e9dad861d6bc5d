"""CMU-MOSI: utterance-level features of text, audio and video, with the published split.

The features are those that Poria et al. (2017, doi:10.18653/v1/P17-1081) published with their
code: one table per modality and part, one utterance per row, the label in the last column. Rows of
the three tables of a part are the same utterances. It is a stand-in for CMU-MOSEI, always shown
under its own name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN, read_numbers
from cch.data.paired import Contents, Modality

if TYPE_CHECKING:
    from cch.config import MosiDataset

FEATURES = {"text": 100, "audio": 73, "video": 100}
"""Modalities with their features for each utterance."""

UTTERANCES = {"train": 1_447, "test": 752}
"""Utterances of each part, 2,199 in all."""

CLASSES = ("negative", "positive")


@dataclass(frozen=True)
class MosiPart:
    """Utterances of one part: by modality (N, D) float64, and labels (N,) int64, 1 positive."""

    features: Mapping[str, np.ndarray]
    label: np.ndarray


@dataclass(frozen=True)
class MosiFeatures:
    """The two published parts."""

    train: MosiPart
    test: MosiPart


def read_tables(*tables: str | os.PathLike[str]) -> MosiFeatures:
    """Read the six tables, plain or gzip-compressed.

    Args:
        tables: text, audio and video of the training part, then of the test part.

    Raises:
        CchError: a table cannot be read, differs in rows or columns from the published one, holds
            a value that is not finite or a label other than 0 or 1, or two modalities of a part
            differ in a label.
    """
    count = len(FEATURES)
    train, test = (
        dict(zip(FEATURES, part, strict=True)) for part in (tables[:count], tables[count:])
    )
    return MosiFeatures(
        _read_part(train, UTTERANCES["train"]), _read_part(test, UTTERANCES["test"])
    )


def _read_part(paths: Mapping[str, str | os.PathLike[str]], rows: int) -> MosiPart:
    tables = {name: _read_table(path, rows, FEATURES[name]) for name, path in paths.items()}
    label = tables["text"][:, -1]
    for name, table in tables.items():
        differing = np.flatnonzero(table[:, -1] != label)
        if len(differing):
            raise CchError(
                paths[name],
                f"row {differing[0] + 1} has another label than in {paths['text']}",
                "the rows of the modalities must be the same utterances",
            )
    features = {name: table[:, :-1] for name, table in tables.items()}
    return MosiPart(features, label.astype(np.int64))


def _read_table(path: str | os.PathLike[str], rows: int, features: int) -> np.ndarray:
    """Read ``rows`` utterances of ``features`` numbers and a label each."""
    table = read_numbers(path, quotechar='"')
    if table.shape != (rows, features + 1):
        raise CchError(
            path,
            f"is a table of {table.shape}, expected {(rows, features + 1)}: {features} features "
            f"and the label of {rows} utterances",
            AGAIN,
        )
    if not np.isfinite(table).all():
        raise CchError(path, "contains NaN or infinity", AGAIN)
    if not np.isin(table[:, -1], (0, 1)).all():
        raise CchError(path, "holds labels (last column) that are not 0 or 1", AGAIN)
    return table


def prepare(spec: MosiDataset, raw: MosiFeatures) -> Contents:
    """Return the utterances as published: training rows first, then test rows.

    Modalities ``text``, ``audio``, ``video``, (N, D) float32, unscaled. The number in a sample id
    is the utterance's row in its table. ``spec`` has only the source and the title.
    """
    parts = {"train": raw.train, "test": raw.test}
    return Contents(
        task="classification",
        label=np.concatenate([part.label for part in parts.values()]),
        sample=[
            f"{name}-{row:04d}" for name, part in parts.items() for row in range(len(part.label))
        ],
        modalities={
            name: Modality(np.concatenate([part.features[name] for part in parts.values()]))
            for name in FEATURES
        },
        class_names=CLASSES,
        split=[name for name, part in parts.items() for _ in part.label],
        notes=_notes(parts),
    )


def _notes(parts: Mapping[str, MosiPart]) -> dict[str, Any]:
    return {
        "dataset": "CMU-MOSI, utterance-level features; not CMU-MOSEI",
        "funnel": {
            name: {
                "utterances": len(part.label),
                "positive": int(part.label.sum()),
                "negative": int((part.label == 0).sum()),
            }
            for name, part in parts.items()
        },
        "features": dict(FEATURES),
    }
