"""Audit the run: results/audit.json."""

import logging
from pathlib import Path

from cch.audit.run import audit
from cch.base.errors import CchError
from cch.base.files import write_json
from cch.records.stage import stage

with stage(snakemake, "audit"):  # noqa: F821
    found = audit(Path(snakemake.output.report).parent)  # noqa: F821
    for line in found.lines():
        logging.getLogger("cch").error("%s", line)
    if not found.passed():
        raise CchError(found.results, f"{len(found.problems)} things are wrong, listed above")
    write_json(snakemake.output.report, found.to_json())  # noqa: F821
