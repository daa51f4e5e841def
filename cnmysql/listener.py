"""Serves HTTP on one port under our own bounds: connections, handshakes, bytes and time, in all and for each peer.

aiohttp bounds what a request may hold; it does not bound how many connections there are, how long one may stay in the
TLS handshake, drip its request or leave its answer unread. A connection carries one request. It is a stranger, counted
by its address, until its certificate tells who it is; from then on it counts among its own kind alone.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
from aiohttp import web

from cnmysql import log
from cnmysql.crowd import Allowance, Crowd, group_of

_log = log.get("listener")
HANDSHAKE_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 10.0
"""From the handshake to the end of the request's head."""
ANSWER_SECONDS: Final = 30.0
"""From there to the end of the connection, unless the handler called `keep`."""
SILENCE_MS: Final = 20_000
"""How long the kernel waits for a peer to confirm what was sent to it: streams of peers that fell silent end."""
BACKLOG: Final = 1024
ACCEPTS_PER_TURN: Final = 16
ACCEPT_PAUSE: Final = 0.1
MAX_LINE: Final = 1024
MAX_HEADER: Final = 1024
"""Bytes of one header, unless the server expects tokens."""
MAX_HEADERS: Final = 16
MAX_RECEIVED: Final = 48 * 1024
"""Bytes taken from one connection, more than the largest request has. What follows stays in the kernel."""
TRIES_PER_SECOND: Final = 5.0
TRIES_AT_ONCE: Final = 50

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Guests = Crowd["asyncio.Task[None]"]


@dataclass(frozen=True)
class Place:
    """Where an identified connection counts. `free`: its handshake is not held against its address."""

    guests: Guests
    group: str
    free: bool = False


Recognise = Callable[[Mapping[str, Any]], Place]
"""The place of a verified certificate, as `getpeercert()` gives it."""


def problem(status: int, message: str) -> web.Response:
    """A refusal in the form all of them have."""
    return web.Response(
        status=status, body=orjson.dumps({"error": log.redact_text(message)}), content_type="application/json"
    )


def keep(request: web.BaseRequest) -> None:
    """The answer to this request is a stream: it ends when the handler or the peer ends it."""
    assert isinstance(request.protocol, _Protocol) and request.protocol.watched is not None
    request.protocol.watched.keep()


class _Protocol(web.RequestHandler):
    """aiohttp's protocol, refusing in our form what it does not even hand to the handler."""

    def __init__(self, server: web.Server, max_header: int) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            max_line_size=MAX_LINE,
            max_field_size=max_header,
            max_headers=MAX_HEADERS,
            lingering_time=1.0,
            auto_decompress=False,
        )
        self.watched: _Watched | None = None

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer has been sent already")
        if status >= 500:
            _log.error("a request failed", path=request.path, exc_info=exc)
        response = problem(status, "this is not a request we can read" if status < 500 else "internal error")
        response.force_close()
        return response


class _Watched(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, within the bounds on time and bytes. `ended` is done at the end."""

    def __init__(self, inner: _Protocol) -> None:
        inner.watched = self
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self.ended = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._asked = False
        self._received = 0
        self._last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour only
        self._ends_within(REQUEST_SECONDS)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        room = MAX_RECEIVED - self._received
        self._received += len(data)
        if room <= 0:
            assert self._transport is not None
            self._transport.pause_reading()
            return
        data = data[:room]
        # A full request head, not a first byte: a peer that drips its header has not asked anything.
        if not self._asked:
            self._last += data
            if b"\r\n\r\n" in self._last:
                self._asked = True
                self._ends_within(ANSWER_SECONDS)
            self._last = self._last[-3:]
        self._inner.data_received(data)

    def keep(self) -> None:
        self._ends_within(None)

    def _ends_within(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        assert self._transport is not None
        self._deadline = self._loop.call_later(seconds, self._transport.abort) if seconds is not None else None

    def eof_received(self) -> bool | None:
        self._inner.eof_received()
        return None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._inner.connection_lost(exc)
        if not self.ended.done():
            self.ended.set_result(None)


class Listener:
    """Serves `handler` on one address until `close`. `strangers` bounds connections nobody has been recognised on.

    `recognise` is asked after each handshake; without `context` (plain HTTP) everybody stays a stranger.
    """

    def __init__(
        self,
        handler: Handler,
        context: ssl.SSLContext | None,
        *,
        strangers: Guests,
        recognise: Recognise | None = None,
        max_header: int = MAX_HEADER,
    ) -> None:
        self._server = web.Server(_one_request(handler), handler_cancellation=True)
        self._context = context
        self._strangers = strangers
        self._recognise = recognise
        self._max_header = max_header
        self._tries = Allowance(TRIES_PER_SECOND, TRIES_AT_ONCE)
        self._open: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        self.port = 0
        """The port in use, also when the system chose it."""

    async def start(self, host: str, port: int) -> None:
        """Bind and serve; `::` is every address of both families. Raises OSError."""
        if host == "::" and not socket.has_dualstack_ipv6():
            host = "0.0.0.0"  # noqa: S104 - what the caller asked for
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = host == "::"
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
        self._socket.setblocking(False)
        self._listen(self._socket)
        self.port = int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Stop accepting and end every connection."""
        if self._pause is not None:
            self._pause.cancel()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        await asyncio.sleep(0)  # a task that has not begun would not close its socket
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)
        await self._server.shutdown(1.0)

    def _accept(self, listening: socket.socket) -> None:
        """Called when connections wait. Takes a few, so that a flood of them does not own the event loop."""
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTS_PER_TURN):
            try:
                connection, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Out of descriptors, or the peer is gone already: neither is a reason to stop serving.
                _log.warning("accepting failed", error=str(error))
                loop.remove_reader(listening)
                self._pause = loop.call_later(ACCEPT_PAUSE, self._listen, listening)
                return
            connection.setblocking(False)
            self._admit(connection, group_of(str(address[0])))

    def _listen(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _admit(self, connection: socket.socket, address: str) -> None:
        if self._context is not None and not self._tries.take(address, asyncio.get_running_loop().time()):
            connection.close()
            return
        task = asyncio.create_task(self._serve(connection, address))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        _dismiss(self._strangers.join(address, task))

    async def _serve(self, connection: socket.socket, address: str) -> None:
        """One connection from its handshake to its end."""
        task = asyncio.current_task()
        assert task is not None
        place = Place(self._strangers, address)
        transport: asyncio.Transport | None = None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
            watched = _Watched(_Protocol(self._server, self._max_header))
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: watched,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._context else None,
                ssl_shutdown_timeout=1.0 if self._context else None,
            )
            place = self._recognised(transport, task, address) or place
            await watched.ended
        except (OSError, ConnectionError):
            connection.close()
        finally:
            place.guests.leave(task)
            if transport is not None:
                transport.abort()
            else:
                connection.close()

    def _recognised(self, transport: asyncio.Transport, task: asyncio.Task[None], address: str) -> Place | None:
        """From a stranger to somebody: it makes room for other strangers."""
        if self._recognise is None:
            return None
        place = self._recognise(transport.get_extra_info("peercert") or {})
        if place.free:
            self._tries.give_back(address, asyncio.get_running_loop().time())
        self._strangers.leave(task)
        _dismiss(place.guests.join(place.group, task))
        return place


def _one_request(handler: Handler) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = await handler(request)
        response.force_close()
        return response

    return answer


def _dismiss(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        # Not at once: a task that is cancelled before its first step would never close its socket.
        asyncio.get_running_loop().call_soon(task.cancel)
