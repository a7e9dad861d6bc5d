"""CMU-MOSI: utterance-level features of text, audio and video, with the published split.

The features are those that Poria et al. (2017, doi:10.18653/v1/P17-1081) published with their
code: one table per modality and part, one utterance per row, the label in the last column. Rows of
the three tables of a part are the same utterances. The tables name no utterance, but
``transcripts.csv`` beside them lists all of them with the number of their video. The first 62
videos are the training part, and within a part the positive utterances come first, in the order of
that list: so say the row numbers in the first column of ``data/text_train.csv`` and
``data/text_test.csv`` there. It is a stand-in for CMU-MOSEI, always shown
under its own name.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN, read_bytes, read_numbers
from cch.data.datasets.utterances import UtterancePart, as_contents, joined
from cch.data.paired import Contents

if TYPE_CHECKING:
    from cch.config import MosiDataset

FEATURES = {"text": 100, "audio": 73, "video": 100}
"""Modalities with their features for each utterance."""

UTTERANCES = {"train": 1_447, "test": 752}
"""Utterances of each part, 2,199 in all."""

TRAIN_VIDEOS = 62
"""Videos of the training part, by their number; the other 31 are the test part's."""

CLASSES = ("negative", "positive")


@dataclass(frozen=True)
class MosiFeatures:
    """The two published parts."""

    train: UtterancePart
    test: UtterancePart


def read_tables(*tables: str | os.PathLike[str]) -> MosiFeatures:
    """Read the seven tables, plain or gzip-compressed.

    Args:
        tables: text, audio and video of the training part, then of the test part; transcripts.

    Raises:
        CchError: a table cannot be read, differs in rows or columns from the published one, holds
            a value that is not finite or a label other than 0 or 1, or two modalities of a part,
            or its transcripts, differ in a label.
    """
    count = len(FEATURES)
    train, test = (
        dict(zip(FEATURES, part, strict=True)) for part in (tables[:count], tables[count:-1])
    )
    videos = _read_videos(tables[-1])
    return MosiFeatures(
        *(
            _read_part(paths, UTTERANCES[name], videos[name], tables[-1])
            for name, paths in (("train", train), ("test", test))
        )
    )


def _read_videos(path: str | os.PathLike[str]) -> dict[str, list[tuple[str, int]]]:
    """The video and the label of each utterance of the parts, in the order of their rows."""
    lines = csv.reader(io.StringIO(read_bytes(path).decode("utf-8", "replace"), newline=""))
    found: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    try:
        for name, _, number, label in lines:
            part = "train" if int(number) <= TRAIN_VIDEOS else "test"
            found[part].append((name.rpartition("_")[0], int(label)))
    except (ValueError, csv.Error) as error:
        raise CchError(path, f"is no table of transcripts ({error})", AGAIN) from None
    return {part: sorted(rows, key=lambda row: -row[1]) for part, rows in found.items()}


def _read_part(
    paths: Mapping[str, str | os.PathLike[str]],
    rows: int,
    videos: list[tuple[str, int]],
    transcripts: str | os.PathLike[str],
) -> UtterancePart:
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
    if [said for _, said in videos] != label.tolist():
        raise CchError(transcripts, f"lists other labels than {paths['text']}", AGAIN)
    features = {name: table[:, :-1] for name, table in tables.items()}
    return UtterancePart(features, label.astype(np.int64), [video for video, _ in videos])


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
    sample = [f"{name}-{row:04d}" for name, part in parts.items() for row in range(len(part.label))]
    return as_contents(
        parts, joined(parts), sample=sample, class_names=CLASSES, notes=_notes(parts)
    )


def _notes(parts: Mapping[str, UtterancePart]) -> dict[str, Any]:
    return {
        "dataset": "CMU-MOSI, utterance-level features; not CMU-MOSEI",
        "funnel": {
            name: {
                "utterances": len(part.label),
                "positive": int(part.label.sum()),
                "negative": int((part.label == 0).sum()),
                "videos": len(set(part.video)),
            }
            for name, part in parts.items()
        },
        "features": dict(FEATURES),
    }
