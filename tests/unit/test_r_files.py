"""Data files of R: those of the packages, in small, and damaged ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyreadr
import pytest
import rdata

from cch.base.errors import CchError
from cch.data.datasets import r_files
from cch.data.datasets.trgated import read_rppa

BARCODE = "TCGA-A1-A0SE-01A-11R-A085-13"


def written(path, frame, name="frame"):
    pyreadr.write_rdata(str(path), frame, df_name=name)
    return path


def test_segments_are_read_by_the_names_of_their_columns(tmp_path):
    frame = pd.DataFrame({
        "Sample": ["b", "a", "a"], "Chromosome": [1, 2, 1], "Start": [5, 3, 1], "End": [9, 8, 7],
        "Num_Probes": [1, 1, 1], "Segment_Mean": [0.5, -0.25, 1.0],
    })  # fmt: skip
    found = r_files.read_segments(written(tmp_path / "s.rda", frame))
    assert found.samples == ("a", "b")
    np.testing.assert_array_equal(found.mean, [1.0, -0.25, 0.5])
    np.testing.assert_array_equal(found.bounds, [0, 2, 3])
    with pytest.raises(CchError, match=r"s\.rda: has no column 'End'"):
        r_files.read_segments(written(tmp_path / "s.rda", frame.drop(columns="End")))


def test_genes_are_in_genomic_order_once_and_without_y(tmp_path):
    frame = pd.DataFrame({
        "chromosome_name": ["X", "10", "2", "Y", "2"], "start_position": [5, 1, 7, 1, 7],
        "end_position": [9, 2, 8, 2, 8], "ensembl_gene_id": ["x", "ten", "two", "y", "two"],
        "entrezgene_id": ["1", "2", "3", "4", "5"],
    })  # fmt: skip
    found = r_files.read_gene_locations(written(tmp_path / "g.rda", frame))
    assert found.names == ("two", "ten", "x")
    np.testing.assert_array_equal(found.end - found.start, [2, 2, 5])


def mirna(tmp_path, value="7.0"):
    """Three rows of a sample and three of a second one, all columns text as in the package.

    The names of rows are a column, since ``pyreadr`` writes none; it reads them as the index.
    """
    kinds = ["read_count", "reads_per_million_miRNA_mapped", "cross-mapped"] * 2
    return pd.DataFrame(
        {"machine": ["m"] * 6, "miRNA_ID": kinds, "let-7": ["10", value, "N", "3", "0", "N"]},
        index=[BARCODE, f"{BARCODE}.1", f"{BARCODE}.2", "b", "b.1", "b.2"],
    )


def test_mirnas_are_the_rows_of_reads_per_million(tmp_path, monkeypatch):
    monkeypatch.setattr(r_files, "_only_frame", lambda path: mirna(tmp_path))
    found = r_files.read_mirna("m.rda")
    assert (found.samples, found.features) == ((BARCODE, "b"), ("let-7",))
    np.testing.assert_array_equal(found.values, [[3.0], [0.0]])
    monkeypatch.setattr(r_files, "_only_frame", lambda path: mirna(tmp_path, "N"))
    with pytest.raises(CchError, match=r"m\.rda: column 'let-7' holds no numbers"):
        r_files.read_mirna("m.rda")
    monkeypatch.setattr(r_files, "_only_frame", lambda path: mirna(tmp_path, "-1"))
    with pytest.raises(CchError, match=r"m\.rda: holds negative values"):
        r_files.read_mirna("m.rda")


def test_subtypes_are_one_table_of_many_and_na_is_none(tmp_path):
    frame = pd.DataFrame({
        "pan.samplesID": ["TCGA-A3-3380", "TCGA-A3-3381", "TCGA-A3-3382"],
        "Subtype_Selected": ["KIRC.1", "KIRC.NA", "NA"],
    })  # fmt: skip
    path = tmp_path / "sysdata.rda"
    rdata.write_rda(path, {"before": np.array([1, 2]), "pancan2018": frame, "after": frame})
    found = r_files.read_subtypes(path)
    assert found.pairs("pan.samplesID", "Subtype_Selected") == [("TCGA-A3-3380", "KIRC.1")]
    rdata.write_rda(path, {"before": np.array([1, 2])})
    with pytest.raises(CchError, match=r"sysdata\.rda: holds no object 'pancan2018'"):
        r_files.read_subtypes(path)


@pytest.mark.parametrize("read", [r_files.read_segments, r_files.read_subtypes])
@pytest.mark.parametrize("content", [b"", b"no file of R", b"\xfd7zXZ\x00 cut off"])
def test_what_is_no_file_of_r_is_one_line(tmp_path, read, content):
    path = tmp_path / "broken.rda"
    path.write_bytes(content)
    with pytest.raises(CchError, match=r"broken\.rda: cannot be read as a data file of R"):
        read(path)
    path.unlink()
    with pytest.raises(CchError, match=r"broken\.rda: there is no such file"):
        read(path)


def test_antibodies_are_what_is_no_clinical_column(tmp_path):
    path = tmp_path / "X.csv"
    path.write_text('patient,subtype,OS.time,"AKT",SRC\nTCGA-A1-A0SE,NA,400,0.5,NA\nb,,1,-1,2\n')
    found = read_rppa(path)
    assert (found.samples, found.features) == (("TCGA-A1-A0SE", "b"), ("AKT", "SRC"))
    np.testing.assert_array_equal(found.values, np.float32([[0.5, np.nan], [-1, 2]]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case,AKT\na,1\n", "has no column 'patient'"),
        ("patient,AKT\na,1\na,2\n", "has two rows of one patient"),
        ("patient,OS\na,1\n", "has no column of an antibody"),
        ("patient,AKT,grade\na,1,High\n", "column 'grade' holds a text"),
    ],
)
def test_what_is_no_table_of_antibodies_is_one_line(tmp_path, text, said):
    path = tmp_path / "X.csv"
    path.write_text(text)
    with pytest.raises(CchError, match=rf"X\.csv: {said}"):
        read_rppa(path)
