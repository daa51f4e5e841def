"""What is mounted on this machine, and unmounting whole folders of it."""

from __future__ import annotations

from pathlib import Path

from tests.bed import shell

_MOUNTINFO = Path("/proc/self/mountinfo")


def parse(mountinfo: str, below: Path) -> list[Path]:
    """Mount points at or below a folder, in the order in which they were mounted. Format: proc(5), mountinfo."""
    found = []
    for line in mountinfo.splitlines():
        point = Path(line.split()[4].encode().decode("unicode_escape"))
        if point == below or below in point.parents:
            found.append(point)
    return found


def below(folder: Path) -> list[Path]:
    return parse(_MOUNTINFO.read_text(), folder)


def is_mounted(point: Path) -> bool:
    return point in below(point)


def unmount_below(folder: Path) -> None:
    """Unmounts the youngest first. Detaches, because a volume may still be busy in a dying process."""
    for point in reversed(below(folder)):
        shell.run(["umount", "--lazy", point])
