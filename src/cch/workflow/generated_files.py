"""Generated files of the checkout: schema, page of the configuration, page of the ledger."""

from __future__ import annotations

from pathlib import Path

from cch import CHECKOUT
from cch.base.files import write_text
from cch.config.reference import page, schema


def generated() -> dict[Path, str]:
    """Every generated file with what it must hold."""
    from cch.paper.ledger.page import page as ledger_page
    from cch.tables.claims import load_claims

    return {
        CHECKOUT / "workflow" / "schemas" / "config.schema.json": schema(),
        CHECKOUT / "docs" / "configuration.md": page(),
        CHECKOUT / "docs" / "ledger.md": ledger_page(
            load_claims(CHECKOUT / "paper" / "claims.yaml")
        ),
    }


def check() -> list[str]:
    """Names of generated files that differ from the model."""
    return [
        str(path.relative_to(CHECKOUT))
        for path, text in generated().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def write_all() -> list[str]:
    """Write all generated files; return their names."""
    for path, text in generated().items():
        write_text(path, text)
    return [str(path.relative_to(CHECKOUT)) for path in generated()]
