"""Control groups of the bed: one per node, and one for the processes of the control plane.

They limit nothing. They are how everything a node ever started is found and ended at once, shims and containers
included, also after the records of a killed run are lost. Version 1 (one tree per controller) and version 2 (one
tree) are both served; see cgroups(7).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.bed import shell
from tests.bed.config import CGROUP

ROOT = Path("/sys/fs/cgroup")
CONTROL = f"{CGROUP}/control"
_JOIN = 'echo $$ >"$0" && exec "$@"'


def is_unified(root: Path = ROOT) -> bool:
    return (root / "cgroup.controllers").exists()


def trees(root: Path = ROOT) -> list[Path]:
    """The root of every hierarchy: one folder per controller in version 1, the root itself in version 2."""
    if is_unified(root):
        return [root]
    return sorted(tree for tree in root.iterdir() if (tree / "cgroup.procs").exists() and not tree.is_symlink())


def _membership(root: Path = ROOT) -> Path:
    """The hierarchy whose membership the bed goes by."""
    return root if is_unified(root) else root / "pids"


def create(group: str, root: Path = ROOT) -> None:
    """Makes the group with all its parents, ready to have children with limits; fine when it exists."""
    for tree in trees(root):
        folder = tree
        for part in Path(group).parts:
            parent, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            if is_unified(root):
                _delegate(parent)
            else:
                _inherit_cpuset(parent, folder)
        if is_unified(root):
            _delegate(folder)


def _delegate(folder: Path) -> None:
    controllers = (folder / "cgroup.controllers").read_text().split()
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def _inherit_cpuset(parent: Path, folder: Path) -> None:
    """A version 1 cpuset starts empty, and nothing can join it before it has processors and memory."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (folder / name).exists() and not (folder / name).read_text().strip():
            (folder / name).write_text((parent / name).read_text())


def joining(group: str, argv: Sequence[str | Path], root: Path = ROOT) -> list[str]:
    """The command that becomes a member of the group's `runtime` child and then runs `argv` in the same process.

    A child, because in version 2 a group holds either processes or children.
    """
    create(f"{group}/runtime", root)
    members = _membership(root) / group / "runtime" / "cgroup.procs"
    return ["sh", "-c", _JOIN, str(members), *(str(part) for part in argv)]


def members(group: str, root: Path = ROOT) -> list[int]:
    """Every process in the group or anywhere below it."""
    found: list[int] = []
    for folder, _, _ in os.walk(_membership(root) / group):
        with contextlib.suppress(FileNotFoundError, OSError):
            found += [int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split()]
    return found


def kill(group: str, *, timeout: float = 20) -> None:
    """Ends every process of the group. Raises BedError when some survive the bound."""

    def is_empty() -> bool:
        pids = members(group)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    shell.wait_for(f"ending the processes of {group}", is_empty, timeout=timeout)


def remove(group: str, root: Path = ROOT) -> None:
    """Removes the empty group and everything below it from every hierarchy."""
    for tree in trees(root):
        for folder, _, _ in os.walk(tree / group, topdown=False):
            with contextlib.suppress(FileNotFoundError):
                Path(folder).rmdir()
