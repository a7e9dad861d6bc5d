"""Units of information. Everything inside is nats; bits exist where a rendering asks for them."""

from __future__ import annotations

import math
from typing import NewType

Nats = NewType("Nats", float)
"""Information in natural units: the type of every estimate, entropy and closed form here."""

Bits = NewType("Bits", float)
"""Information in binary units: what latentmi's own Kraskov estimate and some tables print."""


def to_bits(nats: Nats | float) -> Bits:
    """Return ``nats`` in bits: divided by ln 2."""
    return Bits(nats / math.log(2))


def from_bits(bits: Bits | float) -> Nats:
    """Return ``bits`` in nats: multiplied by ln 2."""
    return Nats(bits * math.log(2))
