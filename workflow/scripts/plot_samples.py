"""Draw samples of an image dataset: results/figures/<figure>.{pdf,png}."""

from pathlib import Path

from cch.figures import draw_samples, save
from cch.paired import PairedDataset
from cch.planning import Plan
from cch.stage import stage

with stage(snakemake, __file__):  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    layout = plan.layouts[snakemake.wildcards.samples]  # noqa: F821
    study = plan.config.studies[layout.study]
    with PairedDataset(snakemake.input.dataset) as dataset:  # noqa: F821
        title = plan.title(snakemake.wildcards.samples)  # noqa: F821
        modalities = [study.teacher, study.student]
        figure = draw_samples(dataset, modalities, title, plan.marks(layout.studies))
        save(figure, snakemake.output.pdf, snakemake.output.png)  # noqa: F821
