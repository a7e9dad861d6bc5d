"""Prepare one dataset: raw files, or a keyed generator, to results/datasets/<dataset>.h5."""

from cch.config.specs import PrepareSpec
from cch.data.datasets.registry import prepare
from cch.data.paired import write_paired
from cch.data.sources.verify_raw import check_raw_files
from cch.records.stage import stage

with stage(snakemake, "prepare_dataset") as job:  # noqa: F821
    spec, raw = PrepareSpec.model_validate_json(job.spec), snakemake.input.get("raw", [])  # noqa: F821
    check_raw_files(raw)
    contents = prepare(spec, raw)
    write_paired(snakemake.output.data, contents)  # noqa: F821
    job.facts["notes"] = dict(contents.notes)
    if not raw:
        job.facts["generator"] = {"kind": spec.dataset.kind, "seed": spec.dataset.seed}
