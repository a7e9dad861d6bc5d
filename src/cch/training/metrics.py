"""Test metrics of one run, at the last epoch."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn import metrics

CLASSIFICATION = ("accuracy", "weighted_f1", "macro_f1", "auc", "cross_entropy")
REGRESSION = ("mse",)


def evaluate(logits: np.ndarray, label: np.ndarray, task: str) -> dict[str, float | None]:
    """Return the metrics of one run.

    Args:
        logits: (B, K) pre-softmax outputs, or (B, 1) predictions for regression.
        label: (B,) classes or targets.
        task: classification or regression.

    Returns:
        For classification accuracy, support-weighted and macro F1, one-vs-rest macro AUC and
        cross-entropy (nats); for regression the mean squared error. A metric that is not defined
        (outputs not finite; AUC with a class absent from the rows) is None.
    """
    names = CLASSIFICATION if task == "classification" else REGRESSION
    if not np.isfinite(logits).all():
        return dict.fromkeys(names)
    if task == "regression":
        error = logits[:, 0].astype(np.float64) - label
        return {"mse": float(np.mean(error**2))}
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    predicted = logits.argmax(axis=1)
    return {
        "accuracy": float(np.mean(predicted == label)),
        "weighted_f1": float(metrics.f1_score(label, predicted, average="weighted")),
        "macro_f1": float(metrics.f1_score(label, predicted, average="macro")),
        "auc": _auc(np.exp(log_probability), label),
        "cross_entropy": float(-log_probability[np.arange(len(label)), label].mean()),
    }


def _auc(probability: np.ndarray, label: np.ndarray) -> float | None:
    classes = probability.shape[1]
    if len(np.unique(label)) < classes:
        return None
    probability = probability / probability.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if classes == 2:
            return float(metrics.roc_auc_score(label, probability[:, 1]))
        return float(metrics.roc_auc_score(label, probability, multi_class="ovr", average="macro"))
