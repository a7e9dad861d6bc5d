"""Select the features of one modality for every split: features/<dataset>/<selection>.h5."""

from pathlib import Path

from cch.features import select_modality
from cch.paired import PairedDataset
from cch.planning import Plan
from cch.stage import stage

with stage(snakemake, __file__) as record:  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    wanted = snakemake.wildcards  # noqa: F821
    study, modality = plan.selections[wanted.dataset, wanted.selection]
    with PairedDataset(snakemake.input.dataset) as dataset:  # noqa: F821
        record.facts["notes"] = select_modality(
            wanted.dataset,
            plan.config.studies[study],
            dataset,
            modality,
            snakemake.output.features,  # noqa: F821
        )
