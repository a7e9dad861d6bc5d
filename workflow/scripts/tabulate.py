"""Build tables and draw figures: results/tables/<table>.{json,csv,md,tex}, figures/<figure>.*."""

from cch.records.stage import stage
from cch.tables.spec import TableSpec
from cch.tables.write import make

with stage(snakemake, "tabulate") as job:  # noqa: F821
    for spec in job.spec:
        for made in make(TableSpec.model_validate_json(spec)):
            job.record(made.record, made.inputs, made.outputs, spec)
