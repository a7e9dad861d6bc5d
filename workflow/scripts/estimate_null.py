"""Estimate gaps of independent samples: results/calibration/null-<entry>/<estimator>.json."""

from cch.base.device import device_name, pick_device
from cch.config.specs import NullGapsSpec
from cch.information.null_gaps import write_null
from cch.records.stage import stage

with stage(snakemake, "estimate_null") as job:  # noqa: F821
    spec, device = NullGapsSpec.model_validate_json(job.spec), pick_device(job.compute.device)
    job.facts["device"] = device_name(device)
    job.facts["generator"] = {"kind": "null-gaps", "seed": 0}
    write_null(spec, snakemake.output.null, device)  # noqa: F821
