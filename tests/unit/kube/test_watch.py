"""Lines out of chunks, and what a line means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql.errors import Gone, Transient
from cnmysql.kube.resources import PODS
from cnmysql.kube.watch import Garbled, LineSplitter, read_event
from cnmysql.kube.wire import encode


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 40)))
def test_lines_are_the_same_however_the_bytes_are_cut(lines: list[bytes], cuts: list[int]) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    data = b"".join(line + b"\n" for line in lines) + b"half a line"
    splitter, got, at = LineSplitter(), [], 0
    for cut in [*cuts, len(data)]:
        got += splitter.feed(data[at : at + cut])
        at += cut
    assert got == [line for line in lines if line.strip()]


def test_a_line_may_be_far_larger_than_any_buffer() -> None:
    splitter = LineSplitter()
    for _ in range(320):
        assert splitter.feed(b"x" * 65536) == []
    assert [len(line) for line in splitter.feed(b"\n")] == [320 * 65536]


def test_an_endless_line_is_refused() -> None:
    splitter = LineSplitter(limit=100)
    splitter.feed(b"x" * 100)
    with pytest.raises(Garbled):
        splitter.feed(b"x")


@pytest.mark.parametrize(
    "line",
    [
        b"503 service unavailable",
        b'"text"',
        b"[1]",
        b"{}",
        b'{"type":"ADDED"}',
        b'{"type":"ADDED","object":"x"}',
        b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}',
        b'{"type":"ADDED","object":{"metadata":{"resourceVersion":"1"}}}',
        b'{"type":"NEWS","object":{"metadata":{"name":"a","resourceVersion":"1"}}}',
        b'{"type":"BOOKMARK","object":{"metadata":{}}}',
    ],
)
def test_what_is_not_an_event_is_garbled(line: bytes) -> None:
    with pytest.raises(Garbled):
        read_event(PODS, line)


def test_an_error_event_is_the_error_it_stands_for() -> None:
    def line(code: int, reason: str) -> bytes:
        status = {"kind": "Status", "code": code, "reason": reason, "details": {"retryAfterSeconds": 4}}
        return encode({"type": "ERROR", "object": status})

    with pytest.raises(Gone):
        read_event(PODS, line(410, "Expired"))
    with pytest.raises(Gone):
        read_event(PODS, line(410, "Gone"))
    with pytest.raises(Transient) as caught:
        read_event(PODS, line(429, "TooManyRequests"))
    assert caught.value.retry_after == 4


def test_events_are_ready_to_keep() -> None:
    meta = {"name": "a", "resourceVersion": "7", "managedFields": [{}]}
    event = read_event(PODS, encode({"type": "ADDED", "object": {"metadata": meta}}))
    assert event.object == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "resourceVersion": "7"}}
    assert event.version == "7"
