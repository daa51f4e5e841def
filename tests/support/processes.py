"""Processes of Pods as the host sees them: the only way to kill a container's PID 1."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    pid: int
    inner_pid: int
    """Its number inside the container."""
    command: tuple[str, ...]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; a process that has just ended is fine."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return


def of_pod(uid: str) -> list[Process]:
    """Every process in the containers of the Pod with this uid (the sandbox's pause process excluded)."""
    found = []
    marks = (f"pod{uid}", f"pod{uid.replace('-', '_')}")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            cgroups = (entry / "cgroup").read_text()
            if not any(mark in cgroups for mark in marks):
                continue
            command = tuple((entry / "cmdline").read_text().rstrip("\0").split("\0"))
            status = (entry / "status").read_text()
        except OSError:
            continue  # it ended while we looked
        inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
        if command[0].endswith("pause"):
            continue
        found.append(Process(int(entry.name), int(inner), command))
    return found


def manager(uid: str) -> Process:
    """PID 1 of the Pod's running manager. Raises LookupError when there is none."""
    for process in of_pod(uid):
        if process.inner_pid == 1 and any("manager" in part for part in process.command):
            return process
    raise LookupError(f"no manager runs in Pod {uid}")


def mysqld(uid: str) -> Process:
    """The Pod's mysqld. Raises LookupError when there is none."""
    for process in of_pod(uid):
        if process.command[0].endswith("mysqld"):
            return process
    raise LookupError(f"no mysqld runs in Pod {uid}")
