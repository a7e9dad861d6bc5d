"""Estimate where the gap is known: results/calibration/decision-error/<estimator>.json."""

from cch.config.specs import DecisionSpec
from cch.information.decision_error import write_decisions
from cch.records.stage import stage

with stage(snakemake, "estimate_decision") as job:  # noqa: F821
    spec = DecisionSpec.model_validate_json(job.spec)
    job.facts["generator"] = {"kind": "worlds of known gap", "seed": 0}
    job.facts |= write_decisions(spec, snakemake.output.decisions, job.compute)  # noqa: F821
