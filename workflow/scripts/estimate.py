"""Estimate mutual information: results/information/<study>/<estimator>.json."""

from cch.config.specs import EstimateSpec
from cch.information.stage import estimate
from cch.records.stage import stage

with stage(snakemake, "estimate") as job:  # noqa: F821
    spec = EstimateSpec.model_validate_json(job.spec)
    runs = dict(snakemake.input.items())  # noqa: F821
    job.facts |= estimate(spec, runs, snakemake.output.estimates, job.compute)  # noqa: F821
