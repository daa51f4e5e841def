"""A control API that runs while a test does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.control import Served


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    running = await Served.start(tmp_path)
    yield running
    await running.listener.close()
