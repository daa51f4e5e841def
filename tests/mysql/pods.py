"""A running instance manager as a process of its own, with a real mysqld and an API server over TLS."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from cnmysql import names
from cnmysql.errors import CnmysqlError
from cnmysql.kube.client import Client
from cnmysql.kube.resources import CLUSTERS, LEASES
from cnmysql.pki.contexts import TlsFiles, client_context
from cnmysql.protocol.client import ControlClient
from cnmysql.protocol.report import InstanceStatus
from tests.mysql.instance_home import CLUSTER, NAMESPACE, Home, Manager, descendants, make_home
from tests.support.fake_api import FakeApi
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport
from tests.support.mysqld import MysqldFactory

_numbers = itertools.count(1)


class Pod:
    """A running manager, the API server it talks to, and the operator's way to ask it."""

    def __init__(self, home: Home, api: FakeApi) -> None:
        self.home = home
        self.api = api
        self.client = Client(MemoryTransport(api.store))
        operator = TlsFiles.of(str(home.base / "tls/operator"), str(home.base / "tls/trust/server-ca.crt"))
        self.control = ControlClient(client_context(operator), NAMESPACE, port=home.control_port)
        self.manager: Manager | None = None

    def start(self) -> Manager:
        self.manager = self.home.start("run", env=self.api.environ)
        return self.manager

    async def found(self) -> None:
        body = {"metadata": {"name": CLUSTER}, "status": {"epoch": 0, "instanceNames": ["db-1"]}}
        await self.client.create(CLUSTERS, NAMESPACE, body)
        lease = {"metadata": {"name": names.primary_lease(CLUSTER)}, "spec": {"holderIdentity": ""}}
        await self.client.create(LEASES, NAMESPACE, lease)

    async def status(self) -> InstanceStatus:
        return await self.control.status(self.home.instance, self.home.address)

    async def reaches(self, condition: Callable[[InstanceStatus], bool], timeout: float = 40.0) -> InstanceStatus:
        """The first report that meets the condition."""
        assert self.manager is not None
        deadline = time.monotonic() + timeout
        last = "no answer yet"
        while time.monotonic() < deadline:
            assert self.manager.process.poll() is None, self.manager.log()
            try:
                report = await self.status()
            except CnmysqlError as error:
                last = str(error)
            else:
                if condition(report):
                    return report
                last = report.to_json().decode()
            await asyncio.sleep(0.05)
        raise AssertionError(f"not reached; last: {last}\n{self.manager.log()}")

    async def write(self, **status: Any) -> None:
        await self.client.merge_patch(CLUSTERS, NAMESPACE, CLUSTER, {"status": status}, subresource="status")

    async def bootstrap(self) -> None:
        report = await self.reaches(lambda r: r.server_uuid is not None)
        change = {"epoch": 1, "kind": "bootstrap", "from": "", "to": "db-1", "requiredGTIDs": ""}
        await self.write(epoch=1, roleChange=change, primaryUUIDs=[report.server_uuid])
        await self.reaches(lambda r: r.open)
        await self.write(roleChange=None, leaseHolder=self.holder)

    @property
    def holder(self) -> str:
        return str(self.api.store.select(LEASES.path(NAMESPACE), {})[0]["spec"]["holderIdentity"])

    @property
    def mysqld(self) -> int:
        assert self.manager is not None
        return next(
            pid for pid in descendants(self.manager.pid) if Path("/proc", str(pid), "comm").read_text() == "mysqld\n"
        )


@contextmanager
def initialised(factory: MysqldFactory) -> Iterator[Path]:
    """A volume initialised once, to run tests on copies of."""
    made = make_home(factory, f"template-{next(_numbers)}")
    manager = made.start("initdb")
    assert manager.wait() == 0, manager.log()
    yield made.volume
    made.close()


@asynccontextmanager
async def founded(factory: MysqldFactory, volume: Path) -> AsyncIterator[Pod]:
    """A Pod that has not been started, on a copy of the volume, and the objects of its Cluster."""
    home = make_home(factory, f"home-{next(_numbers)}")
    await asyncio.to_thread(subprocess.run, ["cp", "-a", f"{volume}/.", str(home.volume)], check=True)
    with tempfile.TemporaryDirectory() as directory:
        api = FakeApi(FakeStore(), Path(directory))
        (home.base / "token" / "ca.crt").write_bytes(api.new_authority())
        (home.base / "token" / "token").write_text("first")
        await api.start()
        found = Pod(home, api)
        await found.found()
        yield found
        await asyncio.to_thread(home.close)
        await found.control.close()
        await api.stop()
