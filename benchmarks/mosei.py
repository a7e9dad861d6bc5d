"""Time and peak memory of reading and preparing a file of MOSEI's real size.

    python benchmarks/mosei.py                # 16,327 / 1,871 / 4,662 segments: 5 GB of disk
    python benchmarks/mosei.py --scale 0.01   # a hundredth of the segments
    python benchmarks/mosei.py --unpooled     # also the sequences themselves; 10 GB of disk

A random file of the true layout is written to a temporary folder (under TMPDIR) and removed at the
end. Every step runs in a process of its own; "peak" is the largest resident set that the operating
system saw of it (ru_maxrss), pages of mapped files and the interpreter with its libraries
included. "start" does nothing else than import them.

    prepare   cch.data.datasets.mosei.prepare from the pickle, and the dataset file written
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from cch.data.datasets import mosei, mosei_fixture
from cch.data.paired import write_paired

STEPS = ("start", "write", "prepare", "unpooled")


def run_step(step: str, folder: Path, scale: float) -> None:
    raw = folder / "mosei_raw.pkl"
    if step == "write":
        rows = {
            fold: max(1, round(scale * counts["segments"]))
            for fold, counts in mosei.OFFICIAL.items()
        }
        mosei_fixture.write_fixture(raw, **rows)
    elif step in ("prepare", "unpooled"):
        spec = SimpleNamespace(length=50, pooled=step == "prepare", split="official")
        write_paired(folder / f"{step}.h5", mosei.prepare(spec, mosei.find_pickle(raw)))


def measure(step: str, folder: Path, scale: float) -> tuple[float, float]:
    """Seconds and peak GiB of one step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, str(folder), "--scale", str(scale)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, peak = map(float, output.split())
    return seconds, peak


def gib(count: float) -> str:
    return f"{count / 2**30:8.3f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="part of MOSEI's segments")
    parser.add_argument("--unpooled", action="store_true", help="prepare the sequences too")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        start = time.perf_counter()
        run_step(options.step[0], Path(options.step[1]), options.scale)
        seconds = time.perf_counter() - start
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    steps = STEPS if options.unpooled else STEPS[:-1]
    made = {"write": "mosei_raw.pkl"}
    with tempfile.TemporaryDirectory() as name:
        print(f"scale {options.scale:g}, {os.cpu_count()} CPUs, limit of the issue: 6 GiB")
        print(f"{'step':10} {'seconds':>8} {'peak':>12} {'file written':>14}")
        for step in steps:
            seconds, peak = measure(step, Path(name), options.scale)
            path = Path(name) / made.get(step, f"{step}.h5")
            size = gib(path.stat().st_size) if path.exists() else ""
            print(f"{step:10} {seconds:8.1f} {gib(peak)} {size:>14}", flush=True)


if __name__ == "__main__":
    main()
