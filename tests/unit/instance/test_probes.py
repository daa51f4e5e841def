"""Probes: the table of the three questions, and what the kubelet gets over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from instance import readiness
from instance.probes import serve_probes
from instance.readiness import Condition
from instance.role.view import Unknown
from tests.unit.instance.role.views import channel, opened, server

PRIMARY = Condition(opened(), primary=True)
REPLICA = Condition(server(offline_mode=False, channel=channel()), primary=False)
DOWN = Condition(Unknown("mysqld is not running"), primary=True)
CONNECTING = channel(io_running=False, io_connecting=True, io_error="cannot connect")

READY = (
    ("open primary", PRIMARY, ""),
    ("replica in service", REPLICA, ""),
    ("mysqld down", DOWN, "not running"),
    ("booted, nobody named", Condition(server(), primary=False), "closed"),
    ("primary not open yet", Condition(server(), primary=True), "closed"),
    ("named primary but read-only", replace(REPLICA, primary=True), "not open"),
    ("no source", Condition(server(offline_mode=False), primary=False), "no source"),
    ("receiver stopped", replace(REPLICA, server=server(
        offline_mode=False, channel=channel(io_running=False, io_error="purged")
    )), "purged"),
    ("applier stopped", replace(REPLICA, server=server(
        offline_mode=False, channel=channel(sql_running=False, sql_error="duplicate")
    )), "duplicate"),
    ("lost its source, had one", replace(REPLICA, server=server(offline_mode=False, channel=CONNECTING)), ""),
    ("never had its source", replace(
        REPLICA, server=server(offline_mode=False, channel=CONNECTING), connected=False
    ), "cannot connect"),
    ("diverged", replace(REPLICA, problem="has transactions of its own"), "of its own"),
    ("without TLS", replace(PRIMARY, server=opened(tls_enabled=False)), "TLS"),
    ("slow for 2 s", replace(PRIMARY, silent=2.0), ""),
    ("silent for 4 s", replace(PRIMARY, silent=4.0), "not answered"),
)  # fmt: skip


@pytest.mark.parametrize(("condition", "words"), [row[1:] for row in READY], ids=[row[0] for row in READY])
def test_readiness(condition: Condition, words: str) -> None:
    reason = readiness.not_ready(condition)
    assert (words in reason) if words else reason == ""


@pytest.mark.parametrize("condition", [PRIMARY, REPLICA, DOWN, replace(PRIMARY, silent=99.0, problem="anything")])
def test_only_a_server_that_cannot_be_killed_fails_liveness(condition: Condition) -> None:
    assert readiness.not_live(condition) == ""
    assert readiness.not_live(replace(condition, undead=True)) != ""


def test_startup_is_over_with_the_first_answer() -> None:
    """A server that recovers runs and does not answer: it has as long as the startup probe gives it."""
    assert readiness.not_started(DOWN) == "mysqld is not running"
    recovering = Condition(Unknown("no socket yet"), primary=True)
    assert readiness.not_started(recovering) == "no socket yet"
    assert readiness.not_live(recovering) == ""
    assert readiness.not_started(Condition(server(), primary=False)) == ""


async def get(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ")[1]), body.decode()


async def test_over_http() -> None:
    seen = [PRIMARY]
    served = await serve_probes(lambda: seen[0], host="127.0.0.1", port=0)
    for path in ("/livez", "/readyz", "/startupz"):
        assert await get(served.port, path) == (200, "ok")
    seen[0] = DOWN
    assert await get(served.port, "/livez") == (200, "ok")
    assert await get(served.port, "/readyz") == (503, "mysqld is not running")
    assert await get(served.port, "/startupz") == (503, "mysqld is not running")
    assert (await get(served.port, "/status"))[0] == 404
    await served.close()


async def test_a_held_connection_does_not_hold_up_the_next() -> None:
    served = await serve_probes(lambda: PRIMARY, host="127.0.0.1", port=0)
    held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(10)]
    assert await get(served.port, "/livez") == (200, "ok")
    for _, writer in held:
        writer.close()
    await served.close()
