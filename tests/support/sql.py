"""MySQL clients for tests: plain connections, and a writer that keeps what was acknowledged to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymysql

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Login:
    user: str
    password: str
    database: str | None = None


@contextmanager
def connect(host: str, login: Login, port: int = 3306, timeout: float = 5) -> Iterator[pymysql.Connection[Any]]:
    """A connection with autocommit that is closed in any case. Raises pymysql.err.MySQLError."""
    connection = pymysql.connect(
        host=host, port=port, user=login.user, password=login.password.encode(), database=login.database,
        connect_timeout=int(timeout), read_timeout=timeout, write_timeout=timeout, autocommit=True,
    )  # fmt: skip
    try:
        yield connection
    finally:
        connection.close()


def query(host: str, login: Login, text: str, args: Sequence[Any] = (), port: int = 3306) -> list[Row]:
    """Rows of one statement on a connection of its own."""
    with connect(host, login, port) as connection, connection.cursor() as cursor:
        cursor.execute(text, args or None)
        return list(cursor.fetchall())


@dataclass
class Writer:
    """Inserts ascending numbers into `ledger(id)` until stopped, one commit each, reconnecting to `endpoint()`.

    `acknowledged` holds exactly the numbers whose COMMIT the client saw succeed; `unknown` those whose
    connection died before an answer (they may or may not be stored).
    """

    endpoint: Callable[[], str | None]
    login: Login
    acknowledged: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._progress = threading.Condition()
        # Writers of one Cluster follow each other: none may meet the numbers of an earlier one.
        self._next = time.time_ns() // 1000
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def wait_for_more(self, count: int = 10, timeout: float = 60) -> None:
        """Return once `count` more commits were acknowledged; raises AssertionError after `timeout` seconds."""
        with self._progress:
            goal = len(self.acknowledged) + count
            if not self._progress.wait_for(lambda: len(self.acknowledged) >= goal, timeout):
                raise AssertionError(f"no {count} commits within {timeout} s; last errors: {self.errors[-3:]}")

    def _run(self) -> None:
        while not self._stop.is_set():
            host = self.endpoint()
            if host is None:
                self._stop.wait(0.1)
                continue
            try:
                with connect(host, self.login, timeout=3) as connection, connection.cursor() as cursor:
                    cursor.execute("CREATE TABLE IF NOT EXISTS ledger (id BIGINT PRIMARY KEY, note VARCHAR(64))")
                    while not self._stop.is_set():
                        self._insert(cursor)
            except (pymysql.err.MySQLError, OSError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                self._stop.wait(0.05)

    def _insert(self, cursor: Any) -> None:
        number = self._next
        self._next += 1
        try:
            cursor.execute("INSERT INTO ledger VALUES (%s, 'written')", (number,))
        except BaseException:
            self.unknown.add(number)
            raise
        with self._progress:
            self.acknowledged.add(number)
            self._progress.notify_all()
        self._stop.wait(0.005)
