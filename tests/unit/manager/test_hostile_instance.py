"""What a broken-into instance can do to the operator through its status stream: over a real socket with real TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql.errors import CnmysqlError, Invalid, Unreachable
from cnmysql.pki.contexts import TlsFiles, client_context, server_context
from cnmysql.protocol import client as protocol_client
from cnmysql.protocol.client import ControlClient
from cnmysql.protocol.report import MAX_ENTRIES, MAX_TEXT, Frame, InstanceStatus
from tests.support.certs import Authority
from tests.support.cost import cpu_seconds

GOOD: dict[str, Any] = {
    "instanceName": "db-1",
    "podUid": "u",
    "mysqld": {"state": "running", "since": "2026-01-01T00:00:00Z"},
}
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
Answer = Callable[[asyncio.StreamWriter], Any]


@asynccontextmanager
async def hostile(home: Path, answer: Answer, *, name: str = "db-1.ns.svc") -> AsyncIterator[ControlClient]:
    """The operator's client, and an instance with a good certificate that answers as it likes."""
    ca = Authority()
    (home / "ca.crt").write_bytes(ca.pem)
    server = ca.issue(dns=(name,)).write(home / "server")
    operator = ca.issue("cnmysql-operator", server=False).write(home / "operator")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    context = server_context(TlsFiles(server / "tls.crt", server / "tls.key", home / "ca.crt"))
    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    client = ControlClient(
        client_context(TlsFiles(operator / "tls.crt", operator / "tls.key", home / "ca.crt")), "ns", port=port
    )
    yield client
    await client.close()
    listening.close()


def line(**changes: Any) -> bytes:
    return json.dumps({"report": {**GOOD, **changes}}).encode() + b"\n"


def says(*parts: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        await asyncio.sleep(1)

    return answer


async def read(client: ControlClient, frames: int = 1) -> list[Frame]:
    stream = client.stream("db-1", "127.0.0.1")
    found = [await anext(stream) for _ in range(frames)]
    await stream.aclose()
    return found


@pytest.mark.parametrize(
    "part",
    [
        b"x" * (protocol_client.MAX_ANSWER + 1),
        b'{"report":' + b"[" * 100_000 + b"\n",
        b"\x00\xff\n",
        b"[]\n",
        line(epoch=2**63),
        line(epoch=-1),
        line(epoch="many"),
        line(gtidExecuted="nonsense"),
        line(gtidExecuted=UUID + "".join(f":{n}" for n in range(1, 60_000, 2))),
        line(version="the newest"),
        line(serverUuid="'; DROP TABLE"),
        line(statusAgeSeconds=-1),
        line(provisioning={"mode": "join", "stage": "copy", "bytesDone": 10**30}),
        line(mysqld={"state": "on fire", "since": "x"}),
    ],
    ids=lambda part: part[:60],
)
async def test_what_makes_no_sense_ends_the_stream(tmp_path: Path, part: bytes) -> None:
    async with hostile(tmp_path, says(part)) as client:
        with pytest.raises(Invalid):
            await read(client)


async def test_long_texts_and_lists_are_cut(tmp_path: Path) -> None:
    config = {"fileHash": "x", "applied": True, "rejected": {str(n): "y" * 100 for n in range(1000)}}
    problem = {"reason": "Diverged", "message": "m" * 99_999}
    async with hostile(tmp_path, says(line(problem=problem, config=config, roleState="r" * 99_999))) as client:
        (frame,) = await read(client)
    report = frame.report
    assert report is not None and report.problem is not None and report.config is not None
    assert len(report.problem.message) == len(report.role_state) == MAX_TEXT
    assert len(report.config.rejected) == MAX_ENTRIES


@pytest.mark.parametrize("unit", ["eyJ-", "identified by '\\", "-----BEGIN PRIVATE KEY"])
def test_a_line_full_of_half_secrets_is_read_at_once(unit: str) -> None:
    """Measured at 10 ms; half a megabyte of the first once took minutes."""
    texts = [unit * (16 * 1024 // len(unit))] * 30
    for report in (
        line(problem={"reason": "Diverged", "message": "".join(texts)}),
        line(config={"fileHash": "x", "applied": True, "pendingRestart": texts}),
    ):
        assert len(report) <= protocol_client.MAX_ANSWER
        assert cpu_seconds(lambda given=report: protocol_client._frame(given)) < 0.4  # type: ignore[misc]


async def test_frames_without_end_are_read_at_a_walking_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_client, "FRAMES", (0.0001, 20.0))
    async with hostile(tmp_path, says(*[line(epoch=n) for n in range(10_000)])) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                found = await read(client, 20)
                assert [f.report.epoch for f in found if f.report] == list(range(20))
                await read(client, 21)


async def test_bytes_without_end_are_read_at_a_walking_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_client, "BYTES", (1.0, 1_000_000.0))
    async with hostile(tmp_path, says(*[line(junk="x" * 400_000)] * 10)) as client:
        await read(client, 2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await read(client, 3)


async def _headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n")
    await writer.drain()


async def _redirect(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def _garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n" * 1000)
    await writer.drain()


async def _nothing(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await writer.drain()
    await asyncio.sleep(5)


@pytest.mark.parametrize("answer", [_headers, _redirect, _garbage, _nothing])
async def test_answers_that_are_no_http_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    monkeypatch.setattr(protocol_client, "STREAM_SILENCE_SECONDS", 0.3)
    async with hostile(tmp_path, answer) as client:
        with pytest.raises(CnmysqlError):
            await read(client)


async def test_an_instance_with_another_instance_s_certificate_is_not_believed(tmp_path: Path) -> None:
    async with hostile(tmp_path, says(line()), name="db-2.ns.svc") as client:
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            await read(client)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_json_in_any_field_is_read_or_refused_in_our_terms(value: Any) -> None:
    for name in InstanceStatus.model_fields:
        body = {**GOOD, InstanceStatus.model_fields[name].alias or name: value}
        try:
            protocol_client._frame(json.dumps({"report": body}).encode())
        except Invalid as error:
            assert len(error.message) < 200
