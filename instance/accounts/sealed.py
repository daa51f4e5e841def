"""Writing accounts on a server that is closed or follows: super_read_only refuses that to everybody, so it is lifted.

Nobody but us can write meanwhile, and the server is never left without it:

- read_only stays on. It stops every account that holds neither SUPER nor CONNECTION_ADMIN; while one that can be
  reached from the network does, nothing is lifted.
- The applier is stopped: what it applies could neither grant such a right nor hold up the return of super_read_only.
- The event scheduler is off and its workers are ended: an event runs with its definer's rights, and lifting
  super_read_only wakes the scheduler (tried: an event of root's wrote on a server that was read_only).
- The watchdog is armed: should this process freeze or die, mysqld is killed and boots closed.
- The role loop waits for us, and whoever reads the server's flags waits or reads again.
- When super_read_only does not come back, readers are ended, then mysqld is killed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, Refused, SqlError
from cnmysql.mysql import read, read_accounts, read_threads, statements
from cnmysql.mysql.conn import Connection
from cnmysql.mysql.sql import Statement
from instance.server import LocalServer

_log = log.get("accounts")

APPLIER_SECONDS: Final = 3.0
"""How long the applier may take to end its transaction; one in a long DDL is left alone, and tried again later."""
WINDOW_SECONDS: Final = 10.0
"""super_read_only is back by then, or the watchdog kills mysqld."""
SEAL_SECONDS: Final = 3.0
_PAUSE: Final = 0.02
_WORKERS: Final = 50
_NO_SUCH_THREAD: Final = 1094

Work = Callable[[Connection], Awaitable[None]]


class Guard(Protocol):
    """The part of the watchdog that is armed."""

    def permit_until(self, boottime: float) -> None: ...

    def forbid(self) -> None: ...


async def write(server: LocalServer, guard: Guard, clock: Clock, work: Work) -> None:
    """Do `work` in an unlogged session while super_read_only is off; on again when this returns or raises.

    Only for a server that is closed or a replica, by whoever owns its flags. Raises Refused when an account of the
    network could write meanwhile, Unreachable or SqlError, StillAlive.
    """
    with server.window():
        session = await server.session("accounts")
        if not (await read.server_state(session)).super_read_only:
            raise Refused("the server is not super_read_only: its accounts are written without lifting anything")
        applying = await _applying(session)
        scheduling = await _scheduling(session)
        try:
            if applying:
                await _stop_applier(session)
            if scheduling:
                await session.execute(_scheduler(on=False))
            await _end_event_workers(session, clock)
            await _refuse_writers(session)
            await _unsealed(server, guard, clock, session, work)
        finally:
            await _restore(server, applying=applying, scheduling=scheduling)


async def _unsealed(server: LocalServer, guard: Guard, clock: Clock, session: Connection, work: Work) -> None:
    guard.permit_until(clock.boottime() + WINDOW_SECONDS)
    try:
        try:
            await session.execute(statements.super_read_only(False))
            await work(session)
        finally:
            await _seal(server)
    finally:
        guard.forbid()


async def _seal(server: LocalServer) -> None:
    """super_read_only on, or mysqld dead."""
    for last in (False, True):
        try:
            session = await server.session("accounts")
            await session.execute(statements.super_read_only(True), timeout=SEAL_SECONDS)
            if (await session.execute(Statement("SELECT @@GLOBAL.super_read_only"))).scalar() == 1:
                return
        except CnmysqlError as error:
            _log.warning("super_read_only does not come back yet", error=str(error))
        except BaseException:
            await server.kill()
            raise
        if not last:
            with suppress(CnmysqlError):
                await server.expel()
    _log.error("super_read_only did not come back after accounts were written: killing mysqld")
    await server.kill()


async def _restore(server: LocalServer, *, applying: bool, scheduling: bool) -> None:
    """As it was. What fails here is put right by the role loop, or by mysqld's next start."""
    with suppress(CnmysqlError):
        session = await server.session("accounts")
        if scheduling:
            await session.execute(_scheduler(on=True))
        if applying:
            await session.execute(statements.start_applier(), timeout=APPLIER_SECONDS)


async def _applying(session: Connection) -> bool:
    state = await read.replication_state(session)
    return isinstance(state, read.ReplicationState) and state.sql_running


async def _stop_applier(session: Connection) -> None:
    """A transaction that takes long would hold up the stop, and with it whoever asks for the state of replication."""
    if (await session.execute(_LONG)).scalar():
        raise Refused("the applier is in a long transaction: accounts are written after it")
    await session.execute(statements.stop_applier(), timeout=APPLIER_SECONDS)


_LONG: Final = Statement(
    "SELECT COUNT(*) FROM performance_schema.replication_applier_status_by_worker WHERE CHANNEL_NAME='' "
    "AND APPLYING_TRANSACTION<>'' AND APPLYING_TRANSACTION_START_APPLY_TIMESTAMP < NOW(6) - INTERVAL 1 SECOND"
)


async def _scheduling(session: Connection) -> bool:
    return str((await session.execute(Statement("SELECT @@GLOBAL.event_scheduler"))).scalar()).upper() == "ON"


def _scheduler(*, on: bool) -> Statement:
    return Statement(f"SET GLOBAL event_scheduler={'ON' if on else 'OFF'}")


async def _end_event_workers(session: Connection, clock: Clock) -> None:
    for _ in range(_WORKERS):
        workers = [t for t in await read_threads.threads(session) if t.event_worker]
        if not workers:
            return
        for worker in workers:
            try:
                await session.execute(statements.kill(worker.id))
            except SqlError as error:
                if error.code != _NO_SUCH_THREAD:
                    raise
        await clock.sleep(_PAUSE)
    raise Refused("an event that runs does not end; it could write while accounts are written")


async def _refuse_writers(session: Connection) -> None:
    bypassing = await read_accounts.bypassing_accounts(session)
    if bypassing:
        raise Refused(
            f"accounts cannot be written on a read-only server while {', '.join(bypassing)} could write too: "
            "take SUPER and CONNECTION_ADMIN from them"
        )
