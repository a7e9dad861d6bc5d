"""Draw a figure of the target theory from its cells: results/figures/theory-*.{pdf,png}."""

from cch.explain import read_document
from cch.figures import save
from cch.stage import stage
from cch.theory.figures import DRAW

with stage(snakemake, __file__):  # noqa: F821
    document = read_document(snakemake.input.document)  # noqa: F821
    figure = DRAW[snakemake.wildcards.theory_figure](document)  # noqa: F821
    save(figure, snakemake.output.pdf, snakemake.output.png)  # noqa: F821
