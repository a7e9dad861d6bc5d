"""Pickles: what is read equals what Python reads, and nothing else is ever done."""

import collections
import datetime
import functools
import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.data.datasets.safe_pickle import LARGE, StoredArray, read_index, row_blocks

GENERATOR = np.random.default_rng(0)
BIG = GENERATOR.standard_normal((300, 7, 13))  # 218 kB: stays in the file
SMALL = GENERATOR.standard_normal((5, 3))


def written(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def plain(content: object) -> object:
    """Replace stored arrays by what they hold."""
    if isinstance(content, StoredArray):
        return content.read()
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    return [plain(value) for value in content] if isinstance(content, list) else content


def one_line(excinfo: pytest.ExceptionInfo) -> str:
    line = str(excinfo.value)
    assert "\n" not in line
    return line


def refused(folder: Path, stream: bytes, said: str) -> None:
    path = folder / "a.pkl"
    path.write_bytes(stream)
    with pytest.raises(CchError, match=said) as e:
        read_index(path)
    one_line(e)


class TestArrays:
    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize("order", "CF")
    @pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", "<i8", "u1", "?", "<c8"])
    def test_equal_to_ordinary_reading(self, tmp_path, protocol, order, dtype):
        content = {"big": BIG.astype(dtype, order=order), "small": SMALL.astype(dtype, order=order)}
        path = written(tmp_path / "a.pkl", content, protocol)
        expected, index = pickle.loads(path.read_bytes()), read_index(path)
        for name, array in expected.items():
            assert index[name].shape == array.shape
            found = index[name].read()
            assert found.flags.c_contiguous
            assert found.dtype == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(found, array)
            np.testing.assert_array_equal(index[name].rows(2, 4), array[2:4])

    @pytest.mark.parametrize("protocol", range(6))
    def test_slices_and_transposed_arrays(self, tmp_path, protocol):
        content = [BIG[::2], BIG.transpose(1, 2, 0), BIG[:, 1], np.broadcast_to(SMALL, (400, 5, 3))]
        path = written(tmp_path / "a.pkl", content, protocol)
        for found, array in zip(read_index(path), content, strict=True):
            np.testing.assert_array_equal(found.read(), array)

    @pytest.mark.parametrize("protocol", range(6))
    def test_arrays_of_strings_of_objects_and_without_content(self, tmp_path, protocol):
        content = {
            "unicode": np.array(["a", "ü", "longer"]),
            "bytes": np.array([b"a", b"bc"]),
            "objects": np.array([["a", 1.5], [b"b", 2]], dtype=object),
            "lists": np.fromiter([["a", 1], ["b", 2]], object, 2),
            "empty": np.empty((0, 4), np.float32),
            "scalar array": np.array(2.5),
        }
        index = read_index(written(tmp_path / "a.pkl", content, protocol))
        for name, array in content.items():
            assert index[name].shape == array.shape
            np.testing.assert_array_equal(index[name].read(), array)

    @pytest.mark.parametrize("protocol", range(6))
    def test_plain_content_and_numpy_scalars(self, tmp_path, protocol):
        content = {
            "numbers": [0, -1, 255, 70_000, 2**40, -(2**70), 1.5, True, None],
            "text": ["", "a", "ü" * 300, "x" * 300],
            "bytes": [b"", b"\xff\x00", b"y" * 300],
            "tuple": (1, (2, 3), ()),
            "sets": [{1, 2}, frozenset([3])],
            "ordered": collections.OrderedDict(a=1, b=[2]),
            "scalars": [np.float32(1.5), np.int64(-3), np.bool_(True), np.str_("ab")],
        }
        assert read_index(written(tmp_path / "a.pkl", content, protocol)) == content

    def test_the_same_array_twice_is_one(self, tmp_path):
        index = read_index(written(tmp_path / "a.pkl", [BIG, BIG]))
        assert index[0] is index[1]

    @pytest.mark.parametrize("array", [SMALL, BIG])
    def test_a_pickle_of_python_2(self, tmp_path, array):
        # What cPickle of Python 2 writes: byte strings for names and for the bytes of arrays.
        data = array.astype("<f8").tobytes()
        shape = b"".join(
            b"K" + bytes([n]) if n < 256 else b"M" + struct.pack("<H", n) for n in array.shape
        )
        stream = (
            b"\x80\x02}U\x04textcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
            b"U\x01b\x87R(K\x01(" + shape + b"tcnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNN"
            b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
            + struct.pack("<i", len(data))
            + data
            + b"tbs."
        )
        path = tmp_path / "a.pkl"
        path.write_bytes(stream)
        np.testing.assert_array_equal(pickle.loads(stream, encoding="latin1")["text"], array)
        np.testing.assert_array_equal(read_index(path)["text"].read(), array)

    def test_large_arrays_stay_in_the_file(self, tmp_path):
        content = [np.zeros(LARGE // 8), np.zeros(LARGE // 8 - 1)]
        path = written(tmp_path / "a.pkl", content)
        large, small = read_index(path)
        path.write_bytes(b"")
        np.testing.assert_array_equal(small.read(), content[1])
        with pytest.raises(ValueError):
            large.read()

    def test_blocks_cover_all_rows_within_the_limit(self, tmp_path):
        (array,) = read_index(written(tmp_path / "a.pkl", [BIG]))
        row = 7 * 13 * 8
        blocks = [array.rows(*rows) for rows in row_blocks(array, limit=10 * row + 5)]
        assert [len(block) for block in blocks] == [10] * 30
        np.testing.assert_array_equal(np.concatenate(blocks), BIG)
        assert list(row_blocks(array, limit=1))[:2] == [(0, 1), (1, 2)]


class Call:
    """Pickles as a call of something."""

    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call[0], tuple(self.call[1:])


class Thing:
    """An ordinary object."""


class Subclass(np.ndarray):
    pass


class TestRefused:
    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize(
        ("call", "name"),
        [
            ((os.system, "touch {}"), "posix.system"),
            ((eval, "open('{}', 'w')"), "eval"),
            ((open, "{}", "w"), "open"),
            ((functools.partial, print), "functools.partial"),
            ((np.load, "{}"), "numpy.load"),
            ((np.fromfile, "{}"), "numpy.*fromfile"),
            ((getattr, "", "join"), "getattr"),
            ((Path, "{}"), "pathlib"),
            ((datetime.date, 2020, 1, 1), "datetime.date"),
        ],
    )
    def test_a_callable_is_named_and_not_called(self, tmp_path, protocol, call, name):
        mark = tmp_path / "mark"
        arguments = [part.format(mark) if isinstance(part, str) else part for part in call]
        path = written(tmp_path / "a.pkl", {"train": [1, Call(*arguments)]}, protocol)
        with pytest.raises(
            CchError, match=f"the pickle asks for .*{name}.*, which is refused"
        ) as e:
            read_index(path)
        assert str(path) in one_line(e)
        assert not mark.exists()

    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize("content", [Thing(), SMALL.view(Subclass), np.ma.array([1.0])])
    def test_objects_of_a_class(self, tmp_path, protocol, content):
        with pytest.raises(CchError, match=r"asks for .*, which is refused"):
            read_index(written(tmp_path / "a.pkl", content, protocol))

    @pytest.mark.parametrize("dtype", ["i4,f4", "M8[s]", "V8"])
    def test_other_types_of_arrays(self, tmp_path, dtype):
        with pytest.raises(CchError, match=r"asks for an array of (records|type).*refused"):
            read_index(written(tmp_path / "a.pkl", np.zeros(3, dtype)))

    @pytest.mark.parametrize(
        ("stream", "said"),
        [
            (b"\x80\x02K\x01Q.", "persistent id"),
            (b"Pname\n.", "persistent id"),
            (b"\x80\x02\x82\x01.", "an object by the number 1, which is refused"),
            (b"\x80\x02]]\x81.", "no intact pickle"),
            (b"(iposix\nsystem\n.", r"asks for posix\.system, which is refused"),
            (b"(S'true'\niposix\nsystem\n.", r"asks for posix\.system, which is refused"),
            (b"(]o.", "no intact pickle"),
            (b"\x80\x05\x97.", "out-of-band"),
            (b"\x80\x02cnumpy\nndarray\n)R.", "not callable"),
            (b"\x80\x02cnumpy\nndarray\n)\x81.", "no intact pickle"),
            (b"\x80\x02]}b.", "the state of a list, which is refused"),
            (b"\x80\x02cnumpy\ndtype\n}b.", "the state of a type, which is refused"),
            (b"c_codecs\nencode\n}b.", "the state of a function, which is refused"),
            (b"c_codecs\nencode\n(Va\nVutf-16\ntR.", "the encoding 'utf-16', which is refused"),
            (b"\x80\x04\x8c\x08builtins\x8c\x11set.__reduce_ex__\x93.", "__reduce_ex__, which is"),
        ],
    )
    def test_other_operations(self, tmp_path, stream, said):
        refused(tmp_path, stream, said)

    @pytest.mark.parametrize(
        ("stream", "said"),
        [
            # A name of several lines is shown in one.
            (b"\x80\x04\x8c\x03a\nb\x8c\x01c\x93.", r"asks for a\\nb\.c, which"),
            # What is on the stack cannot be called.
            (b"\x80\x02])R.", "no intact pickle"),
            (b"cos\nsystem\n(S'true'\ntR.", r"a\.pkl: the pickle asks for os\.system, which is"),
        ],
    )
    def test_lines_for_streams(self, tmp_path, stream, said):
        refused(tmp_path, stream, said)


class TestDamaged:
    def test_every_truncation_is_one_line(self, tmp_path):
        content = {"train": {"text": SMALL, "id": ["a", "b"], "n": 2**70}, "big": np.zeros(LARGE)}
        whole = pickle.dumps(content, protocol=4)
        path = tmp_path / "a.pkl"
        lengths = [*range(0, 700), *range(700, len(whole), 50_000), len(whole) - 1]
        for length in lengths:
            path.write_bytes(whole[:length])
            with pytest.raises(CchError, match="truncated pickle") as e:
                read_index(path)
            one_line(e)

    @pytest.mark.parametrize("protocol", [0, 2, 4, 5])
    def test_changed_bytes_give_content_or_one_line(self, tmp_path, protocol):
        content = {"train": {"text": SMALL, "id": ["a", "b"]}, "n": (1, 2.5, {3})}
        whole = pickle.dumps(content, protocol=protocol)
        path = tmp_path / "a.pkl"
        draw = np.random.default_rng(1)
        refused = 0
        for _ in range(300):
            data = bytearray(whole)
            for place in draw.integers(len(data), size=draw.integers(1, 4)):
                data[place] = draw.integers(256)
            path.write_bytes(data)
            try:
                plain(read_index(path))
            except CchError as error:
                assert "\n" not in str(error)
                refused += 1
        assert refused > 50

    @pytest.mark.parametrize(
        "stream",
        [
            b"\x80\x04\x8e" + struct.pack("<Q", 1 << 45),
            b"\x80\x04\x8d" + struct.pack("<Q", 1 << 45),
            b"\x80\x05\x96" + struct.pack("<Q", 1 << 45),
            b"\x80\x02\x8b" + struct.pack("<i", 1 << 30),
            b"\x80\x04\x95" + struct.pack("<Q", 1 << 45),
        ],
    )
    def test_a_length_beyond_the_file_allocates_nothing(self, tmp_path, stream):
        path = tmp_path / "a.pkl"
        path.write_bytes(stream)
        tracemalloc.start()
        with pytest.raises(CchError, match="truncated"):
            read_index(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20

    @pytest.mark.parametrize("protocol", [2, 4])
    @pytest.mark.parametrize("rows", [299, 301])
    def test_content_of_another_length_than_the_shape(self, tmp_path, protocol, rows):
        stream = pickle.dumps(BIG, protocol=protocol)
        shape = b"M" + struct.pack("<H", 300)
        assert stream.count(shape) == 1
        path = tmp_path / "a.pkl"
        path.write_bytes(stream.replace(shape, b"M" + struct.pack("<H", rows)))
        with pytest.raises(CchError, match=f"has {BIG.nbytes} bytes, expected {rows * 728}"):
            read_index(path).read()

    def test_a_shape_that_no_array_can_have(self, tmp_path):
        stream = pickle.dumps(np.empty((0, 7), np.float64), protocol=2)
        assert stream.count(b"K\x00K\x07\x86") == 1
        path = tmp_path / "a.pkl"
        path.write_bytes(
            stream.replace(b"K\x00K\x07\x86", b"K\x00\x8a\x08" + b"\xff" * 7 + b"\x7f\x86")
        )
        with pytest.raises(CchError, match="no intact pickle"):
            read_index(path)

    @pytest.mark.parametrize("code", [b"\xff\xff\xff\xff", b"\x00\xd8\x00\x00"])
    def test_strings_that_are_no_unicode(self, tmp_path, code):
        stream = pickle.dumps({"id": np.array(["ab"])}, protocol=4)
        path = tmp_path / "a.pkl"
        path.write_bytes(stream.replace(b"a\0\0\0b\0\0\0", code * 2))
        with pytest.raises(CchError, match="a string is no Unicode"):
            read_index(path)["id"].read()

    def test_an_array_without_content(self, tmp_path):
        path = tmp_path / "a.pkl"
        path.write_bytes(
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R."
        )
        with pytest.raises(CchError, match="an array has no content"):
            read_index(path)

    def test_a_saved_web_page_is_named(self, tmp_path):
        path = tmp_path / "a.pkl"
        path.write_text(
            "<!DOCTYPE html><html>Google Drive: can't scan this file for viruses</html>"
        )
        with pytest.raises(CchError, match="is a web page and no pickle"):
            read_index(path)

    def test_a_missing_file_and_a_folder(self, tmp_path):
        with pytest.raises(CchError, match="there is no such file"):
            read_index(tmp_path / "a.pkl")
        with pytest.raises(CchError, match="cannot be read"):
            read_index(tmp_path)


class TestMemory:
    @pytest.mark.parametrize("protocol", [2, 4, 5])
    def test_memory_is_bounded_by_a_block(self, tmp_path, protocol):
        array = np.zeros((2560, 1024), np.float32)  # 10 MiB
        content = {fold: {"text": array + n} for n, fold in enumerate(["a", "b", "c", "d"])}
        path = written(tmp_path / "a.pkl", content, protocol)
        assert path.stat().st_size > 4 * array.nbytes
        del content
        tracemalloc.start()
        index = read_index(path)
        index_peak = tracemalloc.get_traced_memory()[1]
        limit = 1 << 20
        for fold in index.values():
            for start, stop in row_blocks(fold["text"], limit=limit):
                fold["text"].rows(start, stop)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # Text, of protocol 2, is decoded in pieces of 8 MiB; the rest of the index is kilobytes.
        assert index_peak < (40 << 20 if protocol == 2 else 1 << 18)
        assert protocol == 2 or peak < 2 * limit + (1 << 18)

    def test_a_frame_that_holds_everything_is_not_read_ahead(self, tmp_path):
        # An unusual writer may put the large bytes inside the frame; they still stay in the file.
        body = pickle.dumps({"a": np.zeros(4 << 20, np.uint8)}, protocol=3)[2:]
        path = tmp_path / "a.pkl"
        path.write_bytes(b"\x80\x04\x95" + struct.pack("<Q", len(body)) + body)
        assert pickle.load(io.BytesIO(path.read_bytes()))["a"].shape == (4 << 20,)
        tracemalloc.start()
        index = read_index(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 18
        assert index["a"].shape == (4 << 20,)
