"""What the verbs put on the wire, and that preconditions hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cnmysql.errors import AlreadyExists, Conflict, Gone, NotFound, Transient
from cnmysql.kube.client import Client, key_of, split_key
from cnmysql.kube.resources import NODES, PODS
from cnmysql.kube.wire import APPLY_PATCH, JSON, MERGE_PATCH, METADATA, Json, Query
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport
from tests.unit.kube.virtual import run


class Recorder(MemoryTransport):
    """Also keeps everything that was asked."""

    def __init__(self, store: FakeStore) -> None:
        super().__init__(store)
        self.asked: list[dict[str, Any]] = []
        self.answer: Json | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = 10.0,
    ) -> Json:
        asked = {"method": method, "path": path, "query": dict(query), "body": body}
        self.asked.append({**asked, "content_type": content_type, "accept": accept, "timeout": timeout})
        if self.answer is not None:
            return self.answer
        return await super().request(
            method, path, query=query, body=body, content_type=content_type, accept=accept, timeout=timeout
        )


def made() -> tuple[Client, Recorder]:
    transport = Recorder(FakeStore())
    return Client(transport), transport


BODY: Json = {"metadata": {"name": "a"}, "spec": {"x": 1}}


def test_round_of_verbs() -> None:
    async def main() -> None:
        client, transport = made()
        created = await client.create(PODS, "ns", BODY)
        assert (created["apiVersion"], created["kind"]) == ("v1", "Pod")
        assert "managedFields" not in created["metadata"]
        assert transport.asked[-1]["query"] == {"fieldManager": "cnmysql-controller-manager"}
        with pytest.raises(AlreadyExists):
            await client.create(PODS, "ns", BODY)
        assert await client.get(PODS, "ns", "a") == created
        patched = await client.merge_patch(PODS, "ns", "a", {"spec": {"x": None, "y": 2}})
        assert patched["spec"] == {"y": 2}
        assert transport.asked[-1]["content_type"] == MERGE_PATCH
        with pytest.raises(Conflict):
            await client.replace(PODS, "ns", "a", created)
        replaced = await client.replace(PODS, "ns", "a", patched)
        items, version = await client.list(PODS, "ns")
        assert items == [replaced]
        assert version == replaced["metadata"]["resourceVersion"]
        await client.delete(PODS, "ns", "a")
        with pytest.raises(NotFound):
            await client.delete(PODS, "ns", "a")
        assert (await client.list(PODS))[0] == []

    run(main())


def test_apply_is_a_forced_patch_by_our_field_manager() -> None:
    async def main() -> None:
        client, transport = made()
        await client.apply(PODS, "ns", "a", BODY)
        asked = transport.asked[-1]
        assert (asked["method"], asked["content_type"]) == ("PATCH", APPLY_PATCH)
        assert asked["query"] == {"fieldManager": "cnmysql-controller-manager", "force": "true"}
        assert asked["body"] == {"apiVersion": "v1", "kind": "Pod", **BODY}
        assert BODY == {"metadata": {"name": "a"}, "spec": {"x": 1}}, "the caller's dict is untouched"

    run(main())


def test_preconditions_never_reach_a_successor() -> None:
    async def main() -> None:
        client, transport = made()
        first = (await client.create(PODS, "ns", BODY))["metadata"]
        await client.delete(PODS, "ns", "a", uid=first["uid"], resource_version=first["resourceVersion"])
        second = (await client.create(PODS, "ns", BODY))["metadata"]
        with pytest.raises(Conflict):
            await client.delete(PODS, "ns", "a", uid=first["uid"])
        with pytest.raises(Conflict):
            await client.merge_patch(PODS, "ns", "a", {"spec": {}}, uid=first["uid"])
        with pytest.raises(Conflict):
            await client.merge_patch(PODS, "ns", "a", {"spec": {}}, resource_version=first["resourceVersion"])
        labels = {"metadata": {"labels": {"a": "b"}}}
        done = await client.merge_patch(
            PODS, "ns", "a", labels, uid=second["uid"], resource_version=second["resourceVersion"], subresource="status"
        )
        assert done["metadata"]["labels"] == {"a": "b"}
        assert labels == {"metadata": {"labels": {"a": "b"}}}, "the caller's dict is untouched"
        assert transport.asked[-1]["path"].endswith("/pods/a/status")

    run(main())


def test_delete_options() -> None:
    async def main() -> None:
        client, transport = made()
        await client.create(PODS, "ns", BODY)
        await client.delete(PODS, "ns", "a", propagation="Foreground", grace_seconds=0)
        body = transport.asked[-1]["body"]
        assert body["propagationPolicy"] == "Foreground"
        assert body["gracePeriodSeconds"] == 0
        assert "preconditions" not in body

    run(main())


def test_list_in_pages_and_again_when_the_snapshot_expired() -> None:
    async def main() -> None:
        client, transport = made()
        for number in range(7):
            await client.create(PODS, "ns", {"metadata": {"name": f"p{number}", "labels": {"n": str(number % 2)}}})
        del transport.asked[:]
        items, _ = await client.list(PODS, "ns", page=3)
        assert [o["metadata"]["name"] for o in items] == [f"p{n}" for n in range(7)]
        assert all((o["kind"], o["apiVersion"]) == ("Pod", "v1") for o in items)
        assert [a["query"].get("limit") for a in transport.asked] == ["3", "3", "3"]
        found, _ = await client.list(PODS, "ns", label_selector="n=1", field_selector="metadata.name=p3")
        assert [o["metadata"]["name"] for o in found] == ["p3"]

        def compact(method: str, path: str) -> None:
            if transport.asked[-1]["query"].get("continue"):
                transport.store.compact()

        transport.before = compact
        items, _ = await client.list(PODS, "ns", page=3)
        assert len(items) == 7
        assert "limit" not in transport.asked[-1]["query"]
        with pytest.raises(Gone):
            async for _ in client.pages(PODS, "ns", [], page=3):
                await asyncio.sleep(0)

    run(main())


def test_metadata_only() -> None:
    async def main() -> None:
        client, transport = made()
        await client.create(PODS, "ns", BODY)
        await client.get_metadata(PODS, "ns", "a", timeout=3)
        assert transport.asked[-1]["accept"] == METADATA
        assert transport.asked[-1]["timeout"] == 3

    run(main())


def test_an_answer_that_is_no_object_is_not_taken_for_one() -> None:
    async def main() -> None:
        client, transport = made()
        transport.answer = {"hello": "I am a proxy"}
        with pytest.raises(Transient):
            await client.get(PODS, "ns", "a")
        with pytest.raises(Transient):
            await client.list(PODS, "ns")

    run(main())


def test_keys() -> None:
    assert key_of({"metadata": {"namespace": "ns", "name": "a"}}) == "ns/a"
    assert key_of({"metadata": {"name": "n"}}) == "n"
    assert split_key("ns/a") == ("ns", "a")
    assert split_key("n") == ("", "n")
    assert NODES.path(None, split_key("n")[1]) == "/api/v1/nodes/n"
