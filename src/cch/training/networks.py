"""Fully connected networks, many at a time: one tensor holds the same layer of every member.

A stack of M members does with one batched matrix product what M networks do with M products.
Some things differ from a list of ``nn.Sequential`` and none of them changes what is computed:

Padding. Layer widths are rounded up to a multiple of ``LANES`` with units whose weights are zero,
and gradients, hence updates, of such units are exactly zero too. Narrow products (a head of 1, 5
or 10 units) are faster that way on a CPU, and with MKL their rounding no longer depends on how
many members are in the stack; unpadded, it does. Batch normalisation gives such a unit the scale
zero, so it stays zero there too.

Equal colour channels. An image of c equal channels (Appendix C of the paper: RGB made of one grey
plane) gives the c blocks of the first layer's weight equal gradients. So the stack keeps the sum
of the blocks, feeds the plane once, and moves the sum c times as far: see
``StackedMLP.parameter_groups``.

Initial weights. They are those of ``nn.Linear``, drawn in its order from a CPU generator keyed by
the member: members with equal keys start from equal weights, in whatever stack and on whatever
device.

Dropout. Masks are drawn from CPU generators keyed by the member too (``DropoutMasks``): members
with equal keys drop the same units, in whatever stack and on whatever device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from cch.config import Network
from cch.data.rng import torch_generator

LANES = 16
"""Widths are multiples of it: 16 floats are one AVX-512 register and one cache line."""

LEAKY_SLOPE = 0.01
_ACTIVATION_NAMES = {"relu": "ReLU", "leaky_relu": "LeakyReLU"}

NORM_MOMENTUM = 0.1
"""Share of the newest batch in the running statistics, as in ``nn.BatchNorm1d``."""

NORM_EPSILON = 1e-5
"""Added to variances, as in ``nn.BatchNorm1d``."""


class LayerRow(NamedTuple):
    """One row of an architecture table (Tables 9, 11 and 14 of the paper)."""

    operation: str
    units: int
    activation: str


def layer_table(network: Network, inputs: int, outputs: int) -> list[LayerRow]:
    """Rows that describe ``network``: the input, each hidden layer, the head.

    Args:
        network: widths of the hidden layers, their activation, normalisation and dropout.
        inputs: features of one sample; for images, channels x height x width.
        outputs: classes, or 1 for regression.
    """
    name = _ACTIVATION_NAMES[network.activation]
    extras = ["BatchNorm1d"] if network.batch_norm else []
    extras += [f"Dropout (p = {network.dropout:g})"] if network.dropout else []
    rows = [LayerRow("Input", inputs, "-")]
    for units in network.hidden:
        rows.append(LayerRow("Linear", units, name))
        if extras:
            rows.append(LayerRow(" + ".join(extras), units, "-"))
    return [*rows, LayerRow("Linear", outputs, "-")]


def parameter_count(network: Network, inputs: int, outputs: int, channels: int = 1) -> int:
    """Trained numbers of one network on ``channels`` planes of ``inputs`` values each.

    Weights, biases, and scales and shifts of batch normalisation.
    """
    widths = [channels * inputs, *network.hidden, outputs]
    linear = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(widths))
    return linear + (2 * sum(network.hidden) if network.batch_norm else 0)


def initial_layers(
    network: Network, inputs: int, outputs: int, channels: int, generator: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Draw (weight, bias) of every linear layer as ``nn.Linear`` does by default.

    Shapes are those of ``nn.Linear``: (fan_out, fan_in) and (fan_out,); the first fan_in is
    channels x inputs, one block of columns for each channel. First layer first.
    """
    widths = pairwise([channels * inputs, *network.hidden, outputs])
    return [initial_linear(fan_in, fan_out, generator) for fan_in, fan_out in widths]


def initial_linear(
    fan_in: int, fan_out: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the weight (fan_out, fan_in), then the bias (fan_out,), uniform on ±1/sqrt(fan_in)."""
    weight, bias = torch.empty(fan_out, fan_in), torch.empty(fan_out)
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    bound = 1 / math.sqrt(fan_in)
    nn.init.uniform_(bias, -bound, bound, generator=generator)
    return weight, bias


def draw_mask(
    generator: torch.Generator, rows: int, units: int, probability: float
) -> torch.Tensor:
    """Which units of which rows one member keeps in one batch, (rows, units) uint8 of 0 and 1.

    Args:
        generator: on the CPU, keyed by the member.
        rows: B.
        units: of all layers with dropout together, one after the other.
        probability: of dropping a unit.
    """
    mask = torch.empty(rows, units, dtype=torch.uint8)
    return mask.bernoulli_(1 - probability, generator=generator)


def spread(values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """From (groups, ...) to (M, ...), member i's being ``values[place[i]]``.

    A single group is not copied, nor are groups of one, which are in the order of the members.
    """
    if len(values) == 1:
        return values.expand(len(place), *values.shape[1:])
    return values if len(values) == len(place) else values.index_select(0, place)


class DropoutMasks:
    """Dropout masks of a stack, batch by batch.

    One generator for each distinct key draws on the CPU, so what a member drops depends on its
    key and on how many batches came before, and on nothing else.

    Args:
        stack: the stack that the masks are for.
        keys: the members' keys.
        device: where the masks are wanted.
    """

    def __init__(
        self, stack: Stacked, keys: Sequence[tuple[Any, ...]], device: str | torch.device
    ) -> None:
        self.probability, self.units, self.device = stack.dropout, stack.dropped_units, device
        distinct = list(dict.fromkeys(keys))
        self.generators = [torch_generator(*key, "dropout") for key in distinct]
        self.place = torch.tensor([distinct.index(key) for key in keys], device=device)

    def draw(self, rows: int) -> list[torch.Tensor] | None:
        """Factors of the next batch for each layer: 0, or 1 / (1 - p) for a unit that is kept.

        Args:
            rows: B.

        Returns:
            A tensor (M, B, U) for each layer, U padded; None without dropout.
        """
        if self.probability == 0:
            return None
        drawn = [draw_mask(g, rows, sum(self.units), self.probability) for g in self.generators]
        factors = torch.stack(drawn).to(self.device).to(torch.float32)
        factors.mul_(1 / (1 - self.probability))
        return [spread(_pad(part), self.place) for part in factors.split(self.units, dim=2)]


class Output(NamedTuple):
    """What a stack says about a batch: logits (M, B, K) and the input H (M, B, U) of the head."""

    logits: torch.Tensor
    representation: torch.Tensor


class Stacked(nn.Module, ABC):
    """Base of stacks: every parameter and buffer has the members as its first dimension.

    Attributes:
        members: M.
        inputs: D, values of one sample.
        outputs: K, classes, or 1 for regression.
        representation_units: U, the width of ``Output.representation``.
        batch_norm: whether statistics of a batch are taken, which needs two rows.
        dropout: probability of dropping a unit in training.
        dropped_units: units of each layer with dropout, in the order of the masks.
    """

    members: int
    inputs: int
    outputs: int
    representation_units: int
    batch_norm: bool
    dropout: float
    dropped_units: list[int]

    @abstractmethod
    def empty(self, members: int) -> Self:
        """A stack of the same architecture on the device "meta", without values."""

    @abstractmethod
    def step_bytes(self, batch_size: int, copies: int) -> int:
        """Estimated memory of one member and one batch.

        Args:
            batch_size: rows of the batch.
            copies: tensors as large as the parameters: themselves, gradients, optimiser states.
        """

    @abstractmethod
    def parameter_groups(self, learning_rate: float, channels: int = 1) -> list[dict[str, Any]]:
        """Parameter groups for a ``torch.optim`` optimiser."""

    @classmethod
    def joined(cls, stacks: Sequence[Self]) -> Self:
        """One stack with the members of all ``stacks`` (same architecture and device) in order."""
        states = [stack.state_dict() for stack in stacks]
        joined = stacks[0].empty(sum(stack.members for stack in stacks))
        return joined._holding(
            {name: torch.cat([state[name] for state in states]) for name in states[0]}
        )

    def select(self, members: Sequence[int]) -> Self:
        """A stack with copies of the given members, in the given order."""
        state = {name: tensor[members] for name, tensor in self.state_dict().items()}
        return self.empty(len(members))._holding(state)

    def _holding(self, state: Mapping[str, torch.Tensor]) -> Self:
        self.load_state_dict(state, assign=True)
        return self

    @torch.no_grad()
    def finite(self) -> torch.Tensor:
        """Whether all parameters and running statistics of a member are finite, (M,) bool."""
        checks = [tensor.isfinite().flatten(1).all(dim=1) for tensor in self.state_dict().values()]
        return torch.stack(checks).all(dim=0)


class StackedLinear(nn.Module):
    """``nn.Linear`` for M members: weight (M, in, out) and bias (M, 1, out), the outputs padded.

    Args:
        fan_in: inputs.
        fan_out: outputs.
        members: M.
        device: where the parameters live; they start as zeros.
    """

    def __init__(
        self, fan_in: int, fan_out: int, members: int, device: str | torch.device = "cpu"
    ) -> None:
        super().__init__()
        self.fan_out, width = fan_out, _padded(fan_out)
        self.weight = nn.Parameter(torch.zeros(members, fan_in, width, device=device))
        self.bias = nn.Parameter(torch.zeros(members, 1, width, device=device))

    @classmethod
    @torch.no_grad()
    def initial(cls, fan_in: int, fan_out: int, keys: Sequence[tuple[Any, ...]]) -> StackedLinear:
        """One member for each of ``keys``, its weights drawn from that key alone."""
        layer = cls(fan_in, fan_out, len(keys))
        for member, key in enumerate(keys):
            weight, bias = initial_linear(fan_in, fan_out, torch_generator(*key, "weights"))
            layer.weight[member, :, :fan_out] = weight.T
            layer.bias[member, 0, :fan_out] = bias
        return layer

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """From (M, B, in) to (M, B, out), unpadded."""
        return affine(batch, self.weight, self.bias)[..., : self.fan_out]


class StackedBatchNorm(nn.Module):
    """``nn.BatchNorm1d`` for M members: statistics, running statistics, scale and shift of each.

    Args:
        members: M.
        units: U; tensors are (M, 1, U), padded with units that give zero whatever they are fed.
        device: where the parameters live.
    """

    def __init__(self, members: int, units: int, device: str | torch.device = "cpu") -> None:
        super().__init__()
        used = (torch.arange(_padded(units), device=device) < units).to(torch.float32)
        ones = used.expand(members, 1, -1)
        self.scale = nn.Parameter(ones.clone())
        self.shift = nn.Parameter(torch.zeros_like(ones))
        self.register_buffer("mean", torch.zeros_like(ones))
        self.register_buffer("variance", ones.clone())

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise (M, B, U) by the batch in training, else by the running statistics."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean = values.mean(dim=1, keepdim=True)
            # The variance does not change with the mean that it is taken about, to first order.
            variance = (values - mean.detach()).square().mean(dim=1, keepdim=True)
            self._track(mean, variance, values.shape[1])
        factor = self.scale * torch.rsqrt(variance + NORM_EPSILON)
        return torch.addcmul(self.shift - mean * factor, values, factor)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, variance: torch.Tensor, rows: int) -> None:
        self.mean.lerp_(mean, NORM_MOMENTUM)
        self.variance.lerp_(variance * (rows / (rows - 1)), NORM_MOMENTUM)


class StackedMLP(Stacked):
    """M networks of one architecture; weights are (M, in, out), biases (M, 1, out), padded.

    A hidden layer is linear, then its activation, then batch normalisation and dropout where the
    network has them (the order of Table 14).

    Args:
        network: widths of the hidden layers, their activation, normalisation and dropout.
        inputs: D, values of one plane of a sample.
        outputs: K, classes, or 1 for regression.
        members: M.
        device: where the parameters live; weights and biases start as zeros.
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
        self.batch_norm, self.dropout = network.batch_norm, network.dropout
        self.dropped_units, self.representation_units = network.hidden, network.hidden[-1]
        self.units = [*network.hidden, outputs]
        widths = [inputs, *(_padded(units) for units in self.units)]
        self.weights = nn.ParameterList(
            torch.zeros(members, fan_in, fan_out, device=device)
            for fan_in, fan_out in pairwise(widths)
        )
        self.biases = nn.ParameterList(
            torch.zeros(members, 1, fan_out, device=device) for fan_out in widths[1:]
        )
        normed = network.hidden if network.batch_norm else []
        self.norms = nn.ModuleList(StackedBatchNorm(members, units, device) for units in normed)

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

    def empty(self, members: int) -> StackedMLP:
        """A stack of the same architecture on the device "meta", without values."""
        return StackedMLP(self.network, self.inputs, self.outputs, members, device="meta")

    def step_bytes(self, batch_size: int, copies: int) -> int:
        """Estimated memory of one member and one batch; see ``Stacked.step_bytes``."""
        parameters = sum(tensor[0].numel() for tensor in self.parameters())
        *hidden, head = (tensor.shape[-1] for tensor in self.biases)
        # Of a hidden layer activations and two gradients live at once; batch normalisation adds
        # centred and normalised values, dropout its mask and what is left. Around the head the
        # objective keeps several tensors of its size.
        each = 3 + 3 * self.batch_norm + 2 * (self.dropout > 0)
        activations = self.inputs + each * sum(hidden) + 8 * head
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

    def norm_layers(self, member: int) -> list[dict[str, torch.Tensor]]:
        """Copies of one member's batch normalisation, a dictionary for each hidden layer.

        Names and shapes are those of ``nn.BatchNorm1d``: ``weight``, ``bias``, ``running_mean``
        and ``running_var``, each (units,).
        """
        names = {"weight": "scale", "bias": "shift", "running_mean": "mean"}
        names["running_var"] = "variance"
        return [
            {
                theirs: getattr(norm, ours).detach()[member, 0, :units].clone()
                for theirs, ours in names.items()
            }
            for norm, units in zip(self.norms, self.network.hidden, strict=False)
        ]

    def parameter_groups(self, learning_rate: float, channels: int = 1) -> list[dict[str, Any]]:
        """Parameter groups for a ``torch.optim`` optimiser: the first weight moves ``channels`` x.

        That weight is the sum of ``channels`` blocks with equal gradients, each of which moves as
        in the network that the paper describes. SGD, with or without momentum, and Adam are
        linear in the learning rate and see the same gradient in every block and in the sum, so
        this is that network's update and no approximation. It does not hold with weight decay.
        """
        first, *others = self.weights
        return [
            {"params": [first], "lr": learning_rate * channels},
            {"params": [*others, *self.biases, *self.norms.parameters()], "lr": learning_rate},
        ]

    def forward(self, batch: torch.Tensor, masks: Sequence[torch.Tensor] | None = None) -> Output:
        """Logits and the input of the head, which in evaluation is the representation H.

        Args:
            batch: (M, B, D), or (B, D) for the same rows in every member; those are not copied.
            masks: factors (M, B, U) of each hidden layer, from ``DropoutMasks``; None drops
                nothing.
        """
        hidden = batch if batch.dim() == 3 else batch.expand(self.members, *batch.shape)
        *below, head = zip(self.weights, self.biases, strict=True)
        for number, (weight, bias) in enumerate(below):
            hidden = self._activate(affine(hidden, weight, bias))
            if self.norms:
                hidden = self.norms[number](hidden)
            if masks is not None:
                hidden = hidden * masks[number]
        logits = affine(hidden, *head)
        return Output(logits[..., : self.outputs], hidden[..., : self.network.hidden[-1]])

    def _activate(self, values: torch.Tensor) -> torch.Tensor:
        # In place: the product before needs only its inputs to be differentiated.
        if self.network.activation == "relu":
            return torch.relu_(values)
        return nn.functional.leaky_relu_(values, LEAKY_SLOPE)


def _padded(units: int) -> int:
    return -(-units // LANES) * LANES


def _pad(values: torch.Tensor) -> torch.Tensor:
    """Zeros behind the last dimension up to a multiple of ``LANES``; a copy only where needed."""
    missing = _padded(values.shape[-1]) - values.shape[-1]
    return nn.functional.pad(values, (0, missing)) if missing else values


def affine(batch: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return ``batch @ weight + bias`` for every member: (M, B, in) -> (M, B, out)."""
    if len(weight) == 1 and weight.device.type == "cpu":
        # A lone product takes another path through MKL, with other rounding. Computed beside a
        # twin (nothing is copied), a member's numbers are the same alone as in any stack.
        twins = (tensor.expand(2, -1, -1) for tensor in (bias, batch, weight))
        return torch.baddbmm(*twins)[:1]
    return torch.baddbmm(bias, batch, weight)
