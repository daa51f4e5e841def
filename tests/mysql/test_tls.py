"""The floor of client connections on real servers that run with the rendered configuration: TLS 1.2."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from cnmysql.mysql.mycnf import MyCnfInput, render
from tests.mysql.servers import HOST, VERSION, World, world
from tests.support.mysqld import Mysqld, MysqldFactory, Tls

USER, PASSWORD = "client", "client-password"
INSECURE_TRANSPORT = 3159
LEFT_OUT = ("pid_file", "ssl_", "admin_", "port ", "bind_address", "super_read_only", "read_only")
"""What the harness gives itself or a test machine lacks; and the server is to be written to."""


@pytest.fixture(scope="module")
def made(mysqld_session: MysqldFactory) -> Iterator[World]:
    factory = MysqldFactory()
    with world(factory) as found:
        yield found
    factory.close()


@pytest.fixture(scope="module", params=["ON", "OFF"])
def required(request: pytest.FixtureRequest) -> str:
    """`require_secure_transport`."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(made: World, required: str) -> Mysqld:
    files = made.write(made.server_leaf("db-1"), f"floor-{required}")
    text = render(MyCnfInput(VERSION, 1, HOST, parameters={"require_secure_transport": required}))
    server = made.factory.create(
        f"floor-{required}",
        config="\n".join(line for line in text.splitlines() if not line.startswith(LEFT_OUT)) + "\n",
        tls=Tls(made.ca_file, files / "tls.crt", files / "tls.key"),
    )
    server.query(f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'")
    return server


def only(version: ssl.TLSVersion, made: World) -> ssl.SSLContext:
    """A client that speaks this version alone and really offers it: old ones need weak digests to be allowed."""
    context = ssl.create_default_context(cafile=str(made.ca_file))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    return context


def spoken(server: Mysqld, **options: Any) -> str:
    """The version that a login over TCP speaks; empty without TLS. Raises what PyMySQL raises."""
    rows = server.query("SHOW STATUS LIKE 'Ssl_version'", host=HOST, user=USER, password=PASSWORD, **options)
    return str(rows[0][1])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_what_is_older_than_tls_1_2_is_refused_by_the_server(
    server: Mysqld, made: World, version: ssl.TLSVersion
) -> None:
    with pytest.raises(pymysql.err.OperationalError, match="alert protocol version"):
        spoken(server, ssl=only(version, made))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_log_in(server: Mysqld, made: World, version: ssl.TLSVersion) -> None:
    assert spoken(server, ssl=only(version, made)) == version.name.replace("_", ".")


def test_without_tls_only_where_the_user_allows_it(server: Mysqld, required: str) -> None:
    if required == "OFF":
        assert spoken(server, ssl_disabled=True) == ""
        return
    with pytest.raises(pymysql.err.OperationalError) as refused:
        spoken(server, ssl_disabled=True)
    assert refused.value.args[0] == INSECURE_TRANSPORT
