"""The local server's edge: what is asked of mysqld and told to it. Decides nothing; every statement is bounded.

Each purpose has a session of its own on the admin port, which is never short of connections and is loopback only,
so a statement that hangs for one purpose does not hold up another. A session belongs to one start of mysqld.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal, Protocol

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, Forbidden, Refused, SqlError, Unreachable
from cnmysql.mysql import read, read_accounts, read_threads, statements
from cnmysql.mysql.conn import Connection, ConnectParams, connect
from cnmysql.mysql.gtid import GtidSet
from cnmysql.mysql.sql import Statement
from cnmysql.mysql.statements import Source
from cnmysql.mysql.version import Version
from instance.role import timing
from instance.role.facts import server_facts
from instance.role.view import ServerFacts

_log = log.get("server")

Purpose = Literal["role", "probe", "close", "config", "accounts"]
READ_SECONDS = 1.0
STATEMENT_SECONDS = 2.0
REPLICATION_SECONDS = 5.0
"""STOP REPLICA waits for the applier to end its transaction."""
_EXPEL_PAUSE = 0.01
_NO_SUCH_THREAD = 1094
_STILL_STOPPING = 1875


class Process(Protocol):
    """The part of the supervisor this edge uses."""

    @property
    def running(self) -> bool: ...

    @property
    def generation(self) -> int: ...

    def mark_running(self, generation: int) -> None: ...

    async def kill(self) -> None: ...


class Logins(Protocol):
    """How to log in: several ways while a password is being replaced."""

    def candidates(self) -> tuple[ConnectParams, ...]:
        """The ways to try, in order, asked for each new session. Raises Unreachable when there is none."""

    def accepted(self, params: ConnectParams) -> None:
        """This one succeeded."""

    def refused(self) -> None:
        """The server answered, and refused all of them."""


class NotClosable(CnmysqlError):
    """Closing by statements would not close the server; it has to be killed."""


class LocalServer:
    def __init__(self, process: Process, clock: Clock, logins: Logins, source: Callable[[str], Source]) -> None:
        self._process = process
        self._clock = clock
        self._logins = logins
        self._source = source
        self._sessions: dict[Purpose, tuple[int, Connection]] = {}
        self._connecting: dict[Purpose, asyncio.Lock] = {}
        self._version: Version | None = None
        self._windows = 0
        self._still = asyncio.Event()
        self._still.set()

    # Reading.

    async def read(self, purpose: Purpose = "role", *, timeout: float = READ_SECONDS) -> ServerFacts:
        """State, replication and threads within `timeout` seconds. Raises Unreachable, Forbidden, SqlError."""
        async with _bound(timeout):
            await self._still.wait()
            generation, read_at, windows = self._process.generation, self._clock.boottime(), self._windows
            session = await self.session(purpose)
            state = await read.server_state(session)
            replication = await read.replication_state(session)
            threads = await read_threads.threads(session)
        if windows != self._windows:
            raise Unreachable("the server's flags were changed for a moment while they were read")
        self._version = state.version
        self._process.mark_running(generation)
        return server_facts(generation, read_at, state, replication, threads)

    async def ping(self, *, timeout: float = 1.0) -> None:
        """Raises Unreachable, Forbidden or SqlError when the server does not answer in time."""
        async with _bound(timeout):
            await (await self.session("probe")).ping(timeout=timeout)

    async def transactions_since(self, seconds: float) -> int:
        """Open transactions that began at least so many seconds ago."""
        async with _bound(READ_SECONDS):
            session = await self.session("probe")
            return len(await read.active_transactions(session, older_than=int(seconds)))

    # Opening and closing.

    async def open(self, still_permitted: Callable[[], bool]) -> None:
        """Writable first, reachable last, and only if the permission still stands then."""
        async with _bound(STATEMENT_SECONDS):
            session = await self.session("role")
            await session.execute(statements.super_read_only(False))
            await session.execute(statements.read_only(False))
            if not still_permitted():
                raise Refused("the primary Lease grew late while opening")
            await session.execute(statements.offline_mode(False))

    async def close(self) -> None:
        """The closing order within its bound; a server that does not close in time is killed.

        Raises StillAlive when even that fails.
        """
        try:
            async with _bound(timing.CLOSE_BOUND):
                executed = await self._close(await self.session("close"))
            _log.info("closed", gtid_executed=str(executed))
        except CnmysqlError as error:
            _log.error("closing by statements failed: killing mysqld", error=str(error))
            await self.kill()

    async def _close(self, session: Connection) -> GtidSet:
        bypassing = await read_accounts.bypassing_accounts(session)
        if bypassing:
            raise NotClosable(f"offline mode does not stop {', '.join(bypassing)}")
        await session.execute(statements.offline_mode(True))
        await self._expel(session)
        await session.execute(statements.super_read_only(True))
        await self._expel(session)
        return (await read.server_state(session)).gtid_executed

    async def _expel(self, session: Connection) -> None:
        """KILL what offline mode left, until only killed threads are listed."""
        while alive := [thread for thread in await read_threads.client_threads(session) if not thread.killed]:
            for thread in alive:
                await _tolerant(session, statements.kill(thread.id), _NO_SUCH_THREAD)
            await self._clock.sleep(_EXPEL_PAUSE)

    async def kill(self) -> None:
        """SIGKILL; the supervisor starts it again, closed. Raises StillAlive."""
        await self._process.kill()

    async def serve_readers(self) -> None:
        """Let clients in; super_read_only stays as it is."""
        await self._run(statements.offline_mode(False))

    # Replication.

    async def follow(self, host: str, *, first: bool) -> None:
        """Set the source and start both threads. `first` drops the channel before, and with it the relay log."""
        version = await self._known_version()
        source = self._source(host)
        async with _bound(REPLICATION_SECONDS):
            session = await self.session("role")
            if first:
                await self._stop(session, statements.stop_replica())
                # A channel copied by a clone names relay logs that do not exist here: only a reset forgets them.
                await session.execute(statements.reset_replica_all())
                await session.execute(statements.configure_source(version, source))
            else:
                await self._stop(session, statements.stop_receiver())
                await session.execute(statements.repoint_source(version, source))
            await session.execute(statements.start_replica())

    async def start_replication(self, *, receiver: bool, applier: bool) -> None:
        if receiver and applier:
            await self._run(statements.start_replica())
        elif receiver:
            await self._run(statements.start_receiver())
        elif applier:
            await self._run(statements.start_applier())

    async def stop_replication(self, *, receiver: bool, applier: bool) -> None:
        async with _bound(REPLICATION_SECONDS):
            session = await self.session("role")
            if applier:
                await self._stop(session, statements.stop_replica())
            elif receiver:
                await self._stop(session, statements.stop_receiver())

    async def forget_replication(self) -> None:
        """Stop both threads and drop the channel with its relay logs."""
        async with _bound(REPLICATION_SECONDS):
            session = await self.session("role")
            await self._stop(session, statements.stop_replica())
            await session.execute(statements.reset_replica_all())

    async def restart_receiver(self) -> None:
        async with _bound(REPLICATION_SECONDS):
            session = await self.session("role")
            await self._stop(session, statements.stop_receiver())
            await session.execute(statements.start_receiver())

    async def _stop(self, session: Connection, statement: Statement) -> None:
        """Send a STOP until it has stopped; 1875 means that it is still stopping."""
        while not await _tolerant(session, statement, _STILL_STOPPING):
            await self._clock.sleep(_EXPEL_PAUSE)

    # Accounts.

    @contextmanager
    def window(self) -> Iterator[None]:
        """While it is entered the server's flags are not its role: nobody reads them (`instance.accounts.sealed`)."""
        self._windows += 1
        self._still.clear()
        try:
            yield
        finally:
            self._still.set()

    async def expel(self) -> None:
        """End every client session, as closing does."""
        async with _bound(timing.CLOSE_BOUND):
            await self._expel(await self.session("close"))

    # Files and variables.

    async def reload_tls(self) -> None:
        """Use the certificate files as they are now. SqlError 3888: they do not fit, the old ones stay in use."""
        await self._run(statements.reload_tls(), "config")

    async def execute(self, statement: Statement) -> None:
        """One statement of the `config` session, for example SET GLOBAL."""
        await self._run(statement, "config")

    async def disconnect(self) -> None:
        """Close every session."""
        while self._sessions:
            _, (_, session) = self._sessions.popitem()
            await session.close()

    async def _known_version(self) -> Version:
        if self._version is None:
            await self.read()
        assert self._version is not None
        return self._version

    async def _run(self, statement: Statement, purpose: Purpose = "role") -> None:
        async with _bound(STATEMENT_SECONDS):
            await (await self.session(purpose)).execute(statement)

    async def session(self, purpose: Purpose) -> Connection:
        """The session of this purpose with the mysqld that runs now. Raises Unreachable, Forbidden, SqlError."""
        if not self._process.running:
            raise Unreachable("mysqld is not running")
        async with self._connecting.setdefault(purpose, asyncio.Lock()):
            generation, session = self._sessions.get(purpose, (0, None))
            if session is not None:
                if session.alive and generation == self._process.generation:
                    return session
                session.abort()
                del self._sessions[purpose]
            generation = self._process.generation
            session = await self._log_in()
            self._sessions[purpose] = (generation, session)
            return session

    async def _log_in(self) -> Connection:
        refusal: Forbidden | None = None
        for params in self._logins.candidates():
            try:
                session = await connect(params)
            except Forbidden as error:
                refusal = error
                continue
            self._logins.accepted(params)
            return session
        assert refusal is not None
        self._logins.refused()
        raise refusal


async def _tolerant(session: Connection, statement: Statement, code: int) -> bool:
    """Run it; False when the server answered with this error, which the caller expects."""
    try:
        await session.execute(statement)
    except SqlError as error:
        if error.code != code:
            raise
        return False
    return True


@asynccontextmanager
async def _bound(seconds: float) -> AsyncIterator[None]:
    """A deadline over several statements that ends as Unreachable, like the deadline of one."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unreachable(f"mysqld did not answer within {seconds:g} s") from None
