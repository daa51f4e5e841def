"""Whoever decides stands behind the wall that keeps I/O out: a rule in a new module must be named there too."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from instance.role import plan as role
from manager.cluster import plan as operator

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
DECIDERS = sorted(
    {row.decide.__module__ for row in operator.RULES}
    | {rule.decide.__module__ for rule in role.RULES}
    | {operator.__name__, role.__name__}
)


def walled() -> tuple[str, ...]:
    contracts = tomllib.loads(PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (wall,) = (c for c in contracts if c["name"] == "Deciders reach nothing but their input")
    return tuple(wall["source_modules"])


@pytest.mark.parametrize("module", DECIDERS)
def test_a_decider_is_walled_in(module: str) -> None:
    assert any(module == named or module.startswith(f"{named}.") for named in walled())
