"""Which device a job computes on, and how the jobs of a workstation share its GPUs.

A scheduler gives a job its GPU by CUDA_VISIBLE_DEVICES. Without one, every job sees all GPUs and
would compute on the first. So a job that sees several locks one, ``gpu-<device>.slot-<k>`` in a
folder of the user, until its process ends. Nothing here changes what is computed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from cch.base.errors import CchError
from cch.base.files import process_lock

log = logging.getLogger("cch.base.device")

WAIT = 0.5
"""Seconds between two searches for a free GPU."""

_sharing = {"jobs_per_gpu": 1}
_held: dict[str, FileLock] = {}
"""The device that this process has taken, with its lock."""


def share(jobs_per_gpu: int) -> None:
    """Let this many jobs share a GPU: ``compute.jobs_per_gpu``."""
    _sharing["jobs_per_gpu"] = jobs_per_gpu


def pick_device(wanted: str, visible: Callable[[], int] = torch.cuda.device_count) -> str:
    """Return the torch device for a ``compute.device`` value: auto, cpu or cuda.

    If several GPUs are visible, it is the least used one, ``cuda:<n>``, held until this process
    ends; if all are taken, it waits. A single GPU, such as a scheduler's, is not locked.

    Args:
        wanted: the value of the configuration.
        visible: how many GPUs torch sees.

    Raises:
        CchError: a GPU is requested and there is none, or the lock folder is another user's.
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
        number, lock = _wait_for_one(lock_folder(), names, _sharing["jobs_per_gpu"])
        _held[f"cuda:{number}"] = lock
        if torch.cuda.is_available():
            # For libraries that only say "cuda".
            torch.cuda.set_device(number)
    return next(iter(_held))


def device_name(device: str) -> str:
    """Return the name of a device for a record: the GPU's model and number, or cpu."""
    if device == "cpu":
        return device
    number = torch.device(device).index or 0
    return f"{torch.cuda.get_device_name(number)}, GPU {_label(number)}"


def lock_folder() -> Path:
    """Return the lock folder, which all jobs of this user on this machine share.

    Raises:
        CchError: the folder is another user's.
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
    """Return the devices in CUDA_VISIBLE_DEVICES."""
    return [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]


def _label(number: int) -> str:
    """Return the machine's name of torch's device ``number``: jobs may see different devices."""
    listed = _listed()
    return listed[number] if number < len(listed) else str(number)


def _wait_for_one(folder: Path, names: Sequence[str], slots: int) -> tuple[int, FileLock]:
    """Return the number of the least used device and the lock taken on one of its slots."""
    waits = False
    while True:
        # One at a time: a slot being looked at is locked for a moment, and would seem taken.
        with process_lock(folder / "choosing"):
            free = [_free_slots(folder, name, slots) for name in names]
            number = max(range(len(names)), key=lambda device: len(free[device]))
            chosen = free[number].pop() if free[number] else None
            for lock in (one for some in free for one in some):
                lock.release()
        if chosen is not None:
            return number, chosen
        if not waits:
            log.info("all %d GPUs are taken, by %d each; waiting", len(names), slots)
            waits = True
        time.sleep(WAIT)


def _free_slots(folder: Path, name: str, slots: int) -> list[FileLock]:
    """Lock every free slot of a device and return the locks."""
    # Devices of one SLURM job are its own, and may have the same numbers as another job's.
    job = "".join(f"job-{number}." for number in [os.environ.get("SLURM_JOB_ID")] if number)
    locked = []
    for slot in range(slots):
        lock = process_lock(folder / f"{job}gpu-{name.replace('/', '-')}.slot-{slot}")
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            locked.append(lock)
    return locked
