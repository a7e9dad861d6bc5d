"""What several tests share: the checkout, its configurations, and how overlays are merged."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Deep update, as Snakemake merges --configfile over configfile."""
    merged = copy.deepcopy(base)
    for key, value in top.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = overlay(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def raw_config(preset: str | None = None) -> dict[str, Any]:
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    if preset is None:
        return base
    return overlay(base, yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text()))
