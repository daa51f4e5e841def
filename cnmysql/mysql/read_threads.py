"""The threads of a server: who is connected to it, and who must be gone for it to be closed.

Every read takes its bound in seconds and raises what `Connection.execute` raises.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnmysql import names
from cnmysql.mysql.conn import Connection
from cnmysql.mysql.read import READ_SECONDS
from cnmysql.mysql.sql import Statement

DUMP_COMMANDS = frozenset({"Binlog Dump", "Binlog Dump GTID"})
_SERVER_THREADS = frozenset({"system user", "event_scheduler"})
# Never killed: they cannot be reached from the network, or hold no right to write and must fetch the tail.
_OWN = frozenset({names.ACCOUNT_CONTROL, names.ACCOUNT_REPLICATION, names.ACCOUNT_BACKUP, names.ACCOUNT_METRICS})


@dataclass(frozen=True)
class Thread:
    """One row of the process list; statement texts are never read. `killed`: it only has to roll back and end."""

    id: int
    user: str
    host: str
    command: str
    seconds: int
    killed: bool

    @property
    def dumping(self) -> bool:
        """Sends the binary log to a replica."""
        return self.command in DUMP_COMMANDS

    @property
    def event_worker(self) -> bool:
        """Runs an event, with the rights of the user it shows: the command of a client that has logged in differs."""
        return self.command == "Connect" and self.user not in (*_SERVER_THREADS, "unauthenticated user")


# The statement, not the table: its list comes from the thread manager itself, while the table in performance_schema
# is empty or incomplete when that schema is off or too small, and a thread it misses could still commit.
_PROCESSLIST = Statement("SHOW PROCESSLIST")


async def threads(conn: Connection, *, timeout: float = READ_SECONDS) -> tuple[Thread, ...]:
    """Every thread the server lists, this session's excepted."""
    rows = (await conn.execute(_PROCESSLIST, timeout=timeout)).rows
    return tuple(
        Thread(
            id=int(row[0]),
            user=str(row[1]),
            host=str(row[2] or ""),
            command=str(row[4]),
            seconds=int(row[5] or 0),
            killed=row[4] == "Killed",
        )
        for row in rows
        if int(row[0]) != conn.thread_id
    )


def clients(found: tuple[Thread, ...]) -> tuple[Thread, ...]:
    """The threads that act for somebody else: what closing kills, and what must be gone or killed to be closed.

    Includes logins in progress and running events. Ours stay: control, backup and metrics come from the Pod itself,
    and cnmysql_repl, which cannot write, hands out the tail. Killed threads are in the list, marked.
    """
    return tuple(
        thread
        for thread in found
        if thread.user not in _OWN and thread.user not in _SERVER_THREADS and thread.command not in ("Daemon", "Clone")
    )


async def client_threads(conn: Connection, *, timeout: float = READ_SECONDS) -> tuple[Thread, ...]:
    """`clients` of `threads`: one round trip."""
    return clients(await threads(conn, timeout=timeout))


async def dump_threads(conn: Connection, *, timeout: float = READ_SECONDS) -> tuple[Thread, ...]:
    """The threads that send the binary log; `host` is where the replica connects from."""
    return tuple(thread for thread in await threads(conn, timeout=timeout) if thread.dumping)
