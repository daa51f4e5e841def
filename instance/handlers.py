"""The control API of an instance on 8080: mutual TLS 1.3, each endpoint open to exactly the identities it names.

Answers are JSON, errors `{"error": "..."}`: 400 undecodable, 403 identity not allowed, 404 unknown path, 405 wrong
method, 408 body too slow, 409 epoch too old, 413 body too large, 503 not done in time or too many streams.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from cnmysql import log
from cnmysql.crowd import Crowd
from cnmysql.errors import CnmysqlError, Refused
from cnmysql.listener import Guests, Handler, Listener, Place, keep, problem
from cnmysql.pki.contexts import RotatingServerContext
from cnmysql.pki.identity import identify
from cnmysql.protocol import accounts, endpoints
from cnmysql.protocol.accounts import AccountsOrder
from cnmysql.protocol.endpoints import Caller, Endpoint
from instance.reporter import Source

_log = log.get("control")
MAX_STRANGERS: Final = 64
MAX_EACH_STRANGER: Final = 8
"""Connections in their handshake, in all and of one address."""
MAX_OPERATOR: Final = 32
MAX_OTHERS: Final = 32
MAX_EACH: Final = 4
"""Connections of peers, and of certificates that may do nothing, in all and of each."""
MAX_STREAMS: Final = 8
"""One per operator replica and a few that are being replaced."""
CLOSE_SECONDS: Final = 8.0
BODY_SECONDS: Final = 5.0
WRITE_SECONDS: Final = 10.0
MAX_EPOCH: Final = 2**53


@dataclass(frozen=True)
class Orders:
    """Who obeys the operator. `close` raises Refused when the epoch is older than one seen before."""

    close: Callable[[int], Awaitable[None]]
    accounts: Callable[[AccountsOrder], None]


def build(source: Source, orders: Orders | None, *, cluster: str, namespace: str) -> Handler:
    """The whole API as one function. Without `orders` (init containers) nothing but the status is served."""
    control = _Control(source, orders)
    served: dict[Endpoint, Handler] = {endpoints.STATUS: control.status, endpoints.STATUS_STREAM: control.stream}
    if orders is not None:
        served[endpoints.ROLE_CLOSE] = control.close
        served[endpoints.ACCOUNTS] = control.accounts
    paths = {endpoint.path for endpoint in served}
    by_call = {(endpoint.method, endpoint.path): (endpoint, handler) for endpoint, handler in served.items()}

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.path not in paths:
                return problem(404, "there is no such path")
            if (call := by_call.get((request.method, request.path))) is None:
                return problem(405, "this path has another method")
            endpoint, handler = call
            return _refusal(request, endpoint, cluster, namespace) or await handler(request)
        except web.RequestPayloadError:
            return problem(400, "the body cannot be read")
        except (ConnectionError, TimeoutError):
            raise
        except CnmysqlError as error:
            return problem(503, str(error))
        except Exception:  # noqa: BLE001 - the last resort of a server: logged here, no detail in the answer
            _log.exception("a request failed", path=request.path)
            return problem(500, "internal error")

    return handle


def _refusal(request: web.BaseRequest, endpoint: Endpoint, cluster: str, namespace: str) -> web.Response | None:
    """Why this caller may not make this call, or None."""
    certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
    identity = identify(certificate or {}, cluster=cluster, namespace=namespace)
    if identity is None or identity.caller not in endpoint.callers:
        return problem(403, "this certificate may not do that")
    if (request.content_length or 0) > endpoint.max_body or (request.body_exists and not endpoint.max_body):
        return problem(413, "the body is too large")
    return None


class _Places:
    """The operator has a crowd of its own: whatever instances and strangers do, it gets in."""

    def __init__(self, cluster: str, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._operator: Guests = Crowd(MAX_OPERATOR, MAX_OPERATOR)
        self._others: Guests = Crowd(MAX_OTHERS, MAX_EACH)

    def of(self, certificate: Mapping[str, Any]) -> Place:
        identity = identify(certificate, cluster=self._cluster, namespace=self._namespace)
        if identity is None:
            return Place(self._others, "")
        if identity.caller is Caller.OPERATOR:
            return Place(self._operator, "operator", free=True)
        return Place(self._others, identity.name)


async def serve_control(
    source: Source,
    orders: Orders | None,
    context: RotatingServerContext,
    *,
    cluster: str,
    namespace: str,
    host: str,
    port: int,
) -> Listener:
    """Serve the control API; call `close` of the result at the end. Raises OSError."""
    listener = Listener(
        build(source, orders, cluster=cluster, namespace=namespace),
        context.front,
        strangers=Crowd(MAX_STRANGERS, MAX_EACH_STRANGER),
        recognise=_Places(cluster, namespace).of,
    )
    await listener.start(host, port)
    return listener


class _Control:
    """The handlers, with what they share."""

    def __init__(self, source: Source, orders: Orders | None) -> None:
        self._source = source
        self._orders = orders
        self._streams = 0

    async def status(self, _: web.BaseRequest) -> web.StreamResponse:
        report = await self._source.status()
        return web.Response(body=report.to_json(), content_type="application/json")

    async def stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Frames until the caller goes; one that does not read is dropped."""
        if self._streams >= MAX_STREAMS:
            return problem(503, "too many status streams")
        self._streams += 1
        keep(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        try:
            await response.prepare(request)
            async with contextlib.aclosing(self._source.frames()) as frames:
                async for frame in frames:
                    async with asyncio.timeout(WRITE_SECONDS):
                        await response.write(frame.to_json() + b"\n")
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._streams -= 1
        return response

    async def close(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._orders is not None
        body = await _read(request, endpoints.ROLE_CLOSE)
        if isinstance(body, web.Response):
            return body
        epoch = _epoch(body)
        if epoch is None:
            return problem(400, 'the body must be {"epoch": a positive whole number}')
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._orders.close(epoch)
        except Refused as error:
            return problem(409, str(error))
        except TimeoutError:
            return problem(503, "not closed yet")
        return await self.status(request)

    async def accounts(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take the order over; the report, here and in the stream, tells when it has been carried out."""
        assert self._orders is not None
        body = await _read(request, endpoints.ACCOUNTS)
        if isinstance(body, web.Response):
            return body
        try:
            order = accounts.parse(orjson.loads(body))
        except orjson.JSONDecodeError:
            # Its text would quote the body.
            return problem(400, "the body is not JSON")
        except ValueError as error:
            return problem(400, str(error))
        self._orders.accounts(order)
        return await self.status(request)


async def _read(request: web.BaseRequest, endpoint: Endpoint) -> bytes | web.Response:
    """The body of a call, or why it is refused."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _body(request, endpoint.max_body)
    except TimeoutError:
        return problem(408, "the body did not arrive in time")
    return problem(413, "the body is too large") if body is None else body


async def _body(request: web.BaseRequest, most: int) -> bytes | None:
    """The body, None when it is longer than `most` bytes. Raises RequestPayloadError when it is malformed."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def _epoch(body: bytes) -> int | None:
    """The epoch of a call, None for anything but a positive whole number."""
    try:
        call = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    epoch = call.get("epoch") if isinstance(call, dict) else None
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 < epoch < MAX_EPOCH:
        return None
    return epoch
