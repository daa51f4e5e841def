"""Groups in both versions of the cgroup tree, on plain folders that stand in for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bed import cgroups


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    for controller in ("cpuset", "pids"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    for name, value in (("cpuset.cpus", "0-1\n"), ("cpuset.mems", "0\n")):
        (tmp_path / "cpuset" / name).write_text(value)
    (tmp_path / "cpu").symlink_to("pids")
    return tmp_path


def test_version_1_has_a_tree_per_controller(version_1: Path) -> None:
    assert [tree.name for tree in cgroups.trees(version_1)] == ["cpuset", "pids"]
    cgroups.create("bed/node-1", version_1)
    assert (version_1 / "pids" / "bed" / "node-1").is_dir()
    assert (version_1 / "cpuset" / "bed" / "node-1").is_dir()


def test_version_1_cpusets_inherit_on_every_level(version_1: Path) -> None:
    tree = version_1 / "cpuset"
    for folder in (tree / "bed", tree / "bed" / "node-1"):
        folder.mkdir()
        (folder / "cpuset.cpus").write_text("\n")
        (folder / "cpuset.mems").write_text("\n")
    cgroups.create("bed/node-1", version_1)
    assert (tree / "bed" / "node-1" / "cpuset.cpus").read_text() == "0-1\n"
    assert (tree / "bed" / "node-1" / "cpuset.mems").read_text() == "0\n"


def test_version_2_delegates_every_controller(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "bed"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    cgroups.create("bed", tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (tmp_path / "bed" / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_members_are_found_at_any_depth(version_1: Path) -> None:
    deep = version_1 / "pids" / "bed" / "kubepods" / "pod"
    deep.mkdir(parents=True)
    (deep / "cgroup.procs").write_text("12\n13\n")
    (version_1 / "pids" / "bed" / "cgroup.procs").write_text("11\n")
    assert sorted(cgroups.members("bed", version_1)) == [11, 12, 13]
    assert cgroups.members("absent", version_1) == []


def test_a_command_joins_and_becomes_the_program(version_1: Path) -> None:
    command = cgroups.joining("bed", ["program", Path("/argument")], version_1)
    assert command[3:] == [str(version_1 / "pids/bed/runtime/cgroup.procs"), "program", "/argument"]
    assert "exec" in command[2]


def test_removal_is_from_the_leaves_up(version_1: Path) -> None:
    cgroups.create("bed/node-1/deep", version_1)
    cgroups.remove("bed", version_1)
    assert not (version_1 / "pids" / "bed").exists()
    assert not (version_1 / "cpuset" / "bed").exists()
    cgroups.remove("bed", version_1)
