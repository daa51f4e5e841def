"""Questions to a peer: the right name is verified, the right certificate shown, every failure is an answer in time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from cnmysql.errors import Unreachable
from cnmysql.listener import Listener
from cnmysql.mysql.gtid import GtidSet
from cnmysql.pki.contexts import RotatingServerContext, TlsFiles
from cnmysql.protocol.report import InstanceStatus, MysqldReport
from instance.handlers import serve_control
from instance.peers import PeerClient
from instance.reporter import Publisher
from instance.role.view import PeerFacts, Unknown
from tests.support.certs import Authority

UUID = "22222222-2222-2222-2222-222222222222"


class Loopback(PeerClient):
    """Finds every instance on this machine; an unknown one has no address."""

    async def _resolve(self, host: str) -> str:
        return "127.0.0.1" if host.startswith("db-") else await super()._resolve("nowhere.invalid")


class Source:
    def __init__(self) -> None:
        self.hangs = False
        self.frames = Publisher(self.current).frames

    def current(self) -> InstanceStatus:
        return InstanceStatus(
            instance_name="db-2",
            pod_uid="u",
            mysqld=MysqldReport(state="running", since="2026-01-01T00:00:00Z"),
            server_uuid=UUID,
            gtid_executed=f"{UUID}:1-3",
            received=f"{UUID}:1-4",
        )

    async def status(self) -> InstanceStatus:
        if self.hangs:
            await asyncio.Event().wait()
        return self.current()


async def serve(tmp_path: Path, ca: Authority, source: Source) -> tuple[Listener, TlsFiles]:
    """db-2's control API, and the files db-1 asks it with."""
    trust = tmp_path / "ca.crt"
    trust.write_bytes(ca.pem)
    server = ca.issue("db-2", dns=("db-2.ns.svc",)).write(tmp_path / "server")
    peer = ca.issue(o="cnmysql-peer", dns=("db-1.ns.svc",), server=False).write(tmp_path / "peer")
    context = RotatingServerContext(TlsFiles(server / "tls.crt", server / "tls.key", trust))
    served = await serve_control(source, None, context, cluster="db", namespace="ns", host="127.0.0.1", port=0)
    return served, TlsFiles(peer / "tls.crt", peer / "tls.key", trust)


async def test_an_answer_and_every_way_not_to_get_one(tmp_path: Path) -> None:
    source = Source()
    served, files = await serve(tmp_path, Authority(), source)
    peers = Loopback(files, "ns", port=served.port)
    expected = PeerFacts(UUID, GtidSet.parse(f"{UUID}:1-3"), GtidSet.parse(f"{UUID}:1-4"), False)
    assert await peers.ask("db-2", timeout=5) == expected
    for instance, why in (("db-3", "CERTIFICATE_VERIFY_FAILED"), ("elsewhere", "no address")):
        answer = await peers.ask(instance, timeout=5)
        assert isinstance(answer, Unknown) and why in answer.why
    source.hangs = True
    began = time.monotonic()
    assert isinstance(await peers.ask("db-2", timeout=0.3), Unknown)
    assert time.monotonic() - began < 2
    await served.close()
    answer = await peers.ask("db-2", timeout=1)
    assert isinstance(answer, Unknown)
    await peers.close()


async def test_a_renewed_certificate_is_used_after_refresh(tmp_path: Path) -> None:
    ca = Authority()
    served, files = await serve(tmp_path, ca, Source())
    peers = Loopback(files, "ns", port=served.port)
    ca.issue("stranger", server=False).write(tmp_path / "peer")
    answer = await peers.ask("db-2", timeout=5)
    assert isinstance(answer, Unknown) and "403" in answer.why
    ca.issue(o="cnmysql-peer", dns=("db-1.ns.svc",), server=False).write(tmp_path / "peer")
    await peers.refresh()
    assert isinstance(await peers.ask("db-2", timeout=5), PeerFacts)
    await peers.close()
    await served.close()


@pytest.mark.parametrize("asked", [True, False], ids=["in use", "not asked yet"])
async def test_a_pair_that_does_not_fit_takes_the_last_good_one_from_nobody(tmp_path: Path, asked: bool) -> None:
    ca = Authority()
    served, files = await serve(tmp_path, ca, Source())
    peers = Loopback(files, "ns", port=served.port)
    if asked:
        assert isinstance(await peers.ask("db-2", timeout=5), PeerFacts)
    else:
        await peers.refresh()
    good, other = files.key.read_bytes(), ca.issue(o="cnmysql-peer", dns=("db-1.ns.svc",), server=False)
    files.key.write_bytes(other.key)
    with pytest.raises(Unreachable, match="the peer certificate cannot be used"):
        await peers.refresh()
    await peers.keep_up()
    assert isinstance(await peers.ask("db-2", timeout=5), PeerFacts)
    files.key.write_bytes(good)
    await peers.refresh()
    assert isinstance(await peers.ask("db-2", timeout=5), PeerFacts)
    await peers.close()
    await served.close()


async def test_who_keeps_up_uses_a_renewed_certificate_by_itself(tmp_path: Path) -> None:
    ca = Authority()
    served, files = await serve(tmp_path, ca, Source())
    peers = Loopback(files, "ns", port=served.port)
    ca.issue("stranger", server=False).write(tmp_path / "peer")
    assert isinstance(await peers.ask("db-2", timeout=5), Unknown)
    files.certificate.rename(tmp_path / "aside")
    await peers.keep_up()
    answer = await peers.ask("db-2", timeout=5)
    assert isinstance(answer, Unknown) and "403" in answer.why, "what it had is in use while a file is missing"
    ca.issue(o="cnmysql-peer", dns=("db-1.ns.svc",), server=False).write(tmp_path / "peer")
    await peers.keep_up()
    assert isinstance(await peers.ask("db-2", timeout=5), PeerFacts)
    client = peers._client
    await peers.keep_up()
    assert peers._client is client, "unchanged files cost no connection"
    await peers.close()
    await served.close()


async def test_unusable_files_are_an_answer_too(tmp_path: Path) -> None:
    peers = Loopback(TlsFiles(tmp_path / "no.crt", tmp_path / "no.key", tmp_path / "no.ca"), "ns", port=1)
    answer = await peers.ask("db-2", timeout=1)
    assert isinstance(answer, Unknown) and "certificate" in answer.why


@pytest.mark.parametrize("text", ["nonsense:1", "x"])
async def test_a_malformed_set_is_not_believed(tmp_path: Path, text: str) -> None:
    source = Source()
    good = source.current()
    source.current = lambda: good.model_copy(update={"received": text})  # type: ignore[method-assign]
    served, files = await serve(tmp_path, Authority(), source)
    peers = Loopback(files, "ns", port=served.port)
    assert isinstance(await peers.ask("db-2", timeout=5), Unknown)
    await peers.close()
    await served.close()
