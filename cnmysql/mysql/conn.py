"""The door to mysqld: the only importer of aiomysql and PyMySQL.

One `Connection` runs one statement at a time, each under a bound, and raises only our errors:

- `SqlError` (code and message, never the statement): the server answered with an error; the connection is good.
- `Unreachable`: no answer, the connection is closed. Nothing is known about what the statement did; it may still
  be running on the server (`Connection.thread_id` is what KILL QUERY needs).
- `Forbidden`: the login was refused (1045), or the server offers no TLS where TLS was asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiomysql
import pymysql
from pymysql.constants import CLIENT

from cnmysql import names
from cnmysql.errors import Forbidden, SqlError, Unreachable
from cnmysql.log import Secret
from cnmysql.mysql import statements
from cnmysql.mysql.sql import Statement
from cnmysql.pki.contexts import loopback_context

ACCESS_DENIED = 1045
# Server errors that mean "this session is over": shutdown in progress, killed, idle too long.
_SESSION_OVER = frozenset({1053, 1927, 3169, 4031})
_CLIENT_ERRORS = range(2000, 3000)
_NEAR = re.compile(r" near '.*", re.S)
CLOSE_SECONDS = 1.0


@dataclass(frozen=True)
class ConnectParams:
    """Where and as whom to connect. Give either `socket` or `host`.

    With `tls` the server must offer TLS and pass the context's checks, or the login is not attempted. Without it a
    connection to 127.0.0.1 still uses what TLS the server offers, unchecked: it does not leave the Pod, and a server
    with require_secure_transport=ON takes no other (error 3159).
    `unlogged` keeps the session's writes out of the binary log (needs an administrator's privilege).
    """

    user: str
    password: Secret
    socket: str | None = None
    host: str | None = None
    port: int = names.PORT_MYSQL
    tls: ssl.SSLContext | None = None
    unlogged: bool = False
    lock_wait_seconds: int = 5
    max_execution_ms: int = 5000

    def __post_init__(self) -> None:
        if (self.socket is None) == (self.host is None):
            raise ValueError("give either a socket or a host")

    @property
    def address(self) -> str:
        return self.socket if self.socket is not None else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Result:
    """What a statement returned. `rows` is empty for statements without a result set."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    affected: int
    warnings: int

    def dicts(self) -> list[Mapping[str, Any]]:
        """Rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def scalar(self) -> Any:
        """First column of the first row. Raises LookupError when there is none."""
        if not self.rows:
            raise LookupError("the statement returned no row")
        return self.rows[0][0]


class _Wire(aiomysql.Connection):  # type: ignore[misc]  # aiomysql is untyped
    """aiomysql's protocol with three corrections.

    One statement per call (it always asks for several); plain text only where TLS is not required, and then without
    announcing TLS; the socket is closed when the login is cancelled (it only handles `Exception`).
    """

    def __init__(self, *, tls_required: bool, **options: Any) -> None:
        super().__init__(**options)
        self.tls_required = tls_required
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS

    async def _connect(self) -> None:
        try:
            await super()._connect()
        except BaseException:
            self.abort()
            raise

    async def _request_authentication(self) -> None:
        if not self.server_capabilities & CLIENT.SSL:
            if self.tls_required:
                raise Forbidden("the server offers no TLS; its certificate files are missing or unreadable")
            self._ssl_context = None
            self.client_flag &= ~CLIENT.SSL
        try:
            await super()._request_authentication()
        except BaseException:
            self.abort()  # an orderly end of TLS would outlive this call
            raise

    def abort(self) -> None:
        """Drop the socket at once, without waiting for the peer."""
        if self._writer is not None:
            self._writer.transport.abort()
        self.close()


class _Cursor(aiomysql.Cursor):  # type: ignore[misc]  # aiomysql is untyped
    """Without the extra SHOW WARNINGS round trip, whose notes would become Python warnings."""

    async def _show_warnings(self, conn: Any) -> None:
        return None


class Connection:
    """A session with mysqld. Make one with `connect`; leave it with `close` or `async with`."""

    def __init__(self, wire: _Wire, address: str) -> None:
        self._wire = wire
        self._address = address
        self._lock = asyncio.Lock()

    @property
    def thread_id(self) -> int:
        """The server's id of this session (CONNECTION_ID())."""
        return int(self._wire.thread_id())

    @property
    def server_version(self) -> str:
        """`@@version` as the handshake told it."""
        return str(self._wire.server_version)

    @property
    def encrypted(self) -> bool:
        """True when the session runs over TLS."""
        writer = self._wire._writer
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    @property
    def alive(self) -> bool:
        """False once the session ended; make a new one then."""
        return not self._wire.closed

    async def execute(self, statement: Statement, *, timeout: float = 10.0) -> Result:
        """Run one statement. `timeout` in seconds covers waiting for an earlier one too.

        When time is up, or the caller is cancelled, the session is closed and the statement may go on in the server.
        One that holds a secret is kept out of the server's logs (needs an administrator's privilege).
        """
        try:
            async with asyncio.timeout(timeout), self._lock:
                return await (self._run_unseen(statement) if statement.secret else self._run(statement))
        except TimeoutError:
            raise Unreachable(f"no answer from mysqld at {self._address} within {timeout:g} s") from None

    async def _run_unseen(self, statement: Statement) -> Result:
        await self._run(statements.OUT_OF_LOGS)
        try:
            return await self._run(statement)
        finally:
            if self.alive:
                await self._run(statements.INTO_LOGS)

    async def _run(self, statement: Statement) -> Result:
        if not self.alive:
            raise Unreachable(f"the session with mysqld at {self._address} is closed")
        try:
            cursor: Any = await self._wire.cursor(_Cursor)
            await cursor.execute(statement.text)
            rows = tuple(await cursor.fetchall() or ()) if cursor.description else ()
            columns = tuple(column[0] for column in cursor.description or ())
            warnings = self._wire._result.warning_count if self._wire._result is not None else 0
            result = Result(columns, rows, max(cursor.rowcount, 0), warnings or 0)
            await cursor.close()  # reads further result sets of a CALL to their end
        except pymysql.err.Error as error:
            raise self._mapped(error, statement) from None
        except (OSError, EOFError, struct.error, IndexError) as error:
            self._wire.abort()
            raise Unreachable(f"the session with mysqld at {self._address} broke: {type(error).__name__}") from None
        except BaseException:
            self._wire.abort()
            raise
        return result

    def _mapped(self, error: Exception, statement: Statement) -> Exception:
        mapped = _map(error, self._address, statement)
        if isinstance(mapped, Unreachable):
            self._wire.abort()
        return mapped

    async def ping(self, *, timeout: float = 1.0) -> None:
        """Raises Unreachable when the server does not answer in time (it may be stopped or hung)."""
        await self.execute(Statement("DO 0"), timeout=timeout)

    async def close(self) -> None:
        """Say goodbye and close; never raises and never waits longer than a second."""
        writer = self._wire._writer
        if writer is None:
            return
        try:
            with contextlib.suppress(OSError, TimeoutError, pymysql.err.Error):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._wire.ensure_closed()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()
            self._wire.abort()

    def abort(self) -> None:
        """Drop the session without a goodbye; the server rolls back what was open."""
        self._wire.abort()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def connect(params: ConnectParams, *, timeout: float = 5.0) -> Connection:
    """Log in and set the session up, within `timeout` seconds in all.

    Raises Unreachable, Forbidden (login refused, TLS not offered) or SqlError, for example 1040 (too many
    connections), 1227 (admin port without the privilege), 3032 (server is offline).
    """
    tls = params.tls or (loopback_context() if params.host == names.ADMIN_ADDRESS else None)
    wire = _Wire(
        tls_required=params.tls is not None,
        host=params.host or "localhost",
        port=params.port,
        unix_socket=params.socket,
        user=params.user,
        # aiomysql sends it as Latin-1; the server compares with what was set, which is UTF-8.
        password=params.password.reveal().encode().decode("latin-1"),
        charset="utf8mb4",
        ssl=tls,
        autocommit=None,
        program_name=names.PRODUCT,
    )
    connection = Connection(wire, params.address)
    setup = statements.session_setup(
        unlogged=params.unlogged,
        lock_wait_seconds=params.lock_wait_seconds,
        max_execution_ms=params.max_execution_ms,
    )
    try:
        async with asyncio.timeout(timeout):
            await wire._connect()
            await connection._run(setup)
    except TimeoutError:
        wire.abort()
        raise Unreachable(f"no answer from mysqld at {params.address} within {timeout:g} s") from None
    except pymysql.err.Error as error:
        raise _map(error, params.address, None) from None
    except (struct.error, IndexError, ValueError) as error:
        wire.abort()
        raise Unreachable(f"{params.address} does not speak MySQL: {type(error).__name__}") from None
    except BaseException:
        wire.abort()
        raise
    return connection


def _map(error: Exception, address: str, statement: Statement | None) -> Exception:
    """Our error for one of PyMySQL's."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    if code == 0 or code in _CLIENT_ERRORS or code in _SESSION_OVER:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            text = f"TLS: {cause.verify_message}"
        elif isinstance(cause, OSError) and cause.strerror:
            text = cause.strerror
        return Unreachable(f"mysqld at {address}: {text}")
    if code == ACCESS_DENIED and statement is None:
        return Forbidden(f"mysqld at {address} refused the login: {text}")
    # Syntax errors quote the statement, passwords included.
    text = _NEAR.sub("", text)
    return SqlError(code, statement.redact(text) if statement is not None else text)
