"""What was asked for on Snakemake's command line, for a clearer word about unknown targets."""

from __future__ import annotations

import sys
from pathlib import Path


def asked_targets() -> list[str]:
    """Return the targets of this process if it is Snakemake's command line, else nothing.

    Snakemake reads the Snakefile before it knows its targets, and answers an unknown one with a
    ``MissingRuleException`` that cannot say what there is.
    """
    if Path(sys.argv[0]).name not in ("snakemake", "__main__.py") or "--target-jobs" in sys.argv:
        return []
    from snakemake.cli import get_argument_parser

    try:
        known, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    except SystemExit:
        return []
    return [str(target) for target in known.targets or []]
