"""A pytest plugin: the tests install nothing and start no service.

Programs that would change the machine are replaced, on the PATH of the tests and of all that they
start, by ones that fail and write down who called them. Any call fails the whole run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

FORBIDDEN = ("apt", "apt-get", "conda", "dpkg", "service", "sudo", "systemctl")
REFUSE = """#!/bin/sh
echo "${PYTEST_CURRENT_TEST:-outside of a test}: ${0##*/} $*" >>"${0%/*}/calls"
echo "tests must not call ${0##*/}" >&2
exit 97
"""
# What pip says about itself is harmless. A virtual environment's own pip lies in its own folder.
REFUSE_INSTALL = """#!/bin/sh
case " $* " in *" install "*) ;; *) PATH=${PATH#*"${0%/*}:"} exec "${0##*/}" "$@" ;; esac
""" + REFUSE.removeprefix("#!/bin/sh\n")
FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Put the stand-ins first on PATH; pytest-xdist's workers inherit them."""
    if hasattr(config, "workerinput"):
        return
    folder = Path(tempfile.mkdtemp(prefix="cch-guard-"))
    scripts = dict.fromkeys(FORBIDDEN, REFUSE) | dict.fromkeys(("pip", "pip3"), REFUSE_INSTALL)
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    config.stash[FOLDER] = folder
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run and name the calls if there were any."""
    folder = session.config.stash.get(FOLDER, None)
    if folder is None or not (folder / "calls").exists():
        return
    said = f"the tests called programs that change the machine:\n{(folder / 'calls').read_text()}"
    report = pytest.TestReport("guard", (__file__, None, "guard"), {}, "failed", said, "teardown")
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    terminal.stats.setdefault("error", []).append(report)
    session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the stand-ins away."""
    if folder := config.stash.get(FOLDER, None):
        os.environ["PATH"] = os.environ["PATH"].replace(f"{folder}:", "")
        shutil.rmtree(folder)
