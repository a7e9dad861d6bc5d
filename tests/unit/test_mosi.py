"""CMU-MOSI: six tables to one dataset."""

import gzip
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.data.datasets import mosi
from cch.data.paired import PairedDataset, write_paired
from support import mirror

SPEC = SimpleNamespace(kind="mosi", title="CMU-MOSI", source="mosi")
ROWS = {"train": 12, "test": 5}
ORDER = [(name, part) for part in ("train", "test") for name in ("text", "audio", "video")]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(mosi, "UTTERANCES", ROWS)


@pytest.fixture
def tables() -> dict[tuple[str, str], np.ndarray]:
    draw = np.random.default_rng(0)
    label = {part: np.arange(rows) < rows // 3 for part, rows in ROWS.items()}
    return {
        (name, part): np.column_stack(
            [draw.standard_normal((ROWS[part], mosi.FEATURES[name])), label[part]]
        )
        for name, part in ORDER
    }


def write(folder: Path, tables: dict[tuple[str, str], np.ndarray]) -> list[Path]:
    """Write tables as they are published: every number in quotes, CRLF, gzip."""
    paths = []
    for name, part in ORDER:
        lines = [",".join(f'"{float(v)!r}"' for v in row) for row in tables[name, part]]
        paths.append(folder / f"{name}_{part}0.csv.gz")
        paths[-1].write_bytes(gzip.compress("\r\n".join([*lines, ""]).encode()))
    return [*paths, write_transcripts(folder, tables)]


def write_transcripts(folder: Path, tables: dict[tuple[str, str], np.ndarray]) -> Path:
    """A list of utterances in another order than the rows: by number in reverse."""
    lines = []
    for part, first in (("train", 1), ("test", 63)):
        for row, label in enumerate(tables["text", part][::-1, -1]):
            number = first + row // 4
            lines.append(f'"v{number}_{row}","SO, WHAT","{number}","{int(label)}"')
    path = folder / "transcripts.csv.gz"
    path.write_bytes(gzip.compress("\r\n".join([*lines, ""]).encode()))
    return path


def test_rows_labels_and_split(tmp_path, tables):
    contents = mosi.prepare(SPEC, mosi.read_tables(*write(tmp_path, tables)))
    assert contents.split == ["train"] * 12 + ["test"] * 5
    assert (contents.sample[0], contents.sample[12]) == ("train-0000", "test-0000")
    np.testing.assert_array_equal(contents.label, [1] * 4 + [0] * 8 + [1] + [0] * 4)
    assert contents.group == ["v3"] * 4 + ["v1"] * 4 + ["v2"] * 4 + ["v64"] + ["v63"] * 4
    for name in mosi.FEATURES:
        expected = np.concatenate([tables[name, "train"][:, :-1], tables[name, "test"][:, :-1]])
        np.testing.assert_array_equal(contents.modalities[name].values, expected)
    assert contents.notes["funnel"]["train"] == {
        "utterances": 12,
        "positive": 4,
        "negative": 8,
        "videos": 3,
    }
    assert "CMU-MOSI" in contents.notes["dataset"]


def test_tables_may_be_plain(tmp_path, tables):
    paths = write(tmp_path, tables)
    paths[0].write_bytes(gzip.decompress(paths[0].read_bytes()))
    text = mosi.read_tables(*paths).train.features["text"]
    np.testing.assert_array_equal(text, tables["text", "train"][:, :-1])


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ((4, -1), 0.5, "labels .* that are not 0 or 1"),
        ((4, -1), 1, r"audio_train0\.csv\.gz: row 5 has another label than in .*text_train0"),
        ((2, 5), np.nan, "contains NaN or infinity"),
        ((2, 5), -np.inf, "contains NaN or infinity"),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path, tables, place, value, line):
    tables["audio", "train"][place] = value
    with pytest.raises(CchError, match=line):
        mosi.read_tables(*write(tmp_path, tables))


@pytest.mark.parametrize("cut", [np.s_[1:], np.s_[:, 1:]])
def test_another_size_is_one_line(tmp_path, tables, cut):
    tables["video", "test"] = tables["video", "test"][cut]
    with pytest.raises(CchError, match=r"video_test0.*expected \(5, 101\)"):
        mosi.read_tables(*write(tmp_path, tables))


def test_text_in_place_of_a_number(tmp_path, tables):
    paths = write(tmp_path, tables)
    paths[1].write_bytes(b'"a","b"\r\n')
    with pytest.raises(CchError, match="is no table of numbers"):
        mosi.read_tables(*paths)


def test_the_published_tables(tmp_path, monkeypatch):
    folder = mirror("mosi")
    monkeypatch.setattr(mosi, "UTTERANCES", {"train": 1447, "test": 752})
    paths = [folder / f"{name}_{part}0.csv.gz" for name, part in ORDER]
    raw = mosi.read_tables(*paths, folder / "transcripts.csv.gz")
    write_paired(tmp_path / "mosi.h5", mosi.prepare(SPEC, raw))
    with PairedDataset(tmp_path / "mosi.h5") as dataset:
        funnel = dataset.notes["funnel"]
        train = {"utterances": 1447, "positive": 709, "negative": 738, "videos": 62}
        test = {"utterances": 752, "positive": 467, "negative": 285, "videos": 31}
        assert (funnel["train"], funnel["test"]) == (train, test)
        assert {name: dataset.shape(name) for name in dataset.modalities} == {
            "audio": (73,),
            "text": (100,),
            "video": (100,),
        }
        assert len(dataset.rows("test", seed=3)) == 752
        # Rows of a video sound alike, and unlike those of the next one.
        audio = dataset.values("audio")[dataset.rows("test", seed=0)].astype(float)
        video = dataset.group[dataset.rows("test", seed=0)]
    audio = (audio - audio.mean(axis=0)) / (audio.std(axis=0) + 1e-9)
    audio /= np.linalg.norm(audio, axis=1, keepdims=True)
    alike, same = (audio[1:] * audio[:-1]).sum(axis=1), video[1:] == video[:-1]
    assert alike[same].mean() > 0.5 > 0.1 > alike[~same].mean()


def test_transcripts_of_other_utterances_are_one_line(tmp_path, tables):
    paths = write(tmp_path, tables)
    tables["text", "train"][0, -1] = 0
    write_transcripts(tmp_path, tables)
    with pytest.raises(CchError, match=r"transcripts.*lists other labels than .*text_train0"):
        mosi.read_tables(*paths)
