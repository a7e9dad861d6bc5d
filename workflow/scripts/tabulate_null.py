"""Compare printed gaps with gaps of independent samples: results/tables/null-<entry>.*."""

from pathlib import Path

from cch.config.paths import Paths
from cch.config.specs import NullTableSpec
from cch.records.stage import stage
from cch.tables.null_gaps import null_document
from cch.tables.write import draw, write_table

with stage(snakemake, "tabulate_null") as job:  # noqa: F821
    spec = NullTableSpec.model_validate_json(job.spec)
    files = {Path(path).stem: path for path in snakemake.input}  # noqa: F821
    document, paths = null_document(files, spec), Paths(spec.results, resources="")
    for made in (write_table(document, list(files.values()), paths), draw(document, paths)):
        job.record(made.record, made.inputs, made.outputs, job.spec)
