import os
import re
import sys
from pathlib import Path

from snakemake.logging import logger
from snakemake.sourcecache import LocalSourceFile
from snakemake.utils import min_version

min_version("9.0")

# In a checkout, jobs run its library, whatever is installed. Rules from a git address need an
# installed library of the same commit.
BASE = workflow.current_basedir
LOCAL = isinstance(BASE, LocalSourceFile)
if LOCAL and (Path(BASE).parents[1] / "src" / "cch").is_dir():
    library = str(Path(BASE).parents[1] / "src")
    sys.path.insert(0, library)
    os.environ.update(PYTHONPATH=library)

try:
    from cch import CHECKOUT
    from cch.base.errors import CchError
    from cch.config.specs import SPECS, as_json
    from cch.workflow.events import JobEventHandler, run_progress
    from cch.workflow.planning import Plan, over_everything
    from cch.workflow.snakemake_targets import (
        asked_targets,
        check_commit,
        check_overlays,
        join_git_paths,
    )
except ImportError as error:
    print(
        f"cch: {error}; install the library of this commit, see config/README.md",
        file=sys.stderr,
    )
    sys.exit(1)

join_git_paths()

JOB_EVENTS = JobEventHandler(run_progress() if workflow.is_main_process else None)
logger.addHandler(JOB_EVENTS)


def tell(line):
    """Print a line for the user, also where a progress bar replaces Snakemake's output."""
    print(line, file=sys.stderr)
    if JOB_EVENTS.progress:
        JOB_EVENTS.progress.say(line)


def stop(error):
    """Exit with one line: no traceback, no line of the Snakefile."""
    tell(f"cch: {error}")
    sys.exit(1)


def own_file(wildcards):
    """Return the user's file that a raw file is a copy of, in a list; none for fetched files."""
    try:
        return PLAN.origin(wildcards.source, wildcards.file)
    except CchError as error:
        stop(error)


# A module's own `config:` takes the place of this file and of all overlays.
configfile: CHECKOUT / "config.yaml"


try:
    same = LOCAL and Path(BASE).resolve().parents[1] == CHECKOUT
    if workflow.is_main_process and not same:
        check_commit(BASE, workflow.sourcecache, CHECKOUT)
    check_overlays(workflow, CHECKOUT / "config.yaml")
    PLAN = Plan(config)
    ASKED = asked_targets(workflow, PLAN.names())
    for asked in ASKED or []:
        PLAN.check_target(asked)
        for line in PLAN.by_hand(asked):
            tell(f"cch: {line}" if line[0] != " " else line)
except CchError as error:
    stop(error)

CONFIG, PATHS = PLAN.config, PLAN.paths
RESULTS = PATHS.results
GPUS = 0 if CONFIG.compute.device == "cpu" else 1
MEMORY_MB = int(CONFIG.compute.memory_gb * 1024)
# Minutes for jobs whose duration depends on the machine; a profile can set another limit.
A_DAY = 24 * 60

if ASKED is not None and over_everything(ASKED):
    for name, why in PLAN.left_out(ASKED).items():
        tell(f"cch: {name} is left out of `all`: {why}")


def report_end():
    """Close the progress bar and print one line for each job that failed in its last attempt."""
    if JOB_EVENTS.progress:
        JOB_EVENTS.progress.close()
    for failure in JOB_EVENTS.failures:
        tell(f"cch: {failure.line(Path.cwd())}")


def growing(amount):
    """Return a resource function: the amount, scaled by attempt."""

    def resource(wildcards, attempt):
        return amount * attempt

    return resource


def alternatives(names):
    """Return a regular expression that matches exactly these names."""
    return "|".join(re.escape(name) for name in names) or "$^"


NOT_TOGETHER = alternatives(
    name for name in CONFIG.studies if name not in PLAN.together()
)


wildcard_constraints:
    source=alternatives(PLAN.table.sources),
    file=alternatives(
        sorted({f.name for s in PLAN.table.sources.values() for f in s.files})
    ),
    dataset=alternatives(CONFIG.datasets),
    study=alternatives(CONFIG.studies),
    selection="[^/]+",
    entry=alternatives(CONFIG.null_gaps),
    estimator="[a-z0-9-]+",
    role=alternatives(SPECS),


def shown(path):
    """Return an output path; CSV and PNG files are also listed in Snakemake's own report."""
    name, kind = Path(path).stem, "Figures" if path.endswith(".png") else "Tables"
    if not path.endswith((".csv", ".png")):
        return path
    samples = name in PLAN.layouts and PLAN.layouts[name].kind == "samples"
    caption = "table" if kind == "Tables" else "samples" if samples else "figure"
    return report(
        path,
        caption=f"../report/{caption}.rst",
        category=kind,
        labels={caption.replace("samples", "figure"): name},
    )
