"""Draw gaps where there are none beside LIHC's printed ones: results/figures/null-lihc.*."""

import json
from pathlib import Path

from cch.figures import draw_null_gaps, save
from cch.stage import stage

with stage(snakemake, __file__):  # noqa: F821
    document = json.loads(Path(snakemake.input.document).read_text(encoding="utf-8"))  # noqa: F821
    save(draw_null_gaps(document), snakemake.output.pdf, snakemake.output.png)  # noqa: F821
