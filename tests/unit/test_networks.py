import copy

import pytest
import torch
from torch import nn

from cch.config import Network
from cch.data.rng import keyed_seed, torch_generator
from cch.training.networks import (
    DropoutMasks,
    LayerRow,
    StackedMLP,
    draw_mask,
    layer_table,
    parameter_count,
)

WIDE = Network(hidden=[1024, 256], activation="leaky_relu")
SMALL = Network(hidden=[12, 7])
NORMED = Network(hidden=[12, 7], batch_norm=True, dropout=0.3)
KEYS = [("student", 0), ("student", 1), ("student", 0)]


def torch_module(network: Network, inputs: int, outputs: int, key: tuple) -> nn.Sequential:
    """The network as torch builds and initialises it, after seeding torch for ``key``."""
    widths = [inputs, *network.hidden]
    with torch.random.fork_rng():
        torch.manual_seed(keyed_seed(*key, "weights", bits=56))
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(widths, network.hidden, strict=False):
            activation = nn.ReLU() if network.activation == "relu" else nn.LeakyReLU(0.01)
            layers += [nn.Linear(fan_in, fan_out), activation]
            layers += [nn.BatchNorm1d(fan_out)] if network.batch_norm else []
        return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


def linears(module: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in module if isinstance(layer, nn.Linear)]


def test_initial_weights_are_those_of_torch_for_the_members_key():
    stack = StackedMLP.initial(SMALL, 5, 3, KEYS)
    for member, key in enumerate(KEYS):
        reference = linears(torch_module(SMALL, 5, 3, key))
        for (weight, bias), linear in zip(stack.layers(member), reference, strict=True):
            assert torch.equal(weight, linear.weight)
            assert torch.equal(bias, linear.bias)


def test_initial_weights_depend_on_the_key_alone():
    stack = StackedMLP.initial(SMALL, 5, 3, KEYS)
    first, second, third = (stack.layers(member)[0][0] for member in range(3))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
    torch.manual_seed(99)
    again = StackedMLP.initial(SMALL, 5, 3, KEYS[1:2])
    assert torch.equal(again.layers(0)[0][0], second)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("hidden", [[9], [12, 7]])
def test_forward_is_that_of_each_members_own_module(activation, hidden):
    network = Network(hidden=hidden, activation=activation)
    stack = StackedMLP.initial(network, 5, 3, KEYS)
    batch = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(1))
    logits, representation = stack(batch)
    assert logits.shape == (3, 8, 3)
    assert representation.shape == (3, 8, hidden[-1])
    for member, key in enumerate(KEYS):
        module = torch_module(network, 5, 3, key)
        torch.testing.assert_close(logits[member], module(batch[member]))
        torch.testing.assert_close(representation[member], module[:-1](batch[member]))


def test_rows_shared_by_all_members_equal_rows_given_to_each():
    stack = StackedMLP.initial(SMALL, 5, 3, KEYS)
    rows = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    shared, own = stack(rows), stack(rows.expand(3, 8, 5).clone())
    torch.testing.assert_close(shared.logits, own.logits)
    torch.testing.assert_close(shared.representation, own.representation)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_lone_member_computes_what_it_computes_in_a_stack(outputs):
    network = Network(hidden=[64])
    stack = StackedMLP.initial(network, 100, outputs, KEYS[:2])
    batch = torch.randn(2, 32, 100, generator=torch.Generator().manual_seed(1))
    alone = stack.select([1])
    torch.testing.assert_close(alone(batch[1:]).logits, stack(batch).logits[1:], rtol=1e-6, atol=0)
    for one, all_ in ((alone, batch[1:]), (stack, batch)):
        one(all_).logits.square().sum().backward()
    for mine, whole in zip(alone.parameters(), stack.parameters(), strict=True):
        torch.testing.assert_close(mine.grad[0], whole.grad[1], rtol=1e-5, atol=1e-6)


def test_batch_norm_is_that_of_each_members_own_module():
    stack = StackedMLP.initial(NORMED, 5, 3, KEYS)
    modules = [torch_module(NORMED, 5, 3, key) for key in KEYS]
    generator = torch.Generator().manual_seed(1)
    for rows in (2, 8, 33):
        batch = 3 * torch.randn(3, rows, 5, generator=generator) + 1
        logits = stack(batch).logits
        for member, module in enumerate(modules):
            torch.testing.assert_close(logits[member], module(batch[member]))
    stack.eval()
    batch = torch.randn(3, 4, 5, generator=generator)
    output = stack(batch)
    for member, module in enumerate(modules):
        norms = [layer for layer in module.eval() if isinstance(layer, nn.BatchNorm1d)]
        for ours, norm in zip(stack.norm_layers(member), norms, strict=True):
            torch.testing.assert_close(ours["running_mean"], norm.running_mean)
            torch.testing.assert_close(ours["running_var"], norm.running_var)
        torch.testing.assert_close(output.logits[member], module(batch[member]))
        torch.testing.assert_close(output.representation[member], module[:-1](batch[member]))


def test_gradients_of_batch_norm_are_those_of_each_members_own_module():
    stack = StackedMLP.initial(NORMED, 5, 3, KEYS)
    batch = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(1))
    stack(batch).logits.pow(3).sum().backward()
    for member, key in enumerate(KEYS):
        module = torch_module(NORMED, 5, 3, key)
        module(batch[member]).pow(3).sum().backward()
        for weight, linear in zip(stack.weights, linears(module), strict=True):
            fan_out, fan_in = linear.weight.shape
            ours = weight.grad[member, :fan_in, :fan_out].T
            torch.testing.assert_close(ours, linear.weight.grad, rtol=1e-4, atol=1e-5)
        norms = [layer for layer in module if isinstance(layer, nn.BatchNorm1d)]
        for ours, norm in zip(stack.norms, norms, strict=True):
            units = norm.num_features
            for mine, theirs in ((ours.scale, norm.weight), (ours.shift, norm.bias)):
                torch.testing.assert_close(
                    mine.grad[member, 0, :units], theirs.grad, rtol=1e-4, atol=1e-5
                )


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_trained_step_by_step_it_stays_each_members_own_module(kind):
    # Batch normalisation, dropout, weight decay and the cosine together, in float64: such a
    # training amplifies rounding by orders of magnitude, here from 1e-16 to 1e-8.
    stack = StackedMLP.initial(NORMED, 5, 3, KEYS).double()
    modules = [torch_module(NORMED, 5, 3, key).double() for key in KEYS]
    ours = kind(stack.parameter_groups(0.02), weight_decay=0.1)
    theirs = [kind(module.parameters(), lr=0.02, weight_decay=0.1) for module in modules]
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR
    schedules = [cosine(optimizer, T_max=15) for optimizer in (ours, *theirs)]
    masks, generator = DropoutMasks(stack, KEYS, "cpu"), torch.Generator().manual_seed(2)
    for _ in range(15):
        batch = torch.randn(3, 9, 5, generator=generator, dtype=torch.float64)
        factors = [mask.double() for mask in masks.draw(9)]
        logits = stack(batch, factors).logits
        outputs = [
            dropping(module, batch[member], [mask[member] for mask in factors])
            for member, module in enumerate(modules)
        ]
        torch.testing.assert_close(logits, torch.stack(outputs), rtol=1e-5, atol=1e-6)
        for optimizer, values in zip((ours, *theirs), (logits, *outputs), strict=True):
            optimizer.zero_grad()
            (values.square().sum() - values[..., 0].sum()).backward()
            optimizer.step()
        for schedule in schedules:
            schedule.step()
    assert ours.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
    before = StackedMLP.initial(NORMED, 5, 3, KEYS).weights[1]
    assert (stack.weights[1] - before).abs().max() > 0.01


def dropping(module: nn.Sequential, values: torch.Tensor, masks: list) -> torch.Tensor:
    """What the module says with units dropped after each batch normalisation."""
    left = iter(masks)
    for layer in module:
        values = layer(values)
        if isinstance(layer, nn.BatchNorm1d):
            values = values * next(left)[:, : layer.num_features]
    return values


def test_padding_units_stay_zero_under_batch_norm_and_dropout():
    stack = StackedMLP.initial(NORMED, 5, 3, KEYS)
    optimizer = torch.optim.AdamW(stack.parameter_groups(0.1), weight_decay=0.1)
    masks = DropoutMasks(stack, KEYS, "cpu")
    batch = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(1))
    for _ in range(5):
        optimizer.zero_grad()
        stack(batch, masks.draw(8)).logits.square().sum().backward()
        optimizer.step()
    for weight, bias, units in zip(stack.weights, stack.biases, stack.units, strict=True):
        assert not weight[..., units:].any()
        assert not bias[..., units:].any()
    for number, units in enumerate(NORMED.hidden):
        assert not stack.weights[number + 1][:, units:].any()
        norm = stack.norms[number]
        for tensor in (norm.scale, norm.shift, norm.mean, norm.variance):
            assert tensor.shape == (3, 1, 16)
            assert not tensor[..., units:].any()


def test_dropout_masks_depend_on_the_members_key_alone():
    stack = StackedMLP.initial(NORMED, 5, 3, KEYS)
    together = DropoutMasks(stack, KEYS, "cpu")
    alone = DropoutMasks(stack.select([1]), KEYS[1:2], "cpu")
    reference = torch_generator(*KEYS[1], "dropout")
    for rows in (6, 3):
        masks, own = together.draw(rows), alone.draw(rows)
        expected = draw_mask(reference, rows, 19, 0.3).float().split([12, 7], dim=1)
        for mask, mine, kept, units in zip(masks, own, expected, [12, 7], strict=True):
            assert mask.shape == (3, rows, 16)
            assert torch.equal(mask[0], mask[2])
            assert not torch.equal(mask[0], mask[1])
            assert torch.equal(mask[1:2], mine)
            torch.testing.assert_close(mine[0, :, :units], kept / 0.7)


def test_dropout_keeps_as_many_as_asked_and_the_mean():
    network = Network(hidden=[32], dropout=0.3)
    stack = StackedMLP.initial(network, 5, 3, KEYS[:2])
    (mask,) = DropoutMasks(stack, KEYS[:2], "cpu").draw(4000)
    # 128,000 draws: the standard error of the share is 0.0013, of the mean 0.0018.
    assert (mask == 0).float().mean(dim=(1, 2)).tolist() == pytest.approx([0.3] * 2, abs=0.006)
    assert mask.mean(dim=(1, 2)).tolist() == pytest.approx([1.0] * 2, abs=0.008)
    assert DropoutMasks(StackedMLP.initial(SMALL, 5, 3, KEYS), KEYS, "cpu").draw(4) is None


def test_padding_units_never_move():
    stack = StackedMLP.initial(SMALL, 5, 3, KEYS)
    optimizer = torch.optim.Adam(stack.parameter_groups(0.1))
    batch = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(1))
    for _ in range(5):
        optimizer.zero_grad()
        stack(batch).logits.square().sum().backward()
        optimizer.step()
    for weight, bias, units in zip(stack.weights, stack.biases, stack.units, strict=True):
        assert weight.shape[2] == 16
        assert not weight[..., units:].any()
        assert not bias[..., units:].any()


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_equal_channels_are_folded_exactly(optimizer):
    channels, plane = 3, 10
    make = {
        "sgd": lambda groups: torch.optim.SGD(groups, lr=0.05),
        "momentum": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9),
        "adam": lambda groups: torch.optim.Adam(groups, lr=0.01),
    }[optimizer]
    rate = 0.01 if optimizer == "adam" else 0.05
    module = torch_module(SMALL, channels * plane, 4, KEYS[0])
    before = copy.deepcopy(module)
    stack = StackedMLP.initial(SMALL, plane, 4, KEYS[:1], channels=channels)
    ours, theirs = make(stack.parameter_groups(rate, channels)), make(module.parameters())
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        images, labels = torch.randn(16, plane, generator=generator), torch.arange(16) % 4
        ours.zero_grad()
        theirs.zero_grad()
        logits = stack(images).logits[0]
        torch.testing.assert_close(logits, module(images.repeat(1, channels)), rtol=2e-4, atol=2e-5)
        nn.functional.cross_entropy(logits, labels).backward()
        nn.functional.cross_entropy(module(images.repeat(1, channels)), labels).backward()
        ours.step()
        theirs.step()
    folded = module[0].weight.view(-1, channels, plane).sum(dim=1)
    start = before[0].weight.view(-1, channels, plane).sum(dim=1)
    assert (folded - start).abs().max() > 0.01  # they did train
    torch.testing.assert_close(stack.layers(0)[0][0], folded, rtol=2e-4, atol=2e-5)
    torch.testing.assert_close(stack.layers(0)[1][0], module[2].weight, rtol=2e-4, atol=2e-5)


def test_tables_9_and_11():
    assert layer_table(Network(hidden=[64]), 100, 1) == [
        LayerRow("Input", 100, "-"),
        LayerRow("Linear", 64, "ReLU"),
        LayerRow("Linear", 1, "-"),
    ]
    assert layer_table(WIDE, 3 * 784, 10)[1:] == [
        LayerRow("Linear", 1024, "LeakyReLU"),
        LayerRow("Linear", 256, "LeakyReLU"),
        LayerRow("Linear", 10, "-"),
    ]


def test_table_14():
    network = Network(hidden=[256, 128], batch_norm=True, dropout=0.3)
    assert layer_table(network, 713, 2) == [
        LayerRow("Input", 713, "-"),
        LayerRow("Linear", 256, "ReLU"),
        LayerRow("BatchNorm1d + Dropout (p = 0.3)", 256, "-"),
        LayerRow("Linear", 128, "ReLU"),
        LayerRow("BatchNorm1d + Dropout (p = 0.3)", 128, "-"),
        LayerRow("Linear", 2, "-"),
    ]
    only = Network(hidden=[8], dropout=0.25)
    assert layer_table(only, 3, 1)[2] == LayerRow("Dropout (p = 0.25)", 8, "-")


@pytest.mark.parametrize("network", [SMALL, NORMED])
@pytest.mark.parametrize("channels", [1, 3])
def test_parameter_count_is_that_of_the_module(channels, network):
    module = torch_module(network, channels * 20, 3, KEYS[0])
    expected = sum(parameter.numel() for parameter in module.parameters())
    assert parameter_count(network, 20, 3, channels) == expected


def test_batch_norm_and_dropout_take_memory():
    plain, normed = (
        StackedMLP(Network(hidden=[64], batch_norm=norm, dropout=p), 5, 3, 1).step_bytes(32, 4)
        for norm, p in ((False, 0.0), (True, 0.3))
    )
    assert normed > plain


def test_select_and_join_copy_members_in_order():
    stack = StackedMLP.initial(SMALL, 5, 3, KEYS)
    joined = StackedMLP.joined([stack.select([2]), stack.select([1, 0])])
    for place, member in enumerate([2, 1, 0]):
        for ours, theirs in zip(joined.layers(place), stack.layers(member), strict=True):
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1])
    with torch.no_grad():
        joined.weights[0].zero_()
    assert stack.weights[0].any()


def test_select_and_join_copy_batch_norm_with_its_statistics():
    stack = StackedMLP.initial(NORMED, 5, 3, KEYS)
    stack(torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(1)))
    joined = StackedMLP.joined([stack.select([2]), stack.select([1, 0])])
    assert [type(norm.scale) for norm in joined.norms] == [nn.Parameter] * 2
    for place, member in enumerate([2, 1, 0]):
        for ours, theirs in zip(joined.norm_layers(place), stack.norm_layers(member), strict=True):
            assert ours.keys() == theirs.keys() == {"weight", "bias", "running_mean", "running_var"}
            for name, values in ours.items():
                assert torch.equal(values, theirs[name])
    with torch.no_grad():
        joined.norms[0].mean.zero_()
    assert stack.norms[0].mean.any()


def test_running_statistics_that_are_not_finite_are_said_of_their_member():
    stack = StackedMLP.initial(NORMED, 5, 3, KEYS)
    stack.norms[1].variance[2, 0, 3] = float("nan")
    assert stack.finite().tolist() == [True, True, False]


def test_finite_is_said_of_each_member():
    stack = StackedMLP.initial(SMALL, 5, 3, KEYS)
    with torch.no_grad():
        stack.biases[1][1, 0, 3] = float("inf")
    assert stack.finite().tolist() == [True, False, True]
