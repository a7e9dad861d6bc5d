"""Appendix B's Gaussian sampler: a label, a student modality and teacher modalities.

Within a draw the label, the student modality and the innovation of the teacher modality are the
same for every sigma_12 (common random numbers), so that differences between two values of
sigma_12 are not differences between two samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cch.base.errors import CchError
from cch.config import SyntheticDataset
from cch.data.paired import Contents, Modality
from cch.data.rng import numpy_generator

ROUNDING = 1e-12
"""Variances closer to 0 than this are rounding errors and become 0."""


class Conditional(NamedTuple):
    """X1 | X2, Y ~ N(``a`` X2 + ``b`` Y, ``v`` I) (Appendix B)."""

    a: float
    b: float
    v: float


class Innovations(NamedTuple):
    """Draws for the rows of one part, independent of sigma_12.

    Attributes:
        label: Y, (N,) float64.
        student: X2, (N, p) float64.
        teacher: standard normal innovation of X1, (N, p) float64.
    """

    label: np.ndarray
    student: np.ndarray
    teacher: np.ndarray


def conditional(sigma_12: float, sigma_13: float, sigma_23: float) -> Conditional:
    """Return a, b and v of Appendix B, whose phi is 1 - sigma_23^2::

        a = (sigma_12 - sigma_13 sigma_23) / phi
        b = (sigma_13 - sigma_12 sigma_23) / phi
        v = 1 - (sigma_12^2 + sigma_13^2 - 2 sigma_12 sigma_13 sigma_23) / phi

    ``v`` may be 0: X1 is then a function of X2 and Y. Less than 1e-12 counts as 0.

    Raises:
        CchError: the three correlations belong to no Gaussian (v < 0, or |sigma_23| >= 1).
    """
    where = f"sigma_12 = {sigma_12}, sigma_13 = {sigma_13}, sigma_23 = {sigma_23}"
    phi = 1 - sigma_23**2
    if phi <= 0:
        raise CchError(where, "sigma_23 must lie between -1 and 1")
    a = (sigma_12 - sigma_13 * sigma_23) / phi
    b = (sigma_13 - sigma_12 * sigma_23) / phi
    v = 1 - (sigma_12**2 + sigma_13**2 - 2 * sigma_12 * sigma_13 * sigma_23) / phi
    if v < -ROUNDING:
        raise CchError(
            where,
            f"leaves X1 a negative variance ({v:.4g})",
            f"take a sigma_12 nearer to sigma_13 * sigma_23 = {sigma_13 * sigma_23:.4g}",
        )
    return Conditional(a, b, v if v > ROUNDING else 0.0)


def teacher_name(sigma_12: float) -> str:
    """Return the name of the teacher modality for ``sigma_12``, e.g. ``x1@0.3``."""
    return f"x1@{sigma_12 + 0.0:g}"  # adding 0.0 turns -0.0 into 0.0


def innovations(spec: SyntheticDataset, draw: int, part: str) -> Innovations:
    """Draw the rows of ``part`` (train or test) of draw number ``draw``.

    Every array has its own generator, keyed by the dataset's seed, the draw, the part and the
    array, so that more rows, draws or values of sigma_12 leave the earlier rows unchanged.
    """
    rows = spec.train if part == "train" else spec.test

    def normal(what: str, *shape: int) -> np.ndarray:
        return numpy_generator("synthetic", spec.seed, draw, part, what).standard_normal(shape)

    label = normal("label", rows)
    noise = normal("student", rows, spec.features)
    student = spec.sigma_23 * label[:, None] + np.sqrt(1 - spec.sigma_23**2) * noise
    return Innovations(label, student, normal("teacher", rows, spec.features))


def teacher_values(drawn: Innovations, law: Conditional) -> np.ndarray:
    """Return X1 = a X2 + b Y + sqrt(v) innovation, (N, p) float64."""
    return law.a * drawn.student + law.b * drawn.label[:, None] + np.sqrt(law.v) * drawn.teacher


def prepare(spec: SyntheticDataset) -> Contents:
    """Sample Appendix B's model ``spec.draws`` times and stack the draws as rows.

    Modalities are ``x2`` and one ``x1@<sigma_12>`` for each sigma_12, all (N, p) float32 with
    N = draws * (train + test); sums and products are made in float64. The rows of a draw are its
    training rows, then its test rows.

    Raises:
        CchError: a value of sigma_12 is not possible.
    """
    names = [teacher_name(value) for value in spec.sigma_12]
    laws = [conditional(value, spec.sigma_13, spec.sigma_23) for value in spec.sigma_12]

    per_draw = spec.train + spec.test
    rows = spec.draws * per_draw
    label = np.empty(rows, np.float32)
    values = {name: np.empty((rows, spec.features), np.float32) for name in ["x2", *names]}
    for draw in range(spec.draws):
        start = draw * per_draw
        for part, first, count in (("train", 0, spec.train), ("test", spec.train, spec.test)):
            here = slice(start + first, start + first + count)
            drawn = innovations(spec, draw, part)
            label[here] = drawn.label
            values["x2"][here] = drawn.student
            for name, law in zip(names, laws, strict=True):
                values[name][here] = teacher_values(drawn, law)
    return Contents(
        task="regression",
        label=label,
        sample=_sample_ids(spec),
        modalities={
            name: Modality(array, feature=_feature_names(name, spec.features))
            for name, array in values.items()
        },
        split=(["train"] * spec.train + ["test"] * spec.test) * spec.draws,
        draw=np.repeat(np.arange(spec.draws, dtype=np.int32), per_draw),
        notes=_notes(spec),
    )


def _sample_ids(spec: SyntheticDataset) -> list[str]:
    return [
        f"draw{draw}-{part}-{row:05d}"
        for draw in range(spec.draws)
        for part, count in (("train", spec.train), ("test", spec.test))
        for row in range(count)
    ]


def _feature_names(modality: str, features: int) -> list[str]:
    return [f"{modality.split('@')[0]}[{number}]" for number in range(features)]


def _notes(spec: SyntheticDataset) -> dict[str, object]:
    return {
        "origin": "sampled from the Gaussian model of Appendix B",
        "generator": "NumPy PCG64, keyed by ('synthetic', seed, draw, part, array)",
        "seed": spec.seed,
        "draws": spec.draws,
        "train rows per draw": spec.train,
        "test rows per draw": spec.test,
        "features": spec.features,
        "sigma_12": list(spec.sigma_12),
        "sigma_13": spec.sigma_13,
        "sigma_23": spec.sigma_23,
    }
