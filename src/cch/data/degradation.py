"""Degradation of a teacher's input: Gaussian blur of images, Gaussian noise on features.

The teacher is trained on clean inputs and frozen (Algorithm 1); these functions degrade the inputs
from which it produces soft targets and representations. Values keep the units of the file (0-255
for images stored as uint8), float32 and not rounded, so the scale of the modality still applies. A
level of 0 returns the input itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from cch.base.errors import CchError
from cch.data.rng import numpy_generator


def gaussian_blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Blur each image with a Gaussian of standard deviation ``sigma`` pixels.

    The kernel reaches int(4 sigma + 1/2) pixels and its weights sum to 1. Pixels beyond the border
    are zero, as around a digit in MNIST; the borders of other images darken.

    Args:
        images: (N, H, W), uint8 or float32.
        sigma: γ of Algorithm 1, in pixels; 0 returns ``images``.

    Returns:
        (N, H, W) float32, in the units of ``images``.
    """
    if sigma == 0:
        return images
    # Integer output would be rounded.
    return gaussian_filter(
        images, sigma, axes=(1, 2), mode="constant", cval=0.0, truncate=4.0, output=np.float32
    )


def gaussian_noise(
    values: np.ndarray, level: float, std: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Add zero-mean Gaussian noise with standard deviation ``level`` x ``std``.

    Args:
        values: (N, ...), uint8 or float32.
        level: fraction of ``std``, 0.2 for the paper's "20 %"; 0 returns ``values``.
        std: standard deviation of each feature over training rows; broadcasts to ``values``.
        generator: source of the noise. Its draws do not depend on the level: with equal seeds, a
            higher level is the same noise, scaled.

    Returns:
        ``values`` with noise, float32.
    """
    if level == 0:
        return values
    noise = generator.standard_normal(values.shape, dtype=np.float32)
    noise *= np.asarray(level * std, dtype=np.float32)
    noise += values
    return noise


def degrade(
    values: np.ndarray,
    kind: str,
    level: float,
    *,
    shape: Sequence[int],
    std: np.ndarray | None = None,
    key: Sequence[Any] = (),
) -> np.ndarray:
    """Degrade a modality by one level of a study's ``degradation``.

    Args:
        values: (N, D) or (N, *shape), stored values.
        kind: ``blur`` or ``noise``.
        level: blur, standard deviation in pixels; noise, fraction of ``std``.
        shape: shape of one sample; a blur needs (H, W).
        std: noise only, as for ``gaussian_noise``.
        key: noise only, of its generator; without the level, so that levels share their draws.

    Returns:
        Values of the same shape, float32; at level 0 ``values`` unchanged.

    Raises:
        CchError: the level is negative, or the kind is unknown or does not fit the modality.
    """
    if level < 0:
        raise CchError("degradation.levels", f"{level} is negative", "take levels >= 0")
    if level == 0:
        return values
    if kind == "blur":
        if len(shape) != 2:
            raise CchError(
                "degradation.kind",
                f"'blur' needs images (H, W), these samples have shape {tuple(shape)}",
                "use 'noise'",
            )
        return gaussian_blur(values.reshape(-1, *shape), level).reshape(values.shape)
    if kind == "noise":
        if std is None:
            raise CchError("degradation", "noise needs the features' standard deviations")
        return gaussian_noise(values, level, std, numpy_generator(*key))
    raise CchError("degradation.kind", f"{kind!r} changes no values", "use 'blur' or 'noise'")
