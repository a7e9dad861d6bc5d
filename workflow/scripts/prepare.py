"""Prepare one dataset: raw files, or a keyed generator, to results/datasets/<dataset>.h5."""

from pathlib import Path

from cch.datasets import prepare_dataset
from cch.paired import write_paired
from cch.planning import Plan
from cch.sources.taken import check_raw_files
from cch.stage import stage

with stage(snakemake, __file__) as record:  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    name = snakemake.wildcards.dataset  # noqa: F821
    spec = plan.config.datasets[name]
    files = {
        source: {role: Path(path) for role, path in paths.items()}
        for source, paths in plan.raw_files(name).items()
    }
    check_raw_files(snakemake.input.get("raw", []))  # noqa: F821
    readers = {source: plan.table.source(source).reader for source in files}
    contents = prepare_dataset(name, spec, files, readers)
    write_paired(snakemake.output.data, contents)  # noqa: F821
    record.facts["notes"] = dict(contents.notes)
    if not files:
        record.facts["generator"] = {"kind": spec.kind, "seed": spec.seed}
