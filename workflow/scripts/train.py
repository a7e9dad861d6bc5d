"""Train the runs of one role of a study: results/runs/<study>/<role>.h5."""

from pathlib import Path

from cch.paired import PairedDataset
from cch.planning import Plan
from cch.stage import stage
from cch.training.stage import Laboratory, train_role

with stage(snakemake, __file__) as record:  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    study = snakemake.wildcards.study  # noqa: F821
    inputs = dict(snakemake.input.items())  # noqa: F821
    with PairedDataset(inputs["dataset"]) as dataset:
        laboratory = Laboratory(
            study,
            plan.config.studies[study],
            dataset,
            plan.config.compute,
            record.facts,
            features=plan.chosen(study, inputs),
        )
        train_role(
            laboratory,
            snakemake.params.role,  # noqa: F821
            snakemake.output.runs,  # noqa: F821
            teacher=inputs.get("teacher"),
        )
