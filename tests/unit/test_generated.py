"""Files that a keyed generator writes: equal bytes, a record that says so, tampering found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cch.base.errors import CchError
from cch.base.files import sha256_file
from cch.data.sources import generated
from cch.data.sources.fetch import fetch
from cch.data.sources.lockfile import read_pins
from cch.data.sources.table import load_table
from support import ROOT

FILE = {
    "name": "labels.tsv",
    "role": "labels",
    "kind": "generated",
    "generator": "tcga",
    "seed": 0,
}


def table(tmp_path, **changes):
    entry = {key: value for key, value in (FILE | changes).items() if value is not None}
    made = {
        "title": "Made up",
        "licence": "own",
        "citation": "none",
        "reader": "label-table",
        "stand_in": "a made-up cohort",
        "files": [entry],
    }
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"made": made}))
    return load_table(path)


def generate(tmp_path, folder="resources", **changes):
    path = tmp_path / folder / "made" / "labels.tsv"
    lock = tmp_path / folder / "sources.lock"
    return fetch(
        "made", "labels.tsv", table=table(tmp_path, **changes), destination=path, lock=lock
    )


def test_equal_seeds_give_equal_bytes_and_another_seed_others(tmp_path):
    first, again = generate(tmp_path), generate(tmp_path, "second")
    assert first.sha256 == again.sha256 == sha256_file(first.path)
    assert generate(tmp_path, "third", seed=1).sha256 != first.sha256
    assert first.address == "generator:tcga?seed=0"


def test_a_part_is_another_name_for_the_role(tmp_path):
    assert generate(tmp_path, role="matrix", part="labels").sha256 == generate(tmp_path, "b").sha256


def test_nothing_is_left_beside_the_file_and_its_digest_is_pinned(tmp_path):
    made = generate(tmp_path)
    left = {path.name for path in (tmp_path / "resources" / "made").iterdir()}
    assert left == {"labels.tsv"}
    assert read_pins(tmp_path / "resources/sources.lock")["made/labels.tsv"].sha256 == made.sha256


def test_a_changed_file_is_written_again(tmp_path):
    made = generate(tmp_path)
    Path(made.path).write_text("case\tlabel\nforged\tAlpha\n")
    assert generate(tmp_path).sha256 == made.sha256 == sha256_file(made.path)


def test_a_generator_that_gives_other_bytes_than_pinned_is_refused(tmp_path, monkeypatch):
    made = generate(tmp_path)
    Path(made.path).unlink()

    def other(path, role, seed):
        path.write_text("another version of the generator\n")

    monkeypatch.setitem(generated.GENERATORS, "tcga", other)
    with pytest.raises(CchError, match=r"its SHA-256 is .* pinned on .*delete the entry"):
        generate(tmp_path)
    assert not Path(made.path).exists()


def test_a_generator_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(CchError, match="the fixture has no part 'genes'"):
        generate(tmp_path, part="genes")
    assert list((tmp_path / "resources" / "made").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generator": "dice"}, "generator 'dice' is unknown; expected one of tcga, mosei"),
        ({"seed": None}, "kind 'generated' requires the key 'seed'"),
        ({"generator": None}, "kind 'generated' requires the key 'generator'"),
        ({"kind": "manual", "steps": ["do"]}, "key 'generator' belongs to kind 'generated'"),
    ],
)
def test_mistakes_in_the_table_are_one_line(tmp_path, changes, said):
    with pytest.raises(CchError, match=said):
        table(tmp_path, **changes)


def test_every_generated_source_of_the_project_says_that_it_is_made_up():
    sources = load_table(ROOT / "workflow" / "sources.yaml").sources
    made = {n: s for n, s in sources.items() if {f.kind for f in s.files} == {"generated"}}
    assert {"mosei-made", "tcga-made-mrna", "tcga-made-labels"} <= set(made)
    assert all("made-up" in str(source.stand_in) for source in made.values())


def test_the_generated_segments_are_those_of_the_fixture(tmp_path, monkeypatch):
    """The kind passes path and seed on; the fixture's own tests look at what it writes."""
    from cch.data.datasets import mosei_fixture

    asked = []
    monkeypatch.setattr(
        mosei_fixture, "write_fixture", lambda path, **given: asked.append((path.name, given))
    )
    generated.GENERATORS["mosei"](tmp_path / "mosei_raw.pkl", "pickle", 3)
    assert asked == [("mosei_raw.pkl", {"seed": 3})]


def test_the_pins_are_json(tmp_path):
    generate(tmp_path)
    pins = json.loads((tmp_path / "resources/sources.lock").read_text())
    assert pins["made/labels.tsv"]["address"] == "generator:tcga?seed=0"
