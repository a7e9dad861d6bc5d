"""Fully connected networks, many at a time: one tensor holds the same layer of every member.

A stack of M members does with one batched matrix product what M networks do with M products.
Three things differ from a list of ``nn.Sequential`` and none of them changes what is computed:

Padding. Layer widths are rounded up to a multiple of ``LANES`` with units whose weights are zero,
and gradients, hence updates, of such units are exactly zero too. Narrow products (a head of 1, 5
or 10 units) are faster that way on a CPU, and with MKL their rounding no longer depends on how
many members are in the stack; unpadded, it does.

Equal colour channels. An image of c equal channels (Appendix C of the paper: RGB made of one grey
plane) gives the c blocks of the first layer's weight equal gradients. So the stack keeps the sum
of the blocks, feeds the plane once, and moves the sum c times as far: see
``StackedMLP.parameter_groups``.

Initial weights. They are those of ``nn.Linear``, drawn in its order from a CPU generator keyed by
the member: members with equal keys start from equal weights, in whatever stack and on whatever
device.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import nn

from cch.config import Network
from cch.rng import torch_generator

LANES = 16
"""Widths are multiples of it: 16 floats are one AVX-512 register and one cache line."""

LEAKY_SLOPE = 0.01
_ACTIVATION_NAMES = {"relu": "ReLU", "leaky_relu": "LeakyReLU"}


class LayerRow(NamedTuple):
    """One row of an architecture table (Tables 9 and 11 of the paper)."""

    operation: str
    units: int
    activation: str


def layer_table(network: Network, inputs: int, outputs: int) -> list[LayerRow]:
    """Rows that describe ``network``: the input, each hidden layer, the head.

    Args:
        network: widths of the hidden layers and their activation.
        inputs: features of one sample; for images, channels x height x width.
        outputs: classes, or 1 for regression.
    """
    name = _ACTIVATION_NAMES[network.activation]
    hidden = [LayerRow("Linear", units, name) for units in network.hidden]
    return [LayerRow("Input", inputs, "-"), *hidden, LayerRow("Linear", outputs, "-")]


def parameter_count(network: Network, inputs: int, outputs: int, channels: int = 1) -> int:
    """Weights and biases of one network on ``channels`` planes of ``inputs`` values each."""
    widths = [channels * inputs, *network.hidden, outputs]
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(widths))


def initial_layers(
    network: Network, inputs: int, outputs: int, channels: int, generator: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Draw (weight, bias) of every layer as ``nn.Linear`` does by default.

    Both are uniform on ±1/sqrt(fan_in), weight before bias, first layer first. Shapes are those
    of ``nn.Linear``: (fan_out, fan_in) and (fan_out,); the first fan_in is channels x inputs, one
    block of columns for each channel.
    """
    layers = []
    for fan_in, fan_out in pairwise([channels * inputs, *network.hidden, outputs]):
        weight, bias = torch.empty(fan_out, fan_in), torch.empty(fan_out)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
        bound = 1 / math.sqrt(fan_in)
        nn.init.uniform_(bias, -bound, bound, generator=generator)
        layers.append((weight, bias))
    return layers


class Output(NamedTuple):
    """What a stack says about a batch: logits (M, B, K) and the penultimate layer H (M, B, U)."""

    logits: torch.Tensor
    representation: torch.Tensor


class StackedMLP(nn.Module):
    """M networks of one architecture; weights are (M, in, out), biases (M, 1, out), padded.

    Args:
        network: widths of the hidden layers and their activation.
        inputs: D, values of one plane of a sample.
        outputs: K, classes, or 1 for regression.
        members: M.
        device: where the parameters live; they start as zeros.
    """

    def __init__(
        self,
        network: Network,
        inputs: int,
        outputs: int,
        members: int,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        self.network, self.inputs, self.outputs, self.members = network, inputs, outputs, members
        self.units = [*network.hidden, outputs]
        widths = [inputs, *(_padded(units) for units in self.units)]
        self.weights = nn.ParameterList(
            torch.zeros(members, fan_in, fan_out, device=device)
            for fan_in, fan_out in pairwise(widths)
        )
        self.biases = nn.ParameterList(
            torch.zeros(members, 1, fan_out, device=device) for fan_out in widths[1:]
        )

    @classmethod
    def initial(
        cls,
        network: Network,
        inputs: int,
        outputs: int,
        keys: Sequence[tuple[Any, ...]],
        *,
        channels: int = 1,
        device: str | torch.device = "cpu",
    ) -> StackedMLP:
        """A stack with one member for each of ``keys``, its weights drawn from that key alone."""
        stack = cls(network, inputs, outputs, len(keys))
        drawn: dict[Hashable, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for member, key in enumerate(keys):
            if key not in drawn:
                generator = torch_generator(*key, "weights")
                drawn[key] = initial_layers(network, inputs, outputs, channels, generator)
            stack._set_member(member, drawn[key])
        return stack.to(device)

    @torch.no_grad()
    def _set_member(self, member: int, layers: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        for number, (weight, bias) in enumerate(layers):
            if number == 0:
                weight = weight.view(len(weight), -1, self.inputs).sum(dim=1)
            self.weights[number][member, : weight.shape[1], : weight.shape[0]] = weight.T
            self.biases[number][member, 0, : len(bias)] = bias

    @classmethod
    def joined(cls, stacks: Sequence[StackedMLP]) -> StackedMLP:
        """One stack with the members of all ``stacks`` (same architecture and device) in order."""
        first, members = stacks[0], sum(stack.members for stack in stacks)
        joined = cls(first.network, first.inputs, first.outputs, members, device="meta")
        return joined._holding(zip(*(stack.parameters() for stack in stacks), strict=True))

    def select(self, members: Sequence[int]) -> StackedMLP:
        """A stack with copies of the given members, in the given order."""
        chosen = StackedMLP(self.network, self.inputs, self.outputs, len(members), device="meta")
        return chosen._holding((tensor[members],) for tensor in self.parameters())

    @torch.no_grad()
    def _holding(self, parts: Iterable[Sequence[torch.Tensor]]) -> StackedMLP:
        """Replace each parameter by its ``parts``, concatenated over members."""
        held = [nn.Parameter(torch.cat([p.detach() for p in part])) for part in parts]
        self.weights = nn.ParameterList(held[: len(self.weights)])
        self.biases = nn.ParameterList(held[len(self.weights) :])
        return self

    @torch.no_grad()
    def finite(self) -> torch.Tensor:
        """Whether all parameters of a member are finite, (M,) bool."""
        checks = [tensor.isfinite().flatten(1).all(dim=1) for tensor in self.parameters()]
        return torch.stack(checks).all(dim=0)

    def step_bytes(self, batch_size: int, copies: int) -> int:
        """Estimated memory of one member and one batch.

        Args:
            batch_size: rows of the batch.
            copies: tensors as large as the parameters: themselves, gradients, optimiser states.
        """
        parameters = sum(tensor[0].numel() for tensor in self.parameters())
        *hidden, head = (tensor.shape[-1] for tensor in self.biases)
        # Of a hidden layer activations and two gradients live at once; around the head the
        # objective keeps several tensors of its size.
        activations = self.inputs + 3 * sum(hidden) + 8 * head
        return 4 * (copies * parameters + batch_size * activations)

    def layers(self, member: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Copies of one member's (weight, bias), unpadded, in the shapes of ``nn.Linear``.

        The first weight is the sum over the equal channels, (units, inputs).
        """
        fan_ins = [self.inputs, *self.network.hidden]
        return [
            (
                weight.detach()[member, :fan_in, :units].T.clone(),
                bias.detach()[member, 0, :units].clone(),
            )
            for weight, bias, fan_in, units in zip(
                self.weights, self.biases, fan_ins, self.units, strict=True
            )
        ]

    def parameter_groups(self, learning_rate: float, channels: int = 1) -> list[dict[str, Any]]:
        """Parameter groups for a ``torch.optim`` optimiser: the first weight moves ``channels`` x.

        That weight is the sum of ``channels`` blocks with equal gradients, each of which moves as
        in the network that the paper describes. SGD, with or without momentum, and Adam are
        linear in the learning rate and see the same gradient in every block and in the sum, so
        this is that network's update and no approximation.
        """
        first, *others = self.weights
        return [
            {"params": [first], "lr": learning_rate * channels},
            {"params": [*others, *self.biases], "lr": learning_rate},
        ]

    def forward(self, batch: torch.Tensor) -> Output:
        """Logits and penultimate activations.

        Args:
            batch: (M, B, D), or (B, D) for the same rows in every member; those are not copied.
        """
        hidden = batch if batch.dim() == 3 else batch.expand(self.members, *batch.shape)
        *below, head = zip(self.weights, self.biases, strict=True)
        for weight, bias in below:
            hidden = self._activate(_affine(hidden, weight, bias))
        logits = _affine(hidden, *head)
        return Output(logits[..., : self.outputs], hidden[..., : self.network.hidden[-1]])

    def _activate(self, values: torch.Tensor) -> torch.Tensor:
        # In place: the product before needs only its inputs to be differentiated.
        if self.network.activation == "relu":
            return torch.relu_(values)
        return nn.functional.leaky_relu_(values, LEAKY_SLOPE)


def _padded(units: int) -> int:
    return -(-units // LANES) * LANES


def _affine(batch: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return ``batch @ weight + bias`` for every member: (M, B, in) -> (M, B, out)."""
    if len(weight) == 1 and weight.device.type == "cpu":
        # A lone product takes another path through MKL, with other rounding. Computed beside a
        # twin (nothing is copied), a member's numbers are the same alone as in any stack.
        twins = (tensor.expand(2, -1, -1) for tensor in (bias, batch, weight))
        return torch.baddbmm(*twins)[:1]
    return torch.baddbmm(bias, batch, weight)
