"""The operator's side of the control connections: one client per Cluster, remade when a certificate changes.

The cache of Secrets holds no private key, so the key of the client certificate is read when it is needed.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from cnmysql import names
from cnmysql.errors import Transient
from cnmysql.kube.client import Client, split_key
from cnmysql.kube.resources import SECRETS
from cnmysql.pki.contexts import client_context_from_pem
from cnmysql.pki.inspect import MAX_TRUSTED, KeyState, blocks, excess, joined, key_state
from cnmysql.protocol.accounts import AccountsOrder
from cnmysql.protocol.client import ControlClient
from cnmysql.protocol.report import Frame
from manager.cluster.snapshot import Json
from manager.streams import Peer

Find = Callable[[str], Json | None]
"""An object of an informer's store, by `namespace/name`."""


@dataclass(frozen=True)
class _Made:
    version: tuple[str, str]
    client: ControlClient


class ControlClients:
    """Clients by Cluster. `secret` and `config_map` look into the informers."""

    def __init__(self, client: Client, secret: Find, config_map: Find) -> None:
        self._client = client
        self._secret = secret
        self._config_map = config_map
        self._made: dict[str, _Made] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        """One per Cluster: a Secret that is slow to read holds up nobody else."""

    @asynccontextmanager
    async def connect(self, peer: Peer) -> AsyncIterator[AsyncIterator[Frame]]:
        """The status stream of a peer (see `manager.streams.Connect`)."""
        control = await self._get(peer.cluster)
        async with aclosing(control.stream(peer.instance, peer.address)) as frames:
            yield frames

    async def order(self, peer: Peer, given: AccountsOrder) -> None:
        """Hand passwords to an instance (see `manager.passwords.Send`)."""
        await (await self._get(peer.cluster)).accounts(peer.instance, peer.address, given)

    async def forget(self, cluster: str) -> None:
        """Close the client of a Cluster that is gone."""
        self._locks.pop(cluster, None)
        made = self._made.pop(cluster, None)
        if made is not None:
            await made.client.close()

    async def close(self) -> None:
        for cluster in {*self._made, *self._locks}:
            await self.forget(cluster)

    async def _get(self, cluster: str) -> ControlClient:
        namespace, name = split_key(cluster)
        secret = self._secret(f"{namespace}/{names.secret_client_tls(name)}")
        trust = self._config_map(f"{namespace}/{names.trust_config_map(name)}")
        if secret is None or trust is None:
            raise Transient("the client certificate or the trust bundle is not there yet")
        version = (secret["metadata"]["resourceVersion"], trust["metadata"]["resourceVersion"])
        lock = self._locks.setdefault(cluster, asyncio.Lock())
        async with lock:
            made = self._made.get(cluster)
            if made is not None and made.version == version:
                return made.client
            # A stream that is open stays on the former client; it was verified when it was opened.
            context = await self._context(namespace, names.secret_client_tls(name), trust)
            if self._locks.get(cluster) is not lock:
                raise Transient("the Cluster was forgotten meanwhile")
            self._made[cluster] = _Made(version, ControlClient(context, namespace))
            return self._made[cluster].client

    async def _context(self, namespace: str, secret_name: str, trust: Json) -> ssl.SSLContext:
        data = (await self._client.get(SECRETS, namespace, secret_name)).get("data") or {}
        certificate, key = (base64.b64decode(data.get(k) or "") for k in ("tls.crt", "tls.key"))
        ca = str((trust.get("data") or {}).get(names.TRUST_SERVER_CA_KEY) or "")
        if not certificate or not key or not ca:
            raise Transient("the client certificate is not issued yet")
        # OpenSSL would load keys of any kind and size, and use them for every connection.
        if (why := excess("tls.crt", certificate)) or key_state(certificate, key) is not KeyState.MATCHES:
            raise Transient(f"the client certificate cannot be used: {why or 'tls.key does not fit tls.crt'}")
        try:
            return client_context_from_pem(certificate, key, joined(blocks(ca, MAX_TRUSTED)).encode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise Transient(f"the client certificate cannot be used: {error}") from error
