"""The stacked engine beside ordinary trainings of one module at a time.

TOLERANCE is what logits, representations and losses of a stack and of an ordinary loop may differ
by after training. Both are float32 and sum in different orders; over the few dozen steps here they
stayed within a tenth of it.
"""

import logging
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import cch.training.stack as engine
from cch.base.errors import CchError
from cch.config import Network, Training
from cch.config.registry import OPTIMIZERS
from cch.data.rng import keyed_seed, torch_generator
from cch.training.networks import draw_mask
from cch.training.stack import Member, TrainedStack, out_of_memory, train_stack

TOLERANCE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}
# Batch normalisation divides by the spread of a unit over a batch, so rounding grows more: where
# one row of a batch excites a rectified unit, ordinary trainings in float32 and float64 differ by
# 0.1. With leaky units they stay below half of this, and a wrong mask or a statistic left out
# moves them by 0.1 and more; test_networks.py compares in float64, more sharply.
NORM_TOLERANCE: dict[str, Any] = {"rtol": 1e-2, "atol": 2e-3}
ROWS, FEATURES, USED = 90, 6, 50
SMALL = Network(hidden=[12])
SGD = Training(optimizer="sgd", learning_rate=0.05, batch_size=16, epochs=4)
MOMENTUM = SGD.model_copy(update={"momentum": 0.9})
ADAM = Training(optimizer="adam", learning_rate=0.01, batch_size=16, epochs=4)
# Tables 14 and 15 in small: widths that are no multiple of the padding, a decay that shows.
NORMED = Network(hidden=[14, 7], activation="leaky_relu", batch_norm=True, dropout=0.3)
ADAMW = Training(
    optimizer="adamw",
    learning_rate=0.01,
    weight_decay=0.1,
    schedule="cosine",
    batch_size=16,
    epochs=4,
)

# Two seeds; in each a baseline and students with different T and lambda, one with a teacher to
# which it does not listen.
MEMBERS = [
    Member(("student", 0), rows=0),
    Member(("student", 0), rows=0, teacher=0, temperature=3.0, weight=0.5),
    Member(("student", 1), rows=1, teacher=1, temperature=1.0, weight=0.9),
    Member(("student", 1), rows=1, teacher=1, temperature=4.0, weight=0.2),
    Member(("student", 1), rows=1, teacher=0, temperature=2.0, weight=0.0),
]


def examples(task: str = "classification", dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Random inputs with labels that depend on them; keyword arguments of train_stack."""
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(ROWS, FEATURES, generator=generator)
    target = inputs @ torch.randn(FEATURES, 3, generator=generator)
    outputs = 3 if task == "classification" else 1
    labels = target.argmax(dim=1) if task == "classification" else target[:, 0].contiguous()
    scale = 1.0
    if dtype == torch.uint8:
        inputs, scale = (inputs * 40 + 128).clamp(0, 255).to(torch.uint8), 1 / 255
    return {
        "task": task,
        "inputs": inputs,
        "input_scale": scale,
        "labels": labels,
        "row_sets": [torch.randperm(ROWS, generator=generator)[:USED] for _ in range(2)],
        "soft_targets": 2 * torch.randn(2, USED, outputs, generator=generator),
        "outputs": outputs,
    }


class Kept(nn.Module):
    """nn.Dropout that is told what to keep: ``factors`` (B, U) of the batch to come."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.factors if self.training else values


def ordinary_module(network: Network, inputs: int, outputs: int, key: tuple) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(keyed_seed(*key, "weights", bits=56))
        layers: list[nn.Module] = []
        for units in network.hidden:
            activation = nn.ReLU() if network.activation == "relu" else nn.LeakyReLU(0.01)
            layers += [nn.Linear(inputs, units), activation]
            layers += [nn.BatchNorm1d(units)] if network.batch_norm else []
            layers += [Kept()] if network.dropout else []
            inputs = units
        return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def ordinary_loss(task: str, s: torch.Tensor, y: torch.Tensor, t: torch.Tensor, member: Member):
    temperature, weight = member.temperature, member.weight
    if task == "regression":
        loss = functional.mse_loss(s[:, 0], y)
        return loss if member.teacher is None else loss + weight * functional.mse_loss(s, t)
    loss = functional.cross_entropy(s, y)
    if member.teacher is None:
        return loss
    divergence = functional.kl_div(
        functional.log_softmax(s / temperature, dim=1),
        functional.softmax(t / temperature, dim=1),
        reduction="batchmean",
    )
    return (1 - weight) * loss + weight * temperature**2 * divergence


def ordinary_optimizer(training: Training, module: nn.Module) -> torch.optim.Optimizer:
    common = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), momentum=training.momentum, **common)
    kind = torch.optim.Adam if training.optimizer == "adam" else torch.optim.AdamW
    return kind(module.parameters(), **common)


def ordinary_batches(network: Network, places: torch.Tensor, size: int) -> list[torch.Tensor]:
    batches = list(places.split(size))
    if network.batch_norm and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def tell_what_to_keep(module: nn.Sequential, generator: torch.Generator, rows: int, p: float):
    kept = [place for place, layer in enumerate(module) if isinstance(layer, Kept)]
    units = [layer.out_features for layer in module[:-1] if isinstance(layer, nn.Linear)]
    mask = draw_mask(generator, rows, sum(units), p).float() / (1 - p)
    for place, factors in zip(kept, mask.split(units, dim=1), strict=True):
        module[place].factors = factors


def ordinary_training(
    network: Network, training: Training, data: dict[str, Any], member: Member
) -> tuple[nn.Sequential, list[float]]:
    """Train one module as anybody would; return it and each epoch's mean loss."""
    channels = data.get("channels", 1)
    module = ordinary_module(
        network, channels * data["inputs"].shape[1], data["outputs"], member.key
    )
    optimizer = ordinary_optimizer(training, module)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.epochs)
    rows, order = data["row_sets"][member.rows], torch_generator(*member.key, "order")
    dropped = torch_generator(*member.key, "dropout")
    losses = []
    for _ in range(training.epochs):
        total = 0.0
        everything = torch.randperm(len(rows), generator=order)
        for places in ordinary_batches(network, everything, training.batch_size):
            if network.dropout:
                tell_what_to_keep(module, dropped, len(places), network.dropout)
            inputs = data["inputs"][rows[places]].float() * data["input_scale"]
            outputs = module(inputs.repeat(1, channels))
            teacher = data["soft_targets"][member.teacher or 0][places]
            loss = ordinary_loss(
                data["task"], outputs, data["labels"][rows[places]], teacher, member
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(places)
        losses.append(total / len(rows))
        if training.schedule == "cosine":
            schedule.step()
    return module.eval(), losses


def assert_equals_ordinary(
    trained: TrainedStack, network, training, data, members, tolerance=TOLERANCE
) -> None:
    scaled = data["inputs"].float() * data["input_scale"]
    channels = data.get("channels", 1)
    prediction = trained.predict(data["inputs"])
    for place, member in enumerate(members):
        module, losses = ordinary_training(network, training, data, member)
        with torch.no_grad():
            representation = module[:-1](scaled.repeat(1, channels))
        logits = module[-1](representation)
        torch.testing.assert_close(prediction.logits[place], logits, **tolerance)
        torch.testing.assert_close(prediction.representation[place], representation, **tolerance)
        torch.testing.assert_close(trained.losses[place], torch.tensor(losses), **tolerance)
        initial = ordinary_module(network, channels * FEATURES, data["outputs"], member.key)
        moved = (module[0].weight - initial[0].weight).abs().max()
        assert moved > 100 * TOLERANCE["atol"]  # training did something
        norms = [layer for layer in module if isinstance(layer, nn.BatchNorm1d)]
        for ours, norm in zip(trained.stack.norm_layers(place), norms, strict=True):
            for name, values in ours.items():
                torch.testing.assert_close(values, getattr(norm, name).detach(), **tolerance)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("training", [SGD, MOMENTUM, ADAM], ids=["sgd", "momentum", "adam"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("hidden", [[12], [14, 7]])
def test_stack_equals_a_loop_of_ordinary_trainings(hidden, activation, training, task):
    network, data = Network(hidden=hidden, activation=activation), examples(task)
    trained = train_stack(network=network, training=training, members=MEMBERS, **data)
    assert trained.diverged == [None] * len(MEMBERS)
    assert_equals_ordinary(trained, network, training, data, MEMBERS)


@pytest.mark.parametrize("training", [SGD, ADAMW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize(("batch_norm", "dropout"), [(True, 0.3), (True, 0.0), (False, 0.5)])
def test_batch_norm_and_dropout_equal_ordinary_modules(batch_norm, dropout, task, training):
    network = Network(
        hidden=[14, 7], activation="leaky_relu", batch_norm=batch_norm, dropout=dropout
    )
    data = examples(task)
    trained = train_stack(network=network, training=training, members=MEMBERS, **data)
    assert trained.diverged == [None] * len(MEMBERS)
    assert_equals_ordinary(trained, network, training, data, MEMBERS, NORM_TOLERANCE)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_weight_decay_and_schedule_are_torchs(optimizer, schedule):
    training = Training(
        optimizer=optimizer,
        learning_rate=0.02,
        weight_decay=0.2,
        schedule=schedule,
        batch_size=16,
        epochs=5,
    )
    data = examples()
    trained = train_stack(network=SMALL, training=training, members=MEMBERS, **data)
    assert_equals_ordinary(trained, SMALL, training, data, MEMBERS)
    free = training.model_copy(update={"weight_decay": 0.0})
    larger = train_stack(network=SMALL, training=free, members=MEMBERS, **data)
    assert larger.stack.weights[0].norm() > trained.stack.weights[0].norm()


def test_the_last_rate_of_the_cosine_is_near_zero_and_adamw_takes_the_decay_as_given():
    # Without decay AdamW is Adam; torch's own default of 0.01 must not slip in.
    data, adam = examples(), ADAM.model_copy(update={"schedule": "cosine"})
    adamw = adam.model_copy(update={"optimizer": "adamw"})
    one, other = (
        train_stack(network=SMALL, training=training, members=MEMBERS, **data)
        for training in (adam, adamw)
    )
    torch.testing.assert_close(parameters(one, [0, 4]), parameters(other, [0, 4]))


@pytest.mark.parametrize("update", [{"optimizer": "adamw"}, {"weight_decay": 0.1}])
def test_weight_decay_with_equal_channels_is_refused(update):
    data = examples(dtype=torch.uint8) | {"channels": 3, "label": "students"}
    training = ADAM.model_copy(update=update)
    with pytest.raises(CchError, match=r"students: .*3 equal channels.*weight_decay: 0"):
        train_stack(network=SMALL, training=training, members=MEMBERS, **data)


def test_a_last_batch_of_one_row_is_merged_for_batch_norm():
    # 50 rows in batches of 7 leave one row; nn.BatchNorm1d would raise.
    assert USED % 7 == 1
    assert engine._parts(USED, 7, least=2)[-2:] == [slice(35, 42), slice(42, 50)]
    assert engine._parts(USED, 7, least=1)[-2:] == [slice(42, 49), slice(49, 50)]
    assert engine._parts(1, 7, least=2) == [slice(0, 1)]
    training, data = SGD.model_copy(update={"batch_size": 7}), examples()
    trained = train_stack(network=NORMED, training=training, members=MEMBERS, **data)
    assert_equals_ordinary(trained, NORMED, training, data, MEMBERS, NORM_TOLERANCE)


def test_batches_of_one_row_cannot_be_normalised():
    training = ADAM.model_copy(update={"batch_size": 1})
    with pytest.raises(CchError, match="students: batch normalisation needs two rows"):
        train_stack(
            network=NORMED, training=training, members=MEMBERS, label="students", **examples()
        )


@pytest.mark.parametrize("training", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_bytes_with_three_channels_equal_ordinary_trainings_on_three_copies(training):
    data = examples(dtype=torch.uint8) | {"channels": 3}
    trained = train_stack(network=SMALL, training=training, members=MEMBERS, **data)
    assert_equals_ordinary(trained, SMALL, training, data, MEMBERS)


@pytest.mark.parametrize("batch_size", [1, 7, USED, 1000])
def test_every_batch_size_sees_every_row_once_an_epoch(batch_size):
    training = SGD.model_copy(update={"batch_size": batch_size, "epochs": 2})
    data = examples()
    trained = train_stack(network=SMALL, training=training, members=MEMBERS[:2], **data)
    assert_equals_ordinary(trained, SMALL, training, data, MEMBERS[:2])


def parameters(trained: TrainedStack, places: list[int]) -> list[torch.Tensor]:
    state = trained.stack.state_dict().values()
    return [tensor[places] for tensor in state] + [trained.losses[places]]


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("training", [MOMENTUM, ADAM], ids=["momentum", "adam"])
@pytest.mark.parametrize("places", [[0], [3], [1, 2], [4, 2, 0]])
def test_a_members_numbers_do_not_depend_on_its_stack(places, training, task):
    data = examples(task)
    whole = train_stack(network=SMALL, training=training, members=MEMBERS, **data)
    part = train_stack(
        network=SMALL, training=training, members=[MEMBERS[place] for place in places], **data
    )
    ours, theirs = parameters(part, list(range(len(places)))), parameters(whole, places)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("places", [[0], [3], [1, 2], [4, 2, 0]])
def test_with_batch_norm_and_dropout_too(places):
    data = examples()
    whole = train_stack(network=NORMED, training=ADAMW, members=MEMBERS, **data)
    part = train_stack(
        network=NORMED, training=ADAMW, members=[MEMBERS[place] for place in places], **data
    )
    ours, theirs = parameters(part, list(range(len(places)))), parameters(whole, places)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    logits = [trained.predict(data["inputs"]).logits for trained in (part, whole)]
    torch.testing.assert_close(logits[0], logits[1][places], rtol=1e-5, atol=1e-6)


def test_a_row_is_predicted_alike_in_any_company():
    # Predictions normalise by running statistics and drop nothing.
    data = examples()
    trained = train_stack(network=NORMED, training=ADAMW, members=MEMBERS, **data)
    whole, one = trained.predict(data["inputs"]), trained.predict(data["inputs"][7:8])
    torch.testing.assert_close(one.logits, whole.logits[:, 7:8])
    torch.testing.assert_close(one.representation, whole.representation[:, 7:8])
    assert torch.equal(whole.logits, trained.predict(data["inputs"]).logits)


def test_members_with_one_key_drop_the_same_units():
    # A student that does not listen is its baseline, also with dropout.
    baseline = Member(("student", 1), rows=1)
    deaf = Member(("student", 1), rows=1, teacher=0, temperature=2.0, weight=0.0)
    other = Member(("student", 2), rows=1)
    members = [baseline, other, deaf]
    trained = train_stack(network=NORMED, training=ADAMW, members=members, **examples())
    for tensor in parameters(trained, [0, 2]):
        assert torch.equal(tensor[0], tensor[1])
    assert not torch.equal(trained.losses[0], trained.losses[1])


def test_chunks_change_no_number_and_keep_the_order(monkeypatch):
    data = examples()
    whole = train_stack(network=SMALL, training=ADAM, members=MEMBERS, **data)
    assert [chunk["members"] for chunk in whole.chunks] == [[0, 1, 2, 3, 4]]
    monkeypatch.setattr(engine, "CPU_STEP_BYTES", 1)
    monkeypatch.setattr(engine, "CPU_LEAST_MEMBERS", 2)
    shuffled = [3, 0, 4, 1, 2]
    parts = train_stack(
        network=SMALL, training=ADAM, members=[MEMBERS[place] for place in shuffled], **data
    )
    # Positions 0, 2, 4 and 1, 3 share batches and stay together.
    assert [chunk["members"] for chunk in parts.chunks] == [[0], [2, 4], [1, 3]]
    torch.testing.assert_close(
        parameters(parts, list(range(5))), parameters(whole, shuffled), rtol=1e-5, atol=1e-6
    )


def test_the_memory_budget_sets_the_chunks(monkeypatch):
    monkeypatch.setattr(engine, "CPU_STEP_BYTES", 2**40)
    data = examples()
    sizes = {}
    for budget in (30_000, 60_000, 10_000_000):
        trained = train_stack(
            network=SMALL, training=ADAM, members=MEMBERS, memory_bytes=budget, **data
        )
        sizes[budget] = max(len(chunk["members"]) for chunk in trained.chunks)
    assert 1 <= sizes[30_000] < sizes[60_000] < sizes[10_000_000] == 5


def test_a_budget_below_one_member_is_refused_by_name():
    with pytest.raises(CchError, match=r"stage: one run needs .*compute\.memory_gb"):
        train_stack(
            network=SMALL,
            training=ADAM,
            members=MEMBERS,
            memory_bytes=5000,
            label="stage",
            **examples(),
        )


class Crowded:
    """Stands in for _train_chunk and runs out of memory, part way, with more than ``most``."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most, self.error, self.sizes = most, error, []
        self.train = engine._train_chunk

    def __call__(self, network, training, examples, members, progress):
        self.sizes.append(len(members))
        if len(members) > self.most:
            progress.advance(len(members))
            raise self.error
        return self.train(network, training, examples, members, progress)


def test_a_chunk_that_runs_out_of_memory_is_halved_and_recorded(monkeypatch, caplog):
    data = examples()
    whole = train_stack(network=SMALL, training=ADAM, members=MEMBERS, **data)
    crowded = Crowded(2, torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr(engine, "_train_chunk", crowded)
    with caplog.at_level(logging.INFO):
        halved = train_stack(
            network=SMALL, training=ADAM, members=MEMBERS, label="students", **data
        )
    assert crowded.sizes == [5, 2, 3, 1, 2]
    assert halved.chunks == [
        {"members": [0, 1], "halvings": 1},
        {"members": [2], "halvings": 2},
        {"members": [3, 4], "halvings": 2},
    ]
    assert "students: out of memory with 5 runs, going on with 3" in caplog.text
    assert "students: 20/20 member-epochs" in caplog.text
    torch.testing.assert_close(
        parameters(halved, list(range(5))), parameters(whole, list(range(5))), rtol=1e-5, atol=1e-6
    )


def test_one_member_that_does_not_fit_is_an_error(monkeypatch):
    crowded = Crowded(0, MemoryError())
    monkeypatch.setattr(engine, "_train_chunk", crowded)
    with pytest.raises(CchError, match="students: memory does not suffice for one run"):
        train_stack(network=SMALL, training=ADAM, members=MEMBERS, label="students", **examples())
    assert crowded.sizes[-1] == 1


def test_what_running_out_of_memory_looks_like():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(refused.value)
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("DefaultCPUAllocator"))


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch):
    monkeypatch.setattr(engine, "_train_chunk", Crowded(2, RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        train_stack(network=SMALL, training=ADAM, members=MEMBERS, **examples())


@pytest.mark.parametrize(
    ("network", "training"),
    [(SMALL, MOMENTUM), (SMALL, ADAM), (NORMED, ADAMW)],
    ids=["momentum", "adam", "normed"],
)
def test_a_member_diverges_alone(network, training):
    data = examples()
    data["soft_targets"][0, 20] = float("inf")
    wild = Member(("student", 0), rows=0, teacher=0, temperature=1.0, weight=0.5)
    members = [MEMBERS[0], wild, *MEMBERS[2:4]]
    trained = train_stack(network=network, training=training, members=members, **data)
    assert trained.diverged == [None, 1, None, None]
    assert trained.losses[1].isnan().all()
    assert not trained.predict(data["inputs"]).logits[1].isfinite().any()
    others = train_stack(
        network=network, training=training, members=[members[0], *members[2:]], **data
    )
    torch.testing.assert_close(
        parameters(trained, [0, 2, 3]), parameters(others, [0, 1, 2]), rtol=1e-5, atol=1e-6
    )


def test_the_first_epoch_that_is_not_finite_is_recorded():
    # Squared error and a step that is too long: the weights grow by a factor each step.
    data = examples("regression")
    training = SGD.model_copy(update={"learning_rate": 3.0, "epochs": 40})
    network = Network(hidden=[12], activation="leaky_relu")
    trained = train_stack(network=network, training=training, members=MEMBERS[:2], **data)
    for epoch, losses in zip(trained.diverged, trained.losses, strict=True):
        assert epoch is not None
        assert losses[: epoch - 1].isfinite().all()
        assert not losses[epoch:].isfinite().any()


def test_a_baseline_is_safe_from_teachers_that_are_not_finite():
    data = examples()
    baseline = train_stack(network=SMALL, training=ADAM, members=MEMBERS[:1], **data)
    data["soft_targets"][0] = float("nan")
    both = train_stack(network=SMALL, training=ADAM, members=MEMBERS[:2], **data)
    assert both.diverged == [None, 1]
    torch.testing.assert_close(parameters(both, [0]), parameters(baseline, [0]))


def test_the_same_call_gives_the_same_bits():
    data = examples(dtype=torch.uint8)
    torch.manual_seed(1)
    first = train_stack(network=SMALL, training=ADAM, members=MEMBERS, **data)
    torch.manual_seed(2)
    second = train_stack(network=SMALL, training=ADAM, members=MEMBERS, **data)
    for one, other in zip(parameters(first, [0, 3]), parameters(second, [0, 3]), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(first.predict(data["inputs"])[0], second.predict(data["inputs"])[0])


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    train_stack(network=SMALL, training=ADAM, members=MEMBERS, **examples())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_student_that_does_not_listen_is_its_baseline(task):
    baseline = Member(("student", 1), rows=1)
    deaf = Member(("student", 1), rows=1, teacher=0, temperature=2.0, weight=0.0)
    trained = train_stack(network=SMALL, training=ADAM, members=[baseline, deaf], **examples(task))
    for tensor in parameters(trained, [0, 1]):
        assert torch.equal(tensor[0], tensor[1])


def test_members_with_one_key_share_weights_and_order_and_others_do_not():
    members = [Member(("a", 0)), Member(("a", 0)), Member(("a", 1))]
    trained = train_stack(network=SMALL, training=SGD, members=members, **examples())
    first = trained.stack.weights[0]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_predict_reads_shared_rows_own_rows_and_chosen_members():
    data = examples()
    trained = train_stack(network=SMALL, training=ADAM, members=MEMBERS, **data)
    everything = trained.predict(data["inputs"])
    assert everything.logits.shape == (5, ROWS, 3)
    assert everything.representation.shape == (5, ROWS, 12)
    shared = trained.predict(data["inputs"], torch.tensor([4, 2]), members=[3, 1])
    torch.testing.assert_close(shared.logits, everything.logits[[3, 1]][:, [4, 2]])
    own = trained.predict(
        data["inputs"], torch.tensor([[4, 2], [7, 7]]), members=[3, 1], representation=False
    )
    torch.testing.assert_close(own.logits[0], everything.logits[3, [4, 2]])
    torch.testing.assert_close(own.logits[1], everything.logits[1, [7, 7]])
    assert own.representation is None


def test_predict_in_batches_and_chunks_equals_predict_at_once(monkeypatch):
    data = examples()
    trained = train_stack(network=SMALL, training=ADAM, members=MEMBERS, **data)
    whole = trained.predict(data["inputs"])
    monkeypatch.setattr(engine, "PREDICT_ROWS", 32)
    monkeypatch.setattr(engine, "CPU_STEP_BYTES", 1)
    monkeypatch.setattr(engine, "CPU_LEAST_MEMBERS", 2)
    parts = trained.predict(data["inputs"])
    torch.testing.assert_close(parts.logits, whole.logits)
    torch.testing.assert_close(parts.representation, whole.representation)


def test_bytes_and_their_unrounded_floats_predict_alike():
    data = examples(dtype=torch.uint8)
    trained = train_stack(network=SMALL, training=ADAM, members=MEMBERS, **data)
    floats = trained.predict(data["inputs"].float())
    torch.testing.assert_close(floats.logits, trained.predict(data["inputs"]).logits)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"inputs": torch.zeros(ROWS, FEATURES, dtype=torch.float64)}, "uint8 or float32"),
        ({"labels": torch.zeros(ROWS)}, "int64"),
        ({"labels": torch.full((ROWS,), 3)}, "leave 0..2"),
        ({"row_sets": [torch.arange(3), torch.arange(4)]}, "equal length"),
        ({"row_sets": [torch.arange(80, 130)]}, "row sets .* leave 0..89"),
        ({"soft_targets": torch.zeros(2, USED, 4)}, r"soft targets are \(2, 50, 4\)"),
        ({"soft_targets": None}, "member 1 asks for teacher 0 of 0"),
        ({"members": [Member(("a",), rows=2)]}, "asks for row set 2 of 2"),
        ({"members": [Member(("a",), weight=0.5)]}, "no teacher"),
        ({"members": [Member(("a",), temperature=0.0)]}, "temperature"),
        ({"members": []}, "no members"),
        ({"task": "regression", "labels": torch.zeros(ROWS)}, "one output"),
    ],
)
def test_input_that_does_not_agree_is_refused_in_one_line(change, says):
    arguments = {"members": MEMBERS, "label": "students"} | examples() | change
    with pytest.raises(CchError, match=f"students: .*{says}") as error:
        train_stack(network=SMALL, training=SGD, **arguments)
    assert "\n" not in str(error.value)


def test_predict_refuses_inputs_of_another_width():
    data = examples()
    trained = train_stack(network=SMALL, training=SGD, members=MEMBERS[:1], **data)
    with pytest.raises(CchError, match="expected \\(rows, 6\\)"):
        trained.predict(torch.zeros(3, 7))
    with pytest.raises(CchError, match="rows have shape"):
        trained.predict(data["inputs"], torch.zeros(2, 3, dtype=torch.int64))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("network", "training"), [(SMALL, ADAM), (NORMED, ADAMW)])
def test_a_gpu_gives_what_the_cpu_gives(network, training):
    data = examples()
    cpu, gpu = (
        train_stack(network=network, training=training, members=MEMBERS, device=device, **data)
        for device in ("cpu", "cuda")
    )
    logits = [trained.predict(data["inputs"]).logits for trained in (cpu, gpu)]
    torch.testing.assert_close(*logits, **TOLERANCE)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimiser_keeps_as_much_as_it_says(name):
    training = Training(
        optimizer=name, learning_rate=0.1, momentum=0.9 * (name == "sgd"), batch_size=1, epochs=1
    )
    weight = torch.ones(2, 3, requires_grad=True)
    optimizer = OPTIMIZERS[name].make([{"params": [weight], "lr": 0.1}], training)
    weight.sum().backward()
    optimizer.step()
    kept = [value for value in optimizer.state[weight].values() if value.shape == weight.shape]
    assert len(kept) == OPTIMIZERS[name].state(training)
