"""Keeps the accounts of the local server what they have to be, in every role. An edge: `plan` decides.

It looks when mysqld has started, when a mounted Secret, certificate or the trust has changed, when the operator has
sent an order, and every minute. On an open server it writes at once; on any other the role loop, which owns the
server's flags, calls `change` in a pass that has nothing else to do. An order is forgotten once it has been carried
out; what stays is its revision, in the data directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from cnmysql import log, names
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, Forbidden, Refused, Unreachable
from cnmysql.log import Secret
from cnmysql.mysql import internal, read_accounts
from cnmysql.mysql.conn import Connection, connect
from cnmysql.protocol.accounts import AccountsOrder
from cnmysql.protocol.report import AccountsReport
from cnmysql.retry import pause
from cnmysql.tasks import Signal
from instance.accounts import record, sealed
from instance.accounts.compare import Looked, Orders, compare
from instance.accounts.login import ControlLogin
from instance.accounts.plan import Plan, Prove
from instance.role.view import AccountsNeed
from instance.server import LocalServer
from instance.settings import Paths

_log = log.get("accounts")

LOOK_EVERY: Final = 60.0
GLANCE_EVERY: Final = 10.0
"""At the accounts that offline mode does not stop, one short query; nothing tells us when a right is granted."""
FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 60.0
STEP_SECONDS: Final = 5.0
FIRST_START: Final = 30.0
LAST_START: Final = 600.0
"""Between two starts of mysqld that were to let us in again."""


class Process(Protocol):
    """The part of the supervisor the keeper reads."""

    @property
    def running(self) -> bool: ...

    @property
    def generation(self) -> int: ...


@dataclass(frozen=True)
class Edges:
    """What it touches. `is_open`: whether the role loop last saw the server open; `wake_role`: let it come round."""

    paths: Paths
    server: LocalServer
    process: Process
    login: ControlLogin
    guard: sealed.Guard
    clock: Clock
    is_open: Callable[[], bool]
    wake_role: Callable[[], None]
    changed: Callable[[], None]


class AccountKeeper:
    """One for the life of the main container: `run` it, and let the role loop call `change` while it is `due`."""

    def __init__(self, edges: Edges) -> None:
        self._e = edges
        self._orders = Orders()
        self._signal = Signal()
        self._lock = asyncio.Lock()
        self._failures = 0
        self._retry_at: float | None = None
        self._record: record.Record | None = None
        self._looked_at = 0.0
        self._starts = 0
        self._start_at = 0.0
        self.due = False
        """Something is to be written and the server is not open: `change` may be called."""
        self._locked_out = 0
        """The start of mysqld that no known password opens; the next one will set the account."""
        self.report: AccountsReport | None = None
        self.replication_require: str | None = None

    def again(self) -> None:
        """Something it looks at has changed."""
        self._failures = 0
        self._signal.set()

    def nudge(self) -> None:
        """Somebody could not log in. While we cannot either, the next try is due when it is due."""
        if self._retry_at is None:
            self._signal.set()

    def role_passed(self) -> None:
        """The role loop came round: what was waiting for it can be written directly once the server is open."""
        if self.due and self._e.is_open():
            self._signal.set()

    def order(self, given: AccountsOrder) -> None:
        """Take over what the operator sent; what comes of it is in the report."""
        self._orders.take(given)
        self.again()

    @property
    def need(self) -> AccountsNeed:
        """What the role loop should do for us when it has nothing else to do."""
        if self._locked_out and self._locked_out == self._e.process.generation:
            return "start"
        return "change" if self.due else "nothing"

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._look()
            while self._settled() and not await self._signal.wait(GLANCE_EVERY):
                if self._e.clock.boottime() - self._looked_at >= LOOK_EVERY:
                    break
                await self._glance()
            if not self._settled():
                await self._signal.wait(self._pause())

    async def change(self) -> None:
        """Write on a server that is closed or follows. Only the role loop calls this, between two of its steps.

        Raises nothing: what fails is reported and tried again later.
        """
        async with self._lock:
            self.due = False
            with self._contained():
                planned = (await self._compare()).plan

                async def work(session: Connection) -> None:
                    await self._carry_out(planned, session)

                await sealed.write(self._e.server, self._e.guard, self._e.clock, work)
                await self._settle(await self._compare())
        self._signal.set()

    # Looking.

    def _settled(self) -> bool:
        return self.report is not None and self.report.settled and not self.due

    async def _glance(self) -> None:
        async with self._lock:
            if not self._e.process.running or self.report is None:
                return
            try:
                found = await read_accounts.bypassing_accounts(await self._e.server.session("accounts"))
            except CnmysqlError as error:
                _log.debug("accounts that pass offline mode cannot be read", error=error.message)
                return
            if found != self.report.bypassing:
                self._say(settled=self.report.settled, problem=self.report.problem, bypassing=found)

    async def _look(self) -> None:
        async with self._lock:
            self._looked_at = self._e.clock.boottime()
            if not self._e.process.running:
                return
            with self._contained():
                if self._record is None:
                    self._record = await asyncio.to_thread(record.load, self._e.paths.accounts_file)
                try:
                    await self._converge()
                except Forbidden as error:
                    await self._refused(error)

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """Nothing about accounts may end the manager: that would close a primary."""
        try:
            yield
        except (CnmysqlError, OSError, ValueError) as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - see above; a bug is logged, reported and tried again later
            _log.exception("keeping accounts failed by a bug")
            self._failed(error)

    async def _compare(self) -> Looked:
        return await compare(self._e.server, self._e.paths, self._orders)

    async def _converge(self) -> None:
        looked = await self._compare()
        if not looked.plan.steps:
            await self._settle(looked)
        elif self._e.is_open():
            await self._carry_out(looked.plan, await self._e.server.session("accounts"))
            await self._settle(await self._compare())
        elif self._retry_at is None or self._e.clock.boottime() >= self._retry_at:
            self.due = True
            self._e.wake_role()

    # Writing.

    async def _carry_out(self, plan: Plan, session: Connection) -> None:
        for step in plan.steps:
            if isinstance(step, Prove):
                await self._prove(step.password)
                continue
            for statement in step.statements:
                await session.execute(statement, timeout=STEP_SECONDS)
            _log.info("account", change=step.what)

    async def _prove(self, password: Secret) -> None:
        params = self._e.login.params(password)
        try:
            session = await connect(params, timeout=STEP_SECONDS)
        except Forbidden as error:
            raise Refused("the new control password does not log in; the former one stays in force") from error
        self._e.login.accepted(params)
        await session.close()

    # What came of it.

    async def _settle(self, looked: Looked) -> None:
        if looked.plan.steps:
            raise Unreachable(f"not all is in force yet: {looked.plan.steps[0]}")
        await self._remember(looked)
        self._orders.forget(looked.done.values())
        self.due, self._failures, self._retry_at, self._starts = False, 0, None, 0
        repl = looked.seen.find(names.ACCOUNT_REPLICATION, internal.ANY_HOST)
        if repl is not None:
            self.replication_require = "x509" if repl.require == "X509" else f"{repl.subject}|{repl.issuer}"
        self._say(settled=True, problem="; ".join(looked.plan.problems.values()), bypassing=looked.bypassing)

    async def _remember(self, looked: Looked) -> None:
        before = self._record or record.Record()
        password = next(a.password for a in looked.wanted.table if a.user == names.ACCOUNT_CONTROL)
        done = {name: order.revision for name, order in looked.done.items()}
        after = replace(before, orders={**before.orders, **done})
        if not await asyncio.to_thread(before.knows, password):
            after = replace(after, control=await asyncio.to_thread(record.fingerprint, password))
        if after != before:
            await asyncio.to_thread(record.store, self._e.paths.accounts_file, after)
        self._record = after

    async def _refused(self, error: Forbidden) -> None:
        """Only a start can set the account. Such starts are not repeated at once when they did not help."""
        self._failed(error)
        now = self._e.clock.boottime()
        if now < self._start_at:
            return
        _log.error("mysqld refuses every password of the control account; its next start will set the account")
        self._record = None
        await asyncio.to_thread(record.forget, self._e.paths.accounts_file)
        self._start_at = now + pause(self._starts, first=FIRST_START, last=LAST_START)
        self._starts += 1
        self._locked_out = self._e.process.generation
        self._e.wake_role()

    def _failed(self, error: Exception) -> None:
        text = error.message if isinstance(error, CnmysqlError) else str(error)
        self._failures += 1
        wait = pause(self._failures - 1, first=FIRST_RETRY, last=LAST_RETRY)
        self._retry_at = self._e.clock.boottime() + wait
        self.due = False
        before = self.report
        if before is None or before.problem != text:
            _log.warning("accounts are not what they have to be yet", error=text)
        self._say(settled=False, problem=text, bypassing=before.bypassing if before else ())

    def _say(self, *, settled: bool, problem: str, bypassing: tuple[str, ...]) -> None:
        orders = dict(self._record.orders) if self._record is not None else {}
        self.report = AccountsReport(orders=orders, settled=settled, problem=problem, bypassing=bypassing)
        self._e.changed()

    def _pause(self) -> float:
        if self._retry_at is None:
            return LOOK_EVERY
        return max(0.05, self._retry_at - self._e.clock.boottime())
