"""Set every cell of every table beside the paper's: results/comparison.md."""

import json
from pathlib import Path

from cch.files import write_text
from cch.stage import stage
from cch.tables.render import to_comparison

with stage(snakemake, __file__):  # noqa: F821
    documents = [json.loads(Path(path).read_text(encoding="utf-8")) for path in snakemake.input]  # noqa: F821
    write_text(snakemake.output.page, to_comparison(documents))  # noqa: F821
