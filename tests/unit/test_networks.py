import copy

import pytest
import torch
from torch import nn

from cch.config import Network
from cch.networks import LayerRow, StackedMLP, layer_table, parameter_count
from cch.rng import keyed_seed

WIDE = Network(hidden=[1024, 256], activation="leaky_relu")
SMALL = Network(hidden=[12, 7])
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


@pytest.mark.parametrize("channels", [1, 3])
def test_parameter_count_is_that_of_the_module(channels):
    module = torch_module(SMALL, channels * 20, 3, KEYS[0])
    expected = sum(parameter.numel() for parameter in module.parameters())
    assert parameter_count(SMALL, 20, 3, channels) == expected


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


def test_finite_is_said_of_each_member():
    stack = StackedMLP.initial(SMALL, 5, 3, KEYS)
    with torch.no_grad():
        stack.biases[1][1, 0, 3] = float("inf")
    assert stack.finite().tolist() == [True, False, True]
