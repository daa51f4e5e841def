"""Wiring of the operator: one API client, informers, queue, controller, streams, leader election, servers."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from cnmysql import log, names
from cnmysql.clock import Clock, SystemClock
from cnmysql.errors import CnmysqlError, NotFound, Unreachable
from cnmysql.kube.client import Client
from cnmysql.kube.controller import Controller
from cnmysql.kube.events import EventRecorder
from cnmysql.kube.informer import Informer
from cnmysql.kube.lease import LeaderElector, LeadershipLost
from cnmysql.kube.resources import CLUSTERS
from cnmysql.kube.transport import KubeTransport
from cnmysql.kube.workqueue import WorkQueue
from manager import serving, tree
from manager.apply import Executor
from manager.cluster.kinds import CERT_MANAGER, OWNED
from manager.cluster.observe import INDEX, LEADER_FRESH_SECONDS, Departures, Observer, by_cluster, shorten_secret
from manager.cluster.reconcile import Reconciler
from manager.cluster.snapshot import Json
from manager.metrics import ManagerMetrics
from manager.passwords import Passwords
from manager.references import References
from manager.settings import Settings
from manager.streams import Streams
from manager.tls import ControlClients

SYNC_SECONDS: Final = 60.0
"""What a leader has not listed by then keeps it from working at all: it makes room for one that may fare better."""
_QUEUE = "cluster"


class NotSynced(Unreachable):
    """Something the operator cannot work without was not listed in time. The process has to end."""


class Operator:
    """The parts, made once. `lead` is the work of a leader; the rest runs in every replica."""

    def __init__(self, settings: Settings, client: Client, clock: Clock) -> None:
        self.settings = settings
        self.client = client
        self.clock = clock
        self.metrics = ManagerMetrics()
        self.elector = LeaderElector(
            client,
            settings.lease_namespace,
            names.OPERATOR_LEASE,
            f"{settings.pod_name}_{secrets.token_hex(4)}",
            clock,
        )
        self.recorder = EventRecorder(client, names.EVENT_SOURCE_CLUSTER, settings.pod_name, clock=clock)
        self.queue = WorkQueue(clock, metrics=self.metrics.kube.queue(_QUEUE))
        self.clusters = Informer(client, CLUSTERS, namespace=settings.watch_namespace or None, clock=clock)
        self.clusters.add_handler(self._woken)
        self.departed = Departures(clock)
        self.informers = self._informers()
        self.controls = ControlClients(client, self.informers["secrets"].get, self.informers["config_maps"].get)
        self.streams = Streams(self.controls.connect, clock, self.queue.add)
        self.references = References(client, clock, self.queue.add)
        self.passwords = Passwords(client, self.controls.order, clock, self.queue.add)

    def _informers(self) -> Mapping[str, Informer]:
        informers = {}
        for field, resource in OWNED.items():
            informers[field] = Informer(
                self.client,
                resource,
                namespace=self.settings.watch_namespace or None,
                label_selector=names.LABEL_CLUSTER,
                clock=self.clock,
                indexers={INDEX: by_cluster},
                transform=shorten_secret if field == "secrets" else None,
            )
            informers[field].add_handler(self._handler(field))
        return informers

    def _handler(self, field: str) -> Callable[[str, Json | None, Json | None], None]:
        def handle(_: str, old: Json | None, new: Json | None) -> None:
            if field == "pods" and new is None and old is not None:
                self.departed.add(old)
            if field == "leases" and old is not None and new is not None and holder(old) == holder(new):
                return  # a renewal, every 2 s
            for cluster in {key for obj in (old, new) if obj is not None for key in by_cluster(obj)}:
                self.queue.add(cluster)

        return handle

    def _woken(self, key: str, _: Json | None, __: Json | None) -> None:
        self.queue.add(key)

    @property
    def synced(self) -> bool:
        """True when the stores are complete; kinds of an API that is not installed do not count."""
        return not self._unsynced()

    def _unsynced(self) -> list[Informer]:
        needed = [i for field, i in self.informers.items() if not (field in CERT_MANAGER and i.absent)]
        return [i for i in (self.clusters, *needed) if not i.synced]

    def leader_fresh(self) -> bool:
        return self.elector.is_leader_fresh(LEADER_FRESH_SECONDS)

    async def watch(self) -> None:
        """Follow the API server and write Events, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in (self.clusters, *self.informers.values()):
                group.create_task(informer.run())
            group.create_task(self.recorder.run())

    async def lead(self) -> None:
        """The work of the leader, until cancelled. Raises NotSynced."""
        await self._wait_synced()
        self.metrics.leading.set(1)
        observer = Observer(
            clock=self.clock,
            clusters=self.clusters,
            informers=self.informers,
            reports=self.streams,
            references=self.references,
            departed=self.departed,
            leader_fresh=self.leader_fresh,
            operator_image=self.settings.operator_image,
            operator_namespace=self.settings.namespace,
            tree_digest=_tree_digest(),
        )
        executor = Executor(self.client, self.recorder, self.leader_fresh, observer.wrote, self.passwords.order)
        reconcile = Reconciler(
            observer,
            executor,
            self.streams,
            refer=self.references.refer,
            planned=self.metrics.planned,
            forget=self.controls.forget,
        )
        controller = Controller(
            _QUEUE,
            self.queue,
            reconcile,
            workers=self.settings.workers,
            metrics=self.metrics.kube.controller(_QUEUE),
        )
        for cluster in self.clusters.list():
            meta = cluster["metadata"]
            self.queue.add(f"{meta['namespace']}/{meta['name']}")
        try:
            await controller.run()
        finally:
            self.metrics.leading.set(0)
            await self.streams.close()
            await self.references.close()
            await self.passwords.close()
            await self.controls.close()

    async def _wait_synced(self) -> None:
        end = self.clock.monotonic() + SYNC_SECONDS
        while unsynced := self._unsynced():
            if self.clock.monotonic() >= end:
                raise NotSynced(
                    f"not listed within {SYNC_SECONDS:g} s: {', '.join(_why_unsynced(i) for i in unsynced)}. "
                    "The CRD and the RBAC rules come with the installation; apply it again"
                )
            await self.clock.sleep(0.05)


def _why_unsynced(informer: Informer) -> str:
    why = "the API server does not know this kind" if informer.absent else informer.complaint or "no answer yet"
    return f"{informer.resource.plural} ({why})"


def _tree_digest() -> str:
    """Of the runtime tree this image carries; empty outside an image."""
    try:
        return tree.digest()
    except NotFound:
        return ""


def holder(lease: Json) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


async def _main(settings: Settings) -> int:
    logger = log.get("manager")
    clock = SystemClock()
    if settings.kubeconfig:
        transport = await KubeTransport.from_kubeconfig(settings.kubeconfig)
    else:
        transport = await KubeTransport.in_cluster()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.close)
        operator = Operator(settings, Client(transport), clock)
        stack.push_async_callback(
            (await serving.serve(serving.probes(lambda: operator.synced), settings.health_port)).close
        )
        watching = asyncio.create_task(operator.watch(), name="watch")
        serving_metrics = asyncio.create_task(_metrics(operator, stack), name="metrics")
        leading = asyncio.create_task(operator.elector.run(operator.lead), name="lead")
        stopping = asyncio.create_task(_stop_signal(), name="signals")
        tasks = (leading, watching, serving_metrics, stopping)
        try:
            await asyncio.wait({leading, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            # Leadership is given back while the API client still works.
            leading.cancel()
            await asyncio.wait({leading})
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return _verdict(logger, (leading, watching, serving_metrics))


def _verdict(logger: log.Logger, tasks: tuple[asyncio.Task[None], ...]) -> int:
    code = 0
    for task in tasks:
        if task.cancelled() or (error := task.exception()) is None:
            continue
        code = 1
        if isinstance(error, LeadershipLost):
            logger.error("leadership lost, ending this process", error=str(error))
        elif isinstance(error, NotSynced):
            logger.error("cannot lead, ending this process", error=error.message)
        else:
            logger.error("ended by an error", task=task.get_name(), exc_info=error)
    return code


async def _metrics(operator: Operator, stack: AsyncExitStack) -> None:
    settings = operator.settings
    if not settings.metrics_port:
        return
    if settings.watch_namespace:
        certs = settings.metrics_certs or Path(names.METRICS_CERTS_DIR)
        mutual = await serving.mounted(certs, operator.clock)
        by_certificate = serving.metrics_by_certificate(operator.metrics.registry)
        runner = await serving.serve(by_certificate, settings.metrics_port, mutual.front)
        stack.push_async_callback(runner.close)
        await serving.follow(mutual, operator.clock)
    context = serving.metrics_context(settings.metrics_certs)
    app = serving.metrics(operator.metrics.registry, serving.Authorizer(operator.client, operator.clock))
    runner = await serving.serve(app, settings.metrics_port, context)
    stack.push_async_callback(runner.close)
    if settings.metrics_certs is not None:
        await serving.reload_certificates(context, settings.metrics_certs, operator.clock)


async def _stop_signal() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def run(settings: Settings) -> int:
    """Run the operator until it is told to stop. Exit code 1 when it ended for any other reason."""
    import uvloop

    log.configure(settings.log_level, process="manager")
    try:
        return uvloop.run(_main(settings))
    except CnmysqlError as error:
        log.get("manager").error("cannot start", error=error.message)
        return 1
    except KeyboardInterrupt:
        return 130
