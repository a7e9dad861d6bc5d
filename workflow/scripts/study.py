"""Train, estimate and calibrate a whole small study, as train.py, estimate.py, calibrate.py do."""

from cch.config.specs import CalibrateSpec, EstimateSpec, Step, read_train_spec
from cch.information.calibration_stage import calibrate
from cch.information.stage import estimate
from cch.records.stage import stage
from cch.training.stage import train

with stage(snakemake, "study") as job:  # noqa: F821
    for given in job.spec:
        step = Step.model_validate_json(given)
        inputs = dict(step.inputs)
        if step.stage == "train":
            facts = train(
                read_train_spec(step.spec),
                inputs.pop("dataset"),
                step.output,
                compute=job.compute,
                teacher=inputs.pop("teacher", None),
                second_teacher=inputs.pop("second_teacher", None),
                features=inputs,
            )
        elif step.stage == "estimate":
            spec = EstimateSpec.model_validate_json(step.spec)
            facts = estimate(spec, inputs, step.output, job.compute)
        else:
            spec = CalibrateSpec.model_validate_json(step.spec)
            facts = calibrate(spec, inputs, step.output, job.compute)
        read = list(step.inputs.values())
        job.record(step.record, read, [step.output], step.spec, step.stage, facts)
