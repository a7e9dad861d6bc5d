"""Pickles of arrays read without running them, and without holding them.

A pickle is a program. This reader admits the operations that build containers, strings, bytes and
numbers, and the few names that numpy writes for arrays; it refuses every other name and every
other operation, and says which it was. Nothing of numpy's own is called while the file is read.

The bytes of a large array stay in the file. An array becomes a ``StoredArray``, which knows where
they lie and gives blocks of rows on demand, so a file of many gigabytes is read in little memory.
Pickles of protocols 0 to 2 from Python 3 keep bytes as text; a large one is decoded, piece by
piece, to a temporary file when it is first asked for.

The protocol is described in Python's ``pickletools``; the states of arrays and types in
``numpy.ndarray.__reduce__`` and ``numpy.dtype.__reduce__``.
"""

from __future__ import annotations

import codecs
import logging
import math
import os
import pickle
import pickletools
import re
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from cch.base.errors import CchError
from cch.base.files import whole_file
from cch.data.datasets.idx import AGAIN

log = logging.getLogger(__name__)

LARGE = 1 << 16
"""Byte strings of at least this length stay in the file; a pickler writes these unframed too."""

BLOCK = 1 << 25
"""Bytes of an array that are read at a time."""

_OPERATIONS = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG "
    "LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES "
    "BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_TUPLE TUPLE "
    "TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS "
    "EMPTY_SET ADDITEMS FROZENSET PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL "
    "STACK_GLOBAL REDUCE BUILD "
)

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
    """What the pickle asks for and does not get."""


class _Truncated(Exception):
    """The file ends inside the pickle."""


@dataclass(frozen=True)
class _Stretch:
    """A long byte string, or text, that stays in the file."""

    offset: int
    length: int
    text: bool = False


class StoredArray:
    """An array of a pickle, read by blocks of rows.

    Attributes:
        shape: as in the pickle.
        dtype: as in the pickle, byte order included; object where it holds Python objects.
        items: the objects in C order, where it holds objects, else None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shape: tuple[int, ...] = ()
        self.dtype = np.dtype("u1")
        self.items: list[Any] | None = None
        self._fortran = False
        self._data: bytes | _Stretch | None = None
        self._spool: BinaryIO | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<{self.dtype} array {self.shape} of {self.path.name}>"

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

    def blocks(self, limit: int = BLOCK) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, rows) over all rows, each of about ``limit`` bytes at most."""
        for start, stop in row_blocks(self, limit=limit):
            yield start, self.rows(start, stop)

    def _copied(self, which: Any) -> np.ndarray:
        copy = np.array(self._view()[which], dtype=self.dtype.newbyteorder("="), order="C")
        if copy.dtype.kind == "U":
            code = np.frombuffer(copy.tobytes(), np.uint32)
            # numpy makes broken strings of what Unicode does not define.
            if ((code > 0x10FFFF) | ((code >= 0xD800) & (code < 0xE000))).any():
                raise CchError(self.path, "is a damaged pickle (a string is no Unicode)", AGAIN)
        return copy

    def _view(self) -> np.ndarray:
        """A view of the whole; one of a file is mapped anew, so that no pages stay in memory."""
        order = "F" if self._fortran else "C"
        if self.items is not None:
            return np.fromiter(self.items, object, len(self.items)).reshape(self.shape)
        if isinstance(self._data, _Stretch):
            source = self._decoded() if self._data.text else self.path
            offset = 0 if self._data.text else self._data.offset
            return np.memmap(source, self.dtype, "r", offset, self.shape, order)
        if not self._bytes:
            return np.empty(self.shape, self.dtype)
        return np.frombuffer(self._data, self.dtype).reshape(self.shape, order=order)

    def _decoded(self) -> BinaryIO:
        """The temporary file that holds the bytes of an array that was pickled as text."""
        if self._spool is None:
            log.info("%s: an array %s is stored as text; decoding it", self.path, self.shape)
            spool = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the array)
            try:
                _decode(self.path, self._data, spool)
            except UnicodeError as error:
                raise CchError(self.path, f"is a damaged pickle ({error})", AGAIN) from None
            if spool.tell() != self._bytes:
                raise _wrong_length(self.path, self.shape, spool.tell(), self._bytes)
            spool.flush()
            self._spool = spool
        return self._spool

    @property
    def _bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def fill(self, shape: Any, dtype: Any, fortran: bool, data: Any) -> None:
        """Take over what the pickle says of the array, checked."""
        if not isinstance(dtype, _Type) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("an array has no type or no shape")
        if not all(type(length) is int and length >= 0 for length in shape):
            raise pickle.UnpicklingError(f"an array has the shape {shape}")
        self.shape, self.dtype, self._fortran = shape, dtype.resolved(), bool(fortran)
        np.broadcast_to(np.empty((), self.dtype), shape)  # raises where no array can be so large
        if isinstance(data, str):  # of Python 2, or of a small array in protocols 0 to 2
            data = data.encode("latin1")
        if self.dtype == object:
            if not isinstance(data, list) or len(data) != math.prod(shape):
                raise pickle.UnpicklingError(f"an array of objects {shape} has other content")
            self.items = data
        elif isinstance(data, bytes | bytearray):
            data = bytes(data)
        elif not isinstance(data, _Stretch):
            raise pickle.UnpicklingError(f"an array has {type(data).__name__} as content")
        self._data = data
        length = data.length if isinstance(data, _Stretch) else len(data)
        if self.items is None and length != self._bytes and not getattr(data, "text", False):
            raise _wrong_length(self.path, shape, length, self._bytes)

    @property
    def filled(self) -> bool:
        """Whether the pickle gave the array its content."""
        return self._data is not None


def _decode(path: Path, stretch: _Stretch, out: BinaryIO) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open(path, "rb") as file:
        file.seek(stretch.offset)
        left = stretch.length
        while left:
            piece = file.read(min(left, BLOCK // 4))
            left = left - len(piece) if piece else 0
            out.write(decoder.decode(piece, final=not left).encode("latin1"))


def _wrong_length(path: Path, shape: tuple[int, ...], found: int, expected: int) -> CchError:
    return CchError(
        path,
        f"is a damaged pickle (an array {shape} has {found} bytes, expected {expected})",
        AGAIN,
    )


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
        self._code, self._order = code, "="

    def set_state(self, state: Any) -> None:
        """Take over byte order; refuse fields and subarrays."""
        if any(part is not None for part in state[2:5]):
            raise _Refused("an array of records")
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"a type has the byte order {state[1]!r}")
        self._order = state[1]

    def resolved(self) -> np.dtype:
        dtype = np.dtype(object) if self._code[0] == "O" else np.dtype(self._code)
        return dtype.newbyteorder(self._order)


@dataclass(frozen=True)
class _Admitted:
    """A name that a pickle may ask for, and what calling it does here; None: nothing may."""

    name: str
    call: Callable[..., Any] | None = None


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
            raise _Truncated(f"at least {missing} bytes are missing")

    def read(self, count: int) -> bytes:
        self._check(count)
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise _Truncated("it ends inside a line")
        return line

    def skip(self, count: int) -> int:
        """Go past ``count`` bytes and return where they began."""
        self._check(count)
        offset = self._file.tell()
        self._file.seek(count, os.SEEK_CUR)
        return offset


class _Dispatch(dict):
    def __missing__(self, code: int) -> Any:
        if chr(code) in pickletools.code2op:
            raise _Refused(f"the operation {pickletools.code2op[chr(code)].name}")
        raise pickle.UnpicklingError(f"there is no operation {code:#04x}")


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler, cut down to the admitted operations and names."""

    dispatch = _Dispatch()

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

    # Names

    def find_class(self, module: str, name: str) -> _Admitted:
        full = f"{module}.{name}"
        home = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        calls = {
            "numpy.core.multiarray._reconstruct": self._reconstruct,
            "numpy.core.multiarray.scalar": self._scalar,
            "numpy.core.numeric._frombuffer": self._frombuffer,
            "numpy.dtype": _Type,
            "numpy.ndarray": None,
            "_codecs.encode": self._encode,
            "collections.OrderedDict": dict,
            "builtins.set": set,
            "builtins.frozenset": frozenset,
            "builtins.bytes": _no_bytes,
        }
        if f"{home}.{name}" not in calls:
            raise _Refused(full)
        return _Admitted(full, calls[f"{home}.{name}"])

    def _array(self) -> StoredArray:
        self._arrays.append(StoredArray(self._path))
        return self._arrays[-1]

    def _reconstruct(self, kind: Any, *_: Any) -> StoredArray:
        if not isinstance(kind, _Admitted) or kind.name != "numpy.ndarray":
            raise _Refused(f"an array of class {getattr(kind, 'name', kind)}")
        return self._array()

    def _scalar(self, dtype: Any, data: Any = None) -> Any:
        array = StoredArray(self._path)
        array.fill((), dtype, False, data)
        if array.items is not None or isinstance(data, _Stretch):
            raise _Refused("a scalar that is no number and no string")
        return array.read()[()]

    def _frombuffer(
        self, data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None
    ) -> StoredArray:
        if order not in ("C", "F") or axes is not None:
            raise _Refused(f"an array in the order {axes or order!r}")
        array = self._array()
        array.fill(shape, dtype, order == "F", data)
        return array

    def _encode(self, text: Any, encoding: str = "latin1") -> bytes | _Stretch:
        if encoding not in ("latin1", "latin-1"):
            raise _Refused(f"the encoding {encoding!r}")
        return text if isinstance(text, _Stretch) else text.encode("latin1")

    # Operations

    def _frame(self) -> None:
        """A frame is a hint for reading ahead; read ahead, a frame would lie in memory."""
        self.read(8)

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        asked = self.stack[-1]
        if not isinstance(asked, _Admitted):
            raise pickle.UnpicklingError(f"it calls a {type(asked).__name__}")
        if asked.call is None:
            raise _Refused(f"{asked.name}()")
        self.stack[-1] = asked.call(*arguments)

    def _build(self) -> None:
        state = self.stack.pop()
        built = self.stack[-1]
        if isinstance(built, StoredArray):
            built.fill(*state[-4:])
        elif isinstance(built, _Type):
            built.set_state(state)
        else:
            raise _Refused(f"the state of a {type(built).__name__}")

    def _long(self, form: str, kind: type) -> None:
        """Keep a byte string or a text, or where it lies if it is large."""
        (length,) = struct.unpack(form, self.read(struct.calcsize(form)))
        if length >= LARGE:
            self.append(_Stretch(self._source.skip(length), length, text=kind is str))
            return
        data = self.read(length)
        self.append(data if kind is bytes else data.decode("utf-8"))

    def _string(self, form: str) -> None:
        """Keep a string of Python 2, which may be the bytes of an array."""
        (length,) = struct.unpack(form, self.read(struct.calcsize(form)))
        if length >= LARGE:
            self.append(_Stretch(self._source.skip(length), length))
        else:
            self.append(self.read(length).decode("latin1"))


def _no_bytes() -> bytes:
    """How protocol 2 writes an empty byte string; with arguments it could ask for any size."""
    return b""


def _fill_dispatch() -> None:
    ours: dict[str, Callable[[_Unpickler], None]] = {
        "FRAME": _Unpickler._frame,
        "REDUCE": _Unpickler._reduce,
        "BUILD": _Unpickler._build,
        "BINSTRING": lambda self: self._string("<i"),
        "BINBYTES": lambda self: self._long("<I", bytes),
        "BINBYTES8": lambda self: self._long("<Q", bytes),
        "BYTEARRAY8": lambda self: self._long("<Q", bytes),
        "BINUNICODE": lambda self: self._long("<I", str),
        "BINUNICODE8": lambda self: self._long("<Q", str),
    }
    for name in _OPERATIONS.split():
        code = getattr(pickle, name)[0]
        _Unpickler.dispatch[code] = ours.get(name) or pickle._Unpickler.dispatch[code]


_fill_dispatch()


def read_index(path: str | os.PathLike[str]) -> Any:
    """Read a pickle of containers, strings, numbers and arrays; large arrays stay in the file.

    Returns:
        What was pickled, with a ``StoredArray`` in place of every array.

    Raises:
        CchError: there is no such file, it is truncated or damaged, or it asks for anything else
            than that; the line names what it asks for.
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
    except (_Truncated, EOFError) as error:
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


def convert_pickle(pickle_path: str | os.PathLike[str], out_h5: str | os.PathLike[str]) -> None:
    """Write a pickled dictionary as HDF5, array by array, in blocks of rows.

    Dictionaries become groups, arrays and lists become datasets, float64 becomes float32, strings
    become UTF-8 bytes. The file is whole or absent.

    Raises:
        CchError: as ``read_index``; or the pickle is no dictionary, or holds what HDF5 cannot.
    """
    content = read_index(pickle_path)
    if not isinstance(content, dict):
        raise CchError(pickle_path, f"holds a {type(content).__name__}, expected a dictionary")
    with whole_file(out_h5) as temporary, h5py.File(temporary, "w") as file:
        try:
            _write_group(Path(pickle_path), file, content, set())
        except (RecursionError, MemoryError, TypeError, ValueError) as error:
            reason = " ".join(str(error)[:200].split()) or type(error).__name__
            raise CchError(pickle_path, f"holds what HDF5 cannot ({reason})") from None


def _write_group(path: Path, group: h5py.Group, content: dict[Any, Any], written: set[int]) -> None:
    """Write a dictionary; ``written`` are the containers so far, by identity."""
    for key, value in content.items():
        if not isinstance(key, str) or not key.strip("./") or "/" in key:
            raise CchError(path, f"the key {str(key)[:100]!r} cannot name a dataset")
        where = f"{group.name.rstrip('/')}/{key}"
        if isinstance(value, dict | list | tuple | StoredArray) and value != ():
            # A few bytes may refer to the same content over and over.
            if id(value) in written:
                raise CchError(path, f"{where} stands elsewhere in the pickle too")
            written.add(id(value))
        if isinstance(value, dict):
            _write_group(path, group.create_group(key), value, written)
        elif isinstance(value, StoredArray) and value.items is None and value.dtype.kind != "U":
            _write_blocks(group, key, value)
        else:
            group[key] = _plain(path, where, value)


def _write_blocks(group: h5py.Group, key: str, array: StoredArray) -> None:
    native = array.dtype.newbyteorder("=")
    dtype = np.dtype(np.float32) if native == np.float64 else native
    dataset = group.create_dataset(key, array.shape, dtype)
    if array.ndim == 0:
        dataset[()] = array.read()
        return
    for start, block in array.blocks():
        with np.errstate(over="ignore"):
            dataset[start : start + len(block)] = block.astype(dtype, copy=False)


def _plain(path: Path, where: str, value: Any) -> np.ndarray:
    """Return a scalar, a list of scalars or an array of strings as h5py can write it."""
    items: Any
    if isinstance(value, StoredArray):
        shape = value.shape
        items = value.items if value.items is not None else value.read().ravel().tolist()
    elif isinstance(value, list | tuple):
        shape, items = (len(value),), value
    else:
        shape, items = (), [value]
    if not all(isinstance(item, str | bytes | int | float | np.generic) for item in items):
        raise CchError(path, f"{where} holds objects, expected numbers or strings")
    array = np.asarray(items).reshape(shape)
    return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array
