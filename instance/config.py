"""A changed live.cnf on a running server: what can change live is set, the rest waits for a restart and is reported.

mysqld is started from my.cnf, which the operator brings up to live.cnf when the report says that all of it was taken.

The order of a change is the server's business only where a key depends on another one; keys are set one by one and a
refused one does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cnmysql import log
from cnmysql.errors import SqlError, Unreachable
from cnmysql.mysql import mycnf, parameters, statements
from cnmysql.mysql.sql import Statement
from cnmysql.mysql.version import Version
from cnmysql.protocol.report import ConfigReport

_log = log.get("config")


@dataclass(frozen=True)
class Step:
    """One key to set live. `statement` None: it needs a restart."""

    key: str
    statement: Statement | None


@dataclass(frozen=True)
class Difference:
    """What separates the running server from the file. `rejected`: keys whose value cannot be sent, and why."""

    steps: tuple[Step, ...] = ()
    pending: tuple[str, ...] = ()
    rejected: Mapping[str, str] = field(default_factory=dict)


def difference(running: Mapping[str, str], wanted: Mapping[str, str], version: Version) -> Difference:
    """Pure: what to send and what has to wait."""
    steps: list[Step] = []
    pending: list[str] = []
    rejected: dict[str, str] = {}
    for change in parameters.changes(running, wanted):
        if not parameters.is_dynamic(change.key, version):
            pending.append(change.key)
            continue
        name = parameters.base(change.key)
        try:
            if change.value is None:
                statement = statements.set_global_default(name)
            else:
                statement = statements.set_global(name, parameters.literal(change.key, change.value))
        except ValueError as error:
            rejected[change.key] = str(error)
            continue
        steps.append(Step(change.key, statement))
    return Difference(tuple(steps), tuple(pending), rejected)


class Server(Protocol):
    """Where statements go. Raises SqlError and Unreachable."""

    async def execute(self, statement: Statement) -> None: ...


class Process(Protocol):
    """The part of the supervisor that knows which file mysqld was started with."""

    @property
    def generation(self) -> int: ...

    @property
    def config_at_start(self) -> bytes | None: ...


class LiveConfig:
    """Follows the mounted file for one running server after the other."""

    def __init__(self, path: Path, process: Process, server: Server) -> None:
        self._path = path
        self._process = process
        self._server = server
        self._generation = 0
        self._running: dict[str, str] = {}
        self.report: ConfigReport | None = None

    async def apply(self, version: Version) -> ConfigReport:
        """Bring the running server to the file as it is now. Raises OSError, ValueError for a file that is not ours,
        Unreachable when mysqld does not answer: call again then."""
        content = self._path.read_bytes()
        wanted = mycnf.settings(content.decode())
        self._start_over()
        found = difference(self._running, wanted, version)
        rejected = dict(found.rejected)
        for step in found.steps:
            assert step.statement is not None
            try:
                await self._server.execute(step.statement)
            except SqlError as error:
                rejected[step.key] = error.message
                continue
            _log.info("set", key=step.key)
            if step.key in wanted:
                self._running[step.key] = wanted[step.key]
            else:
                self._running.pop(step.key, None)
        self.report = ConfigReport(
            file_hash=mycnf.file_hash(content),
            applied=not found.pending and not rejected,
            pending_restart=found.pending,
            rejected=rejected,
        )
        return self.report

    def _start_over(self) -> None:
        """A server that was started again runs what the file held at its start."""
        if self._generation == self._process.generation:
            return
        content = self._process.config_at_start
        if content is None:
            raise Unreachable("mysqld is not running")
        self._running = mycnf.settings(content.decode())
        self._generation = self._process.generation
