"""Which device a job computes on."""

from __future__ import annotations

import torch


def pick_device(wanted: str) -> str:
    """Return the torch device for a ``compute.device`` value: auto, cpu or cuda."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def device_name(device: str) -> str:
    """Return what a record says of a device: the GPU's model, or cpu."""
    return torch.cuda.get_device_name() if device == "cuda" else device
