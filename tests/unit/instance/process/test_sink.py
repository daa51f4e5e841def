"""Logging goes on while nobody reads standard error."""

from __future__ import annotations

import os
import time

from instance.process.sink import LIMIT_BYTES, Sink


def test_what_is_written_arrives_in_order() -> None:
    read, write = os.pipe()
    sink = Sink(write)
    for i in range(100):
        sink.write(f"line {i}\n")
    assert sink.drain(5)
    assert os.read(read, 1 << 16).decode().splitlines() == [f"line {i}" for i in range(100)]


def test_a_full_pipe_never_blocks_the_writer_and_losses_are_told() -> None:
    read, write = os.pipe()
    sink = Sink(write)
    line = "x" * 999 + "\n"
    began = time.monotonic()
    count = 2 * LIMIT_BYTES // len(line)
    for _ in range(count):
        sink.write(line)
    assert time.monotonic() - began < 5
    assert not sink.drain(0.1)
    text = ""
    while "dropped log lines" not in text[-2000:]:
        sink.write("tail\n")
        text += os.read(read, 1 << 20).decode()
    assert text.count("x" * 999) < count
