"""The program's two faces."""

from __future__ import annotations

import subprocess
import sys

import pytest

from manager.__main__ import main


def test_bootstrap_needs_a_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bootstrap"]) == 2
    assert "bootstrap DIRECTORY" in capsys.readouterr().err


def test_bootstrap_loads_nothing_of_the_operator() -> None:
    script = (
        "import sys; from manager.__main__ import main; main(['bootstrap']); "
        "heavy = [m for m in ('kubernetes_asyncio', 'aiohttp', 'pydantic', 'manager.app') if m in sys.modules]; "
        "sys.exit(1 if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
