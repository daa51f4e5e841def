"""Takes passwords from Secrets to instances. Nothing waits for it: one call for each instance is on its way at most.

A password is read when it is sent, turned into the form that mysqld stores, which lets nobody log in, and forgotten.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cnmysql import log, retry
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, Invalid
from cnmysql.kube.client import Client
from cnmysql.kube.resources import SECRETS
from cnmysql.log import Secret
from cnmysql.mysql import digest
from cnmysql.protocol.accounts import AccountsOrder, OwnerOrder, RootOrder, root_revision
from cnmysql.tasks import TaskSet
from manager.actions import OrderAccounts, PasswordSource
from manager.streams import Peer

AGAIN_SECONDS: Final = 30.0
"""An instance that has not carried an order out by then is given it again."""
FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 60.0

Json = dict[str, Any]
Send = Callable[[Peer, AccountsOrder], Awaitable[None]]
"""Hands an order to an instance. Raises one of our errors."""


class Passwords:
    """`changed` is called with the Cluster's key when it is time to look again at what an instance has done."""

    def __init__(self, client: Client, send: Send, clock: Clock, changed: Callable[[str], None]) -> None:
        self._client = client
        self._send = send
        self._clock = clock
        self._changed = changed
        self._log = log.get("passwords")
        self._sent: dict[tuple[str, str], OrderAccounts] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._tasks = TaskSet(self._failed)

    def order(self, action: OrderAccounts, cluster: Json) -> None:
        """See to it, unless the same is on its way or was handed over a moment ago."""
        meta = cluster["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        place = (key, action.instance)
        if self._sent.get(place) == action:
            return
        self._sent[place] = action
        peer = Peer(key, meta["namespace"], action.instance, action.pod_uid, action.address)
        self._tasks.start(self._deliver(peer, action, str(meta["uid"])), name=f"passwords for {action.instance}")

    async def close(self) -> None:
        await self._tasks.close()

    async def _deliver(self, peer: Peer, action: OrderAccounts, uid: str) -> None:
        place = (peer.cluster, peer.instance)
        logger = self._log.bind(cluster=peer.cluster.rpartition("/")[2], namespace=peer.namespace)
        pause = AGAIN_SECONDS
        try:
            await self._send(peer, await self._read(peer.namespace, action, uid))
        except CnmysqlError as error:
            pause = self._failed_again(place)
            logger.warning("passwords not handed over, will retry", instance=peer.instance, error=error.message)
        except Exception as error:  # a bug must not keep the order from being given again
            pause = self._failed_again(place)
            logger.error("handing passwords over failed by a bug, will retry", instance=peer.instance, exc_info=error)
        else:
            self._failures.pop(place, None)
            logger.info("passwords handed over", instance=peer.instance)
        await self._clock.sleep(pause)
        if self._sent.get(place) == action:
            del self._sent[place]
            self._changed(peer.cluster)

    def _failed_again(self, place: tuple[str, str]) -> float:
        """Count a failure; the pause before the next attempt."""
        failures = self._failures[place] = self._failures.get(place, 0) + 1
        return retry.pause(failures - 1, first=FIRST_RETRY, last=LAST_RETRY)

    async def _read(self, namespace: str, action: OrderAccounts, uid: str) -> AccountsOrder:
        root = owner = None
        if action.root is not None:
            revision, stored = await self._stored(namespace, action.root, uid)
            root = RootOrder(root_revision(revision, remote=action.remote), stored, action.remote)
        if action.owner is not None:
            revision, stored = await self._stored(namespace, action.owner, uid)
            owner = OwnerOrder(revision, action.owner.user, stored)
        return AccountsOrder(root, owner)

    async def _stored(self, namespace: str, source: PasswordSource, uid: str) -> tuple[str, Secret]:
        """Revision and stored form of the password as the Secret has it now."""
        found = await self._client.get(SECRETS, namespace, source.secret)
        try:
            text = base64.b64decode((found.get("data") or {}).get("password") or "").decode().rstrip("\n")
        except ValueError:
            raise Invalid(f"the password in Secret {source.secret} is not text in UTF-8") from None
        if not 1 <= len(text.encode()) <= digest.MAX_PASSWORD or "\0" in text:
            raise Invalid(f"the password in Secret {source.secret} must have 1 to {digest.MAX_PASSWORD} bytes, no NUL")
        # Slow on purpose, so not on the event loop.
        stored = await asyncio.to_thread(digest.derived, Secret(text), f"{uid}/{source.user}")
        return str(found["metadata"]["resourceVersion"]), stored

    def _failed(self, name: str, error: BaseException) -> None:
        self._log.error("handing passwords over ended by a bug", task=name, exc_info=error)
