"""One Lease keeper in virtual time, and an API server in memory that answers, refuses, hangs and loses answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cnmysql.kube.client import Client
from cnmysql.kube.resources import LEASES
from instance.lease import Keeper
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport
from tests.unit.instance.role.views import ME
from tests.unit.kube.virtual import LoopClock, run

OWN = ME.identity


@dataclass
class Bed:
    """One keeper and what surrounds it."""

    store: FakeStore = field(default_factory=FakeStore)
    permits: list[float] = field(default_factory=list)
    alive: bool = True
    changes: int = 0
    dump_threads: int | None = None

    def __post_init__(self) -> None:
        self.transport = MemoryTransport(self.store)
        self.client = Client(self.transport)
        self.keeper = Keeper(
            self.client,
            ME,
            LoopClock(),
            self,
            loop_alive=lambda: self.alive,
            on_change=self._changed,
            dump_threads=lambda: self.dump_threads,
        )

    def permit_until(self, boottime: float) -> None:
        self.permits.append(boottime)

    def forbid(self) -> None:
        self.permits.append(0.0)

    def _changed(self) -> None:
        self.changes += 1

    async def create(self, holder: str = "") -> None:
        body = {"metadata": {"name": "db-primary"}, "spec": {"holderIdentity": holder}}
        await self.client.create(LEASES, "ns", body)

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.store.select(LEASES.path("ns"), {})[0]["spec"]
        return spec

    @property
    def notes(self) -> dict[str, str]:
        meta: dict[str, Any] = self.store.select(LEASES.path("ns"), {})[0]["metadata"]
        return meta.get("annotations") or {}

    async def take_away(self, holder: str) -> None:
        await self.client.merge_patch(LEASES, "ns", "db-primary", {"spec": {"holderIdentity": holder}})

    @property
    def writes(self) -> int:
        return sum(1 for method, _ in self.transport.calls if method == "PUT")


def told(story: Callable[[Bed], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        bed = Bed()
        keeping = asyncio.create_task(bed.keeper.run())
        try:
            await story(bed)
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    run(whole())
