"""The paired autoencoders with cross decoders of latentmi, many at a time.

G. Gowri, X.-K. Lun, A. M. Klein, P. Yin, "Approximating mutual information of high-dimensional
variables using learned representations", NeurIPS 2024. For each pair (x, y): an encoder a side
to a few latent dimensions, a decoder back to the side, and a cross decoder with dropout to the
other side. One tensor holds the same layer of every member, as in ``cch.networks``, whose padding
and products are used here.

The random numbers of a member come from its own generator, in the order in which the library's
``AECross`` and its modules draw from the global one, so that equal seeds give equal networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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

    Args:
        shape: sizes.
        layers: for each network its (weight (M, in, out), bias (M, 1, out)), padded.
    """

    def __init__(self, shape: Shape, layers: dict[str, list[Layer]]) -> None:
        self.shape, self.layers = shape, layers
        self._alone = shape.alone_on_cpu()

    @classmethod
    def initial(
        cls, shape: Shape, generators: Sequence[torch.Generator], device: torch.device
    ) -> CrossAutoencoders:
        """Draw one member from each CPU generator: weights Xavier-uniform, biases zero."""
        members = len(generators)
        layers: dict[str, list[Layer]] = {
            net: [
                (
                    torch.zeros(members, padded(fan_in), padded(fan_out)),
                    torch.zeros(members, 1, padded(fan_out)),
                )
                for fan_in, fan_out in pairwise(shape.units(net))
            ]
            for net in NETS
        }
        for member, generator in enumerate(generators):
            _pass_over_default_weights(shape, generator)
            for net in DRAWN:
                for (weight, _), sizes in zip(layers[net], pairwise(shape.units(net)), strict=True):
                    fan_in, fan_out = sizes
                    drawn = torch.empty(fan_out, fan_in)
                    torch.nn.init.xavier_uniform_(drawn, generator=generator)
                    weight[member, :fan_in, :fan_out] = drawn.T
        return cls(shape, layers)._on(device)

    def _on(self, device: torch.device) -> CrossAutoencoders:
        moved = {
            net: [(w.to(device).requires_grad_(), b.to(device).requires_grad_()) for w, b in layers]
            for net, layers in self.layers.items()
        }
        return CrossAutoencoders(self.shape, moved)

    def parameters(self) -> list[torch.Tensor]:
        """All tensors, in a fixed order."""
        return [tensor for net in NETS for layer in self.layers[net] for tensor in layer]

    def holding(self, tensors: Sequence[torch.Tensor]) -> CrossAutoencoders:
        """The same networks with other tensors, given in the order of ``parameters``."""
        rest = iter(tensors)
        layers = {net: [(next(rest), next(rest)) for _ in self.layers[net]] for net in NETS}
        return CrossAutoencoders(self.shape, layers)

    def encode(self, side: str, rows: torch.Tensor) -> torch.Tensor:
        """Codes (M, B, latent padded) of rows (M, B, d padded) of side ``x`` or ``y``."""
        for weight, bias in self.layers[side]:
            rows = functional.leaky_relu_(affine(rows, weight, bias, self._alone), SLOPE)
        return rows

    def decode(
        self, net: str, codes: torch.Tensor, masks: Iterator[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Reconstruct (M, B, d padded); ``masks`` multiply the input of each layer (dropout)."""
        *below, last = self.layers[net]
        for weight, bias in below:
            codes = codes if masks is None else codes * next(masks)
            codes = functional.leaky_relu_(affine(codes, weight, bias, self._alone), SLOPE)
        codes = codes if masks is None else codes * next(masks)
        return affine(codes, *last, self._alone)

    def losses(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        masks: dict[str, list[torch.Tensor]] | None,
        alpha: float,
        lam: float,
    ) -> torch.Tensor:
        """Each member's loss on its batch, (M,): ``lam`` x cross + ``alpha`` x own reconstruction.

        Args:
            x: (M, B, dx padded).
            y: (M, B, dy padded).
            masks: of the cross decoders ``xy`` and ``yx``, see ``decode``; None without dropout.
            alpha: weight of the reconstruction of a side from its own code.
            lam: weight of its reconstruction from the other side's code.
        """
        codes = {"x": self.encode("x", x), "y": self.encode("y", y)}
        target, columns = {"x": x, "y": y}, {"x": self.shape.dx, "y": self.shape.dy}
        total = torch.zeros(len(x), device=x.device)
        for net, weight in (("xx", alpha), ("yy", alpha), ("xy", lam), ("yx", lam)):
            mine = iter(masks[net]) if masks is not None and net in masks else None
            difference = self.decode(net, codes[net[0]], mine) - target[net[1]]
            # The padded columns differ by zero; the mean is over the real ones.
            mean = difference.square().sum(dim=(1, 2)) / (x.shape[1] * columns[net[1]])
            total = total + weight * mean
        return total


def _pass_over_default_weights(shape: Shape, generator: torch.Generator) -> None:
    """Consume what nn.Linear draws for weights and biases that are then drawn again."""
    for net in NETS:
        for fan_in, fan_out in pairwise(shape.units(net)):
            torch.empty(fan_out, fan_in).uniform_(generator=generator)
            torch.empty(fan_out).uniform_(generator=generator)


class Dropout:
    """Masks of the cross decoders: 0 with probability ``rate``, else 1 / (1 - rate).

    Args:
        shape: sizes.
        rate: probability of a zero.
        generators: one for each member, on the device of the masks.
        layer_by_layer: draw as the library's modules do, one tensor a layer. Otherwise one
            tensor a batch, which is faster and gives other numbers.
    """

    ORDER = ("xy", "yx")

    def __init__(
        self,
        shape: Shape,
        rate: float,
        generators: Sequence[torch.Generator],
        layer_by_layer: bool,
    ) -> None:
        self.rate, self.generators, self.layer_by_layer = rate, generators, layer_by_layer
        self._units = {net: shape.units(net)[:-1] for net in self.ORDER}

    def draw(self, members: Sequence[int], rows: int) -> dict[str, list[torch.Tensor]] | None:
        """Masks (len(members), rows, units padded) for the layers of each cross decoder."""
        if self.rate == 0:
            return None
        device = self.generators[0].device
        masks = {
            net: [torch.zeros(len(members), rows, padded(u), device=device) for u in units]
            for net, units in self._units.items()
        }
        flat = [
            (mask, u)
            for net, us in self._units.items()
            for mask, u in zip(masks[net], us, strict=True)
        ]
        for place, member in enumerate(members):
            self._fill(place, self.generators[member], rows, flat)
        return masks

    def _fill(
        self,
        place: int,
        generator: torch.Generator,
        rows: int,
        flat: Sequence[tuple[torch.Tensor, int]],
    ) -> None:
        keep, device = 1 - self.rate, generator.device
        if self.layer_by_layer:
            for mask, units in flat:
                whole = mask.shape[2] == units
                drawn = mask[place] if whole else torch.empty(rows, units, device=device)
                drawn.bernoulli_(keep, generator=generator).div_(keep)
                if not whole:
                    mask[place, :, :units] = drawn
            return
        total = rows * sum(units for _, units in flat)
        if self.rate == 0.5 and device.type == "cpu":
            drawn = _coins(total, generator)
        else:
            drawn = torch.empty(total, device=device).bernoulli_(keep, generator=generator)
        parts = drawn.div_(keep).split([rows * units for _, units in flat])
        for (mask, units), part in zip(flat, parts, strict=True):
            mask[place, :, :units] = part.view(rows, units)


def _coins(count: int, generator: torch.Generator) -> torch.Tensor:
    """Fair zeros and ones (count,) float32: eight a drawn byte, ten times as fast as one by one."""
    drawn = torch.empty(-(-count // 8), dtype=torch.uint8).random_(0, 256, generator=generator)
    return torch.from_numpy(np.unpackbits(drawn.numpy(), count=count)).float()
