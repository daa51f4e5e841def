"""Kubernetes Events (events.k8s.io/v1) told in the background: never blocks, never fails what it tells about.

The same event told again becomes a series: its count and last time are patched, at most once per interval.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from cnmysql import log
from cnmysql.clock import Clock, SystemClock
from cnmysql.errors import CnmysqlError, NotFound
from cnmysql.kube.client import Client
from cnmysql.kube.leaserecord import micro_time
from cnmysql.kube.resources import EVENTS
from cnmysql.kube.wire import Json
from cnmysql.kube.workqueue import WorkQueue

NORMAL: Final = "Normal"
WARNING: Final = "Warning"

MOST_SERIES: Final = 512
"""Different events remembered; the one told longest ago is forgotten first, told or not."""
SERIES_INTERVAL: Final = 30.0
"""Seconds between two writes of one series."""
NOTE_LIMIT: Final = 1024
"""Bytes of a note the API accepts (k8s.io/api/events/v1)."""
ATTEMPTS: Final = 5


@dataclass
class _Series:
    namespace: str
    body: Json
    told: int = 0
    written: int = 0
    name: str = ""
    last: str = ""
    written_at: float = field(default=float("-inf"))


class EventRecorder:
    """Events of one component of ours; `instance` names the process (Pod name). `run` does the writing."""

    def __init__(self, client: Client, component: str, instance: str, *, clock: Clock | None = None) -> None:
        self._client = client
        self._component = component
        self._instance = instance
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._series: OrderedDict[str, _Series] = OrderedDict()
        self._queue = WorkQueue(self._clock)
        self._log = log.get("events")

    def emit(self, obj_ref: Json, reason: str, type: str, message: str, *, action: str = "") -> None:
        """Tell about an object (any dict with apiVersion, kind and metadata). Returns at once.

        `type` is Normal or Warning, `reason` a CamelCase word, `action` what was done (the reason when empty).
        """
        meta = obj_ref["metadata"]
        note = message.encode()[:NOTE_LIMIT].decode(errors="ignore")
        key = "\0".join((meta.get("uid") or meta["name"], obj_ref["kind"], reason, type, action, note))
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._begin(obj_ref, reason, type, note, action=action or reason)
        self._series.move_to_end(key)
        while len(self._series) > MOST_SERIES:
            self._series.popitem(last=False)
        series.told += 1
        series.last = micro_time(self._clock.now())
        self._queue.add_after(key, series.written_at + SERIES_INTERVAL - self._clock.monotonic())

    def _begin(self, obj: Json, reason: str, type: str, note: str, *, action: str) -> _Series:
        meta = obj["metadata"]
        regarding = {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            **{k: meta[k] for k in ("name", "namespace", "uid", "resourceVersion") if meta.get(k)},
        }
        body = {
            "regarding": regarding,
            "reason": reason,
            "type": type,
            "note": note,
            "action": action,
            "reportingController": self._component,
            "reportingInstance": self._instance,
        }
        # Events about objects without namespace live in "default" (k8s.io/client-go/tools/events).
        return _Series(meta.get("namespace") or "default", body)

    async def run(self) -> None:
        """Write what is told, until cancelled."""
        while True:
            key = await self._queue.get()
            try:
                await self._flush(key)
            except CnmysqlError as error:
                self._failed(key, error)
            finally:
                self._queue.done(key)

    async def _flush(self, key: str) -> None:
        series = self._series.get(key)
        if series is None or series.told == series.written:
            return
        told = series.told
        series.written_at = self._clock.monotonic()
        if series.name:
            try:
                await self._count(series)
            except NotFound:  # the server keeps events for an hour
                series.name = ""
                series.told = told = series.told - series.written
                series.written = 0
        if not series.name:
            await self._create(series)
            told = 1
            if series.told > 1:
                self._queue.add_after(key, SERIES_INTERVAL)
        series.written = told
        self._queue.forget(key)

    async def _create(self, series: _Series) -> None:
        name = f"{series.body['regarding']['name'][:200]}.{secrets.token_hex(8)}"
        body = {
            **series.body,
            "metadata": {"name": name, "namespace": series.namespace},
            "eventTime": micro_time(self._clock.now()),
        }
        await self._client.create(EVENTS, series.namespace, body)
        series.name = name

    async def _count(self, series: _Series) -> None:
        patch = {"series": {"count": series.told, "lastObservedTime": series.last}}
        await self._client.merge_patch(EVENTS, series.namespace, series.name, patch)

    def _failed(self, key: str, error: CnmysqlError) -> None:
        if error.retry and self._queue.failures(key) < ATTEMPTS:
            self._queue.add_rate_limited(key, at_least=error.retry_after or 1.0)
            return
        self._queue.forget(key)
        self._series.pop(key, None)
        self._log.warning("event not written", error=error.message)
