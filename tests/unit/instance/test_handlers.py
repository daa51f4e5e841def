"""The control API over real sockets and real handshakes: who may do what, and what a hostile caller is answered."""

from __future__ import annotations

import asyncio
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cnmysql.errors import Conflict, Forbidden, Invalid, NotFound, Transient, Unreachable
from cnmysql.log import Secret
from cnmysql.mysql.digest import derived
from cnmysql.pki.contexts import RotatingServerContext, TlsFiles
from cnmysql.protocol import client as protocol_client
from cnmysql.protocol.accounts import AccountsOrder, OwnerOrder, RootOrder
from cnmysql.protocol.client import ControlClient
from cnmysql.protocol.report import InstanceStatus
from instance import handlers
from instance.handlers import serve_control
from tests.support.certs import Authority
from tests.support.control import CLUSTER, HOST, INSTANCE, NAMESPACE, SERVER_NAME, Served, request


async def test_operator_and_peer_read_the_status(served: Served) -> None:
    for leaf in (served.operator, served.peer):
        client = served.client(leaf)
        assert (await client.status(INSTANCE, HOST)).instance_name == INSTANCE
        await client.close()


async def test_the_operator_closes_and_a_lower_epoch_is_refused(served: Served) -> None:
    client = served.client(served.operator)
    assert (await client.close_role(INSTANCE, HOST, 3)).instance_name == INSTANCE
    with pytest.raises(Conflict, match="older than 3"):
        await client.close_role(INSTANCE, HOST, 2)
    assert served.fake.epochs == [3]
    await client.close()


async def test_a_close_that_takes_too_long_is_said_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "CLOSE_SECONDS", 0.1)
    served.fake.hangs = True
    client = served.client(served.operator)
    with pytest.raises(Transient, match="503"):
        await client.close_role(INSTANCE, HOST, 3)
    await client.close()


async def test_a_peer_may_neither_close_nor_listen(served: Served) -> None:
    client = served.client(served.peer)
    with pytest.raises(Forbidden):
        await client.close_role(INSTANCE, HOST, 3)
    with pytest.raises(Forbidden):
        await anext(client.stream(INSTANCE, HOST))
    assert served.fake.epochs == []
    await client.close()


@pytest.mark.parametrize(
    "leaf",
    [
        pytest.param(lambda ca: ca.issue("db-replication", o="ns", server=False), id="replication"),
        pytest.param(lambda ca: ca.issue("cnmysql-operator", o="cnmysql-peer", server=False), id="mixture"),
        pytest.param(lambda ca: ca.issue(o="cnmysql-peer", dns=("db-2.other.svc",), server=False), id="namespace"),
        pytest.param(lambda ca: ca.issue(o="cnmysql-peer", dns=("db-x-2.ns.svc",), server=False), id="cluster"),
        pytest.param(lambda ca: ca.issue(o="cnmysql-peer", dns=("db-1-2.ns.svc",), server=False), id="prefix"),
        pytest.param(lambda ca: ca.issue(o="cnmysql-peer", dns=("db-2.ns.svc\n",), server=False), id="newline"),
        pytest.param(lambda ca: ca.issue("nobody", server=False), id="nobody"),
    ],
)
async def test_another_identity_of_the_right_ca_gets_403(served: Served, leaf: object) -> None:
    assert callable(leaf)
    client = served.client(leaf(served.client_ca))
    with pytest.raises(Forbidden, match="may not"):
        await client.status(INSTANCE, HOST)
    await client.close()


async def test_a_certificate_of_another_ca_does_not_pass_the_handshake(served: Served) -> None:
    client = served.client(Authority("others").issue("cnmysql-operator", server=False))
    with pytest.raises(Unreachable):
        await client.status(INSTANCE, HOST)
    await client.close()


async def test_an_expired_a_future_and_a_server_certificate_do_not_pass_the_handshake(served: Served) -> None:
    now, day = datetime.now(UTC), timedelta(days=1)
    for leaf in (
        served.client_ca.issue("cnmysql-operator", server=False, not_before=now - 2 * day, not_after=now - day),
        served.client_ca.issue("cnmysql-operator", server=False, not_before=now + day, not_after=now + 2 * day),
        served.client_ca.issue("cnmysql-operator", client=False),
    ):
        client = served.client(leaf)
        with pytest.raises(Unreachable):
            await client.status(INSTANCE, HOST)
        await client.close()


async def test_the_caller_checks_the_name_it_dials(served: Served) -> None:
    client = served.client(served.operator)
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        await client.status("db-2", HOST)
    await client.close()


async def test_a_caller_without_certificate_or_with_tls_1_2_is_refused(served: Served) -> None:
    naked = ssl.create_default_context(cadata=served.server_ca.pem.decode())
    old = served.caller(served.operator)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    for context in (naked, old):
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            reader, writer = await asyncio.open_connection(HOST, served.port, ssl=context, server_hostname=SERVER_NAME)
            writer.write(request("GET", "/status"))
            await reader.readexactly(1)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (request("GET", "/nothing"), 404),
        (request("GET", "/status/../etc/passwd"), 404),
        (request("GET", "//status"), 404),
        (request("GET", "/nothing", headers="Expect: a-miracle\r\n"), 404),
        (request("POST", "/status"), 405),
        (request("DELETE", "/role/close"), 405),
        (request("POST", "/role/close", b"{"), 400),
        (request("POST", "/role/close", b"[" * 4000), 400),
        (request("POST", "/role/close", b'{"epoch": "3"}'), 400),
        (request("POST", "/role/close", b'{"epoch": 0}'), 400),
        (request("POST", "/role/close", b'{"epoch": 1e400}'), 400),
        (request("POST", "/role/close", b'{"epoch": 9999999999999999999999}'), 400),
        (request("POST", "/role/close", b'{"epoch": true}'), 400),
        (request("POST", "/role/close", b"[3]"), 400),
        (request("POST", "/role/close", b"\x1f\x8b", headers="Content-Encoding: gzip\r\n"), 400),
        (request("POST", "/role/close", headers="Transfer-Encoding: chunked\r\n") + b"zz\r\n", 400),
        (request("POST", "/role/close", b'{"epoch": 3, "x": "' + b"y" * 5000 + b'"}'), 413),
        (request("POST", "/role/close", headers="Transfer-Encoding: chunked\r\n") + b"2000\r\n" + b"x" * 8192, 413),
        (request("GET", "/status", b"x" * 10), 413),
        (request("GET", "/status", headers=f"X: {'y' * 10000}\r\n"), 400),
        (request("GET", "/status", headers="".join(f"X{n}: y\r\n" for n in range(100))), 400),
        (request("GET", "/status", headers="Content-Length: -1\r\n"), 400),
        (request("GET", "/status", headers="Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        (request("GET", "/" + "x" * 5000), 400),
        (request("GE T", "/status"), 400),
        (b"nonsense\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x00\xff\xfe" * 50 + b"\r\n\r\n", 400),
    ],
)
async def test_bad_requests_get_a_short_answer_as_json(served: Served, text: bytes, status: int) -> None:
    code, body = await served.raw(text)
    assert code == status
    assert list(json.loads(body)) == ["error"]
    assert len(body) < 200
    assert served.fake.epochs == []


async def test_a_failing_handler_tells_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> InstanceStatus:
        raise RuntimeError("the inside")

    monkeypatch.setattr(served.fake, "status", broken)
    assert await served.raw(request("GET", "/status")) == (500, b'{"error":"internal error"}')


async def test_the_stream_sends_a_report_changes_and_heartbeats(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instance.reporter.HEARTBEAT_SECONDS", 0.1)
    client = served.client(served.operator)
    stream = client.stream(INSTANCE, HOST)
    first = await anext(stream)
    assert first.report is not None and first.report.role_state == "ready"
    assert (await anext(stream)).heartbeat is not None
    served.fake.say("closing")
    while (frame := await anext(stream)).report is None:
        assert frame.heartbeat is not None
    assert frame.report.role_state == "closing"
    await stream.aclose()
    await client.close()


async def test_a_silent_stream_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instance.reporter.HEARTBEAT_SECONDS", 60.0)
    monkeypatch.setattr(protocol_client, "STREAM_SILENCE_SECONDS", 0.2)
    client = served.client(served.operator)
    stream = client.stream(INSTANCE, HOST)
    await anext(stream)
    with pytest.raises(Unreachable, match="in time"):
        await anext(stream)
    await client.close()


async def test_a_rotated_certificate_and_client_ca_serve_the_next_handshake(served: Served) -> None:
    fresh = Authority("new-clients")
    (served.home / "client-ca.crt").write_bytes(fresh.pem)
    served.server_ca.issue("db-1", dns=(SERVER_NAME,)).write(served.home / "server")
    assert served.context.refresh()
    client = served.client(fresh.issue("cnmysql-operator", server=False))
    assert (await client.status(INSTANCE, HOST)).instance_name == INSTANCE
    await client.close()
    former = served.client(served.operator)
    with pytest.raises(Unreachable):
        await former.status(INSTANCE, HOST)
    await former.close()


async def test_without_a_closer_the_call_does_not_exist(tmp_path: Path, served: Served) -> None:
    directory = tmp_path / "server"
    context = RotatingServerContext(TlsFiles(directory / "tls.crt", directory / "tls.key", tmp_path / "client-ca.crt"))
    server = await serve_control(served.fake, None, context, cluster=CLUSTER, namespace=NAMESPACE, host=HOST, port=0)
    client = ControlClient(served.caller(served.operator), NAMESPACE, port=server.port)
    with pytest.raises(NotFound):
        await client.close_role(INSTANCE, HOST, 3)
    await client.close()
    await server.close()


async def test_an_answer_that_is_no_report_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InstanceStatus, "to_json", lambda _: b'{"x": 1}')
    client = served.client(served.operator)
    with pytest.raises(Invalid, match="no status report"):
        await client.status(INSTANCE, HOST)
    await client.close()


ROOT = RootOrder("7", derived(Secret("pass"), "root"), remote=True)
OWNER = OwnerOrder("9", "app", derived(Secret("pass"), "app"))


async def test_the_operator_hands_passwords_over_and_they_arrive_whole(served: Served) -> None:
    client = served.client(served.operator)
    await client.accounts(INSTANCE, HOST, AccountsOrder(ROOT, OWNER))
    await client.accounts(INSTANCE, HOST, AccountsOrder(owner=OWNER))
    assert served.fake.given == [AccountsOrder(ROOT, OWNER), AccountsOrder(owner=OWNER)]
    assert ROOT.stored.reveal() not in repr(served.fake.given)
    await client.close()


async def test_a_peer_hands_no_password_over(served: Served) -> None:
    client = served.client(served.peer)
    with pytest.raises(Forbidden):
        await client.accounts(INSTANCE, HOST, AccountsOrder(ROOT))
    assert not served.fake.given
    await client.close()


@pytest.mark.parametrize(
    "body",
    [
        b'"canary', b"[]", b"{}", b'{"root":1}', b'{"other":{}}', b'{"root":{"revision":"1","stored":"canary"}}',
        b'{"root":{"revision":"1","stored":"canary","remote":true}}',
        b'{"root":{"revision":"1","stored":"FORM","remote":"yes"}}',
        b'{"root":{"revision":"","stored":"FORM","remote":true}}',
        b'{"owner":{"revision":"1","user":"canary","stored":""}}',
        b'{"owner":{"revision":"1","user":"' + b"u" * 33 + b'","stored":"FORM"}}',
        b'{"owner":{"revision":"1","user":"a\\u0000b","stored":"FORM"}}',
        b'{"owner":{"revision":"1","user":"a","stored":"FORM' + b"c" * 257 + b'"}}',
    ],
)  # fmt: skip
async def test_an_order_that_cannot_be_understood_is_refused_without_being_quoted(served: Served, body: bytes) -> None:
    form = ROOT.stored.reveal().encode()
    code, answer = await served.raw(request("POST", "/accounts", body.replace(b"FORM", form)))
    assert code == 400
    assert b"canary" not in answer and form not in answer
    assert not served.fake.given
