"""Handing passwords over: read when sent, never as they are, once at a time, again when it failed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import pytest

from cnmysql.clock import SystemClock
from cnmysql.errors import Unreachable
from cnmysql.kube import resources
from cnmysql.kube.client import Client
from cnmysql.log import Secret
from cnmysql.mysql import digest
from cnmysql.protocol.accounts import AccountsOrder
from manager import passwords
from manager.actions import OrderAccounts, PasswordSource
from manager.passwords import Passwords
from manager.streams import Peer
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport

CLUSTER = {"metadata": {"namespace": "shop", "name": "db", "uid": "u1"}}


class Stopped(SystemClock):
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeping: float | None = None
        self._over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.sleeping = seconds
        await self._over.wait()
        self._over.clear()

    def pass_by(self, seconds: float) -> None:
        assert self.sleeping == seconds
        self.sleeping = None
        self._over.set()


class Post:
    """Instances that take what they are sent, or fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[Peer, AccountsOrder]] = []
        self.error: Exception | None = None
        self.looked: list[str] = []
        self.clock = Stopped()
        self.client = Client(MemoryTransport(FakeStore()))
        self.passwords = Passwords(self.client, self.send, self.clock, self.looked.append)

    async def send(self, peer: Peer, order: AccountsOrder) -> None:
        self.sent.append((peer, order))
        if self.error is not None:
            raise self.error

    async def secret(self, name: str, password: bytes) -> str:
        body = {"metadata": {"name": name}, "data": {"password": base64.b64encode(password).decode()}}
        made = await self.client.create(resources.SECRETS, "shop", body)
        return str(made["metadata"]["resourceVersion"])

    async def comes_to(self, condition: Callable[[], object]) -> None:
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it did not come to that")


def order(root: str = "", owner: str = "", *, remote: bool = False) -> OrderAccounts:
    return OrderAccounts(
        "db-2", "pod-2", "10.0.0.2",
        PasswordSource(root, "1", "root") if root else None,
        PasswordSource(owner, "1", "app") if owner else None,
        remote,
    )  # fmt: skip


async def test_what_is_sent_has_the_revision_that_was_read_and_no_password() -> None:
    post = Post()
    root, owner = await post.secret("r", b"root-password\n"), await post.secret("o", b"app-password")
    post.passwords.order(order("r", "o", remote=True), CLUSTER)
    await post.comes_to(lambda: post.sent)
    ((peer, given),) = post.sent
    assert (peer.instance, peer.address, peer.cluster) == ("db-2", "10.0.0.2", "shop/db")
    assert given.root is not None and given.owner is not None
    assert (given.root.revision, given.root.remote) == (f"{root}+remote", True)
    assert (given.owner.revision, given.owner.user) == (owner, "app")
    assert digest.matches(Secret("root-password"), given.root.stored.reveal())
    assert digest.matches(Secret("app-password"), given.owner.stored.reveal())
    assert b"password" not in given.to_json()
    await post.passwords.close()


async def test_the_same_password_is_sent_in_the_same_form_and_differs_by_cluster() -> None:
    post = Post()
    await post.secret("r", b"same")
    for uid in ("u1", "u1", "u2"):
        post.passwords.order(order("r"), {"metadata": {**CLUSTER["metadata"], "uid": uid}})
        count = len(post.sent)
        await post.comes_to(lambda n=count: len(post.sent) > n)  # type: ignore[misc]
        post.passwords._sent.clear()
    forms = [o.root.stored for _, o in post.sent if o.root is not None]
    assert forms[0] == forms[1] != forms[2]
    await post.passwords.close()


async def test_one_is_on_its_way_at_most_and_what_came_of_it_is_looked_at() -> None:
    post = Post()
    await post.secret("r", b"x")
    for _ in range(3):
        post.passwords.order(order("r"), CLUSTER)
    await post.comes_to(lambda: post.clock.sleeping is not None)
    assert len(post.sent) == 1 and post.looked == []
    post.clock.pass_by(passwords.AGAIN_SECONDS)
    await post.comes_to(lambda: post.looked == ["shop/db"])
    post.passwords.order(order("r"), CLUSTER)
    await post.comes_to(lambda: len(post.sent) == 2)
    await post.passwords.close()


@pytest.mark.parametrize("error", [Unreachable("db-2 did not answer"), TypeError("a bug")])
async def test_a_failure_is_tried_again_ever_more_slowly(error: Exception) -> None:
    post = Post()
    post.error = error
    await post.secret("r", b"x")
    for wait in (1.0, 2.0, 4.0):
        post.passwords.order(order("r"), CLUSTER)
        await post.comes_to(lambda: post.clock.sleeping is not None)
        looks = len(post.looked)
        post.clock.pass_by(wait)
        await post.comes_to(lambda n=looks: len(post.looked) > n)  # type: ignore[misc]
    await post.passwords.close()


@pytest.mark.parametrize("password", [b"", b"x" * 257, b"a\0b", b"\xff\xfe"])
async def test_a_password_mysqld_could_not_keep_is_not_sent(password: bytes) -> None:
    post = Post()
    await post.secret("r", password)
    post.passwords.order(order("r"), CLUSTER)
    await post.comes_to(lambda: post.clock.sleeping is not None)
    assert post.sent == []
    await post.passwords.close()


async def test_a_newer_secret_does_not_wait_for_the_former_one() -> None:
    post = Post()
    await post.secret("r", b"x")
    await post.secret("o", b"y")
    post.passwords.order(order("r"), CLUSTER)
    post.passwords.order(order("r", "o"), CLUSTER)
    await post.comes_to(lambda: len(post.sent) == 2)
    await post.passwords.close()
