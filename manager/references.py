"""Secrets that specs refer to and we do not own: their metadata is watched by name, their keys read when they change.

Values never stay here: only which keys there are, the version, certificates, and whether a key fits its certificate.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Final

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, NotFound
from cnmysql.kube.client import Client, key_of
from cnmysql.kube.informer import Informer
from cnmysql.kube.resources import SECRETS
from cnmysql.pki.inspect import KeyState, blocks, excess, key_state
from cnmysql.tasks import TaskSet
from manager.cluster.brought import user_secrets
from manager.cluster.desired import desired
from manager.cluster.material import referenced
from manager.cluster.snapshot import Json, Known, Malformed, Snapshot, TlsMaterial, UserSecret

_RETRY_SECONDS: Final = 1.0


class _Watched:
    """One referenced Secret and the Clusters that name it."""

    def __init__(self, informer: Informer) -> None:
        self.informer = informer
        self.users: set[str] = set()
        self.known = UserSecret(Known.UNKNOWN)
        self.task: asyncio.Task[None] | None = None


def facts(secret: Json) -> UserSecret:
    """What is kept of a Secret that was read. Loads its private key, if it has one, and forgets it."""
    data = secret.get("data") or {}
    tls = _material(str(secret.get("type") or "Opaque"), data)
    keys = frozenset(k for k, v in data.items() if v)
    return UserSecret(Known.PRESENT, keys, secret["metadata"]["resourceVersion"], tls)


def _material(type_: str, data: Json) -> TlsMaterial:
    certificate, authority, key = (_text(data, k) for k in ("tls.crt", "ca.crt", "tls.key"))
    for name, value in (("tls.crt", certificate), ("ca.crt", authority), ("tls.key", key)):
        if why := excess(name, value):
            # That there is a key says whether the CA is meant to sign.
            return TlsMaterial(type_, key=KeyState.UNREADABLE if key.strip() else KeyState.ABSENT, excess=why)
    return TlsMaterial(
        type_,
        certificate=blocks(certificate.decode("ascii", "replace")),
        authority=blocks(authority.decode("ascii", "replace")),
        key=key_state(certificate, key),
    )


def _text(data: Json, key: str) -> bytes:
    try:
        return base64.b64decode(data.get(key) or "")
    except binascii.Error:
        return b""


def _older(known: UserSecret, than: UserSecret) -> bool:
    """Two reads may come back in the wrong order."""
    both = known.revision.isdecimal() and than.revision.isdecimal()
    return both and int(known.revision) < int(than.revision)


class References:
    """`changed` is called with the key of every Cluster that names a Secret which came, went or changed."""

    def __init__(self, client: Client, clock: Clock, changed: Callable[[str], None]) -> None:
        self._client = client
        self._clock = clock
        self._changed = changed
        self._log = log.get("references")
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._tasks = TaskSet(self._failed)

    def refer(self, cluster: str, snapshot: Snapshot | None) -> None:
        """The Cluster's present references; watches start and end accordingly."""
        wanted: set[tuple[str, str]] = set()
        if snapshot is not None and not isinstance(snapshot.spec, Malformed):
            found = {name for _, name, _ in user_secrets(snapshot.spec)}
            found.update(referenced(snapshot, desired(snapshot)))
            wanted = {(snapshot.namespace, name) for name in found}
        for key in wanted:
            self._watch(key).users.add(cluster)
        for key in [k for k, w in self._watched.items() if cluster in w.users and k not in wanted]:
            watched = self._watched[key]
            watched.users.discard(cluster)
            if not watched.users and watched.task is not None:
                watched.task.cancel()
                del self._watched[key]

    def secrets(self, key: str) -> Mapping[str, UserSecret]:
        """What is known of the Secrets a Cluster names, by Secret name."""
        return {name: w.known for (_, name), w in self._watched.items() if key in w.users}

    async def close(self) -> None:
        await self._tasks.close()

    def _watch(self, key: tuple[str, str]) -> _Watched:
        if key not in self._watched:
            namespace, name = key
            informer = Informer(
                self._client,
                SECRETS,
                namespace=namespace,
                field_selector=f"metadata.name={name}",
                metadata_only=True,
                clock=self._clock,
            )
            watched = _Watched(informer)
            informer.add_handler(lambda _, old, new: self._seen(key, old, new))
            watched.task = self._tasks.start(self._follow(key, watched), name=f"secret {namespace}/{name}")
            self._watched[key] = watched
        return self._watched[key]

    async def _follow(self, key: tuple[str, str], watched: _Watched) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(watched.informer.run())
            await watched.informer.wait_synced(timeout=float("inf"))
            if watched.informer.get(f"{key[0]}/{key[1]}") is None:
                self._learn(key, UserSecret(Known.MISSING))

    def _seen(self, key: tuple[str, str], old: Json | None, new: Json | None) -> None:
        if new is None:
            self._learn(key, UserSecret(Known.MISSING))
        elif key in self._watched or old is None:
            self._tasks.start(self._read(key, new), name=f"read secret {key_of(new)}")

    async def _read(self, key: tuple[str, str], seen: Json) -> None:
        """GET which keys it has; a later event of the watch starts another read."""
        while key in self._watched:
            try:
                secret = await self._client.get(SECRETS, key[0], key[1])
            except NotFound:
                self._learn(key, UserSecret(Known.MISSING))
                return
            except CnmysqlError as error:
                self._log.warning("cannot read a referenced Secret", secret=key_of(seen), error=error.message)
                await self._clock.sleep(error.retry_after or _RETRY_SECONDS)
                continue
            self._learn(key, facts(secret))
            return

    def _learn(self, key: tuple[str, str], known: UserSecret) -> None:
        watched = self._watched.get(key)
        if watched is None or _older(known, watched.known):
            return
        if watched.known != known:
            watched.known = known
            for cluster in watched.users:
                self._changed(cluster)

    def _failed(self, name: str, error: BaseException) -> None:
        self._log.error("watching a reference ended by a bug", task=name, exc_info=error)
