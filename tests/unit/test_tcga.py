"""Cohorts joined by case: each rule once, on matrices written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.config import TcgaDataset
from cch.config.specs import select_spec
from cch.data.datasets import tcga_fixture
from cch.data.datasets.matrix import GeneNames, LabelTable, Matrix
from cch.data.datasets.registry import prepare_dataset
from cch.data.datasets.tcga import case_of, prepare
from cch.data.features import select
from cch.data.paired import write_paired
from cch.data.selection import SelectionFile
from support import mirror

GAP = np.nan


def matrix(rows, features=("g1", "g2"), origin="m.tsv"):
    """Values by sample's name, a row each."""
    values = np.array(list(rows.values()), dtype=np.float32)
    return Matrix(values, tuple(rows), tuple(features), origin)


def spec(cohorts=("A",), modalities=("mrna", "cnv"), **change):
    content = {
        "kind": "tcga",
        "title": "cohort",
        "cohorts": {c: {m: f"{c.lower()}-{m}" for m in modalities} for c in cohorts},
        "label": {"kind": "table", "source": "labels"},
    }
    return TcgaDataset.model_validate(content | change)


def labels(**by_case):
    named = {"case": [f"TCGA-AA-{case[1:]}" for case in by_case], "label": list(by_case.values())}
    return LabelTable(named, "labels.tsv")


def case(number, rest="-01A"):
    return f"TCGA-AA-{number:04d}{rest}"


@pytest.mark.parametrize(
    ("barcode", "expected"),
    [
        ("TCGA-3C-AALI", ("TCGA-3C-AALI", "01")),
        ("TCGA-3C-AALI-01A", ("TCGA-3C-AALI", "01")),
        ("TCGA-3C-AALI-01", ("TCGA-3C-AALI", "01")),
        ("TCGA-3C-AALI-11A-11R-A12P-07", ("TCGA-3C-AALI", "11")),
        ("TCGA-3C-AALI-06B", ("TCGA-3C-AALI", "06")),
    ],
)
def test_barcodes_name_case_and_sample_type(barcode, expected):
    assert case_of(barcode, "m.tsv") == expected


def test_what_is_no_barcode_says_that_the_table_may_lie_the_other_way():
    with pytest.raises(CchError, match=r"m\.tsv: 'TP53' is no barcode of TCGA.*other way round"):
        case_of("TP53", "m.tsv")


def test_normals_and_metastases_go_and_the_first_aliquot_of_a_tumour_stays():
    mrna = matrix({
        case(1, "-01B"): (9, 9), case(1, "-01A"): (1, 2), case(2): (3, 4),
        case(2, "-11A"): (8, 8), case(3, "-06A"): (7, 7),
    })  # fmt: skip
    cnv = matrix({case(n, ""): (n, n) for n in (3, 2, 1)})
    found = prepare(spec(), mrna, cnv, labels(c0001="x", c0002="y", c0003="x"))
    assert found.sample == ["TCGA-AA-0001", "TCGA-AA-0002"]
    np.testing.assert_array_equal(found.modalities["mrna"].values, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found.modalities["cnv"].values, [[1, 1], [2, 2]])
    assert found.notes["funnel"]["A"] == {
        "mrna": {"columns": 5, "primary tumours": 3, "cases": 2},
        "cnv": {"columns": 3, "primary tumours": 3, "cases": 3},
        "complete": 2,
        "any label": 2,
        "labelled": 2,
    }


def test_aliquots_may_be_averaged_over_what_each_has():
    mrna = matrix({case(1, "-01A"): (1, GAP), case(1, "-01B"): (3, 5), case(2): (0, GAP)})
    cnv = matrix({case(n): (n, n) for n in (1, 2)})
    found = prepare(spec(aliquots="mean"), mrna, cnv, labels(c0001="x", c0002="y"))
    np.testing.assert_array_equal(found.modalities["mrna"].values, [[2, 5], [0, GAP]])
    assert found.modalities["mrna"].missing
    assert not found.modalities["cnv"].missing


def test_a_sample_that_is_a_mean_of_replicates_comes_last_of_its_case():
    mrna = matrix({case(1, "-01A"): (1, 1), case(1, "-01B"): (3, 3), case(2): (0, 0)})
    cnv = matrix({case(n): (n, n) for n in (1, 2)})
    given = spec(averaged=[case(1, "-01A"), case(2)])
    found = prepare(given, mrna, cnv, labels(c0001="x", c0002="y"))
    np.testing.assert_array_equal(found.modalities["mrna"].values[:, 0], [3, 0])
    np.testing.assert_array_equal(found.modalities["cnv"].values[:, 0], [1, 2])


def test_cohorts_are_put_below_each_other_with_their_common_features():
    parts = [
        matrix({case(1): (1, 2, 3)}, ("a", "b", "c")), matrix({case(1): (1,)}, ("k",)),
        matrix({case(2): (6, 5)}, ("c", "b")), matrix({case(2): (2,)}, ("k",)),
    ]  # fmt: skip
    found = prepare(spec(("KICH", "KIRC"), label={"kind": "cohort"}), *parts)
    assert found.class_names == ["KICH", "KIRC"]
    assert found.modalities["mrna"].feature == ["b", "c"]
    np.testing.assert_array_equal(found.modalities["mrna"].values, [[2, 3], [5, 6]])
    assert found.notes["classes"] == {"KICH": 1, "KIRC": 1}


def test_features_without_any_value_go_and_the_rest_gets_its_symbol():
    mrna = matrix({case(1): (1, GAP), case(2): (2, GAP)}, ("ENSG1.4", "ENSG2.1"))
    cnv = matrix({case(1): (1, 1), case(2): (2, 2)}, ("ENSG1.4", "ENSG3.1"))
    names = GeneNames({"ENSG1.4": "TP53"})
    given = spec(gene_names="genes")
    found = prepare(given, mrna, cnv, labels(c0001="x", c0002="y"), names)
    assert found.modalities["mrna"].feature == ["TP53"]
    assert found.modalities["cnv"].feature == ["TP53", "ENSG3.1"]
    assert found.notes["features"]["mrna"] == {"in all cohorts": 2, "with values": 1}


def test_classes_are_those_asked_for_in_their_order_and_others_go():
    both = {case(n): (n, n) for n in (1, 2, 3, 4)}
    asked = {"kind": "table", "source": "labels", "classes": {"b": "Second", "a": "First"}}
    table = labels(c0001="a", c0002="b", c0003="z", c0009="a")
    found = prepare(spec(label=asked), matrix(both), matrix(both), table)
    assert found.class_names == ["Second", "First"]
    assert found.label.tolist() == [1, 0]
    assert found.notes["funnel"]["A"]["complete"] == 4
    assert found.notes["funnel"]["A"]["labelled"] == 2


@pytest.mark.parametrize(
    ("mrna", "cnv", "table", "said"),
    [
        ({case(1): (1, 1)}, {case(2): (1, 1)}, {"c0001": "x"}, "no case has all modalities"),
        ({case(1): (1, 1)}, {case(1): (1, 1)}, {"c0001": "x"}, "has cases of one class only: x"),
        ({case(1): (1, 1)}, {case(1): (1, 1)}, {"c0002": "x"}, "labels none of the cases"),
        ({case(1): (GAP, GAP), case(2): (GAP, GAP)}, {case(1): (1, 1), case(2): (1, 1)},
         {"c0001": "x", "c0002": "y"}, "modality mrna: has no value for any of the cases"),
    ],
)  # fmt: skip
def test_what_leaves_nothing_is_one_line(mrna, cnv, table, said):
    with pytest.raises(CchError) as caught:
        prepare(spec(), matrix(mrna), matrix(cnv), labels(**table))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_what_classes_were_defined_from_is_said_and_no_data_depend_on_it():
    label = {"kind": "table", "source": "labels", "defined_by": "mRNA"}
    said = spec(label=label)
    assert said.label_note == "cohort: classes defined from mRNA, which favours a teacher on it"
    assert spec().label_note is None
    assert said.without_words() == spec().without_words()


def test_two_labels_of_a_case_and_a_case_in_two_cohorts_are_refused():
    both = matrix({case(1): (1, 1), case(2): (2, 2)})
    table = LabelTable({"case": [case(1), case(1, "")], "label": ["x", "y"]}, "labels.tsv")
    with pytest.raises(CchError, match=r"labels\.tsv: gives TCGA-AA-0001 two labels: 'x' and 'y'"):
        prepare(spec(), both, both, table)
    given = spec(("KICH", "KIRC"), label={"kind": "cohort"})
    with pytest.raises(CchError, match="case TCGA-AA-0001: is in two cohorts"):
        prepare(given, both, both, both, both)


def test_the_order_of_the_files_columns_changes_nothing(tmp_path):
    rows = {case(n, rest): (n, -n) for n in (1, 2, 3) for rest in ("-01A", "-01B", "-11A")}
    turned = dict(reversed(rows.items()))
    table = labels(c0001="x", c0002="y", c0003="x")
    for name, some in (("a", rows), ("b", turned)):
        write_paired(tmp_path / f"{name}.h5", prepare(spec(), matrix(some), matrix(some), table))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


# The made-up cohort

SOURCES = {"mrna": "matrix", "cnv": "matrix", "rppa": "matrix", "labels": "labels"}


def made(folder, seed=0):
    files = {}
    for part, role in SOURCES.items():
        path = folder / f"{part}.tsv"
        tcga_fixture.write_part(path, part, seed)
        files[part] = {role: path}
    given = spec(label={"kind": "table", "source": "labels"}, modalities=("mrna", "cnv", "rppa"))
    cohorts = {"A": {part: part for part in ("mrna", "cnv", "rppa")}}
    given = TcgaDataset.model_validate(given.model_dump() | {"cohorts": cohorts})
    readers = dict.fromkeys(("mrna", "cnv", "rppa"), "feature-matrix") | {"labels": "label-table"}
    return prepare_dataset("made", given, files, readers)


def test_the_made_up_cohort_is_the_same_again_and_another_by_another_seed(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        made(tmp_path / name, seed)
    for part in SOURCES:
        first, again, other = ((tmp_path / n / f"{part}.tsv").read_bytes() for n in "abc")
        assert first == again != other


def test_the_made_up_cohort_has_what_a_real_one_has(tmp_path):
    found = made(tmp_path)
    assert sum(found.notes["classes"].values()) == tcga_fixture.CASES
    assert found.modalities["rppa"].missing and not found.modalities["mrna"].missing
    cnv = found.modalities["cnv"].values
    np.testing.assert_array_equal(cnv[:, 0], cnv[:, 4])
    assert (cnv[:, -1] == cnv[0, -1]).all()


def test_expression_says_more_of_the_subtype_than_proteins_and_copy_numbers(tmp_path):
    """F statistics of the best feature of each, in that order."""
    from cch.data.mrmr import f_statistic
    from cch.data.scaling import fit_columns

    found, best = made(tmp_path), {}
    for name, modality in found.modalities.items():
        values = fit_columns(modality.values, np.arange(len(found.label))).fill(modality.values)
        best[name] = f_statistic(values, found.label).max()
    assert best["mrna"] > best["rppa"] > best["cnv"] > 5


# The real open release


def test_lihc_of_the_open_release_is_read_and_selected_from(tmp_path):
    files = {
        "cnv": {"matrix": mirror("tcga", "TCGA-LIHC.cnv_log2ratio.tsv.gz")},
        "rppa": {"matrix": mirror("tcga", "TCGA-LIHC.rppa.tsv.gz")},
        "labels": {"labels": mirror("tcga", "TCGA-LIHC.icluster.tsv")},
    }
    given = {"kind": "tcga", "title": "LIHC", "cohorts": {"LIHC": {"cnv": "cnv", "rppa": "rppa"}}}
    label = {"kind": "table", "source": "labels"}
    readers = {"cnv": "feature-matrix", "rppa": "feature-matrix", "labels": "label-table"}
    dataset = TcgaDataset.model_validate(given | {"label": label})
    contents = prepare_dataset("lihc", dataset, files, readers)
    assert len(contents.label) == 147
    assert contents.modalities["cnv"].values.shape == (147, 57_241)
    assert len(contents.modalities["rppa"].feature) <= 218
    write_paired(tmp_path / "d.h5", contents)
    from test_training_stage import selecting

    study = selecting(teacher="rppa", student="cnv", seeds=2, selection={"features": 5})
    select(select_spec(study, "cnv"), tmp_path / "d.h5", tmp_path / "s.h5")
    assert SelectionFile(tmp_path / "s.h5").index.shape == (2, 5)
