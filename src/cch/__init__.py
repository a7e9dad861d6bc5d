"""Criteria for cross-modal knowledge distillation: the library behind the pipeline.

Everything here works without Snakemake; the rules only call it.
"""

__version__ = "0.1.0"
