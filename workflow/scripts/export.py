"""Pack the finished run as a Workflow Run RO-Crate: results/crate.zip."""

import logging
from pathlib import Path

from cch.audit.crate.write import export
from cch.records.stage import stage

with stage(snakemake, "export"):  # noqa: F821
    target = Path(snakemake.output.crate)  # noqa: F821
    for line in export(target.parent, target).lines():
        logging.getLogger("cch").info("%s", line)
