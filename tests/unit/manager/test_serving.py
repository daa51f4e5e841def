"""Probes and metrics over real sockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from cnmysql import names
from cnmysql.clock import SystemClock
from cnmysql.errors import Forbidden, Unreachable
from cnmysql.kube.client import Client
from cnmysql.listener import Handler
from cnmysql.metrics import CollectorRegistry, Gauge
from manager import serving
from tests.support.certs import Authority, Leaf


class Reviews:
    """A transport that only answers token and access reviews."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def request(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        spec = given["body"]["spec"]
        if path.endswith("tokenreviews"):
            self.asked.append(spec["token"])
            user = self.answers.get(spec["token"])
            return {"status": {"authenticated": user is not None, "user": {"username": user, "groups": ["g"]}}}
        assert spec["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
        assert spec["groups"] == ["g"]
        return {"status": {"allowed": spec["user"] == "prometheus"}}


@asynccontextmanager
async def served(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    listener = await serving.serve(handler, 0, context)
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{listener.port}"
    finally:
        await listener.close()


async def get(url: str, **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers, ssl=False, timeout=aiohttp.ClientTimeout(10)) as answer,
    ):
        return answer.status, await answer.text()


async def test_probes() -> None:
    ready = False
    async with served(serving.probes(lambda: ready)) as url:
        assert await get(f"{url}/healthz") == (200, "ok")
        assert (await get(f"{url}/readyz"))[0] == 503
        ready = True
        assert await get(f"{url}/readyz") == (200, "ok")
        assert (await get(f"{url}/metrics"))[0] == 404


def metrics_app(reviews: Reviews) -> Handler:
    registry = CollectorRegistry()
    Gauge("cnmysql_something", "Something.", registry=registry).set(3)
    return serving.metrics(registry, serving.Authorizer(Client(reviews), SystemClock()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        ("Basic abc", 401),
        ("Bearer ", 401),
        ("Bearer unknown", 403),
        ("Bearer other", 403),
        ("Bearer good", 200),
        ("bearer good", 200),
    ],
)
async def test_metrics_go_to_callers_the_api_server_lets_through(authorization: str, status: int) -> None:
    reviews = Reviews({"good": "prometheus", "other": "somebody"})
    async with served(metrics_app(reviews), serving.metrics_context(None)) as url:
        headers = {"Authorization": authorization} if authorization else {}
        code, text = await get(f"{url}/metrics", **headers)
        assert code == status
        assert ("cnmysql_something 3.0" in text) == (status == 200)


async def test_an_answer_is_kept_for_a_while() -> None:
    reviews = Reviews({"good": "prometheus"})
    async with served(metrics_app(reviews), serving.metrics_context(None)) as url:
        for _ in range(3):
            assert (await get(f"{url}/metrics", Authorization="Bearer good"))[0] == 200
    assert reviews.asked == ["good"]


@pytest.mark.parametrize(("error", "status"), [(Forbidden("no"), 403), (Unreachable("down"), 503)])
async def test_nobody_gets_metrics_while_nobody_can_be_asked(error: Exception, status: int) -> None:
    reviews = Reviews({})
    reviews.error = error
    async with served(metrics_app(reviews), serving.metrics_context(None)) as url:
        assert (await get(f"{url}/metrics", Authorization="Bearer good"))[0] == status


async def test_a_mounted_certificate_is_used(tmp_path: Path) -> None:
    certificate, key = serving.self_signed("metrics.example")
    (tmp_path / "tls.crt").write_bytes(certificate)
    (tmp_path / "tls.key").write_bytes(key)
    context = serving.metrics_context(tmp_path)
    async with served(serving.probes(lambda: True), context) as url:
        trust = ssl.create_default_context(cadata=certificate.decode())
        trust.check_hostname = False
        async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz", ssl=trust) as answer:
            assert answer.status == 200


def test_a_broken_mounted_certificate_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        serving.metrics_context(tmp_path)


# -- where one namespace is watched: by certificate --------------------------------------------------------------------


def mount(authority: Authority, directory: Path) -> Path:
    """What the operator of one namespace is given: its own pair, and who may sign its callers."""
    authority.issue("metrics", dns=("metrics.example",), client=False).write(directory)
    (directory / "ca.crt").write_bytes(authority.pem)
    return directory


async def scrape(url: str, trusted: Authority, leaf: Leaf | None, directory: Path) -> tuple[int, str]:
    context = ssl.create_default_context(cadata=trusted.pem.decode())
    if leaf is not None:
        leaf.write(directory)
        context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/metrics", ssl=context, server_hostname="metrics.example") as answer,
    ):
        return answer.status, await answer.text()


async def test_a_certificate_of_the_reader_gets_metrics_and_no_other(tmp_path: Path) -> None:
    authority, stranger = Authority(), Authority("another")
    registry = CollectorRegistry()
    Gauge("cnmysql_something", "Something.", registry=registry).set(3)
    context = await serving.mounted(mount(authority, tmp_path / "server"), SystemClock())
    async with served(serving.metrics_by_certificate(registry), context.front) as url:
        code, text = await scrape(url, authority, authority.issue(names.METRICS_READER_CN), tmp_path / "reader")
        assert (code, "cnmysql_something 3.0" in text) == (200, True)
        code, text = await scrape(url, authority, authority.issue("somebody"), tmp_path / "other")
        assert (code, "cnmysql_something" in text) == (403, False)
        for leaf in (None, stranger.issue(names.METRICS_READER_CN)):
            with pytest.raises(aiohttp.ClientError):
                await scrape(url, authority, leaf, tmp_path / "refused")


class Mounting(SystemClock):
    """A clock during whose first sleep the kubelet brings the files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sleeps = 0

    async def sleep(self, _: float) -> None:
        self.sleeps += 1
        mount(Authority(), self.directory)


async def test_certificates_that_come_later_are_waited_for(tmp_path: Path) -> None:
    clock = Mounting(tmp_path / "server")
    assert await serving.mounted(clock.directory, clock)
    assert clock.sleeps == 1


async def test_tokens_nobody_knows_are_not_remembered_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_MOST_TOKENS", 3)
    authorizer = serving.Authorizer(Client(Reviews({})), SystemClock())  # type: ignore[arg-type]
    for number in range(10):
        assert not await authorizer.may_read_metrics(f"guess-{number}")
    assert len(authorizer._known) == 3


async def test_refusals_are_json_and_a_long_token_is_taken(tmp_path: Path) -> None:
    reviews = Reviews({"x" * 4000: "prometheus"})
    async with served(metrics_app(reviews), serving.metrics_context(None)) as url:
        assert (await get(f"{url}/metrics", Authorization="Bearer " + "x" * 4000))[0] == 200
        assert await get(f"{url}/metrics", Authorization="Bearer " + "x" * 40_000) == (
            400,
            '{"error":"this is not a request we can read"}',
        )
        assert await get(f"{url}/elsewhere") == (404, '{"error":"there is no such path"}')


def test_the_same_on_the_event_loop_of_the_operator() -> None:
    async def ask() -> None:
        async with served(serving.probes(lambda: True)) as url:
            assert await get(f"{url}/readyz") == (200, "ok")
        async with served(metrics_app(Reviews({"good": "prometheus"})), serving.metrics_context(None)) as url:
            assert (await get(f"{url}/metrics", Authorization="Bearer good"))[0] == 200
            assert (await get(f"{url}/metrics"))[0] == 401

    uvloop.run(ask())
