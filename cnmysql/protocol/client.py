"""The caller's side of an instance's control API: the only importer of httpx.

An instance is dialled by IP address and must prove to be `<i>.<ns>.svc`; we show a client certificate. Every call is
bounded, answers are bounded in size, proxies of the environment are never used, nothing is retried inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import httpx
import pydantic

from cnmysql import names
from cnmysql.errors import CnmysqlError, Conflict, Forbidden, Invalid, NotFound, Transient, Unreachable
from cnmysql.protocol import endpoints
from cnmysql.protocol.accounts import AccountsOrder
from cnmysql.protocol.endpoints import Endpoint
from cnmysql.protocol.report import STREAM_SILENCE_SECONDS, Frame, InstanceStatus

STATUS_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 3.0
MAX_ANSWER: Final = 512 * 1024
"""Largest answer or stream line read, bytes: GTID sets of many servers stay far below."""
FRAMES: Final = (5.0, 50.0)
BYTES: Final = (64 * 1024.0, 1024 * 1024.0)
"""What is read of one stream: so much a second for long, and at once. An instance that sends more is read slower, so
that none can keep the operator busy alone; a well one sends a frame of a few kilobytes every two seconds."""


class ControlClient:
    """Calls instances with one client certificate. Shared by any number of tasks; `close` it at the end.

    `context` is the client side of `cnmysql.pki.contexts`. Make a new client when the certificate changes.
    """

    def __init__(self, context: ssl.SSLContext, namespace: str, *, port: int = names.PORT_CONTROL) -> None:
        self._namespace = namespace
        self._port = port
        self._http = httpx.AsyncClient(
            verify=context,
            trust_env=False,
            timeout=httpx.Timeout(STATUS_SECONDS, connect=CONNECT_SECONDS),
            # No connection is kept: httpx would reuse one by address and port alone, although the name that was
            # verified on it was another instance's, or the certificate has been replaced since.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            follow_redirects=False,
        )

    async def status(self, instance: str, address: str, *, timeout: float = STATUS_SECONDS) -> InstanceStatus:
        """`GET /status` of the instance at this IP address, within `timeout` seconds in all."""
        body = await self._call(endpoints.STATUS, instance, address, timeout=timeout)
        return _report(body)

    async def close_role(
        self, instance: str, address: str, epoch: int, *, timeout: float = CLOSE_SECONDS
    ) -> InstanceStatus:
        """Order the instance closed under this epoch; the answer shows it closed or mysqld dead.

        Raises Conflict when the instance has seen a later epoch, Transient when it is not closed yet: ask again.
        """
        content = b'{"epoch":%d}' % epoch
        return _report(await self._call(endpoints.ROLE_CLOSE, instance, address, timeout=timeout, content=content))

    async def accounts(
        self, instance: str, address: str, order: AccountsOrder, *, timeout: float = STATUS_SECONDS
    ) -> InstanceStatus:
        """Hand passwords over. What came of it is in `accounts` of this or a later report."""
        content = order.to_json()
        return _report(await self._call(endpoints.ACCOUNTS, instance, address, timeout=timeout, content=content))

    async def stream(self, instance: str, address: str) -> AsyncGenerator[Frame, None]:
        """The status stream: a report, then changes and heartbeats, until the connection breaks.

        Raises Unreachable when it breaks, ends or is silent for STREAM_SILENCE_SECONDS; dial again with backoff.
        """
        timeout = httpx.Timeout(STREAM_SILENCE_SECONDS, connect=CONNECT_SECONDS)
        async with _mapped(instance):
            request = self._request(endpoints.STATUS_STREAM, instance, address, timeout)
            frames, size = _Pace(*FRAMES), _Pace(*BYTES)
            async with contextlib.aclosing(self._lines(request)) as lines:
                async for line in lines:
                    await frames.spend(1)
                    await size.spend(len(line))
                    yield _frame(line)
        raise Unreachable(f"{instance} ended the status stream")

    async def close(self) -> None:
        """Close every connection; streams that are open end with Unreachable."""
        await self._http.aclose()

    def _request(
        self, endpoint: Endpoint, instance: str, address: str, timeout: httpx.Timeout, content: bytes | None = None
    ) -> httpx.Request:
        host = names.instance_host(instance, self._namespace)
        authority = f"[{address}]" if ":" in address else address
        headers = {"Host": host}
        if content is not None:
            headers["Content-Type"] = "application/json"
        return self._http.build_request(
            endpoint.method,
            f"https://{authority}:{self._port}{endpoint.path}",
            headers=headers,
            content=content,
            timeout=timeout,
            extensions={"sni_hostname": host},
        )

    async def _call(
        self, endpoint: Endpoint, instance: str, address: str, *, timeout: float, content: bytes | None = None
    ) -> bytes:
        request = self._request(
            endpoint, instance, address, httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)), content
        )
        async with _mapped(instance), asyncio.timeout(timeout):
            response = await self._http.send(request, stream=True)
            try:
                body = await _bounded(response)
            finally:
                await response.aclose()
        _checked(instance, response, body)
        return body

    async def _lines(self, request: httpx.Request) -> AsyncGenerator[bytes, None]:
        response = await self._http.send(request, stream=True)
        try:
            if response.status_code != httpx.codes.OK:
                _checked(request.url.host, response, await _bounded(response))
            rest = bytearray()
            async for chunk in response.aiter_raw():
                first, *others = chunk.split(b"\n")
                rest += first
                if len(rest) > MAX_ANSWER:
                    raise Invalid("a line of the status stream is too long")
                for line in others:
                    yield bytes(rest)
                    rest = bytearray(line)
        finally:
            await response.aclose()


class _Pace:
    """Spending beyond `burst` takes as long as `rate` a second needs to make up for it."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = asyncio.get_running_loop().time()

    async def spend(self, amount: float) -> None:
        now = asyncio.get_running_loop().time()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - amount
        self._at = now
        if self._left < 0:
            await asyncio.sleep(-self._left / self._rate)


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise Invalid("the answer is too long")
    return bytes(body)


@contextlib.asynccontextmanager
async def _mapped(instance: str) -> AsyncIterator[None]:
    """httpx's errors as ours; what we raise ourselves passes."""
    try:
        yield
    except TimeoutError:
        raise Unreachable(f"{instance} did not answer in time") from None
    except httpx.TimeoutException as error:
        raise Unreachable(f"{instance} did not answer in time ({type(error).__name__})") from None
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, ssl.SSLError) as error:
        raise Unreachable(f"{instance}: {type(error).__name__}: {error}") from None


def _checked(instance: str, response: httpx.Response, body: bytes) -> None:
    code = response.status_code
    if code == httpx.codes.OK:
        return
    text = f"{instance} answered {code}: {body[:300].decode(errors='replace')}"
    raise _ERRORS.get(code, Transient if code >= httpx.codes.INTERNAL_SERVER_ERROR else Invalid)(text)


_ERRORS: Final[dict[int, type[CnmysqlError]]] = {
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: Transient,
}


def _report(body: bytes) -> InstanceStatus:
    try:
        return InstanceStatus.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise Invalid(f"the answer is no status report: {error.error_count()} error(s)") from None


def _frame(line: bytes) -> Frame:
    try:
        return Frame.model_validate_json(line)
    except pydantic.ValidationError as error:
        raise Invalid(f"the line is no frame of the status stream: {error.error_count()} error(s)") from None
