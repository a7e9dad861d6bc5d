"""Count wrong decisions on known gaps: results/tables/decision-error.*."""

from pathlib import Path

from cch.config.paths import Paths
from cch.config.specs import DecisionTableSpec
from cch.records.stage import stage
from cch.tables.decision_error import decision_document
from cch.tables.write import draw, write_table

with stage(snakemake, "tabulate_decision") as job:  # noqa: F821
    spec = DecisionTableSpec.model_validate_json(job.spec)
    files = {Path(path).stem: path for path in snakemake.input}  # noqa: F821
    document, paths = decision_document(files, spec), Paths(spec.results, resources="")
    for made in (write_table(document, list(files.values()), paths), draw(document, paths)):
        job.record(made.record, made.inputs, made.outputs, job.spec)
