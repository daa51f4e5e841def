"""A MySQL release on disk that tests can run: the root file system of the bed's MySQL image, entered by wrappers.

A wrapper script per program enters a mount namespace of its own, binds /proc, /dev, /sys and /tmp into that file
system, changes root into it and runs the program as uid 999. It execs all the way, so the pid you start is the
program's own, and exit codes and signals are its own too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bed.images import cache, mysql

MYSQL_UID = mysql.MYSQL_UID
PROGRAMS = ("mysqld", "mysql", "mysqladmin", "mysqlbinlog", "mysqldump")
RUN_SECONDS = 60.0


class MysqldError(Exception):
    """A server did not do what the test asked for; the text ends with the last lines of its log."""


def unavailable() -> str | None:
    """Why real servers cannot run here, or None."""
    if sys.platform != "linux":
        return "real MySQL servers need Linux"
    if os.geteuid() != 0:
        return "real MySQL servers need root (mount namespace and chroot)"
    missing = [tool for tool in ("apt-get", "dpkg-deb", "unshare", "chroot") if shutil.which(tool) is None]
    return f"real MySQL servers need {', '.join(missing)}" if missing else None


@dataclass(frozen=True)
class Distribution:
    """A MySQL release on disk and the directory of wrapper scripts that run its programs."""

    rootfs: Path
    bin: Path

    def program(self, name: str) -> Path:
        """The path to run: one of PROGRAMS."""
        return self.bin / name

    def run(self, name: str, *arguments: str, timeout: float = RUN_SECONDS) -> str:
        """Run one program to its end and return its standard output. Raises MysqldError when it fails."""
        command = [str(self.program(name)), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise MysqldError(f"{name} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout


def make_distribution(base: Path) -> Distribution:
    """The release of the bed's MySQL image, built when missing, with its wrappers in base/bin."""
    found = Distribution(mysql.rootfs(), base / "bin")
    found.bin.mkdir(mode=0o755)
    root = found.rootfs
    binds = " && ".join(f"mount --rbind {path} '{root}{path}'" for path in ("/proc", "/dev", "/sys", "/tmp"))
    for name in PROGRAMS:
        enter = f"exec chroot --userspec={MYSQL_UID}:{MYSQL_UID} --groups= '{root}' {name} \"$@\""
        script = found.program(name)
        script.write_text(
            "#!/bin/sh\ncd /tmp\n"
            f"exec unshare --mount --propagation private -- sh -c '{binds.replace(chr(39), chr(34))} && "
            f'{enter.replace(chr(39), chr(34))}\' {name} "$@"\n'
        )
        script.chmod(0o755)
    return found


def template_datadir(distribution: Distribution) -> Path:
    """A data directory initialised once per MySQL release, root without password, no server UUID yet."""

    def build(work: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="cnmysql-template.", dir="/tmp") as name:
            scratch = Path(name)
            os.chown(scratch, MYSQL_UID, MYSQL_UID)
            data = scratch / "data"
            distribution.run(
                "mysqld", "--no-defaults", "--initialize-insecure", f"--datadir={data}",
                "--innodb-redo-log-capacity=16M",
            )  # fmt: skip
            (data / "auto.cnf").unlink()
            copy_tree(data, work / "data")

    return cache.build_once("mysql-datadir", distribution.rootfs.parent.name[-16:], build) / "data"


def copy_tree(source: Path, target: Path) -> None:
    """Copy a directory with owners and modes, sharing or skipping what need not be written."""
    subprocess.run(["cp", "-a", "--reflink=auto", "--sparse=always", str(source), str(target)], check=True)
