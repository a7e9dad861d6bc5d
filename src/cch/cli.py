"""The command ``cch``: explain a cell, plan a run, run the demo, write generated documentation."""

from __future__ import annotations

import json
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cch.base.errors import CchError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Results = Annotated[Path, typer.Option(help="Folder of the results, as in the configuration.")]
Cell = Annotated[
    list[str],
    typer.Argument(help="table/row/column, e.g. table01/0.5/mi-gap, or the three apart."),
]
Overlays = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Overlay over config.yaml; repeat for more, in order."),
]


class Task(StrEnum):
    """What a label is."""

    classification = "classification"
    regression = "regression"


@app.callback()
def callback() -> None:
    """Criteria for cross-modal knowledge distillation, every number traceable."""


@app.command()
def explain(
    cell: Annotated[
        list[str] | None,
        typer.Argument(help="table/row/column, or the three apart; none lists the tables."),
    ] = None,
    results: Results = Path("results"),
    full: Annotated[
        bool, typer.Option("--full", help="Read and hash every file of the chain, also large ones.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a tree.")] = False,
) -> None:
    """Print the chain from a cell of a table or figure to its raw files."""
    from cch.audit.explain import explain as explain_cell
    from cch.audit.explain import tables
    from cch.audit.explain_tree import as_tree

    if not cell:
        _print_names(tables(results))
        return
    found = explain_cell("/".join(cell), results, full)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        width = None if sys.stdout.isatty() else 10_000
        Console(width=width, highlight=False, soft_wrap=width is not None).print(as_tree(found))
        # Not wrapped, unlike the tree: it is there to be copied.
        if found["restore"]:
            print(f"make again what is missing: {found['restore']}")
    if not found["whole"]:
        raise typer.Exit(1)


@app.command()
def audit(
    results: Results = Path("results"),
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what the audit does not know, too.")
    ] = False,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the outcome as JSON.")
    ] = None,
) -> None:
    """Check every file, cell and printed number of a finished run again."""
    from cch.audit.run import audit as audit_results
    from cch.base.files import write_json

    if as_json is not None:
        _refuse_unwritable(as_json)
    found = audit_results(results)
    if as_json is not None:
        write_json(as_json, found.to_json(strict))
    for line in found.lines(strict):
        print(line)
    if not found.passed(strict):
        raise typer.Exit(1)
    print(found.summary())


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="Results of one run.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Results of another run.")],
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Relative difference up to which floats are equal.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare every cell of two runs, and say at which stage each differing one begins to differ.

    The exit status is 0 where all cells are equal, 1 where any differs or is in one run only, and 2
    where there is nothing to compare.
    """
    from cch.audit.diff import as_table
    from cch.audit.diff import diff as compare

    try:
        found = compare(a, b, tolerance)
    except CchError as error:
        print(f"cch: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        print(found.summary())
        for line in found.one_sided():
            print(line)
        if found.changed:
            width = None if sys.stdout.isatty() else 10_000
            Console(width=width, highlight=False).print(as_table(found))
    if not found.equal:
        raise typer.Exit(1)


@app.command()
def recompute(
    cell: Cell,
    results: Results = Path("results"),
    keep: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the new files in this folder, new or empty."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Train and estimate anew what one cell rests on, and compare it with what is stored."""
    from cch.audit.recompute import recompute as recompute_cell
    from cch.records.stage import log_to

    log_to(None)
    found = recompute_cell("/".join(cell), results, keep)
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        print("\n".join(found.lines()))
    if not found.passed:
        raise typer.Exit(1)


@app.command()
def ledger(
    results: Results = Path("results"),
    table: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Only this one, such as table06.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print contradictions among the paper's numbers, and how many numbers ours reproduce.

    Without results it reads the paper's numbers alone.
    """
    from cch.paper.ledger.build import ledger_of
    from cch.paper.ledger.render import as_table, flag_lines

    if results != Path("results") and not results.is_dir():
        raise CchError(results, "there is no such folder", "name a folder of results")
    found = ledger_of(results, table)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, highlight=False, soft_wrap=width is not None)
    console.print(as_table(found))
    for line in flag_lines(found["flags"]):
        console.print(line)


@app.command()
def export(
    results: Results = Path("results"),
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE.zip|FOLDER", help="Where to; <results>-crate.zip by default."),
    ] = None,
) -> None:
    """Pack a finished run as a Workflow Run RO-Crate (Provenance Run Crate)."""
    from cch.audit.crate.write import export as export_crate

    target = to or Path(f"{results.resolve().name}-crate.zip")
    _refuse_unwritable(target, folder=True)
    packed = export_crate(results, target)
    for line in packed.lines():
        print(f"{target}: {line}")


@app.command()
def demo(
    cores: Annotated[int, typer.Option(help="CPU cores to use.")] = 2,
    directory: Annotated[Path, typer.Option(help="Where resources/ and results/ go.")] = Path("."),
) -> None:
    """Run the embedded demo: every stage in minutes, without network."""
    from cch.workflow.demo import run_demo

    raise typer.Exit(run_demo(cores, directory))


@app.command()
def plan(
    targets: Annotated[
        list[str] | None, typer.Argument(help="What to make, as for Snakemake; default: all.")
    ] = None,
    configfile: Overlays = None,
    earlier: Annotated[
        Path | None,
        typer.Option("--from", metavar="RESULTS", help="Take seconds from a finished run's files."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print what a configuration or some of its targets take, study by study, and start nothing.

    Jobs, runs, estimates, work, memory, and time from a throughput measured on this machine or in
    an earlier run. What nothing says is printed as unknown.
    """
    from cch import CHECKOUT
    from cch.config import read
    from cch.workflow.costs import costs
    from cch.workflow.planning import Plan

    if earlier is not None and not earlier.is_dir():
        raise CchError(earlier, "there is no such folder", "name the results of a run, --from")
    found = costs(Plan(read(configfile or []), CHECKOUT), earlier, targets or [])
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
        return
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, highlight=False, soft_wrap=width is not None)
    console.print(found.table())
    for line in found.notes():
        console.print(line, markup=False)


@app.command()
def targets(
    configfile: Overlays = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a list.")] = False,
) -> None:
    """List what can be asked for: studies, tables, figures and other targets of Snakemake."""
    from cch import CHECKOUT
    from cch.config import read
    from cch.workflow.planning import Plan

    groups = Plan(read(configfile or []), CHECKOUT).titles()
    if as_json:
        print(json.dumps(groups, indent=1, ensure_ascii=False))
        return
    width = max(len(name) for names in groups.values() for name in names)
    for group, names in groups.items():
        print(f"{group}:")
        _print_names(names, width)


def _print_names(names: dict[str, str], width: int = 0) -> None:
    """Print names with their titles, in two columns."""
    width = max(width, *map(len, names))
    for name, title in names.items():
        print(f"  {name:{width}}  {title}")


@app.command()
def docs(
    write: Annotated[bool, typer.Option(help="Write the files instead of checking them.")] = False,
) -> None:
    """Check, or write, what is generated from the model of the configuration."""
    from cch.workflow.generated_files import check, write_all

    if write:
        for path in write_all():
            print(f"wrote {path}")
        return
    stale = check()
    if stale:
        raise CchError(", ".join(stale), "differ from the model", "run `cch docs --write`")


@app.command()
def verdict(
    student: Annotated[str, typer.Option(metavar="PLACE", help="The student's representation.")],
    teacher: Annotated[
        list[str],
        typer.Option(metavar="[NAME=]PLACE", help="A teacher's representation; repeat for more."),
    ],
    label: Annotated[str, typer.Option(metavar="PLACE", help="The label, one column.")],
    data: Annotated[
        Path | None,
        typer.Argument(help="The .npz, .h5, .hdf5 or .csv file that bare names stand in."),
    ] = None,
    task: Annotated[
        Task | None,
        typer.Option(
            help="What the label is; by default integers and text are classes, floats continuous."
        ),
    ] = None,
    sample_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="NAME",
            help="Column or array of sample ids in every file: their order must agree.",
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(help="Of the evidence: ksg, in seconds; latent-light and mine take minutes."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of the estimator, such as k=5."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Runs: splits and seeds on the given rows.")] = 5,
    calibration_repeats: Annotated[
        int,
        typer.Option(
            help="Samples of each calibration case of the evidence; 0 for no calibration."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(help="What all generators are keyed by.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON to this file.")] = None,
) -> None:
    """Judge the criterion, I(teacher; student) > I(student; label), for your own arrays.

    It holds where a lower bound exceeds an upper one, and is undecided otherwise.

    A PLACE is a name in DATA, a file, or FILE:NAME. Names are arrays (NPZ), dataset paths (HDF5),
    or columns (CSV), with commas and patterns such as rna_*. Rows are the same samples everywhere.

    cch verdict data.npz --student h_student --teacher h_rna --teacher h_rppa --label y

    cch verdict --student student.csv --teacher rna=rna.csv --label labels.csv
    """
    from cch.base.files import write_json
    from cch.criterion import verdict as library
    from cch.criterion.verdict_inputs import load_inputs
    from cch.criterion.verdict_table import as_table, notes
    from cch.records.stage import log_to

    log_to(None)
    if out is not None:
        _refuse_unwritable(out)
        out = out.resolve()  # a link stays one
    settings = library.Settings(
        estimator or library.DEFAULT_ESTIMATOR,
        library.parse_options(option or []),
        repeats,
        calibration_repeats,
        seed,
    )
    kind = None if task is None else task.value
    inputs = load_inputs(data, student, teacher, label, kind, sample_id)
    if out in [path.resolve() for path in inputs.files]:
        raise CchError(out, "is one of the files that are read", "name another for --out")
    document = library.answer(inputs, settings)
    if out is not None:
        write_json(out, document)
    if as_json:
        print(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
        return
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, highlight=False, soft_wrap=width is not None)
    console.print(as_table(document))
    for line in notes(document):
        console.print(line, markup=False)


def _refuse_unwritable(path: Path, folder: bool = False) -> None:
    """Say before long work that its answer cannot be written; ``folder``: it may be a folder."""
    if path.is_dir() and not folder:
        raise CchError(path, "is a folder", "name a file")
    if path.exists() and not path.is_dir() and not path.is_file():
        raise CchError(path, "is no regular file", "name another")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise CchError(path, f"cannot be written: {above} is no folder to write in")
    try:
        # Not os.access, which says yes to root in folders of the system where none can write.
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise CchError(path, f"cannot be written: {above}: {error.strerror}") from None


def main() -> None:
    """Run the command line; errors for a person are one line."""
    try:
        app()
    except CchError as error:
        print(f"cch: {error}", file=sys.stderr)
        sys.exit(1)
