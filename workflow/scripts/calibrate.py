"""Calibrate one estimator at a study's sizes: results/calibration/<study>/<estimator>.json."""

from pathlib import Path

from cch.device import device_name, pick_device
from cch.information.calibration_stage import calibrate
from cch.planning import Plan
from cch.stage import stage

with stage(snakemake, __file__) as record:  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    asked = snakemake.wildcards  # noqa: F821
    device = pick_device(plan.config.compute.device)
    record.facts["device"] = device_name(device)
    calibrate(
        asked.study,
        plan.config.studies[asked.study].information,
        asked.estimator,
        dict(snakemake.input.items()),  # noqa: F821
        snakemake.output.calibration,  # noqa: F821
        device=device,
        memory_gb=plan.config.compute.memory_gb,
    )
