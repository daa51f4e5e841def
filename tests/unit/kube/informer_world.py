"""Pods behind an informer: a server that can be made to fail, and a mirror that checks what handlers are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cnmysql import tasks
from cnmysql.errors import Transient, Unreachable
from cnmysql.kube.client import Client, key_of
from cnmysql.kube.informer import Informer
from cnmysql.kube.resources import PODS
from cnmysql.kube.wire import Json, encode
from tests.support.fake_api_store import FakeStore, Refusal, Target
from tests.support.fake_api_transport import Fault, MemoryTransport
from tests.unit.kube.virtual import LoopClock

PODS_PATH = "/api/v1/namespaces/ns/pods"


def pod(name: str, app: str = "a", **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", "labels": {"app": app, "keep": "y"}},
        "spec": spec,
    }


class Replay:
    """Delivers the line, then the first line ever seen once more: old news after new."""

    def __init__(self) -> None:
        self.first = b""

    def __call__(self, line: bytes) -> list[Any]:
        self.first = self.first or line
        return [line, self.first]


class World:
    """A store, a client on it, and changes made behind the informer's back."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.transport = MemoryTransport(self.store)
        self.client = Client(self.transport)
        self.replay = Replay()

    def write(self, name: str, app: str = "a", keep: str = "y", **spec: Any) -> None:
        body = pod(name, app, **spec)
        body["metadata"]["labels"]["keep"] = keep
        if Target("v1", "pods", "ns", name, "") in self.store.objects:
            self.store.handle("PUT", f"{PODS_PATH}/{name}", {}, body, "application/json")
        else:
            self.store.handle("POST", PODS_PATH, {}, body, "application/json")

    def delete(self, name: str) -> None:
        try:
            self.store.handle("DELETE", f"{PODS_PATH}/{name}", {}, {}, "application/json")
        except Refusal as refusal:
            assert refusal.code == 404

    def expected(self, selector: str = "") -> dict[str, Json]:
        found = self.store.select(PODS_PATH, {"labelSelector": selector})
        for obj in found:
            obj["metadata"].pop("managedFields")
        return {key_of(o): o for o in found}

    def informer(self, **options: Any) -> Informer:
        index = {"app": lambda o: [o["metadata"]["labels"]["app"]]}
        return Informer(self.client, PODS, namespace="ns", clock=LoopClock(), indexers=index, **options)


@asynccontextmanager
async def following(informer: Informer, *, synced: bool = True) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    try:
        if synced:
            await informer.wait_synced(300)
        yield
    finally:
        with pytest.raises(asyncio.CancelledError):
            await _cancelled(task)


async def _cancelled(task: asyncio.Task[None]) -> None:
    await tasks.cancel(task)
    await task  # raises CancelledError when it ended by the cancellation, its own error otherwise


def contents(informer: Informer) -> dict[str, Json]:
    return {key_of(o): o for o in informer.list()}


class Mirror:
    """Rebuilds the store from what handlers are told, and notes what does not follow from what was told before."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.calls: list[tuple[str, bool, bool]] = []
        self.wrong: list[str] = []

    def __call__(self, key: str, old: Json | None, new: Json | None) -> None:
        if self.objects.get(key) != old:
            self.wrong.append(key)  # an assertion here would be contained like any failing handler
        self.calls.append((key, old is not None, new is not None))
        if new is None:
            del self.objects[key]
        else:
            self.objects[key] = new


def duplicate(line: bytes) -> list[Any]:
    return [line, line]


def bytewise(line: bytes) -> list[Any]:
    return [line[i : i + 1] for i in range(len(line))]


def half_then_drop(line: bytes) -> list[Any]:
    return [line[: len(line) // 2], Unreachable("dropped")]


def half_then_end(line: bytes) -> list[Any]:
    return [line[: len(line) // 2], None]


def lose_and_drop(_: bytes) -> list[Any]:
    return [Unreachable("dropped")]


def deliver_and_end(line: bytes) -> list[Any]:
    return [line, None]


def text_instead(_: bytes) -> list[Any]:
    return [b"503 service unavailable\n"]


def odd_json_instead(_: bytes) -> list[Any]:
    return [b'{"type":"ADDED","object":{}}\n']


def error_event(code: int, reason: str, **details: Any) -> Fault:
    line = encode({"type": "ERROR", "object": Refusal(code, reason, **details).body}) + b"\n"
    return lambda _: [line]


FAULTS: dict[str, Fault] = {
    "duplicate": duplicate,
    "replay": Replay(),
    "bytewise": bytewise,
    "half then drop": half_then_drop,
    "half then end": half_then_end,
    "lost": lose_and_drop,
    "end": deliver_and_end,
    "text": text_instead,
    "odd": odd_json_instead,
    "410": error_event(410, "Expired"),
    "500": error_event(500, "InternalError"),
    "429": error_event(429, "TooManyRequests", retryAfterSeconds=3),
}
REFUSALS: dict[str, Callable[[], Any]] = {
    "410": lambda: Refusal(410, "Expired"),
    "429": lambda: Transient("busy", retry_after=7),
    "503": lambda: Refusal(503, "ServiceUnavailable"),
    "refused": lambda: Unreachable("refused"),
}
