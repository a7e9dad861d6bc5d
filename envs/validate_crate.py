"""Validate an exported run: ``python envs/validate_crate.py run.zip [--venv FOLDER]``.

roc-validator, in an environment of its own that is made on first use, checks all that RO-Crate 1.1,
Workflow RO-Crate and the Process, Workflow and Provenance Run Crate profiles require. The crate
itself is checked without network: the JSON-LD context comes from an installed package.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "validator.txt"
PROFILE = "provenance-run-crate"

# Runs inside the environment: the context, as the validator's cache of web pages holds it.
WARM = """
import sys
from importlib import resources
import requests
from requests_cache import CachedSession
from requests_cache.models import CachedResponse

url = "https://w3id.org/ro/crate/1.1/context"
cache = CachedSession(sys.argv[1], backend="sqlite", expire_after=-1)
for accept in ("application/ld+json, application/json",
               "application/ld+json, application/json, */*;q=0.1"):
    asked = cache.prepare_request(requests.Request("GET", url, headers={"Accept": accept}))
    answer = CachedResponse(status_code=200, url=url)
    answer.headers["Content-Type"] = "application/ld+json"
    answer._content = resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes()
    cache.cache.save_response(answer, cache.cache.create_key(asked))
"""


def prepare(venv: Path) -> None:
    """Make the environment, unless it is as wanted."""
    stamp, wanted = venv / "validator.txt", REQUIREMENTS.read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    keep = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0"}
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], env=os.environ | keep, check=True)
    subprocess.run([str(venv / "bin" / "python"), "-c", WARM, str(venv / "pages")], check=True)
    stamp.write_text(wanted, encoding="utf-8")


def validate(crate: Path, venv: Path) -> int:
    """Run the validator over a crate, a ZIP file or a folder; return its exit status."""
    command = [
        *(str(venv / "bin" / "rocrate-validator"), "--no-interactive", "--disable-color"),
        *("validate", "--offline", "--cache-path", str(venv / "pages")),
        *("--profile-identifier", PROFILE, "--requirement-severity", "required"),
        *("--no-paging", "--verbose"),
    ]
    return subprocess.run([*command, str(crate)], check=False).returncode


def main() -> int:
    """Validate the crate that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("crate", type=Path)
    parser.add_argument("--venv", type=Path, default=HERE.parent / ".venv" / "validator")
    asked = parser.parse_args()
    if not asked.crate.exists():
        print(f"cch: {asked.crate}: there is no such crate; export one", file=sys.stderr)
        return 1
    try:
        prepare(asked.venv)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"cch: {asked.venv}: the validator cannot be installed ({error})", file=sys.stderr)
        return 2
    return validate(asked.crate, asked.venv)


if __name__ == "__main__":
    sys.exit(main())
