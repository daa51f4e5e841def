"""What one caller may take of the control API: connections, tries, requests, bytes and time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl

import pytest

from cnmysql import listener
from cnmysql.errors import Transient
from instance import handlers
from tests.support.control import HOST, INSTANCE, SERVER_NAME, Served, request


async def test_one_request_a_connection_so_nothing_rides_behind_the_first(served: Served) -> None:
    reader, writer = await served.dial(served.operator)
    close = request("POST", "/role/close", b'{"epoch": 3}')
    writer.write(request("GET", "/status") + close * 5)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert served.fake.epochs == []
    writer.close()


async def test_a_huge_announced_body_is_refused_without_reading_it(served: Served) -> None:
    head = b"POST /role/close HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000000000\r\n\r\n"
    code, _ = await served.raw(head + b"x" * 8192)
    assert code == 413


async def test_streams_are_counted(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MAX_STREAMS", 2)
    client = served.client(served.operator)
    streams = [client.stream(INSTANCE, HOST) for _ in range(2)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(Transient, match="too many"):
        await anext(client.stream(INSTANCE, HOST))
    for stream in streams:
        await stream.aclose()
    await client.close()


async def cut(reader: asyncio.StreamReader) -> None:
    """Returns when the server has ended the connection."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await asyncio.wait_for(reader.read(), 5)


async def test_the_noisiest_stranger_loses_its_own_connections_first(served: Served) -> None:
    one = await asyncio.open_connection(HOST, served.port, local_addr=("127.0.0.9", 0))
    many = [
        await asyncio.open_connection(HOST, served.port, local_addr=("127.0.0.2", 0))
        for _ in range(handlers.MAX_EACH_STRANGER + 3)
    ]
    for reader, _ in many[:3]:
        await cut(reader)
    client = served.client(served.operator)
    assert (await client.status(INSTANCE, HOST)).instance_name == INSTANCE
    for reader, _ in [one, *many[3:]]:
        assert not reader.at_eof()
    for _, writer in [one, *many]:
        writer.close()
    await client.close()


async def test_an_address_that_keeps_failing_handshakes_is_not_even_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.listener._tries, "_rate", 0.0)
    for _ in range(listener.TRIES_AT_ONCE):
        reader, writer = await asyncio.open_connection(HOST, served.port, local_addr=("127.0.0.2", 0))
        writer.write(b"no hello")
        await cut(reader)
        writer.close()
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await served.dial(served.operator, "127.0.0.2")
    for _ in range(listener.TRIES_AT_ONCE + 5):
        _, writer = await served.dial(served.operator)
        writer.close()


async def test_a_peer_has_few_connections_and_takes_none_of_the_operators(served: Served) -> None:
    operator, held = await served.dial(served.operator)
    peers = [await served.dial(served.peer, "127.0.0.2") for _ in range(handlers.MAX_EACH + 2)]
    for reader, _ in peers[:2]:
        await cut(reader)
    assert not operator.at_eof()
    for writer in [held, *(writer for _, writer in peers)]:
        writer.close()


async def test_an_answer_that_is_not_taken_does_not_keep_the_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "ANSWER_SECONDS", 0.3)
    served.fake.state = "x" * 30_000_000
    reader, writer = await served.dial(served.peer)
    writer.write(request("GET", "/status"))
    (task,) = served.listener._open
    await asyncio.wait_for(asyncio.shield(task), 5)
    with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
        await reader.readexactly(30_000_000)
    writer.close()


async def test_a_body_that_drips_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "BODY_SECONDS", 0.2)
    head = request("POST", "/role/close", headers="Content-Length: 50\r\n")
    code, body = await served.raw(head + b'{"epoch": 3')
    assert (code, json.loads(body)) == (408, {"error": "the body did not arrive in time"})


async def test_a_connection_that_drips_its_header_is_cut(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection(
        HOST, served.port, ssl=served.caller(served.operator), server_hostname=SERVER_NAME
    )
    writer.write(b"GET /status HTTP/1.1\r\nX:")
    with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
