"""The build cache: complete or absent, one builder at a time, old products dropped."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.bed.images import cache


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CNMYSQL_BED_CACHE", str(tmp_path))
    return tmp_path


def _write(work: Path) -> None:
    (work / "file").write_text("done")


def test_parts_cannot_run_into_each_other() -> None:
    assert cache.digest_of(["ab", "c"]) != cache.digest_of(["a", "bc"])
    assert cache.digest_of(["a"]) == cache.digest_of([b"a"])


def test_names_contents_and_executable_bits_count(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("x")
    seen = {cache.digest_of_files(tmp_path, [first])}
    first.chmod(0o755)
    seen.add(cache.digest_of_files(tmp_path, [first]))
    first.write_text("y")
    seen.add(cache.digest_of_files(tmp_path, [first]))
    first.rename(second)
    seen.add(cache.digest_of_files(tmp_path, [second]))
    assert len(seen) == 4


def test_a_failed_build_leaves_nothing_that_looks_finished(root: Path) -> None:
    def fail(work: Path) -> None:
        _write(work)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        cache.build_once("thing", "k" * 16, fail)
    assert not cache.product("thing", "k" * 16).exists()
    assert (cache.build_once("thing", "k" * 16, _write) / "file").read_text() == "done"
    assert [path for path in root.iterdir() if path.is_dir()] == [cache.product("thing", "k" * 16)]


def test_builders_of_one_product_take_turns(root: Path) -> None:
    built = []

    def build(work: Path) -> None:
        built.append(work)
        _write(work)

    threads = [threading.Thread(target=cache.build_once, args=("thing", "k" * 16, build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(built) == 1


def test_the_least_recently_used_products_go(root: Path) -> None:
    keys = [str(number) * 16 for number in range(cache.KEEP + 1)]
    for age, key in enumerate(keys):
        os.utime(cache.build_once("thing", key, _write), (age, age))
    other = cache.build_once("thing-else", "k" * 16, _write)
    cache.build_once("thing", keys[1], _write)
    left = {path.name for path in root.iterdir() if path.is_dir()}
    assert left == {f"thing-{key}" for key in keys[1:]} | {other.name}
