"""The costs of a configuration, for a person."""

from __future__ import annotations

from rich import box
from rich.table import Table

from cch.costs import STEPS, Costs, Part

HEAD = (
    *("study", "prep.", "select", "train", "estim.", "calib.", "tables", "jobs"),
    *("runs", "estimates", "calibr.", "CPU", "memory", "GPU", "GPU mem."),
)


def as_table(costs: Costs) -> Table:
    """A row for every study, for what is of none, and for all together."""
    title = "From nothing. CPU: one thread. GPU: estimates, no GPU was measured."
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in HEAD:
        table.add_column(name, justify="left" if name == "study" else "right", no_wrap=True)
    for part in costs.parts:
        table.add_row(*_row(part))
    table.add_section()
    table.add_row(*_row(costs.total))
    if costs.left_out:
        table.add_section()
    for part in costs.left_out:
        table.add_row(*_row(part, f"({part.name})"))
    return table


def _row(part: Part, name: str = "") -> list[str]:
    counts = part.counts
    return [
        name or part.name,
        *(str(counts[step] or "") for step in STEPS),
        str(len(part.jobs)),
        *(f"{part.sum(what):,.0f}" if part.sum(what) else "" for what in _COUNTED),
        duration(part.sum("cpu")),
        memory(part.most("cpu_bytes")),
        duration(part.sum("gpu")) if part.sum("gpu") else "",
        memory(part.most("gpu_bytes")) if part.most("gpu_bytes") else "",
    ]


_COUNTED = ("runs", "estimates", "calibrating")


def notes(costs: Costs) -> list[str]:
    """What the table cannot say."""
    total = costs.total
    beside = sum(cost.cpu for _, cost in total.jobs if cost.gpu is None)
    counts = total.counts
    longest = {device: costs.longest(device) for device in ("cpu", "gpu")}
    said = [
        "estimates: of mutual information for the tables; calibr.: on samples of known information",
        f"jobs: of {len(total.jobs)} in `all`, {counts['fetch']} downloads "
        f"({costs.download_bytes / 1e6:,.0f} MB known), {counts['theory']} of the theory, "
        f"{counts['pages']} pages; what is finished already is not taken off: `snakemake -n`",
        "longest job: "
        + ", ".join(
            f"{job.benchmark} with {duration(seconds)} on one {name}"
            for (job, seconds), name in zip(longest.values(), ("CPU thread", "GPU"), strict=True)
        ),
        f"GPU: of jobs that compute on one, with assumed speeds; beside it {duration(beside)} on "
        "one CPU thread",
        "memory: of the largest job",
    ]
    said += [f"assumed: {text}" for text in costs.assumed]
    said += [f"left out of `all`: {part.name}: {part.left_out}" for part in costs.left_out]
    return said


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would take: ``42 s``, ``12 min``, ``3.4 h``, ``5.1 d``."""
    for least, unit, name in ((2 * 86_400, 86_400, "d"), (2 * 3600, 3600, "h")):
        if seconds >= least:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def memory(count: float) -> str:
    """Bytes in GiB."""
    return f"{count / 2**30:.1f} GiB"
