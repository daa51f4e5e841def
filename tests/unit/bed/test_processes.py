"""Recorded processes: parsing, recognition, and ending only what was recorded. Uses real child processes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bed import processes, shell
from tests.bed.config import BedError
from tests.bed.processes import Record, Table


@given(st.integers(1, 2**22), st.integers(0, 2**60), st.uuids())
def test_a_record_survives_its_file(pid: int, started: int, boot: object) -> None:
    record = Record(pid, started, str(boot))
    assert Record.parse(record.render()) == record


@pytest.mark.parametrize("text", ["", "12", "12 34", "x 34 boot", "12 34 boot more"])
def test_a_record_cut_short_is_none(text: str) -> None:
    assert Record.parse(text) is None


def test_stat_of_a_process_with_an_evil_name() -> None:
    fields = ["S", *(str(number) for number in range(4, 53))]
    assert processes.parse_stat(f"7 (a) b) R 1) {' '.join(fields)}") == ("S", 22)


def test_start_runs_once_and_stop_ends_it(tmp_path: Path) -> None:
    table = Table(tmp_path / "run")
    assert table.start("sleeper", ["sleep", "60"], tmp_path / "log")
    record = table.running("sleeper")
    assert record is not None
    assert not table.start("sleeper", ["sleep", "60"], tmp_path / "log")
    assert table.running("sleeper") == record
    assert table.names() == ["sleeper"]
    table.stop("sleeper")
    assert table.get("sleeper") is None
    assert processes.start_time(record.pid) is None
    table.stop("sleeper")


def test_output_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    record = processes.spawn(["sh", "-c", "echo out; echo err >&2; exec sleep 60"], log)
    shell.wait_for("output", lambda: log.read_text() == "before\nout\nerr\n", timeout=10)
    processes.end(record)


def test_a_pid_in_other_hands_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        started = processes.start_time(other.pid)
        assert started is not None
        processes.end(Record(other.pid, started + 1, processes.boot_id()))
        processes.end(Record(other.pid, started, "another-boot"))
        assert other.poll() is None
        with pytest.raises(BedError, match="not running"):
            processes.send(Record(other.pid, started + 1, processes.boot_id()), signal.SIGSTOP)
        other.kill()


def test_a_stopped_process_can_be_ended(tmp_path: Path) -> None:
    record = processes.spawn(["sleep", "60"], tmp_path / "log")
    processes.send(record, signal.SIGSTOP)
    processes.end(record)
    assert not processes.is_alive(record)


def test_a_survivor_is_reported(tmp_path: Path) -> None:
    record = processes.spawn(["sleep", "60"], tmp_path / "log")
    with pytest.raises(BedError, match="SIGCONT"):
        processes.end(record, how=signal.SIGCONT, timeout=0.1)
    processes.end(record)


def test_a_zombie_is_not_alive(tmp_path: Path) -> None:
    record = processes.spawn(["sleep", "60"], tmp_path / "log")
    os.kill(record.pid, signal.SIGKILL)
    shell.wait_for("the zombie", lambda: not processes.is_alive(record), timeout=10)
    assert Path(f"/proc/{record.pid}").exists()
    os.waitpid(record.pid, 0)
