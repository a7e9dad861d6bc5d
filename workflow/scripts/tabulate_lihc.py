"""Set LIHC's printed gaps beside those of independent samples: results/tables/null-lihc.*."""

from pathlib import Path

from cch.files import write_json, write_text
from cch.information.lihc import lihc_setting
from cch.stage import stage
from cch.tables import render
from cch.tables.lihc import null_document

with stage(snakemake, __file__):  # noqa: F821
    output = snakemake.output  # noqa: F821
    files = {Path(path).stem: path for path in snakemake.input}  # noqa: F821
    document = null_document(files, lihc_setting())
    write_text(output.csv, render.to_csv(document))
    write_text(output.md, render.to_markdown(document))
    write_text(output.tex, render.to_latex(document))
    write_json(output.json, document)
