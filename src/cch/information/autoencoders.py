"""The paired autoencoders with cross decoders of latentmi, many at a time.

G. Gowri, X.-K. Lun, A. M. Klein, P. Yin, "Approximating mutual information of high-dimensional
variables using learned representations", NeurIPS 2024. For each pair (x, y): an encoder a side
to a few latent dimensions, a decoder back to the side, and a cross decoder with dropout to the
other side. One tensor holds the same layer of every member, as in ``cch.training.networks``, whose
padding and products are used here.

The random numbers of a member come from its own generator, in the order in which the library's
``AECross`` and its modules draw from the global one, so that equal seeds give equal networks.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

from cch.information.stacks import affine, padded

SLOPE = 0.2
"""Of every LeakyReLU; the latent layer has one too."""

BIG_LAYER = 2**17
"""On a CPU, networks with a layer of more weights than this train alone: see ``alone_on_cpu``."""

Layer = tuple[torch.Tensor, torch.Tensor]
NETS = ("x", "y", "xx", "yy", "yx", "xy")
"""Encoders x, y; decoders xx, yy; cross decoders yx (from y to x), xy; the library's order."""

CROSS = ("xy", "yx")

PAIRS = (("x", "y"), ("xx", "yy"), CROSS)
"""Networks that are computed side by side; of each the first takes x or its code."""

DRAWN = ("x", "y", "xx", "yy", "xy", "yx")
"""The order in which the library draws their weights."""


@dataclass(frozen=True)
class Shape:
    """Sizes of one member's six networks.

    Attributes:
        dx: columns of x.
        dy: columns of y.
        latent: dimensions of each code.
        width: units of an encoder's first hidden layer; each next one has half of them. A side
            of more than 2,048 columns takes the power of two below its columns where that is
            more, as the library does.
        depth: hidden layers of an encoder or decoder.
    """

    dx: int
    dy: int
    latent: int
    width: int
    depth: int

    def units(self, net: str) -> list[int]:
        """Units of a network from its input to its output."""
        side = net[-1]
        if len(net) == 1:
            return [self._columns(side), *self._hidden(side), self.latent]
        return [self.latent, *self._hidden(side)[::-1], self._columns(side)]

    def parameters(self) -> int:
        """Weights and biases of all six networks, as they are held (padded)."""
        layers = [pair for net in NETS for pair in pairwise(map(padded, self.units(net)))]
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in layers)

    def activations(self) -> int:
        """Values that one row leaves behind in all six networks."""
        return sum(padded(units) for net in NETS for units in self.units(net))

    def alone_on_cpu(self) -> bool:
        """Whether a member fills the CPU's caches and cores by itself.

        Such members gain nothing from a stack. They are trained one after another, by plain
        products, whose rounding then never depends on a stack either.
        """
        return any(
            fan_in * fan_out > BIG_LAYER
            for net in NETS
            for fan_in, fan_out in pairwise(self.units(net))
        )

    def _columns(self, side: str) -> int:
        return self.dx if side == "x" else self.dy

    def _hidden(self, side: str) -> list[int]:
        columns, width = self._columns(side), self.width
        if columns > 2048:
            width = max(width, 2 ** int(math.log2(columns)))
        return [max(1, width // 2**level) for level in range(self.depth)]


class CrossAutoencoders:
    """M members of one shape.

    Networks of a pair (``PAIRS``) do the same work side by side, so layers of equal size are held
    and computed as one. That is half as many products, and a single member needs no twin (see
    ``stacks.affine``).

    Args:
        shape: sizes.
        layers: for each pair its layers; a layer is one (weight (M, 2, in, out), bias (M, 2, 1,
            out)) for both networks, or one of each with 1 for 2. Sizes are padded.
        alone: whether the one member is computed by plain products, see ``Shape.alone_on_cpu``.
    """

    def __init__(self, shape: Shape, layers: Sequence[list[list[Layer]]], alone: bool) -> None:
        self.shape, self._pairs, self.alone = shape, layers, alone

    @classmethod
    def initial(
        cls, shape: Shape, generators: Sequence[torch.Generator], device: torch.device
    ) -> CrossAutoencoders:
        """Draw one member from each CPU generator: weights Xavier-uniform, biases zero."""
        members = len(generators)
        alone = members == 1 and device.type == "cpu" and shape.alone_on_cpu()
        nets = cls(shape, _zeros(shape, members, alone), alone)
        layers = nets.layers
        for member, generator in enumerate(generators):
            _pass_over_default_weights(shape, generator)
            for net in DRAWN:
                for (weight, _), sizes in zip(layers[net], pairwise(shape.units(net)), strict=True):
                    fan_in, fan_out = sizes
                    drawn = torch.empty(fan_out, fan_in)
                    torch.nn.init.xavier_uniform_(drawn, generator=generator)
                    weight[member, :fan_in, :fan_out] = drawn.T
        return nets.holding([tensor.to(device).requires_grad_() for tensor in nets.parameters()])

    @property
    def layers(self) -> dict[str, list[Layer]]:
        """Views of each network's layers: (weight (M, in, out), bias (M, 1, out)), padded."""
        return {
            net: [_of_net(layer, place) for layer in layers]
            for nets, layers in zip(PAIRS, self._pairs, strict=True)
            for place, net in enumerate(nets)
        }

    def parameters(self) -> list[torch.Tensor]:
        """All tensors, in a fixed order, the encoders' first."""
        return self.encoders() + [t for pair in self._pairs[1:] for t in _tensors(pair)]

    def encoders(self) -> list[torch.Tensor]:
        """The tensors of the encoders."""
        return _tensors(self._pairs[0])

    def holding(self, tensors: Sequence[torch.Tensor]) -> CrossAutoencoders:
        """The same networks with other tensors, given in the order of ``parameters``."""
        rest = iter(tensors)
        pairs = [
            [[(next(rest), next(rest)) for _ in layer] for layer in layers]
            for layers in self._pairs
        ]
        return CrossAutoencoders(self.shape, pairs, self.alone)

    def encode(self, side: str, rows: torch.Tensor) -> torch.Tensor:
        """Codes (M, B, latent padded) of rows (M, B, d padded) of side ``x`` or ``y``; no graph."""
        for weight, bias in self.layers[side]:
            rows = functional.leaky_relu_(affine(rows, weight, bias, self.alone), SLOPE)
        return rows

    def decode(self, net: str, codes: torch.Tensor) -> torch.Tensor:
        """Reconstruct (M, B, d padded) by one decoder, without dropout and without a graph."""
        *below, last = self.layers[net]
        for weight, bias in below:
            codes = functional.leaky_relu_(affine(codes, weight, bias, self.alone), SLOPE)
        return affine(codes, *last, self.alone)

    def losses(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        masks: Masks | None,
        alpha: float,
        lam: float,
    ) -> torch.Tensor:
        """Each member's loss on its batch, (M,): ``lam`` x cross + ``alpha`` x own reconstruction.

        Args:
            x: (M, B, dx padded).
            y: (M, B, dy padded).
            masks: of the cross decoders, from ``Dropout``; None without dropout.
            alpha: weight of the reconstruction of a side from its own code.
            lam: weight of its reconstruction from the other side's code.
        """
        members, rows = x.shape[:2]
        if self.alone:
            x, y = x[0], y[0]
        codes = self._encoded([x, y])
        own = self._squares(self._decoded(1, codes, None), [x, y]).view(members, 2)
        cross = self._squares(self._decoded(2, codes, masks), [y, x]).view(members, 2)
        # The padded columns differ by zero; the mean is over the real ones.
        sizes = own.new_tensor([rows * self.shape.dx, rows * self.shape.dy])
        return (lam * (cross / sizes.flip(0)) + alpha * (own / sizes)).sum(dim=1)

    def joined_cross_layers(self) -> list[bool]:
        """For each layer of the cross decoders, whether it holds both."""
        return [len(layer) == 1 for layer in self._pairs[2]]

    def _encoded(self, values: list[torch.Tensor]) -> list[torch.Tensor]:
        """Codes of both sides: rows of x and y in, (M, B, .) each; see ``_matching``."""
        for layer in self._pairs[0]:
            values = self._products(layer, values)
            values = [functional.leaky_relu_(value, SLOPE) for value in values]
        return values

    def _decoded(
        self, pair: int, values: list[torch.Tensor], masks: Masks | None
    ) -> list[torch.Tensor]:
        """Reconstruct from both codes; ``masks`` multiply the inputs of each layer (dropout)."""
        for number, layer in enumerate(self._pairs[pair]):
            if number:
                values = [functional.leaky_relu_(value, SLOPE) for value in values]
            values = self._products(layer, values, masks[number] if masks else None)
        return values

    def _products(
        self,
        layer: list[Layer],
        values: list[torch.Tensor],
        masks: Sequence[torch.Tensor] | None = None,
    ) -> list[torch.Tensor]:
        values = _matching(values, len(layer))
        if masks is not None:
            values = [
                value * mask.view_as(value) for value, mask in zip(values, masks, strict=True)
            ]
        if self.alone:
            return [
                torch.addmm(bias.flatten(0, 2), value, weight.flatten(0, 2))
                for value, (weight, bias) in zip(values, layer, strict=True)
            ]
        return [
            affine(value, weight.flatten(0, 1), bias.flatten(0, 1))
            for value, (weight, bias) in zip(values, layer, strict=True)
        ]

    def _squares(self, hats: list[torch.Tensor], targets: list[torch.Tensor]) -> torch.Tensor:
        """Sums of squared differences, member by member the pair's two one after the other."""
        pairs = zip(hats, _matching(targets, len(hats)), strict=True)
        sums = [(hat - target).square().sum(dim=(-2, -1)).view(-1, 1) for hat, target in pairs]
        return torch.cat(sums, dim=1).flatten() if len(sums) > 1 else sums[0]


def _matching(values: list[torch.Tensor], count: int) -> list[torch.Tensor]:
    """Two tensors (M, B, d) from one (2 M, B, d), whose members lie side by side, or back."""
    if len(values) == count:
        return values
    if count == 1:
        return [torch.stack(values, dim=1).flatten(0, 1)]
    return list(values[0].unflatten(0, (-1, 2)).unbind(1))


def _zeros(shape: Shape, members: int, alone: bool) -> list[list[list[Layer]]]:
    """Layers of every pair, joined where both networks have the same sizes."""
    found = []
    for nets in PAIRS:
        sizes = zip(*(pairwise(map(padded, shape.units(net))) for net in nets), strict=True)
        found.append([_zero_layer(*both, members, alone) for both in sizes])
    return found


def _zero_layer(
    first: tuple[int, int], second: tuple[int, int], members: int, alone: bool
) -> list[Layer]:
    joined = first == second and not alone
    return [
        (torch.zeros(members, count, fan_in, fan_out), torch.zeros(members, count, 1, fan_out))
        for count, (fan_in, fan_out) in ([(2, first)] if joined else [(1, first), (1, second)])
    ]


def _of_net(layer: list[Layer], place: int) -> Layer:
    """Views of the first or second network's part of a layer."""
    (weight, bias), inside = (layer[0], place) if len(layer) == 1 else (layer[place], 0)
    return weight.detach()[:, inside], bias.detach()[:, inside]


def _tensors(layers: list[list[Layer]]) -> list[torch.Tensor]:
    return [tensor for layer in layers for one in layer for tensor in one]


def _pass_over_default_weights(shape: Shape, generator: torch.Generator) -> None:
    """Consume what nn.Linear draws for weights and biases that are then drawn again."""
    for net in NETS:
        for fan_in, fan_out in pairwise(shape.units(net)):
            torch.empty(fan_out, fan_in).uniform_(generator=generator)
            torch.empty(fan_out).uniform_(generator=generator)


Masks = list[list[torch.Tensor]]
"""Factors for the inputs of each layer of the cross decoders, in the layer's own form."""


class Dropout:
    """Masks of the cross decoders: 0 with probability ``rate``, else 1 / (1 - rate).

    Args:
        nets: the networks that they are for.
        rate: probability of a zero.
        generators: one for each member, on the device of the masks.
        layer_by_layer: draw as the library's modules do, one tensor a layer. Otherwise one
            tensor a batch, which is faster and gives other numbers.
    """

    def __init__(
        self,
        nets: CrossAutoencoders,
        rate: float,
        generators: Sequence[torch.Generator],
        layer_by_layer: bool,
    ) -> None:
        self.rate, self.generators, self.layer_by_layer = rate, generators, layer_by_layer
        self._units = [nets.shape.units(net)[:-1] for net in CROSS]
        self._joined = nets.joined_cross_layers()

    def draw(self, members: Sequence[int], rows: int) -> Masks | None:
        """Masks (len(members), rows, units padded) for the inputs of each layer.

        They are those of ``xy`` and of ``yx``, or where the layer holds both networks one tensor
        (2 len(members), rows, units padded), a member's two side by side.
        """
        if self.rate == 0:
            return None
        masks = [
            self._empty(len(members), rows, units, joined)
            for units, joined in zip(zip(*self._units, strict=True), self._joined, strict=True)
        ]
        for place, member in enumerate(members):
            self._fill(
                [
                    mask[0][2 * place + net] if len(mask) == 1 else mask[net][place]
                    for net in range(2)
                    for mask in masks
                ],
                self.generators[member],
                rows,
            )
        return masks

    def _empty(
        self, members: int, rows: int, units: tuple[int, ...], joined: bool
    ) -> list[torch.Tensor]:
        device = self.generators[0].device
        shapes = [(2 * members, units[0])] if joined else [(members, one) for one in units]
        # Units that are padding keep the zeros; without any, all is written.
        return [
            (torch.empty if padded(one) == one else torch.zeros)(
                count, rows, padded(one), device=device
            )
            for count, one in shapes
        ]

    def _fill(self, masks: Sequence[torch.Tensor], generator: torch.Generator, rows: int) -> None:
        """Draw one member's masks (rows, units padded): those of ``xy``, then those of ``yx``."""
        keep, sizes = 1 - self.rate, [units for net in self._units for units in net]
        if self.layer_by_layer:
            drawn = (_kept(rows * units, keep, generator) for units in sizes)
        else:
            drawn = self._at_once([rows * units for units in sizes], generator)
        for mask, units, part in zip(masks, sizes, drawn, strict=True):
            mask[:, :units].copy_(part.view(rows, units)).div_(keep)

    def _at_once(self, counts: Sequence[int], generator: torch.Generator) -> Sequence[torch.Tensor]:
        if self.rate == 0.5 and generator.device.type == "cpu":
            return _coins(sum(counts), generator).split(counts)
        drawn = torch.empty(sum(counts), device=generator.device)
        return drawn.bernoulli_(1 - self.rate, generator=generator).split(counts)


def _kept(count: int, keep: float, generator: torch.Generator) -> torch.Tensor:
    """Draw what ``bernoulli_`` draws, (count,) of 0 and 1, faster where that can be."""
    if generator.device.type == "cpu" and _bernoulli_compares():
        drawn = torch.empty(count, dtype=torch.float64).uniform_(generator=generator)
        return drawn.lt_(keep)
    return torch.empty(count, device=generator.device).bernoulli_(keep, generator=generator)


@functools.cache
def _bernoulli_compares() -> bool:
    """Whether ``bernoulli_`` compares uniform numbers; on Intel's CPUs it has MKL draw instead."""
    uniform, bernoulli = (torch.Generator().manual_seed(1) for _ in range(2))
    drawn = torch.empty(4096, dtype=torch.float64).uniform_(generator=uniform) < 0.5
    same = drawn.equal(torch.empty(4096).bernoulli_(0.5, generator=bernoulli).bool())
    return same and uniform.get_state().equal(bernoulli.get_state())


def _coins(count: int, generator: torch.Generator) -> torch.Tensor:
    """Fair zeros and ones (count,) uint8: eight a drawn byte, ten times as fast as one by one."""
    drawn = torch.empty(-(-count // 8), dtype=torch.uint8).random_(0, 256, generator=generator)
    return torch.from_numpy(np.unpackbits(drawn.numpy(), count=count))
