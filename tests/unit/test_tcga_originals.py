"""TCGA's public originals: the cohorts of the open preset on real files, and their fetching."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cch.base.errors import CchError
from cch.config import TcgaDataset
from cch.data.datasets import r_files, tcga
from cch.data.datasets.matrix import read_features_by_samples
from cch.data.datasets.registry import READERS, prepare_dataset
from cch.data.datasets.segments import average
from cch.data.sources.fetch import fetch
from cch.data.sources.manual import raw_path
from cch.data.sources.table import load_table
from cch.data.sources.types import RetryPolicy
from server import Server
from support import ROOT, mirror, raw_config, served

TABLE = load_table(ROOT / "workflow" / "sources.yaml")
RAW = "https://raw.githubusercontent.com"

# As in ../shared/data/README.md: cases with all three modalities, and of them those with a label.
COMPLETE = {
    "BLCA": 338, "BRCA": 844, "CESC": 162, "COAD": 305, "ESCA": 125, "KICH": 63, "KIRC": 425,
    "KIRP": 206, "LGG": 419, "LIHC": 173, "LUAD": 358, "LUSC": 310, "OV": 320, "PRAD": 343,
    "READ": 110, "SARC": 216, "TGCT": 104, "UCEC": 389,
}  # fmt: skip
LABELLED = {
    "tcga-blca": 115, "tcga-brca": 842, "tcga-coadread": 319, "tcga-kirc": 366, "tcga-kirp": 125,
    "tcga-lgg": 416, "tcga-lihc": 150, "tcga-luad": 179, "tcga-lusc": 103, "tcga-prad": 247,
    "tcga-ucec": 363,
}  # fmt: skip
CLASSES = {
    "tcga-blca": [15, 27, 36, 37],
    # The README counts by a case's first row, which for 23 cases is that of their normal tissue;
    # here the tumour's row counts.
    "tcga-brca": [28, 73, 145, 174, 422],
    "tcga-coadread": [47, 49, 217],
    "tcga-kirp": [18, 27, 71],
    "tcga-lgg": [18, 21, 33, 149, 185],
    "tcga-lihc": [46, 48, 56],
    "tcga-lusc": [17, 23, 27, 36],
    "tcga-prad": [21, 23, 64, 116],
    "tcga-ucec": [60, 88, 105, 110],
}


@cache
def contents(source: str) -> Any:
    """What a source's reader gives, from the mirror."""
    reader, entries = READERS[TABLE.source(source).reader], TABLE.source(source).files
    return reader.read(*(mirror(entry.mirror) for entry in entries))


def prepared(name: str):
    """A dataset of the open preset, with wide bins, which cost no time, in place of genes."""
    dataset = raw_config("open")["datasets"][name] | {"segments": {"bins": 50}}
    spec = TcgaDataset.model_validate(dataset)
    needed = [source for source, _ in tcga.needs(name, spec).values()]
    return tcga.prepare(spec, *map(contents, needed))


@pytest.mark.slow
@pytest.mark.parametrize("name", LABELLED)
def test_a_cohort_has_the_cases_of_its_funnel(name):
    notes = prepared(name).notes
    funnel = notes["funnel"]
    assert {cohort: part["complete"] for cohort, part in funnel.items()} == {
        cohort: COMPLETE[cohort] for cohort in funnel
    }
    assert sum(part["any label"] for part in funnel.values()) == LABELLED[name]
    counts = sorted(notes["classes"].values())
    assert counts == CLASSES.get(name, counts)
    assert len(counts) >= 3 and counts[0] >= 15


@pytest.mark.slow
def test_all_projects_together_are_5210_cases():
    found = prepared("pancancer")
    assert found.notes["classes"] == COMPLETE
    assert len(found.label) == sum(COMPLETE.values()) == 5_210
    kidneys = ("KICH", "KIRC", "KIRP")
    assert sum(found.notes["classes"][name] for name in kidneys) == 694


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cohorts", "tumours", "genes"),
    [
        ("LIHC", ["LIHC"], 1, 5),
        ("KIPAN", ["KICH", "KIRC", "KIRP"], 0, 0),
        ("BRCA", ["BRCA"], 3, 219),
    ],
)
def test_gene_averages_are_those_of_the_derived_matrices(name, cohorts, tumours, genes):
    """To their rounding, but for ends of chromosomes in tumours with overlapping segments.

    There the derived matrices have the segment before the nearest.
    """
    derived = read_features_by_samples(mirror("tcga", f"TCGA-{name}.cnv_log2ratio.tsv.gz"))
    located = contents("tcga-genes-hg19")
    assert set(located.names) == set(derived.features)
    place = {gene: number for number, gene in enumerate(located.names)}
    order = [place[gene] for gene in derived.features]
    row = {case: number for number, case in enumerate(derived.samples)}
    seen, differing = 0, []
    for cohort in cohorts:
        segments = contents(f"tcga-{cohort.lower()}-rtcga-cnv")
        first = {c: rows[0] for c, rows in tcga._tumours(segments, ()).items() if c in row}
        values = average(segments, list(first.values()), located).values[:, order]
        expected = derived.values[[row[case] for case in first]]
        # Three decimals, and float32.
        wrong = np.abs(values - expected) > 0.0005 + 2e-5
        differing += [
            (int(count), segments.of_sample(number))
            for count, number in zip(wrong.sum(axis=1), first.values(), strict=True)
            if count
        ]
        seen += len(first)
    assert (len(differing), sum(count for count, _ in differing)) == (tumours, genes)
    assert all((start[1:] < end[:-1]).any() for _, (start, end, _) in differing)
    assert seen == len(row)


@pytest.mark.slow
def test_the_public_original_of_the_expression_is_the_derived_matrix():
    original = r_files.read_expression(mirror("tcga-origin/GSALightning/expression.rda"))
    derived = read_features_by_samples(mirror("tcga", "TCGA-BRCA.mrna_rsem.tsv.gz"))
    first = {case: rows[0] for case, rows in tcga._tumours(original, ()).items()}
    assert original.features == derived.features
    values = original.values[[first[case] for case in derived.samples]]
    np.testing.assert_allclose(values, derived.values, rtol=0.00051)  # four digits


# Fetching


KICH = ("tcga-kich-rtcga-cnv", "tcga-kich-rtcga-mirna", "tcga-kich-trgated-rppa")


class Repositories:
    """The public addresses of a cohort, on a server of this machine, and an empty folder."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.folder, named = folder, {}
        for source in KICH:
            named[source] = TABLE.source(source).model_dump(exclude_none=True)
            for entry in named[source]["files"]:
                served(server, entry)
        (folder / "sources.yaml").write_text(yaml.safe_dump(_plain(named)))
        self.table = load_table(folder / "sources.yaml")

    def fetch(self, source: str):
        (entry,) = self.table.source(source).files
        return fetch(
            source,
            entry.name,
            table=self.table,
            destination=raw_path(self.folder / "resources", source, entry.name),
            lock=self.folder / "resources" / "sources.lock",
            retry_policy=RetryPolicy(retries=0),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


@pytest.fixture
def repositories(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        yield server, Repositories(server, tmp_path)


def test_a_cohort_is_fetched_verified_and_read_without_a_mirror(repositories):
    _, public = repositories
    files = {}
    for source in KICH:
        fetched, (entry,) = public.fetch(source), TABLE.source(source).files
        assert (fetched.sha256, fetched.pinned) == (entry.sha256, False)
        files[source] = {entry.role: fetched.path}
    kich = dict(zip(("cnv", "mirna", "rppa"), KICH, strict=True))
    content = {"kind": "tcga", "title": "KICH", "cohorts": {"KICH": kich}}
    content |= {"segments": {"bins": 50}, "label": {"kind": "table", "source": "labels"}}
    spec = TcgaDataset.model_validate(content)
    readers = {source: TABLE.source(source).reader for source in KICH}
    table = public.folder / "labels.tsv"
    cases = [case for case in contents(KICH[2]).samples if case < "TCGA-KN"]
    lines = [f"{case}\t{'ab'[number % 2]}" for number, case in enumerate(cases)]
    table.write_text("case\tlabel\n" + "\n".join(lines) + "\n")
    files["labels"], readers["labels"] = {"labels": table}, "label-table"
    found = prepare_dataset("kich", spec, files, readers)
    assert found.notes["funnel"]["KICH"]["complete"] == 63
    assert found.sample == sorted(cases)


def test_a_spoilt_and_a_missing_file_are_one_line_each(repositories):
    server, public = repositories
    spoilt, missing, right = KICH
    for source, content in ((spoilt, b"spoilt"), (missing, None)):
        (entry,) = public.table.source(source).files
        path = entry.addresses[0].removeprefix(server.url)
        if content is None:
            server.forget(path)
        else:
            server.give(path, content)
    with pytest.raises(CchError, match=r"tcga-kich-rtcga-cnv/KICH.CNV.rda: could not be fetched"):
        public.fetch(spoilt)
    with pytest.raises(CchError, match=r"KICH.miRNASeq.rda: could not be fetched: .*HTTP 404"):
        public.fetch(missing)
    assert public.fetch(right).bytes == 177_893


def test_every_original_has_an_address_at_a_commit_and_a_digest():
    origins = [
        entry
        for source in TABLE.sources.values()
        for entry in source.files
        if entry.mirror.startswith("tcga-origin/")
    ]
    assert len(origins) == 57
    for entry in origins:
        (address,) = entry.addresses
        commit = address.removeprefix(RAW).split("/")[3]
        assert len(commit) == 40 and set(commit) <= set("0123456789abcdef")
        assert entry.sha256 and entry.bytes and address.endswith(f"/{entry.name}")


def test_no_source_is_named_twice():
    lines = (ROOT / "workflow" / "sources.yaml").read_text().splitlines()
    names = [line.partition(":")[0] for line in lines if line and line[0].isalnum()]
    assert sorted(names) == sorted(TABLE.sources)
