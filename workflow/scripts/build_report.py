"""Build the report over the finished run: results/report/."""

from pathlib import Path

from cch.planning import Plan
from cch.report import build_site
from cch.report.collect import collect
from cch.stage import stage

with stage(snakemake, __file__) as job:  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    run = collect(plan.paths.results, plan.layouts, plan.absent(), plan.pages())
    job.made += build_site(run, Path(snakemake.output.index).parent)  # noqa: F821
