"""Questions to the other instances of the Cluster, with this instance's peer certificate.

The HTTP client is loaded when the first question is asked: an instance that never asks does not carry it.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from cnmysql import names
from cnmysql.errors import CnmysqlError, Unreachable
from cnmysql.pki.contexts import TlsFiles, client_context
from cnmysql.protocol.report import InstanceStatus
from instance.role.facts import peer_facts
from instance.role.view import PeerFacts, Unknown

if TYPE_CHECKING:
    from cnmysql.protocol.client import ControlClient


class PeerClient:
    """Asks `<i>.<ns>.svc`. `refresh` after the peer certificate or the trust changed on disk."""

    def __init__(self, files: TlsFiles, namespace: str, *, port: int = names.PORT_CONTROL) -> None:
        self._files = files
        self._namespace = namespace
        self._port = port
        self._client: ControlClient | None = None
        self._context: ssl.SSLContext | None = None
        self._stamp: object = None

    async def status(self, instance: str, *, timeout: float = 2.0) -> InstanceStatus:
        """`GET /status` of another instance. Raises Unreachable, Forbidden and what the client raises."""
        try:
            async with asyncio.timeout(timeout):
                address = await self._resolve(names.instance_host(instance, self._namespace))
                return await self._connected().status(instance, address, timeout=timeout)
        except TimeoutError:
            raise Unreachable(f"{instance} did not answer within {timeout:g} s") from None

    async def ask(self, instance: str, *, timeout: float) -> PeerFacts | Unknown:
        """The facts of a peer, or why they could not be had."""
        try:
            return peer_facts(await self.status(instance, timeout=timeout))
        except (CnmysqlError, ValueError) as error:
            return Unknown(str(error))

    async def refresh(self) -> None:
        """Use the files as they are now for new connections. Raises Unreachable when they cannot be used: what was in
        use stays so."""
        self._load()
        await self.close()

    async def keep_up(self) -> None:
        """`refresh` if the files were replaced since they were read. While they cannot be used nothing changes."""
        try:
            if self._files.stamp() != self._stamp:
                await self.refresh()
        except (OSError, Unreachable):
            return

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _connected(self) -> ControlClient:
        if self._client is None:
            from cnmysql.protocol.client import ControlClient

            self._client = ControlClient(self._context or self._load(), self._namespace, port=self._port)
        return self._client

    def _load(self) -> ssl.SSLContext:
        try:
            stamp, context = self._files.stamp(), client_context(self._files)
        except (OSError, ssl.SSLError) as error:
            raise Unreachable(f"the peer certificate cannot be used: {error}") from error
        self._stamp, self._context = stamp, context
        return context

    async def _resolve(self, host: str) -> str:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, self._port)
        except OSError as error:
            raise Unreachable(f"{host} has no address: {error.strerror}") from None
        return str(found[0][4][0])
