"""Secrets of users: which keys they have is learned when they change, their values never stay."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cnmysql.kube.client import Client
from cnmysql.kube.resources import SECRETS
from manager.cluster.snapshot import Known, Malformed, Snapshot
from manager.references import References
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport
from tests.unit.manager.snapshots import new, spec
from tests.unit.manager.virtual import LoopClock, until, virtual


def names_secret(name: str) -> Snapshot:
    return spec(new(), rootPasswordSecret={"name": name})


def secret(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "mine"}, "data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}}


class Bench:
    def __init__(self) -> None:
        self.transport = MemoryTransport(FakeStore())
        self.client = Client(self.transport)
        self.changed: list[str] = []
        self.references = References(self.client, LoopClock(), self.changed.append)

    def known(self, cluster: str = "shop/db") -> Known:
        return self.references.secrets(cluster)["mine"].state

    def watches(self) -> int:
        return sum(1 for method, _ in self.transport.calls if method == "WATCH")


@virtual
async def test_unknown_until_read_then_missing_then_present() -> None:
    bench = Bench()
    bench.references.refer("shop/db", names_secret("mine"))
    assert bench.known() is Known.UNKNOWN
    await until(lambda: bench.known() is Known.MISSING)
    await bench.client.create(SECRETS, "shop", secret(wrong="x"))
    await until(lambda: bench.known() is Known.PRESENT)
    assert bench.references.secrets("shop/db")["mine"].keys == {"wrong"}
    await bench.client.merge_patch(SECRETS, "shop", "mine", secret(password="hunter2"))
    await until(lambda: "password" in bench.references.secrets("shop/db")["mine"].keys)
    assert "hunter2" not in repr(bench.references.secrets("shop/db"))
    await bench.client.delete(SECRETS, "shop", "mine")
    await until(lambda: bench.known() is Known.MISSING)
    assert set(bench.changed) == {"shop/db"}
    assert len(bench.changed) == 4
    await bench.references.close()


@virtual
async def test_two_clusters_share_one_watch_and_both_are_told() -> None:
    bench = Bench()
    bench.references.refer("shop/db", names_secret("mine"))
    bench.references.refer("shop/other", names_secret("mine"))
    await until(lambda: set(bench.changed) == {"shop/db", "shop/other"})
    assert bench.watches() <= 1
    await bench.references.close()


@pytest.mark.parametrize(
    "after", [None, new(), replace(new(), spec=Malformed("unreadable"))], ids=["gone", "no reference", "malformed"]
)
def test_a_watch_ends_with_its_last_user(after: Snapshot | None) -> None:
    @virtual
    async def check() -> None:
        bench = Bench()
        bench.references.refer("shop/db", names_secret("mine"))
        await until(lambda: bench.known() is Known.MISSING)
        bench.references.refer("shop/db", after)
        assert bench.references.secrets("shop/db") == {}
        told = len(bench.changed)
        await bench.client.create(SECRETS, "shop", secret(password="x"))
        await LoopClock().sleep(5)
        assert len(bench.changed) == told
        await bench.references.close()

    check()


@virtual
async def test_a_read_that_fails_is_tried_again() -> None:
    bench = Bench()
    await bench.client.create(SECRETS, "shop", secret(password="x"))
    failures: list[str] = []

    def fail(method: str, path: str) -> None:
        if method == "GET" and path.endswith("/secrets/mine") and len(failures) < 2:
            failures.append(path)
            from cnmysql.errors import Transient

            raise Transient("overloaded")

    before: Callable[[str, str], None] = fail
    bench.transport.before = before
    bench.references.refer("shop/db", names_secret("mine"))
    await until(lambda: bench.known() is Known.PRESENT)
    assert len(failures) == 2
    await bench.references.close()
