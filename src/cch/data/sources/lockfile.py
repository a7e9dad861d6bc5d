"""The lock file: what was fetched, and the digests pinned where none is published.

JSON, ``{"source/file": {"sha256", "bytes", "address", "retrieved"}}``. Where the table publishes
no digest, the entry is the pin: a later file with another digest is refused. Where it does, the
entry only records where the file came from and when.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from cch.base.errors import CchError
from cch.base.files import process_lock, write_json


class Pin(BaseModel):
    """One fetched file: its SHA-256, its size, the address used, when (ISO 8601, UTC).

    ``release`` is the release of the data that the server named, if it named one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    bytes: int
    address: str
    retrieved: str
    release: str | None = None


_PINS = TypeAdapter(dict[str, Pin])


def read_pins(lock: Path) -> dict[str, Pin]:
    """Return the entries of a lock file; none where there is no such file.

    Raises:
        CchError: the file is no lock file.
    """
    try:
        return _PINS.validate_json(lock.read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        what = f"{key}: {first['msg']}" if key else first["msg"]
        todo = "repair it, or delete it to pin every file again at its next fetch"
        raise CchError(lock, f"is no lock file of sources ({what})", todo) from None


def write_pin(lock: Path, key: str, pin: Pin, *, binding: bool) -> Pin:
    """Add an entry and return the one that now stands.

    Args:
        lock: the lock file; it is made where there is none.
        key: ``source/file``.
        pin: what was fetched.
        binding: whether an entry that is there already stands (no digest is published) or is
            replaced (a published digest has already decided).
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    # Beside the lock file, which every rewrite replaces: a lock on a replaced file excludes nobody.
    with process_lock(lock.with_name(f".{lock.name}.guard")):
        pins = read_pins(lock)
        if binding and key in pins:
            return pins[key]
        pins[key] = pin
        write_json(lock, {name: pins[name].model_dump(exclude_none=True) for name in sorted(pins)})
    return pin
