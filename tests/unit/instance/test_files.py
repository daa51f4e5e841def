"""Watched files: a change is acted on once, also through the kubelet's symbolic links, and again until it works."""

from __future__ import annotations

from pathlib import Path

from cnmysql.errors import Unreachable
from instance.files import Watched, look


class Acts:
    def __init__(self) -> None:
        self.count = 0
        self.fails = False

    async def __call__(self) -> None:
        self.count += 1
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
