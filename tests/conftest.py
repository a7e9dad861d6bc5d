from __future__ import annotations

from typing import Any

import pytest

from support import raw_config


@pytest.fixture
def paper_config() -> dict[str, Any]:
    return raw_config()


@pytest.fixture
def demo_config() -> dict[str, Any]:
    return raw_config("demo")
