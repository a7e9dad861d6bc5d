from __future__ import annotations

from typing import Any

import pytest
import torch

from support import raw_config

pytest_plugins = ["guard", "shared"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: several processes then end at about the same time.

    Tests of SLURM lead, since they wait most; they make the run ``finished``. Other files that need
    it come after those that do not, so that no process waits for it.
    """
    modules = {item.path for item in items if "finished" in getattr(item, "fixturenames", ())}

    def order(item: pytest.Item) -> tuple[bool, bool, bool]:
        short = not any(map(item.get_closest_marker, ("workflow", "slow")))
        cluster = item.path.parent.name == "slurm"
        return short, not cluster, item.path in modules

    items.sort(key=order)


@pytest.fixture
def paper_config() -> dict[str, Any]:
    return raw_config()


@pytest.fixture
def demo_config() -> dict[str, Any]:
    return raw_config("demo")


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch):
    """Only tests that ask for a real file (``support.mirror``) see the caller's mirror."""
    monkeypatch.delenv("CCH_MIRROR", raising=False)


@pytest.fixture(autouse=True)
def one_thread():
    """Tests this small gain nothing from threads, and wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
