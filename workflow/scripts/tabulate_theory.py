"""Make the tables and figures of the target theory: results/{tables,figures}/theory*."""

from cch.config.specs import TheorySpec
from cch.paper.theory.write import make
from cch.records.stage import stage

with stage(snakemake, "tabulate_theory") as job:  # noqa: F821
    spec = TheorySpec.model_validate_json(job.spec)
    for made in make(spec, snakemake.input.simulation):  # noqa: F821
        job.record(made.record, made.inputs, made.outputs, job.spec)
