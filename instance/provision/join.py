"""A copy of a running instance by CLONE, made by a throw-away server that dials the donor over mutual TLS.

The copy is started once in private before it counts: that finishes its recovery, proves our own login on it and
shows tables that CLONE leaves empty because they are not InnoDB.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from cnmysql import log, names
from cnmysql.errors import CnmysqlError
from cnmysql.kube.client import Client
from cnmysql.kube.lean import LeanTransport
from cnmysql.kube.resources import CLUSTERS
from cnmysql.log import Secret
from cnmysql.mysql import read
from cnmysql.mysql.statements import Source
from cnmysql.mysql.version import Version
from cnmysql.protocol.report import InstanceStatus
from instance.peers import PeerClient
from instance.process.version import server_version
from instance.provision import workdir
from instance.provision.clone import CloneFailed, Copier
from instance.provision.donor import Nobody, Peers, Silent, choose
from instance.provision.frame import Job, ProvisionFailed
from instance.provision.server import NO_KEYS, PRIVATE, RECOVERY_SECONDS, PrivateServer, Tools, initialize

_log = log.get("join")

SEED_OPTIONS: Final = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
    "--innodb-buffer-pool-size=32M",
)
"""The seed is thrown away: nothing of it has to survive anything."""
VERIFY_OPTIONS: Final = tuple(o for o in PRIVATE if "read-only" not in o)
"""The copy is started read-only: not one transaction of its own."""
RETRY_SECONDS: Final = 1.0
ASK_SECONDS: Final = 5.0


async def build(job: Job) -> str:
    """Fill the work directory. Waits for a donor as long as it takes. Raises ProvisionFailed, ProgramFailed or
    another of our errors."""
    tools = job.tools
    version = await server_version(tools.reaper, tools.settings.mysqld)
    job.progress.stage("seed")
    seed = tools.settings.paths.tmp / "cnmysql-seed"
    await asyncio.to_thread(workdir.wipe, seed)
    try:
        await initialize(tools, seed, *SEED_OPTIONS)
        await _copy(job, seed, version)
    finally:
        await asyncio.to_thread(workdir.wipe, seed)
    job.progress.stage("finish")
    await _verify(job)
    return str(version)


async def _copy(job: Job, seed: Path, version: Version) -> None:
    """Clone from one donor after the other until one succeeds."""
    failed: dict[str, int] = {}
    async with Surroundings(job.tools) as around:
        while not await _attempt(job, seed, around, version, failed):
            await asyncio.to_thread(workdir.wipe, job.work.data)
            await job.tools.clock.sleep(RETRY_SECONDS)


async def _attempt(job: Job, seed: Path, around: Surroundings, version: Version, failed: dict[str, int]) -> bool:
    """One copy, by a seed server of its own that is up before a donor is; False when it failed.

    After a failure nothing may go on writing into the directory, and only the server's death is proof of that: a
    statement that was killed while its donor hangs runs on.
    """
    options = (*PRIVATE, *NO_KEYS, *SEED_OPTIONS)
    async with (
        PrivateServer(job.tools, seed, options) as server,
        await server.connect(names.ACCOUNT_ROOT, Secret("")) as session,
        await server.connect(names.ACCOUNT_ROOT, Secret("")) as observer,
    ):
        donor = await _donor(job, around, version, failed)
        job.progress.stage("copy", donor=donor)
        _log.info("copying", donor=donor)
        copier = Copier(session, observer, job.tools.clock, job.progress.copied)
        try:
            await copier.clone(source_of(job.tools, donor), job.work.data)
        except CloneFailed as error:
            failed[donor] = failed.get(donor, 0) + 1
            _log.warning("copying failed", donor=donor, error=error.message)
            job.progress.problem("NoDonor", error.message)
            return False
    return True


async def _donor(job: Job, around: Surroundings, version: Version, failed: dict[str, int]) -> str:
    """The next donor; asks again every second while nobody fits."""
    said = ""
    while True:
        try:
            found = choose(await around.peers(version, failed))
        except CnmysqlError as error:
            found = Nobody({"the API server": error.message})
        if not isinstance(found, Nobody):
            return found
        job.progress.problem("NoDonor", found.message)
        if found.message != said:
            said = found.message
            _log.info("waiting for a donor", reason=said)
        await job.tools.clock.sleep(RETRY_SECONDS)


def source_of(tools: Tools, donor: str) -> Source:
    """Address of the donor and the files to prove ourselves with."""
    settings = tools.settings
    files = settings.paths.replication_tls
    return Source(
        host=names.instance_host(donor, settings.namespace),
        port=settings.mysql_port,
        ca=str(files.ca),
        cert=str(files.certificate),
        key=str(files.key),
    )


async def _verify(job: Job) -> None:
    """Start the copy once, read-only and private, and end it cleanly. Its recovery applies all that the donor wrote
    while it was copied."""
    options = (*VERIFY_OPTIONS, *NO_KEYS, "--super-read-only=ON")
    async with PrivateServer(job.tools, job.work.data, options) as server:
        password = job.settings.paths.password("control")
        async with await server.connect(names.ACCOUNT_CONTROL, password, within=RECOVERY_SECONDS) as control:
            if found := await read.tables_not_cloned(control):
                raise ProvisionFailed(
                    "NonTransactionalTables",
                    f"CLONE copies InnoDB tables only, these would be empty: {', '.join(found)}; "
                    "convert them with ALTER TABLE ... ENGINE=InnoDB",
                )
        await server.stop()


class Surroundings:
    """The Cluster and the other instances, as far as a join asks them."""

    def __init__(self, tools: Tools) -> None:
        settings = tools.settings
        self._settings = settings
        self._transport = LeanTransport.in_cluster(token_dir=str(settings.paths.token))
        self._kube = Client(self._transport)
        self._peers = PeerClient(settings.paths.peer_tls, settings.namespace, port=settings.control_port)

    async def __aenter__(self) -> Surroundings:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._peers.close()
        await self._transport.close()

    async def peers(self, version: Version, failed: dict[str, int]) -> Peers:
        """Everyone's report, all asked at once. Raises one of our errors when the Cluster cannot be read."""
        settings = self._settings
        await self._peers.keep_up()
        cluster = await self._kube.get(CLUSTERS, settings.namespace, settings.cluster)
        status = cluster.get("status") or {}
        found = status.get("instanceNames") or [
            names.instance(settings.cluster, ordinal)
            for ordinal in range(1, int(cluster.get("spec", {}).get("instances", 1)) + 1)
        ]
        others = [name for name in found if name != settings.instance]
        reports = await asyncio.gather(*(self._ask(name) for name in others))
        excluded = (*status.get("divergedInstances", ()), *status.get("fencedInstances", ()))
        return Peers(
            own=settings.instance,
            version=version,
            primary=status.get("currentPrimary", ""),
            reports=dict(zip(others, reports, strict=True)),
            excluded=frozenset(excluded),
            failed=failed,
        )

    async def _ask(self, name: str) -> InstanceStatus | Silent:
        try:
            return await self._peers.status(name, timeout=ASK_SECONDS)
        except CnmysqlError as error:
            return Silent(error.message)
