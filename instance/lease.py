"""The primary Lease as its holder sees it: take it when empty or ours, renew it, clear it, and know how old it is.

What may be done with a Lease is decided by `judge`, a pure function. The keeper never creates a Lease and never
overwrites somebody else's hold. Every holder time counts from *sending* the last successful renewal on
CLOCK_BOOTTIME (`instance.role.timing`); with each one the watchdog's permission to write is extended, provided the
role loop still comes round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from cnmysql import log, names
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, Conflict, NotFound, Refused
from cnmysql.kube.client import Client
from cnmysql.kube.leaserecord import held, parse, spec
from cnmysql.kube.resources import LEASES
from cnmysql.protocol.report import LeaseReport
from cnmysql.tasks import Signal
from instance.role import timing
from instance.role.view import LeaseFacts, Me

_log = log.get("lease")
CALL_SECONDS = 2.0
RETRY_SECONDS = 0.5
_ATTEMPTS = 2

Json = dict[str, Any]


class Guard(Protocol):
    """The part of the watchdog the keeper uses."""

    def permit_until(self, boottime: float) -> None: ...

    def forbid(self) -> None: ...


@dataclass(frozen=True)
class Judgement:
    """Whose the Lease is, seen from one identity."""

    hold: Literal["own", "empty", "foreign"]
    holder: str = ""


def judge(lease: Json, identity: str) -> Judgement:
    """Anything but exactly our identity is foreign, an earlier or later Pod of the same name included."""
    holder = parse(lease).holder
    if not holder:
        return Judgement("empty")
    return Judgement("own" if holder == identity else "foreign", holder)


def taken(lease: Json, identity: str, now: datetime, dump_threads: int | None) -> Json:
    """The Lease with our hold on it, as a compare-and-swap of the version read."""
    record = held(parse(lease), by=identity, duration=timing.LEASE_DURATION, now=now)
    return {**lease, "metadata": _noted(lease["metadata"], dump_threads), "spec": spec(record)}


def cleared(lease: Json) -> Json:
    """The Lease without a holder: our word that we are closed."""
    body = {**(lease.get("spec") or {}), "holderIdentity": ""}
    return {**lease, "metadata": _noted(lease["metadata"], None), "spec": body}


def _noted(metadata: Json, dump_threads: int | None) -> Json:
    """With the number of dump threads. One that is not known is left out: no number of before may stand for it."""
    notes = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != names.ANN_DUMP_THREADS}
    if dump_threads is not None:
        notes[names.ANN_DUMP_THREADS] = str(dump_threads)
    return {**metadata, "annotations": notes}


class Keeper:
    """Holds and renews the Lease of one Cluster for one Pod. `on_change` is called when what it knows changed.

    `dump_threads`: how many the server had when last looked at, None while that is not known. It is never asked here.
    """

    def __init__(
        self,
        client: Client,
        me: Me,
        clock: Clock,
        guard: Guard,
        *,
        loop_alive: Callable[[], bool],
        on_change: Callable[[], None],
        dump_threads: Callable[[], int | None],
    ) -> None:
        self._client = client
        self._me = me
        self._name = names.primary_lease(me.cluster)
        self._clock = clock
        self._guard = guard
        self._loop_alive = loop_alive
        self._on_change = on_change
        self._dump_threads = dump_threads
        self._lock = asyncio.Lock()
        self._wake = Signal()
        self._keep = False
        self._seen: Json | None = None
        """The Lease as the last answer showed it, to renew without reading first."""
        self.facts = LeaseFacts()

    async def acquire(self) -> None:
        """Take it, if it is empty or ours, keep it and arm the watchdog.

        Raises Refused when it is somebody else's or gone; after any other error the outcome is unknown.
        """
        async with self._lock:
            await self._take(("own", "empty"), explicit=True)

    async def renew(self) -> None:
        """As `acquire`, but only if it is ours already."""
        async with self._lock:
            await self._take(("own",), explicit=True)

    async def release(self) -> None:
        """Clear our own hold; nothing happens to anybody else's. Renewing ends first, whatever follows."""
        self._keep = False
        self.disarm()
        async with self._lock:
            for attempt in range(_ATTEMPTS):
                try:
                    lease = await self._read()
                    if judge(lease, self._me.identity).hold == "own":
                        await self._write(cleared(lease))
                    break
                except NotFound:
                    break
                except Conflict:
                    if attempt + 1 == _ATTEMPTS:
                        raise
            self._set(LeaseFacts())

    def rest(self) -> None:
        """Renew no more, and leave the hold where it is."""
        self._keep = False

    def disarm(self) -> None:
        """The server is closed or dead: the watchdog has nothing to kill until the Lease is taken again."""
        self._guard.forbid()
        if self.facts.armed:
            self._set(LeaseFacts(self.facts.sent, self.facts.lost))

    def report(self) -> LeaseReport:
        sent = self.facts.sent
        age = None if sent is None else round(self._clock.boottime() - sent, 1)
        return LeaseReport(held=self.facts.held, age_seconds=age)

    async def run(self) -> None:
        """Renew every 2 s after sending the last renewal, as long as there is a hold to keep."""
        while True:
            pause = self._pause()
            if pause is None or pause > 0:
                await self._wake.wait(pause)
                continue
            try:
                async with self._lock:
                    if self._keep:
                        await self._take(("own",), explicit=False)
            except Refused as error:
                _log.error("the primary Lease is lost", error=str(error))
            except CnmysqlError as error:
                _log.warning("renewing the primary Lease failed", error=str(error))
                await self._wake.wait(RETRY_SECONDS)

    def _pause(self) -> float | None:
        if not self._keep or self.facts.sent is None:
            return None
        return max(0.0, self.facts.sent + timing.RENEW_EVERY - self._clock.boottime())

    async def _take(self, allowed: tuple[str, ...], *, explicit: bool) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                lease = self._seen if self._seen is not None else await self._read()
                verdict = judge(lease, self._me.identity)
                if verdict.hold not in allowed:
                    raise self._lose(f"held by {verdict.holder}" if verdict.holder else "held by nobody")
                sent = self._clock.boottime()
                await self._write(taken(lease, self._me.identity, self._clock.now(), self._dump_threads()))
                self._renewed(sent, explicit=explicit)
                return
            except NotFound as error:
                raise self._lose("it does not exist") from error
            except Conflict:
                self._seen = None
                if attempt + 1 == _ATTEMPTS:
                    raise

    def _renewed(self, sent: float, *, explicit: bool) -> None:
        # A renewal in the background never arms: the server may have been closed while it was on its way.
        if explicit:
            self._keep = True
        elif not self.facts.armed:
            self._set(LeaseFacts(sent))
            return
        if not self._loop_alive():
            _log.error("the role loop is stuck: its permission to keep the server open is not extended")
            self._set(LeaseFacts(sent, "", self.facts.armed))
            return
        self._guard.permit_until(sent + timing.WRITE_UNTIL)
        self._set(LeaseFacts(sent, "", True))

    def _lose(self, why: str) -> Refused:
        self._keep = False
        self._seen = None
        self._set(LeaseFacts(None, why, self.facts.armed))
        return Refused(f"the primary Lease {self._name}: {why}")

    async def _read(self) -> Json:
        self._seen = await self._client.get(LEASES, self._me.namespace, self._name, timeout=CALL_SECONDS)
        return self._seen

    async def _write(self, lease: Json) -> None:
        self._seen = None
        self._seen = await self._client.replace(LEASES, self._me.namespace, self._name, lease, timeout=CALL_SECONDS)

    def _set(self, facts: LeaseFacts) -> None:
        changed = (facts.held, facts.lost, facts.armed) != (self.facts.held, self.facts.lost, self.facts.armed)
        self.facts = facts
        if changed:
            self._on_change()
        self._wake.set()
