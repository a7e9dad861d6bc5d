"""Datasets of utterances in published parts: CMU-MOSI, and CMU-MOSEI by utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cch.data.paired import Contents, Modality


@dataclass(frozen=True)
class UtterancePart:
    """Utterances of one part.

    Attributes:
        features: by modality (N, D) float64.
        label: (N,) int64, 1 positive.
        video: (N,) name of the video of each.
    """

    features: Mapping[str, np.ndarray]
    label: np.ndarray
    video: list[str]


def joined(parts: Mapping[str, UtterancePart]) -> dict[str, np.ndarray]:
    """Return the features of all parts by modality, part after part."""
    every = list(parts.values())
    return {
        name: np.concatenate([part.features[name] for part in every]) for name in every[0].features
    }


def as_contents(
    parts: Mapping[str, UtterancePart],
    features: Mapping[str, np.ndarray],
    *,
    sample: list[str],
    class_names: Sequence[str],
    notes: dict[str, Any],
) -> Contents:
    """Return utterances part after part, split as published; a group is a video.

    Args:
        parts: by name of the part in the split.
        features: of all parts by modality, (N, D).
        sample: ids, (N,).
        class_names: of the labels 0 and 1.
        notes: what is said of the dataset.
    """
    return Contents(
        task="classification",
        label=np.concatenate([part.label for part in parts.values()]),
        sample=sample,
        modalities={name: Modality(array) for name, array in features.items()},
        class_names=class_names,
        split=[name for name, part in parts.items() for _ in part.label],
        group=[video for part in parts.values() for video in part.video],
        notes=notes,
    )
