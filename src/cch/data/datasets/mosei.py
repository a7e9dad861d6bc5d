"""CMU-MOSEI from MultiBench's ``mosei_raw.pkl``, prepared by Algorithm 2.

The raw file is one pickle: ``{train, valid, test} -> {vision (N, T, 713), audio (N, T, 74),
text (N, T, 300), labels (N, 1, 7), id}``. In it every segment is padded with zeros on the left to
T = 50 steps. A step of the text is a token; one of vision or audio may also be a pause, since
pauses were dropped from the text alone. It holds 5 to 10 GB, so it is never loaded: ``safe_pickle``
finds where each array lies, and the folds are prepared from the file in blocks of rows, without an
intermediate file.

Algorithm 2 leaves two cases open. Segments without any non-zero text row have no first token; they
are dropped. Values that are not finite become 0 and are counted in the notes: minus infinity, which
occurs in the audio (logarithms of silence), and any other. A label that is not finite is an error.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cch.base.errors import CchError
from cch.base.progress import Progress
from cch.data.datasets.idx import read_bytes
from cch.data.datasets.safe_pickle import StoredArray, read_index, row_blocks
from cch.data.paired import Contents, Modality, RandomSplit

if TYPE_CHECKING:
    from cch.config import MoseiDataset

FOLDS = ("train", "valid", "test")

FEATURES = {"text": 300, "audio": 74, "vision": 713}
"""Features of each modality at each step (Algorithm 2: D_t, D_a, D_v)."""

LABELS = 7
"""Sentiment in -3..3, then six emotions; only the first is used, and some copies have only it."""

CLASSES = ("negative or neutral", "positive")

OFFICIAL = {
    "train": {"segments": 16_327, "positive": 8_050},
    "valid": {"segments": 1_871, "positive": 932},
    "test": {"segments": 4_662, "positive": 2_287},
}
"""The official folds; ``official_folds`` computes them from the published segments and labels."""

_TABLE_15 = RandomSplit(test=0.2, valid=0.1, key="mosei-70-10-20")

_OTHER_FILE = "take MultiBench's mosei_raw.pkl"


@dataclass(frozen=True)
class MoseiPickle:
    """Path of a raw file of MOSEI's layout."""

    path: Path


def find_pickle(pickle: str | os.PathLike[str]) -> MoseiPickle:
    """Return the path of the raw file; `prepare` reads it."""
    return MoseiPickle(Path(pickle))


@dataclass(frozen=True)
class Fold:
    """One official fold as stored.

    Attributes:
        arrays: by modality, (N, T, D) of any floating type, left in the file.
        score: (N,) float64, the sentiment in -3..3.
        ids: names of the segments in the file, or None.
    """

    name: str
    arrays: Mapping[str, StoredArray]
    score: np.ndarray
    ids: list[str] | None

    def __len__(self) -> int:
        return len(self.score)


def prepare(spec: MoseiDataset, raw: MoseiPickle) -> Contents:
    """Prepare the three modalities by Algorithm 2, with ``spec.split`` as split.

    Modalities ``text``, ``audio``, ``vision``: with ``spec.pooled`` the mean over all
    ``spec.length`` steps, padding included, (N, D) float32; otherwise (N, length, D). The mean is
    the first layer of Table 14's network and has no parameters. The label is 1 if the sentiment is
    above 0. The number in a sample id is the segment's row in its raw fold.

    Raises:
        CchError: the file is no intact pickle of this layout (see ``read_folds``), or a fold has
            no segment with text.
    """
    folds = read_folds(raw.path)
    rows = sum(len(fold) for fold in folds)
    steps = () if spec.pooled else (spec.length,)
    values = {name: np.empty((rows, *steps, width), np.float32) for name, width in FEATURES.items()}
    progress = Progress(f"{raw.path.name}: segments", rows, "segments")
    zeroed: Counter[str] = Counter()
    kept: dict[str, np.ndarray] = {}
    done = 0
    for fold in folds:
        target = {name: array[done:] for name, array in values.items()}
        kept[fold.name] = _prepare_fold(fold, spec, target, zeroed, progress)
        done += len(kept[fold.name])
        if not len(kept[fold.name]):
            raise CchError(raw.path, f"fold {fold.name!r} has no segment with text", _OTHER_FILE)
    label = np.concatenate([(fold.score[kept[fold.name]] > 0).astype(np.int64) for fold in folds])
    split = [fold.name for fold in folds for _ in kept[fold.name]]
    return Contents(
        task="classification",
        label=label,
        sample=[name for fold in folds for name in _sample_ids(fold, kept[fold.name])],
        modalities={name: Modality(array[:done]) for name, array in values.items()},
        class_names=CLASSES,
        split=split if spec.split == "official" else drawn_split(label),
        group=_videos(folds, kept),
        notes=_notes(spec, folds, kept, zeroed),
    )


def drawn_split(label: np.ndarray) -> list[str]:
    """Return the part of each row, (N,): Table 15's 70 / 10 / 20 %, by class; one draw for all."""
    part = np.empty(len(label), "U5")
    for name in FOLDS:
        part[_TABLE_15.rows(name, 0, np.arange(len(label)), label)] = name
    return part.tolist()


def _prepare_fold(
    fold: Fold,
    spec: MoseiDataset,
    target: Mapping[str, np.ndarray],
    zeroed: Counter[str],
    progress: Progress,
) -> np.ndarray:
    """Fill the first rows of ``target`` and return the raw rows that they come from."""
    kept: list[np.ndarray] = []
    done = 0
    for first, last in row_blocks(*fold.arrays.values()):
        text = finite(fold.arrays["text"].rows(first, last), "text", zeroed)
        start = first_tokens(text)
        spoken = np.flatnonzero(start < text.shape[1])
        kept.append(first + spoken)
        for name, stored in fold.arrays.items():
            block = text if name == "text" else finite(stored.rows(first, last), name, zeroed)
            sequence = align(block[spoken], start[spoken], spec.length)
            target[name][done : done + len(spoken)] = (
                mean_pool(sequence) if spec.pooled else sequence
            )
        done += len(spoken)
        progress.advance(last - first, fold.name)
    return np.concatenate(kept) if kept else np.empty(0, np.int64)


def finite(values: np.ndarray, modality: str, zeroed: Counter[str]) -> np.ndarray:
    """Return float32 ``values``; those that are not finite become 0, counted in ``zeroed``."""
    with np.errstate(over="ignore"):
        values = values.astype(np.float32, copy=False)
    wrong = ~np.isfinite(values)
    if wrong.any():
        silent = int(np.isneginf(values).sum())
        zeroed[f"{modality} -inf"] += silent
        zeroed[f"{modality} other"] += int(wrong.sum()) - silent
        values[wrong] = 0
    return values


def first_tokens(text: np.ndarray) -> np.ndarray:
    """Return the first step of each (N, T, D) text that is not all zeros, (N,); T if none is."""
    token = (text != 0).any(axis=2)
    return np.where(token.any(axis=1), token.argmax(axis=1), text.shape[1])


def align(values: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
    """Return ``length`` steps of each sequence from its ``start``, padded with zeros at the end.

    Args:
        values: (N, T, D).
        start: (N,), the first step to keep.
        length: steps of the result (Algorithm 2: L = 50).

    Returns:
        (N, length, D).
    """
    step = start[:, None] + np.arange(length)
    inside = step < values.shape[1]
    taken = values[np.arange(len(values))[:, None], np.where(inside, step, 0)]
    taken[~inside] = 0
    return taken


def mean_pool(sequence: np.ndarray) -> np.ndarray:
    """Return the mean of (N, L, D) over all L steps, padding included, (N, D) float32.

    Appendix D: Z = 1/L times the sum over the steps.
    """
    return sequence.mean(axis=1, dtype=np.float64).astype(np.float32)


# Reading the layout


def read_folds(path: str | os.PathLike[str]) -> list[Fold]:
    """Read the layout of ``mosei_raw.pkl`` and its labels; the features stay in the file.

    Raises:
        CchError: the pickle is damaged or asks for more than arrays (``safe_pickle.read_index``);
            a fold, modality or the labels are missing; an array does not have the dimensions of
            Algorithm 2, or holds no floating-point numbers; a label is not finite.
    """
    content = read_index(path)
    if not isinstance(content, dict):
        raise CchError(path, f"holds a {type(content).__name__}, expected folds", _OTHER_FILE)
    for name in FOLDS:
        if not isinstance(content.get(name), dict):
            raise CchError(path, f"has no fold {name!r}; {_has(content)}", _OTHER_FILE)
    return [_read_fold(Path(path), name, content[name]) for name in FOLDS]


def _has(content: Mapping[Any, Any]) -> str:
    names = [repr(key[:60]) for key in content if isinstance(key, str)]
    return f"it has {', '.join(names[:10]) or 'nothing of a name'}"


def _read_fold(path: Path, name: str, content: Mapping[Any, Any]) -> Fold:
    for key in (*FEATURES, "labels"):
        if not isinstance(content.get(key), StoredArray):
            raise CchError(
                path, f"fold {name!r} has no array {key!r}; {_has(content)}", _OTHER_FILE
            )
    score = _scores(path, name, content["labels"])
    arrays = {key: content[key] for key in FEATURES}
    steps = arrays["text"].shape[1:2]
    for key, array in arrays.items():
        expected = (len(score), *steps, FEATURES[key])
        if array.ndim != 3 or array.shape != expected or array.dtype.kind != "f":
            raise CchError(
                path,
                f"{name}/{key} is {array.dtype} {array.shape}, expected float {expected}",
                _OTHER_FILE,
            )
    return Fold(name, arrays, score, _ids(path, name, content.get("id"), len(score)))


def _scores(path: Path, name: str, labels: StoredArray) -> np.ndarray:
    """Return the sentiment of each segment, column 0 of (N, 1, 7), as (N,) float64."""
    if labels.shape[1:] not in ((1, LABELS), (1, 1)) or labels.dtype.kind not in "fiu":
        raise CchError(
            path,
            f"{name}/labels is {labels.dtype} {labels.shape}, expected numbers (N, 1, {LABELS})",
            _OTHER_FILE,
        )
    score = labels.read()[:, 0, 0].astype(np.float64)
    wrong = int((~np.isfinite(score)).sum())
    if wrong:
        raise CchError(
            path, f"{name}/labels: {wrong} of {len(score)} sentiments are NaN or infinite"
        )
    return score


def _ids(path: Path, name: str, ids: Any, rows: int) -> list[str] | None:
    """Return the names of the segments, or None: some copies have none."""
    if ids is None:
        return None
    listed = ids.read().tolist() if isinstance(ids, StoredArray) else ids
    if not isinstance(listed, list | tuple) or len(listed) != rows:
        count = len(listed) if isinstance(listed, list | tuple) else "no list of"
        raise CchError(path, f"{name}/id has {count} ids, expected {rows}", _OTHER_FILE)
    return [_as_text(value) for value in listed]


def _as_text(value: Any) -> str:
    """Return a name, or the parts of one (video, start, end), as a text of limited length."""
    parts = value[:4] if isinstance(value, list | tuple) else [value]
    shown = []
    for part in parts:
        simple = part if isinstance(part, str | bytes | float | np.generic) else "?"
        simple = part if isinstance(part, int) and abs(part) < 2**63 else simple
        raw = simple if isinstance(simple, bytes) else str(simple).encode("utf-8", "replace")
        shown.append(raw.decode("utf-8", "replace")[:100])
    return "|".join(shown)


def _sample_ids(fold: Fold, kept: np.ndarray) -> list[str]:
    named = fold.ids or [""] * len(fold)
    return [f"{fold.name}-{row:05d} {named[row]}".rstrip() for row in kept]


def _videos(folds: list[Fold], kept: Mapping[str, np.ndarray]) -> list[str] | None:
    """The video of each segment: its name up to ``[`` or ``|``; None where a fold has no names."""
    if any(fold.ids is None for fold in folds):
        return None
    return [
        re.split(r"[\[|]", (fold.ids or [])[row], maxsplit=1)[0]
        for fold in folds
        for row in kept[fold.name]
    ]


def _notes(
    spec: MoseiDataset,
    folds: list[Fold],
    kept: Mapping[str, np.ndarray],
    zeroed: Counter[str],
) -> dict[str, Any]:
    funnel = {
        fold.name: {
            "official": OFFICIAL[fold.name]["segments"],
            "official positive": OFFICIAL[fold.name]["positive"],
            "stored": len(fold),
            "stored positive": int((fold.score > 0).sum()),
            "without text": len(fold) - len(kept[fold.name]),
            "kept": len(kept[fold.name]),
            "positive": int((fold.score[kept[fold.name]] > 0).sum()),
        }
        for fold in folds
    }
    named = Counter(name for fold in folds for name in set(fold.ids or ()))
    steps = "mean over all steps, padding included" if spec.pooled else "sequences"
    return {
        "protocol": "Algorithm 2: sequences from the first text token on",
        "split": "the official folds" if spec.split == "official" else "70 / 10 / 20 %, drawn once",
        "funnel": funnel,
        "steps stored": {fold.name: int(fold.arrays["text"].shape[1]) for fold in folds},
        "steps": spec.length,
        "values": steps,
        "label": "1 where the sentiment (column 0 of 7) is above 0",
        "values set to 0": {key: zeroed[key] for key in sorted(zeroed) if zeroed[key]},
        "ids in several folds": sum(count > 1 for count in named.values()),
    }


# The published segments and labels


def official_folds(
    labels: str | os.PathLike[str], segments: Mapping[str, str | os.PathLike[str]]
) -> dict[str, dict[str, int]]:
    """Count segments and positive sentiments of the official folds from published tables.

    Args:
        labels: CSV with columns ``file``, ``index`` and ``label2b``, the sign of the sentiment.
        segments: by fold, CSV with the column ``id``, ``file[index]``.

    Returns:
        By fold what ``OFFICIAL`` holds.

    Raises:
        CchError: a table cannot be read, lacks a column, repeats a segment, or a segment has no
            label.
    """
    table = _read_table(labels, ("file", "index", "label2b"))
    sign = {f"{row['file']}[{row['index']}]": float(row["label2b"]) for row in table}
    counts = {}
    for fold, path in segments.items():
        ids = [row["id"] for row in _read_table(path, ("id",))]
        missing = [name for name in ids if name not in sign]
        if missing or len(set(ids)) != len(ids):
            what = f"segment {missing[0]!r} has no label" if missing else "segments repeat"
            raise CchError(path, what)
        counts[fold] = {"segments": len(ids), "positive": sum(sign[name] > 0 for name in ids)}
    return counts


def _read_table(path: str | os.PathLike[str], columns: tuple[str, ...]) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8")))
    for column in columns:
        if column not in (reader.fieldnames or ()):
            raise CchError(path, f"has no column {column!r}")
    return list(reader)
