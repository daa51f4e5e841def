"""The manifest text, its digest, and how differences are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql import names
from manager.tree import manifest
from manager.tree.manifest import Entry

PATHS = st.lists(st.text("ab_. -", min_size=1, max_size=3), min_size=1, max_size=3).map(
    lambda parts: "/".join(f"x{part}" for part in parts)
)
ENTRIES = st.builds(
    Entry,
    path=PATHS,
    executable=st.booleans(),
    size=st.integers(0, 2**40),
    sha256=st.sampled_from("0123456789abcdef").map(lambda digit: digit * 64),
)
TREES = st.lists(ENTRIES, max_size=8, unique_by=lambda entry: entry.path)


@given(TREES)
def test_text_and_entries_are_the_same_thing(entries: list[Entry]) -> None:
    assert manifest.parse(manifest.render(entries)) == tuple(sorted(entries))


@given(TREES)
def test_the_order_of_files_does_not_change_the_digest(entries: list[Entry]) -> None:
    assert manifest.render(reversed(entries)) == manifest.render(entries)


@given(TREES, TREES)
def test_a_difference_is_empty_only_for_equal_trees(first: list[Entry], second: list[Entry]) -> None:
    assert bool(manifest.compare(first, second)) == (manifest.render(first) != manifest.render(second))


def test_a_difference_names_what_is_wrong() -> None:
    hashes = ["0" * 64, "1" * 64]
    expected = [Entry(path, False, 1, hashes[0]) for path in ("absent", "same", "other")]
    found = [Entry("same", False, 1, hashes[0]), Entry("other", False, 1, hashes[1]), Entry("new", False, 1, hashes[0])]
    difference = manifest.compare(expected, found)
    assert str(difference) == "missing: absent; changed: other; foreign: new"
    assert str(manifest.compare(expected, expected)) == "no difference"


def test_an_executable_bit_is_part_of_the_digest() -> None:
    plain, executable = (manifest.render([Entry("a", bit, 1, "0" * 64)]) for bit in (False, True))
    assert manifest.digest_of(plain) != manifest.digest_of(executable)


@pytest.mark.parametrize("line", ["x", "00 - 1 a", f"{'0' * 64} ? 1 a", f"{'0' * 64} - 1 ../a", f"{'0' * 64} - 1 /a"])
def test_a_damaged_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not a line|unpack"):
        manifest.parse(line + "\n")


def test_scan_reads_files_and_distrusts_links(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a").write_text("hello")
    (tmp_path / "run").write_text("#!")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "link").symlink_to("run")
    (tmp_path / manifest.DIGEST).write_text("not part of the tree")
    found = {entry.path: entry for entry in manifest.scan(tmp_path)}
    assert set(found) == {"lib/a", "run", "link"}
    assert found["lib/a"].sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert (found["run"].executable, found["lib/a"].executable) == (True, False)
    assert found["link"].sha256 == "not-a-regular-file"


def test_the_instance_looks_for_the_digest_where_it_is() -> None:
    assert f"{names.CONTROLLER_DIR}/{manifest.DIGEST}" == names.TREE_DIGEST_FILE
