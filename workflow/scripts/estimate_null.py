"""Estimate gaps where there are none, at LIHC's sizes: results/calibration/lihc-null/*.json."""

from cch.base.device import device_name, pick_device
from cch.information.null_gaps import write_null
from cch.records.stage import stage

with stage(snakemake, __file__) as job:  # noqa: F821
    device = pick_device(job.compute.device)
    job.facts["device"] = device_name(device)
    job.facts["generator"] = {"kind": "lihc-null", "seed": 0}
    write_null(job.spec, snakemake.output.null, device)  # noqa: F821
