"""docs/security.md: every file and every test that a promise names exists, and every promise names both."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs/security.md").read_text()
PATH = re.compile(r"`((?:cnmysql|instance|manager|tests|deploy)/[\w/.-]+?)(?:::(\w+))?`")
PROMISES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("## Promises")[2].partition("\n## ")[0].splitlines()
    if line.startswith("|")
][2:]


@pytest.mark.parametrize(("path", "test"), sorted(set(PATH.findall(TEXT))))
def test_what_is_named_exists(path: str, test: str) -> None:
    file = ROOT / path
    assert file.is_file(), path
    if test:
        found = ast.walk(ast.parse(file.read_text()))
        functions = [node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert test in functions, f"{path} has no {test}"


def test_whatever_looks_like_a_file_or_a_test_is_checked() -> None:
    """A span of another form would name something that nobody looks for."""
    spans = set(re.findall(r"`[^`\n]+`", TEXT))
    claims = {span for span in spans if ".py" in span or "::" in span or "/test" in span}
    assert claims
    assert {span for span in claims if PATH.fullmatch(span) is None} == set()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda row: row[0][:40])
def test_every_promise_is_kept_by_a_file_and_attacked_by_a_test(promise: list[str]) -> None:
    _, kept, attacked = promise
    assert not any(path.startswith("tests/") for path, _ in PATH.findall(kept))
    assert PATH.findall(kept)
    tests = PATH.findall(attacked)
    assert tests and all(path.startswith("tests/") for path, _ in tests)
