"""The role loop: observe, plan, apply, as long as the manager lives.

It comes round at least every second, and at once when its Cluster, mysqld, the Lease or an order from the control API
changes. The Lease is renewed by a task of its own, but a permission to write is only ever extended while this loop
comes round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cnmysql import log
from cnmysql.errors import CnmysqlError, Transient
from cnmysql.tasks import Signal, TaskSet
from instance.role import timing
from instance.role.apply import Edges, apply
from instance.role.judge import may_be_open
from instance.role.observe import Observer, Sources, Told
from instance.role.outcome import Plan, remembered
from instance.role.plan import plan
from instance.role.view import Memory, PeerFacts, PeerRound, ServerFacts, Unknown, View

_log = log.get("role")
RETRY_SECONDS = 0.5
MIN_PAUSE = 0.01
DRAIN_POLL = 0.2


class RoleLoop:
    """One per manager."""

    def __init__(self, edges: Callable[[RoleLoop], Edges], sources: Sources) -> None:
        self._process, self._volume, self._clock = sources.process, sources.volume, sources.clock
        self._observer = Observer(sources)
        self._told = Told()
        self._wake = Signal()
        self._beat = self._clock.boottime()
        self._failed: BaseException | None = None
        self._passed, self._done = asyncio.Event(), True
        self._running = False
        self.memory = Memory()
        self.view: View | None = None
        self.plan = Plan((), "starting")
        self.on_pass: Callable[[], None] = lambda: None
        """Called after every pass: what the reporter shows may have changed."""
        self.edges = edges(self)

    # What others tell the loop.

    def wake(self) -> None:
        """Come round now: something it looks at has changed."""
        self._wake.set()

    def alive(self) -> bool:
        """Whether it still comes round; without that nothing extends the permission to write."""
        return self._clock.boottime() - self._beat < timing.LOOP_STALE

    def beat(self) -> None:
        self._beat = self._clock.boottime()

    def answered(self, answers: dict[str, PeerFacts | Unknown]) -> None:
        """Keep what a question to the peers brought, with the local facts read before it was asked."""
        if self.view is not None and isinstance(self.view.server, ServerFacts):
            self._told.peers = PeerRound(self._clock.boottime(), self.view.server, answers)

    def renew_credentials(self) -> None:
        """The replication certificate or the trust changed on disk."""
        self._told.renewals += 1
        self.wake()

    @property
    def credentials_changed(self) -> bool:
        """The receiver has not been started again since they changed last."""
        return self._told.credentials_changed

    @property
    def receiving(self) -> bool:
        """A receiver may run; unknown counts as yes."""
        if self.view is None or not isinstance(self.view.server, ServerFacts):
            return self._process.running
        channel = self.view.server.channel
        return channel is not None and channel.receiving

    @property
    def open(self) -> bool:
        """Whether the server was open, or may have been, when last looked at."""
        return self.view is not None and may_be_open(self.view)

    def dump_threads(self) -> int | None:
        """How many replicas the server was sending to when last read; None when that is too long ago to say."""
        server = self.view.server if self.view is not None else None
        if not isinstance(server, ServerFacts) or self._clock.boottime() - server.read_at > timing.LOOP_STALE:
            return None
        return server.dump_threads

    @property
    def _perhaps_open(self) -> bool:
        """Also a server that a pass which did not end may have opened since: it is armed before."""
        return self.open or self.edges.keeper.facts.armed

    async def close(self, epoch: int) -> None:
        """Obey the operator's call to close: stay closed until an order of this epoch or later.

        Returns when a pass has seen the server closed or mysqld dead; the caller bounds the wait. Raises Refused when
        the epoch is older than one seen before, Transient while the volume is not ours yet.
        """
        if not self._running:
            raise Transient("this instance does not own its volume yet")
        await asyncio.to_thread(self.edges.epochs.store, epoch)
        self._told.close_epoch = max(self._told.close_epoch, epoch)
        await self._until(lambda: self.view is not None and self.view.close_epoch >= epoch and not self.open)

    async def shutdown(self, smart: float, fast: float) -> None:
        """Go down in order while `run` still runs.

        First wait at most `smart` seconds for the transactions that are open now, then close, stop replication and
        clear the Lease within `fast` seconds; a server that is not closed by then is killed. When `run` has ended, the
        server is closed without the rest.
        """
        if not self._running:
            await self._close_directly()
            return
        began = self._clock.boottime()
        self._told.stopping = "draining"
        self.wake()
        while self.open and self._running and not self._volume.replaced:
            elapsed = self._clock.boottime() - began
            if elapsed >= smart or not await self._draining(elapsed):
                break
            await self._clock.sleep(DRAIN_POLL)
        self._told.stopping = "closing"
        try:
            async with asyncio.timeout(fast):
                await self._until(self._settled)
        except TimeoutError:
            _log.error("shutting down in order took too long", open=self.open)
            if self._perhaps_open:
                await self.edges.server.kill()

    def _settled(self) -> bool:
        return self.view is not None and self.view.stopping == "closing" and self.plan.settled

    async def _close_directly(self) -> None:
        if self._process.running and self._perhaps_open:
            await self.edges.server.close()
        if self.edges.keeper.facts.held:
            await self.edges.keeper.release()

    async def _draining(self, elapsed: float) -> bool:
        """Whether a transaction that was open at the start still is."""
        try:
            return await self.edges.server.transactions_since(elapsed) > 0
        except CnmysqlError as error:
            _log.warning("open transactions cannot be read", error=str(error))
            return True

    async def _until(self, reached: Callable[[], bool]) -> None:
        """Wait for a pass after which this holds. One that failed is repeated when the loop would, not at once."""
        self.wake()
        while True:
            self._passed.clear()
            await self._passed.wait()
            if reached() or not self._running:
                return
            if self._done:
                self.wake()

    # The loop.

    async def run(self) -> None:
        """Until cancelled. Raises Leaving when the manager has to end, or what broke it."""
        await asyncio.to_thread(self.edges.epochs.load)
        self._running = True
        helpers = TaskSet(self._helper_failed)
        helpers.start(self.edges.keeper.run(), name="lease")
        helpers.start(self._volume.run(), name="volume")
        try:
            while self._failed is None:
                await self._wake.wait(await self.turn())
            raise self._failed
        finally:
            self._running = False
            self._passed.set()
            await helpers.close()

    async def turn(self) -> float:
        """One pass; seconds until the next at the latest."""
        self.beat()
        renewals = self._told.renewals
        self.view = await self._observer.observe(self.edges, self._told, self.memory)
        before = self.plan
        self.plan = plan(self.view)
        self.memory = self.plan.memory or self.memory
        if self.plan.state != before.state:
            _log.info("role", state=self.plan.state, rule=self.plan.rule, epoch=self.view.stored_epoch)
        self.on_pass()
        done = self._done = await apply(self.plan, self.edges)
        self.memory = remembered(self.plan, self.memory, self._clock.boottime(), done=done)
        if done and self.plan.rule == "renewed_credentials":
            self._told.connected_with = renewals
        self._passed.set()
        return max(self.plan.wake, MIN_PAUSE if done else RETRY_SECONDS)

    def _helper_failed(self, name: str, error: BaseException) -> None:
        _log.error("a task of the role loop failed", task=name, error=str(error))
        self._failed = error
        self.wake()
