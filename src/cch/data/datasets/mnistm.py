"""MNIST beside MNIST-M as Appendix C makes it: binarised digits blended onto grey patches.

The classical MNIST-M (Ganin and Lempitsky, 2015: the absolute difference of patch and digit) is
another dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cch.base.errors import CchError
from cch.config import MnistMDataset
from cch.data.datasets.digits import CLASSES, SIDE, Digits
from cch.data.datasets.photographs import Photographs
from cch.data.paired import Contents, Modality
from cch.data.rng import numpy_generator


def prepare(spec: MnistMDataset, digits: Digits, photographs: Photographs) -> Contents:
    """Blend every digit onto a random patch of a photograph from the same part of the split.

    Modalities ``mnist`` (the digit) and ``mnistm`` (blended), both (N, 28, 28) uint8
    with scale 1/255 and ``spec.channels`` equal channels; training digits first, then test
    digits. The number in a sample id is the digit's row in its raw file. Patches depend on
    ``spec.seed`` and the part only: every alpha and threshold has the same backgrounds.

    Raises:
        CchError: a photograph is smaller than a patch.
    """
    sides = {"train": (digits.train, photographs.train), "test": (digits.test, photographs.test)}
    blended, sample, split = [], [], []
    for part, (ink, paper) in sides.items():
        patch = patches(paper, len(ink.image), ("mnistm", spec.seed, part))
        blended.append(blend(ink.image, patch, spec.alpha, spec.threshold))
        sample += [f"{part}-{row:05d}" for row in ink.row]
        split += [part] * len(ink.image)
    plain = np.concatenate([ink.image for ink, _ in sides.values()])
    return Contents(
        task="classification",
        label=np.concatenate([ink.label for ink, _ in sides.values()]),
        sample=sample,
        modalities={
            "mnist": Modality(plain, scale=1 / 255, channels=spec.channels),
            "mnistm": Modality(np.concatenate(blended), scale=1 / 255, channels=spec.channels),
        },
        class_names=CLASSES,
        split=split,
        notes=_notes(spec, digits, photographs),
    )


def blend(digit: np.ndarray, patch: np.ndarray, alpha: float, threshold: int) -> np.ndarray:
    """Return alpha * binarised digit + (1 - alpha) * patch, rounded to the nearest number.

    Appendix C's formula; the binarised digit is 255 where ``digit`` exceeds ``threshold`` and 0
    elsewhere. All arrays are (N, 28, 28) uint8.
    """
    background = (1 - alpha) * np.arange(256)
    off, on = (np.rint(alpha * ink + background).astype(np.uint8) for ink in (0, 255))
    return np.where(digit > threshold, on[patch], off[patch])


def patches(photographs: Mapping[str, np.ndarray], count: int, key: Sequence[Any]) -> np.ndarray:
    """Cut ``count`` random patches, (count, 28, 28) uint8.

    A photograph is drawn for each patch, then a position in it, both uniformly, from the
    generator keyed by ``key``.

    Raises:
        CchError: a photograph is smaller than a patch.
    """
    for name, image in photographs.items():
        if min(image.shape) < SIDE:
            size = " x ".join(str(length) for length in image.shape)
            raise CchError(f"photograph {name!r}", f"is {size}, smaller than {SIDE} x {SIDE}")
    images = list(photographs.values())
    positions = np.array([image.shape for image in images]) - SIDE + 1
    generator = numpy_generator(*key)
    which = generator.integers(len(images), size=count)
    top, left = generator.integers(positions[which]).T
    cut = np.empty((count, SIDE, SIDE), np.uint8)
    for number, image in enumerate(images):
        mine = np.flatnonzero(which == number)
        cut[mine] = sliding_window_view(image, (SIDE, SIDE))[top[mine], left[mine]]
    return cut


def _notes(spec: MnistMDataset, digits: Digits, photographs: Photographs) -> dict[str, Any]:
    return {
        "digits": digits.origin,
        "photographs": photographs.origin,
        "train rows": len(digits.train.image),
        "test rows": len(digits.test.image),
        "train photographs": len(photographs.train),
        "test photographs": len(photographs.test),
        "alpha": spec.alpha,
        "threshold": spec.threshold,
        "grey": "ITU-R BT.601 luma of the gamma-encoded channels",
        "generator": "NumPy PCG64, keyed by ('mnistm', seed, part)",
        "seed": spec.seed,
    }
