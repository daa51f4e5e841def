"""Both transports against one fake API server: every trap is proven for each body."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cnmysql.kube.httpbase import HttpTransport
from cnmysql.kube.lean import LeanTransport
from cnmysql.kube.transport import KubeTransport
from tests.support.fake_api import FakeApi, serving


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with serving(tls=True) as running:
        yield running


async def connect(body: str, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> HttpTransport:
    """The in-cluster form of a transport, as the operator (`kube`) or an instance (`lean`) makes it."""
    for name, value in api.environ.items():
        monkeypatch.setenv(name, value)
    if body == "lean":
        return LeanTransport.in_cluster(api.environ, str(api.directory))
    return await KubeTransport.in_cluster(token_file=str(api.token_file), ca_file=str(api.ca_file))


@pytest.fixture(params=["kube", "lean"])
async def transport(
    request: pytest.FixtureRequest, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[HttpTransport]:
    made = await connect(request.param, api, monkeypatch)
    yield made
    await made.close()
