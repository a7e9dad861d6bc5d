"""Stacked fusion beside ordinary modules, one at a time; and what the arms share."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

import cch.training.stack as engine
from cch.base.errors import CchError
from cch.config import Fusion, Training
from cch.data.rng import keyed_seed, torch_generator
from cch.training.fusion import FusionMember, StackedFusion, TrainedFusion, _Fusions, train_fusion
from cch.training.networks import DropoutMasks, draw_mask
from cch.training.stack import Batch

ROWS, USED, D1, D2, K, UNITS = 90, 50, 6, 4, 3, 12
SGD = Training(optimizer="sgd", learning_rate=0.05, batch_size=25, epochs=3)
ADAM = Training(optimizer="adam", learning_rate=0.007, batch_size=16, epochs=3)
FUSION = Fusion(encoder=UNITS, training=SGD, temperature=2.0, weight=0.4)
UNTRAINED = FUSION.model_copy(update={"teacher_head": "untrained"})
BY_ADAM = FUSION.model_copy(update={"training": ADAM})
MEMBERS = [
    FusionMember(("fusion", seed), rows=seed, arm=arm)
    for seed in range(2)
    for arm in ("direct", "kd", "heads")
]


def examples() -> dict[str, Any]:
    """Two random modalities with labels that depend on both; keyword arguments of train_fusion."""
    generator = torch.Generator().manual_seed(5)
    teacher = torch.randn(ROWS, D1, generator=generator)
    student = torch.randn(ROWS, D2, generator=generator)
    target = teacher @ torch.randn(D1, K, generator=generator)
    target += student @ torch.randn(D2, K, generator=generator)
    return {
        "teacher_inputs": teacher,
        "student_inputs": student,
        "labels": target.argmax(dim=1),
        "row_sets": [torch.randperm(ROWS, generator=generator)[:USED] for _ in range(2)],
        "outputs": K,
    }


class Ordinary(nn.Module):
    """Table 18 as anybody would write it; ``keep`` holds the factors (B, 2 U) of dropout."""

    def __init__(self, key: tuple) -> None:
        super().__init__()
        with torch.random.fork_rng():
            for part, width in (("teacher", D1), ("student", D2)):
                torch.manual_seed(keyed_seed(*key, part, "weights", bits=56))
                setattr(self, part, nn.Linear(width, UNITS))
                setattr(self, f"{part}_head", nn.Linear(UNITS, K))
                setattr(self, f"{part}_norm", nn.BatchNorm1d(UNITS))
            torch.manual_seed(keyed_seed(*key, "fusion", "weights", bits=56))
            self.fusion = nn.Linear(2 * UNITS, K)
        self.keep = torch.ones(1, 2 * UNITS)

    def embeddings(self, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
        keep = self.keep if self.training else torch.ones(1, 2 * UNITS)
        left, right = keep.to(first.dtype).split(UNITS, dim=1)
        return [
            self.teacher_norm(torch.relu(self.teacher(first))) * left,
            self.student_norm(torch.relu(self.student(second))) * right,
        ]

    def forward(self, first: torch.Tensor, second: torch.Tensor):
        one, other = self.embeddings(first, second)
        joint = self.fusion(torch.cat([one, other], dim=1))
        return joint, self.teacher_head(one), self.student_head(other)


def ordinary_loss(outputs, labels: torch.Tensor, arm: str, fusion: Fusion) -> torch.Tensor:
    joint, teacher, student = outputs
    loss, temperature = functional.cross_entropy(joint, labels), fusion.temperature
    if arm == "kd":
        divergence = functional.kl_div(
            functional.log_softmax(student / temperature, dim=1),
            functional.softmax(teacher.detach() / temperature, dim=1),
            reduction="batchmean",
        )
        loss = (1 - fusion.weight) * loss + fusion.weight * temperature**2 * divergence
    if arm != "direct" and fusion.teacher_head == "supervised":
        loss = loss + functional.cross_entropy(teacher, labels)
    return loss


def ordinary_training(fusion: Fusion, data: dict[str, Any], member: FusionMember):
    """Train one module; return it and each epoch's mean loss."""
    module, training = Ordinary(member.key), fusion.training
    optimizer = torch.optim.SGD(module.parameters(), lr=training.learning_rate)
    order, dropped = (torch_generator(*member.key, use) for use in ("order", "dropout"))
    rows, losses = data["row_sets"][member.rows], []
    for _ in range(training.epochs):
        total = 0.0
        for places in torch.randperm(len(rows), generator=order).split(training.batch_size):
            mask = draw_mask(dropped, len(places), 2 * UNITS, fusion.dropout).float()
            module.keep = mask / (1 - fusion.dropout)
            mine = rows[places]
            outputs = module(data["teacher_inputs"][mine], data["student_inputs"][mine])
            loss = ordinary_loss(outputs, data["labels"][mine], member.arm, fusion)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(places)
        losses.append(total / len(rows))
    return module.eval(), losses


@pytest.mark.parametrize("fusion", [FUSION, UNTRAINED], ids=["supervised", "untrained"])
def test_stack_equals_a_loop_of_ordinary_trainings(fusion):
    data = examples()
    trained = train_fusion(fusion=fusion, members=MEMBERS, **data)
    assert trained.diverged == [None] * len(MEMBERS)
    said = trained.predict(data["teacher_inputs"], data["student_inputs"])
    # Float32 sums in another order; logits stayed within a fiftieth of it. Another T moves them by
    # 6e-4, other masks or another source of the teacher's head by 0.05.
    tolerance = {"rtol": 1e-4, "atol": 2e-5}
    for place, member in enumerate(MEMBERS):
        module, losses = ordinary_training(fusion, data, member)
        with torch.no_grad():
            both = module.embeddings(data["teacher_inputs"], data["student_inputs"])
            joint = module(data["teacher_inputs"], data["student_inputs"])[0]
        torch.testing.assert_close(said.logits[place], joint, **tolerance)
        torch.testing.assert_close(said.teacher[place], both[0], **tolerance)
        torch.testing.assert_close(said.student[place], both[1], **tolerance)
        torch.testing.assert_close(trained.losses[place], torch.tensor(losses), **tolerance)
        moved = module.fusion.weight - Ordinary(member.key).fusion.weight
        assert moved.abs().max() > 0.01


def test_trained_step_by_step_with_adam_it_stays_each_members_own_module():
    # In float64, where what rounding grows to leaves room for a sharp comparison.
    ensemble, keys = _Fusions(BY_ADAM, (D1, D2), K), [member.key for member in MEMBERS]
    stack = ensemble.initial(keys, torch.device("cpu")).double()
    modules = [Ordinary(key).double() for key in keys]
    ours = torch.optim.Adam(ensemble.parameter_groups(stack, 0.01))
    theirs = [torch.optim.Adam(module.parameters(), lr=0.01) for module in modules]
    objective = _objective(MEMBERS, BY_ADAM)
    masks, generator = DropoutMasks(stack, keys, "cpu"), torch.Generator().manual_seed(3)
    for _ in range(10):
        batch = torch.randn(len(keys), 9, D1 + D2, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, K, (len(keys), 9), generator=generator)
        factors = [mask.double() for mask in masks.draw(9)]
        losses = objective(stack(batch, factors), Batch(batch, labels, labels))
        ours.zero_grad()
        losses.sum().backward()
        ours.step()
        for place, (member, module) in enumerate(zip(MEMBERS, modules, strict=True)):
            module.keep = torch.cat([mask[place, :, :UNITS] for mask in factors], dim=1)
            outputs = module(*batch[place].split((D1, D2), dim=1))
            loss = ordinary_loss(outputs, labels[place], member.arm, BY_ADAM)
            assert losses[place].item() == pytest.approx(loss.item(), rel=1e-6)
            theirs[place].zero_grad()
            loss.backward()
            theirs[place].step()


def _objective(members, fusion: Fusion):
    objective = _Fusions(fusion, (D1, D2), K).objective(_Device(), members)
    for name in ("weight", "supervised", "temperature"):
        setattr(objective, name, getattr(objective, name).double())
    return objective


class _Device:
    inputs = torch.zeros(1)


def state(trained: TrainedFusion, places: list[int]) -> list[torch.Tensor]:
    values = trained.trained.stack.state_dict().values()
    return [tensor[places] for tensor in values] + [trained.losses[places]]


@pytest.mark.parametrize("places", [[0], [4], [1, 2], [5, 3, 0]])
def test_a_members_numbers_do_not_depend_on_its_stack(places):
    data = examples()
    whole = train_fusion(fusion=BY_ADAM, members=MEMBERS, **data)
    part = train_fusion(fusion=BY_ADAM, members=[MEMBERS[place] for place in places], **data)
    ours, theirs = state(part, list(range(len(places)))), state(whole, places)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_chunks_change_no_number(monkeypatch):
    data = examples()
    whole = train_fusion(fusion=BY_ADAM, members=MEMBERS, **data)
    assert len(whole.chunks) == 1
    monkeypatch.setattr(engine, "CPU_STEP_BYTES", 1)
    monkeypatch.setattr(engine, "CPU_LEAST_MEMBERS", 2)
    parts = train_fusion(fusion=BY_ADAM, members=MEMBERS, **data)
    assert len(parts.chunks) == 4
    everyone = list(range(len(MEMBERS)))
    torch.testing.assert_close(state(parts, everyone), state(whole, everyone), rtol=1e-5, atol=1e-6)


def test_arms_of_a_seed_share_weights_order_and_masks():
    # With nothing left that tells the arms apart, they are the same to the bit; seeds are not.
    alike = UNTRAINED.model_copy(update={"weight": 0.0, "training": ADAM})
    trained = train_fusion(fusion=alike, members=MEMBERS, **examples())
    for values in state(trained, list(range(6))):
        assert torch.equal(values[0], values[1])
        assert torch.equal(values[0], values[2])
        assert torch.equal(values[3], values[4])
    assert not torch.equal(trained.losses[0], trained.losses[3])


def test_without_weight_distillation_is_the_arm_heads():
    deaf = BY_ADAM.model_copy(update={"weight": 0.0})
    trained = train_fusion(fusion=deaf, members=MEMBERS[:3], **examples())
    for values in state(trained, [0, 1, 2]):
        assert torch.equal(values[1], values[2])
    assert not torch.equal(trained.losses[0], trained.losses[1])


def test_heads_without_supervision_is_direct_fusion():
    untrained = UNTRAINED.model_copy(update={"training": ADAM})
    trained = train_fusion(fusion=untrained, members=MEMBERS[:3], **examples())
    for values in state(trained, [0, 1, 2]):
        assert torch.equal(values[0], values[2])
    assert not torch.equal(trained.losses[0], trained.losses[1])


def test_what_each_arm_leaves_alone():
    trained = train_fusion(fusion=BY_ADAM, members=MEMBERS[:3], **examples())
    keys = [member.key for member in MEMBERS[:3]]
    network = trained.trained.stack.network
    initial = StackedFusion.initial(network, (D1, D2), K, keys)

    def moved(part: str) -> list[bool]:
        ours, theirs = (
            getattr(stack, part).weights[1] for stack in (trained.trained.stack, initial)
        )
        return (ours != theirs).flatten(1).any(dim=1).tolist()

    assert moved("teacher") == [False, True, True]
    assert moved("student") == [False, True, False]


@pytest.mark.parametrize("arm", ["direct", "kd", "heads"])
def test_what_only_both_modalities_tell_is_learned(arm):
    # The class is given by the sum of one feature of each modality; either alone leaves a
    # classifier at 0.75 on average, so 0.9 on new rows needs both.
    generator = torch.Generator().manual_seed(1)
    teacher, student = (torch.rand(600, 3, generator=generator) - 0.5 for _ in range(2))
    labels = (teacher[:, 0] + student[:, 0] > 0).long()
    training = Training(optimizer="adam", learning_rate=0.01, batch_size=64, epochs=25)
    trained = train_fusion(
        fusion=Fusion(encoder=16, training=training),
        teacher_inputs=teacher,
        student_inputs=student,
        labels=labels,
        row_sets=[torch.arange(400)],
        members=[FusionMember(("learned",), arm=arm)],
        outputs=2,
    )
    said = trained.predict(teacher, student, torch.arange(400, 600), representation=False)
    assert (said.logits[0].argmax(dim=1) == labels[400:]).float().mean() > 0.9
    assert said.teacher is None and said.student is None


def test_three_modalities_have_an_encoder_each_and_a_common_head():
    key, widths = ("fusion", 0), (D1, D2, 5)
    ensemble = _Fusions(FUSION, widths, K)
    stack = ensemble.initial([key], torch.device("cpu"))
    batch = torch.randn(1, 9, sum(widths), generator=torch.Generator().manual_seed(2))
    embeddings = []
    with torch.random.fork_rng():
        for part, values in zip(
            ("teacher", "student", "second_teacher"), batch[0].split(widths, dim=1), strict=True
        ):
            torch.manual_seed(keyed_seed(*key, part, "weights", bits=56))
            hidden = torch.relu(nn.Linear(values.shape[1], UNITS)(values))
            embeddings.append(nn.BatchNorm1d(UNITS)(hidden))
        torch.manual_seed(keyed_seed(*key, "fusion", "weights", bits=56))
        joint = nn.Linear(3 * UNITS, K)(torch.cat(embeddings, dim=1))
    torch.testing.assert_close(stack(batch).logits[0], joint, rtol=1e-4, atol=2e-5)


def test_what_only_three_modalities_tell_is_learned_from_three():
    generator = torch.Generator().manual_seed(1)
    tables = [torch.rand(600, 3, generator=generator) - 0.5 for _ in range(3)]
    training = Training(optimizer="adam", learning_rate=0.02, batch_size=64, epochs=12)
    right = {}
    for arm, third in (("direct", None), ("three", tables[2])):
        trained = train_fusion(
            fusion=Fusion(encoder=16, training=training),
            teacher_inputs=tables[0],
            student_inputs=tables[1],
            second_teacher_inputs=third,
            labels=(sum(table[:, 0] for table in tables) > 0).long(),
            row_sets=[torch.arange(400)],
            members=[FusionMember(("learned",), arm=arm)],
            outputs=2,
        )
        said = trained.predict(*tables[:2], second_teacher_inputs=third)
        label = (sum(table[:, 0] for table in tables) > 0)[400:].long()
        right[arm] = (said.logits[0, 400:].argmax(dim=1) == label).float().mean()
        assert said.teacher.shape == said.student.shape == (1, 600, 16)
    assert right["three"] > 0.9 > right["direct"]


def test_predict_reads_own_rows_and_chosen_members():
    data = examples()
    trained = train_fusion(fusion=FUSION, members=MEMBERS, **data)
    both = data["teacher_inputs"], data["student_inputs"]
    everything = trained.predict(*both)
    assert everything.logits.shape == (6, ROWS, K)
    assert everything.teacher.shape == everything.student.shape == (6, ROWS, UNITS)
    own = trained.predict(*both, torch.tensor([[4, 2], [7, 7]]), members=[3, 1])
    torch.testing.assert_close(own.logits[0], everything.logits[3, [4, 2]])
    torch.testing.assert_close(own.student[1], everything.student[1, [7, 7]])


def test_a_member_that_diverges_does_so_alone():
    data = examples()
    data["teacher_inputs"][data["row_sets"][1][0]] = float("inf")
    used = set(data["row_sets"][0].tolist())
    data["row_sets"][0] = torch.tensor(
        [row if row != data["row_sets"][1][0] else next(iter(used)) for row in used]
    )
    trained = train_fusion(fusion=BY_ADAM, members=MEMBERS, **data)
    assert trained.diverged == [None, None, None, 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"teacher_inputs": torch.zeros(ROWS, D1, dtype=torch.float64)}, "teacher inputs are"),
        ({"student_inputs": torch.zeros(ROWS)}, r"student inputs are \(90,\)"),
        ({"student_inputs": torch.zeros(ROWS - 1, D2)}, "90 and 89 rows"),
        ({"labels": torch.full((ROWS,), K)}, "leave 0..2"),
        ({"row_sets": [torch.arange(3), torch.arange(4)]}, "equal length"),
        ({"members": [FusionMember(("a",), rows=2)]}, "asks for row set 2 of 2"),
        ({"members": [FusionMember(("a",), arm="both")]}, "asks for arm 'both'"),
        ({"members": []}, "no members"),
        ({"members": [FusionMember(("a",), arm="three")]}, "arm 'three', is given two modalities"),
        ({"second_teacher_inputs": torch.zeros(ROWS, 2)}, "arm 'direct', is given three modal"),
        ({"memory_bytes": 10_000}, r"one run needs .*compute\.memory_gb"),
    ],
)
def test_input_that_does_not_agree_is_refused_in_one_line(change, says):
    arguments = {"members": MEMBERS, "label": "fusing"} | examples() | change
    with pytest.raises(CchError, match=f"fusing: .*{says}") as error:
        train_fusion(fusion=FUSION, **arguments)
    assert "\n" not in str(error.value)


def test_defaults_are_those_of_table_18():
    fusion = Fusion(training=ADAM)
    assert (fusion.encoder, fusion.batch_norm, fusion.dropout) == (64, True, 0.25)
    with pytest.raises(ValidationError):
        Fusion(training=ADAM, weight=1.5)
    with pytest.raises(ValidationError):
        Fusion(training=ADAM, dropout=1.0)
