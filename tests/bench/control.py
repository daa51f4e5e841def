"""Handshakes of the control server beside those of a bare aiohttp server, each in a process of its own, in turns."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from cnmysql.pki.contexts import RotatingServerContext, TlsFiles, client_context, server_context
from instance.handlers import serve_control
from tests.support.certs import Authority
from tests.support.control import CLUSTER, HOST, NAMESPACE, SERVER_NAME, Fake, request

OURS = "control server"
BARE = "bare aiohttp"
ROUNDS = 3
SECONDS = 4.0
CLIENTS = 8
RELOADS = 20


@dataclass(frozen=True)
class Round:
    per_second: float
    cpu_ms: float
    """Processor time of the server for one handshake, request and answer."""


def _prepare(home: Path) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    servers.issue("db-1", dns=(SERVER_NAME,)).write(home / "server")
    clients.issue("cnmysql-operator", server=False).write(home / "operator")
    (home / "client-ca.crt").write_bytes(clients.pem)
    (home / "server-ca.crt").write_bytes(servers.pem)


def _files(home: Path) -> TlsFiles:
    return TlsFiles.of(str(home / "server"), str(home / "client-ca.crt"))


async def _serve(which: str, home: Path) -> None:
    fake = Fake()
    if which == OURS:
        listener = await serve_control(
            fake, fake.obeys, RotatingServerContext(_files(home)),
            cluster=CLUSTER, namespace=NAMESPACE, host=HOST, port=0,
        )  # fmt: skip
        port = listener.port
    else:
        body = fake.current().to_json()

        async def status(_: web.Request) -> web.Response:
            return web.Response(body=body, content_type="application/json")

        app = web.Application()
        app.router.add_get("/status", status)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0, ssl_context=server_context(_files(home)))
        await site.start()
        port = runner.addresses[0][1]
    print(port, flush=True)
    await asyncio.Event().wait()


async def _load(port: int, context: ssl.SSLContext) -> float:
    """Handshakes a second."""
    text = request("GET", "/status", headers="Connection: close\r\n")
    done = 0
    began = time.monotonic()

    async def client() -> None:
        nonlocal done
        while time.monotonic() - began < SECONDS:
            reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=SERVER_NAME)
            writer.write(text)
            assert b" 200 OK" in await reader.read()
            writer.close()
            done += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return done / (time.monotonic() - began)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _round(which: str, home: Path) -> Round:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.control", which, str(home)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        context = client_context(TlsFiles.of(str(home / "operator"), str(home / "server-ca.crt")))
        before = _cpu(server.pid)
        rate = asyncio.run(_load(port, context))
        return Round(rate, (_cpu(server.pid) - before) / (rate * SECONDS) * 1000)
    finally:
        server.kill()
        server.communicate()


def measure() -> dict[str, list[Round]]:
    """Rounds by server."""
    found: dict[str, list[Round]] = {OURS: [], BARE: []}
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        _prepare(home)
        for _ in range(ROUNDS):
            for which, rounds in found.items():
                rounds.append(_round(which, home))
    return found


def reloads() -> list[float]:
    """Milliseconds from replaced files to a context that uses them."""
    found = []
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        _prepare(home)
        context = RotatingServerContext(_files(home))
        for _ in range(RELOADS):
            _prepare(home)
            began = time.perf_counter()
            assert context.refresh()
            found.append((time.perf_counter() - began) * 1000)
    return found


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], Path(sys.argv[2])))
