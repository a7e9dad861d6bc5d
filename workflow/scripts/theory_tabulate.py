"""Make one table of the target theory: results/tables/theory*.{json,csv,md,tex}."""

from pathlib import Path

from cch.files import write_json, write_text
from cch.planning import Plan
from cch.stage import stage
from cch.tables import render
from cch.theory.documents import DOCUMENTS

with stage(snakemake, __file__):  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    make = DOCUMENTS[snakemake.wildcards.theory_table]  # noqa: F821
    output = snakemake.output  # noqa: F821
    document = make(plan.config.theory, snakemake.input.simulation)  # noqa: F821
    write_text(output.csv, render.to_csv(document))
    write_text(output.md, render.to_markdown(document))
    write_text(output.tex, render.to_latex(document))
    write_json(output.json, document)
