"""Read pickles of numpy arrays without executing them and without holding them in memory.

A pickle is a program. As Python's documentation advises, ``find_class`` is restricted: it knows
the few names that numpy writes for arrays, maps them to functions of this file, and refuses every
other name. Nothing of numpy is called while the file is read.

The bytes of a large array stay in the file: an array becomes a `StoredArray`, which knows their
offset and reads blocks of rows on demand. Pickles of protocols 0 to 2 written by Python 3 hold
bytes as text; large ones are decoded, piece by piece, to a temporary file.

The protocol is described in Python's ``pickletools``; the states of arrays and types in
``numpy.ndarray.__reduce__`` and ``numpy.dtype.__reduce__``.
"""

from __future__ import annotations

import codecs
import math
import os
import pickle
import re
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN

LARGE = 1 << 16
"""Byte strings of at least this length stay in the file; a pickler writes these unframed too."""

BLOCK = 1 << 25
"""Bytes of an array that are read at a time."""

_DAMAGED = (
    pickle.UnpicklingError,
    struct.error,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,  # includes UnicodeError
)
_TYPE = re.compile(r"[biufcSUO]\d{0,9}")
_ONLY = "only numpy arrays, containers, strings and numbers are read; take the file from its source"


class _Refused(Exception):
    """The pickle asks for something that is not admitted."""


@dataclass(frozen=True)
class _Stretch:
    """A long byte string that stays in a file, or text that is still to be decoded to bytes."""

    file: Path | BinaryIO
    offset: int
    length: int
    text: bool = False

    def decoded(self) -> _Stretch:
        """Return text as bytes in a temporary file, which lives as long as its stretch."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        out = tempfile.TemporaryFile()  # noqa: SIM115
        assert isinstance(self.file, Path)
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            left = self.length
            while left:
                piece = file.read(min(left, BLOCK // 4))
                left = left - len(piece) if piece else 0
                out.write(decoder.decode(piece, final=not left).encode("latin1"))
        out.flush()
        return _Stretch(out, 0, out.tell())

    def __len__(self) -> int:
        return self.length


class StoredArray:
    """An array of a pickle, read by blocks of rows.

    Attributes:
        shape: as in the pickle.
        dtype: as in the pickle, byte order included; object for Python objects.
        items: the objects in C order if the array holds objects, else None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shape: tuple[int, ...] = ()
        self.dtype = np.dtype("u1")
        self.items: list[Any] | None = None
        self._order: Any = "C"
        self._data: bytes | _Stretch | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return rows ``start`` to ``stop`` as a new array, C order, native byte order."""
        return self._copied(slice(start, stop))

    def read(self) -> np.ndarray:
        """Return the whole array, C order, native byte order."""
        return self._copied(...)

    def _copied(self, which: Any) -> np.ndarray:
        copy = np.array(self._view()[which], dtype=self.dtype.newbyteorder("="), order="C")
        if copy.dtype.kind == "U":
            code = np.frombuffer(copy.tobytes(), np.uint32)
            # numpy would make broken strings of invalid code points.
            if ((code > 0x10FFFF) | ((code >= 0xD800) & (code < 0xE000))).any():
                raise CchError(self.path, "is a damaged pickle (a string is no Unicode)", AGAIN)
        return copy

    def _view(self) -> np.ndarray:
        """Return a view of the whole; a file is mapped anew, so that no pages stay in memory."""
        if self.items is not None:
            return np.fromiter(self.items, object, len(self.items)).reshape(self.shape)
        if isinstance(self._data, _Stretch):
            file: Any = self._data.file
            return np.memmap(file, self.dtype, "r", self._data.offset, self.shape, self._order)
        assert self._data is not None
        if not self._data:
            return np.empty(self.shape, self.dtype)
        return np.frombuffer(self._data, self.dtype).reshape(self.shape, order=self._order)

    def fill(self, shape: Any, dtype: Any, fortran: bool, data: Any) -> None:
        """Set the content from what the pickle says, checked."""
        if not isinstance(dtype, _Type) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("an array has no type or no shape")
        if not all(type(length) is int and length >= 0 for length in shape):
            raise pickle.UnpicklingError(f"an array has the shape {shape}")
        self.shape, self.dtype, self._order = shape, dtype.resolved(), "F" if fortran else "C"
        np.broadcast_to(np.empty((), self.dtype), shape)  # raises if no array can be so large
        if self.dtype == object:
            if not isinstance(data, list) or len(data) != math.prod(shape):
                raise pickle.UnpicklingError(f"an array of objects {shape} has other content")
            self.items, self._data = data, b""
            return
        if isinstance(data, str):  # of Python 2, or of a small array in protocols 0 to 2
            data = data.encode("latin1")
        if not isinstance(data, bytes | bytearray | _Stretch) or getattr(data, "text", False):
            raise pickle.UnpicklingError(f"an array has {type(data).__name__} as content")
        expected = math.prod(shape) * self.dtype.itemsize
        if len(data) != expected:
            what = f"an array {shape} has {len(data)} bytes, expected {expected}"
            raise CchError(self.path, f"is a damaged pickle ({what})", AGAIN)
        self._data = data if isinstance(data, _Stretch) else bytes(data)

    @property
    def filled(self) -> bool:
        """Whether the pickle gave the array its content."""
        return self._data is not None


def row_blocks(*arrays: StoredArray, limit: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) over the rows of arrays of equal length.

    No block of the widest array has more than ``limit`` bytes, unless one row has.
    """
    rows = len(arrays[0])
    width = max(math.prod(array.shape[1:]) * array.dtype.itemsize for array in arrays)
    step = max(1, limit // max(1, width))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


class _Type:
    """A numpy type as a pickle describes it."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not _TYPE.fullmatch(code):
            raise _Refused(f"an array of type {code!r}")
        self._code = code
        self._order: Any = "="

    def set_state(self, state: Any) -> None:
        """Set the byte order; refuse fields and subarrays."""
        if any(part is not None for part in state[2:5]):
            raise _Refused("an array of records")
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"a type has the byte order {state[1]!r}")
        self._order = state[1]

    def resolved(self) -> np.dtype:
        dtype = np.dtype(object) if self._code[0] == "O" else np.dtype(self._code)
        return dtype.newbyteorder(self._order)


class _Source:
    """The file, with sizes checked before anything is allocated."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def _check(self, count: int) -> None:
        missing = self._file.tell() + count - self._size
        if count < 0:
            raise pickle.UnpicklingError("a length is negative")
        if missing > 0:
            raise EOFError(f"at least {missing} bytes are missing")

    def read(self, count: int) -> bytes:
        self._check(count)
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise EOFError("it ends inside a line")
        return line

    def skip(self, count: int) -> int:
        """Skip ``count`` bytes and return where they begin."""
        self._check(count)
        offset = self._file.tell()
        self._file.seek(count, os.SEEK_CUR)
        return offset


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler with restricted names; large byte strings are skipped, not read."""

    # Set by Python's `load`.
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    stack: list[Any]

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._source = _Source(file)
        super().__init__(self._source, fix_imports=False, encoding="latin1")
        self._path = path
        self._arrays: list[StoredArray] = []

    def load(self) -> Any:
        content = super().load()
        if not all(array.filled for array in self._arrays):
            raise pickle.UnpicklingError("an array has no content")
        return content

    # Names: functions that build data and do nothing else.

    def find_class(self, module: str, name: str) -> Any:
        home = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        admitted = {
            "numpy.core.multiarray._reconstruct": self._reconstruct,
            "numpy.core.multiarray.scalar": self._scalar,
            "numpy.core.numeric._frombuffer": self._frombuffer,
            "numpy.dtype": _Type,
            "numpy.ndarray": "numpy.ndarray",  # an argument of _reconstruct, never called
            "_codecs.encode": _encode,
            "collections.OrderedDict": dict,
            "builtins.set": set,
            "builtins.frozenset": frozenset,
            "builtins.bytes": _no_bytes,
        }
        if f"{home}.{name}" not in admitted:
            raise _Refused(f"{module}.{name}")
        return admitted[f"{home}.{name}"]

    def get_extension(self, code: int) -> None:
        raise _Refused(f"an object by the number {code}")  # copyreg keeps such objects

    def _reconstruct(self, kind: Any, *_: Any) -> StoredArray:
        if kind != "numpy.ndarray":
            raise _Refused(f"an array of class {kind}")
        self._arrays.append(StoredArray(self._path))
        return self._arrays[-1]

    def _frombuffer(
        self, data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None
    ) -> StoredArray:
        if order not in ("C", "F") or axes is not None:
            raise _Refused(f"an array in the order {axes or order!r}")
        array = self._reconstruct("numpy.ndarray")
        array.fill(shape, dtype, order == "F", data)
        return array

    def _scalar(self, dtype: Any, data: Any = None) -> Any:
        array = self._frombuffer(data, dtype, (), "C")
        if array.items is not None or isinstance(data, _Stretch):
            raise _Refused("a scalar that is no number and no string")
        return array.read()[()]

    # Operations

    def _frame(self) -> None:
        """Skip the frame's length: Python would read the whole frame into memory."""
        self.read(8)

    def _build(self) -> None:
        """Set the state of arrays and types only; Python would set any attribute."""
        state = self.stack.pop()
        built = self.stack[-1]
        if isinstance(built, StoredArray):
            built.fill(*state[-4:])
        elif isinstance(built, _Type):
            built.set_state(state)
        else:
            raise _Refused(f"the state of a {type(built).__name__}")

    def _string(self, form: str, encoding: str | None) -> None:
        """Keep bytes or text, or its place in the file if it is large."""
        (length,) = struct.unpack(form, self.read(struct.calcsize(form)))
        if length >= LARGE:
            offset = self._source.skip(length)
            self.append(_Stretch(self._path, offset, length, text=encoding == "utf-8"))
        else:
            data = self.read(length)
            self.append(data.decode(encoding) if encoding else data)

    dispatch = pickle._Unpickler.dispatch | {
        pickle.FRAME[0]: _frame,
        pickle.BUILD[0]: _build,
        # A string of Python 2 may be the bytes of an array.
        pickle.BINSTRING[0]: lambda self: self._string("<i", "latin1"),
        pickle.BINBYTES[0]: lambda self: self._string("<I", None),
        pickle.BINBYTES8[0]: lambda self: self._string("<Q", None),
        pickle.BYTEARRAY8[0]: lambda self: self._string("<Q", None),
        pickle.BINUNICODE[0]: lambda self: self._string("<I", "utf-8"),
        pickle.BINUNICODE8[0]: lambda self: self._string("<Q", "utf-8"),
    }


def _encode(text: Any, encoding: str = "latin1") -> bytes | _Stretch:
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"the encoding {encoding!r}")
    return text.decoded() if isinstance(text, _Stretch) else text.encode("latin1")


def _no_bytes() -> bytes:
    """Return b"", as protocol 2 writes it; with arguments it could ask for any size."""
    return b""


def read_index(path: str | os.PathLike[str]) -> Any:
    """Read a pickle of containers, strings, numbers and arrays; large arrays stay in the file.

    Returns:
        The content, with a `StoredArray` in place of every array.

    Raises:
        CchError: there is no such file, it is truncated or damaged, or it asks for something else;
            the line names it.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            return _Unpickler(path, file).load()
    except FileNotFoundError:
        raise CchError(path, "there is no such file", "fetch it first") from None
    except OSError as error:
        raise CchError(path, f"cannot be read ({error.strerror})") from None
    except _Refused as refused:
        asked = str(refused)[:200].encode("unicode_escape").decode("ascii")
        raise CchError(path, f"the pickle asks for {asked}, which is refused", _ONLY) from None
    except EOFError as error:
        raise CchError(path, f"is a truncated pickle ({error})", AGAIN) from None
    except _DAMAGED as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: BaseException) -> CchError:
    with open(path, "rb") as file:
        start = file.read(40)
    if start.lstrip()[:1] == b"<":
        what = "is a web page and no pickle; a download page was saved in place of the file"
        return CchError(path, what, "download it in a browser")
    reason = " ".join(str(error)[:200].split()) or type(error).__name__
    return CchError(path, f"is no intact pickle ({reason})", AGAIN)
