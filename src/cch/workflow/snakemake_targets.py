"""What was asked for on Snakemake's command line, for a clearer word about what there is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from cch.config import layered


def asked_targets() -> list[str]:
    """Return the targets of this process if it is Snakemake's command line, else nothing.

    Snakemake reads the Snakefile before it knows its targets, and answers an unknown one with a
    ``MissingRuleException`` that cannot say what there is.
    """
    program = Path(sys.argv[0])
    if "snakemake" not in (program.name, program.parent.name) or "--target-jobs" in sys.argv:
        return []
    from snakemake.cli import get_argument_parser

    try:
        known, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    except SystemExit:
        return []
    return [str(target) for target in known.targets or []]


def check_overlays(workflow: Any, base: Path) -> None:
    """Refuse an overlay that takes away a dataset or a study which nothing below it has.

    Snakemake's merged configuration does not say what lay below, so its files are read again, but
    only where something is taken away, and not by the jobs.

    Args:
        workflow: Snakemake's, as the Snakefile has it.
        base: what all overlays lie over.

    Raises:
        CchError: one line that names the overlay, the entry and what there is.
    """
    settings = workflow.config_settings
    alone = settings.replace_workflow_config or workflow.modifier.skip_configfile
    if alone or not workflow.is_main_process:
        return
    sections = (settings.overwrite_config.get(name) for name in ("datasets", "studies"))
    if any(isinstance(part, dict) and None in part.values() for part in sections):
        from snakemake.common.configfile import load_configfile

        files = [(path, load_configfile(path)) for path in (base, *settings.configfiles)]
        layered([*files, ("--config", dict(settings.config))])
