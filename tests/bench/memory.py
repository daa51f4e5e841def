"""Memory of 1,000 Pods: decoded JSON in a list beside our informer's store, each in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from cnmysql import names

PODS = 1_000


def pod(number: int) -> dict[str, Any]:
    """A database Pod as the API server shows it, with managed fields."""
    mounts = [{"name": f"v{n}", "mountPath": f"/etc/cnmysql/{n}", "readOnly": True} for n in range(10)]
    containers = [
        {
            "name": name, "image": "docker.io/library/mysql:9.7", "command": ["/controller/manager", "instance", "run"],
            "env": [{"name": f"E{n}", "value": "x" * 20} for n in range(5)], "volumeMounts": mounts,
            "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent",
            "securityContext": {"capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True},
        }
        for name in ("bootstrap-controller", "bootstrap", "mysql")
    ]  # fmt: skip
    return {
        "metadata": {
            "name": f"db-{number}", "namespace": f"ns-{number % 50}", "uid": f"00000000-0000-0000-0000-{number:012}",
            "resourceVersion": str(100_000 + number), "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {f"{names.PREFIX}cluster": "db", f"{names.PREFIX}instance": f"db-{number}"},
            "managedFields": [{"manager": "m", "fieldsV1": {f"f:{k}": {"f:x": {}} for k in range(30)}}] * 3,
        },
        "spec": {"containers": containers[2:], "initContainers": containers[:2], "nodeName": f"node-{number % 3}"},
        "status": {
            "phase": "Running", "podIP": f"10.1.{number // 250}.{number % 250}",
            "conditions": [{"type": t, "status": "True"} for t in ("Ready", "Initialized", "PodScheduled")],
            "containerStatuses": [{"name": "mysql", "ready": True, "restartCount": 0, "containerID": f"containerd://{number:064}"}],
        },
    }  # fmt: skip


def _heap() -> float:
    """Megabytes of live Python objects. Resident memory would count what making the Pods has left behind."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1e6


class _Server:
    """A transport whose server has the Pods and never changes them."""

    async def request(self, method: str, path: str, *, query: Any = (), **_: Any) -> dict[str, Any]:
        asked = dict(query)
        start, size = int(asked.get("continue", 0)), int(asked.get("limit", PODS))
        more = str(start + size) if start + size < PODS else ""
        page = [pod(n) for n in range(start, min(start + size, PODS))]
        answer: dict[str, Any] = orjson.loads(
            json.dumps({"metadata": {"resourceVersion": "1", "continue": more}, "items": page})
        )
        return answer

    @asynccontextmanager
    async def stream(self, path: str, **_: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        async def quiet() -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

        yield quiet()

    async def close(self) -> None:
        return


async def _informer() -> float:
    from cnmysql.clock import SystemClock
    from cnmysql.kube.client import Client
    from cnmysql.kube.informer import Informer
    from cnmysql.kube.resources import PODS as RESOURCE

    before = _heap()
    informer = Informer(Client(_Server()), RESOURCE, clock=SystemClock())
    task = asyncio.create_task(informer.run())
    await informer.wait_synced(60)
    assert len(informer.list()) == PODS
    used = _heap() - before
    task.cancel()
    await asyncio.wait([task])
    return used


def _plain() -> float:
    raw = [json.dumps(pod(n)) for n in range(PODS)]
    before = _heap()
    kept = [orjson.loads(text) for text in raw]
    used = _heap() - before
    assert len(kept) == PODS
    return used


def measure() -> dict[str, float]:
    """Megabytes of heap by name."""
    found = {}
    for mode, name in (
        ("plain", "decoded JSON in a list"),
        ("informer", "our informer (no managed fields, equal parts once)"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.memory", mode], capture_output=True, text=True, check=True, timeout=120
        )
        found[name] = float(done.stdout)
    return found


if __name__ == "__main__":
    tracemalloc.start()
    sys.stdout.write(str(_plain() if sys.argv[1] == "plain" else asyncio.run(_informer())))
