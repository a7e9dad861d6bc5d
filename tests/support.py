"""What several tests share: the checkout, its configurations, and how overlays are merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cch.config import overlay, read

__all__ = ["ROOT", "overlay", "raw_config"]

ROOT = Path(__file__).parents[1]


def raw_config(preset: str | None = None) -> dict[str, Any]:
    """``config.yaml``, or a preset over it; the caller's own to change."""
    return read([] if preset is None else [ROOT / "presets" / f"{preset}.yaml"], ROOT)
