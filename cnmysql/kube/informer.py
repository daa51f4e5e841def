"""A local copy of one list that follows the server: list, watch from there, list again when the thread is lost.

The store equals the server's list as of the last thing heard from it; `last_contact` says when that was. Handlers
learn of every difference between what the store held and holds, also of deletions that happened unseen.
"""

from __future__ import annotations

import asyncio
import builtins
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, Gone, NotFound, Unreachable
from cnmysql.kube.backoff import Backoff
from cnmysql.kube.client import Client, key_of, selectors
from cnmysql.kube.resources import Resource
from cnmysql.kube.shared import Sharing
from cnmysql.kube.store import Indexer, Store
from cnmysql.kube.watch import BOOKMARK, DELETED, Event, watch
from cnmysql.kube.wire import Json

Handler = Callable[[str, Json | None, Json | None], None]

HEALTHY: Final = 5.0
"""Seconds a watch must have lived before its orderly end is followed by the next one without any delay."""
PATIENCE: Final = 3
"""Failed attempts to resume a watch after which we list again: the version may be from another history (a restore)."""


class Informer:
    """Objects of one resource in one namespace (or all), narrowed by selectors. Objects must not be modified.

    `metadata_only` keeps PartialObjectMetadata; `transform` shortens objects before they are kept; `indexers` map an
    index name to a function from an object to the values it is found by; `resync` is the period in seconds in which
    handlers see every object again (spread by 10 %).
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        clock: Clock,
        indexers: Mapping[str, Indexer] | None = None,
        transform: Callable[[Json], Json] | None = None,
        resync: float = 600.0,
    ) -> None:
        self._client = client
        self.resource = resource
        self._namespace = namespace
        self._selectors = selectors(label_selector, field_selector)
        self._metadata_only = metadata_only
        self._clock = clock
        self._store = Store(indexers or {})
        self._transform = transform
        self._sharing = Sharing()
        self._resync = resync
        self._handlers: list[Handler] = []
        self._version = ""
        self._synced = asyncio.Event()
        self._backoff = Backoff()
        self._log = log.get("informer").bind(resource=resource.plural, namespace=namespace or "")
        self.complaint = ""
        """Why the last attempt to list or watch failed; empty when none did since the last complete list."""
        self.absent = False
        """True while the server does not know the resource (its CRD is not installed)."""
        self.last_contact = float("-inf")
        """Monotonic seconds of the last word from the server. A quiet watch hears one about every minute."""

    def add_handler(self, handler: Handler) -> None:
        """Call `handler(key, old, new)` on every change and resync. It only computes keys to enqueue, never blocks."""
        self._handlers.append(handler)

    def get(self, key: str) -> Json | None:
        return self._store.get(key)

    def list(self) -> builtins.list[Json]:
        return self._store.list()

    def by_index(self, index: str, value: str) -> builtins.list[Json]:
        return self._store.by_index(index, value)

    def __len__(self) -> int:
        return len(self._store)

    @property
    def synced(self) -> bool:
        """True once the first complete list is in. It stays true while the server is away: see `last_contact`."""
        return self._synced.is_set()

    async def wait_synced(self, timeout: float) -> None:
        """Wait for the first complete list. Raises Unreachable after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._synced.wait()
        except TimeoutError as error:
            what = self.complaint or "no answer yet"
            raise Unreachable(f"{self.resource.plural} not listed within {timeout} s: {what}") from error

    async def run(self) -> None:
        """Follow the server until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name=f"watch {self.resource.plural}")
            group.create_task(self._resync_loop(), name=f"resync {self.resource.plural}")

    async def _follow(self) -> None:
        while True:
            began = self._clock.monotonic()
            delay = 0.0
            try:
                await self._pass()
                orderly = True
            except CnmysqlError as error:
                orderly = isinstance(error, Gone)
                self._lose_thread(error)
                delay = error.retry_after or 0.0
            except Exception as error:  # noqa: BLE001 - a bug in a transform must not end what everything relies on
                orderly = False
                self._version = ""
                self._log.error("informer failed, listing again", exc_info=error)
            if self._clock.monotonic() - began >= HEALTHY:
                self._backoff.reset()
                if orderly:
                    continue
            await self._clock.sleep(max(delay, self._backoff.next()))

    def _lose_thread(self, error: CnmysqlError) -> None:
        """Decide whether the watch can be resumed where it broke, and say what happened, once."""
        resumable = isinstance(error, Unreachable) or error.retry_after is not None
        if not resumable or self._backoff.failures >= PATIENCE:
            self._version = ""
        if not isinstance(error, Gone) and error.message != self.complaint:
            self.complaint = error.message
            self._log.warning("list or watch failed, will retry", error=error.message)

    async def _pass(self) -> None:
        """List when the thread is lost, then follow one watch to its end."""
        if not self._version:
            try:
                await self._relist(page=500)
            except Gone:
                await self._relist(page=0)  # the snapshot expired between pages: all at once
        events = watch(
            self._client.transport,
            self.resource,
            self._namespace,
            version=self._version,
            selectors=self._selectors,
            metadata_only=self._metadata_only,
            contact=self._heard,
        )
        async with aclosing(events):
            async for event in events:
                self._take(event)

    async def _relist(self, *, page: int) -> None:
        sent = self._clock.monotonic()
        seen: set[str] = set()
        version = ""
        pages = self._client.pages(
            self.resource, self._namespace, self._selectors, page=page, metadata_only=self._metadata_only
        )
        try:
            async with aclosing(pages):
                async for items, page_version in pages:
                    for item in items:
                        key = key_of(item)
                        seen.add(key)
                        self._put(key, item)
                        if len(seen) % 50 == 0:
                            await asyncio.sleep(0)  # a long list must not hold up everything else
                    version = page_version
        except NotFound:
            self.absent = True
            raise
        for key in self._store.missing_from(seen):
            self._remove(key)
        self.absent = False
        self.complaint = ""
        self._version = version
        self.last_contact = sent  # what the list shows is at least as new as the moment it was asked for
        self._synced.set()

    def _heard(self) -> None:
        self.last_contact = self._clock.monotonic()

    def _take(self, event: Event) -> None:
        if _is_replay(event.version, self._version):
            return
        if event.type == DELETED:
            self._remove(key_of(event.object))
        elif event.type != BOOKMARK:
            self._put(key_of(event.object), event.object)
        self._version = event.version

    def _put(self, key: str, obj: Json) -> None:
        known = self._store.get(key)
        if known is not None and _same(known, obj):
            return
        if self._transform is not None:
            obj = self._transform(obj)
        obj = self._sharing.share(obj)
        self._tell(key, self._store.put(key, obj), obj)

    def _remove(self, key: str) -> None:
        old = self._store.remove(key)
        if old is not None:
            self._tell(key, old, None)

    def _tell(self, key: str, old: Json | None, new: Json | None) -> None:
        for handler in self._handlers:
            try:
                handler(key, old, new)
            except Exception as error:  # noqa: BLE001 - one handler's bug must not blind the others
                self._log.error("event handler failed", key=key, exc_info=error)

    async def _resync_loop(self) -> None:
        while True:
            await self._clock.sleep(self._resync * random.uniform(0.9, 1.1))  # noqa: S311 - spreading load
            for obj in self._store.list():
                self._tell(key_of(obj), obj, obj)


def _same(a: Json, b: Json) -> bool:
    """True when both are the same object in the same version (a relist or a repeated event)."""
    a, b = a["metadata"], b["metadata"]
    same: bool = a.get("resourceVersion") == b.get("resourceVersion") and a.get("uid") == b.get("uid")
    return same


def _is_replay(version: str, last: str) -> bool:
    """True when an event's version is not beyond what the watch has told already.

    Versions of one resource are decimal numbers that grow (the API documents them as comparable since 1.35; servers
    before that behave the same). Anything else is taken as news.
    """
    return version.isdecimal() and last.isdecimal() and int(version) <= int(last)
