"""Cohorts from servers that answer as the real ones do, and one of one's own, to their tables."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from cch.data.datasets import tcga_fixture
from cch.data.datasets.matrix import Matrix, read_features_by_samples, read_table
from cch.data.paired import PairedDataset
from cch.data.selection import SelectionFile
from harness import RESULTS, snakemake, write_config
from server import Answer, Gdc, Held
from support import ROOT, overlay, raw_config

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

GONE = dict.fromkeys(raw_config("demo")["studies"])
SMALL = {
    "selection": {"features": 10},
    "training": {"epochs": 3},
    "seeds": 2,
    "degradation": {"levels": [0, 0.8]},
    "fusion": None,
    "information": {"estimators": ["ksg"], "runs": 2, "limit": 100, "calibration": None},
}  # fmt: skip
NORMAL, METASTASIS = "11A", "06A"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> dict[str, Matrix]:
    """The made-up cohort, as it is before it is dressed as a server's files."""
    folder = tmp_path_factory.mktemp("made")
    found = {}
    for part in ("mrna", "cnv", "rppa"):
        tcga_fixture.write_part(folder / part, part)
        found[part] = read_features_by_samples(folder / part)
    tcga_fixture.write_part(folder / "labels", "labels")
    found["labels"] = dict(read_table(folder / "labels").pairs())
    return found


def xena(matrix: Matrix, prefix: str) -> bytes:
    """As the Xena hub has it: versioned ids, a column a sample, normals and second vials too."""
    names = [f"{sample}-01A" for sample in matrix.samples]
    extra = {f"{matrix.samples[0]}-{NORMAL}": 99.0, f"{matrix.samples[1]}-{METASTASIS}": 98.0}
    extra |= {f"{matrix.samples[2]}-01B": 97.0}
    lines = ["\t".join(["Ensembl_ID", *extra, *names])]
    for number, column in enumerate(matrix.values.T):
        shown = ["" if np.isnan(value) else f"{value:.3f}" for value in column]
        fields = [f"{prefix}{number:011d}.{number % 7}", *map(str, extra.values()), *shown]
        lines.append("\t".join(fields))
    return gzip.compress("\n".join(lines).encode() + b"\n", mtime=0)


def probemap(matrix: Matrix) -> bytes:
    """Symbols for all genes but the first; two of them share one."""
    lines = ["id\tgene\tchrom\tchromStart\tchromEnd\tstrand"]
    for number in range(1, len(matrix.features)):
        symbol = "SAME" if number in (5, 6) else f"SYM{number}"
        lines.append(f"ENSG{number:011d}.9\t{symbol}\tchr1\t1\t2\t+")
    return "\n".join(lines).encode() + b"\n"


def subtypes(labels: dict[str, str]) -> bytes:
    lines = ["sampleID\tSubtype_mRNA\tSubtype_Selected"]
    lines += [f"{case}-01\t\tBRCA.{label}" for case, label in labels.items()]
    lines.append("TCGA-XX-0000-01\t\tGBM.G-CIMP")
    return gzip.compress("\n".join(lines).encode() + b"\n", mtime=0)


def rppa_files(matrix: Matrix) -> list[Held]:
    """Protein files of the GDC, one a case, and one of a normal sample."""
    held = []
    for row, case in enumerate(matrix.samples):
        lines = ["AGID\tlab_id\tpeptide_target\tprotein_expression"]
        for name, value in zip(matrix.features, matrix.values[row], strict=True):
            lines.append(f"AG\t1\t{name}\t{'NaN' if np.isnan(value) else f'{value:.3f}'}")
        held.append(protein(case, "01A", "\n".join(lines)))
    return [*held, protein(matrix.samples[0], NORMAL, "\n".join(lines))]


def protein(case: str, code: str, text: str) -> Held:
    return Held(
        id=hashlib.sha256(f"{case}{code}".encode()).hexdigest()[:32],
        name=f"{case}-{code}_RPPA_data.tsv",
        content=text.encode() + b"\n",
        case=case,
        samples=((f"{case}-{code}", "Primary Tumor"),),
        aliquots=(f"{case}-{code}-21-A13A-20",),
        project="TCGA-BRCA",
        data_type="Protein Expression Quantification",
        workflow=None,
    )


def small(study: str, **change) -> dict:
    """A study of the full configuration, cut down to seconds."""
    return overlay(raw_config()["studies"][study], SMALL | change)


def source(reader: str, **entry) -> dict:
    file = {"name": "file", "role": "matrix", "kind": "http"} | entry
    return {"title": "T", "licence": "L", "citation": "C", "reader": reader, "files": [file]}


def serve(server: Gdc, cohort, dead: str) -> dict:
    """A source table of the real readers whose addresses are the server's, and one that is dead."""
    big = xena(cohort["mrna"], "ENSG")
    # The connection drops in mid-file, and the download is continued from there.
    mrna = server.give("/mrna.gz", big, Answer(etag='"m"', cut=len(big) // 2), Answer(etag='"m"'))
    cnv = server.give("/cnv.gz", xena(cohort["cnv"], "ENSG"))
    genes = server.give("/probemap", probemap(cohort["mrna"]))
    labels = server.give("/subtypes.gz", subtypes(cohort["labels"]))
    query = {"project": ["TCGA-BRCA"], "data_type": "Protein Expression Quantification"}
    return {
        "mrna": source("xena-matrix", addresses=[mrna]),
        "cnv": source("xena-matrix", addresses=[cnv]),
        "rppa": source("gdc-rppa", kind="gdc", addresses=[server.url], query=query),
        "genes": source("probemap", role="probemap", addresses=[genes]),
        "labels": source("subtype-table", role="labels", addresses=[labels]),
        "dead": source("xena-matrix", addresses=[f"{dead}/mrna.gz"]),
    }


def tables(folder: Path, sources: dict) -> dict:
    """Write the source table; return the configuration of two cohorts over it."""
    folder.mkdir(parents=True, exist_ok=True)
    # Names of sources that the demo's other datasets use stay there.
    own = yaml.safe_load((ROOT / "workflow" / "sources.yaml").read_text(encoding="utf-8"))
    table = folder / "sources.yaml"
    table.write_text(yaml.safe_dump(own | sources), encoding="utf-8")
    classes = {f"BRCA.{name}": name for name in tcga_fixture.CLASSES}
    label = {"kind": "table", "source": "labels", "column": "Subtype_Selected"}
    brca = {
        "cohorts": {"BRCA": {"mrna": "mrna", "cnv": "cnv", "rppa": "rppa"}},
        "gene_names": "genes",
        "label": label | {"classes": classes},
    }
    return {
        "sources": str(table),
        "datasets": {
            "brca": {"title": "BRCA", "kind": "tcga"} | brca,
            "lihc": {"kind": "tcga", "title": "LIHC", "label": label,
                     "cohorts": {"LIHC": {"mrna": "dead", "cnv": "cnv"}}},
        },
        "studies": GONE
        | {
            "cohort": small("brca", title="BRCA", group=None),
            "lihc": small("lihc", title="LIHC"),
        },
    }  # fmt: skip


def test_a_cohort_comes_from_xena_and_the_gdc_while_another_s_server_is_down(tmp_path, cohort):
    with Gdc(*rppa_files(cohort["rppa"]), pages=50) as server:
        wrong = server.held[3].id
        server.wrong[wrong] = 1
        config = tables(tmp_path, serve(server, cohort, "http://127.0.0.1:9"))
        write_config(tmp_path, config)
        # What the studies' tables need of their cohorts: the data, selected from and trained on.
        wanted = [f"{RESULTS}/runs/{study}/baseline.h5" for study in ("cohort", "lihc")]
        done = snakemake(tmp_path, *wanted, "--keep-going", fails=True, NO_PROXY="127.0.0.1")
    assert len(server.lists) >= 4, done.stdout + done.stderr  # 161 files, 50 a page
    assert sum(wrong in ids for ids in server.data) == 2  # asked for again after its MD5 failed
    assert "dead/file: could not be fetched" in done.stdout + done.stderr
    assert (tmp_path / wanted[0]).is_file()
    assert not (tmp_path / RESULTS / "datasets" / "lihc.h5").exists()
    check_dataset(tmp_path / RESULTS / "datasets" / "brca.h5", cohort)


def check_dataset(path: Path, cohort) -> None:
    """Nothing but primary tumours, one a case, with the values that were served."""
    with PairedDataset(path) as dataset:
        assert dataset.sample == sorted(cohort["labels"])
        assert [dataset.class_names[k] for k in dataset.label] == [
            cohort["labels"][case] for case in dataset.sample
        ]
        for name in ("mrna", "cnv", "rppa"):
            expected = cohort[name].values[np.argsort(cohort[name].samples)]
            np.testing.assert_allclose(dataset.values(name), expected, atol=5e-4)
        assert dataset.missing("rppa")
        names = dataset.feature("mrna")
        assert names[0] == "ENSG00000000000.0" and names[1] == "SYM1"
        assert names[5] == "SAME (ENSG00000000005.5)"
        funnel = dataset.notes["funnel"]["BRCA"]
        assert funnel["mrna"] == {"columns": 163, "primary tumours": 161, "cases": 160}
        assert funnel["rppa"] == {"columns": 161, "primary tumours": 160, "cases": 160}


def test_a_cohort_of_one_s_own_ends_in_its_tables_and_follows_its_files(tmp_path, cohort):
    files = own_files(tmp_path, cohort)
    mine = {
        "kind": "matrices",
        "title": "My cohort",
        "files": {"strong": {"file": files[0]}, "weak": {"file": files[1], "rows": "features"}},
        "labels": {"file": files[2]},
    }
    named = {"title": "Mine", "dataset": "mine", "teacher": "strong", "student": "weak"}
    study = small("brca", group=None, together=True, **named)
    write_config(tmp_path, {"datasets": {"mine": mine}, "studies": GONE | {"mine": study}})
    snakemake(tmp_path, "sweep-mine")
    table = tmp_path / RESULTS / "tables" / "sweep-mine.json"
    first = json.loads(table.read_text())
    assert set(first["cells"]) >= {"0/ksg-gap", "0.8/difference-t2-w0.5"}
    chosen = sorted((tmp_path / RESULTS / "features" / "mine").glob("weak-*.h5"))
    assert len(SelectionFile(chosen[0]).chosen(1)) == 10
    # A file that changes is taken in again, and all that rests on it is made anew.
    labels = Path(files[2])
    text = labels.read_text().splitlines()
    labels.write_text("\n".join(text[:-20]) + "\n")
    snakemake(tmp_path, "sweep-mine")
    second = json.loads(table.read_text())
    assert first["cells"]["0/no-kd"]["value"] != second["cells"]["0/no-kd"]["value"]


def own_files(folder: Path, cohort) -> list[str]:
    """Expression as CSV with samples as rows, copy numbers as TSV with genes as rows, labels."""
    strong, weak = cohort["mrna"], cohort["cnv"]
    lines = [",".join(["sample", *strong.features])]
    for name, row in zip(strong.samples, strong.values, strict=True):
        lines.append(",".join([name, *map(str, row)]))
    (folder / "strong.csv").write_text("\n".join(lines) + "\n")
    lines = ["\t".join(["gene", *weak.samples])]
    for name, row in zip(weak.features, weak.values.T, strict=True):
        lines.append("\t".join([name, *map(str, row)]))
    (folder / "weak.tsv").write_text("\n".join(lines) + "\n")
    labels = [f"{case}\t{label}" for case, label in cohort["labels"].items()]
    (folder / "labels.tsv").write_text("\n".join(["sample\tlabel", *labels]) + "\n")
    return [str(folder / name) for name in ("strong.csv", "weak.tsv", "labels.tsv")]
