"""Check the paper's numbers and compare them with ours: results/ledger.{json,md}."""

from cch.base.files import write_json, write_text
from cch.paper.ledger.build import build_ledger
from cch.paper.ledger.render import to_markdown
from cch.records.stage import stage
from cch.tables.documents import read_document
from cch.workflow.planning import Plan

with stage(snakemake, "ledger"):  # noqa: F821
    plan = Plan(snakemake.config)  # noqa: F821
    documents = {str(path): read_document(path) for path in snakemake.input}  # noqa: F821
    ledger = build_ledger(plan.claims, documents)
    write_text(snakemake.output.page, to_markdown(ledger))  # noqa: F821
    write_json(snakemake.output.ledger, ledger)  # noqa: F821
