"""CMU-MOSEI by utterance: nine parts to one dataset, and the file's way from a server with LFS."""

import hashlib
import pickle
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml

from cch.base.errors import CchError
from cch.config import MoseiUtteranceDataset
from cch.data.datasets.mosei_utterance import FEATURES, PLACES, prepare, read_utterances
from cch.data.datasets.registry import prepare_dataset, required_sources
from cch.data.paired import PairedDataset, write_paired
from cch.data.sources.fetch import fetch
from cch.data.sources.table import load_table
from server import Server
from support import ROOT

SPEC = MoseiUtteranceDataset(kind="mosei-utterance")
VIDEOS = {"a": 3, "b": 2, "c": 4, "d": 1, "unused": 2}
TABLE = ROOT / "workflow" / "sources.yaml"


@pytest.fixture
def made():
    """The nine parts by name, as multilogue-net's loader unpacks them."""
    draw = np.random.default_rng(0)
    held = {name: {} for name in PLACES[:7]}
    for video, count in VIDEOS.items():
        held["ids"][video] = [f"{video}_{n}" for n in range(count)]
        held["speakers"][video] = ["user"] * count
        held["labels"][video] = [0.0, 1 / 3, -1.0, 3.0][:count]
        held["sentences"][video] = ["words"] * count
        for name, width in FEATURES.items():
            held[name][video] = draw.standard_normal((count, width))
    return held | {"train": ["c", "a", "d"], "test": ["b"]}


def write(path, held, protocol=4):
    path.write_bytes(pickle.dumps(tuple(held.values()), protocol))
    return path


def refused(path):
    with pytest.raises(CchError) as caught:
        read_utterances(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


def test_rows_labels_and_parts(tmp_path, made):
    made["audio"]["c"][2, 5] = -np.inf
    path = write(tmp_path / "regression.pkl", made)
    write_paired(tmp_path / "a.h5", prepare(SPEC, read_utterances(path)))
    with PairedDataset(tmp_path / "a.h5") as dataset:
        rows = dataset.rows("train", seed=0)
        np.testing.assert_array_equal(dataset.label[rows], [0, 1, 0, 0, 1, 0, 1, 0])
        np.testing.assert_array_equal(dataset.label[dataset.rows("test", seed=0)], [0, 1])
        made["audio"]["c"][2, 5] = 0
        for name in FEATURES:
            expected = np.concatenate([made[name][video] for video in "acdb"])
            np.testing.assert_array_equal(dataset.values(name), expected.astype(np.float32))
        assert dataset.notes["funnel"]["train"] == {"videos": 3, "utterances": 8, "positive": 3}
        np.testing.assert_array_equal(dataset.group, [0] * 3 + [1] * 4 + [2] + [3] * 2)
        assert dataset.notes["videos in neither part"] == 1
        assert dataset.notes["values set to 0"] == {"audio -inf": 1}


def _lists(values):
    return {video: list(one) for video, one in values.items()}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "change",
    [
        lambda held: {name: _lists(held[name]) for name in FEATURES},  # an array an utterance
        lambda held: {"labels": {v: np.array(x) for v, x in held["labels"].items()}},
        lambda held: {"labels": {v: np.array(x)[:, None] for v, x in held["labels"].items()}},
        lambda held: {"labels": {v: list(np.array(x)) for v, x in held["labels"].items()}},
        lambda held: {"train": set(held["train"]), "test": np.array(held["test"])},
    ],
)
def test_other_containers_hold_the_same(tmp_path, made, protocol, change):
    plain = prepare(SPEC, read_utterances(write(tmp_path / "a.pkl", made)))
    other = prepare(SPEC, read_utterances(write(tmp_path / "b.pkl", made | change(made), protocol)))
    np.testing.assert_array_equal(plain.label, other.label)
    assert plain.sample == other.sample
    for name in FEATURES:
        np.testing.assert_array_equal(plain.modalities[name].values, other.modalities[name].values)


def _without(held, name, video):
    return {name: {key: value for key, value in held[name].items() if key != video}}


def _with(held, name, video, value):
    return {name: held[name] | {video: value}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda held: {"text": [1]}, "text are no mapping by video"),
        (lambda held: {"train": "a"}, "train is no list of videos"),
        (lambda held: {"test": []}, "test is no list of videos"),
        (lambda held: {"test": [("b",)]}, "test names a tuple as video"),
        (lambda held: {"test": ["b", "a"]}, "video a is in both parts"),
        (lambda held: _without(held, "vision", "b"), "test: video b has no vision"),
        (lambda held: _with(held, "labels", "a", [0, 4, 0]), "video a: a label is not in -3..3"),
        (lambda held: _with(held, "labels", "a", [0, np.nan, 0]), "a label is not in -3..3"),
        (lambda held: _with(held, "labels", "a", ["x"]), "video a: labels are no list"),
        (
            lambda held: {"audio": held["vision"]},
            r"video c: audio are (4, 35), expected (4, 384)",
        ),
        (lambda held: _with(held, "text", "d", [[0.0], [0.0, 1.0]]), "text are no numbers"),
        (lambda held: _with(held, "text", "d", print), "asks for builtins.print, which is refused"),
        (lambda held: {"more": 1}, "does not hold 9 parts: ids, speakers, labels, text, audio"),
    ],
)
def test_another_layout_is_one_line(tmp_path, made, change, expected):
    made["labels"] = {video: made["labels"][video] for video in ("c", "a", "b", "d", "unused")}
    assert expected in refused(write(tmp_path / "a.pkl", made | change(made)))


def test_the_source_is_fetched_under_its_real_path_and_prepared(tmp_path, made, monkeypatch):
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    content = write(tmp_path / "made.pkl", made).read_bytes()
    source = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["mosei-utterance"]
    (file,) = source["files"]
    pointer = f"oid sha256:{file['sha256']}\nsize {file['bytes']}\n"
    with Server() as server:
        raw, *_ = paths = [urlsplit(address).path for address in reversed(file["addresses"])]
        # The file's own address gives the pointer here; the one of LFS's media gives the file.
        server.give(raw, f"version https://git-lfs.github.com/spec/v1\n{pointer}".encode())
        server.give(paths[-1], content)
        file["addresses"] = [server.url + path for path in paths]
        file |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"mosei-utterance": source}))
        fetched = fetch(
            "mosei-utterance",
            "regression.pkl",
            table=load_table(tmp_path / "sources.yaml"),
            destination=tmp_path / "resources" / "regression.pkl",
            lock=tmp_path / "sources.lock",
        )
        assert fetched.address == server.url + paths[-1]
        assert paths[-1].startswith("/media/amanshenoy/multilogue-net/5d6b6ff")
    (name,) = required_sources("any", SPEC)
    contents = prepare_dataset(
        "any", SPEC, {name: {file["role"]: fetched.path}}, {name: source["reader"]}
    )
    assert len(contents.label) == 10
