"""Test metrics again, from a run's stored outputs: numpy and one ranking, no scikit-learn.

Written apart from ``cch.training.metrics`` on purpose; the two agree to rounding.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def metrics_again(logits: np.ndarray, label: np.ndarray, task: str) -> dict[str, float | None]:
    """Return every metric that follows from outputs and labels.

    Args:
        logits: (n, K) outputs before the softmax, or (n, 1) predictions.
        label: (n,) classes or targets.
        task: classification or regression.

    Returns:
        accuracy, weighted_f1, macro_f1, auc, cross_entropy (nats), or mse; None where a metric is
        not defined.
    """
    outputs = np.asarray(logits, dtype=np.float64)
    finite = bool(np.isfinite(outputs).all())
    if task == "regression":
        return {"mse": float(((outputs[:, 0] - label) ** 2).mean()) if finite else None}
    if not finite:
        return dict.fromkeys(("accuracy", "weighted_f1", "macro_f1", "auc", "cross_entropy"))
    classes = outputs.shape[1]
    table = np.zeros((classes, classes))  # rows: true class, columns: predicted class
    np.add.at(table, (label, outputs.argmax(axis=1)), 1)
    hits, support, predicted = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return {
        "accuracy": float(hits.sum() / len(label)),
        "weighted_f1": float((f1 * support).sum() / support.sum()),
        "macro_f1": float(f1[support + predicted > 0].mean()),
        "auc": _auc(log_p, label),
        "cross_entropy": float(-log_p[np.arange(len(label)), label].mean()),
    }


def _auc(log_p: np.ndarray, label: np.ndarray) -> float | None:
    """One class against the rest by the Mann-Whitney statistic, the mean over classes.

    For two classes it is that of the second.
    """
    p = np.exp(log_p)
    p /= p.sum(axis=1, keepdims=True)
    classes = [1] if p.shape[1] == 2 else range(p.shape[1])
    areas = []
    for number in range(p.shape[1]):
        if not (label == number).any():
            return None
    for number in classes:
        own = label == number
        n_own, n_other = int(own.sum()), int((~own).sum())
        if not n_other:
            return None
        ranks = rankdata(p[:, number])[own].sum()
        areas.append((ranks - n_own * (n_own + 1) / 2) / (n_own * n_other))
    return float(np.mean(areas))
