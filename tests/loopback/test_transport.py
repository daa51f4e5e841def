"""One test per trap of the client library and of HTTP, for both transports; re-run on every version bump."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cnmysql.errors import Conflict, Invalid, NotFound, Transient, Unreachable
from cnmysql.kube.client import Client
from cnmysql.kube.httpbase import HttpTransport
from cnmysql.kube.resources import CLUSTERS, PODS, SECRETS
from cnmysql.kube.wire import Json
from tests.support.fake_api import FakeApi, hang_up, raw, refuse, silence, silent_body
from tests.support.fake_api_store import Refusal

POD: Json = {"metadata": {"name": "a"}, "spec": {"x": 1}}
PATH = "/api/v1/namespaces/ns/pods/a"


async def test_an_error_status_is_an_error(api: FakeApi, transport: HttpTransport) -> None:
    """The library's raw path returns error answers as if they were good ones."""
    client = Client(transport)
    with pytest.raises(NotFound):
        await client.get(PODS, "ns", "a")
    await client.create(PODS, "ns", POD)
    with pytest.raises(Conflict):
        await client.create(PODS, "ns", POD)


async def test_patches_say_which_kind_they_are(api: FakeApi, transport: HttpTransport) -> None:
    """The library sends a dict patch of a custom object as a JSON patch list unless told otherwise."""
    client = Client(transport)
    await client.apply(CLUSTERS, "ns", "db", {"metadata": {"name": "db"}, "spec": {"instances": 3}})
    assert api.asked[-1].headers["Content-Type"] == "application/apply-patch+yaml"
    assert api.asked[-1].query == {"fieldManager": "cnmysql-controller-manager", "force": "true"}
    assert api.asked[-1].body["spec"] == {"instances": 3}
    done = await client.merge_patch(CLUSTERS, "ns", "db", {"spec": {"instances": None}})
    assert api.asked[-1].headers["Content-Type"] == "application/merge-patch+json"
    assert api.asked[-1].body == {"spec": {"instances": None}}, "explicit nulls are what a merge patch is for"
    assert done["spec"] == {}


async def test_unknown_fields_and_nulls_survive(api: FakeApi, transport: HttpTransport) -> None:
    """The library's models drop unknown fields and fail on null where they expect a value."""
    client = Client(transport)
    spec = {"fieldOfAFutureVersion": {"x": [1, None, "ä"]}, "containers": None}
    created = await client.create(PODS, "ns", {"metadata": {"name": "a"}, "spec": spec})
    assert created["spec"] == spec
    assert (await client.get(PODS, "ns", "a"))["spec"] == spec


@pytest.mark.parametrize("behaviour", [silence, silent_body])
async def test_every_request_ends_in_time(api: FakeApi, transport: HttpTransport, behaviour: object) -> None:
    """The library has no default timeout at all; half an answer is no answer."""
    api.answers.append(behaviour)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(Unreachable, match="in time"):
        await transport.request("GET", PATH, timeout=0.2)
    assert loop.time() - began < 2


async def test_a_cut_connection_is_unreachable(api: FakeApi, transport: HttpTransport) -> None:
    api.answers.extend([hang_up, hang_up])  # aiohttp repeats an idempotent request once on a kept connection
    with pytest.raises(Unreachable):
        await transport.request("POST", PATH, body={})
    api.answers.clear()
    await api.stop()
    with pytest.raises(Unreachable):
        await transport.request("GET", PATH)


async def test_busy_says_how_long_and_is_not_repeated(api: FakeApi, transport: HttpTransport) -> None:
    api.answers.append(refuse(Refusal(429, "TooManyRequests"), Retry_After="7"))
    with pytest.raises(Transient) as caught:
        await transport.request("GET", PATH)
    assert caught.value.retry_after == 7
    assert len(api.asked) == 1


async def test_a_text_answer_is_transient(api: FakeApi, transport: HttpTransport) -> None:
    api.answers.extend([raw(503, b"no healthy upstream", "text/plain"), raw(200, b"<html>login</html>", "text/html")])
    with pytest.raises(Transient, match="no healthy upstream"):
        await transport.request("GET", PATH)
    with pytest.raises(Transient, match="not a JSON object"):
        await transport.request("GET", PATH)


async def test_empty_answer(api: FakeApi, transport: HttpTransport) -> None:
    api.answers.append(raw(200, b""))
    assert await transport.request("DELETE", PATH, body={}) == {}


async def test_secrets_reach_neither_errors_nor_logs(
    api: FakeApi, transport: HttpTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """The library's exceptions hold the whole body, and its debug log every answer."""
    caplog.set_level(logging.DEBUG)
    client = Client(transport)
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}
    await client.create(SECRETS, "ns", secret)
    await client.get(SECRETS, "ns", "s")
    api.answers.append(refuse(Refusal(422, "Invalid", "data: Invalid value hunter2")))
    with pytest.raises(Invalid) as caught:
        await client.apply(SECRETS, "ns", "s", secret)
    assert "hunter2" not in str(caught.value)
    api.answers.append(raw(200, b"hunter2"))
    with pytest.raises(Transient) as other:
        await client.get(SECRETS, "ns", "s")
    assert "hunter2" not in str(other.value)
    assert "hunter2" not in caplog.text
    assert api.token_file.read_text() not in caplog.text


async def test_open_watches_do_not_use_up_the_connections(api: FakeApi, transport: HttpTransport) -> None:
    """The library shares 100 connections between watches and requests."""

    async def hold(ready: asyncio.Queue[None]) -> None:
        query = [("watch", "true"), ("resourceVersion", "100")]
        async with transport.stream("/api/v1/pods", query=query, idle_timeout=60) as chunks:
            ready.put_nowait(None)
            async for _ in chunks:
                raise AssertionError("nothing happens in this watch")

    ready: asyncio.Queue[None] = asyncio.Queue()
    watches = [asyncio.create_task(hold(ready)) for _ in range(120)]
    async with asyncio.timeout(60):
        for _ in watches:
            await ready.get()
    assert api.open_streams == 120
    with pytest.raises(NotFound):
        await transport.request("GET", PATH, timeout=5)
    for task in watches:
        task.cancel()
    await asyncio.wait(watches)
    await api.streams_closed()  # closing frees the server's side at once, not at the end of the watch


async def test_proxy_variables_do_not_apply_inside_a_cluster(
    api: FakeApi, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(NotFound):
        await transport.request("GET", PATH)


async def test_silence_in_a_stream_ends_it(api: FakeApi, transport: HttpTransport) -> None:
    query = [("watch", "true"), ("resourceVersion", "100")]
    with pytest.raises(Unreachable):
        async with transport.stream("/api/v1/pods", query=query, idle_timeout=0.2) as chunks:
            async for _ in chunks:
                raise AssertionError("nothing happens in this watch")
    await api.streams_closed()


async def test_a_refused_stream_is_the_error_it_is(api: FakeApi, transport: HttpTransport) -> None:
    api.answers.append(refuse(Refusal(429, "TooManyRequests"), Retry_After="3"))
    with pytest.raises(Transient) as caught:
        async with transport.stream("/api/v1/pods", idle_timeout=5):
            raise AssertionError("it was refused")
    assert caught.value.retry_after == 3


async def test_large_compressed_answers_are_read_whole(api: FakeApi, transport: HttpTransport) -> None:
    for number in range(3):
        body = {"metadata": {"name": f"p{number}"}, "spec": {"x": "y" * 2_000_000}}
        api.store.handle("POST", "/api/v1/namespaces/ns/pods", {}, body, "")
    items, _ = await Client(transport).list(PODS, "ns", page=2)
    assert [len(o["spec"]["x"]) for o in items] == [2_000_000] * 3


async def test_a_closed_transport_refuses(api: FakeApi, transport: HttpTransport) -> None:
    await transport.close()
    with pytest.raises(Unreachable, match="closed"):
        await transport.request("GET", PATH)
