"""Makes ``.venv`` hold the versions of ``envs/constraints.txt``; every target of the Makefile asks.

A stamp, written last, says what the environment was made from. While it is right, nothing happens.
Without it (an interrupted installation) or after a change of versions, all is made anew; when only
``pyproject.toml`` changed, pip runs once more in place.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = ROOT / ".venv"
# The log exists from before the first file of an environment to after its last, so it also marks
# an environment as ours.
LOG = VENV / "cch-install.log"
STAMP = VENV / "cch-install.json"
CONSTRAINTS = HERE / "constraints.txt"
PROJECT = ROOT / "pyproject.toml"

Facts = dict[str, str]


class InstallError(Exception):
    """One line for the person at the terminal."""


def digest(*files: Path) -> str:
    """The SHA-256 of the files' contents."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def built() -> Facts:
    """What the environment was made from; nothing if there is none or it was never finished."""
    try:
        return dict(json.loads(STAMP.read_text()))
    except (OSError, ValueError):
        return {}


def wanted(have: Facts) -> Facts:
    """What the environment has to be made from; an index of torch, once chosen, is kept."""
    return {
        "versions": digest(CONSTRAINTS, Path(__file__)),
        "project": digest(PROJECT),
        "folder": str(ROOT),  # a moved environment does not work: its scripts name their folder
        "python": f"{sys.version_info.major}.{sys.version_info.minor} {sys.executable}",
        "torch_index": os.environ.get("TORCH_INDEX") or have.get("torch_index", ""),
    }


@contextlib.contextmanager
def alone() -> Iterator[int]:
    """Hold the lock of this checkout's environment and yield its file descriptor.

    pip inherits it, so that a pip that outlives a killed make still keeps the next one out.
    """
    with Path(__file__).open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("cch: waiting for another installation into .venv to end", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def empty() -> None:
    """Remove what an earlier installation left, the log last: it says that the rest is ours."""
    if VENV.exists() and not LOG.exists() and any(VENV.iterdir()):
        raise InstallError(
            "cch: .venv: this environment was not made by make; move it away, or run `make clean`"
        )
    VENV.mkdir(exist_ok=True)
    LOG.touch()
    for entry in VENV.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != LOG:
            entry.unlink()


def run(what: str, command: list[str], lock: int) -> None:
    """Run one step; its output goes to the log, and the end of it to the terminal if it fails."""
    print(f"cch: {what}", flush=True)
    with LOG.open("ab") as log:
        start = log.tell()
        code = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            env=os.environ | {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        ).returncode
    if code:
        lines = LOG.read_bytes()[start:].decode(errors="replace").splitlines()
        print(*lines[-15:], sep="\n", file=sys.stderr)
        raise InstallError(
            f"cch: {what} failed (exit status {code}); the end of .venv/{LOG.name} is above;"
            " see to the cause (network, package index, disk), then run make again"
        )


def install(want: Facts, lock: int) -> None:
    """Run pip; build tools and torch come first, torch from its own index if one is named."""
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--no-input"]
    pip += ["--constraint", str(CONSTRAINTS)]
    index = ["--index-url", want["torch_index"]] if want["torch_index"] else []
    run("installing build tools", [*pip, "setuptools"], lock)
    run("installing torch", [*pip, "--no-deps", *index, "torch"], lock)
    # The build tools are pinned like everything else, so pip must not fetch others to build with.
    rest = [*pip, "--no-build-isolation", "--editable", ".[dev]"]
    run("installing everything else", rest, lock)


def make(have: Facts, want: Facts, lock: int) -> None:
    """Bring the environment from what it was made from to what is wanted."""
    if have | {"project": ""} == want | {"project": ""}:
        STAMP.unlink()
    else:
        version = ".".join(map(str, sys.version_info[:3]))
        print(
            f"cch: setting up .venv with Python {version} and the versions of"
            " envs/constraints.txt; this takes some minutes, once",
            flush=True,
        )
        empty()
        run("making the environment", [sys.executable, "-m", "venv", str(VENV)], lock)
    install(want, lock)
    part = STAMP.with_suffix(".part")
    part.write_text(json.dumps(want, indent=2) + "\n")
    part.replace(STAMP)
    print("cch: .venv is ready", flush=True)


def main() -> int:
    """Set up the environment if it is not as wanted.

    Returns:
        The exit status: 0 when the environment is as wanted.
    """
    if built() == wanted(built()):
        return 0
    try:
        with alone() as lock:
            have = built()  # another make may have finished meanwhile
            if have != wanted(have):
                make(have, wanted(have), lock)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cch: {error.filename or '.venv'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncch: interrupted; the next make starts the installation anew", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
