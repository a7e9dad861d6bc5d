"""CMU-MOSEI by utterance: GloVe, OpenSMILE and FACET features, each averaged over an utterance.

The file, ``data/regression.pkl`` of github.com/amanshenoy/multilogue-net, is a pickle of nine
parts, in this order: utterance ids, speakers, labels, text, audio, vision and sentences, each a
mapping from a video to its utterances, and the videos for training and for testing. A label is the
sentiment in -3..3. This is another extraction than the paper's, which is word-aligned.

The layout is known from that repository's loader and description (A. Shenoy and A. Sardana, 2020,
doi:10.18653/v1/2020.challengehml-1.3). What a video maps to may be one array or a list with an
entry an utterance.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.mosei import CLASSES, finite
from cch.data.datasets.safe_pickle import StoredArray, read_index
from cch.data.datasets.utterances import UtterancePart, as_contents, joined
from cch.data.paired import Contents

if TYPE_CHECKING:
    from cch.config import MoseiUtteranceDataset

FEATURES = {"text": 300, "audio": 384, "vision": 35}
"""Modalities with their features for each utterance: GloVe, OpenSMILE, FACET."""

PLACES = ("ids", "speakers", "labels", *FEATURES, "sentences", "train", "test")
"""What the file holds, in its order."""

PARTS = ("train", "test")
_STRONGEST = 3.0
_OTHER_FILE = "take data/regression.pkl of multilogue-net at the commit of workflow/sources.yaml"


@dataclass(frozen=True)
class MoseiUtterances:
    """The published parts, and the number of videos that are in neither."""

    train: UtterancePart
    test: UtterancePart
    unused: int


def read_utterances(pickle: str | os.PathLike[str]) -> MoseiUtterances:
    """Read the utterances of both parts.

    Raises:
        CchError: the pickle is damaged or asks for more than arrays (``safe_pickle.read_index``);
            it does not hold nine parts of this layout; a video is in both parts or lacks features;
            modalities and labels of a video differ in utterances; a label is not in -3..3.
    """
    path = Path(pickle)
    content = read_index(path)
    if not isinstance(content, tuple | list) or len(content) != len(PLACES):
        raise CchError(path, f"does not hold {len(PLACES)} parts: {', '.join(PLACES)}", _OTHER_FILE)
    held = dict(zip(PLACES, content, strict=True))
    for name in ("labels", *FEATURES):
        if not isinstance(held[name], dict):
            raise CchError(path, f"{name} are no mapping by video", _OTHER_FILE)
    videos = {part: _videos(path, part, held) for part in PARTS}
    both = videos["train"] & videos["test"]
    if both:
        raise CchError(path, f"video {_shown(min(both, key=str))} is in both parts", _OTHER_FILE)
    train, test = (_read_part(path, part, videos[part], held) for part in PARTS)
    return MoseiUtterances(train, test, len(held["labels"].keys() - set().union(*videos.values())))


def _videos(path: Path, part: str, held: Mapping[str, Any]) -> set[Any]:
    """Return the videos of a part, each of which has labels and features."""
    listed = held[part].read().tolist() if isinstance(held[part], StoredArray) else held[part]
    if not isinstance(listed, list | tuple | set | frozenset) or not listed:
        raise CchError(path, f"{part} is no list of videos", _OTHER_FILE)
    for video in listed:
        if not isinstance(video, str | bytes | int):
            raise CchError(path, f"{part} names a {type(video).__name__} as video", _OTHER_FILE)
        for name in ("labels", *FEATURES):
            if video not in held[name]:
                raise CchError(path, f"{part}: video {_shown(video)} has no {name}", _OTHER_FILE)
    return set(listed)


def _read_part(path: Path, part: str, videos: set[Any], held: Mapping[str, Any]) -> UtterancePart:
    """Read the utterances of a part, video after video in the file's order."""
    # The order of the labels, because the file may list a part's videos as a set, without one.
    ordered = [video for video in held["labels"] if video in videos]
    scores, features, names = [], {name: [] for name in FEATURES}, []
    for video in ordered:
        score = _numbers(held["labels"][video])
        if score is None or score.size != len(score):
            raise CchError(path, f"video {_shown(video)}: labels are no list", _OTHER_FILE)
        if not (np.abs(score) <= _STRONGEST).all():  # NaN is refused too
            raise CchError(path, f"video {_shown(video)}: a label is not in -3..3", _OTHER_FILE)
        for name, width in FEATURES.items():
            values = _numbers(held[name][video])
            expected = (len(score), width)
            if values is None or values.shape != expected:
                found = "no numbers" if values is None else values.shape
                what = f"video {_shown(video)}: {name} are {found}, expected {expected}"
                raise CchError(path, what, _OTHER_FILE)
            features[name].append(values)
        scores.append(score.ravel())
        names += [_shown(video)] * len(score)
    return UtterancePart(
        {name: np.concatenate(values) for name, values in features.items()},
        (np.concatenate(scores) > 0).astype(np.int64),
        names,
    )


def _numbers(stored: Any) -> np.ndarray | None:
    """Return an array, or the equally long arrays or numbers of a list, as float64."""
    if isinstance(stored, StoredArray) and stored.items is None:
        values: Any = stored.read()
    else:
        listed = stored.items if isinstance(stored, StoredArray) else stored
        if not isinstance(listed, list | tuple):
            return None
        values = [one.read() if isinstance(one, StoredArray) else one for one in listed]
    try:
        array = np.asarray(values)
        return array.astype(np.float64) if array.ndim and array.dtype.kind in "fiu" else None
    except ValueError:  # of different lengths
        return None


def _shown(video: Any) -> str:
    return str(video)[:60].encode("unicode_escape").decode("ascii")


def prepare(spec: MoseiUtteranceDataset, raw: MoseiUtterances) -> Contents:
    """Return the utterances in the published parts: training rows first, then test rows.

    Modalities ``text``, ``audio``, ``vision``, (N, D) float32, unscaled; values that are not finite
    become 0 and are counted in the notes. The label is 1 if the sentiment is above 0. The number
    in a sample id is the utterance's place in its part; a group is a video. ``spec`` has only the
    source and the title.
    """
    parts = {"train": raw.train, "test": raw.test}
    zeroed: Counter[str] = Counter()
    features = {name: finite(values, name, zeroed) for name, values in joined(parts).items()}
    sample = [
        f"{name}-{row:05d} {video}"
        for name, part in parts.items()
        for row, video in enumerate(part.video)
    ]
    notes = _notes(parts, raw.unused, zeroed)
    return as_contents(parts, features, sample=sample, class_names=CLASSES, notes=notes)


def _notes(parts: Mapping[str, UtterancePart], unused: int, zeroed: Counter[str]) -> dict[str, Any]:
    return {
        "dataset": "CMU-MOSEI, utterance-level features (GloVe, OpenSMILE, FACET); not the "
        "word-aligned features of the paper",
        "funnel": {
            name: {
                "videos": len(set(part.video)),
                "utterances": len(part.video),
                "positive": int(part.label.sum()),
            }
            for name, part in parts.items()
        },
        "videos in neither part": unused,
        "features": dict(FEATURES),
        "label": "1 where the sentiment is above 0",
        "values set to 0": {key: zeroed[key] for key in sorted(zeroed) if zeroed[key]},
    }
