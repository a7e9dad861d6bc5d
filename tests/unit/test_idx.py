"""The IDX reader, MNIST from IDX files, and scikit-learn's digits."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from cch.base.errors import CchError
from cch.data.datasets.digits import enlarge, read_digits_csv, read_mnist
from cch.data.datasets.idx import read_bytes, read_idx
from support import mirror

DIGITS_CSV = Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"


def idx_bytes(values: np.ndarray, code: int = 0x08) -> bytes:
    header = bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(CchError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_reads_back_what_was_written(tmp_path, values, pack):
    path = tmp_path / "values"
    path.write_bytes(pack(idx_bytes(values)))
    read = read_idx(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x09, np.int8), (0x0B, np.int16), (0x0C, np.int32), (0x0D, np.float32), (0x0E, np.float64)],
)
def test_every_type_code_is_read_in_native_byte_order(tmp_path, code, dtype):
    values = np.array([[-3, 1, 100], [0, 7, -100]], dtype=dtype)
    path = tmp_path / "values.idx"
    path.write_bytes(idx_bytes(values, code))
    read = read_idx(path)
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    "start", [b"\1\0\x08\1", b"\0\0\x07\1", b"\0\0\x08\0"], ids=["zeros", "type", "dimensions"]
)
def test_a_bad_magic_number_is_no_idx_file(tmp_path, values, start):
    assert "is no IDX file" in refused(tmp_path / "a", start + idx_bytes(values)[4:])


def test_an_empty_file_is_no_idx_file(tmp_path):
    assert "is no IDX file" in refused(tmp_path / "a", b"")


def test_a_header_that_is_cut_off(tmp_path, values):
    assert "inside its IDX header" in refused(tmp_path / "a", idx_bytes(values)[:9])


def test_fewer_values_than_announced(tmp_path, values):
    message = refused(tmp_path / "a", idx_bytes(values)[:-1])
    assert "is truncated: 59 bytes of values, 60 announced (3 x 4 x 5)" in message


def test_trailing_bytes(tmp_path, values):
    assert "has trailing bytes: 61" in refused(tmp_path / "a", idx_bytes(values) + b"\0")


def test_a_count_of_items_that_is_wrong(tmp_path, values):
    data = bytearray(idx_bytes(values))
    data[4:8] = struct.pack(">I", 4_000_000_000)
    assert "is truncated" in refused(tmp_path / "a", bytes(data))


@pytest.mark.parametrize("cut", [5, 30, -1, -8])
def test_a_truncated_gzip_file(tmp_path, values, cut):
    assert "has no end" in refused(tmp_path / "a.gz", gzip.compress(idx_bytes(values))[:cut])


def test_a_gzip_file_with_a_flipped_bit(tmp_path, values):
    data = bytearray(gzip.compress(idx_bytes(values)))
    data[-6] ^= 1  # in the checksum
    assert "is no intact gzip file" in refused(tmp_path / "a.gz", bytes(data))


def test_a_gzip_file_with_a_broken_stream(tmp_path, values):
    data = bytearray(gzip.compress(idx_bytes(values)))
    data[10] |= 0b110  # a block type that deflate does not have
    assert "is no intact gzip file" in refused(tmp_path / "a.gz", bytes(data))


def test_garbage_after_a_gzip_stream(tmp_path, values):
    data = gzip.compress(idx_bytes(values)) + b"garbage"
    assert "is no intact gzip file" in refused(tmp_path / "a.gz", data)


def test_a_missing_file(tmp_path):
    with pytest.raises(CchError, match="there is no such file"):
        read_bytes(tmp_path / "absent")


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(CchError, match="cannot be read"):
        read_bytes(tmp_path)


class TestMnist:
    @pytest.fixture
    def files(self, tmp_path) -> list[Path]:
        generator = np.random.default_rng(1)
        files = []
        for part, count in (("train", 7), ("test", 4)):
            for what, shape, top in (("images", (count, 28, 28), 256), ("labels", (count,), 10)):
                path = tmp_path / f"{part}-{what}.gz"
                drawn = generator.integers(0, top, shape, dtype=np.uint8)
                path.write_bytes(gzip.compress(idx_bytes(drawn)))
                files.append(path)
        return files

    def test_parts_keep_their_files_rows(self, files):
        digits = read_mnist(*files)
        np.testing.assert_array_equal(digits.train.image, read_idx(files[0]))
        np.testing.assert_array_equal(digits.test.label, read_idx(files[3]))
        np.testing.assert_array_equal(digits.train.row, np.arange(7))

    def test_images_and_labels_must_be_equally_many(self, files):
        with pytest.raises(CchError, match=r"test-labels.gz: holds uint8 \(4,\).* 7 images"):
            read_mnist(files[0], files[3], files[2], files[3])

    def test_labels_in_place_of_images(self, files):
        with pytest.raises(CchError, match=r"train-labels.gz: .*expected uint8 \(N, 28, 28\)"):
            read_mnist(files[1], files[1], files[2], files[3])

    def test_a_label_that_is_no_digit(self, files):
        files[1].write_bytes(idx_bytes(np.array([0, 1, 2, 3, 4, 5, 10], np.uint8)))
        with pytest.raises(CchError, match="holds the label 10"):
            read_mnist(*files)

    def test_real_mnist(self):
        names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
        digits = read_mnist(*(mirror("mnist", f"{name}-ubyte.gz") for name in names))
        assert digits.train.image.shape == (60_000, 28, 28)
        assert digits.test.image.shape == (10_000, 28, 28)
        # Class counts as published for MNIST.
        np.testing.assert_array_equal(
            np.bincount(digits.train.label),
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        )
        np.testing.assert_array_equal(
            np.bincount(digits.test.label), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        )


class TestDigitsCsv:
    def test_rows_are_scikit_learns(self):
        digits = read_digits_csv(DIGITS_CSV)
        reference = sklearn.datasets.load_digits()
        for part in (digits.train, digits.test):
            np.testing.assert_array_equal(part.label, reference.target[part.row])
            np.testing.assert_array_equal(part.image, enlarge(reference.images[part.row]))

    def test_every_row_is_on_one_side(self):
        digits = read_digits_csv(DIGITS_CSV)
        rows = np.concatenate([digits.train.row, digits.test.row])
        np.testing.assert_array_equal(np.sort(rows), np.arange(1797))
        assert len(digits.test.row) == 359

    def test_the_split_keeps_the_class_mix(self):
        digits = read_digits_csv(DIGITS_CSV)
        whole = np.bincount(np.concatenate([digits.train.label, digits.test.label]))
        assert np.abs(np.bincount(digits.test.label) - 0.2 * whole).max() <= 1.2

    def test_two_calls_agree(self):
        first, second = read_digits_csv(DIGITS_CSV), read_digits_csv(DIGITS_CSV)
        np.testing.assert_array_equal(first.test.row, second.test.row)
        np.testing.assert_array_equal(first.train.image, second.train.image)

    def test_enlarging_is_pillows_bilinear_resize_in_a_frame(self):
        from PIL import Image

        small = np.random.default_rng(2).integers(0, 17, (5, 8, 8))
        large = enlarge(small)
        for one, other in zip(small, large, strict=True):
            glyph = Image.fromarray(one.astype(np.float32) * (255 / 16))
            glyph = glyph.resize((20, 20), Image.Resampling.BILINEAR)
            np.testing.assert_allclose(other[4:24, 4:24], np.asarray(glyph), atol=0.501)
        frame = large.copy()
        frame[:, 4:24, 4:24] = 0
        assert not frame.any()

    def test_full_ink_is_255(self):
        assert (enlarge(np.full((1, 8, 8), 16.0))[0, 4:24, 4:24] == 255).all()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b"a,b\n", "is no table of numbers"),
            (b"\xff\xfe", "is no table of numbers"),
            (b"1,2,3\n4,5,6\n", r"is a table of \(2, 3\)"),
            (b",".join([b"17"] * 64 + [b"1\n"]) * 2, "pixels outside 0..16"),
            (b",".join([b"nan"] * 64 + [b"1\n"]) * 2, "pixels outside 0..16"),
            (b",".join([b"1"] * 64 + [b"10\n"]) * 2, "labels"),
        ],
    )
    def test_a_malformed_table(self, tmp_path, text, message):
        path = tmp_path / "digits.csv"
        path.write_bytes(text)
        with pytest.raises(CchError, match=message) as caught:
            read_digits_csv(path)
        assert str(caught.value).startswith(str(path))

    def test_a_truncated_table(self, tmp_path):
        path = tmp_path / "digits.csv.gz"
        path.write_bytes(DIGITS_CSV.read_bytes()[:5000])
        with pytest.raises(CchError, match=r"digits\.csv\.gz: is truncated"):
            read_digits_csv(path)
