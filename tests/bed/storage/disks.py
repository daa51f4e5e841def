"""Loop-mounted XFS files: one `<name>.img` and one mount point `<name>` per volume. Every step may be repeated.

XFS and not ext4, because growing a mounted ext4 asks for CAP_SYS_RESOURCE (ext4_resize_begin in the kernel), which
root does not have on every machine the bed runs on; growing XFS asks for no more than mounting it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.bed import mounts, shell

_LOOP_MAJOR = 7
_LOOP_DEVICES = 128
# A new sparse file has nothing to discard.
_MAKE = ("mkfs.xfs", "-q", "-f", "-K")


class Disks:
    """The disks of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def image(self, name: str) -> Path:
        return self._folder / f"{name}.img"

    def mount_point(self, name: str) -> Path:
        return self._folder / name

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def create(self, name: str, size: int) -> None:
        """Makes and mounts a disk of `size` bytes; an image that is complete already is kept."""
        with self._locked():
            image = self.image(name)
            if not image.exists():
                draft = image.with_suffix(".draft")
                with draft.open("wb") as file:
                    file.truncate(size)
                shell.run([*_MAKE, draft])
                draft.rename(image)
            self._mount(name)

    def mount_all(self) -> None:
        """Mounts every disk that is not: after the machine restarted, or someone unmounted it."""
        with self._locked():
            for image in sorted(self._folder.glob("*.img")):
                self._mount(image.stem)

    def grow(self, name: str, size: int) -> None:
        """Grows the file and the mounted file system; never shrinks."""
        with self._locked():
            image = self.image(name)
            if image.stat().st_size < size:
                os.truncate(image, size)
            self._mount(name)
            shell.run(["losetup", "--set-capacity", self._device(name)])
            shell.run(["xfs_growfs", "-d", self.mount_point(name)])

    def remove(self, name: str) -> None:
        """Unmounts and deletes; a loop device still busy in a dying Pod detaches itself when that ends."""
        with self._locked():
            mounts.unmount_below(self.mount_point(name))
            device = self._device(name)
            if device:
                shell.succeeds(["losetup", "--detach", device])
            self.image(name).unlink(missing_ok=True)
            shutil.rmtree(self.mount_point(name), ignore_errors=True)

    def remove_all(self) -> None:
        for image in sorted(self._folder.glob("*.img")):
            self.remove(image.stem)
        mounts.unmount_below(self._folder)

    def _device(self, name: str) -> str:
        """The loop device of a disk; empty when it is not attached."""
        answer = shell.run(["losetup", "--noheadings", "--output", "NAME", "--associated", self.image(name)])
        return answer.split()[0] if answer.split() else ""

    def _mount(self, name: str) -> None:
        point = self.mount_point(name)
        if mounts.is_mounted(point):
            return
        point.mkdir(exist_ok=True)
        device = self._device(name) or shell.run(["losetup", "--find", "--show", self.image(name)]).strip()
        shell.run(["mount", "-t", "xfs", "-o", "noatime", device, point])


def ensure_loop_devices() -> None:
    """Device files for more loop devices than the eight a machine comes with; the kernel makes the rest itself."""
    for number in range(_LOOP_DEVICES):
        device = Path(f"/dev/loop{number}")
        if not device.exists():
            os.mknod(device, 0o660 | stat.S_IFBLK, os.makedev(_LOOP_MAJOR, number))
