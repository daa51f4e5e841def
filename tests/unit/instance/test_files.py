"""Watched files: a change is acted on once, also through the kubelet's symbolic links, and again until it works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cnmysql.clock import SystemClock
from cnmysql.errors import Unreachable
from instance.files import FileWatch, Watched, look


class Acts:
    def __init__(self) -> None:
        self.count = 0
        self.fails = False
        self.during: Callable[[], None] = lambda: None

    async def __call__(self) -> None:
        self.count += 1
        self.during()
        if self.fails:
            raise Unreachable("not now")


def mounted(tmp_path: Path, revision: str, content: str) -> Path:
    """A file as the kubelet mounts it: link -> ..data/link -> directory of this revision."""
    directory = tmp_path / f"..{revision}"
    directory.mkdir()
    (directory / "tls.crt").write_text(content)
    fresh = tmp_path / "..data_tmp"
    fresh.symlink_to(directory.name)
    fresh.rename(tmp_path / "..data")
    link = tmp_path / "tls.crt"
    if not link.is_symlink():
        link.symlink_to("..data/tls.crt")
    return link


async def test_a_replaced_directory_is_seen_once(tmp_path: Path) -> None:
    acts = Acts()
    group = Watched("tls", (mounted(tmp_path, "1", "a"),), acts)
    await look(group)
    assert acts.count == 0
    mounted(tmp_path, "2", "a")
    await look(group)
    await look(group)
    assert acts.count == 1


async def test_a_failed_act_is_repeated(tmp_path: Path) -> None:
    acts = Acts()
    group = Watched("tls", (mounted(tmp_path, "1", "a"),), acts)
    mounted(tmp_path, "2", "b")
    acts.fails = True
    await look(group)
    await look(group)
    assert acts.count == 2 and group.complaint == "not now"
    acts.fails = False
    await look(group)
    await look(group)
    assert acts.count == 3 and group.complaint == ""


async def test_a_file_that_disappears_and_comes_back(tmp_path: Path) -> None:
    acts = Acts()
    file = tmp_path / "my.cnf"
    file.write_text("a")
    group = Watched("config", (file,), acts)
    file.unlink()
    await look(group)
    file.write_text("a")
    await look(group)
    assert acts.count == 2


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_asked_for_during_the_act_is_done_after_it(tmp_path: Path, *, fails: bool) -> None:
    """A server that restarts while it is being configured has to be configured from the beginning."""
    acts = Acts()
    file = tmp_path / "live.cnf"
    file.write_text("a")
    watched = Watched("config", (file,), acts)
    watch = FileWatch((watched,), SystemClock())
    acts.during = lambda: watch.again("config")
    acts.fails = fails
    watch.again("config")
    await look(watched)
    acts.during, acts.fails = lambda: None, False
    await look(watched)
    await look(watched)
    assert acts.count == 2


async def test_a_change_during_the_act_is_acted_on_after_it(tmp_path: Path) -> None:
    acts = Acts()
    file = tmp_path / "live.cnf"
    file.write_text("a")
    watched = Watched("config", (file,), acts)
    file.write_text("long")
    acts.during = lambda: file.unlink(missing_ok=True)
    await look(watched)
    await look(watched)
    await look(watched)
    assert acts.count == 2
