"""What both transports share: one answer read, checked and mapped; streams; credentials replaced while in use.

aiohttp's and the client library's exceptions end here. A transport's body only says how to open a link (a set of
connections with one set of credentials), how to send over it, and when it has become stale.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from cnmysql import log
from cnmysql.errors import CnmysqlError, Unreachable
from cnmysql.kube import answers
from cnmysql.kube.wire import DEFAULT_TIMEOUT, JSON, Json, Query

CONNECT_TIMEOUT: Final = 5.0
HEADER_TIMEOUT: Final = 30.0
"""Until a stream's status line: the server may first wait for its own cache to catch up."""
RELOAD_INTERVAL: Final = 10.0
"""Credentials are not reloaded for a 401 more often than this: they would be the same ones."""
USER_AGENT: Final = "cnmysql"

_log = log.get("kube")


@dataclass(frozen=True)
class Ask:
    """One request as a link sends it; `path` starts with a slash, `body` is JSON data or None."""

    method: str
    path: str
    query: Query
    body: Any
    headers: Mapping[str, str]
    limits: aiohttp.ClientTimeout


class Link(ABC):
    """Connections made with one set of credentials. Closed when nobody uses it any more."""

    def __init__(self) -> None:
        self.users = 0
        self.retired = False
        self.born = time.monotonic()

    @abstractmethod
    async def send(self, ask: Ask) -> aiohttp.ClientResponse:
        """Send one request; the body of the answer is not read yet."""

    @abstractmethod
    async def close(self) -> None: ...


class HttpTransport(ABC):
    """The Transport protocol over links. `_open` builds one from the credentials as they are now."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    @abstractmethod
    async def _open(self) -> Link:
        """A link with the credentials as they are now. Raises Unreachable or Terminal when they are unusable."""

    @abstractmethod
    def _stale(self) -> bool:
        """True when what the current link was built from has changed (a replaced CA file)."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Json:
        what = f"{method} {path}"
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": USER_AGENT}
        with _mapped(what):
            async with asyncio.timeout(timeout):
                limits = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
                async with self._exchange(Ask(method, path, query, body, headers, limits)) as response:
                    raw = await response.read()
                    if 200 <= response.status < 300:
                        return answers.parse(what, raw)
                    raise answers.failure(what, response.status, response.headers, raw)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Query = (), accept: str = JSON, idle_timeout: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        what = f"GET {path}"
        headers = {"Accept": accept, "User-Agent": USER_AGENT}
        # No total: the answer lasts minutes. Silence is bounded by sock_read.
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=idle_timeout)
        exchange = self._exchange(Ask("GET", path, query, None, headers, limits))
        with _mapped(what):
            async with asyncio.timeout(HEADER_TIMEOUT):
                response = await exchange.__aenter__()
        try:
            with _mapped(what):
                if not 200 <= response.status < 300:
                    async with asyncio.timeout(DEFAULT_TIMEOUT):
                        raw = await response.read()
                    raise answers.failure(what, response.status, response.headers, raw)
            yield _chunks(what, response)
        finally:
            await exchange.__aexit__(None, None, None)

    @asynccontextmanager
    async def _exchange(self, ask: Ask) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send, once more with reloaded credentials when refused as unknown (401), and always close the answer."""
        link = await self._current()
        for last in (False, True):
            link.users += 1
            try:
                response = await link.send(ask)
                try:
                    if response.status != 401 or last or not await self._reload(link):
                        yield response
                        return
                finally:
                    # close, not release: an answer not read to its end would keep the server sending
                    if response.content.at_eof():
                        response.release()
                    else:
                        response.close()
            finally:
                link.users -= 1
                await self._drop(link)
            link = await self._current()

    async def _current(self) -> Link:
        async with self._opening:
            if self._closed:
                raise Unreachable("the transport is closed")
            if self._link is None or self._stale():
                await self._replace()
            assert self._link is not None
            return self._link

    async def _reload(self, refused: Link) -> bool:
        """After a 401: True when another link than the refused one is there to try."""
        async with self._opening:
            if self._link is refused and time.monotonic() - refused.born < RELOAD_INTERVAL:
                return False
            return self._link is not refused or await self._replace()

    async def _replace(self) -> bool:
        """Open a new link. Without success the old one stays (files are seen half-written); without one it raises."""
        old = self._link
        try:
            self._link = await self._open()
        except CnmysqlError as error:
            if old is None:
                raise
            _log.warning("new credentials are not usable yet, staying with the old ones", error=error.message)
            return False
        if old is not None:
            old.retired = True
            await self._drop(old)
        return True

    async def _drop(self, link: Link) -> None:
        if link.retired and link.users == 0:
            await link.close()

    async def close(self) -> None:
        async with self._opening:
            self._closed = True
            link, self._link = self._link, None
            if link is not None:
                await link.close()


async def _chunks(what: str, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with _mapped(what):
        async for chunk in response.content.iter_any():
            yield chunk


@contextmanager
def _mapped(what: str) -> Iterator[None]:
    """Turn every way in which a connection fails into one of our errors."""
    try:
        yield
    except TimeoutError as error:
        raise Unreachable(f"{what}: no answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"{what}: {type(error).__name__}: {error}") from error
