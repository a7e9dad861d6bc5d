"""CMU-MOSEI: Algorithm 2 on hand-made segments, the layout of the raw file, the fixture."""

import pickle
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cch.base.errors import CchError
from cch.data.datasets import mosei
from cch.data.datasets.mosei_fixture import write_fixture
from cch.data.datasets.registry import prepare_dataset, required_sources
from cch.data.datasets.safe_pickle import row_blocks
from cch.data.paired import PairedDataset, write_paired
from support import mirror


def spec(length: int = 50, pooled: bool = True, split: str = "official") -> SimpleNamespace:
    return SimpleNamespace(
        **{"kind": "mosei", "title": "CMU-MOSEI", "source": "mosei"},
        **{"length": length, "pooled": pooled, "split": split},
    )


def layout(rows: int = 6, steps: int = 5, dtype: str = "<f4") -> dict:
    """Folds of ``rows`` segments: segment n has n % (steps + 1) tokens, so some have none."""
    draw = np.random.default_rng(0)
    content = {}
    for fold in mosei.FOLDS:
        tokens = np.arange(rows) % (steps + 1)
        padded = np.arange(steps) < (steps - tokens)[:, None]
        content[fold] = {}
        for name, width in mosei.FEATURES.items():
            values = draw.standard_normal((rows, steps, width)).astype(dtype)
            if name == "text":  # the other modalities also speak before the first token
                values[padded] = 0
            content[fold][name] = values
        score = np.array([0, 1 / 3, -1, 3, -2, 0.0] * rows)[:rows]
        content[fold]["labels"] = np.zeros((rows, 1, 7), dtype)
        content[fold]["labels"][:, 0, 0] = score
        content[fold]["labels"][:, 0, 1:] = 2.0
        content[fold]["id"] = np.array([f"{fold}[{row}]" for row in range(rows)])
    return content


def saved(tmp_path: Path, content: object, protocol: int = 4) -> mosei.MoseiPickle:
    path = tmp_path / "mosei_raw.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return mosei.find_pickle(path)


def by_hand(content: dict, length: int) -> dict[str, list[np.ndarray]]:
    """Algorithm 2, segment by segment and step by step."""
    out: dict[str, list[np.ndarray]] = {name: [] for name in mosei.FEATURES}
    for fold in mosei.FOLDS:
        for row, text in enumerate(content[fold]["text"]):
            spoken = [step for step in range(len(text)) if text[step].any()]
            if not spoken:
                continue
            for name, width in mosei.FEATURES.items():
                steps = list(content[fold][name][row][spoken[0] :])[:length]
                steps += [np.zeros(width)] * (length - len(steps))
                out[name].append(np.array(steps, dtype=np.float32))
    return out


class TestAlignment:
    def test_hand_made_segments(self):
        text = np.array([[0, 0, 3, 4], [1, 0, 0, 2], [0, 0, 0, 0], [0, 0, 0, 9]], float)[..., None]
        vision = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [1, 1, 1, 1], [2, 2, 2, 0]], float)[
            ..., None
        ]
        start = mosei.first_tokens(text)
        np.testing.assert_array_equal(start, [2, 0, 4, 3])
        np.testing.assert_array_equal(
            mosei.align(vision, start, 3)[..., 0], [[3, 4, 0], [5, 6, 7], [0, 0, 0], [0, 0, 0]]
        )
        np.testing.assert_array_equal(
            mosei.align(text, start, 6)[..., 0],
            [[3, 4, 0, 0, 0, 0], [1, 0, 0, 2, 0, 0], [0] * 6, [9, 0, 0, 0, 0, 0]],
        )

    def test_a_token_is_any_non_zero_feature(self):
        text = np.zeros((2, 3, 2))
        text[0, 1] = (-1, 1)  # sums to zero and is a token all the same
        text[1, 2] = (0, 1e-30)
        np.testing.assert_array_equal(mosei.first_tokens(text), [1, 2])

    def test_the_mean_is_over_all_steps_with_padding(self):
        sequence = mosei.align(np.array([[[0.0], [2.0], [4.0]]]), np.array([1]), 50)
        assert mosei.mean_pool(sequence) == np.float32(6 / 50)

    def test_values_that_are_not_finite(self):
        zeroed: Counter[str] = Counter()
        values = np.array([[1.0, -np.inf, np.inf], [np.nan, -np.inf, 1e300]])
        cleaned = mosei.finite(values, "audio", zeroed)
        assert cleaned.dtype == np.float32
        np.testing.assert_array_equal(cleaned, [[1, 0, 0], [0, 0, 0]])
        assert zeroed == {"audio -inf": 2, "audio other": 3}


class TestDrawnSplit:
    def test_the_parts_are_table_15_s_and_keep_the_class_mix(self):
        label = np.repeat([0, 1], [600, 400])
        split = np.array(mosei.drawn_split(label))
        counts = {name: int((split == name).sum()) for name in mosei.FOLDS}
        assert counts == {"train": 700, "valid": 100, "test": 200}
        for name in mosei.FOLDS:
            # Classes are spread evenly, so a part misses its share by one row of a class at most.
            assert abs(label[split == name].sum() - 0.4 * counts[name]) <= 1

    def test_it_takes_the_place_of_the_folds_and_changes_nothing_else(self, tmp_path):
        raw = saved(tmp_path, layout(rows=20))
        official, drawn = (mosei.prepare(spec(split=s), raw) for s in ("official", "70-10-20"))
        assert drawn.split == mosei.drawn_split(official.label) != official.split
        assert (drawn.sample, drawn.notes["funnel"]) == (official.sample, official.notes["funnel"])
        np.testing.assert_array_equal(
            drawn.modalities["text"].values, official.modalities["text"].values
        )
        assert (official.notes["split"], drawn.notes["split"]) == (
            "the official folds",
            "70 / 10 / 20 %, drawn once",
        )


class TestPrepare:
    @pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8"])
    @pytest.mark.parametrize(("steps", "length"), [(5, 50), (5, 3), (5, 5)])
    def test_equals_algorithm_2_step_by_step(self, tmp_path, dtype, steps, length):
        content = layout(steps=steps, dtype=dtype)
        raw = saved(tmp_path, content)
        expected = by_hand(content, length)
        sequences = mosei.prepare(spec(length, pooled=False), raw)
        pooled = mosei.prepare(spec(length), raw)
        for name in mosei.FEATURES:
            np.testing.assert_array_equal(sequences.modalities[name].values, expected[name])
            mean = np.mean(expected[name], axis=1, dtype=np.float64)
            # Both are rounded to float32 once; the sums may differ in the last bit of float64.
            np.testing.assert_allclose(pooled.modalities[name].values, mean, rtol=1e-6, atol=1e-12)

    def test_rows_labels_folds_and_names(self, tmp_path):
        contents = mosei.prepare(spec(), saved(tmp_path, layout()))
        # Segment 0 of each fold has no token; the scores of the others are 1/3, -1, 3, -2, 0.
        np.testing.assert_array_equal(contents.label, [1, 0, 1, 0, 0] * 3)
        assert contents.split == ["train"] * 5 + ["valid"] * 5 + ["test"] * 5
        assert contents.sample[0] == "train-00001 train[1]"
        assert contents.class_names == ("negative or neutral", "positive")
        write_paired(tmp_path / "m.h5", contents)
        with PairedDataset(tmp_path / "m.h5") as dataset:
            assert dataset.modalities == ["audio", "text", "vision"]
            assert dataset.shape("vision") == (713,)
            assert dataset.rows("valid", seed=0).tolist() == [5, 6, 7, 8, 9]

    def test_the_funnel_stands_beside_the_official_folds(self, tmp_path):
        content = layout()
        content["test"]["audio"][4, 3:, 0] = -np.inf
        content["test"]["vision"][2, 0, 0] = np.nan
        notes = mosei.prepare(spec(), saved(tmp_path, content)).notes
        assert notes["funnel"]["test"] == {
            "official": 4662,
            "official positive": 2287,
            "stored": 6,
            "stored positive": 2,
            "without text": 1,
            "kept": 5,
            "positive": 2,
        }
        assert notes["values set to 0"] == {"audio -inf": 2, "vision other": 1}
        assert notes["ids in several folds"] == 0

    def test_ids_that_stand_in_two_folds_are_counted(self, tmp_path):
        content = layout()
        content["valid"]["id"] = content["train"]["id"][::-1]
        assert mosei.prepare(spec(), saved(tmp_path, content)).notes["ids in several folds"] == 6

    @pytest.mark.parametrize(
        "ids", [[b"v[1]"] * 6, [["v", "0.1", "2.5"]] * 6, np.array([["v", 1.5]] * 6, dtype=object)]
    )
    def test_other_ways_of_naming_segments(self, tmp_path, ids):
        content = layout()
        content["train"]["id"] = ids
        first = mosei.prepare(spec(), saved(tmp_path, content)).sample[0]
        assert first in ("train-00001 v[1]", "train-00001 v|0.1|2.5", "train-00001 v|1.5")

    def test_labels_of_the_sentiment_alone(self, tmp_path):
        content = layout()
        for fold in content.values():
            fold["labels"] = fold["labels"][:, :, :1]
        label = mosei.prepare(spec(), saved(tmp_path, content)).label
        np.testing.assert_array_equal(label, [1, 0, 1, 0, 0] * 3)

    def test_a_file_without_ids(self, tmp_path):
        content = layout()
        for fold in content.values():
            del fold["id"]
        assert mosei.prepare(spec(), saved(tmp_path, content)).sample[0] == "train-00001"

    @pytest.mark.parametrize("pooled", [True, False])
    def test_nothing_depends_on_the_blocks(self, tmp_path, monkeypatch, pooled):
        raw = saved(tmp_path, layout(rows=13), protocol=2)
        whole = mosei.prepare(spec(pooled=pooled), raw)
        monkeypatch.setattr(mosei, "row_blocks", lambda *a: row_blocks(*a, limit=3 * 5 * 713 * 4))
        pieces = mosei.prepare(spec(pooled=pooled), raw)
        assert pieces.sample == whole.sample
        for name in mosei.FEATURES:
            np.testing.assert_array_equal(
                pieces.modalities[name].values, whole.modalities[name].values
            )


def test_the_registry_prepares_it(tmp_path):
    raw = saved(tmp_path, layout())
    assert required_sources("d", spec()) == ["mosei"]
    files, readers = {"mosei": {"pickle": raw.path}}, {"mosei": "mosei-pickle"}
    contents = prepare_dataset("mosei", spec(), files, readers)
    assert len(contents.label) == 15


def without(content: dict, *keys: str) -> dict:
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    return content


def with_value(content: dict, fold: str, key: str, value: object) -> dict:
    content[fold][key] = value
    return content


def with_score(content: dict, value: float) -> dict:
    content["valid"]["labels"][2, 0, 0] = value
    return content


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ([layout()], "holds a list, expected folds"),
        (without(layout(), "valid"), "has no fold 'valid'; it has 'train', 'test'"),
        (without(layout(), "test", "vision"), "fold 'test' has no array 'vision'; it has 'text'"),
        (without(layout(), "train", "labels"), "fold 'train' has no array 'labels'"),
        (with_value(layout(), "train", "audio", [1.0]), "fold 'train' has no array 'audio'"),
        (
            with_value(layout(), "train", "vision", np.zeros((6, 5, 35), "f4")),
            r"train/vision is float32 \(6, 5, 35\), expected float \(6, 5, 713\)",
        ),
        (
            with_value(layout(), "test", "audio", np.zeros((6, 4, 74), "f4")),
            r"test/audio is float32 \(6, 4, 74\), expected float \(6, 5, 74\)",
        ),
        (
            with_value(layout(), "test", "text", np.zeros((5, 5, 300), "f4")),
            r"test/text is float32 \(5, 5, 300\), expected float \(6, 5, 300\)",
        ),
        (with_value(layout(), "test", "text", np.zeros((6, 300), "f4")), "test/text is .*expected"),
        (
            with_value(layout(), "test", "text", np.zeros((6, 5, 300), object)),
            "test/text is object .*expected float",
        ),
        (
            with_value(layout(), "test", "labels", np.zeros((6, 7))),
            r"test/labels is float64 \(6, 7\), expected numbers \(N, 1, 7\)",
        ),
        (with_score(layout(), np.nan), "valid/labels: 1 of 6 sentiments are NaN or infinite"),
        (with_score(layout(), np.inf), "valid/labels: 1 of 6 sentiments are NaN or infinite"),
        (with_value(layout(), "test", "id", ["a"]), "test/id has 1 ids, expected 6"),
        (with_value(layout(), "test", "id", "abcdef"), "test/id has no list of ids, expected 6"),
        (
            with_value(layout(), "test", "text", np.zeros((6, 5, 300), "f4")),
            "fold 'test' has no segment with text",
        ),
    ],
)
def test_another_layout_is_one_line(tmp_path, content, line):
    raw = saved(tmp_path, content)
    with pytest.raises(CchError, match=line) as excinfo:
        mosei.prepare(spec(), raw)
    assert "\n" not in str(excinfo.value)
    assert str(raw.path) in str(excinfo.value)


def test_empty_folds_are_one_line(tmp_path):
    with pytest.raises(CchError, match="fold 'train' has no segment with text"):
        mosei.prepare(spec(), saved(tmp_path, layout(rows=0)))


class TestOfficialFolds:
    LABELS = "file,index,label2b\nv,0,1\nv,1,0\nw,0,-1\nw,1,1\n"

    def counted(self, tmp_path, labels: str, **segments: str) -> dict:
        (tmp_path / "labels.csv").write_text(labels)
        for fold, text in segments.items():
            (tmp_path / f"{fold}.csv").write_text(text)
        paths = {fold: tmp_path / f"{fold}.csv" for fold in segments}
        return mosei.official_folds(tmp_path / "labels.csv", paths)

    def test_hand_made_tables(self, tmp_path):
        counts = self.counted(
            tmp_path, self.LABELS, train="id\nv[0]\nv[1]\nw[1]\n", test="id\nw[0]\n"
        )
        assert counts["train"] == {"segments": 3, "positive": 2}
        assert counts["test"] == {"segments": 1, "positive": 0}

    @pytest.mark.parametrize(
        ("labels", "train", "line"),
        [
            (LABELS, "id\nv[2]\n", r"segment 'v\[2\]' has no label"),
            (LABELS, "id\nv[1]\nv[1]\n", "segments repeat"),
            (LABELS, "name\nv[1]\n", "has no column 'id'"),
            ("file,index\nv,0\n", "id\nv[0]\n", "has no column 'label2b'"),
        ],
    )
    def test_a_wrong_table_is_one_line(self, tmp_path, labels, train, line):
        with pytest.raises(CchError, match=line):
            self.counted(tmp_path, labels, train=train)

    def test_the_published_tables(self):
        folder = mirror("mosei")
        segments = {fold: folder / f"segments_{fold}.csv.gz" for fold in mosei.FOLDS}
        counts = mosei.official_folds(folder / "CMU_MOSEI_Labels.csv.gz", segments)
        assert counts == mosei.OFFICIAL


class TestFixture:
    def test_the_layout_is_what_python_reads(self, tmp_path):
        write_fixture(tmp_path / "a.pkl", train=70, valid=41, test=30, steps=8)
        content = pickle.loads((tmp_path / "a.pkl").read_bytes())
        for fold, rows in {"train": 70, "valid": 41, "test": 30}.items():
            part = content[fold]
            for name, width in mosei.FEATURES.items():
                assert part[name].shape == (rows, 8, width)
                assert part[name].dtype == np.float32
            assert part["labels"].shape == (rows, 1, 7)
            assert np.abs(part["labels"]).max() <= 3
            assert len(set(part["id"])) == rows
            empty = ~part["text"].any(axis=(1, 2))
            np.testing.assert_array_equal(np.flatnonzero(empty), np.arange(17, rows, 40))
            assert np.isneginf(part["audio"]).any(axis=(1, 2)).sum() == len(range(7, rows, 25))
            token = part["text"][~empty].any(axis=2)
            assert (np.diff(token.astype(int), axis=1) >= 0).all()  # padding is on the left alone
            assert not token.all()

    def test_equal_arguments_give_equal_bytes(self, tmp_path):
        for name, seed in {"a": 0, "b": 0, "c": 1}.items():
            write_fixture(tmp_path / name, train=70, valid=5, test=5, seed=seed, steps=3)
        first, second, other = ((tmp_path / name).read_bytes() for name in "abc")
        assert first == second
        assert first != other

    def test_text_tells_the_label_and_the_others_tell_a_little(self, tmp_path):
        write_fixture(tmp_path / "a.pkl", train=600, valid=5, test=600, steps=10)
        contents = mosei.prepare(spec(length=10), mosei.find_pickle(tmp_path / "a.pkl"))
        train = np.array(contents.split) == "train"
        test = np.array(contents.split) == "test"
        accuracy = {}
        for name, modality in contents.modalities.items():
            model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=500))
            model.fit(modality.values[train], contents.label[train])
            accuracy[name] = model.score(modality.values[test], contents.label[test])
        chance = max(contents.label[test].mean(), 1 - contents.label[test].mean())
        # The standard error of an accuracy on 585 rows is 0.02; chance is about 0.54.
        assert accuracy["text"] > 0.8
        for weak in ("audio", "vision"):
            assert chance + 0.04 < accuracy[weak] < accuracy["text"] - 0.06
