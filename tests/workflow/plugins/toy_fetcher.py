"""A kind of source: a table of drawn numbers, whose size is in the file's options."""

import numpy as np

from cch.data.sources.types import Delivery, Request, register


@register("drawn", needs=("options",), mirrored=False)
def drawn(request: Request) -> Delivery:
    rows = request.entry.options["rows"]
    label = np.arange(rows) % 2
    noise = np.random.default_rng(0).normal(size=(rows, 2))
    table = np.column_stack([label + 0.3 * noise[:, 0], label + noise[:, 1], label])
    with open(request.part, "w") as file:
        np.savetxt(file, table, delimiter=",", fmt="%.6f")
    return Delivery(f"drawn:{rows}")
