"""Random generators seeded by keys.

A draw belongs to a run, never to a job: the generator of a run is seeded by the run's identity, so
its numbers do not depend on the order of work, on the stack that the run was trained in, or on
other draws of the job.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def keyed_seed(*key: Any, bits: int = 128) -> int:
    """Return a seed that depends only on ``key`` (strings, numbers, booleans, None).

    The key is written as JSON and hashed with SHA-256, so ``("a", 1)`` and ``("a", "1")`` differ.
    """
    text = json.dumps(key, separators=(",", ":"), ensure_ascii=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[: bits // 8], "big")


def numpy_generator(*key: Any) -> np.random.Generator:
    """Return a NumPy generator (PCG64) seeded by ``key``."""
    return np.random.Generator(np.random.PCG64(keyed_seed(*key)))


def torch_generator(*key: Any, device: str = "cpu") -> torch.Generator:
    """Return a torch generator on ``device`` seeded by ``key``.

    Generators on different devices give different numbers; draws that must be the same
    everywhere (initial weights, batch order) are made on the CPU and moved.
    """
    import torch

    return torch.Generator(device=device).manual_seed(keyed_seed(*key, bits=56))
