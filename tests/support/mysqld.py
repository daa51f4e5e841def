"""Real MySQL servers for tests, several at once, without containers.

The servers run from the root file system that the test bed's MySQL image is made of (`mysql_distribution` says
how), as uid 999. /tmp keeps its name inside, so every path below /tmp means the same to the test and to the
server; nothing else of the machine is visible to it. That needs root on Linux: `unavailable` says why not.

    server = factory.create("source", options=["--gtid-mode=ON"], tls=Tls(ca, cert, key))
    server.query("SELECT @@version")    # [("9.7.4-2",)]
    server.stop()                       # or kill(), start() again, restart()

For code that starts mysqld itself (the supervisor), `factory.distribution.program("mysqld")` is a path to run,
and `factory.directory("name")` a directory below /tmp that belongs to uid 999. pytest's own tmp_path is of no
use for this: its parents are closed to other users.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from tests.support.mysql_distribution import (
    MYSQL_UID,
    Distribution,
    MysqldError,
    copy_tree,
    make_distribution,
    template_datadir,
    unavailable,
)
from tests.support.ports import free_port

__all__ = ["MYSQL_UID", "Distribution", "Mysqld", "MysqldError", "MysqldFactory", "Tls", "unavailable"]

START_SECONDS = 60.0
STOP_SECONDS = 60.0
_PREFIX = "cnmysql-mysqld."
_ACCESS_DENIED = 1045

# Small enough for a dozen servers on one machine; a test's own options come later and win.
DEFAULT_OPTIONS = (
    "--bind-address=127.0.0.1",
    "--innodb-buffer-pool-size=32M",
    "--innodb-redo-log-capacity=16M",
    "--mysqlx=OFF",
    "--skip-name-resolve",
    "--log-error-verbosity=2",
)


@dataclass(frozen=True)
class Tls:
    """PEM files below /tmp that uid 999 can read: the CA that signs clients, our certificate and key."""

    ca: Path
    cert: Path
    key: Path

    def options(self) -> tuple[str, ...]:
        """The server options that use these files."""
        return (f"--ssl-ca={self.ca}", f"--ssl-cert={self.cert}", f"--ssl-key={self.key}")


class Mysqld:
    """One server: its directory, socket and port stay the same over restarts."""

    def __init__(self, home: Path, distribution: Distribution, options: Sequence[str], config: Path | None) -> None:
        self.home = home
        self.datadir = home / "data"
        self.socket = home / "mysqld.sock"
        self.log = home / "mysqld.log"
        self.port = free_port()
        self.root_password = ""
        self._distribution = distribution
        self._options = list(options)
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the running mysqld. Raises MysqldError when it was never started."""
        if self._process is None:
            raise MysqldError(f"{self.home.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._process is not None and self._process.poll() is None

    def command(self) -> list[str]:
        """The command line that starts this server."""
        defaults = "--no-defaults" if self._config is None else f"--defaults-file={self._config}"
        return [
            str(self._distribution.program("mysqld")),
            defaults,
            f"--datadir={self.datadir}",
            f"--socket={self.socket}",
            f"--port={self.port}",
            f"--pid-file={self.home / 'mysqld.pid'}",
            *self._options,
        ]

    def start(self, *extra: str, timeout: float = START_SECONDS) -> None:
        """Start mysqld and return when it answers. Raises MysqldError when it exits or stays silent."""
        if self.running:
            raise MysqldError(f"{self.home.name} runs already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.command(), *extra], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (self.home / "pid").write_text(str(self._process.pid))
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None:
                raise MysqldError(f"mysqld ended with {self._process.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise MysqldError(f"mysqld does not answer after {timeout} s\n{self.tail()}")
            time.sleep(0.03)

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """SIGTERM and wait; the exit code. Raises MysqldError (after SIGKILL) when it takes too long."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise MysqldError(f"mysqld did not stop within {timeout} s\n{self.tail()}") from error

    def kill(self) -> None:
        """SIGKILL and reap; nothing happens when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Stop in order and start again."""
        self.stop()
        self.start()

    def wait_exit(self, timeout: float = STOP_SECONDS) -> int:
        """The exit code of a server that is expected to end by itself."""
        if self._process is None:
            raise MysqldError(f"{self.home.name} was never started")
        return self._process.wait(timeout)

    def connect(self, **options: Any) -> Any:
        """A PyMySQL connection (autocommit), as root over the socket unless options say otherwise."""
        if "host" not in options:
            options.setdefault("unix_socket", str(self.socket))
        else:
            options.setdefault("port", self.port)
        options.setdefault("user", "root")
        options.setdefault("password", self.root_password)
        return pymysql.connect(**{"autocommit": True, "connect_timeout": 5, "read_timeout": 60, **options})

    def query(self, sql: str, arguments: Sequence[object] = (), **options: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement, run on a connection of its own."""
        connection = self.connect(**options)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, arguments or None)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def tail(self, lines: int = 20) -> str:
        """The end of the server's log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _answers(self) -> bool:
        # The plain connection first: PyMySQL leaks its socket when nobody listens.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.socket)) != 0:
                return False
        try:
            self.connect().close()
        except pymysql.err.OperationalError as error:
            # A refused login is an answer: the test has set a password it did not tell us.
            return bool(error.args[0] == _ACCESS_DENIED)
        return True


class MysqldFactory:
    """Makes servers below one directory of /tmp and removes all of them at `close`."""

    def __init__(self) -> None:
        _remove_orphans()
        self.base = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}.", dir="/tmp"))
        self.base.chmod(0o755)
        self.distribution = make_distribution(self.base)
        self._servers: list[Mysqld] = []
        self._numbers = itertools.count(1)

    def create(
        self,
        name: str = "server",
        *,
        options: Iterable[str] = (),
        config: str | Path | None = None,
        tls: Tls | None = None,
        initialised: bool = True,
        start: bool = True,
    ) -> Mysqld:
        """A server of its own directory, port and server_id; root has no password on the socket.

        `config` is the text or the path of a my.cnf; directory, socket and port are given on the command line
        and win over it, `options` win over everything. With `initialised=False` the data directory does not
        exist yet.
        """
        number = next(self._numbers)
        home = self.directory(f"{number}-{name}")
        server = Mysqld(home, self.distribution, [], _config_file(home, config))
        server._options = [*DEFAULT_OPTIONS, f"--server-id={number}", *(tls.options() if tls else ()), *options]
        if initialised:
            copy_tree(template_datadir(self.distribution), server.datadir)
        self._servers.append(server)
        if start:
            server.start()
        return server

    def directory(self, name: str) -> Path:
        """A new directory of uid 999 that servers and the test can both reach by the same path."""
        path = self.base / name
        path.mkdir(mode=0o755)
        os.chown(path, MYSQL_UID, MYSQL_UID)
        return path

    def close_servers(self) -> None:
        """Kill every server made so far and forget its files."""
        for server in self._servers:
            server.kill()
            shutil.rmtree(server.home)
        self._servers.clear()

    def close(self) -> None:
        """Kill what still runs and remove the directory."""
        self.close_servers()
        shutil.rmtree(self.base)


def _config_file(home: Path, config: str | Path | None) -> Path | None:
    """Where the server reads its configuration: world-writable files are ignored by mysqld, so 0644."""
    if not isinstance(config, str):
        return config
    path = home / "my.cnf"
    path.write_text(config)
    path.chmod(0o644)
    return path


def _remove_orphans() -> None:
    """End the servers of test runs that were killed, by the pids those runs recorded, and their files."""
    for base in Path("/tmp").glob(f"{_PREFIX}*"):
        owner = base.name.removeprefix(_PREFIX).split(".")[0]
        if Path("/proc", owner).exists():
            continue
        for record in base.glob("*/pid"):
            _kill_if_ours(record)
        shutil.rmtree(base, ignore_errors=True)


def _kill_if_ours(record: Path) -> None:
    """Kill the recorded pid when its command line still names the directory it was started for."""
    try:
        pid = record.read_text()
        command = Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return
    if str(record.parent).encode() in command:
        os.kill(int(pid), signal.SIGKILL)
