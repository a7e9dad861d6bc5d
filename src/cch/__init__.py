"""Criteria for cross-modal knowledge distillation: the library behind the pipeline.

Everything here works without Snakemake; the rules only call it.
"""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder of ``config.yaml`` and the workflow."""

__version__ = "0.1.0"
