"""List every cell beside the paper's value: results/comparison.md."""

from cch.base.files import write_text
from cch.records.stage import stage
from cch.tables.documents import read_document
from cch.tables.render import to_comparison

with stage(snakemake, "compare"):  # noqa: F821
    documents = [read_document(path) for path in snakemake.input]  # noqa: F821
    write_text(snakemake.output.page, to_comparison(documents))  # noqa: F821
