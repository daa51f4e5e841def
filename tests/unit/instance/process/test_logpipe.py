"""A child that writes never waits for us; what we cannot pass on is counted."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cnmysql import log
from instance.process.logpipe import BURST, LogPipe


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    stream = io.StringIO()
    log.configure("info", stream=stream, instance="db-1")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    log.configure("info")


def run(pipe: LogPipe, script: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.DEVNULL, stdout=pipe.stdout, stderr=pipe.stderr
    )
    pipe.started()
    assert child.wait(60) == 0
    deadline = time.monotonic() + 10
    while not pipe.finished():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_become_records_with_process_and_stream(lines: Callable[[], list[dict[str, Any]]]) -> None:
    codes: list[str] = []
    pipe = LogPipe("mysqld", codes.append)
    record = '{"prio": 2, "err_code": 10931, "subsystem": "Server", "msg": "ready"}'
    run(pipe, f"import os; os.write(1, b'out\\n'); os.write(2, b'{record}\\npart'); os.write(2, b'ial, no end')")
    found = {line["msg"]: line for line in lines()}
    assert found["out"]["stream"] == "stdout"
    assert found["ready"] | {"ts": ""} == {
        "ts": "", "level": "warning", "msg": "ready", "logger": "mysqld", "process": "mysqld", "stream": "stderr",
        "code": "MY-010931", "subsystem": "Server", "instance": "db-1",
    }  # fmt: skip
    assert "partial, no end" in found
    assert codes == ["MY-010931"]
    assert set(pipe.text()) == {"out", record, "partial, no end"}


def test_a_flood_is_dropped_counted_and_its_end_kept(lines: Callable[[], list[dict[str, Any]]]) -> None:
    pipe = LogPipe("mysqld")
    began = time.monotonic()
    run(
        pipe,
        "import os\nfor i in range(3000): os.write(2, b'x' * 200 + b'\\n' + b'y\\n' * 99)\nos.write(2, b'last\\n')",
    )
    assert time.monotonic() - began < 20
    passed = [line for line in lines() if line.get("stream")]
    told = sum(line["dropped"] for line in lines() if line["msg"] == "dropped output lines")
    assert pipe.dropped > 100_000
    assert told == pipe.dropped
    assert len(passed) + pipe.dropped == 300_001
    assert len(passed) < 10 * BURST
    assert pipe.text()[-1] == "last"


def test_a_line_without_end_does_not_grow_for_ever(lines: Callable[[], list[dict[str, Any]]]) -> None:
    pipe = LogPipe("mysqld")
    run(pipe, "import os\nfor i in range(64): os.write(1, b'z' * 65536)")
    assert sum(len(text) for text in pipe.text()) <= 64 * 1024
    assert all(len(line["msg"]) <= 4096 for line in lines())


def test_a_child_that_never_started_leaves_no_descriptor(lines: Callable[[], list[dict[str, Any]]]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    LogPipe("mysqld").discard()
    assert len(os.listdir("/proc/self/fd")) == before
