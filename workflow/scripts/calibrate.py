"""Calibrate an estimator at a study's sizes: results/calibration/<study>/<estimator>.json."""

from cch.config.specs import CalibrateSpec
from cch.information.calibration_stage import calibrate
from cch.records.stage import stage

with stage(snakemake, "calibrate") as job:  # noqa: F821
    spec = CalibrateSpec.model_validate_json(job.spec)
    runs = dict(snakemake.input.items())  # noqa: F821
    job.facts |= calibrate(spec, runs, snakemake.output.calibration, job.compute)  # noqa: F821
