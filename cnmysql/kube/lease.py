"""Leader election on a Lease: at most one holder works, as far as clock rates agree, and losing the hold ends the work.

All times count from *sending* a renewal, on a clock that goes on while the machine sleeps: what the server's answer
took is time in which others may already have been counting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Final

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, Conflict, NotFound
from cnmysql.kube import leaserecord
from cnmysql.kube.client import Client
from cnmysql.kube.leaserecord import LeaseRecord, Observed
from cnmysql.kube.resources import LEASES
from cnmysql.kube.wire import Json

RELEASE_TIMEOUT: Final = 5.0


class _Outcome(Enum):
    RENEWED = auto()
    CONTENDED = auto()
    """Ours, but somebody else wrote to the Lease in between: not renewed this time."""
    FOREIGN = auto()


class LeadershipLost(Exception):
    """The hold was lost or could not be renewed in time. The process must exit: its caches and intents are stale."""


class LeaderElector:
    """Candidate for one Lease. `identity` must be unique to this process (name and a random part), never reused.

    `duration`: seconds others wait without seeing a change; `renew_deadline`: seconds from sending the last
    successful renewal after which we give up; `retry`: seconds between attempts. duration > renew_deadline > retry.
    """

    def __init__(
        self,
        client: Client,
        ns: str,
        name: str,
        identity: str,
        clock: Clock,
        *,
        duration: float = 15,
        renew_deadline: float = 10,
        retry: float = 2,
    ) -> None:
        if not duration > renew_deadline > retry > 0:
            raise ValueError("duration > renew_deadline > retry > 0 must hold")
        self._client = client
        self._ns = ns
        self._name = name
        self.identity = identity
        self._clock = clock
        self._duration = duration
        self._renew_deadline = renew_deadline
        self._retry = retry
        self._observed = Observed(LeaseRecord(), clock.boottime())
        self._sent = float("-inf")
        self._log = log.get("lease").bind(lease=name, namespace=ns, identity=identity)

    @property
    def holder(self) -> str:
        """Who held the Lease when we last looked; "" for nobody."""
        return self._observed.record.holder

    def is_leader_fresh(self, limit: float) -> bool:
        """True when the last successful renewal was sent at most `limit` seconds ago."""
        return self._clock.boottime() - self._sent <= limit

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lead, then do `work` while renewing; release after the work has stopped.

        Returns or raises what the work does. Raises LeadershipLost when the hold is lost; the work has been cancelled
        then, but is waited for only as long as nobody else can hold the Lease. Cancelling stops work, then releases.
        """
        while not await self._try_acquire():
            await self._clock.sleep(self._retry)
        self._log.info("leading")
        renewing = asyncio.create_task(self._renew_until_lost(), name=f"renew lease {self._name}")
        working = asyncio.ensure_future(work())
        try:
            await asyncio.wait((renewing, working), return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost = renewing.done()
            try:
                await self._stop(working, bounded=lost)
            finally:
                # Cancelled again while the work was stopping: the Lease is left to expire, and nobody renews it.
                renewing.cancel()
                await asyncio.wait((renewing,))
            if not lost:
                await self._release()
            self._sent = float("-inf")
        if lost:
            if working.done() and not working.cancelled():
                working.exception()  # the loss is what matters; this one only ended with it
            message = f"lease {self._ns}/{self._name} is not ours any more (holder {self.holder!r})"
            raise LeadershipLost(message) from renewing.exception()
        working.result()

    async def _stop(self, working: asyncio.Future[None], *, bounded: bool) -> None:
        """Cancel the work and see it through; after a loss only until the moment another may take over."""
        working.cancel()
        left = self._sent + self._duration - self._clock.boottime()
        _, pending = await asyncio.wait((working,), timeout=max(0.0, left) if bounded else None)
        if pending:
            self._log.error("the work did not stop in time after the lease was lost")

    async def _renew_until_lost(self) -> None:
        """Renew every `retry` seconds. Returns when the hold is lost, or was not renewed within the deadline."""
        pause = self._retry
        while True:
            await self._clock.sleep(max(0.0, min(pause, self._left())))
            left = self._left()
            if left <= 0:
                self._log.error("lease not renewed in time", seconds=self._renew_deadline)
                return
            try:
                # A renewal that hangs must leave time for others.
                outcome = await self._renew(min(left, self._renew_deadline / 3))
            except CnmysqlError as error:
                self._log.warning("renewal failed", error=error.message)
                pause = self._retry / 2
                continue
            pause = self._retry
            if outcome is _Outcome.FOREIGN:
                self._log.error("the lease is not ours any more", holder=self.holder)
                return

    def _left(self) -> float:
        """Seconds until we must have given up, unless we renew."""
        return self._sent + self._renew_deadline - self._clock.boottime()

    async def _try_acquire(self) -> bool:
        """One look; True when the Lease is ours and freshly stamped."""
        try:
            lease = await self._look(self._renew_deadline / 2)
            if not self._observed.may_take(self.identity, self._clock.boottime()):
                return False
            return await self._stamp(lease, self._renew_deadline / 2) is _Outcome.RENEWED
        except CnmysqlError as error:
            self._log.warning("cannot read or take the lease", error=error.message)
            return False

    async def _renew(self, limit: float) -> _Outcome:
        """Read and stamp again. A Lease that names anybody but us, or is gone, is lost: we cannot know since when."""
        began = self._clock.boottime()
        lease = await self._look(limit)
        if self.holder != self.identity:
            return _Outcome.FOREIGN
        return await self._stamp(lease, max(0.1, limit - (self._clock.boottime() - began)))

    async def _look(self, limit: float) -> Json | None:
        lease = await self._read(limit)
        record = leaserecord.parse(lease) if lease is not None else LeaseRecord()
        self._observed = self._observed.seen(record, self._clock.boottime())
        return lease

    async def _stamp(self, lease: Json | None, limit: float) -> _Outcome:
        """Write our hold over the Lease as read: a compare-and-swap, so two candidates never both succeed.

        An answer that got lost shows at the next read, as a hold of our identity.
        """
        sent = self._clock.boottime()
        record = self._observed.record
        wanted = leaserecord.held(record, by=self.identity, duration=int(self._duration), now=self._clock.now())
        try:
            await self._write(lease, wanted, limit)
        except (Conflict, NotFound):
            return _Outcome.CONTENDED  # the next look says whose it is
        self._sent = sent
        return _Outcome.RENEWED

    async def _read(self, limit: float) -> Json | None:
        try:
            return await self._client.get(LEASES, self._ns, self._name, timeout=limit)
        except NotFound:
            return None

    async def _write(self, lease: Json | None, record: LeaseRecord, limit: float) -> None:
        if lease is None:
            body: Json = {"metadata": {"name": self._name, "namespace": self._ns}, "spec": leaserecord.spec(record)}
            written = await self._client.create(LEASES, self._ns, body, timeout=limit)
        else:
            body = {**lease, "spec": leaserecord.spec(record)}
            written = await self._client.replace(LEASES, self._ns, self._name, body, timeout=limit)
        self._observed = self._observed.seen(leaserecord.parse(written), self._clock.boottime())

    async def _release(self) -> None:
        """Let go, so that the next one need not wait for the duration. The work has stopped before."""
        try:
            lease = await self._read(RELEASE_TIMEOUT)
            if lease is None or leaserecord.parse(lease).holder != self.identity:
                return
            record = leaserecord.released(leaserecord.parse(lease), now=self._clock.now())
            await self._write(lease, record, RELEASE_TIMEOUT)
        except CnmysqlError as error:
            self._log.warning("lease not released, it will expire", error=error.message)
