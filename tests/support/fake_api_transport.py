"""A Transport over a FakeStore without sockets, with a script of what networks do to watches and lists."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cnmysql.errors import CnmysqlError, Unreachable
from cnmysql.kube.answers import failure
from cnmysql.kube.wire import JSON, Json, Query, decode, encode
from tests.support.fake_api_store import FakeStore, Refusal

Fault = Callable[[bytes], list[bytes | CnmysqlError | None]]
"""Turns one event line into what the reader gets: chunks, an error to raise, None for an orderly end."""


class MemoryTransport:
    """Requests go straight to the store. `faults` are used up one per event line, `refusals` one per request.

    `hang`: while set, requests do not answer until their timeout, and streams fall silent.
    `calls` records (method, path) of every request that reached the store.
    """

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.faults: deque[Fault] = deque()
        self.refusals: deque[CnmysqlError | Refusal | None] = deque()
        self.before: Callable[[str, str], None] | None = None
        self.calls: list[tuple[str, str]] = []
        self.hang = False
        self.lose_answers = 0
        """So many next writes reach the store while their answers get lost."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = 10.0,
    ) -> Json:
        await asyncio.sleep(0.001)
        if self.hang:
            await asyncio.sleep(timeout)
            raise Unreachable(f"{method} {path}: no answer in time")
        self._refuse(method, path)
        if self.before is not None:
            self.before(method, path)
        self.calls.append((method, path))
        sent = decode(encode(body)) if body is not None else None
        try:
            answer = self.store.handle(method, path, dict(query), sent, content_type)
        except Refusal as refusal:
            raise failure(f"{method} {path}", refusal.code, {}, encode(refusal.body)) from refusal
        if method != "GET" and self.lose_answers:
            self.lose_answers -= 1
            await asyncio.sleep(timeout)
            raise Unreachable(f"{method} {path}: no answer in time")
        return answer

    def _refuse(self, method: str, path: str) -> None:
        refusal = self.refusals.popleft() if self.refusals else None
        if isinstance(refusal, Refusal):
            raise failure(f"{method} {path}", refusal.code, {}, encode(refusal.body))
        if refusal is not None:
            raise refusal

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Query = (), accept: str = JSON, idle_timeout: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        await asyncio.sleep(0.001)
        if self.hang:
            await asyncio.sleep(30)
            raise Unreachable(f"GET {path}: no answer in time")
        self._refuse("WATCH", path)
        self.calls.append(("WATCH", path))
        yield self._chunks(path, dict(query), idle_timeout)

    async def _chunks(self, path: str, query: dict[str, str], idle_timeout: float) -> AsyncIterator[bytes]:
        async for event in self.store.follow(path, query):
            if self.hang:
                await asyncio.sleep(idle_timeout)
                raise Unreachable(f"GET {path}: silence")
            fault = self.faults.popleft() if self.faults else None
            line = encode(event) + b"\n"
            for part in fault(line) if fault is not None else [line]:
                if part is None:
                    return
                if isinstance(part, CnmysqlError):
                    raise part
                yield part

    async def close(self) -> None:
        return
