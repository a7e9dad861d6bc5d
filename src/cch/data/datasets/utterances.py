"""Datasets of utterances with a published split: CMU-MOSI, and CMU-MOSEI by utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cch.data.paired import Contents, Modality


@dataclass(frozen=True)
class UtterancePart:
    """Utterances of one part of the split, such as the training part.

    Attributes:
        features: (N, D) float64 by modality; D differs.
        label: (N,) int64, 1 for positive sentiment.
        video: N names, the video of each utterance.
    """

    features: Mapping[str, np.ndarray]
    label: np.ndarray
    video: list[str]


def joined(parts: Mapping[str, UtterancePart]) -> dict[str, np.ndarray]:
    """Return the features by modality, (N, D), with the rows of all parts in their order."""
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
    """Return the dataset of all parts, split as published and grouped by video.

    Args:
        parts: by name in the split, such as ``train``.
        features: by modality, (N, D), with the rows of all parts in their order.
        sample: N unique ids.
        class_names: of labels 0 and 1.
        notes: facts stored with the dataset.
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
