"""Matrices and tables as they are distributed, beside small files written by hand."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.data.datasets import matrix as module
from cch.data.datasets.gdc_files import read_copy_number, read_rppa, read_star_counts
from cch.data.datasets.matrix import (
    GeneNames,
    read_features_by_samples,
    read_probemap,
    read_samples_by_features,
    read_table,
    unique_features,
)
from cch.data.rng import numpy_generator

XENA = "Ensembl_ID\tTCGA-AA-0001-01A\tTCGA-AA-0002-01A\nENSG1.2\t1.5\t\nENSG2.1\tNA\t-3e-1\n"


@pytest.mark.parametrize("packed", [True, False])
def test_features_by_samples_are_turned_and_gaps_are_missing(tmp_path, packed):
    path = tmp_path / "m.tsv"
    path.write_bytes(gzip.compress(XENA.encode()) if packed else XENA.encode())
    found = read_features_by_samples(path)
    assert found.samples == ("TCGA-AA-0001-01A", "TCGA-AA-0002-01A")
    assert found.features == ("ENSG1.2", "ENSG2.1")
    expected = np.array([[1.5, np.nan], [np.nan, -0.3]], dtype=np.float32)
    np.testing.assert_array_equal(found.values, expected)
    assert found.values.dtype == np.float32


def test_samples_by_features_are_read_as_they_stand(tmp_path):
    path = tmp_path / "rna.csv"
    path.write_text('"",A_1,B_2\nTCGA-AA-0001,1,2\nTCGA-AA-0002,3,4')
    found = read_samples_by_features(path)
    assert (found.samples, found.features) == (("TCGA-AA-0001", "TCGA-AA-0002"), ("A_1", "B_2"))
    np.testing.assert_array_equal(found.values, [[1, 2], [3, 4]])


def test_blocks_do_not_change_what_is_read(tmp_path, monkeypatch):
    values = numpy_generator("blocks").normal(size=(57, 9)).astype(np.float32)
    lines = ["id\t" + "\t".join(f"s{i}" for i in range(9))]
    lines += [f"f{i}\t" + "\t".join(map(str, row)) for i, row in enumerate(values)]
    path = tmp_path / "m.tsv"
    path.write_text("\n".join(lines) + "\n")
    whole = read_features_by_samples(path)
    monkeypatch.setattr(module, "BLOCK_BYTES", 300)
    parts = read_features_by_samples(path)
    np.testing.assert_array_equal(whole.values, values.T)
    np.testing.assert_array_equal(parts.values, values.T)
    assert parts.features == whole.features == tuple(f"f{i}" for i in range(57))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id\ts1\ts2\nf1\t1\t2\nf2\t1\n", "line 3 has 2 fields, the header has 3"),
        ("id\ts1\ts2\nf1\t1\t2\t3\n", "line 2 has 4 fields, the header has 3"),
        ("id\ts1\ts2\nf1\t1\tx\n", "line 2, field 3 holds 'x', which is no number"),
        ("id\ts1\ts1\nf1\t1\t2\n", "has two columns named 's1'"),
        ("id\ts1\ts2\nf1\t1\t2\nf1\t1\t2\n", "has two rows named 'f1'"),
        ("id\ts1\ts2\n\t1\t2\n", "line 2 has no name in its first field"),
        ("id\ts1\ts2\nf1\tinf\t2\n", "contains infinite values"),
        ("id\n", "has no column beside the names of its rows"),
        ("id\ts1\n", "has a header and no rows"),
        ("", "has no column beside the names of its rows"),
    ],
)
def test_what_is_no_matrix_is_one_line_with_the_place(tmp_path, text, said):
    path = tmp_path / "m.tsv"
    path.write_text(text)
    with pytest.raises(CchError) as caught:
        read_features_by_samples(path)
    assert said in str(caught.value)
    assert "m.tsv" in str(caught.value) and "\n" not in str(caught.value)


def test_broken_files_are_one_line(tmp_path):
    path = tmp_path / "m.tsv.gz"
    path.write_bytes(gzip.compress(XENA.encode())[:-12])
    with pytest.raises(CchError, match="its gzip stream has no end"):
        read_features_by_samples(path)
    path.write_bytes(b"\xff\xfe\x00garbage")
    with pytest.raises(CchError, match="is no text"):
        read_features_by_samples(path)
    path.unlink()
    with pytest.raises(CchError, match="there is no such file"):
        read_features_by_samples(path)


def test_columns_of_a_table_are_found_by_name_or_place(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text("sampleID\tSubtype_mRNA\tSubtype_Selected\ns1\t\tA\ns2\tx\tNA\ns3\ty\tB\n")
    table = read_table(path)
    assert table.pairs() == [("s2", "x"), ("s3", "y")]
    assert table.pairs(None, "Subtype_Selected") == [("s1", "A"), ("s3", "B")]
    with pytest.raises(CchError, match=r"has no column 'Subtype': it has|has no column 'Subtype'"):
        table.pairs(None, "Subtype")


def test_a_short_line_of_a_table_is_named(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text("sample\tage\tclass\ns1\t60\tA\ns2\t61\n")
    with pytest.raises(CchError, match="line 3 has 2 fields, the header has 3"):
        read_table(path)


def test_symbols_need_no_version_and_double_ones_keep_their_id(tmp_path):
    path = tmp_path / "map"
    path.write_text("id\tgene\tchrom\nENSG1.3\tTP53\tchr17\nENSG2.1\tX\tchr1\nENSG3.1\tX\tchrX\n")
    names = read_probemap(path)
    found = unique_features(["ENSG1.5", "ENSG2.1", "ENSG3.1", "ENSG9.1"], names)
    assert found == ["TP53", "X (ENSG2.1)", "X (ENSG3.1)", "ENSG9.1"]
    assert unique_features(["a", "b"], None) == ["a", "b"]
    assert unique_features(["ENSG1.9"], GeneNames({"ENSG1.3": "old", "ENSG1.9": "new"})) == ["new"]


# Archives of the GDC's files

STAR = (
    "# gene-model: GENCODE v36\n"
    "gene_id\tgene_name\tgene_type\tunstranded\tstranded_first\n"
    "N_unmapped\t\t\t900\t900\n"
    "ENSG1.2\tA\tprotein_coding\t{}\t1\n"
    "ENSG2.1\tB\tprotein_coding\t{}\t1\n"
)
COPIES = "gene_id\tgene_name\tcopy_number\nENSG1.2\tA\t{}\nENSG2.1\tB\t{}\n"
RPPA = "AGID\tpeptide_target\tprotein_expression\nAG1\t1433B\t{}\nAG2\tAKT\t{}\n"


def archive(path, texts, samples):
    """A tar as the kind ``gdc`` writes it."""
    files = [
        {
            "id": f"id-{number}",
            "name": f"file{number}.tsv",
            "md5": "0" * 32,
            "size": len(text),
            "aliquots": list(names),
            "samples": [{"sample": name} for name in names],
        }
        for number, (text, names) in enumerate(zip(texts, samples, strict=True))
    ]
    members = {"manifest.json": json.dumps({"query": {}, "files": files})}
    members |= {f"{f['id']}/{f['name']}": text for f, text in zip(files, texts, strict=True)}
    with tarfile.open(path, "w") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_star_counts_become_what_the_hub_gives(tmp_path):
    texts = [STAR.format(0, 7), STAR.format(1, 1023)]
    path = archive(tmp_path / "a.tar", texts, [["TCGA-AA-0001-01A"], ["TCGA-AA-0002-11A"]])
    found = read_star_counts(path)
    np.testing.assert_array_equal(found.values, [[0, 3], [1, 10]])
    assert found.features == ("ENSG1.2", "ENSG2.1")
    assert found.samples == ("TCGA-AA-0001-01A", "TCGA-AA-0002-11A")


def test_copy_numbers_are_the_tumours_and_may_be_missing(tmp_path):
    names = [["TCGA-AA-0001-10A", "TCGA-AA-0001-01A"]]
    found = read_copy_number(archive(tmp_path / "a.tar", [COPIES.format("", 3)], names))
    assert found.samples == ("TCGA-AA-0001-01A",)
    np.testing.assert_array_equal(found.values, [[np.nan, 3]])


def test_antibodies_that_a_file_lacks_are_missing(tmp_path):
    texts = [RPPA.format(0.5, "NaN"), "AGID\tpeptide_target\tprotein_expression\nAG2\tAKT\t1\n"]
    found = read_rppa(archive(tmp_path / "a.tar", texts, [["TCGA-1"], ["TCGA-2"]]))
    assert found.features == ("1433B", "AKT")
    np.testing.assert_array_equal(found.values, [[0.5, np.nan], [np.nan, 1]])


def test_archives_that_are_none_are_one_line(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"no tar")
    with pytest.raises(CchError, match=r"a\.tar: is no archive of the GDC's files"):
        read_rppa(path)
    archive(path, ["gene_id\tother\nENSG1\t2\n"], [["TCGA-1"]])
    with pytest.raises(CchError, match="has no column 'copy_number'"):
        read_copy_number(path)
