"""What a server says about itself, read in as few round trips as possible and returned as frozen values.

Every read takes its bound in seconds and raises what `Connection.execute` raises. Nothing is guessed: a value the
server does not give is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnmysql import names
from cnmysql.mysql import statements
from cnmysql.mysql.conn import Connection
from cnmysql.mysql.gtid import GtidSet
from cnmysql.mysql.sql import Statement, quote_set
from cnmysql.mysql.version import Version

READ_SECONDS = 3.0


@dataclass(frozen=True)
class ServerState:
    """Identity and role flags, of one moment. `tls_enabled` False: the server runs without its certificate."""

    version: Version
    version_text: str
    server_uuid: str
    server_id: int
    read_only: bool
    super_read_only: bool
    offline_mode: bool
    gtid_executed: GtidSet
    gtid_purged: GtidSet
    uptime_seconds: int
    tls_enabled: bool
    tls_not_after: str | None
    """As OpenSSL prints it (`Aug 24 05:56:43 2027 GMT`), None without a certificate."""


_SERVER_STATE = Statement(
    "SELECT @@GLOBAL.version, @@GLOBAL.server_uuid, @@GLOBAL.server_id, @@GLOBAL.read_only, "
    "@@GLOBAL.super_read_only, @@GLOBAL.offline_mode, @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged, "
    "(SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME='Uptime'), "
    "(SELECT VALUE FROM performance_schema.tls_channel_status WHERE CHANNEL='mysql_main' AND PROPERTY='Enabled'), "
    "(SELECT VALUE FROM performance_schema.tls_channel_status WHERE CHANNEL='mysql_main' "
    "AND PROPERTY='Ssl_server_not_after')"
)


async def server_state(conn: Connection, *, timeout: float = READ_SECONDS) -> ServerState:
    """One round trip, about a millisecond."""
    row = (await conn.execute(_SERVER_STATE, timeout=timeout)).rows[0]
    return ServerState(
        version=Version.parse(row[0]),
        version_text=row[0],
        server_uuid=str(row[1]).lower(),
        server_id=int(row[2]),
        read_only=bool(row[3]),
        super_read_only=bool(row[4]),
        offline_mode=bool(row[5]),
        gtid_executed=GtidSet.parse(row[6]),
        gtid_purged=GtidSet.parse(row[7]),
        uptime_seconds=int(row[8] or 0),
        tls_enabled=row[9] == "Yes",
        tls_not_after=row[10] or None,
    )


@dataclass(frozen=True)
class ReplicationState:
    """The default channel. Errors are the server's own texts; 0 and '' mean none."""

    source_host: str
    source_port: int
    source_uuid: str | None
    io_running: bool
    io_connecting: bool
    """The receiver runs and tries to connect: lag and heartbeats say nothing then."""
    sql_running: bool
    io_errno: int
    io_error: str
    sql_errno: int
    sql_error: str
    retrieved: GtidSet
    auto_position: bool
    tls: bool
    heartbeat_age_seconds: float | None
    """Since the source was last heard of by this channel; None before the first heartbeat."""
    lag_seconds: int | None
    """None when it is not known: receiver not connected or applier stopped."""
    applier_state: str
    """What the applier does now, for people."""

    @property
    def errno(self) -> int:
        return self.sql_errno or self.io_errno

    @property
    def error(self) -> str:
        return self.sql_error or self.io_error


@dataclass(frozen=True)
class NotConfigured:
    """The default channel has no source."""


_SHOW_REPLICA_STATUS = Statement("SHOW REPLICA STATUS")
# Zero timestamps would come as text, others without a zone: let the server subtract.
_HEARTBEAT = Statement(
    "SELECT IF(LAST_HEARTBEAT_TIMESTAMP > 0, "
    "TIMESTAMPDIFF(MICROSECOND, LAST_HEARTBEAT_TIMESTAMP, NOW(6)) / 1000000, NULL), RECEIVED_TRANSACTION_SET "
    "FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME=''"
)
_WORKER_ERROR = Statement(
    "SELECT LAST_ERROR_NUMBER, LAST_ERROR_MESSAGE FROM performance_schema.replication_applier_status_by_worker "
    "WHERE CHANNEL_NAME='' AND LAST_ERROR_NUMBER<>0 ORDER BY LAST_ERROR_TIMESTAMP LIMIT 1"
)


async def replication_state(conn: Connection, *, timeout: float = READ_SECONDS) -> ReplicationState | NotConfigured:
    """Two round trips, one more while a worker reports an error. SHOW waits while a STOP REPLICA is in progress."""
    rows = [
        row for row in (await conn.execute(_SHOW_REPLICA_STATUS, timeout=timeout)).dicts() if row["Channel_Name"] == ""
    ]
    if not rows or not rows[0]["Source_Host"]:
        return NotConfigured()
    row = rows[0]
    heartbeat = (await conn.execute(_HEARTBEAT, timeout=timeout)).rows
    age, received = heartbeat[0] if heartbeat else (None, row["Retrieved_Gtid_Set"])
    sql_errno, sql_error = int(row["Last_SQL_Errno"]), str(row["Last_SQL_Error"])
    if sql_errno:
        # The coordinator's text only points at the worker's.
        worker = (await conn.execute(_WORKER_ERROR, timeout=timeout)).rows
        if worker:
            sql_errno, sql_error = int(worker[0][0]), str(worker[0][1])
    return _replication(row, age, received, sql_errno, sql_error)


def _replication(row: Mapping[str, Any], age: Any, received: str, sql_errno: int, sql_error: str) -> ReplicationState:
    running, applying = row["Replica_IO_Running"] == "Yes", row["Replica_SQL_Running"] == "Yes"
    behind = row["Seconds_Behind_Source"]
    return ReplicationState(
        source_host=row["Source_Host"],
        source_port=int(row["Source_Port"]),
        source_uuid=str(row["Source_UUID"]).lower() or None,
        io_running=running,
        io_connecting=row["Replica_IO_Running"] == "Connecting",
        sql_running=applying,
        io_errno=int(row["Last_IO_Errno"]),
        io_error=str(row["Last_IO_Error"]),
        sql_errno=sql_errno,
        sql_error=sql_error,
        retrieved=GtidSet.parse(row["Retrieved_Gtid_Set"]) | GtidSet.parse(received),
        auto_position=str(row["Auto_Position"]) == "1",
        tls=row["Source_SSL_Allowed"] == "Yes",
        heartbeat_age_seconds=None if age is None else float(age),
        # 0 while the receiver is connecting means nothing.
        lag_seconds=int(behind) if behind is not None and running and applying else None,
        applier_state=str(row["Replica_SQL_Running_State"]),
    )


@dataclass(frozen=True)
class Replica:
    """A replica as it registered here; `host` is its report_host."""

    server_id: int
    host: str
    port: int
    uuid: str


async def replicas(conn: Connection, *, timeout: float = READ_SECONDS) -> tuple[Replica, ...]:
    """SHOW REPLICAS: who streams from this server now."""
    rows = (await conn.execute(Statement("SHOW REPLICAS"), timeout=timeout)).dicts()
    return tuple(
        Replica(int(row["Server_Id"]), str(row["Host"]), int(row["Port"]), str(row["Replica_UUID"]).lower())
        for row in rows
    )


@dataclass(frozen=True)
class Transaction:
    """An open InnoDB transaction."""

    thread: int
    seconds: int
    state: str
    rows_modified: int


async def active_transactions(
    conn: Connection, *, older_than: int = 0, timeout: float = READ_SECONDS
) -> tuple[Transaction, ...]:
    """Open transactions of at least this age in seconds, oldest first; this session's excepted."""
    statement = Statement(
        "SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()), trx_state, trx_rows_modified "  # noqa: S608 - numbers and constants only
        "FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id NOT IN (0, CONNECTION_ID()) "
        f"AND trx_started <= NOW() - INTERVAL {int(older_than)} SECOND ORDER BY trx_started"
    )
    rows = (await conn.execute(statement, timeout=timeout)).rows
    return tuple(Transaction(int(row[0]), int(row[1]), str(row[2]), int(row[3])) for row in rows)


@dataclass(frozen=True)
class CloneProgress:
    """Progress of this recipient's clone. `bytes_total` is exact from the copying of files on, 0 before."""

    state: str
    """Not Started, In Progress, Completed, Failed; stale after a crash, so only a running statement gives it sense."""
    stage: str
    bytes_done: int
    bytes_total: int
    thread: int
    errno: int
    error: str


_CLONE = Statement(
    "SELECT s.STATE, COALESCE(s.PID, 0), COALESCE(s.ERROR_NO, 0), COALESCE(s.ERROR_MESSAGE, ''), "
    "COALESCE((SELECT p.STAGE FROM performance_schema.clone_progress p WHERE p.STATE='In Progress' LIMIT 1), ''), "
    "(SELECT COALESCE(SUM(p.DATA), 0) FROM performance_schema.clone_progress p), "
    "(SELECT COALESCE(SUM(p.ESTIMATE), 0) FROM performance_schema.clone_progress p) "
    "FROM performance_schema.clone_status s"
)


async def clone_progress(conn: Connection, *, timeout: float = READ_SECONDS) -> CloneProgress | None:
    """None when this server never cloned. A donor that hangs shows as `bytes_done` that does not move."""
    rows = (await conn.execute(_CLONE, timeout=timeout)).rows
    if not rows:
        return None
    state, pid, errno, error, stage, done, total = rows[0]
    return CloneProgress(str(state), str(stage), int(done), int(total), int(pid), int(errno), str(error))


async def tables_not_cloned(conn: Connection, *, limit: int = 20, timeout: float = 30.0) -> tuple[str, ...]:
    """User tables CLONE does not copy (it copies InnoDB only), as `schema.table`."""
    statement = Statement(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE='BASE TABLE' "  # noqa: S608 - numbers and constants only
        f"AND ENGINE IS NOT NULL AND ENGINE<>'InnoDB' AND TABLE_SCHEMA NOT IN {_SYSTEM_SCHEMAS} "
        f"ORDER BY 1, 2 LIMIT {int(limit)}"
    )
    rows = (await conn.execute(statement, timeout=timeout)).rows
    return tuple(f"{row[0]}.{row[1]}" for row in rows)


_SYSTEM_SCHEMAS = quote_set(tuple(sorted(names.RESERVED_SCHEMAS)))


async def wait_for_gtids(conn: Connection, gtids: GtidSet, seconds: int) -> bool:
    """True once all are applied here, False when the time was over."""
    result = await conn.execute(statements.wait_for_gtids(gtids, seconds), timeout=seconds + 2.0)
    return bool(result.scalar() == 0)
