"""An instance on a plain host: the directories of a database Pod, certificates, passwords and a my.cnf.

The manager runs as a process of its own, `python -m instance`, as in a Pod; mysqld runs from the test bed's image
file system, as root here because the directories belong to the test.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from cnmysql import names
from cnmysql.mysql.mycnf import MyCnfInput, render
from cnmysql.mysql.version import Version
from tests.bed.processes import start_time
from tests.support.certs import Authority
from tests.support.mysqld import MysqldFactory
from tests.support.ports import free_port

NAMESPACE = "test"
CLUSTER = "db"
CLUSTER_UID = "11111111-2222-3333-4444-555555555555"
PASSWORDS = {"control": "control0pw", "backup": "backup00pw", "root": "root0000pw", "app": "app00000pw"}
VERSION = Version(9, 7, 4)
ACCESS_DENIED = 1045
NOBODY = 2002
NEWBORN_SECONDS = 0.5
"""A server is announced to the watchdog 1 to 12 ms after its birth (measured on two overloaded cores)."""


@dataclass
class Manager:
    """A running `python -m instance`."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, timeout: float = 60) -> int:
        """Its exit code. Fails with its log when it does not end."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the manager does not end\n{self.log()}") from None

    def log(self) -> str:
        return self.log_file.read_text()

    def records(self) -> list[dict[str, Any]]:
        """Its log lines; every one is a JSON object."""
        return [json.loads(line) for line in self.log().splitlines()]

    def kill(self) -> None:
        """SIGKILL, and wait until its servers are dead too.

        The watchdog sees to those it knows. One that was just being born it has not been told of: a container's end
        takes that one along (the kernel ends a PID namespace with its process 1, pid_namespaces(7)), here we do.
        """
        children = descendants(self.pid)
        newborn = [pid for pid in children if age(pid) < NEWBORN_SECONDS]
        self.process.kill()
        self.process.wait(10)
        for pid in newborn:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            eventually(lambda: not any(map(alive, children)), "the children of a killed manager end")
        except AssertionError as error:
            left = "\n".join(described(pid) for pid in children if alive(pid))
            raise AssertionError(f"{error}\n{left}\n{self.log()}") from None


@dataclass
class Home:
    """The files of one instance below one directory of /tmp."""

    base: Path
    mysqld: Path
    instance: str = "db-1"
    address: str = "127.0.0.1"
    hosts: str = ""
    """Extra lines of the /etc/hosts that the manager and mysqld see."""
    ca: Authority = field(default_factory=Authority)
    mysql_port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    control_port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    managers: list[Manager] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("volume", "run", "tmp", "config", "tls", "credentials", "credentials-bootstrap", "token"):
            (self.base / name).mkdir()
        host = names.instance_host(self.instance, NAMESPACE)
        tls = self.base / "tls"
        self.ca.issue(dns=(host,), client=False).write(tls / "server")
        self.ca.issue(o="cnmysql-peer", dns=(host,), server=False).write(tls / "peer")
        self.ca.issue(names.replication_cn(CLUSTER), o=NAMESPACE, server=False).write(tls / "replication")
        self.ca.issue(names.OPERATOR_CN, server=False).write(tls / "operator")
        (tls / "trust").mkdir()
        for key in (names.TRUST_SERVER_CA_KEY, names.TRUST_CLIENT_CA_KEY):
            (tls / "trust" / key).write_bytes(self.ca.pem)
        for account, password in PASSWORDS.items():
            place = "credentials" if account in ("control", "backup") else "credentials-bootstrap"
            (self.base / place / account).mkdir()
            (self.base / place / account / "password").write_text(password)
        self.configure()

    @property
    def volume(self) -> Path:
        return self.base / "volume"

    @property
    def data(self) -> Path:
        return self.volume / "data"

    @property
    def socket(self) -> Path:
        return self.base / "run" / "mysqld.sock"

    def configure(self, extra: str = "") -> None:
        """Write both files as the operator renders them, with this home's paths and ports."""
        text = self.rendered(extra)
        self.write_config(text, text)

    def rendered(self, extra: str = "", **parameters: str) -> str:
        """What the operator wants, with this home's paths and ports."""
        text = render(MyCnfInput(VERSION, names.ordinal(self.instance), self.address, parameters=parameters))
        for path, own in (
            (names.DATA_DIR, self.data),
            (names.RUN_DIR, self.base / "run"),
            ("/etc/cnmysql/tls", self.base / "tls"),
            ("bind_address = *", f"bind_address = {self.address}"),
        ):
            text = text.replace(path, str(own))
        lines = ("user = root", f"port = {self.mysql_port}", f"admin_port = {self.admin_port}")
        small = ("innodb_buffer_pool_size = 32M", "innodb_redo_log_capacity = 16M")
        head, mark, users = text.partition("# spec.mysql.parameters\n")
        return "\n".join((head, *lines, *small, extra)) + "\n" + mark + users

    def write_config(self, start: str, live: str) -> None:
        """What mysqld is started from, and what the running server is brought to."""
        for key, text in ((names.CONFIG_KEY, start), (names.LIVE_CONFIG_KEY, live)):
            new = self.base / "config" / f".{key}.new"
            new.write_text(text)
            new.chmod(0o644)
            new.rename(self.base / "config" / key)

    def post_init(self, statements: list[str]) -> None:
        (self.base / "config" / "post-init.json").write_text(json.dumps(statements))

    def flags(self, mode: str, *more: str) -> list[str]:
        base = self.base
        return [
            mode,
            f"--cluster={CLUSTER}", f"--namespace={NAMESPACE}", f"--instance={self.instance}",
            f"--cluster-uid={CLUSTER_UID}", "--log-level=info", "--stop-delay=30", "--smart-shutdown-timeout=2",
            f"--mysqld={self.mysqld}", f"--bind={self.address}",
            f"--mysql-port={self.mysql_port}", f"--admin-port={self.admin_port}",
            f"--control-port={self.control_port}", f"--health-port={self.health_port}",
            f"--volume-dir={self.volume}", f"--run-dir={base / 'run'}", f"--tmp-dir={base / 'tmp'}",
            f"--config-dir={base / 'config'}", f"--credentials-dir={base / 'credentials'}",
            f"--token-dir={base / 'token'}", f"--termination-log={base / 'termination-log'}",
            f"--tls-server-dir={base / 'tls/server'}", f"--tls-trust-dir={base / 'tls/trust'}",
            f"--tls-replication-dir={base / 'tls/replication'}", f"--tls-peer-dir={base / 'tls/peer'}",
            *more,
        ]  # fmt: skip

    def start(self, mode: str, *more: str, env: dict[str, str] | None = None) -> Manager:
        """Start the manager."""
        log = self.base / f"manager-{len(self.managers)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*self._see_hosts(), sys.executable, "-W", "error", "-m", "instance", *self.flags(mode, *more)],
                stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
                env={**os.environ, "POD_UID": "pod-uid", **(env or {})},
            )  # fmt: skip
        manager = Manager(process, log)
        self.managers.append(manager)
        return manager

    def _see_hosts(self) -> list[str]:
        """A prefix that gives a program this home's /etc/hosts; it execs, so the pid stays."""
        if not self.hosts:
            return []
        bind = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", bind, str(self.base / "hosts")]

    def close(self) -> None:
        """End every manager that is still there, and with it its server."""
        for manager in self.managers:
            if manager.process.poll() is None:
                manager.process.send_signal(signal.SIGCONT)
                manager.kill()

    def termination(self) -> str:
        return (self.base / "termination-log").read_text()

    def connect(self, user: str, password: str) -> Any:
        """A session over the socket. Raises pymysql's OperationalError when there is none."""
        # PyMySQL leaks a socket of its own making when nobody listens, so it gets one that is connected.
        channel = socket.socket(socket.AF_UNIX)
        channel.settimeout(10)
        if channel.connect_ex(str(self.socket)) != 0:
            channel.close()
            raise pymysql.err.OperationalError(NOBODY, "nobody listens")
        session: Any = pymysql.connect(user=user, password=password, autocommit=True, defer_connect=True)
        session._secure = True  # a local socket: the password may be sent as it is
        session.connect(channel)
        return session

    def query(self, sql: str, user: str = "root", password: str = PASSWORDS["root"]) -> list[tuple[Any, ...]]:
        connection = self.connect(user, password)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()


def make_home(factory: MysqldFactory, name: str, **options: Any) -> Home:
    """A home below the factory's directory, with a mysqld that runs as root and sees the home's /etc/hosts."""
    base = factory.directory(name)
    os.chown(base, 0, 0)
    root = factory.distribution.rootfs
    shutil.copytree(root / "etc", base / "etc", symlinks=True)
    hosts = f"127.0.0.1 localhost\n{options.get('hosts', '')}"
    for path in (base / "hosts", base / "etc" / "hosts"):
        path.write_text(hosts)
    text = factory.distribution.program("mysqld").read_text().replace("--userspec=999:999 --groups= ", "")
    program = base / "mysqld"
    program.write_text(text.replace("&& exec chroot", f'&& mount --bind {base}/etc "{root}/etc" && exec chroot'))
    program.chmod(0o755)
    return Home(base, program, **options)


def eventually(check: Callable[[], Any], what: str, within: float = 90.0) -> Any:
    """The first true value of `check`. Fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not (value := check()):
        assert time.monotonic() < deadline, f"within {within} s: {what}"
        time.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    """The process exists and is not a zombie."""
    return start_time(pid) is not None


def age(pid: int) -> float:
    """Seconds since the process was started; infinite when it is gone."""
    started = start_time(pid)
    return math.inf if started is None else time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def described(pid: int) -> str:
    """What a process that should be dead is and waits for."""
    words = [f"pid {pid}, {age(pid):.1f} s old"]
    for name in ("cmdline", "stat", "wchan", "stack"):
        with contextlib.suppress(OSError):
            words.append(f"{name}: {Path('/proc', str(pid), name).read_text().replace(chr(0), ' ')}")
    return "\n  ".join(words)


def descendants(pid: int) -> list[int]:
    """Every process below this one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    queue = [pid]
    while queue:
        for child in parents.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


@contextmanager
def plain_server(home: Home, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The finished data directory under a mysqld of the test's own, writable."""
    server = subprocess.Popen(
        [
            str(home.mysqld), f"--defaults-file={home.base}/config/my.cnf", f"--datadir={home.data}",
            f"--socket={home.socket}", "--super-read-only=OFF", "--read-only=OFF", *options,
        ],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip

    def answers() -> bool:
        if not home.socket.exists():
            return False
        try:
            home.connect("root", PASSWORDS["root"]).close()
        except pymysql.err.OperationalError as error:
            return bool(error.args[0] == ACCESS_DENIED)
        return True

    try:
        eventually(answers, "the server answers")
        yield server
    finally:
        server.terminate()
        server.wait(30)


def status(home: Home) -> dict[str, Any]:
    """`GET /status` as the operator asks it. Raises OSError when nobody serves."""
    context = ssl.create_default_context(cadata=home.ca.pem.decode())
    context.load_cert_chain(home.base / "tls/operator/tls.crt", home.base / "tls/operator/tls.key")
    host = names.instance_host(home.instance, NAMESPACE)
    with (
        socket.create_connection((home.address, home.control_port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as channel,
    ):
        connection = http.client.HTTPConnection(host)
        connection.sock = channel
        connection.request("GET", "/status", headers={"Connection": "close"})
        body: dict[str, Any] = json.loads(connection.getresponse().read())
        return body


def try_status(home: Home) -> dict[str, Any]:
    """The same, empty while nobody serves."""
    try:
        return status(home)
    except OSError:
        return {}
