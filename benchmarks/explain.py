"""Seconds of ``cch explain``, as typed, on finished results.

    snakemake --cores 2 synthetic mnistm --configfile benchmarks/full-size.yaml
    python benchmarks/explain.py results/full-size
    python benchmarks/explain.py results/open --cells 3

Starts the command anew for cells of every table and figure (the first, the last and between), so
the seconds include Python's start and imports. Prints how large the results are, the slowest cell
of each document, and over all cells the median and the most.

``benchmarks/full-size.yaml`` makes results as large as the full configuration's without its days of
training: all rows, runs, levels and members of the studies whose data can be had without asking,
one epoch each. What ``explain`` reads does not depend on the epochs, beyond a few bytes of history.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import machine


def documents(results: Path) -> list[Path]:
    return sorted(p for p in (results / "tables").glob("*.json") if ".record." not in p.name)


def cells(document: Path, count: int) -> list[str]:
    """``count`` names of cells, evenly from the first to the last."""
    known = list(json.loads(document.read_text(encoding="utf-8"))["cells"])
    last = len(known) - 1
    places = {round(last * i / max(count - 1, 1)) for i in range(count)} if known else set()
    return [f"{document.stem}/{known[place]}" for place in sorted(places)]


def seconds(cell: str, results: Path) -> float:
    """How long the command takes; it must find the cell and its whole chain."""
    command = str(Path(sys.executable).with_name("cch"))
    line = [command, "explain", cell, "--results", str(results)]
    start = time.perf_counter()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of a finished run")
    parser.add_argument("--cells", type=int, default=3, help="cells of each document")
    options = parser.parse_args()
    found = documents(options.results)
    if not found:
        parser.error(f"{options.results}: no tables")
    files = [path for path in options.results.rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    print(machine(("cch", "h5py"), 1, 1))
    print(
        f"{options.results}: {len(files)} files, {total / 2**20:,.0f} MiB, {len(found)} documents"
    )
    taken: list[float] = []
    for document in found:
        own = {cell: seconds(cell, options.results) for cell in cells(document, options.cells)}
        if own:
            slowest = max(own, key=own.__getitem__)
            print(f"{slowest:<70}{own[slowest]:>8.2f} s")
            taken += own.values()
    print(f"{len(taken)} cells: median {statistics.median(taken):.2f} s, most {max(taken):.2f} s")


if __name__ == "__main__":
    main()
