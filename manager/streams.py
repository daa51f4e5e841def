"""One status stream per instance: the operator hears of mysqld's death in milliseconds and polls nobody.

What was heard is kept with the monotonic time of the last frame. A broken stream becomes `Unreachable(since)`, which
says nothing about the instance: only that we do not hear it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, Invalid
from cnmysql.protocol.report import STREAM_SILENCE_SECONDS, Frame, Heartbeat, InstanceStatus
from cnmysql.tasks import TaskSet
from manager.cluster.snapshot import Observation, Report, Unreachable

_FIRST_RETRY: Final = 0.1
_LAST_RETRY: Final = 2.0


@dataclass(frozen=True)
class Peer:
    """One Pod's manager: dialled by address, verified by name."""

    cluster: str
    namespace: str
    instance: str
    pod_uid: str
    address: str


Connect = Callable[[Peer], AbstractAsyncContextManager[AsyncIterator[Frame]]]
"""Opens the stream of a peer. Raises our errors on entry or while iterating."""


class Streams:
    """Follows every peer it was told of; `changed` is called with the Cluster's key when something was learned."""

    def __init__(self, connect: Connect, clock: Clock, changed: Callable[[str], None]) -> None:
        self._connect = connect
        self._clock = clock
        self._changed = changed
        self._log = log.get("streams")
        self._following: dict[str, dict[Peer, asyncio.Task[None]]] = {}
        self._leaving: dict[str, set[Peer]] = {}
        self._heard: dict[str, dict[str, Observation]] = {}
        self._tasks = TaskSet(self._failed)

    def sync(self, cluster: str, peers: Iterable[Peer], leaving: Iterable[Peer] = ()) -> None:
        """Follow exactly these peers of the Cluster; what former ones said is forgotten.

        `leaving`: their Pods are gone from the API server. They are listened to for as long as they are named and
        not dialled anew, and what they say is found under their Pod uid.
        """
        following = self._following.setdefault(cluster, {})
        gone = {p for p in leaving if p in following}
        self._leaving[cluster] = gone
        wanted = {*peers, *gone}
        for peer in [p for p in following if p not in wanted]:
            following.pop(peer).cancel()
        for peer in wanted:
            if peer not in following:
                following[peer] = self._tasks.start(self._follow(peer), name=f"status of {peer.instance}")
        heard = self._heard.setdefault(cluster, {})
        for peer in gone:
            last = heard.get(peer.instance)
            if isinstance(last, Report) and last.status.pod_uid == peer.pod_uid:
                heard[peer.pod_uid] = heard.pop(peer.instance)
        kept = {self._key(p) for p in wanted}
        for key in [k for k in heard if k not in kept]:
            del heard[key]
        if not wanted:
            for known in (self._following, self._leaving, self._heard):
                known.pop(cluster, None)

    def of(self, key: str) -> Mapping[str, Observation]:
        """Last word of each instance of the Cluster `namespace/name`, and of leaving Pods by their uid."""
        return dict(self._heard.get(key, {}))

    async def close(self) -> None:
        """End every stream."""
        await self._tasks.close()

    def _failed(self, name: str, error: BaseException) -> None:
        self._log.error("stream ended by a bug", task=name, exc_info=error)

    def _key(self, peer: Peer) -> str:
        """What its words are found under."""
        return peer.pod_uid if peer in self._leaving.get(peer.cluster, ()) else peer.instance

    async def _follow(self, peer: Peer) -> None:
        delay, reason = _FIRST_RETRY, ""
        while True:
            began = self._clock.monotonic()
            try:
                await self._read(peer)
                reason = "the instance closed the stream"
            except CnmysqlError as error:
                reason = error.message
            except TimeoutError:
                reason = f"silent for {STREAM_SILENCE_SECONDS:g} s"
            except Exception as error:  # noqa: BLE001 - a bug must not end what nobody would begin again
                before, reason = reason, f"the operator failed to listen: {type(error).__name__}"
                if reason != before:
                    self._log.error("stream failed by a bug, will retry", instance=peer.instance, exc_info=error)
            self._lost(peer, reason)
            delay = _FIRST_RETRY if self._clock.monotonic() - began > _LAST_RETRY else min(_LAST_RETRY, delay * 2)
            await self._clock.sleep(delay)

    async def _read(self, peer: Peer) -> None:
        async with self._connect(peer) as frames:
            iterator = aiter(frames)
            while True:
                async with asyncio.timeout(STREAM_SILENCE_SECONDS):
                    frame = await anext(iterator, None)
                if frame is None:
                    return
                self._take(peer, frame)

    def _take(self, peer: Peer, frame: Frame) -> None:
        now = self._clock.monotonic()
        heard = self._heard.setdefault(peer.cluster, {})
        key = self._key(peer)
        before = heard.get(key)
        if frame.report is not None:
            _speaks_for_itself(peer, frame.report)
            self._tell(peer, before, frame.report)
            heard[key] = Report(frame.report, now)
            if not (isinstance(before, Report) and before.status == frame.report):
                self._changed(peer.cluster)
        elif frame.heartbeat is not None and isinstance(before, Report):
            heard[key] = Report(_merged(before.status, frame.heartbeat), now)

    def _tell(self, peer: Peer, before: Observation | None, status: InstanceStatus) -> None:
        """One log line when an instance's server or role changed, for whoever reads what happened when."""
        shown = _shown(status)
        if not isinstance(before, Report) or _shown(before.status) != shown:
            self._log.info("instance changed", cluster=peer.cluster, instance=peer.instance, **shown)

    def _lost(self, peer: Peer, reason: str) -> None:
        heard = self._heard.setdefault(peer.cluster, {})
        key = self._key(peer)
        before = heard.get(key)
        since = before.since if isinstance(before, Unreachable) else self._clock.monotonic()
        heard[key] = Unreachable(since, reason)
        if not (isinstance(before, Unreachable) and before.reason == reason):
            # A Pod that has just begun is dialled before it listens; a new leader's first word of a dead one is news.
            tell = self._log.info if before is None else self._log.warning
            tell(
                "no status stream yet" if before is None else "status stream lost",
                cluster=peer.cluster.rpartition("/")[2],
                namespace=peer.namespace,
                instance=peer.instance,
                error=reason,
            )
            self._changed(peer.cluster)


def _speaks_for_itself(peer: Peer, report: InstanceStatus) -> None:
    """Raises Invalid for a report about anybody but the Pod that was dialled."""
    if (report.instance_name, report.pod_uid) != (peer.instance, peer.pod_uid):
        raise Invalid(f"{peer.instance} speaks as {report.instance_name} (Pod uid {report.pod_uid})")


def _shown(status: InstanceStatus) -> dict[str, str | bool | int]:
    return {"mysqld": status.mysqld.state, "role": status.role, "open": status.open, "epoch": status.epoch}


def _merged(status: InstanceStatus, beat: Heartbeat) -> InstanceStatus:
    """The sets that move all the time ride the heartbeat."""
    moved = {
        name: value for name in ("gtid_executed", "received", "lease") if (value := getattr(beat, name)) is not None
    }
    return status.model_copy(update=moved) if moved else status
