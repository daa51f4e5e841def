"""One pass over one Cluster: observe, plan, apply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from cnmysql import log, names
from cnmysql.errors import Conflict, Forbidden, Terminal, Transient
from cnmysql.kube.client import split_key
from cnmysql.kube.controller import Result
from cnmysql.retry import pause
from manager.actions import Plan
from manager.apply import Executor
from manager.cluster import facts, status
from manager.cluster.observe import Observer
from manager.cluster.outcome import Notice
from manager.cluster.plan import plan
from manager.cluster.rules import lifecycle
from manager.cluster.snapshot import Json, Snapshot
from manager.streams import Peer, Streams

_NAMESPACE_ENDING: Final = ("because it is being terminated", "refused fields: metadata.namespace")
"""How a refusal of the API server's NamespaceLifecycle admission reads, also where the message itself is withheld."""

_LOOK_AGAIN: Final = 30.0
_FIRST_RETRY: Final = 0.01
_LAST_RETRY: Final = 10.0


class Reconciler:
    """`refer` and `planned` learn of every pass, with None when the Cluster is gone; then `forget` is called."""

    def __init__(
        self,
        observer: Observer,
        executor: Executor,
        streams: Streams,
        *,
        refer: Callable[[str, Snapshot | None], None],
        planned: Callable[[str, Snapshot | None, Plan | None], None],
        forget: Callable[[str], Awaitable[None]],
    ) -> None:
        self._observer = observer
        self._executor = executor
        self._streams = streams
        self._refer = refer
        self._planned = planned
        self._forget = forget
        self._failures: dict[str, int] = {}
        self._ending: dict[str, tuple[str, float]] = {}
        """Uid of a Cluster whose namespace is being deleted, and until when (the snapshot's clock) it is left alone."""
        self._log = log.get("cluster")

    async def __call__(self, key: str) -> Result:
        """Never raises our errors: each says in the result when to look again."""
        snapshot = self._observer.observe(key)
        self._refer(key, snapshot)
        if snapshot is None:
            self._ending.pop(key, None)
            self._streams.sync(key, ())
            self._planned(key, None, None)
            await self._forget(key)
            return await self._bury(key)
        self._streams.sync(key, peers(key, snapshot), leaving(key, snapshot))
        if self._left_alone(key, snapshot):
            return Result()
        decided = plan(snapshot)
        self._planned(key, snapshot, decided)
        namespace, name = split_key(key)
        if decided.actions:
            self._log.debug(
                "pass",
                cluster=name,
                namespace=namespace,
                epoch=snapshot.record.epoch,
                phase=decided.phase,
                actions=[type(a).__name__ for a in decided.actions],
            )
        try:
            await self._executor.run(decided, snapshot.cluster)
        except Terminal as error:
            if isinstance(error, Forbidden) and any(mark in error.message for mark in _NAMESPACE_ENDING):
                self._log.info("the namespace is being deleted", cluster=name, namespace=namespace)
                self._ending[key] = (snapshot.uid, snapshot.clock + _LOOK_AGAIN)
                return Result()
            self._log.error("refused for good", cluster=name, namespace=namespace, error=error.message)
            await self._tell(key, error)
            # What stands in the way may be no object of ours, so nothing would wake us when it goes.
            return Result(_LOOK_AGAIN)
        except (Conflict, Transient) as error:
            return self._again(key, error)
        self._failures.pop(key, None)
        return Result(decided.wake_after)

    async def _bury(self, key: str) -> Result:
        """Keys of a CA that nobody needs are not left lying about."""
        namespace, name = split_key(key)
        remains = [("Secret", secret) for secret in self._observer.remains(key)]
        try:
            if remains:
                await self._executor.bury(namespace, name, Plan(lifecycle.removed(namespace, remains)))
        except (Conflict, Transient) as error:
            return self._again(key, error)
        except Terminal as error:
            self._log.error("a Secret of a Cluster that is gone is still there", key=key, error=error.message)
        self._failures.pop(key, None)
        return Result()

    def _left_alone(self, key: str, snapshot: Snapshot) -> bool:
        """Every object that goes with the namespace wakes us, and whatever we would make in its place is refused."""
        uid, until = self._ending.get(key, ("", 0.0))
        return uid == snapshot.uid and not snapshot.deleting and snapshot.clock < until

    def _again(self, key: str, error: Conflict | Transient) -> Result:
        """Try again soon, with backoff: a Cluster must not wait for minutes after the API server has come back."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        wait = max(pause(failures, first=_FIRST_RETRY, last=_LAST_RETRY), error.retry_after or 0.0)
        if isinstance(error, Conflict):
            self._log.debug("conflict, reading again", key=key, error=error.message)
        else:
            self._log.warning("reconcile failed, will retry", key=key, seconds=wait, error=error.message)
        return Result(wait)

    async def _tell(self, key: str, error: Terminal) -> None:
        """What the API server refuses for good is shown to people, not only logged."""
        snapshot = self._observer.observe(key)
        if snapshot is None or snapshot.deleting:
            return
        verdict = status.decide(snapshot, (Notice(error.message, names.PHASE_BLOCKED),), held=True)
        await self._executor.run(Plan(verdict.actions), snapshot.cluster)


def peers(key: str, s: Snapshot) -> list[Peer]:
    """Pods that have an address and may be running a manager."""
    found = []
    for instance in facts.pods_of(s):
        pod = s.objects.pods[instance]
        if not facts.pod_ended(pod):
            found += _peer(key, s, instance, pod)
    return found


def leaving(key: str, s: Snapshot) -> list[Peer]:
    """The holder of the primary Lease, while its Pod was deleted by force a moment ago.

    Its manager closes, but may be unable to say so in the Lease: without a Pod its token is refused.
    """
    lease = s.objects.leases.get(names.primary_lease(s.name)) or {}
    instance, _, pod_uid = str((lease.get("spec") or {}).get("holderIdentity") or "").partition("/")
    gone = s.departed.get(pod_uid)
    if gone is None or s.clock - gone.at > facts.CLOSING_SECONDS:
        return []
    return _peer(key, s, instance, gone.pod)


def _peer(key: str, s: Snapshot, instance: str, pod: Json) -> list[Peer]:
    address = (pod.get("status") or {}).get("podIP")
    return [Peer(key, s.namespace, instance, facts.uid(pod), str(address))] if address else []
