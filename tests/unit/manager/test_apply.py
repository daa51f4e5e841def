"""The executor against an API server: order, preconditions, strangers, passwords."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cnmysql import names
from cnmysql.errors import Conflict, NotFound, Refused, Transient
from cnmysql.kube import resources
from cnmysql.kube.client import Client
from cnmysql.kube.resources import Resource
from manager.actions import (
    Action,
    Apply,
    ClearHold,
    Commit,
    CopyPair,
    CreateOnce,
    Delete,
    Emit,
    OrderAccounts,
    PatchOwned,
    PatchStatus,
    Plan,
    Reissue,
    Target,
)
from manager.apply import Executor, generate_password
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport
from tests.unit.manager.virtual import LoopClock, virtual

Json = dict[str, Any]
CLUSTER = {"metadata": {"name": "db", "namespace": "shop"}, "spec": {}}


class Events:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def emit(self, obj_ref: Json, reason: str, type: str, message: str, *, action: str = "") -> None:
        self.told.append((reason, type, message))


class Bench:
    """An executor, the server it writes to, and the Cluster it works for."""

    def __init__(self, *, fresh: Callable[[], bool] = lambda: True) -> None:
        self.transport = MemoryTransport(FakeStore())
        self.client = Client(self.transport)
        self.events = Events()
        self.written: list[Json] = []
        self.ordered: list[tuple[OrderAccounts, Json]] = []
        self.executor = Executor(
            self.client, self.events, fresh, self.written.append, lambda action, c: self.ordered.append((action, c))
        )  # fmt: skip
        self.cluster: Json = {}

    async def start(self) -> Bench:
        self.cluster = await self.client.create(resources.CLUSTERS, "shop", CLUSTER)
        self.transport.calls.clear()
        return self

    async def do(self, *actions: Action) -> None:
        await self.executor.run(Plan(actions), self.cluster)

    def ours(self, name: str, **more: Any) -> Json:
        owner = {"kind": "Cluster", "uid": self.cluster["metadata"]["uid"], "name": "db", "controller": True}
        return {"metadata": {"name": name, "namespace": "shop", "ownerReferences": [owner]}, **more}

    @property
    def writes(self) -> list[str]:
        return [method for method, _ in self.transport.calls if method != "GET"]


def target(resource: Resource, name: str) -> Target:
    return Target(resource, "shop", name)


SERVICE = target(resources.SERVICES, "db-rw")
POD = target(resources.PODS, "db-1")


@virtual
async def test_a_create_that_lost_its_answer_is_done_the_second_time() -> None:
    bench = await Bench().start()
    create = CreateOnce(POD, bench.ours("db-1"))
    await bench.do(create)
    await bench.do(create)
    assert (await bench.client.get(resources.PODS, "shop", "db-1"))["metadata"]["uid"]


@pytest.mark.parametrize("kind", ["create", "apply"])
def test_a_strangers_object_is_never_taken_over(kind: str) -> None:
    @virtual
    async def check() -> None:
        bench = await Bench().start()
        await bench.client.create(resources.SERVICES, "shop", {"metadata": {"name": "db-rw"}, "theirs": 1})
        body = bench.ours("db-rw", ours=1)
        action = CreateOnce(SERVICE, body) if kind == "create" else Apply(SERVICE, body, absent=True)
        with pytest.raises(Refused, match="NameTaken: Service shop/db-rw exists and does not belong to this Cluster"):
            await bench.do(action)
        assert "ours" not in await bench.client.get(resources.SERVICES, "shop", "db-rw")

    check()


@virtual
async def test_a_kept_volume_of_this_cluster_is_no_stranger() -> None:
    bench = await Bench().start()
    uid = bench.cluster["metadata"]["uid"]
    volume = {"metadata": {"name": "db-1", "annotations": {names.ANN_CLUSTER_UID: uid}}}
    await bench.client.create(resources.PVCS, "shop", volume)
    await bench.do(CreateOnce(target(resources.PVCS, "db-1"), volume))


@virtual
async def test_an_apply_over_something_seen_asks_nobody() -> None:
    bench = await Bench().start()
    await bench.do(Apply(SERVICE, bench.ours("db-rw", spec={"a": 1}), absent=True))
    bench.transport.calls.clear()
    await bench.do(Apply(SERVICE, bench.ours("db-rw", spec={"a": 2}), absent=False))
    assert [method for method, _ in bench.transport.calls] == ["PATCH"]


@virtual
async def test_passwords_are_made_at_the_edge_and_never_again() -> None:
    bench = await Bench().start()
    create = CreateOnce(
        target(resources.SECRETS, "db-root"), bench.ours("db-root", stringData={"username": "root"}), ("password",)
    )
    await bench.do(create)
    first = (await bench.client.get(resources.SECRETS, "shop", "db-root"))["stringData"]
    assert first["username"] == "root"
    assert len(first["password"]) == 32
    assert first["password"].isalnum()
    await bench.do(create)
    assert (await bench.client.get(resources.SECRETS, "shop", "db-root"))["stringData"] == first
    assert "password" not in create.body["stringData"]


def test_passwords_differ() -> None:
    assert len({generate_password() for _ in range(100)}) == 100


@virtual
async def test_a_delete_reaches_only_the_object_that_was_judged() -> None:
    bench = await Bench().start()
    pod = await bench.client.create(resources.PODS, "shop", bench.ours("db-1"))
    with pytest.raises(Conflict):
        await bench.do(Delete(POD, "another", "why"))
    await bench.do(Delete(POD, pod["metadata"]["uid"], "why"))
    await bench.do(Delete(POD, pod["metadata"]["uid"], "why"))


@virtual
async def test_a_patch_carries_the_uid_and_keeps_foreign_keys() -> None:
    bench = await Bench().start()
    pod = await bench.client.create(resources.PODS, "shop", bench.ours("db-1", labels={"theirs": "x"}))
    await bench.do(PatchOwned(POD, pod["metadata"]["uid"], {"labels": {"ours": "y"}}))
    assert (await bench.client.get(resources.PODS, "shop", "db-1"))["labels"] == {"theirs": "x", "ours": "y"}
    with pytest.raises(Conflict):
        await bench.do(PatchOwned(POD, "another", {"labels": {"ours": "z"}}))
    await bench.do(PatchOwned(target(resources.PODS, "gone"), "any", {"labels": {}}))


@virtual
async def test_objects_of_one_kind_are_made_together_and_kinds_in_order() -> None:
    bench = await Bench().start()
    secrets = [CreateOnce(target(resources.SECRETS, f"s{i}"), bench.ours(f"s{i}")) for i in range(20)]
    pods = [CreateOnce(target(resources.PODS, f"p{i}"), bench.ours(f"p{i}")) for i in range(2)]
    began = LoopClock().monotonic()
    await bench.do(*secrets, *pods)
    assert LoopClock().monotonic() - began < 0.01, "one request takes 1 ms here"
    kinds = [path.rsplit("/", 1)[-1] for _, path in bench.transport.calls]
    assert kinds == ["secrets"] * 20 + ["pods"] * 2


@virtual
async def test_a_failure_in_a_batch_lets_the_batch_end_and_stops_what_follows() -> None:
    bench = await Bench().start()
    await bench.client.create(resources.SECRETS, "shop", {"metadata": {"name": "s0"}})
    secrets = [CreateOnce(target(resources.SECRETS, f"s{i}"), bench.ours(f"s{i}")) for i in range(3)]
    with pytest.raises(Refused, match="NameTaken"):
        await bench.do(*secrets, CreateOnce(POD, bench.ours("db-1")))
    await bench.client.get(resources.SECRETS, "shop", "s2")
    with pytest.raises(NotFound):
        await bench.client.get(resources.PODS, "shop", "db-1")


@virtual
async def test_the_first_failure_stops_the_rest() -> None:
    bench = await Bench().start()
    with pytest.raises(Conflict):
        await bench.do(
            CreateOnce(target(resources.PVCS, "db-1"), bench.ours("db-1")),
            Commit({"epoch": 1}, "old", "why"),
            Emit("Never", "told"),
        )
    assert bench.events.told == []
    await bench.client.get(resources.PVCS, "shop", "db-1")


@virtual
async def test_status_writes_are_compare_and_swap_and_are_passed_on() -> None:
    bench = await Bench().start()
    version = bench.cluster["metadata"]["resourceVersion"]
    await bench.do(PatchStatus({"phase": "Ready"}, version), Emit("Ready", "it is", warning=False))
    assert bench.written[0]["status"] == {"phase": "Ready"}
    assert bench.events.told == [("Ready", "Normal", "it is")]
    with pytest.raises(Conflict):
        await bench.do(PatchStatus({"phase": "Degraded"}, version))
    assert len(bench.written) == 1


LEASE = target(resources.LEASES, "db-primary")


async def held(bench: Bench) -> Json:
    body = bench.ours("db-primary", spec={"holderIdentity": "db-1/old", "leaseDurationSeconds": 10})
    return await bench.client.create(resources.LEASES, "shop", body)


@virtual
async def test_a_hold_is_cleared_on_the_judged_record_only() -> None:
    bench = await Bench().start()
    lease = await held(bench)
    version = lease["metadata"]["resourceVersion"]
    await bench.client.merge_patch(resources.LEASES, "shop", "db-primary", {"spec": {"renewTime": "later"}})
    with pytest.raises(Conflict):
        await bench.do(ClearHold(LEASE, version, "db-1/old", "proof", 3))
    version = (await bench.client.get(resources.LEASES, "shop", "db-primary"))["metadata"]["resourceVersion"]
    await bench.do(ClearHold(LEASE, version, "db-1/old", "proof", 3))
    found = await bench.client.get(resources.LEASES, "shop", "db-primary")
    assert found["spec"]["holderIdentity"] == ""
    (note,) = found["metadata"]["annotations"].values()
    assert note == '{"holder": "db-1/old", "proof": "proof", "epoch": 3}'


@virtual
async def test_a_pair_is_copied_in_exactly_the_version_that_was_judged() -> None:
    bench = await Bench().start()
    mine = {
        "metadata": {"name": "mine"},
        "data": {"tls.crt": "Yw==", "tls.key": "aw==", "ca.crt": "eA==", "else": "eQ=="},
    }
    judged = (await bench.client.create(resources.SECRETS, "shop", mine))["metadata"]["resourceVersion"]
    notes = {"annotations": {"cert-manager.io/issuer-name": "ca", "kept": "x"}}
    ours = bench.ours("db-1-server-tls", data={"tls.crt": "", "tls.key": "", "ca.crt": "old"})
    ours["metadata"] |= notes
    await bench.client.create(resources.SECRETS, "shop", ours)
    copy = CopyPair(target(resources.SECRETS, "db-1-server-tls"), "mine", judged, ("cert-manager.io/issuer-name",))
    await bench.do(copy)
    found = await bench.client.get(resources.SECRETS, "shop", "db-1-server-tls")
    assert found["data"] == {"tls.crt": "Yw==", "tls.key": "aw=="}
    assert found["metadata"]["annotations"] == {"kept": "x"}
    await bench.client.merge_patch(resources.SECRETS, "shop", "mine", {"data": {"tls.crt": "bmV3"}})
    with pytest.raises(Conflict, match="Secret mine changed since it was judged"):
        await bench.do(copy)
    assert (await bench.client.get(resources.SECRETS, "shop", "db-1-server-tls"))["data"] == found["data"]


@virtual
async def test_a_certificate_is_reissued_only_as_it_was_seen() -> None:
    bench = await Bench().start()
    made = await bench.client.create(resources.CERTIFICATES, "shop", bench.ours("db-client"))
    version = made["metadata"]["resourceVersion"]
    asked = Reissue(target(resources.CERTIFICATES, "db-client"), version, {"conditions": [{"type": "Issuing"}]}, "why")
    await bench.do(asked)
    found = await bench.client.get(resources.CERTIFICATES, "shop", "db-client")
    assert found["status"] == {"conditions": [{"type": "Issuing"}]}
    with pytest.raises(Conflict):
        await bench.do(asked)


async def made(bench: Bench, *also_by: str) -> Delete:
    """A Secret that cert-manager made, and others wrote; how it is deleted when its Cluster is gone."""
    by_cert_manager = Client(bench.transport, field_manager="cert-manager-certificates-issuing")
    secret = await by_cert_manager.create(resources.SECRETS, "shop", {"metadata": {"name": "db-ca"}})
    for name in also_by:
        other = Client(bench.transport, field_manager=name)
        await other.merge_patch(resources.SECRETS, "shop", "db-ca", {"data": {name: ""}})
    return Delete(target(resources.SECRETS, "db-ca"), secret["metadata"]["uid"], "gone", made_by="cert-manager")


async def there(bench: Bench) -> bool:
    try:
        return bool(await bench.client.get(resources.SECRETS, "shop", "db-ca"))
    except NotFound:
        return False


@virtual
async def test_a_secret_of_a_cluster_that_is_gone_goes() -> None:
    bench = Bench()
    plan = Plan((await made(bench, "cert-manager-certificates-trigger"),))
    await bench.executor.bury("shop", "db", plan)
    assert not await there(bench)
    await bench.executor.bury("shop", "db", plan)


@virtual
async def test_nothing_of_a_cluster_that_only_the_server_knows_is_buried() -> None:
    bench = await Bench().start()
    await bench.executor.bury("shop", "db", Plan((await made(bench),)))
    assert await there(bench)


@virtual
async def test_a_secret_somebody_wrote_to_is_refused_with_the_way_out() -> None:
    """Whoever puts a copy of a key back from a file is its owner."""
    bench = await Bench().start()
    delete = await made(bench, "kubectl-client-side-apply")
    with pytest.raises(Refused, match="written by kubectl-client-side-apply too"):
        await bench.do(delete)
    assert await there(bench)


@virtual
async def test_one_that_was_made_anew_since_it_was_seen_stays() -> None:
    bench = await Bench().start()
    delete = await made(bench)
    await bench.do(replace(delete, uid="an earlier one"))
    assert await there(bench)


@virtual
async def test_nothing_is_buried_without_fresh_leadership() -> None:
    bench = Bench(fresh=lambda: False)
    with pytest.raises(Transient, match="leadership"):
        await bench.executor.bury("shop", "db", Plan((await made(bench),)))
    assert await there(bench)
