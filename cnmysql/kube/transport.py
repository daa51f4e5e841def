"""Transport of the operator and the plugin: kubernetes_asyncio for credentials, TLS and the raw call, no more.

The only importer of kubernetes_asyncio. Its raw path returns error statuses as normal answers and has no timeouts,
so both are ours (`httpbase`); its typed models, its watch and its leader election are not used.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
from kubernetes_asyncio import client as kube
from kubernetes_asyncio import config as kube_config

from cnmysql.errors import Refused, Unreachable
from cnmysql.kube.httpbase import USER_AGENT, Ask, HttpTransport, Link

CA_CHECK_INTERVAL: Final = 10.0

load_incluster: Callable[..., None] = kube_config.load_incluster_config
Loader = Callable[[kube.Configuration], Awaitable[None]]


class KubeTransport(HttpTransport):
    """Reaches the API server that a kubeconfig or the Pod's environment names.

    `trust_env`: honour proxy variables of the environment; for people's machines, never inside a cluster.
    """

    def __init__(self, load: Loader, *, trust_env: bool) -> None:
        super().__init__()
        self._load = load
        self._trust_env = trust_env
        self._ca_file: Path | None = None
        self._ca = b""
        self._ca_checked = 0.0

    @classmethod
    async def in_cluster(cls, *, token_file: str = "", ca_file: str = "") -> KubeTransport:
        """With the ServiceAccount of the Pod we run in. Raises Refused when there is none."""
        paths = {k: v for k, v in (("token_filename", token_file), ("cert_filename", ca_file)) if v}

        async def load(configuration: kube.Configuration) -> None:
            # This loader re-reads the token file once a minute through a hook that runs on every request.
            load_incluster(configuration, **paths)

        return await cls._started(load, trust_env=False)

    @classmethod
    async def from_kubeconfig(cls, path: str | Path, context: str | None = None) -> KubeTransport:
        """With a context of this very file: `context`, or the file's own current-context. Raises Refused.

        Exec plugins and OIDC run when the file says so; the file is never written to.
        """

        async def load(configuration: kube.Configuration) -> None:
            try:
                await kube_config.load_kube_config(
                    config_file=str(path), context=context, client_configuration=configuration, persist_config=False
                )
            except kube_config.ConfigException as error:
                raise Refused(f"kubeconfig {path} is not usable: {error}") from error
            except Exception as error:  # noqa: BLE001 - see below
                # The loader raises whatever the file makes it stumble over; its text may quote the file.
                raise Refused(f"kubeconfig {path} is not usable: {type(error).__name__}") from None

        return await cls._started(load, trust_env=True)

    @classmethod
    async def _started(cls, load: Loader, *, trust_env: bool) -> KubeTransport:
        transport = cls(load, trust_env=trust_env)
        await transport._current()  # wrong credentials are an error at start, not at the first request
        return transport

    def _stale(self) -> bool:
        if self._ca_file is None or time.monotonic() - self._ca_checked < CA_CHECK_INTERVAL:
            return False
        self._ca_checked = time.monotonic()
        try:
            return self._ca_file.read_bytes() != self._ca
        except OSError:
            return False  # being replaced; what we have still works or fails on its own

    async def _open(self) -> Link:
        configuration = kube.Configuration()
        configuration.connection_pool_maxsize = 0  # no limit: open watches must not starve requests
        try:
            await self._load(configuration)
            if configuration.ssl_ca_cert:
                self._ca_file = Path(configuration.ssl_ca_cert)
                self._ca = self._ca_file.read_bytes()
                self._ca_checked = time.monotonic()
            return _KubeLink(configuration, trust_env=self._trust_env)
        except kube_config.ConfigException as error:
            raise Refused(f"no usable Kubernetes credentials: {error}") from error
        except OSError as error:
            raise Unreachable(f"Kubernetes credentials cannot be read: {error}") from error


class _KubeLink(Link):
    def __init__(self, configuration: kube.Configuration, *, trust_env: bool) -> None:
        super().__init__()
        self._api: Any = kube.ApiClient(configuration)
        self._api.user_agent = USER_AGENT
        # The library's session honours proxy variables everywhere and buffers 2 MiB per watch: keep its connector,
        # which carries the TLS settings, and give it a session of our own.
        theirs = self._api.rest_client.pool_manager
        connector = theirs.connector
        theirs.detach()
        self._api.rest_client.pool_manager = aiohttp.ClientSession(connector=connector, trust_env=trust_env)

    async def send(self, ask: Ask) -> aiohttp.ClientResponse:
        try:
            response: aiohttp.ClientResponse = await self._api.call_api(
                ask.path,
                ask.method,
                query_params=list(ask.query),
                header_params=dict(ask.headers),
                body=ask.body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=ask.limits,
                _return_http_data_only=True,
            )
        except kube_config.ConfigException as error:
            raise Unreachable(f"the token file cannot be read: {error}") from error
        del self._api.last_response  # the library would keep the last answer alive
        return response

    async def close(self) -> None:
        await self._api.close()
