"""Read the IDX format of MNIST and tables of numbers, plain or gzip-compressed.

An IDX file is two zero bytes, a type code, the number of dimensions, the dimensions as big-endian
32-bit numbers, then the values with the last dimension running fastest
(http://yann.lecun.com/exdb/mnist/, "The IDX file format").
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from cch.base.errors import CchError

AGAIN = "delete it and fetch it again"

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed if it starts like a gzip file.

    Raises:
        CchError: there is no such file, it cannot be read, or its compression is broken.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[misc]
    except FileNotFoundError:
        raise CchError(path, "there is no such file", "fetch it first") from None
    except EOFError:
        raise CchError(path, "is truncated: its gzip stream has no end", AGAIN) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise CchError(path, f"is no intact gzip file ({error})", AGAIN) from None
    except OSError as error:
        raise CchError(path, f"cannot be read ({error.strerror or error})") from None


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file, decompressed; see `opened`."""
    with opened(path) as file:
        return file.read()


def read_numbers(path: str | os.PathLike[str], quotechar: str | None = None) -> np.ndarray:
    """Return a comma-separated table without headings, (rows, columns) float64.

    Raises:
        CchError: see `opened`; or the text is no table of numbers.
    """
    try:
        text = io.StringIO(read_bytes(path).decode("ascii"))
        return np.loadtxt(text, delimiter=",", quotechar=quotechar, ndmin=2)
    except ValueError as error:  # includes UnicodeDecodeError
        raise CchError(path, f"is no table of numbers ({error})", AGAIN) from None


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file into an array of the shape and type in its header.

    Raises:
        CchError: see `opened`; or the magic number is not IDX's, the header is truncated, or there
            are fewer or more values than the header says.
    """
    data = read_bytes(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or data[3] == 0:
        raise CchError(path, f"is no IDX file: it starts with {data[:4].hex(' ')!r}", AGAIN)
    dtype, start = np.dtype(_TYPES[data[2]]), 4 + 4 * data[3]
    if len(data) < start:
        raise CchError(path, "is truncated inside its IDX header", AGAIN)
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if found != expected:
        fault = "is truncated" if found < expected else "has trailing bytes"
        size = " x ".join(str(length) for length in shape)
        raise CchError(
            path, f"{fault}: {found} bytes of values, {expected} announced ({size})", AGAIN
        )
    values = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))
