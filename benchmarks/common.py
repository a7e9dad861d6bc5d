"""What the benchmarks share: the line about the machine, and the command line's sections."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection
from importlib import metadata


def machine(libraries: Collection[str], threads: int, repeats: int, gpu: str = "") -> str:
    """Return a line for each thing that the seconds depend on."""
    versions = []
    for library in libraries:
        try:
            versions.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{library} not installed")
    return (
        f"{', '.join(versions)}\n{os.cpu_count()} cores, {threads} threads, {gpu}"
        f"load {os.getloadavg()[0]:.1f} before the start; median of {repeats} rounds"
    )


def parser(description: str, sections: Collection[str], rounds: str) -> argparse.ArgumentParser:
    """A command line with ``--only``, ``--threads`` and ``--repeats``."""
    made = argparse.ArgumentParser(description=description.splitlines()[0])
    chosen = _chosen(sections)
    made.add_argument("--only", type=chosen, default=list(sections), help="sections")
    made.add_argument("--threads", type=_at_least_1, default=os.cpu_count(), help="CPU threads")
    made.add_argument("--repeats", type=_at_least_1, default=5, help=f"{rounds}; the median counts")
    return made


def _at_least_1(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _chosen(sections: Collection[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        asked = [name.strip() for name in text.split(",")]
        for name in asked:
            if name not in sections:
                known = ", ".join(sections)
                raise argparse.ArgumentTypeError(f"no section {name!r}, there are {known}")
        return asked

    return names
