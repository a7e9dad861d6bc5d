"""Build the report over the finished run: results/report/."""

from pathlib import Path

from cch.records.stage import stage
from cch.report.collect import collect
from cch.report.site import build_site
from cch.workflow.planning import Plan

with stage(snakemake, "build_report") as job:  # noqa: F821
    plan = Plan(snakemake.config)  # noqa: F821
    run = collect(plan.paths.results, plan.layouts, plan.excluded(), plan.pages())
    job.made += build_site(run, Path(snakemake.output.index).parent)  # noqa: F821
