"""Servers of test runs that were killed are ended by whichever of the next run's workers comes first."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.support import mysqld
from tests.support.kube import eventually


def test_a_record_another_worker_has_just_removed_is_passed_over(tmp_path: Path) -> None:
    mysqld._kill_if_ours(tmp_path / "server" / "pid")


def test_only_the_process_the_record_was_made_for_is_killed(tmp_path: Path) -> None:
    record = tmp_path / "pid"
    stranger = subprocess.Popen(["sleep", "60"])
    ours = subprocess.Popen(["sh", "-c", "sleep 60; exit", str(tmp_path)])
    try:
        for process in (stranger, ours):
            eventually(
                Path(f"/proc/{process.pid}/cmdline").read_bytes, 10, "the program to have its arguments", every=0.01
            )
            record.write_text(str(process.pid))
            mysqld._kill_if_ours(record)
        assert ours.wait(10) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        for process in (stranger, ours):
            process.kill()
            process.wait()
