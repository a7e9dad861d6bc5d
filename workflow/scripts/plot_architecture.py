"""Draw a network from its cells: results/figures/<figure>.{pdf,png}."""

import json
from pathlib import Path

from cch.figures import draw_architecture, save
from cch.stage import stage

with stage(snakemake, __file__):  # noqa: F821
    document = json.loads(Path(snakemake.input.document).read_text(encoding="utf-8"))  # noqa: F821
    save(draw_architecture(document), snakemake.output.pdf, snakemake.output.png)  # noqa: F821
