"""A fake API server over real sockets (and TLS): a FakeStore behind HTTP that can be told to misbehave.

Good enough to prove what clients do with bad networks and odd answers. How a real API server behaves is tested
against a real one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from cnmysql.errors import CnmysqlError
from tests.support.certs import Authority
from tests.support.fake_api_store import FakeStore, Refusal
from tests.support.fake_api_transport import Fault

Json = dict[str, Any]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    connection: int

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


class FakeApi:
    """`answers` replace the next answers, `faults` the next watch lines; `token` "" accepts anybody."""

    def __init__(self, store: FakeStore, directory: Path) -> None:
        self.store = store
        self.directory = directory
        self.answers: deque[Answer] = deque()
        self.faults: deque[Fault] = deque()
        self.asked: list[Asked] = []
        self.token = ""
        self.open_streams = 0
        self.stream_opened = asyncio.Event()
        self._no_streams = asyncio.Event()
        self.port = 0
        self.ca_file = directory / "ca.crt"
        self.token_file = directory / "token"
        self.token_file.write_text("first")
        self._context: ssl.SSLContext | None = None
        self._runner: web.AppRunner | None = None

    @property
    def environ(self) -> dict[str, str]:
        return {"KUBERNETES_SERVICE_HOST": "localhost", "KUBERNETES_SERVICE_PORT": str(self.port)}

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://localhost:{self.port}"

    def new_authority(self) -> bytes:
        """Serve new connections with a leaf of a new CA; returns its certificate without writing it to `ca_file`."""
        authority = Authority()
        leaf = authority.issue("kube-apiserver", dns=("localhost",)).write(self.directory / "server")
        if self._context is None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(leaf / "tls.crt", leaf / "tls.key")
        return authority.pem

    async def start(self) -> None:
        """Listen, on the same port as before when stopped in between."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # shutdown_timeout: a test must not wait for streams that a client left open
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def streams_closed(self) -> None:
        """Wait until the server's side of every stream has ended; TimeoutError after 5 seconds."""
        async with asyncio.timeout(5):
            await self._no_streams.wait()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.asked.append(
            Asked(
                request.method,
                request.path,
                dict(request.query),
                dict(request.headers),
                json.loads(raw) if raw else None,
                id(request.transport),
            )
        )
        if self.answers:
            return await self.answers.popleft()(request)
        if self.token and self.asked[-1].token != self.token:
            return answer_status(Refusal(401, "Unauthorized"))
        if request.query.get("watch") == "true":
            return await self._watch(request)
        try:
            query, body = dict(request.query), self.asked[-1].body
            answer = self.store.handle(request.method, request.path, query, body, request.content_type)
        except Refusal as refusal:
            return answer_status(refusal)
        response = web.json_response(answer)
        response.enable_compression()
        return response

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self.open_streams += 1
        self._no_streams.clear()
        self.stream_opened.set()
        try:
            async for event in self.store.follow(request.path, dict(request.query)):
                fault = self.faults.popleft() if self.faults else None
                line = json.dumps(event).encode() + b"\n"
                for part in fault(line) if fault is not None else [line]:
                    if part is None:
                        return response
                    if isinstance(part, CnmysqlError):
                        drop(request)
                        return response
                    await response.write(part)
        finally:
            self.open_streams -= 1
            if not self.open_streams:
                self._no_streams.set()
        return response


def drop(request: web.Request) -> None:
    """Cut the connection as a crash would."""
    assert request.transport is not None
    request.transport.abort()


def answer_status(refusal: Refusal, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(refusal.body, status=refusal.code, headers=headers)


def refuse(refusal: Refusal, **headers: str) -> Answer:
    """An answer with this status; header names with `_` for `-`."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return answer_status(refusal, {name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def raw(status: int, body: bytes, content_type: str = "application/json", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, content_type=content_type, headers=headers)

    return answer


async def silence(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def silent_body(request: web.Request) -> web.StreamResponse:
    """A status line and half a body, then nothing."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"kind":')
    return await silence(request)


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Cut the connection instead of answering."""
    drop(request)
    return web.Response()


@asynccontextmanager
async def serving(*, tls: bool = False, store: FakeStore | None = None) -> AsyncIterator[FakeApi]:
    """A running fake API server with its CA and token files in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        api = FakeApi(store if store is not None else FakeStore(), Path(directory))
        if tls:
            api.ca_file.write_bytes(api.new_authority())
        await api.start()
        try:
            yield api
        finally:
            await api.stop()
