"""The command that makes files of a run again: its targets, and the overlay that the run had.

Records hold what a job was given, not which files of configuration it came from. An overlay is
known by the folder of results that it names and by what it runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cch import CHECKOUT
from cch.base.errors import CchError

UNKNOWN = "(with the --configfile of that run)"
OVERLAYS = ("*.yaml", "*.yml", "presets/*.yaml", "benchmarks/*.yaml")
OF_A_STUDY = ("runs", "information")
OF_A_DATASET = ("datasets", "features")


def restoring(base: Path, results: str, files: Sequence[str]) -> str:
    """Return the command, for the folder that one is in, that makes files of a run again.

    Args:
        base: the folder that recorded paths are relative to; the root where they are absolute.
        results: the folder of the run, as recorded.
        files: what is missing, as recorded.
    """
    root = base if (base / "Snakefile").is_file() else CHECKOUT
    found = _overlays(root, base, results, files)
    words = ["snakemake", "--cores", "2", *_targets(results, files)]
    if not _here(root):
        words += ["--snakefile", str(root / "Snakefile")]
    if not _here(base) and base != Path(base.anchor):
        words += ["--directory", str(base)]
    if len(found) == 1 and found[0] is not None:
        words += ["--configfile", _shown(found[0])]
    return shlex.join(words) + ("" if len(found) == 1 else f" {UNKNOWN}")


def _targets(results: str, files: Iterable[str]) -> list[str]:
    """Targets for files; a page of the report is none, so the job of the report is made to run."""
    index = f"{results}/report/index.html"
    pages = f"{results}/report/"
    targets = dict.fromkeys(index if name.startswith(pages) else name for name in files)
    return [*targets, *(["--forcerun", "build_report"] if index in targets else [])]


def _here(folder: Path) -> bool:
    return folder.resolve() == Path.cwd()


def _shown(path: Path) -> str:
    here, there = Path.cwd(), path.resolve()
    return str(there.relative_to(here) if there.is_relative_to(here) else there)


def _overlays(root: Path, base: Path, results: str, files: Sequence[str]) -> list[Path | None]:
    """Overlays that put results there and make these files; None is ``config.yaml`` alone."""
    absolute = base == Path(base.anchor)
    folders = dict.fromkeys(path.resolve() for path in (root, Path() if absolute else base))
    paths = [path for folder in folders for form in OVERLAYS for path in sorted(folder.glob(form))]
    known = [None, *(path for path in paths if path.name != "config.yaml")]
    return [path for path in known if _makes(root, path, results, files)]


def _makes(root: Path, overlay: Path | None, results: str, files: Sequence[str]) -> bool:
    """Whether this configuration puts results there and has the files' studies and datasets."""
    # Only an audit that found something missing needs the model of the configuration.
    from cch.config import load, read

    try:
        merged = read([overlay] if overlay else [], root)
        if str(merged.get("results", "")).rstrip("/") != results:
            return False
        config = load(merged)
    except CchError:  # another file's business
        return False
    return all(
        name in (config.studies if part in OF_A_STUDY else config.datasets)
        for part, name in _named(results, files)
    )


def _named(results: str, files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The kind of each file that names a study or dataset, and that name."""
    for file in files:
        part, _, rest = file.removeprefix(f"{results}/").partition("/")
        if part in OF_A_STUDY + OF_A_DATASET:
            yield part, rest.partition("/")[0].removesuffix(".h5")
