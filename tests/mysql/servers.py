"""Servers set up the way an instance's are: TLS, GTIDs, the clone plugin, our accounts; and connections to them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnmysql.log import Secret
from cnmysql.mysql import accounts, conn, read, statements
from cnmysql.mysql.accounts import Bootstrap
from cnmysql.mysql.internal import ReplicationIdentity
from cnmysql.mysql.sql import Statement
from cnmysql.mysql.statements import Source
from cnmysql.mysql.version import Version
from cnmysql.pki.identity import subject_and_issuer
from tests.support.certs import Authority, Leaf
from tests.support.mysqld import MYSQL_UID, Mysqld, MysqldFactory, Tls
from tests.support.ports import free_port

VERSION = Version(9, 7, 4)
ROOT = Secret("root-password")
CONTROL = Secret("control-password")
BACKUP = Secret("backup-password")
APP = Secret("app-password")
REMOTE = Secret("remote-password")
HOST = "127.0.0.1"
SCHEMA = "my_app"
OPTIONS = (
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--log-bin=binlog",
    "--relay-log=relay-bin",
    "--relay-log-recovery=OFF",
    "--skip-replica-start=ON",
    "--plugin-load-add=mysql_clone.so",
    "--rpl-stop-replica-timeout=10",
    "--persisted-globals-load=OFF",
    "--admin-address=127.0.0.1",
    "--log-bin-trust-function-creators=ON",
)


@dataclass
class World:
    """One CA, certificates on disk, and the servers made from them."""

    factory: MysqldFactory
    ca: Authority
    directory: Path
    leaf: Leaf

    @property
    def identity(self) -> ReplicationIdentity:
        """What cnmysql_repl must show."""
        return ReplicationIdentity(*subject_and_issuer(self.leaf.certificate))

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.crt"

    def write(self, leaf: Leaf, name: str) -> Path:
        """A certificate and its key in a directory that servers can read."""
        path = leaf.write(self.directory / name)
        for entry in (path, *path.iterdir()):
            os.chown(entry, MYSQL_UID, MYSQL_UID)
        return path

    def server_leaf(self, cn: str, address: str = HOST) -> Leaf:
        """For the loopback address a server is reached at: the servers' file system resolves no names."""
        return self.ca.issue(cn, dns=("localhost",), addresses=(address,), client=False)

    def create(self, name: str, *options: str, start: bool = True, initialised: bool = True) -> Mysqld:
        server = self.write(self.server_leaf(f"{name}-server"), f"{name}-server")
        return self.factory.create(
            name,
            options=(*OPTIONS, f"--admin-port={free_port()}", *options),
            tls=Tls(self.ca_file, server / "tls.crt", server / "tls.key"),
            start=start,
            initialised=initialised,
        )

    def source(self, server: Mysqld, *, identity: str = "replication") -> Source:
        """How others reach this server, with the replication certificate or another one."""
        files = self.directory / identity
        return Source(HOST, server.port, ca=str(self.ca_file), cert=str(files / "tls.crt"), key=str(files / "tls.key"))

    def bootstrap(self, *, remote_root: bool = False, partial_revokes: bool = False) -> Bootstrap:
        return Bootstrap(
            version=VERSION,
            root=ROOT,
            control=CONTROL,
            backup=BACKUP,
            identity=self.identity,
            schema=SCHEMA,
            owner="app",
            app=APP,
            remote_root=REMOTE if remote_root else None,
            partial_revokes=partial_revokes,
        )


@contextmanager
def world(factory: MysqldFactory) -> Iterator[World]:
    ca = Authority("db-ca")
    leaf = ca.issue("db-replication", o="shop", server=False)
    directory = factory.directory(f"tls-{free_port()}")
    (directory / "ca.crt").write_bytes(ca.pem)
    found = World(factory, ca, directory, leaf)
    found.write(leaf, "replication")
    yield found
    factory.close_servers()
    shutil.rmtree(directory)


async def bootstrapped(
    world: World, name: str, *options: str, remote_root: bool = False, partial_revokes: bool = False
) -> Mysqld:
    """A server with our accounts, made unlogged as initialisation does it: it has no GTID."""
    server = world.create(name, "--skip-name-resolve", f"--partial-revokes={partial_revokes:d}", *options)
    await make_accounts(server, world.bootstrap(remote_root=remote_root, partial_revokes=partial_revokes))
    return server


async def make_accounts(server: Mysqld, b: Bootstrap) -> None:
    """On a server whose root has no password yet."""
    async with await conn.connect(local(server, "root", Secret(""), unlogged=True)) as c:
        for statement in (*accounts.internal_accounts(b), *accounts.application(b), *accounts.final(b)):
            await c.execute(statement)
    server.root_password = b.root.reveal()


def local(server: Mysqld, user: str, password: Secret, *, unlogged: bool = False) -> conn.ConnectParams:
    return conn.ConnectParams(user, password, socket=str(server.socket), unlogged=unlogged)


def over_tcp(server: Mysqld, user: str, password: Secret) -> conn.ConnectParams:
    return conn.ConnectParams(user, password, host=HOST, port=server.port)


def control(server: Mysqld) -> conn.ConnectParams:
    return local(server, "cnmysql_control", CONTROL, unlogged=True)


@dataclass(frozen=True)
class Login:
    """One way in that does not change (see `instance.server.Logins`)."""

    params: conn.ConnectParams

    def candidates(self) -> tuple[conn.ConnectParams, ...]:
        return (self.params,)

    def accepted(self, params: conn.ConnectParams) -> None:
        """It is the only one."""

    def refused(self) -> None:
        """Nobody sets the account here."""


async def run(c: conn.Connection, *texts: str) -> conn.Result:
    """Statements in a row; the result of the last."""
    result = None
    for text in texts:
        result = await c.execute(Statement(text))
    assert result is not None
    return result


async def until(c: conn.Connection, query: str, value: object, *, seconds: float = 20.0) -> None:
    """Ask again until the first column of the first row is this value. Raises AssertionError when time is up."""
    deadline = asyncio.get_running_loop().time() + seconds
    while (seen := (await run(c, query)).scalar()) != value:
        assert asyncio.get_running_loop().time() < deadline, f"{query}: still {seen!r}"
        await asyncio.sleep(0.02)


async def follow(c: conn.Connection, source: Source) -> None:
    """Point a server that follows nobody at a source and start it."""
    for statement in (
        statements.stop_replica(),
        statements.configure_source(VERSION, source),
        statements.start_replica(),
    ):
        await c.execute(statement)


async def replication(c: conn.Connection) -> read.ReplicationState:
    state = await read.replication_state(c)
    assert isinstance(state, read.ReplicationState)
    return state
