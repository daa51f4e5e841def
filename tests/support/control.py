"""A running control API over real sockets and real TLS, and callers of any identity."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from cnmysql.errors import Refused
from cnmysql.listener import Listener
from cnmysql.pki.contexts import RotatingServerContext, TlsFiles, client_context
from cnmysql.protocol.accounts import AccountsOrder
from cnmysql.protocol.client import ControlClient
from cnmysql.protocol.report import Frame, InstanceStatus, MysqldReport
from instance.handlers import Orders, serve_control
from instance.reporter import Publisher
from tests.support.certs import Authority, Leaf

CLUSTER, NAMESPACE, INSTANCE = "db", "ns", "db-1"
HOST = "127.0.0.1"
SERVER_NAME = f"{INSTANCE}.{NAMESPACE}.svc"


@dataclass
class Fake:
    """Reports what it is told; closes when it is told, unless it hangs."""

    state: str = "ready"
    epochs: list[int] = field(default_factory=list)
    seen: int = 3
    hangs: bool = False
    given: list[AccountsOrder] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.current)

    def current(self) -> InstanceStatus:
        mysqld = MysqldReport(state="running", since="2026-01-01T00:00:00Z")
        return InstanceStatus(instance_name=INSTANCE, pod_uid="u", mysqld=mysqld, role_state=self.state)

    async def status(self) -> InstanceStatus:
        return self.current()

    def frames(self) -> AsyncGenerator[Frame, None]:
        return self.publisher.frames()

    async def close(self, epoch: int) -> None:
        if epoch < self.seen:
            raise Refused(f"epoch {epoch} is older than {self.seen}")
        if self.hangs:
            await asyncio.Event().wait()
        self.epochs.append(epoch)

    @property
    def obeys(self) -> Orders:
        return Orders(self.close, self.given.append)

    def say(self, state: str) -> None:
        self.state = state
        self.publisher.changed()


@dataclass
class Served:
    """A running control API and what is needed to call it as anybody."""

    fake: Fake
    listener: Listener
    client_ca: Authority
    server_ca: Authority
    home: Path
    context: RotatingServerContext

    @classmethod
    async def start(cls, home: Path) -> Served:
        client_ca, server_ca = Authority("clients"), Authority("servers")
        directory = server_ca.issue("db-1", dns=(SERVER_NAME,)).write(home / "server")
        trust = home / "client-ca.crt"
        trust.write_bytes(client_ca.pem)
        context = RotatingServerContext(TlsFiles(directory / "tls.crt", directory / "tls.key", trust))
        fake = Fake()
        listener = await serve_control(
            fake, fake.obeys, context,
            cluster=CLUSTER, namespace=NAMESPACE, host=HOST, port=0,
        )  # fmt: skip
        return cls(fake, listener, client_ca, server_ca, home, context)

    @property
    def port(self) -> int:
        return self.listener.port

    def caller(self, leaf: Leaf, *, trust: Authority | None = None) -> ssl.SSLContext:
        directory = leaf.write(self.home / "caller")
        ca = self.home / "caller-ca.crt"
        ca.write_bytes((trust or self.server_ca).pem)
        return client_context(TlsFiles(directory / "tls.crt", directory / "tls.key", ca))

    def client(self, leaf: Leaf, **options: Authority) -> ControlClient:
        return ControlClient(self.caller(leaf, **options), NAMESPACE, port=self.port)

    @property
    def operator(self) -> Leaf:
        return self.client_ca.issue("cnmysql-operator", server=False)

    @property
    def peer(self) -> Leaf:
        return self.client_ca.issue(o="cnmysql-peer", dns=("db-2.ns.svc",), server=False)

    async def dial(self, leaf: Leaf, source: str = HOST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection from an address of ours (any of 127.0.0.0/8)."""
        context = self.caller(leaf)
        return await asyncio.open_connection(
            HOST, self.port, ssl=context, server_hostname=SERVER_NAME, local_addr=(source, 0)
        )

    async def raw(self, text: bytes, leaf: Leaf | None = None) -> tuple[int, bytes]:
        """Status and body of one request written by hand."""
        reader, writer = await self.dial(leaf or self.operator)
        writer.write(text)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body


def request(method: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}{headers}\r\n".encode() + body
