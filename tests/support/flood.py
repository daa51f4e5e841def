"""Hostile clients of a control API or a probe port, in a process of their own so that only the server is slowed.

`flooding` keeps a number of them going for as long as it is entered. The process prints a line when each of them has
been turned away once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import ssl
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Dial = Callable[[ssl.SSLContext | None], Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
_HEAD = b"%s HTTP/1.1\r\nHost: x\r\n"


async def silent(dial: Dial, _: ssl.SSLContext | None) -> None:
    """Connects and says nothing, not even in TLS."""
    reader, _writer = await dial(None)
    await reader.read()


async def handshakes(dial: Dial, context: ssl.SSLContext | None) -> None:
    """One handshake after the other; most expensive for the server."""
    reader, _ = await dial(context)
    await reader.read()


async def drip(dial: Dial, context: ssl.SSLContext | None) -> None:
    """A header that never ends."""
    reader, writer = await dial(context)
    writer.write(_HEAD % b"GET /status")
    for n in itertools.count():
        writer.write(b"X-%d: y\r\n" % n)
        await writer.drain()
        await asyncio.sleep(0.2)
        if reader.at_eof():
            return


async def body(dial: Dial, context: ssl.SSLContext | None) -> None:
    """A body of a gigabyte, as fast as it is taken, whatever is answered."""
    _, writer = await dial(context)
    writer.write(_HEAD % b"POST /role/close" + b"Content-Length: 1073741824\r\n\r\n")
    chunk = b"x" * 65536
    for _ in range(1 << 14):
        writer.write(chunk)
        await writer.drain()


async def pipeline(dial: Dial, context: ssl.SSLContext | None) -> None:
    """Requests without end on one connection, no answer read."""
    _, writer = await dial(context)
    while True:
        writer.write((_HEAD % b"GET /status" + b"\r\n") * 100)
        await writer.drain()


KINDS = {work.__name__: work for work in (silent, handshakes, drip, body, pipeline)}


def _context(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if (directory / "tls.crt").exists():
        context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    return context


@dataclass
class Flood:
    """One kind of client against one address, `count` times at once. `source`: the address they come from."""

    kind: str
    host: str
    port: int
    count: int
    context: ssl.SSLContext | None
    source: str
    seen: int = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.count)))

    async def _client(self) -> None:
        await self._once()
        self.seen += 1
        if self.seen == self.count:
            print("all", flush=True)
        while True:
            # So many that the machine has time for the server too.
            await asyncio.sleep(max(0.05, self.count / 2000))
            await self._once()

    async def _once(self) -> None:
        writers: list[asyncio.StreamWriter] = []

        async def dial(given: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            local = (self.source, 0) if self.source else None
            reader, writer = await asyncio.open_connection(self.host, self.port, ssl=given, local_addr=local)
            writers.append(writer)
            return reader, writer

        with contextlib.suppress(OSError):
            await KINDS[self.kind](dial, self.context)
        for writer in writers:
            writer.transport.abort()


@contextlib.contextmanager
def flooding(
    kind: str, host: str, port: int, count: int, *, directory: Path | None = None, source: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """A flood for as long as it is entered. `directory`: speak TLS, with the certificate in it if there is one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.flood", kind, host, str(port), str(count), str(directory or ""), source],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
        assert process.poll() is None, "the flood ended by itself"
    finally:
        process.kill()
        process.communicate()


def turned_away(process: subprocess.Popen[str]) -> None:
    """Returns when every client of the flood has been turned away once. Raises AssertionError when it ended."""
    assert process.stdout is not None
    assert process.stdout.readline() == "all\n"


if __name__ == "__main__":
    _, high = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (high, high))
    os.nice(19)
    name, target, number, clients, certificates, local = sys.argv[1:]
    tls = _context(Path(certificates)) if certificates else None
    asyncio.run(Flood(name, target, int(number), int(clients), tls, local).run())
