"""Data of one's own: files of every kind, and every way in which they can be wrong."""

from __future__ import annotations

import logging
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from cch.base.errors import CchError
from cch.config import MatricesDataset, load
from cch.data.datasets.user_matrices import LocalFiles, prepare
from cch.data.rng import numpy_generator
from cch.data.sources.fetch import fetch
from cch.workflow.planning import Plan
from support import ROOT, overlay, raw_config

SAMPLES = [f"s{i:02d}" for i in range(24)]
CLASS = {name: "ab"[i % 2] for i, name in enumerate(SAMPLES)}
NUMBERS = numpy_generator("own").normal(size=(24, 3)).round(3)


def matrix(path, samples=SAMPLES, values=NUMBERS, features=("f1", "f2", "f3"), rows="samples"):
    """Write a table in the format of its ending."""
    values = np.asarray(values)[: len(samples)]
    names, columns = list(samples), list(features)
    if rows == "features":
        names, columns, values = columns, names, values.T
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["values"] = values
            file["rows"], file["columns"] = np.array(names, "S"), np.array(columns, "S")
    elif path.suffix == ".parquet":
        numbers = {c: values[:, i] for i, c in enumerate(columns)}
        pl.DataFrame({"name": names} | numbers).write_parquet(path)
    else:
        cut = "," if path.suffix == ".csv" else "\t"
        lines = [cut.join(["name", *columns])]
        lines += [cut.join([n, *map(str, row)]) for n, row in zip(names, values, strict=True)]
        path.write_text("\n".join(lines) + "\n")
    return path


def label_file(path, labels=CLASS):
    path.write_text("sample\tlabel\n" + "".join(f"{s}\t{v}\n" for s, v in labels.items()))
    return path


def dataset(strong, weak, labels, **change):
    content = {
        "kind": "matrices",
        "title": "Mine",
        "files": {"strong": {"file": str(strong)}, "weak": {"file": str(weak)}},
        "labels": {"file": str(labels)},
    }
    return MatricesDataset.model_validate(overlay(content, change))


def prepared(spec):
    paths = {name: entry.file for name, entry in spec.files.items()}
    files = {name: Path(path) for name, path in paths.items()}
    return prepare(spec, LocalFiles(files | {"labels": Path(spec.labels.file)}))


@pytest.mark.parametrize("ending", ["tsv", "csv", "parquet", "h5"])
@pytest.mark.parametrize("rows", ["samples", "features"])
def test_every_kind_of_file_in_either_orientation_is_the_same_dataset(tmp_path, ending, rows):
    strong = matrix(tmp_path / f"m.{ending}", rows=rows)
    weak = matrix(tmp_path / "w.tsv", samples=SAMPLES[::-1], values=NUMBERS[::-1])
    spec = dataset(strong, weak, label_file(tmp_path / "l.tsv"), files={"strong": {"rows": rows}})
    found = prepared(spec)
    assert found.sample == SAMPLES
    assert found.class_names == ["a", "b"]
    for name in ("strong", "weak"):
        values = found.modalities[name].values
        np.testing.assert_array_equal(values, NUMBERS.astype(np.float32))
        assert found.modalities[name].feature == ["f1", "f2", "f3"]


def test_samples_without_label_or_in_one_file_and_lone_classes_go_and_are_said(tmp_path, caplog):
    values = NUMBERS.copy()
    values[:, 1] = 4.0
    strong = matrix(tmp_path / "m.tsv", values=values)
    weak = matrix(tmp_path / "w.tsv", samples=SAMPLES[:20])
    known = {name: CLASS[name] for name in SAMPLES[3:]} | {"s07": "alone"}
    spec = dataset(strong, weak, label_file(tmp_path / "l.tsv", known))
    with caplog.at_level(logging.WARNING, logger="cch.data.datasets"):
        logging.getLogger("cch").propagate = True
        found = prepared(spec)
    assert found.sample == [name for name in SAMPLES[3:20] if name != "s07"]
    assert found.notes["funnel"] == {
        "samples": {"strong": 24, "weak": 20},
        "complete": 20,
        "labelled": 17,
        "classes left out, of one member": ["alone"],
        "kept": 16,
    }
    said = " ".join(caplog.messages)
    assert "4 samples are not in all files" in said
    assert "1 features are constant" in said
    assert "3 samples have no label" in said
    assert "classes of one member are left out: alone" in said


def test_classes_left_out_are_said_only_where_there_are_some(tmp_path):
    strong, weak = matrix(tmp_path / "m.tsv"), matrix(tmp_path / "w.tsv")
    found = prepared(dataset(strong, weak, label_file(tmp_path / "l.tsv")))
    assert list(found.notes["funnel"]) == ["samples", "complete", "labelled", "kept"]


def twice(path):
    matrix(path)
    text = path.read_text().splitlines()
    path.write_text("\n".join([*text, text[1]]) + "\n")
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"strong": twice}, "m.tsv: has two rows named 's00'"),
        ({"labels": lambda p: p.write_text("sample\tlabel\ns01\ta\ns01\tb\n")},
         "l.tsv: has two lines for 's01'"),
        ({"labels": lambda p: label_file(p, dict.fromkeys(SAMPLES, "a"))},
         "l.tsv: leaves samples of one class: of 'a' only"),
        ({"labels": lambda p: p.write_text("sample\ns01\n")}, "l.tsv: has no second column"),
        ({"strong": lambda p: matrix(p, rows="features")},
         "shares no sample with the other files; see whether `rows` says what a row is"),
        ({"strong": lambda p: p.unlink(missing_ok=True)}, "m.tsv: there is no such file"),
        ({"strong": lambda p: p.write_text("name\tf1\ns01\tmany\n")},
         "line 2, field 2 holds 'many'"),
        ({"weak": lambda p: matrix(p, samples=SAMPLES[:4])}, "4 samples are in all files"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_the_file(tmp_path, change, said):
    paths = {"strong": tmp_path / "m.tsv", "weak": tmp_path / "w.tsv", "labels": tmp_path / "l.tsv"}
    matrix(paths["strong"])
    matrix(paths["weak"])
    label_file(paths["labels"])
    for name, spoil in change.items():
        spoil(paths[name])
    with pytest.raises(CchError) as caught:
        prepared(dataset(*paths.values()))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_hdf5_without_its_names_and_unknown_endings_are_refused(tmp_path):
    weak, labels = matrix(tmp_path / "w.tsv"), label_file(tmp_path / "l.tsv")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["values"] = NUMBERS
    with pytest.raises(
        CchError, match=r"m\.h5: lacks a dataset.*it needs values, rows and columns"
    ):
        prepared(dataset(tmp_path / "m.h5", weak, labels))
    with pytest.raises(CchError, match=r"ends in '\.xlsx'; it must be one of \.tsv"):
        prepared(dataset(tmp_path / "m.xlsx", weak, labels))


# As raw files


def plan(tmp_path):
    mine = {
        "kind": "matrices",
        "title": "Mine",
        "files": {name: {"file": str(tmp_path / f"{name}.tsv")} for name in ("strong", "weak")},
        "labels": {"file": str(tmp_path / "labels.tsv")},
    }
    change = {"resources": str(tmp_path / "resources"), "datasets": {"mine": mine}}
    return Plan(overlay(raw_config(), change), ROOT)


def test_own_files_are_raw_files_that_follow_their_origin(tmp_path):
    origin = matrix(tmp_path / "strong.tsv")
    found = plan(tmp_path)
    assert found.origin("local-mine", "strong.tsv") == [str(origin)]
    taken = found.raw_files("mine")["local-mine"]["strong"]
    options = {"table": found.table, "destination": taken, "lock": tmp_path / "lock"}
    first = fetch("local-mine", "strong.tsv", **options)
    assert (first.address, first.pinned) == (str(origin), False)
    matrix(origin, values=NUMBERS + 1)
    second = fetch("local-mine", "strong.tsv", **options)
    assert second.sha256 != first.sha256
    assert Path(taken).read_text() == origin.read_text()


def test_an_own_file_that_is_not_there_says_where_it_was_looked_for(tmp_path):
    found = plan(tmp_path)
    taken = found.raw_files("mine")["local-mine"]["strong"]
    with pytest.raises(CchError) as caught:
        fetch("local-mine", "strong.tsv", table=found.table, destination=taken, lock=tmp_path / "k")
    assert str(tmp_path / "strong.tsv") in str(caught.value)
    assert "see the path in the dataset's configuration" in str(caught.value)


def test_labels_is_no_name_for_a_modality(tmp_path):
    mine = {
        "kind": "matrices",
        "title": "Mine",
        "files": {"labels": {"file": "a.tsv"}, "x": {"file": "b.tsv"}},
        "labels": {"file": "l.tsv"},
    }
    with pytest.raises(CchError, match="'labels' is no name for a modality"):
        load(overlay(raw_config(), {"datasets": {"mine": mine}}))


def test_a_fault_of_what_was_taken_in_is_said_of_the_user_s_file(tmp_path):
    strong, labels = matrix(tmp_path / "m.tsv"), label_file(tmp_path / "l.tsv")
    spec = dataset(strong, matrix(tmp_path / "w.tsv"), labels)
    copy = tmp_path / "copy.tsv"
    files = {name: Path(entry.file) for name, entry in spec.files.items()}
    files |= {"labels": Path(spec.labels.file), "strong": copy}
    text = Path(strong).read_text()
    for content, what in (
        (text + "s99\t1\n", "has 2 fields"),
        (text.splitlines()[0] + "\n", "has a header and no rows"),
    ):
        copy.write_text(content)
        with pytest.raises(CchError) as refused:
            prepare(spec, LocalFiles(files))
        assert refused.value.where == spec.files["strong"].file
        assert what in str(refused.value)
        assert str(refused.value).endswith("; mend your file")
