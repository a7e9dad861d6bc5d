"""Build one table, or the numbers behind a figure: results/tables/<table>.{json,csv,md,tex}."""

from pathlib import Path

from cch.files import write_json, write_text
from cch.planning import Plan
from cch.stage import stage
from cch.tables import render
from cch.tables.cells import build_document

with stage(snakemake, __file__):  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    name, output = snakemake.wildcards.table, snakemake.output  # noqa: F821
    layout = plan.layouts[name]
    document = build_document(
        name, layout, plan.config, plan.claims, plan.stand_ins(layout.studies)
    )
    write_text(output.csv, render.to_csv(document))
    write_text(output.md, render.to_markdown(document))
    write_text(output.tex, render.to_latex(document))
    write_json(output.json, document)
