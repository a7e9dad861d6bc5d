"""Estimate gaps where there are none, at LIHC's sizes: results/calibration/lihc-null/*.json."""

from pathlib import Path

from cch.device import device_name, pick_device
from cch.information.lihc import write_null
from cch.planning import Plan
from cch.stage import stage

with stage(snakemake, __file__) as record:  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    device = pick_device(plan.config.compute.device)
    record.facts["device"] = device_name(device)
    record.facts["generator"] = {"kind": "lihc-null", "seed": 0}
    write_null(snakemake.wildcards.estimator, snakemake.output.null, device)  # noqa: F821
