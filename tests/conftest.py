from __future__ import annotations

from typing import Any

import pytest
import torch

from support import raw_config

pytest_plugins = ["guard", "shared"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: several processes then end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


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
