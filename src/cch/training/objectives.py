"""Objectives of the paper, one value per member of a stack.

Every function takes what M members say about B samples and returns (M,): each member's mean over
its batch. A member's value and gradient depend on that member's row alone, so members with
different temperatures and weights, and members without a teacher, share a stack. A weight of 0
gives the baseline's value and gradient exactly.

Symbols: T is the temperature, λ the weight, t the frozen teacher's output, s the student's.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy CE(Y, softmax(s)), in nats.

    Args:
        logits: s, (M, B, K) float.
        labels: Y, (M, B) int64 in 0..K-1.
    """
    return functional.cross_entropy(_class_first(logits), labels, reduction="none").mean(dim=1)


def distilled_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    teacher: torch.Tensor,
    temperature: torch.Tensor,
    weight: torch.Tensor,
) -> torch.Tensor:
    """Eqs. 1 and 2: (1 - λ) CE(Y, s; 1) + λ T² KL(softmax(t/T) || softmax(s/T)), in nats.

    The two equations differ in what the networks are fed, not in the loss. KL is the full
    divergence, with the teacher's entropy, so it is 0 where the student agrees with the teacher.

    Args:
        logits: s, (M, B, K) float.
        labels: Y, (M, B) int64 in 0..K-1.
        teacher: t, the teacher's logits for the same samples, (M, B, K); no gradient flows to it.
        temperature: T > 0, (M,).
        weight: λ in [0, 1], (M,).
    """
    distilled = softened_divergence(logits, teacher, temperature)
    return (1 - weight) * cross_entropy(logits, labels) + weight * temperature**2 * distilled


def softened_divergence(
    logits: torch.Tensor, teacher: torch.Tensor, temperature: torch.Tensor
) -> torch.Tensor:
    """KL(softmax(t/T) || softmax(s/T)), in nats; no gradient flows to the teacher.

    Args:
        logits: s, (M, B, K) float.
        teacher: t, the teacher's logits for the same samples, (M, B, K).
        temperature: T > 0, (M,).
    """
    scale = temperature[:, None, None]
    student = functional.log_softmax(_class_first(logits) / scale, dim=1)
    with torch.no_grad():
        target = functional.log_softmax(_class_first(teacher) / scale, dim=1)
    divergence = functional.kl_div(student, target, reduction="none", log_target=True)
    return divergence.sum(dim=1).mean(dim=1)


def distilled_fusion(
    joint: torch.Tensor,
    teacher: torch.Tensor,
    student: torch.Tensor,
    labels: torch.Tensor,
    temperature: torch.Tensor,
    weight: torch.Tensor,
    supervised: torch.Tensor,
) -> torch.Tensor:
    """Fusion with distillation (Fig. 3): (1 - λ) CE(Y, j) + λ T² KL(t || s) + a CE(Y, t), in nats.

    KL is that of ``softened_divergence``: the student modality's head follows the teacher
    modality's, which stays as it is. The last term is not in the paper, which does not say what
    the teacher modality's head learns from; a is 1 where that is the labels, 0 where it is nothing.

    Args:
        joint: j, logits of the fusion head, (M, B, K) float.
        teacher: t, logits of the teacher modality's head, (M, B, K).
        student: s, logits of the student modality's head, (M, B, K).
        labels: Y, (M, B) int64 in 0..K-1.
        temperature: T > 0, (M,).
        weight: λ in [0, 1], (M,); 0 for direct fusion.
        supervised: a, (M,).
    """
    distilled = softened_divergence(student, teacher, temperature)
    fused = (1 - weight) * cross_entropy(joint, labels) + weight * temperature**2 * distilled
    return fused + supervised * cross_entropy(teacher, labels)


def _class_first(logits: torch.Tensor) -> torch.Tensor:
    """(M, B, K) -> (M, K, B): softmax over a few classes is several times faster down columns."""
    return logits.transpose(1, 2)


def squared_error(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean squared error (y - s)².

    Args:
        outputs: s, (M, B, 1) float.
        labels: y, (M, B) float.
    """
    return (labels - outputs.squeeze(2)).square().mean(dim=1)


def distilled_squared_error(
    outputs: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Eq. 4: (y - s)² + λ (s - t)², as means over the batch where the paper writes sums.

    There is no factor (1 - λ), and λ may exceed 1. The mean leaves the minimiser as it is.

    Args:
        outputs: s, (M, B, 1) float.
        labels: y, (M, B) float.
        teacher: t, the teacher's outputs for the same samples, (M, B, 1); frozen.
        weight: λ >= 0, (M,).
    """
    pull = (outputs - teacher.detach()).squeeze(2).square().mean(dim=1)
    return squared_error(outputs, labels) + weight * pull
