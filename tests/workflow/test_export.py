"""A real run as a crate: made by the rule, and valid for the validator of RO-Crates."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cch.audit.crate.write import export
from cch.audit.run import audit
from harness import RESULTS, snakemake
from support import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

VALIDATE = ROOT / "envs" / "validate_crate.py"


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory) -> Path:
    """A copy of the finished run, with its crate."""
    folder = tmp_path_factory.mktemp("export") / "run"
    shutil.copytree(finished, folder, symlinks=True)
    snakemake(folder, "export")
    return folder


def validated(crate: Path, venv: Path) -> subprocess.CompletedProcess[str]:
    """Run the validator; the test is skipped where it cannot be installed."""
    done = subprocess.run(
        [sys.executable, str(VALIDATE), str(crate), "--venv", str(venv)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode == 2:
        pytest.skip(done.stderr.splitlines()[-1])
    return done


def test_the_rule_packs_the_run_and_the_audit_still_passes(run, monkeypatch, tmp_path):
    monkeypatch.chdir(run)
    crate = Path(RESULTS, "crate.zip")
    # The demo's is below 8 MB; the tiny run draws the same figures.
    assert crate.stat().st_size < 10_000_000
    with zipfile.ZipFile(crate) as archive:
        names = archive.namelist()
        described = json.loads(archive.read("ro-crate-metadata.json"))["@graph"]
    assert not [name for name in names if name.endswith(".h5")]
    assert not [name for name in names if "crate.zip" in name or "crate.record" in name]
    records = [name for name in names if name.endswith(".record.json")]
    actions = [entity for entity in described if entity["@type"] == "CreateAction"]
    assert len(actions) == len(records) + 1 > 80
    assert audit(RESULTS).lines() == []
    # Packed by hand it has the same bytes.
    export(RESULTS, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == crate.read_bytes()


def test_the_validator_accepts_the_crate_and_not_a_spoilt_one(run, tmp_path_factory):
    venv = tmp_path_factory.mktemp("validator") / "venv"
    good = validated(run / RESULTS / "crate.zip", venv)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "is a valid provenance-run-crate-0.5" in good.stdout
    spoilt = tmp_path_factory.mktemp("spoilt")
    with zipfile.ZipFile(run / RESULTS / "crate.zip") as archive:
        archive.extractall(spoilt)
    path = spoilt / "ro-crate-metadata.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    for entity in described["@graph"]:
        if entity["@type"] == "ControlAction":
            del entity["object"]
    path.write_text(json.dumps(described), encoding="utf-8")
    bad = validated(spoilt, venv)
    assert bad.returncode != 0
    assert "A ControlAction must reference the action" in " ".join(bad.stdout.split())
