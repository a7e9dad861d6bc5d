"""Set LIHC's printed gaps beside those of independent samples: results/tables/null-lihc.*."""

from pathlib import Path

from cch.config.paths import Paths
from cch.information.null_gaps import lihc_setting
from cch.records.stage import stage
from cch.tables.null_gaps import null_document
from cch.tables.write import draw, write_table

with stage(snakemake, __file__) as job:  # noqa: F821
    paths = Paths(job.spec, resources="")
    files = {Path(path).stem: path for path in snakemake.input}  # noqa: F821
    document = null_document(files, lihc_setting())
    for made in (write_table(document, list(files.values()), paths), draw(document, paths)):
        job.record(made.record, made.inputs, made.outputs, job.spec)
