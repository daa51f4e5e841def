"""The control API and the probes under floods from another process: the operator, the kubelet and the loop go on."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from instance.probes import serve_probes
from instance.role import timing
from tests.support.certs import Leaf
from tests.support.control import HOST, INSTANCE, Served
from tests.support.flood import flooding, turned_away
from tests.unit.instance.test_probes import PRIMARY, get

CLIENTS = 1_000
HOSTILE = "127.0.0.66"


@contextlib.asynccontextmanager
async def never_stalled() -> AsyncIterator[None]:
    """Fails when one turn of the event loop, which renews the Lease and plays the role, was too much work.

    Work is processor time of this thread: what else the machine does meanwhile does not count.
    """
    turns: list[float] = []

    async def beat() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.01)
            turns.append(time.thread_time() - last)
            last = time.thread_time()

    task = asyncio.create_task(beat())
    yield
    task.cancel()
    assert max(turns) < timing.LOOP_STALE / 16, f"the event loop was held up for {max(turns):.2f} s"


def certificate(served: Served, leaf: Leaf | None) -> Path:
    directory = served.home / "hostile"
    directory.mkdir()
    return leaf.write(directory) if leaf is not None else directory


@pytest.mark.parametrize(
    ("kind", "identity"),
    [
        ("silent", ""),
        ("handshakes", ""),
        ("drip", "peer"),
        ("body", "peer"),
        ("pipeline", "peer"),
        ("handshakes", "nobody"),
    ],
)
async def test_a_flood_shuts_nobody_out_and_stalls_nothing(tmp_path: Path, kind: str, identity: str) -> None:
    served = await Served.start(tmp_path)
    hostile = {"peer": served.peer, "nobody": served.client_ca.issue("nobody", server=False)}.get(identity)
    directory = None if kind == "silent" else certificate(served, hostile)
    client = served.client(served.operator)
    stream = client.stream(INSTANCE, HOST)
    await anext(stream)
    async with never_stalled():
        with flooding(kind, HOST, served.port, CLIENTS, directory=directory, source=HOSTILE) as flood:
            await asyncio.to_thread(turned_away, flood)
            for epoch in range(3, 23):
                assert (await client.status(INSTANCE, HOST)).instance_name == INSTANCE
                await client.close_role(INSTANCE, HOST, epoch)
            served.fake.say("changed")
            while (frame := await anext(stream)).report is None:
                assert frame.heartbeat is not None
    assert frame.report.role_state == "changed"
    assert served.fake.epochs == list(range(3, 23))
    await stream.aclose()
    await client.close()
    await served.listener.close()


async def test_the_kubelet_is_answered_while_somebody_holds_every_probe_connection() -> None:
    probes = await serve_probes(lambda: PRIMARY, host=HOST, port=0)
    async with never_stalled():
        with flooding("silent", HOST, probes.port, CLIENTS, source=HOSTILE) as flood:
            await asyncio.to_thread(turned_away, flood)
            for _ in range(20):
                assert await get(probes.port, "/livez") == (200, "ok")
    await probes.close()


async def test_without_descriptors_it_waits_and_goes_on_when_there_are_some() -> None:
    probes = await serve_probes(lambda: PRIMARY, host=HOST, port=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reader, writer = await asyncio.open_connection(HOST, probes.port)
    waiting = socket.create_connection((HOST, probes.port))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await asyncio.wait_for(reader.read(), 5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    waiting.close()
    writer.close()
    assert await get(probes.port, "/livez") == (200, "ok")
    await probes.close()
