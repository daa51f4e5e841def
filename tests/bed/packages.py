"""Debian packages the bed runs on: installed when root, named when not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.bed import shell
from tests.bed.config import BedError

# Package -> a file or program that it brings.
_NEEDED = {
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "util-linux": "nsenter",
    "mount": "losetup",
    "xfsprogs": "mkfs.xfs",
    "gcc": "gcc",
    "libc6-dev": "/usr/include/stdlib.h",
}


def missing() -> list[str]:
    """The packages whose file or program is not there."""

    def is_there(witness: str) -> bool:
        return Path(witness).exists() if witness.startswith("/") else shutil.which(witness) is not None

    return [package for package, witness in _NEEDED.items() if not is_there(witness)]


def ensure() -> None:
    """Installs what is missing. Raises BedError with the exact command when that is not possible."""
    wanted = missing()
    if not wanted:
        return
    command = f"apt-get install --no-install-recommends {' '.join(wanted)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BedError(f"these Debian packages are missing: {command}")
    shell.say(f"installing missing Debian packages: {command}")
    environment = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    shell.run(["apt-get", "update", "-qq"], timeout=300, env=environment)
    shell.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted], timeout=600, env=environment)
