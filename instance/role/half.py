"""The role half of the instance manager, wired from its settings: who talks to whom is decided here."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from cnmysql import names
from cnmysql.clock import Clock
from cnmysql.errors import Unreachable
from cnmysql.kube.client import Client
from cnmysql.kube.informer import Informer
from cnmysql.kube.lean import LeanTransport
from cnmysql.kube.resources import CLUSTERS
from cnmysql.kube.wire import Json
from cnmysql.mysql.statements import Source
from cnmysql.pki.contexts import RotatingServerContext
from cnmysql.tasks import Signal
from instance import certificates
from instance.accounts.keeper import AccountKeeper
from instance.accounts.keeper import Edges as AccountEdges
from instance.accounts.login import ControlLogin
from instance.accounts.start import initial
from instance.certificates import Loaded
from instance.config import LiveConfig
from instance.files import FileWatch, Watched
from instance.handlers import Orders, serve_control
from instance.lease import Keeper
from instance.mysqld import Mysqld
from instance.peers import PeerClient
from instance.probes import serve_probes
from instance.reporter import Reporter
from instance.role.apply import Edges
from instance.role.epoch import EpochFile
from instance.role.loop import RoleLoop
from instance.role.observe import Sources
from instance.role.view import Me
from instance.server import LocalServer
from instance.settings import Settings
from instance.volume import VolumeWatch
from instance.watchdog import Watchdog

FIELD_MANAGER = f"{names.PRODUCT}-instance"
CLOSE_SECONDS = 4.0
"""Bound of the ordered close at shutdown, transactions excluded; a server that is not closed by then is killed."""


class RoleHalf:
    """`serve` first, `prepare` and `run` when the volume is ours, `shutdown` while `run` still runs, `close` last."""

    def __init__(
        self,
        settings: Settings,
        mysqld: Mysqld,
        watchdog: Watchdog,
        clock: Clock,
        changed: Signal,
        *,
        client: Client | None = None,
    ) -> None:
        self._settings = settings
        self._mysqld = mysqld
        self._changed = changed
        self._exits = AsyncExitStack()
        me = Me(settings.cluster, settings.namespace, settings.instance, settings.pod_uid)
        paths = settings.paths
        if client is None:
            transport = LeanTransport.in_cluster(token_dir=str(paths.token))
            self._exits.push_async_callback(transport.close)
            client = Client(transport, field_manager=FIELD_MANAGER)
        self._login = ControlLogin(settings)
        self._server = LocalServer(mysqld, clock, self._login, self._source)
        self._peers = PeerClient(paths.peer_tls, settings.namespace, port=settings.control_port)
        self._informer = Informer(
            client,
            CLUSTERS,
            namespace=settings.namespace,
            field_selector=f"metadata.name={settings.cluster}",
            clock=clock,
        )
        self._volume = VolumeWatch(paths.volume, settings.pod_uid, clock)
        api = client

        def edges(loop: RoleLoop) -> Edges:
            keeper = Keeper(
                api, me, clock, watchdog, loop_alive=loop.alive, on_change=loop.wake, dump_threads=loop.dump_threads
            )
            epochs = EpochFile(paths.epoch_file, settings.cluster_uid)
            self._accounts = AccountKeeper(self._account_edges(loop, watchdog, clock))
            return Edges(
                me, api, clock, self._server, keeper, epochs, self._peers, self._accounts,
                answered=loop.answered, alive=loop.beat,
            )  # fmt: skip

        self.loop = RoleLoop(edges, Sources(mysqld, self._volume, clock, self._cluster, watchdog.alive))
        self.reporter = Reporter(
            self.loop, mysqld, self._server, self._volume, clock, accounts=self._accounts, executable_hash=_digest()
        )
        self._config = LiveConfig(paths.live_config_file, mysqld, self._server)
        self._context = RotatingServerContext(paths.server_tls)
        self._login.on_refused = self._accounts.nudge
        mysqld.initial = lambda: initial(paths)
        self._files = FileWatch(self._watched(), clock)
        self._loaded = Loaded()
        self._loaded.replicating(certificates.read(paths.replication_tls))
        self._files.again("server certificate")
        self._files.again("peer certificate")
        self.loop.on_pass = self._passed
        self._volume.on_change = self.loop.wake
        self._informer.add_handler(lambda *_: self.loop.wake())

    async def serve(self) -> None:
        """Serve probes and the control API. Touches nothing on the volume: it may hang. Raises OSError."""
        bind = self._settings.bind
        probes = await serve_probes(self.reporter.condition, host=bind, port=self._settings.health_port)
        self._exits.push_async_callback(probes.close)
        control = await serve_control(
            self.reporter,
            Orders(self.loop.close, self._accounts.order),
            self._context,
            cluster=self._settings.cluster,
            namespace=self._settings.namespace,
            host=bind,
            port=self._settings.control_port,
        )
        self._exits.push_async_callback(control.close)
        self._exits.push_async_callback(self._peers.close)
        self._exits.push_async_callback(self._server.disconnect)

    async def prepare(self) -> None:
        """Read what the role needs from the volume. Raises EpochDamaged, OSError."""
        await asyncio.to_thread(self.loop.edges.epochs.load)

    async def run(self) -> None:
        """Play the role until cancelled. Raises Leaving when the manager has to end, or what broke it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run(), name="cluster")
            group.create_task(self._files.run(), name="files")
            group.create_task(self._relay(), name="changes")
            group.create_task(self._accounts.run(), name="accounts")
            group.create_task(self.loop.run(), name="role")

    async def shutdown(self, *, within: float) -> None:
        """Wait at most `within` seconds for the transactions that are open now, then close and clear the Lease."""
        await self.loop.shutdown(within, CLOSE_SECONDS)

    async def close(self) -> None:
        """Stop serving and drop every connection."""
        await self._exits.aclose()

    async def _relay(self) -> None:
        """What mysqld does is reported at once, and the role loop looks at it."""
        generation = 0
        while True:
            await self._changed.wait()
            self.reporter.changed()
            self.loop.wake()
            if self._mysqld.report.state == "running" and generation != self._mysqld.generation:
                generation = self._mysqld.generation
                self._files.again("config")
                # What mysqld read at its start is unknown: the files may have changed since.
                self._files.again("server certificate")
                self._accounts.again()

    def _watched(self) -> tuple[Watched, ...]:
        paths = self._settings.paths
        server, replication, peer = paths.server_tls, paths.replication_tls, paths.peer_tls
        return (
            Watched("server certificate", (server.certificate, server.key, server.ca), self._server_certificate),
            Watched(
                "replication certificate", (replication.certificate, replication.key, replication.ca), self._receiver
            ),
            Watched("peer certificate", (peer.certificate, peer.key, peer.ca), self._peer_certificate),
            Watched("config", (paths.live_config_file,), self._configure),
            Watched("accounts", self._account_files(), self._account_files_changed),
        )

    def _account_files(self) -> tuple[Path, ...]:
        paths = self._settings.paths
        passwords = (paths.password_file("control"), paths.password_file("backup"))
        return (*passwords, paths.replication_tls.certificate, paths.replication_require)

    async def _account_files_changed(self) -> None:
        self._accounts.again()

    def _accounts_changed(self) -> None:
        self.reporter.changed()

    def _account_edges(self, loop: RoleLoop, watchdog: Watchdog, clock: Clock) -> AccountEdges:
        return AccountEdges(
            paths=self._settings.paths,
            server=self._server,
            process=self._mysqld,
            login=self._login,
            guard=watchdog,
            clock=clock,
            is_open=lambda: loop.open and loop.edges.keeper.facts.armed,
            wake_role=loop.wake,
            changed=self._accounts_changed,
        )

    async def _server_certificate(self) -> None:
        files = self._settings.paths.server_tls
        pair = certificates.read(files)
        self._context.refresh()
        state = self._mysqld.report.state
        if state == "starting":
            return  # it may have read the former files; it is told once it runs
        if state == "running":
            await self._server.reload_tls()
        self._loaded.served(certificates.same(pair, files))
        self._report_certificates()

    async def _receiver(self) -> None:
        pair = certificates.read(self._settings.paths.replication_tls)
        self.loop.renew_credentials()
        self._loaded.replicating(pair)

    async def _peer_certificate(self) -> None:
        files = self._settings.paths.peer_tls
        pair = certificates.read(files)
        await self._peers.refresh()
        self._loaded.asked(certificates.same(pair, files))
        self._report_certificates()

    def _passed(self) -> None:
        """After each pass of the role loop: a receiver may have been started again, or be none."""
        if not (self.loop.credentials_changed and self.loop.receiving):
            self._loaded.connected()
        self._report_certificates()
        self._accounts.role_passed()

    def _report_certificates(self) -> None:
        self.reporter.tls = self._loaded.report
        self.reporter.changed()

    async def _configure(self) -> None:
        version = self.reporter.version()
        if version is None:
            raise Unreachable("mysqld has not answered since its start")
        self.reporter.config = await self._config.apply(version)
        self.reporter.changed()

    def _cluster(self) -> Json | None:
        return self._informer.get(f"{self._settings.namespace}/{self._settings.cluster}")

    def _source(self, host: str) -> Source:
        files = self._settings.paths.replication_tls
        return Source(
            host=host,
            port=self._settings.mysql_port,
            ca=str(files.ca),
            cert=str(files.certificate),
            key=str(files.key),
        )


def _digest() -> str:
    """What names the runtime tree we run from; empty outside a Pod."""
    try:
        return Path(names.TREE_DIGEST_FILE).read_text().strip()
    except OSError:
        return ""
