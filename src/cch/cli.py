"""The command ``cch``: explain a cell, run the demo, write the generated documentation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cch.errors import CchError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Results = Annotated[Path, typer.Option(help="Folder of the results, as in the configuration.")]


@app.callback()
def callback() -> None:
    """Criteria for cross-modal knowledge distillation, every number traceable."""


@app.command()
def explain(
    cell: Annotated[str, typer.Argument(help="table/row/column, e.g. table01/0.5/mi-gap")],
    results: Results = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a tree.")] = False,
) -> None:
    """Print the chain from a cell of a table or figure to its raw files."""
    from cch.explain import as_tree
    from cch.explain import explain as explain_cell

    found = explain_cell(cell, results)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        width = None if sys.stdout.isatty() else 10_000
        Console(width=width, highlight=False, soft_wrap=width is not None).print(as_tree(found))
    if not found["whole"]:
        raise typer.Exit(1)


@app.command()
def demo(
    cores: Annotated[int, typer.Option(help="CPU cores to use.")] = 2,
    directory: Annotated[Path, typer.Option(help="Where resources/ and results/ go.")] = Path("."),
) -> None:
    """Run the embedded demo: every stage in minutes, without network."""
    from cch.demo import run_demo

    raise typer.Exit(run_demo(cores, directory))


@app.command()
def docs(
    write: Annotated[bool, typer.Option(help="Write the files instead of checking them.")] = False,
) -> None:
    """Check, or write, what is generated from the model of the configuration."""
    from cch.reference import check, write_all

    if write:
        for path in write_all():
            print(f"wrote {path}")
        return
    stale = check()
    if stale:
        raise CchError(", ".join(stale), "differ from the model", "run `cch docs --write`")


def main() -> None:
    """Run the command line; errors for a person are one line."""
    try:
        app()
    except CchError as error:
        print(f"cch: {error}", file=sys.stderr)
        sys.exit(1)
