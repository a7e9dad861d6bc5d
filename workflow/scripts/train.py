"""Train the runs of one role of a study: results/runs/<study>/<role>.h5."""

from cch.config.specs import read_train_spec
from cch.records.stage import stage
from cch.training.stage import train

with stage(snakemake, "train") as job:  # noqa: F821
    spec, inputs = read_train_spec(job.spec), dict(snakemake.input.items())  # noqa: F821
    job.facts |= train(
        spec,
        inputs.pop("dataset"),
        snakemake.output.runs,  # noqa: F821
        compute=job.compute,
        teacher=inputs.pop("teacher", None),
        features=inputs,
    )
