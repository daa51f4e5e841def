"""When the operator image is built again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bed.images import operator


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in operator.SOURCES:
        path = tmp_path / name
        if (operator.REPOSITORY / name).is_dir():
            path.mkdir()
            (path / "__init__.py").write_text("")
        else:
            path.write_text("")
    return tmp_path


@pytest.mark.parametrize("name", ["Containerfile", "requirements.lock", "manager/__init__.py", "cnmysql/new.py"])
def test_a_change_of_what_goes_in_is_seen(checkout: Path, name: str) -> None:
    before = operator.source_key(checkout)
    (checkout / name).write_text("changed")
    assert operator.source_key(checkout) != before


@pytest.mark.parametrize("name", ["README.md", "cnmysql/__pycache__/names.cpython-311.pyc", "tests/x.py"])
def test_a_change_of_anything_else_is_not(checkout: Path, name: str) -> None:
    before = operator.source_key(checkout)
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("changed")
    assert operator.source_key(checkout) == before


def test_everything_the_containerfile_copies_is_watched_and_sent_to_the_build() -> None:
    copied = set()
    for line in (operator.REPOSITORY / "Containerfile").read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            copied |= {word.partition("/")[0] for word in words[1:-1]}
    assert copied <= set(operator.SOURCES)
    allowed = (operator.REPOSITORY / ".containerignore").read_text().split()
    assert copied <= {line.removeprefix("!") for line in allowed if line.startswith("!")}
