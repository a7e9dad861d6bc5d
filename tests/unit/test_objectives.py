import math

import pytest
import torch
from torch.nn import functional

from cch.training.objectives import (
    cross_entropy,
    distilled_cross_entropy,
    distilled_fusion,
    distilled_squared_error,
    squared_error,
)

M, B, K = 4, 6, 5
TEMPERATURE = torch.tensor([1.0, 2.0, 3.0, 4.0])
WEIGHT = torch.tensor([0.0, 0.3, 0.5, 1.0])


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture
def student(generator) -> torch.Tensor:
    return (3 * torch.randn(M, B, K, generator=generator)).requires_grad_()


@pytest.fixture
def teacher(generator, student) -> torch.Tensor:
    return 3 * torch.randn(M, B, K, generator=generator)


@pytest.fixture
def labels(generator) -> torch.Tensor:
    return torch.randint(0, K, (M, B), generator=generator)


def eq_2(s, y, t, temperature, weight):
    """Eq. 2 for one member, from torch's own pieces."""
    divergence = functional.kl_div(
        functional.log_softmax(s / temperature, dim=1),
        functional.softmax(t / temperature, dim=1),
        reduction="batchmean",
    )
    return (1 - weight) * functional.cross_entropy(s, y) + weight * temperature**2 * divergence


def test_cross_entropy_is_torchs_for_each_member(student, labels):
    expected = [functional.cross_entropy(s, y) for s, y in zip(student, labels, strict=True)]
    torch.testing.assert_close(cross_entropy(student, labels), torch.stack(expected))


def test_cross_entropy_of_equal_logits_is_log_k():
    loss = cross_entropy(torch.zeros(1, 2, 10), torch.tensor([[3, 7]]))
    assert loss.item() == pytest.approx(math.log(10))


def test_eq_2_from_torchs_pieces_value_and_gradient(student, labels, teacher):
    loss = distilled_cross_entropy(student, labels, teacher, TEMPERATURE, WEIGHT)
    members = zip(student, labels, teacher, TEMPERATURE, WEIGHT, strict=True)
    expected = torch.stack([eq_2(*member) for member in members])
    torch.testing.assert_close(loss, expected)
    ours = torch.autograd.grad(loss.sum(), student)[0]
    theirs = torch.autograd.grad(expected.sum(), student)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_eq_2_by_hand():
    # Two classes; teacher softens to (3/4, 1/4) at T = 2, student to (1/2, 1/2); label is class 0.
    teacher = torch.tensor([[[2 * math.log(3), 0.0]]])
    loss = distilled_cross_entropy(
        torch.zeros(1, 1, 2), torch.tensor([[0]]), teacher, torch.tensor([2.0]), torch.tensor([0.4])
    )
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert loss.item() == pytest.approx(0.6 * math.log(2) + 0.4 * 4 * divergence, rel=1e-6)


def test_agreement_with_the_teacher_costs_nothing(student, labels):
    loss = distilled_cross_entropy(student, labels, student.detach(), TEMPERATURE, torch.ones(M))
    torch.testing.assert_close(loss, torch.zeros(M), rtol=0, atol=1e-5)


def test_weight_zero_is_the_baseline_bit_for_bit(student, labels, teacher):
    plain = cross_entropy(student, labels)
    distilled = distilled_cross_entropy(student, labels, teacher, TEMPERATURE, torch.zeros(M))
    assert torch.equal(plain, distilled)
    gradients = [torch.autograd.grad(loss.sum(), student)[0] for loss in (plain, distilled)]
    assert torch.equal(*gradients)


def test_t_squared_keeps_the_gradient_as_the_temperature_grows(student, labels, teacher):
    # T² KL tends to the squared distance of centred logits over 2K (Hinton et al. 2015, Sec. 2.1).
    temperature = torch.full((M,), 2000.0)
    loss = distilled_cross_entropy(student, labels, teacher, temperature, torch.ones(M))
    gap = student - teacher
    limit = (gap - gap.mean(dim=2, keepdim=True)) / (K * B)
    gradient = torch.autograd.grad(loss.sum(), student)[0]
    torch.testing.assert_close(gradient, limit, rtol=2e-2, atol=2e-4)


def test_the_teacher_is_frozen(student, labels, teacher):
    teacher.requires_grad_()
    outputs, targets = student[..., :1], teacher[..., :1]
    distilled_cross_entropy(student, labels, teacher, TEMPERATURE, WEIGHT).sum().backward()
    distilled_squared_error(outputs, torch.zeros(M, B), targets, WEIGHT).sum().backward()
    assert teacher.grad is None


def test_eq_4_by_hand():
    outputs = torch.tensor([[[1.0], [2.0]], [[1.0], [2.0]]])
    labels = torch.tensor([[0.0, 4.0], [0.0, 4.0]])
    teacher = torch.tensor([[[4.0], [2.0]], [[4.0], [2.0]]])
    loss = distilled_squared_error(outputs, labels, teacher, torch.tensor([0.0, 3.0]))
    # (1 + 4)/2 from the label, (9 + 0)/2 from the teacher, no (1 - lambda).
    assert loss.tolist() == [2.5, 2.5 + 3 * 4.5]


def test_eq_4_pulls_to_the_weighted_mean_of_label_and_teacher():
    # Eq. 9: the minimiser is (y + lambda t) / (1 + lambda).
    label, teacher, weight = 2.0, 5.0, 0.7
    best = torch.full((1, 1, 1), (label + weight * teacher) / (1 + weight), requires_grad=True)
    loss = distilled_squared_error(
        best, torch.tensor([[label]]), torch.tensor([[[teacher]]]), torch.tensor([weight])
    )
    assert torch.autograd.grad(loss.sum(), best)[0].item() == pytest.approx(0, abs=1e-6)


def test_squared_error_is_torchs_for_each_member(student, generator):
    labels = torch.randn(M, B, generator=generator)
    expected = [
        functional.mse_loss(s[:, 0], y) for s, y in zip(student[..., :1], labels, strict=True)
    ]
    torch.testing.assert_close(squared_error(student[..., :1], labels), torch.stack(expected))


def test_no_gradient_crosses_members(student, labels, teacher):
    loss = distilled_cross_entropy(student, labels, teacher, TEMPERATURE, WEIGHT)
    gradient = torch.autograd.grad(loss[2], student)[0]
    assert gradient[2].any()
    assert not gradient[[0, 1, 3]].any()


@pytest.fixture
def joint(generator, student, teacher) -> torch.Tensor:
    return (2 * torch.randn(M, B, K, generator=generator)).requires_grad_()


def test_fusion_from_torchs_pieces(student, labels, teacher, joint):
    supervised = torch.tensor([0.0, 1.0, 1.0, 0.0])
    loss = distilled_fusion(joint, teacher, student, labels, TEMPERATURE, WEIGHT, supervised)
    for m in range(M):
        temperature, weight = TEMPERATURE[m], WEIGHT[m]
        divergence = functional.kl_div(
            functional.log_softmax(student[m] / temperature, dim=1),
            functional.softmax(teacher[m] / temperature, dim=1),
            reduction="batchmean",
        )
        expected = (1 - weight) * functional.cross_entropy(joint[m], labels[m])
        expected = expected + weight * temperature**2 * divergence
        expected = expected + supervised[m] * functional.cross_entropy(teacher[m], labels[m])
        torch.testing.assert_close(loss[m], expected)


def test_in_fusion_the_teachers_head_learns_from_labels_alone(student, labels, teacher, joint):
    teacher.requires_grad_()
    supervised = torch.tensor([0.0, 1.0, 0.0, 1.0])
    losses = distilled_fusion(joint, teacher, student, labels, TEMPERATURE, WEIGHT, supervised)
    gradient = torch.autograd.grad(losses.sum(), teacher, retain_graph=True)[0]
    plain = torch.autograd.grad(cross_entropy(teacher, labels).sum(), teacher)[0]
    torch.testing.assert_close(gradient[[1, 3]], plain[[1, 3]])
    assert not gradient[[0, 2]].any()
    followed = torch.autograd.grad(losses.sum(), student)[0]
    assert not followed[0].any()
    assert followed[1:].flatten(1).any(dim=1).all()
