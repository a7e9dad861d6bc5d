"""Criteria for cross-modal knowledge distillation: the library behind the pipeline.

Everything here works without Snakemake; the rules only call it.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = next(
    (path for path in (PACKAGE.parents[1], PACKAGE / "share") if (path / "Snakefile").is_file()),
    PACKAGE.parents[1],
)
"""The folder of ``config.yaml``, ``workflow/`` and ``paper/``: the checkout, or its copy in an
installed package."""

LIBRARY = PACKAGE.parent
"""The folder that holds the package, for the ``PYTHONPATH`` of other processes."""

__version__ = "0.1.0"
