import os
import re
import sys
from pathlib import Path

from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.0")

ROOT = Path(workflow.current_basedir).parents[1]

# Jobs run the library of this checkout, whatever is installed.
sys.path.insert(0, str(ROOT / "src"))
os.environ.update(PYTHONPATH=str(ROOT / "src"))

from cch.base.errors import CchError
from cch.config.specs import SPECS, as_json
from cch.workflow.events import JobEventHandler, run_progress
from cch.workflow.planning import Plan
from cch.workflow.snakemake_targets import asked_targets, check_overlays

JOB_EVENTS = JobEventHandler(run_progress() if workflow.is_main_process else None)
logger.addHandler(JOB_EVENTS)


def tell(line):
    """Print a line for a person, also where progress is shown in place of Snakemake's output."""
    print(line, file=sys.stderr)
    if JOB_EVENTS.progress:
        JOB_EVENTS.progress.say(line)


def stop(error):
    """End with a message for a person: no traceback, no line of the Snakefile."""
    tell(f"cch: {error}")
    sys.exit(1)


def own_file(wildcards):
    """The file of one's own that a raw file is a copy of, if it is one."""
    try:
        return PLAN.origin(wildcards.source, wildcards.file)
    except CchError as error:
        stop(error)


try:
    check_overlays(workflow, ROOT / "config.yaml")
    PLAN = Plan(config, ROOT)
    for asked in asked_targets():
        PLAN.check_target(asked)
        for line in PLAN.by_hand(asked):
            tell(f"cch: {line}" if line[0] != " " else line)
except CchError as error:
    stop(error)

CONFIG, PATHS = PLAN.config, PLAN.paths
RESULTS = PATHS.results
GPUS = 0 if CONFIG.compute.device == "cpu" else 1
MEMORY_MB = int(CONFIG.compute.memory_gb * 1024)
# Minutes for jobs whose length depends on the machine; another limit is a resource of a profile.
A_DAY = 24 * 60

for name in CONFIG.studies:
    if why := PLAN.unavailable(name):
        tell(f"cch: {name} is left out of `all`: {why}")


def report_end():
    """Close the progress bar, and print a line for each job of this call that failed for good."""
    if JOB_EVENTS.progress:
        JOB_EVENTS.progress.close()
    for failure in JOB_EVENTS.failures:
        tell(f"cch: {failure.line(Path.cwd())}")


def growing(amount):
    """A resource that grows with each attempt: what was killed for want of it gets more."""

    def asked(wildcards, attempt):
        return amount * attempt

    return asked


def alternatives(names):
    """A regular expression that matches exactly these names."""
    return "|".join(re.escape(name) for name in names) or "$^"


APART = alternatives(name for name in CONFIG.studies if name not in PLAN.together())


wildcard_constraints:
    source=alternatives(PLAN.table.sources),
    file=alternatives(
        sorted({f.name for s in PLAN.table.sources.values() for f in s.files})
    ),
    dataset=alternatives(CONFIG.datasets),
    study=alternatives(CONFIG.studies),
    selection="[^/]+",
    estimator="[a-z0-9-]+",
    role=alternatives(SPECS),


def shown(path):
    """A file of a table or figure; one form of each stands in Snakemake's own report."""
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
