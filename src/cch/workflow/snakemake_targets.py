"""Checks that the Snakefile makes before the jobs: targets, overlays, commit of the library."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cch.base.errors import CchError
from cch.config import layered

INSTALL = "install the library of the workflow's commit: pip install git+<address>@<commit>"


def asked_targets(workflow: Any, names: Iterable[str]) -> list[str] | None:
    """Return the targets on Snakemake's command line, under the workflow's own names for them.

    Snakemake reads the Snakefile before it knows its targets, and answers an unknown one with a
    ``MissingRuleException`` that cannot list the known ones.

    Args:
        workflow: Snakemake's workflow object.
        names: targets of this workflow. A module's may have a prefix on the command line, and
            other targets belong to the user's workflow and are left out.

    Returns:
        The targets; None if Snakemake was not started from a command line by a user (a job's own
        process, or its Python interface), or if its arguments cannot be read.
    """
    program = Path(sys.argv[0])
    if "snakemake" not in (program.name, program.parent.name) or "--target-jobs" in sys.argv:
        return None
    from snakemake.cli import get_argument_parser

    try:
        known, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    except SystemExit:
        return None
    asked = [str(target) for target in known.targets or []]
    if workflow.modifier.is_main_snakefile():
        return asked
    own = {workflow.modifier.modify_rulename(name): name for name in names}
    return [own[target] for target in asked if target in own]


def check_commit(base: Any, sources: Any, root: Path) -> None:
    """Refuse rules and scripts from a git address that differ from those of the library's commit.

    Args:
        base: Snakemake's source folder ``workflow/rules``.
        sources: Snakemake's source cache.
        root: the folder with the library's own ``workflow/``.

    Raises:
        CchError: one line that names the file and how to install the right library.
    """
    for path in sorted((root / "workflow").glob("*/*")):
        if path.suffix not in (".smk", ".py"):
            continue
        there = base.join(f"../{path.parent.name}/{path.name}")
        # Snakemake reads from git without the last line break.
        same = sources.exists(there) and (
            sources.open(there).read().rstrip() == path.read_text(encoding="utf-8").rstrip()
        )
        if not same:
            raise CchError(
                f"workflow/{path.parent.name}/{path.name}",
                f"is of another commit than the installed library, {root}",
                INSTALL,
            )


def join_git_paths() -> None:
    """Let Snakemake join a script's path to a ``git+file:`` folder; 9.27 fails with a TypeError."""
    from snakemake.sourcecache import LocalGitFile

    join = LocalGitFile.join
    LocalGitFile.join = lambda folder, path: join(folder, str(path))


def check_overlays(workflow: Any, base: Path) -> None:
    """Refuse null for an undefined dataset or study.

    Snakemake's merged configuration does not keep its layers, so the files are read again, but only
    if an entry is null, and not by the jobs.

    Args:
        workflow: Snakemake's workflow object.
        base: the file below all overlays.

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
