"""What a joining instance finds around it, on loopback: an API server that shows one Cluster, and peers that answer
`GET /status` through the real control API with a report the test gives."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from aiohttp import web

from cnmysql.listener import Listener
from cnmysql.pki.contexts import RotatingServerContext, TlsFiles
from cnmysql.protocol.report import Frame, InstanceStatus
from instance.handlers import serve_control
from tests.mysql.instance_home import CLUSTER, NAMESPACE, Home
from tests.support.certs import Authority
from tests.support.ports import free_port

API_HOST = "kubernetes.default.svc"


class Canned:
    """A control API source that says what the test wants."""

    def __init__(self, report: InstanceStatus) -> None:
        self.report = report

    async def status(self) -> InstanceStatus:
        return self.report

    async def frames(self) -> AsyncGenerator[Frame, None]:
        yield Frame(report=self.report)


class Neighbours:
    """Servers in a thread of their own; `close` ends them."""

    def __init__(self, ca: Authority, home: Home) -> None:
        self.cluster: dict[str, Any] = {"spec": {"instances": 3}, "status": {}}
        self.asked = 0
        self.api_port = free_port()
        self.peers: dict[str, Canned] = {}
        self._ca = ca
        self._home = home
        self._listeners: list[Listener] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._serve_api())

    @property
    def env(self) -> dict[str, str]:
        """The environment of a Pod whose API server this is."""
        return {"KUBERNETES_SERVICE_HOST": API_HOST, "KUBERNETES_SERVICE_PORT": str(self.api_port)}

    def peer(self, home: Home, report: InstanceStatus) -> Canned:
        """Serve the control API of another instance at its address."""
        source = self.peers[home.instance] = Canned(report)
        self._call(self._serve_peer(home, source))
        return source

    def close(self) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve_api(self) -> None:
        directory = self._ca.issue(dns=(API_HOST,), client=False).write(self._home.base / "api")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
        app = web.Application()
        path = f"/apis/mysql.cloudnative-mysql.io/v1alpha1/namespaces/{NAMESPACE}/clusters/{CLUSTER}"
        app.router.add_get(path, self._answer)
        self._api = web.AppRunner(app)
        await self._api.setup()
        await web.TCPSite(self._api, "127.0.0.1", self.api_port, ssl_context=context).start()

    async def _answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        metadata = {"name": CLUSTER, "namespace": NAMESPACE, "resourceVersion": "1"}
        return web.json_response({**self.cluster, "metadata": metadata})

    async def _serve_peer(self, home: Home, source: Canned) -> None:
        files = TlsFiles.of(str(home.base / "tls/server"), str(home.base / "tls/trust/client-ca.crt"))
        listener = await serve_control(
            source, None, RotatingServerContext(files),
            cluster=CLUSTER, namespace=NAMESPACE, host=home.address, port=home.control_port,
        )  # fmt: skip
        self._listeners.append(listener)

    async def _close(self) -> None:
        for listener in self._listeners:
            await listener.close()
        await self._api.cleanup()
