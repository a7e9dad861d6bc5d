"""Confidence limits of bounds on information, and what a bound's rows are turned into.

Rows are split into training ("fitting"), validation ("stopping") and test ("reading") rows. A bound
is a statistic of reading rows, whose expectation does not exceed the information (or is not below
an entropy). Its one-sided confidence
limit is::

    mean - t * error        (lower)            mean + t * error        (upper)

with Student's t at the stated confidence. ``error`` is a delete-one jackknife over reading rows.
Its square tends to overestimate the variance (for the statistic of n - 1 rows: B. Efron, C. Stein,
"The jackknife estimate of variance", Annals of Statistics 9, 1981). Every term of a statistic is
bounded, because a critic's ratios are mixed with 1 and a classifier's probabilities with the class
shares, so that no single row can move it far.

The limit is asymptotic: that its confidence holds at the sizes of the studies is shown by
simulation (``tests/unit/test_bounds.py``), not proved. Empirical Bernstein's allowance (A. Maurer,
M. Pontil, "Empirical Bernstein bounds and sample variance penalization", COLT 2009) is proved; with
terms that span several nats it asks for thousands of reading rows. Each estimate keeps ``mean``,
``standard_error`` and ``degrees_of_freedom``, from which a limit at another confidence follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import t as student_t

from cch.base.errors import CchError

CONFIDENCE = 0.975
"""Of one bound. Two of them, one on each side of a comparison, hold together at 0.95."""

MIN_ROWS_READ = 8
"""A class with fewer reading rows contributes nothing to a bound."""

RIDGES = (0.01, 0.1, 1.0)
"""Tried on the stopping rows: added to covariances, in units of their mean eigenvalue."""


@dataclass(frozen=True)
class Limit:
    """A statistic with its standard error.

    Attributes:
        mean: nats.
        error: its standard error.
        degrees: degrees of freedom of the error.
    """

    mean: float
    error: float
    degrees: float

    def at(self, confidence: float, sign: int) -> float:
        """Return the one-sided limit: lower for ``sign`` -1, upper for +1."""
        if self.error == 0:
            return self.mean
        return float(self.mean + sign * student_t.ppf(confidence, self.degrees) * self.error)

    def said(self) -> dict[str, Any]:
        """For ``Estimate.fit``."""
        return {
            "mean": self.mean,
            "standard_error": self.error,
            "degrees_of_freedom": self.degrees,
        }

    @classmethod
    def of_rows(cls, values: np.ndarray) -> Limit:
        """The mean of independent values (n,)."""
        error = float(values.std(ddof=1) / np.sqrt(len(values)))
        return cls(float(values.mean()), error, len(values) - 1)

    @classmethod
    def jackknife(cls, whole: float, without: np.ndarray) -> Limit:
        """A statistic of n rows, given what it is without each of them, (n,)."""
        n = len(without)
        error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
        return cls(float(whole), float(error), n - 1)

    @classmethod
    def weighted(
        cls, weights: Sequence[float], parts: Sequence[Limit], rows: int | None = None
    ) -> Limit:
        """The weighted sum of independent statistics; degrees after Welch and Satterthwaite.

        Args:
            weights: of the parts; what they lack to 1 weighs a part that is known to be 0.
            parts: the statistics.
            rows: n, where the weights are class shares among n rows; None where they are known.
                Their sampling error adds the variance of the parts' means over classes, divided
                by n.
        """
        variances = [w**2 * part.error**2 for w, part in zip(weights, parts, strict=True)]
        degrees = [part.degrees for part in parts]
        mean = sum(w * part.mean for w, part in zip(weights, parts, strict=True))
        if rows is not None:
            square = sum(w * part.mean**2 for w, part in zip(weights, parts, strict=True))
            variances.append(max(square - mean**2, 0.0) / rows)
            degrees.append(rows - 1)
        each = np.array(variances)
        total = each.sum()
        # Not ``cch.criterion.inference``: its other order of summation would change last digits.
        freedom = total**2 / (each**2 / degrees).sum() if total > 0 else np.inf
        return cls(float(mean), float(np.sqrt(total)), float(min(freedom, 1e9)))


def check_confidence(name: str, confidence: float) -> None:
    """Refuse a confidence that is none.

    Raises:
        CchError: it does not lie between 0.5 and 1.
    """
    if not 0.5 < confidence < 1:
        raise CchError(name, f"confidence is {confidence!r}, expected between 0.5 and 1")


def normal_scores(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return (n, d) values as normal quantiles of their ranks among ``rows``.

    Equal values get one score. A function of a column adds no information, so a lower bound stays
    one (and an upper bound of an entropy given the column); ranks keep heavy tails from making a
    critic that rests on a few rows. Columns without spread become zeros.
    """
    columns = torch.from_numpy(np.ascontiguousarray(values.T))
    known = columns[:, rows].sort(dim=1).values
    rank = torch.searchsorted(known, columns) + torch.searchsorted(known, columns, right=True)
    # A score for each half rank.
    halves = ndtri((np.arange(2 * len(rows) + 1) / 2 + 0.5) / (len(rows) + 1))
    scores = np.ascontiguousarray(halves[rank.numpy()].T)
    mean, spread = scores[rows].mean(axis=0), scores[rows].std(axis=0)
    return (scores - mean) / np.where(spread > 0, spread, np.inf)


def less_class_means(values: np.ndarray, given: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return (n, d) values less the mean of their class, (n,) codes, over ``rows``."""
    codes = np.eye(int(given.max()) + 1)[given]
    counts = np.maximum(codes[rows].sum(axis=0), 1)
    means = codes[rows].T @ values[rows] / counts[:, None]
    return values - means[given]


@dataclass(frozen=True)
class Whitening:
    """The decomposed covariance C of rows.

    Attributes:
        eigenvalues: (d,).
        vectors: (d, d), in columns.
    """

    eigenvalues: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Whitening:
        """Decompose values^T values / n of (n, d)."""
        found, vectors = np.linalg.eigh(values.T @ values / len(values))
        return cls(np.maximum(found, 0), vectors)

    def at(self, ridge: float) -> np.ndarray:
        """Return W (d, d) with W^T (C + ridge * mean eigenvalue) W = I."""
        return self.vectors / np.sqrt(self.eigenvalues + ridge * self.eigenvalues.mean() + 1e-12)
