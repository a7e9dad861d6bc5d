"""Select the features of one modality for every split: features/<dataset>/<selection>.h5."""

from cch.config.specs import SelectSpec
from cch.data.features import select
from cch.records.stage import stage

with stage(snakemake, "select_features") as job:  # noqa: F821
    spec = SelectSpec.model_validate_json(job.spec)
    dataset, features = snakemake.input.dataset, snakemake.output.features  # noqa: F821
    job.facts["notes"] = select(spec, dataset, features)
