"""Distillation from two teachers into one student.

Students learn from the second teacher alone (those of the first are the study's ordinary students),
from the mean of both, or from the better one:

* ``second``: the second teacher's targets.
* ``mean``: the mean of both teachers' softened probabilities, at the student's temperature; for a
  regression the mean of their outputs.
* ``better``: the targets of the teacher that did better on validation rows, chosen for each seed
  and level.

Validation rows are a quarter of the training rows of a seed, with their class mix. The choice is
made by teachers of both modalities that are trained on the other three quarters, since a teacher
has fitted the rows that it was trained on. The teachers that teach are those of the study, trained
on all training rows, and so are the students: they are comparable with baseline and other students.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax, logsumexp

from cch.data.paired import Part, RandomSplit

VALIDATION_FRACTION = 0.25
"""Of the training rows: those on which teachers are compared."""


def validation_split(
    train_rows: np.ndarray, label: np.ndarray, dataset: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the validation rows of every seed, and its other training rows.

    Args:
        train_rows: (S, n) training rows of every seed.
        label: (N,) labels; only those of training rows are read.
        dataset: name of the dataset, part of the key.

    Returns:
        (S, n_valid) validation rows and (S, n - n_valid) others, both ascending; with the class mix
        of the training rows for a classification.

    Raises:
        CchError: too few training rows.
    """
    drawn = RandomSplit(test=VALIDATION_FRACTION, key=f"validation/{dataset}")

    def part(name: Part) -> np.ndarray:
        return np.stack(
            [drawn.rows(name, seed, rows, label[rows]) for seed, rows in enumerate(train_rows)]
        )

    return part("test"), part("train")


def mean_targets(
    first: np.ndarray, second: np.ndarray, temperature: float, task: str
) -> np.ndarray:
    """Return logits whose softmax at a temperature is the mean of both teachers'.

    Logits of a softmax are known but for a constant. Here it is the mean of both teachers'
    log-normalisers, so that equal teachers have their own logits as the mean.

    Args:
        first: (..., K) logits of a teacher, or (..., 1) outputs for a regression.
        second: the same of the other.
        temperature: T > 0; a regression has none.
        task: classification or regression.

    Returns:
        (..., K) float32; for a regression the mean of the outputs.
    """
    outputs = [np.asarray(one, dtype=np.float64) for one in (first, second)]
    if task == "regression":
        return np.mean(outputs, axis=0).astype(np.float32)
    softened = [one / temperature for one in outputs]
    with np.errstate(invalid="ignore"):  # a diverged teacher's are not finite, nor is the mean
        mean = np.logaddexp(*(log_softmax(one, axis=-1) for one in softened)) - np.log(2)
        shift = np.mean([logsumexp(one, axis=-1, keepdims=True) for one in softened], axis=0)
        return (temperature * (mean + shift)).astype(np.float32)


def index_of_better(scores: Sequence[float | None], metric: str) -> int:
    """Return which of two teachers did better: 0 for the first, also at a tie, or 1.

    Args:
        scores: the metric of both on validation rows; None where it is not defined, which is worse
            than any number.
        metric: its name; of ``mse`` less is better.
    """
    sign = -1.0 if metric == "mse" else 1.0
    first, second = (-np.inf if score is None else sign * score for score in scores)
    return int(second > first)
