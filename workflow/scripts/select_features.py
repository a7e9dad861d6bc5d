"""Select the features of one modality for every split: features/<study>/<modality>.h5."""

from pathlib import Path

from cch.features import select_modality
from cch.paired import PairedDataset
from cch.planning import Plan
from cch.stage import stage

with stage(snakemake, __file__) as record:  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    asked = snakemake.wildcards  # noqa: F821
    with PairedDataset(snakemake.input.dataset) as dataset:  # noqa: F821
        record.facts["notes"] = select_modality(
            asked.study,
            plan.config.studies[asked.study],
            dataset,
            asked.modality,
            snakemake.output.features,  # noqa: F821
        )
