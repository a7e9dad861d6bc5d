"""Train the runs of one role of a study: results/runs/<study>/<role>.h5."""

from cch.config.specs import read_train_spec
from cch.records.stage import stage
from cch.training.stage import train

with stage(snakemake, "train") as job:  # noqa: F821
    inputs = dict(snakemake.input.items())  # noqa: F821
    dataset, teacher = inputs.pop("dataset"), inputs.pop("teacher", None)
    second_teacher = inputs.pop("second_teacher", None)
    job.facts |= train(
        read_train_spec(job.spec),
        dataset,
        snakemake.output.runs,  # noqa: F821
        compute=job.compute,
        teacher=teacher,
        second_teacher=second_teacher,
        features=inputs,  # the remaining inputs: selected features by modality
    )
