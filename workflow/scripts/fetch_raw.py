"""Fetch one raw file: resources/<source>/<file>."""

from cch.data.sources.fetch import fetch
from cch.records.stage import stage
from cch.workflow.planning import Plan

with stage(snakemake, "fetch_raw") as job:  # noqa: F821
    plan = Plan(snakemake.config)  # noqa: F821
    wanted = snakemake.wildcards  # noqa: F821
    fetched = fetch(
        wanted.source,
        wanted.file,
        table=plan.table,
        destination=snakemake.output.file,  # noqa: F821
        mirror=plan.mirror,
        lock=plan.lockfile,
    )
    job.facts["raw"] = plan.raw_facts(wanted.source, wanted.file, fetched)
