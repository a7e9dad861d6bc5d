"""Which device a job computes on, and how the jobs of a workstation share its GPUs.

A scheduler gives a job its GPU by CUDA_VISIBLE_DEVICES. Without one every job sees all GPUs, and
all would compute on the first. So a job that sees several takes one for itself by ``flock`` on
``gpu-<device>.slot-<k>`` in a folder of the user's. The lock is the process's and goes with it,
however it ends. Nothing here changes what is computed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from cch.base.errors import CchError

log = logging.getLogger("cch.base.device")

WAIT = 0.5
"""Seconds between two looks for a free GPU."""

_sharing = {"jobs_per_gpu": 1}
_held: dict[str, int] = {}
"""The device that this process has taken, with the descriptor whose lock says so."""


def share(jobs_per_gpu: int) -> None:
    """Let this many jobs share a GPU: ``compute.jobs_per_gpu``."""
    _sharing["jobs_per_gpu"] = jobs_per_gpu


def pick_device(wanted: str, visible: Callable[[], int] = torch.cuda.device_count) -> str:
    """Return the torch device for a ``compute.device`` value: auto, cpu or cuda.

    Where several GPUs are visible it is the least used one, ``cuda:<n>``, held until this process
    ends; where all are taken it waits. One alone, such as a scheduler's, is not locked.

    Args:
        wanted: the value of the configuration.
        visible: how many GPUs torch sees.

    Raises:
        CchError: a GPU is asked for and there is none, or the folder of locks is another user's.
    """
    if wanted == "cpu":
        return "cpu"
    count = visible()
    if count == 0 and wanted == "auto":
        return "cpu"
    if count == 0:
        raise CchError("compute.device", "is cuda, and torch sees no GPU", "take auto or cpu")
    if count == 1 or len(_listed()) == 1:
        return "cuda"
    if not _held:
        names = [_label(number) for number in range(count)]
        number, descriptor = _wait_for_one(lock_folder(), names, _sharing["jobs_per_gpu"])
        _held[f"cuda:{number}"] = descriptor
        if torch.cuda.is_available():
            # For libraries that are told no more than "cuda".
            torch.cuda.set_device(number)
    return next(iter(_held))


def device_name(device: str) -> str:
    """Return what a record says of a device: the GPU's model and number, or cpu."""
    if device == "cpu":
        return device
    number = torch.device(device).index or 0
    return f"{torch.cuda.get_device_name(number)}, GPU {_label(number)}"


def lock_folder() -> Path:
    """Return the folder of the locks, which all jobs of this user on this machine share.

    Raises:
        CchError: it is another user's.
    """
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
    if runtime.is_dir() and os.access(runtime, os.W_OK):
        folder = runtime / "cch"
    else:
        folder = Path(tempfile.gettempdir()) / f"cch-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise CchError(
            folder, "belongs to another user", "set XDG_RUNTIME_DIR to a folder of yours"
        )
    return folder


def _listed() -> list[str]:
    """The devices that CUDA_VISIBLE_DEVICES names, none where it is not set."""
    return [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]


def _label(number: int) -> str:
    """What the machine calls torch's device ``number``: jobs may see different devices."""
    listed = _listed()
    return listed[number] if number < len(listed) else str(number)


def _wait_for_one(folder: Path, names: Sequence[str], slots: int) -> tuple[int, int]:
    """Take a slot of the least used device: its number and the descriptor of the lock."""
    waits = False
    while True:
        # One at a time: who looks at a slot holds it for a moment, and it would seem taken.
        with open(folder / "choosing", "a") as choosing:
            fcntl.flock(choosing, fcntl.LOCK_EX)
            free = [_free_slots(folder, name, slots) for name in names]
            number = max(range(len(names)), key=lambda device: len(free[device]))
            chosen = free[number].pop() if free[number] else None
            for descriptor in (one for some in free for one in some):
                os.close(descriptor)
        if chosen is not None:
            return number, chosen
        if not waits:
            log.info("all %d GPUs are taken, by %d each; waiting", len(names), slots)
            waits = True
        time.sleep(WAIT)


def _free_slots(folder: Path, name: str, slots: int) -> list[int]:
    """Lock every free slot of a device; their descriptors."""
    # Devices of one SLURM job are its own, and may bear the same numbers as another job's.
    job = "".join(f"job-{number}." for number in [os.environ.get("SLURM_JOB_ID")] if number)
    locked = []
    for slot in range(slots):
        path = folder / f"{job}gpu-{name.replace('/', '-')}.slot-{slot}"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked.append(descriptor)
        except BlockingIOError:
            os.close(descriptor)
    return locked
