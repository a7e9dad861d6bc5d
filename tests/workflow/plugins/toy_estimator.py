"""An estimator: what a Gaussian with the largest correlation of two columns would hold."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cch.config.registry import ESTIMATORS
from cch.information.estimator import CheckedEstimator, Measured, Sample


@dataclass(frozen=True)
class Correlation(CheckedEstimator):
    """Correlations are held below ``most``."""

    most: float = 0.99
    name: ClassVar[str] = "correlation"
    version: ClassVar[str] = "1"

    def _measure(self, sample: Sample, seed: int) -> Measured:
        y = np.eye(sample.classes)[sample.y] if sample.discrete else sample.y
        with np.errstate(invalid="ignore"):
            found = np.corrcoef(sample.x.T, y.T)[: sample.x.shape[1], sample.x.shape[1] :]
        largest = min(float(np.nanmax(np.abs(found))), self.most)
        return Measured(-0.5 * np.log1p(-(largest**2)))


ESTIMATORS.add("correlation", Correlation)
