"""A simulated cohort in the format of the open release: three matrices and a table of labels.

It has four subtypes. Expression separates them well, proteins less, copy numbers least; a shared
state adds correlation between modalities beside the subtype. Neighbouring genes have equal copy
numbers, proteins have gaps, some genes are constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cch.base.errors import CchError
from cch.data.rng import numpy_generator

CASES = 160
CLASSES = ("Alpha", "Beta", "Gamma", "Delta")
SHARES = (0.4, 0.3, 0.2, 0.1)
STATES = 4
"""Dimensions of the state shared between modalities."""


@dataclass(frozen=True)
class Part:
    """Parameters of a simulated modality.

    Attributes:
        features: number of features.
        subtype: standard deviation of a subtype's mean, in units of the noise.
        state: loading of the shared state, in the same units.
        run: neighbouring features with equal values.
        gaps: share of values that are missing.
        name: name of a feature.
    """

    features: int
    subtype: float
    state: float
    run: int = 1
    gaps: float = 0.0
    name: str = "gene"


PARTS = {
    "mrna": Part(240, 1.2, 0.8),
    "cnv": Part(300, 0.35, 0.5, run=5),
    "rppa": Part(60, 0.7, 0.6, gaps=0.02, name="antibody"),
}


def write_part(path: Path, part: str, seed: int = 0) -> None:
    """Write one file of the cohort, tab-separated; equal arguments give equal bytes.

    Args:
        path: the file.
        part: ``mrna``, ``cnv``, ``rppa`` (features as rows, cases as columns) or ``labels``.
        seed: of the cohort; parts with one seed are of the same cases.

    Raises:
        CchError: there is no such part.
    """
    subtype, state = _cases(seed)
    names = [f"TCGA-ZZ-{case:04d}" for case in range(CASES)]
    if part == "labels":
        rows = [f"{name}\t{CLASSES[k]}" for name, k in zip(names, subtype, strict=True)]
        lines = ["case\tlabel", *rows]
    elif part in PARTS:
        values = _values(part, subtype, state, seed)
        kind = PARTS[part].name
        lines = ["\t".join([kind, *names])]
        for number, row in enumerate(values):
            fields = ["" if np.isnan(value) else f"{value:.3f}" for value in row]
            lines.append("\t".join([f"{kind.upper()}{number:03d}", *fields]))
    else:
        known = ", ".join([*PARTS, "labels"])
        raise CchError(path, f"the fixture has no part {part!r}", f"it has {known}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cases(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return subtype (N,) and shared state (N, STATES) of every case."""
    generator = numpy_generator("tcga-fixture", seed, "cases")
    return generator.choice(len(CLASSES), CASES, p=SHARES), generator.normal(size=(CASES, STATES))


def _values(part: str, subtype: np.ndarray, state: np.ndarray, seed: int) -> np.ndarray:
    """Return values (features, N) float64; NaN is missing."""
    spec = PARTS[part]
    generator = numpy_generator("tcga-fixture", seed, part)
    count = spec.features // spec.run
    # Half of the features are independent of the subtype.
    means = generator.normal(scale=spec.subtype, size=(count, len(CLASSES)))
    means[count // 2 :] = 0
    loading = generator.normal(scale=spec.state / np.sqrt(STATES), size=(count, STATES))
    values = means[:, subtype] + loading @ state.T + generator.normal(size=(count, CASES))
    values = np.repeat(values, spec.run, axis=0)
    values[-1] = 0.5
    values[generator.random(values.shape) < spec.gaps] = np.nan
    return values
