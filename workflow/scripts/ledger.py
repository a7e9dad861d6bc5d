"""Set the paper's numbers beside checks on them and beside ours: results/ledger.{json,md}."""

from pathlib import Path

from cch.explain import read_document
from cch.files import write_json, write_text
from cch.ledger.build import build_ledger, checked
from cch.ledger.render import to_markdown
from cch.planning import Plan
from cch.stage import stage

with stage(snakemake, __file__):  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    documents = {
        str(path): checked(path, read_document(path))
        for path in snakemake.input  # noqa: F821
    }
    ledger = build_ledger(plan.claims, documents)
    write_text(snakemake.output.page, to_markdown(ledger))  # noqa: F821
    write_json(snakemake.output.ledger, ledger)  # noqa: F821
