"""MNIST-M: the blend, the patches, and the dataset that they make."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import sklearn.datasets

from cch.base.errors import CchError
from cch.config import MnistMDataset, SyntheticDataset, load
from cch.data.datasets import user_matrices
from cch.data.datasets.digits import Digits, LabelledImages
from cch.data.datasets.mnistm import blend, patches, prepare
from cch.data.datasets.photographs import Photographs
from cch.data.datasets.registry import KINDS, READERS, prepare_dataset, required_sources
from cch.data.paired import PairedDataset, write_paired
from support import mirror, raw_config

SKLEARN = Path(sklearn.datasets.__file__).parent

FILES = {
    "digits": {"digits": SKLEARN / "data" / "digits.csv.gz"},
    "photographs": {
        "china": SKLEARN / "images" / "china.jpg",
        "flower": SKLEARN / "images" / "flower.jpg",
    },
}
READER_OF = {"digits": "digits-csv", "photographs": "sample-photographs"}


def spec(**changes) -> MnistMDataset:
    return MnistMDataset(kind="mnistm", digits="digits", photographs="photographs", **changes)


def images(count: int, seed: int) -> LabelledImages:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return LabelledImages(image, generator.integers(0, 10, count), np.arange(count))


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(images(60, 0), images(25, 1), "noise")


@pytest.fixture(scope="module")
def photographs() -> Photographs:
    """Training photographs are darker than 100, test photographs are not."""
    generator = np.random.default_rng(2)
    shapes = [(28, 28), (30, 41), (64, 33)]
    train = {f"dark {s}": generator.integers(0, 100, s, dtype=np.uint8) for s in shapes}
    test = {f"light {s}": generator.integers(100, 256, s, dtype=np.uint8) for s in shapes[1:]}
    return Photographs(train, test, "noise")


class TestBlend:
    @pytest.mark.parametrize("alpha", [0.0, 0.18, 0.2, 0.5, 1.0])
    @pytest.mark.parametrize("threshold", [0, 127, 254])
    def test_equals_the_formula_pixel_by_pixel(self, alpha, threshold):
        generator = np.random.default_rng(3)
        digit, patch = generator.integers(0, 256, (2, 6, 28, 28), dtype=np.uint8)
        blended = blend(digit, patch, alpha, threshold)
        assert blended.dtype == np.uint8
        for place in np.ndindex(digit.shape):
            ink = 255 if int(digit[place]) > threshold else 0
            assert blended[place] == round(alpha * ink + (1 - alpha) * int(patch[place]))

    def test_alpha_1_is_the_binarised_digit(self, digits):
        digit = digits.train.image
        blended = blend(digit, digit[::-1], 1.0, 127)
        np.testing.assert_array_equal(blended, np.where(digit > 127, 255, 0))

    def test_alpha_0_is_the_patch(self, digits):
        digit = digits.train.image
        np.testing.assert_array_equal(blend(digit, digit[::-1], 0.0, 127), digit[::-1])


class TestPatches:
    def test_every_patch_is_a_window_of_a_photograph(self, photographs):
        for patch in patches(photographs.train, 30, ("key",)):
            windows = (
                image[top : top + 28, left : left + 28]
                for image in photographs.train.values()
                for top in range(image.shape[0] - 27)
                for left in range(image.shape[1] - 27)
            )
            assert any(np.array_equal(patch, window) for window in windows)

    def test_photographs_and_positions_are_uniform(self):
        # A photograph whose pixels are their own positions, and one that has a single position.
        where = np.add.outer(np.arange(30) * 32, np.arange(31)).astype(np.uint16)
        cut = patches(
            {"a": (where // 256).astype(np.uint8), "b": np.full((28, 28), 99, np.uint8)},
            8000,
            ("uniform",),
        )
        of_b = (cut == 99).all(axis=(1, 2)).sum()
        assert abs(of_b - 4000) < 4 * np.sqrt(8000 / 4)
        low = patches({"a": (where % 256).astype(np.uint8)}, 12_000, ("uniform",))
        counts = np.unique(low[:, 0, 0], return_counts=True)[1]
        assert len(counts) == 3 * 4
        expected = 12_000 / 12
        # Pearson's chi-square with 11 degrees of freedom: 31.3 is its 0.999 quantile.
        assert ((counts - expected) ** 2 / expected).sum() < 31.3

    def test_the_key_alone_determines_them(self, photographs):
        first = patches(photographs.train, 20, ("mnistm", 0, "train"))
        np.testing.assert_array_equal(first, patches(photographs.train, 20, ("mnistm", 0, "train")))
        assert not np.array_equal(first, patches(photographs.train, 20, ("mnistm", 1, "train")))

    def test_a_photograph_that_is_too_small_is_named(self):
        with pytest.raises(CchError, match=r"'tiny'.*is 27 x 90, smaller than 28 x 28"):
            patches({"tiny": np.zeros((27, 90), np.uint8)}, 1, ("key",))


class TestPrepare:
    def test_rows_labels_and_names(self, digits, photographs):
        contents = prepare(spec(), digits, photographs)
        assert contents.split == ["train"] * 60 + ["test"] * 25
        assert contents.sample[:2] == ["train-00000", "train-00001"]
        assert contents.sample[60] == "test-00000"
        np.testing.assert_array_equal(contents.label[60:], digits.test.label)
        assert contents.class_names == tuple("0123456789")
        assert contents.notes["train photographs"] == 3

    def test_mnist_is_the_digit_as_it_is(self, digits, photographs):
        plain = prepare(spec(), digits, photographs).modalities["mnist"]
        np.testing.assert_array_equal(plain.values[:60], digits.train.image)
        np.testing.assert_array_equal(plain.values[60:], digits.test.image)

    @pytest.mark.parametrize("name", ["mnist", "mnistm"])
    def test_scale_and_channels(self, digits, photographs, name):
        modality = prepare(spec(channels=2), digits, photographs).modalities[name]
        assert (modality.scale, modality.channels) == (1 / 255, 2)
        assert modality.values.dtype == np.uint8

    def test_test_digits_lie_on_test_photographs_only(self, digits, photographs):
        background = prepare(spec(alpha=0.0), digits, photographs).modalities["mnistm"].values
        assert background[:60].max() < 100
        assert background[60:].min() >= 100

    def test_backgrounds_do_not_depend_on_alpha_or_threshold(self, digits, photographs):
        background = prepare(spec(alpha=0.0), digits, photographs).modalities["mnistm"].values
        plain = np.concatenate([digits.train.image, digits.test.image])
        for alpha, threshold in [(0.2, 127), (0.18, 127), (0.2, 30)]:
            contents = prepare(spec(alpha=alpha, threshold=threshold), digits, photographs)
            np.testing.assert_array_equal(
                contents.modalities["mnistm"].values, blend(plain, background, alpha, threshold)
            )

    def test_another_seed_has_other_backgrounds(self, digits, photographs):
        first, second = (
            prepare(spec(alpha=0.0, seed=seed), digits, photographs).modalities["mnistm"].values
            for seed in (0, 1)
        )
        assert not np.array_equal(first[:60], second[:60])
        assert not np.array_equal(first[60:], second[60:])

    def test_more_test_digits_leave_the_training_rows_alone(self, digits, photographs):
        more = Digits(digits.train, images(40, 5), "noise")
        few, many = (
            prepare(spec(), which, photographs).modalities["mnistm"].values
            for which in (digits, more)
        )
        np.testing.assert_array_equal(few[:60], many[:60])


class TestRegistry:
    def test_the_demo_files_written_twice_are_the_same_bytes(self, tmp_path):
        for name in ("a.h5", "b.h5"):
            contents = prepare_dataset("demo", spec(), FILES, READER_OF)
            write_paired(tmp_path / name, contents)
        assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
        with PairedDataset(tmp_path / "a.h5") as dataset:
            assert len(dataset) == 1797
            assert dataset.shape("mnistm") == (28, 28)
            assert dataset.channels("mnistm") == 3
            train, test = (dataset.rows(part, seed=4) for part in ("train", "test"))
            assert (len(train), len(test)) == (1438, 359)
            # The number in an id is the row of the digit in scikit-learn's table.
            reference = sklearn.datasets.load_digits().target
            rows = [int(sample.split("-")[1]) for sample in dataset.sample]
            np.testing.assert_array_equal(dataset.label, reference[rows])

    def test_required_sources(self):
        assert required_sources("d", spec()) == ["digits", "photographs"]
        assert required_sources("s", SyntheticDataset(kind="synthetic", sigma_12=[0.1])) == []

    def test_readers_give_what_kinds_need(self):
        shipped = {
            name: dataset
            for preset in (None, "demo", "open")
            for name, dataset in load(raw_config(preset)).datasets.items()
        }
        needed = {
            one
            for name, dataset in shipped.items()
            for _, what in KINDS[dataset.kind].needs(name, dataset).values()
            for one in get_args(what) or (what,)
        }
        # A reader's own files are in no shipped configuration.
        assert {READERS[name].gives for name in READERS} == needed | {user_matrices.LocalFiles}

    def test_an_unknown_source(self):
        with pytest.raises(CchError, match=r"datasets\.demo\.digits: there is no source 'digits'"):
            prepare_dataset("demo", spec(), {}, {})

    def test_an_unknown_reader(self):
        with pytest.raises(CchError, match="there is no reader 'nonsense'; there are mnist-idx"):
            prepare_dataset("demo", spec(), FILES, READER_OF | {"digits": "nonsense"})

    def test_a_missing_role(self):
        with pytest.raises(CchError, match="has no file with the role 'flower'"):
            files = FILES | {"photographs": {"china": FILES["photographs"]["china"]}}
            prepare_dataset("demo", spec(), files, READER_OF)

    def test_photographs_where_digits_are_needed(self):
        wrong = MnistMDataset(kind="mnistm", digits="photographs", photographs="photographs")
        with pytest.raises(CchError, match="gives photographs, digits are needed"):
            prepare_dataset("demo", wrong, FILES, READER_OF)


def test_real_mnistm():
    mnist = {
        "train-images": mirror("mnist", "train-images-idx3-ubyte.gz"),
        "train-labels": mirror("mnist", "train-labels-idx1-ubyte.gz"),
        "test-images": mirror("mnist", "t10k-images-idx3-ubyte.gz"),
        "test-labels": mirror("mnist", "t10k-labels-idx1-ubyte.gz"),
    }
    contents = prepare_dataset(
        "mnistm",
        MnistMDataset(kind="mnistm"),
        {"mnist": mnist, "bsds500": {"archive": mirror("bsds500", "bsds500-images.tar")}},
        {"mnist": "mnist-idx", "bsds500": "bsds500"},
    )
    values = contents.modalities["mnistm"].values
    assert values.shape == (70_000, 28, 28)
    assert contents.split.count("train") == 60_000
    assert (contents.notes["train photographs"], contents.notes["test photographs"]) == (300, 200)
    # On paper a blended pixel is at most 0.8 * 255 = 204; under ink it is at least 0.2 * 255 = 51.
    ink = contents.modalities["mnist"].values > 127
    assert values[~ink].max() == 204
    assert values[ink].min() == 51
