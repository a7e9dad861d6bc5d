"""The dataset file and its splits."""

import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cch.base.errors import CchError
from cch.data.paired import Contents, Modality, PairedDataset, RandomSplit, write_paired


def contents(**changes) -> Contents:
    generator = np.random.default_rng(0)
    plain = Contents(
        task="classification",
        label=np.array([0, 1, 2, 1, 0, 2]),
        sample=["a", "b", "c", "d", "e", "ü"],
        modalities={
            "table": Modality(
                generator.normal(size=(6, 2)).astype(np.float32), feature=["TP53", "β-actin"]
            ),
            "image": Modality(
                generator.integers(0, 256, (6, 4, 5), dtype=np.uint8), scale=1 / 255, channels=3
            ),
        },
        class_names=["x", "y", "z"],
        split=["train", "train", "test", "valid", "test", "train"],
        notes={"funnel": [10, 6], "text": "Größe"},
    )
    return replace(plain, **changes)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data.h5"


class TestFile:
    def test_reads_back_what_was_written(self, path):
        written = contents()
        write_paired(path, written)
        with PairedDataset(path) as dataset:
            assert len(dataset) == 6
            assert dataset.task == "classification"
            assert dataset.class_names == ["x", "y", "z"]
            assert dataset.notes == written.notes
            assert dataset.sample == written.sample
            assert dataset.split.tolist() == written.split
            assert dataset.draw is None
            assert dataset.label.dtype == np.int64
            np.testing.assert_array_equal(dataset.label, written.label)
            assert dataset.modalities == ["image", "table"]
            for name, modality in written.modalities.items():
                assert dataset.values(name).dtype == modality.values.dtype
                np.testing.assert_array_equal(dataset.values(name), modality.values)
                assert dataset.shape(name) == modality.values.shape[1:]
                assert dataset.scale(name) == modality.scale
                assert dataset.channels(name) == modality.channels
                assert dataset.feature(name) == modality.feature

    def test_regression_labels_are_float32(self, path):
        write_paired(path, contents(task="regression", label=np.linspace(-1, 1, 6)))
        with PairedDataset(path) as dataset:
            assert dataset.label.dtype == np.float32

    def test_float64_values_are_stored_as_float32(self, path):
        values = np.random.default_rng(1).normal(size=(6, 3))
        write_paired(path, contents(modalities={"m": Modality(values)}))
        with PairedDataset(path) as dataset:
            np.testing.assert_array_equal(dataset.values("m"), values.astype(np.float32))

    def test_long_notes_fit(self, path):
        write_paired(path, contents(notes={"text": "x" * 200_000}))
        with PairedDataset(path) as dataset:
            assert len(dataset.notes["text"]) == 200_000

    def test_equal_contents_give_equal_bytes_at_another_time(self, tmp_path):
        write_paired(tmp_path / "a.h5", contents())
        time.sleep(1.1)  # HDF5 keeps times, where it does, in whole seconds
        write_paired(tmp_path / "b.h5", contents())
        assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()

    def test_an_unknown_modality_is_answered_with_the_known(self, path):
        write_paired(path, contents())
        message = "no modality 'audio'; it has image, table"
        with PairedDataset(path) as dataset, pytest.raises(CchError, match=message):
            dataset.values("audio")


class TestRefusedContents:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"label": np.array([], int)}, "no rows"),
            ({"label": np.array([0, 1])}, "'sample' has 6 rows but there are 2 labels"),
            ({"split": ["train"] * 5}, "'split' has 5 rows"),
            ({"draw": np.zeros(7)}, "'draw' has 7 rows"),
            ({"modalities": {}}, "no modality"),
            ({"modalities": {"m": Modality(np.zeros((5, 2)))}}, "'m' has 5 rows"),
            ({"sample": list("aabcde")}, "sample ids repeat"),
            ({"split": ["train"] * 5 + ["validation"]}, "split is 'validation', expected train"),
            ({"label": np.array([0, 1, 2, 3, 0, 1])}, r"labels must lie in 0\.\.2"),
            ({"label": np.array([0, 1, -1, 1, 0, 1])}, r"labels must lie in 0\.\.2"),
            ({"label": np.array([0, 1, 0.5, 1, 0, 1])}, r"labels must lie in 0\.\.2"),
            ({"label": np.zeros((6, 1))}, "expected one number for each row"),
            (
                {"task": "regression", "label": np.array([0, 1, np.nan, 1, 0, 1])},
                "labels contain NaN",
            ),
            ({"modalities": {"m": Modality(np.full((6, 2), np.inf))}}, "'m' contains NaN"),
            ({"modalities": {"m": Modality(np.full((6, 2), 1e300))}}, "'m' contains NaN"),
            ({"modalities": {"m": Modality(np.zeros((6, 2), int))}}, "'m' is int64"),
            ({"modalities": {"m": Modality(np.zeros((6, 2)), ["one"])}}, "2 features but 1 names"),
        ],
    )
    def test_is_refused_with_one_line_and_no_file(self, path, changes, message):
        with pytest.raises(CchError, match=message) as caught:
            write_paired(path, contents(**changes))
        assert str(caught.value).startswith("data.h5: ")
        assert "\n" not in str(caught.value)
        assert list(path.parent.iterdir()) == []


class TestRefusedFiles:
    def refused(self, path: Path) -> str:
        with pytest.raises(CchError) as caught:
            PairedDataset(path)
        assert str(caught.value).startswith(str(path))
        return str(caught.value)

    def test_a_missing_file(self, path):
        assert "no such dataset file" in self.refused(path)

    def test_a_truncated_file(self, path):
        write_paired(path, contents())
        path.write_bytes(path.read_bytes()[:-100])
        assert "cannot be read as HDF5" in self.refused(path)

    def test_a_file_of_another_format(self, path):
        with h5py.File(path, "w") as file:
            file.attrs["format"] = "other-1"
        assert "format is 'other-1', expected 'cch-paired-1'" in self.refused(path)

    @pytest.mark.parametrize("part", ["label", "modalities"])
    def test_a_file_without_a_part(self, path, part):
        write_paired(path, contents())
        with h5py.File(path, "r+") as file:
            del file[part]
        assert "is incomplete or damaged" in self.refused(path)

    @pytest.mark.parametrize("part", ["sample", "split", "modalities/image/values"])
    def test_rows_that_do_not_agree(self, path, part):
        write_paired(path, contents())
        with h5py.File(path, "r+") as file:
            values = file[part][:-1]
            del file[part]
            file[part] = values
        assert f"{part!r} has 5 rows, expected 6" in self.refused(path)


class TestRows:
    def test_the_datasets_own_split(self, path):
        write_paired(path, contents())
        with PairedDataset(path) as dataset:
            for seed in (0, 9):
                assert dataset.rows("train", seed).tolist() == [0, 1, 5]
                assert dataset.rows("valid", seed).tolist() == [3]
                assert dataset.rows("test", seed).tolist() == [2, 4]

    def test_no_split_at_all(self, path):
        write_paired(path, contents(split=None))
        with PairedDataset(path) as dataset:
            with pytest.raises(CchError, match="fixes no split"):
                dataset.rows("train", 0)
            whole = RandomSplit(test=0.5, stratified=False)
            parts = [dataset.rows(part, 0, whole) for part in ("train", "test")]
            np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(6))

    def test_draws_hold_one_seed_each(self, path):
        draw = np.array([0, 0, 0, 1, 1, 1])
        write_paired(path, contents(draw=draw))
        with PairedDataset(path) as dataset:
            assert dataset.rows("train", 0).tolist() == [0, 1]
            assert dataset.rows("test", 1).tolist() == [4]
            random = RandomSplit(test=1 / 3)
            both = [dataset.rows(part, 1, random) for part in ("train", "test")]
            np.testing.assert_array_equal(np.sort(np.concatenate(both)), [3, 4, 5])
            with pytest.raises(CchError, match="holds 2 draws, seed 2 has none"):
                dataset.rows("train", 2)


class TestRandomSplit:
    label = np.repeat([0, 1, 2, 3], [500, 120, 30, 7])
    pool = np.arange(657)

    def parts(self, split: RandomSplit, seed: int = 0) -> dict[str, np.ndarray]:
        return {
            part: split.rows(part, seed, self.pool, self.label)
            for part in ("train", "valid", "test")
        }

    @pytest.mark.parametrize("stratified", [True, False])
    def test_every_row_is_in_one_part(self, stratified):
        parts = self.parts(RandomSplit(test=0.2, valid=0.1, stratified=stratified))
        np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), self.pool)
        assert len(parts["test"]) == round(0.2 * 657)
        assert len(parts["valid"]) == round(0.1 * 657)
        for rows in parts.values():
            assert (np.diff(rows) > 0).all()

    @pytest.mark.parametrize("seed", range(5))
    def test_stratified_parts_keep_the_class_mix(self, seed):
        for part, share in (("train", 0.7), ("valid", 0.1), ("test", 0.2)):
            rows = self.parts(RandomSplit(test=0.2, valid=0.1), seed)[part]
            counts = np.bincount(self.label[rows], minlength=4)
            assert np.abs(counts - share * np.bincount(self.label)).max() < 1.5

    def test_every_row_is_tested_about_equally_often(self):
        split, seeds = RandomSplit(test=0.2), 400
        tested = np.zeros(657)
        for seed in range(seeds):
            tested[split.rows("test", seed, self.pool, self.label)] += 1
        # Binomial with 400 trials at 0.2: standard deviation 8; 657 rows, 5 sigma.
        assert np.abs(tested - 0.2 * seeds).max() < 5 * 8

    def test_seeds_and_keys_give_other_splits_and_the_same_ones_again(self):
        split = RandomSplit(test=0.2, key="split/a")
        first = split.rows("test", 0, self.pool, self.label)
        np.testing.assert_array_equal(first, split.rows("test", 0, self.pool, self.label))
        assert not np.array_equal(first, split.rows("test", 1, self.pool, self.label))
        other = RandomSplit(test=0.2, key="split/b")
        assert not np.array_equal(first, other.rows("test", 0, self.pool, self.label))

    def test_rows_come_from_the_pool(self):
        pool = self.pool[100:]
        rows = RandomSplit(test=0.2).rows("test", 0, pool, self.label[pool])
        assert np.isin(rows, pool).all()
        assert len(rows) == round(0.2 * 557)

    def test_real_labels_are_split_without_strata(self):
        label = np.random.default_rng(0).normal(size=50).astype(np.float32)
        rows = RandomSplit(test=0.2).rows("test", 0, np.arange(50), label)
        assert len(rows) == 10


def test_only_a_modality_with_missing_values_holds_nan(tmp_path):
    values = np.array([[1.0, np.nan], [2.0, 3.0]], dtype=np.float32)

    def contents(missing, array=values):
        modality = {"rppa": Modality(array, missing=missing)}
        return Contents("classification", np.array([0, 1]), ["a", "b"], modality, ("x", "y"))

    with pytest.raises(CchError, match="'rppa' contains NaN"):
        write_paired(tmp_path / "d.h5", contents(False))
    infinite = np.array([[np.inf, np.nan], [2.0, 3.0]], dtype=np.float32)
    with pytest.raises(CchError, match="'rppa' contains infinity"):
        write_paired(tmp_path / "d.h5", contents(True, infinite))
    write_paired(tmp_path / "d.h5", contents(True))
    with PairedDataset(tmp_path / "d.h5") as dataset:
        assert dataset.missing("rppa")
        np.testing.assert_array_equal(dataset.values("rppa"), values)
