"""Tokens and CAs are replaced under running clients; kubeconfigs name exactly one server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cnmysql.errors import NotFound, Refused, Transient, Unreachable
from cnmysql.kube import httpbase, lean, transport
from cnmysql.kube.httpbase import HttpTransport
from cnmysql.kube.lean import LeanTransport
from cnmysql.kube.transport import KubeTransport
from tests.support.fake_api import FakeApi, raw, serving

PATH = "/api/v1/namespaces/ns/pods/a"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the files on every request."""
    for module, name in ((lean, "CA_CHECK_INTERVAL"), (transport, "CA_CHECK_INTERVAL"), (httpbase, "RELOAD_INTERVAL")):
        monkeypatch.setattr(module, name, 0.0)


async def works(client: HttpTransport) -> bool:
    with pytest.raises(NotFound):
        await client.request("GET", PATH)
    return True


@pytest.mark.usefixtures("impatient")
async def test_a_rotated_token_is_read_after_one_refusal(api: FakeApi, transport: HttpTransport) -> None:
    api.token = "first"
    assert await works(transport)
    api.token = "second"
    api.token_file.write_text("second")
    assert await works(transport)
    assert [asked.token for asked in api.asked] == ["first", "first", "second"]
    assert await works(transport)
    assert len(api.asked) == 4, "the new token stays"


@pytest.mark.usefixtures("impatient")
async def test_a_token_that_is_never_accepted_is_tried_twice_and_is_transient(
    api: FakeApi, transport: HttpTransport
) -> None:
    api.token = "another"
    with pytest.raises(Transient, match="401"):
        await transport.request("GET", PATH)
    assert len(api.asked) == 2


async def test_credentials_are_not_reloaded_for_every_refusal(api: FakeApi, transport: HttpTransport) -> None:
    api.token = "another"
    for _ in range(3):
        with pytest.raises(Transient, match="401"):
            await transport.request("GET", PATH)
    assert len(api.asked) == 3
    assert len({asked.connection for asked in api.asked}) == 1


@pytest.mark.usefixtures("impatient")
async def test_many_refused_at_once_reload_once(api: FakeApi, transport: HttpTransport) -> None:
    api.token = "first"
    assert await works(transport)
    api.token = "second"
    api.token_file.write_text("second")
    await asyncio.gather(*(works(transport) for _ in range(20)))


@pytest.mark.usefixtures("impatient")
async def test_a_stream_also_reloads(api: FakeApi, transport: HttpTransport) -> None:
    api.token = "first"
    assert await works(transport)
    api.token = "second"
    api.token_file.write_text("second")
    query = [("watch", "true"), ("resourceVersion", "100"), ("timeoutSeconds", "0")]
    async with transport.stream("/api/v1/pods", query=query, idle_timeout=5) as chunks:
        assert [chunk async for chunk in chunks] == []


@pytest.mark.usefixtures("impatient")
async def test_a_rotated_ca_is_picked_up_while_a_watch_of_the_old_one_goes_on(
    api: FakeApi, transport: HttpTransport
) -> None:
    assert await works(transport)
    query = [("watch", "true"), ("resourceVersion", "100")]
    async with transport.stream("/api/v1/pods", query=query, idle_timeout=20) as chunks:
        api.ca_file.write_bytes(api.new_authority())
        assert await works(transport)
        api.store.handle("POST", "/api/v1/namespaces/ns/pods", {}, {"metadata": {"name": "b"}}, "")
        assert b'"ADDED"' in await anext(chunks)
    await api.streams_closed()


@pytest.mark.usefixtures("impatient")
async def test_a_server_of_another_ca_is_not_trusted(api: FakeApi, transport: HttpTransport) -> None:
    api.new_authority()
    with pytest.raises(Unreachable, match=r"[Cc]ertificate|CERTIFICATE"):
        await transport.request("GET", PATH)
    assert api.asked == []


@pytest.mark.usefixtures("impatient")
async def test_files_missing_for_a_moment_do_no_harm(api: FakeApi, transport: HttpTransport) -> None:
    assert await works(transport)
    api.ca_file.rename(api.ca_file.with_suffix(".gone"))
    assert await works(transport)


@pytest.mark.usefixtures("impatient")
async def test_half_written_files_do_no_harm(api: FakeApi, transport: HttpTransport) -> None:
    """Terminal errors out of a running client would stop what waits for the next event."""
    api.token = "first"
    assert await works(transport)
    good = api.ca_file.read_bytes()
    api.ca_file.write_bytes(good[:100])
    assert await works(transport)
    api.ca_file.write_bytes(good)
    api.token = "second"
    api.token_file.write_text("")
    with pytest.raises(Transient, match="401"):
        await transport.request("GET", PATH)
    api.token_file.write_text("second")
    assert await works(transport)


async def test_no_files_at_start(tmp_path: Path) -> None:
    client = LeanTransport("https://localhost:1", tmp_path / "token", tmp_path / "ca.crt")
    with pytest.raises(Unreachable, match=r"ca\.crt"):
        await client.request("GET", PATH)
    client = LeanTransport("http://localhost:1", tmp_path / "token", tmp_path / "ca.crt")
    with pytest.raises(Unreachable, match="token"):
        await client.request("GET", PATH)
    await client.close()


async def test_outside_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Refused):
        LeanTransport.in_cluster({})
    with pytest.raises(Refused):
        await KubeTransport.in_cluster()


def test_ipv6_service_address() -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    assert LeanTransport.in_cluster(environ).host == "https://[fd00::1]:443"


async def test_redirects_are_not_followed(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token must not travel to where an answer points."""
    client = LeanTransport.in_cluster(api.environ, str(api.directory))
    api.answers.append(raw(302, b"", Location=api.url + "/elsewhere"))
    with pytest.raises(Transient, match="302"):
        await client.request("GET", PATH)
    assert len(api.asked) == 1
    await client.close()


def kubeconfig(path: Path, current: str, **servers: str) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "clusters": [{"name": n, "cluster": {"server": s}} for n, s in servers.items()],
        "users": [{"name": n, "user": {"token": f"token-{n}"}} for n in servers],
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in servers],
    }
    path.write_text(yaml.safe_dump(content))
    return path


async def test_kubeconfig_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as one, serving() as two, serving() as other:
        path = kubeconfig(tmp_path / "config", "one", one=one.url, two=two.url)
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "env", "other", other=other.url)))
        before = path.read_bytes()
        for context, api in ((None, one), ("two", two)):
            client = await KubeTransport.from_kubeconfig(path, context)
            assert await works(client)
            assert api.asked[-1].token == ("token-one" if context is None else "token-two")
            await client.close()
        assert other.asked == []
        assert path.read_bytes() == before
        for wrong in ("three", "other"):
            with pytest.raises(Refused):
                await KubeTransport.from_kubeconfig(path, wrong)
        with pytest.raises(Refused):
            await KubeTransport.from_kubeconfig(tmp_path / "missing")


async def test_broken_kubeconfig_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("clusters: [")
    with pytest.raises(Refused):
        await KubeTransport.from_kubeconfig(path)
    path.write_text("{}")
    with pytest.raises(Refused):
        await KubeTransport.from_kubeconfig(path)


def test_the_lean_side_never_loads_the_generated_client() -> None:
    """It costs about 60 MiB and half a second in every database Pod."""
    code = (
        "import sys; import cnmysql.kube.lean, cnmysql.kube.client, cnmysql.kube.informer, cnmysql.kube.lease; "
        "sys.exit('kubernetes_asyncio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
