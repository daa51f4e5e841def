"""Fixtures for tests against real MySQL servers.

Without root or off Linux these tests are skipped with the reason; with CI=true they fail instead, so that a
green CI always means they ran.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.mysql.pods import Pod, founded, initialised
from tests.mysql.role_servers import City
from tests.mysql.servers import World, world
from tests.support.mysqld import MysqldFactory, unavailable


@pytest.fixture(scope="session")
def mysqld_session() -> Iterator[MysqldFactory]:
    """The factory behind `mysqld_factory`; servers made by it live until the end of the test session."""
    reason = unavailable()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    factory = MysqldFactory()
    yield factory
    factory.close()


@pytest.fixture
def mysqld_factory(mysqld_session: MysqldFactory) -> Iterator[MysqldFactory]:
    """Makes servers for one test (`create`); all of them are killed and removed after it.

    Do not mix with servers a wider fixture made from `mysqld_session`: give such a fixture a MysqldFactory of
    its own.
    """
    yield mysqld_session
    mysqld_session.close_servers()


@pytest.fixture(scope="module")
def module_factory(mysqld_session: MysqldFactory) -> Iterator[MysqldFactory]:
    """Makes servers for all tests of a module, which may use `mysqld_factory` beside it."""
    factory = MysqldFactory()
    yield factory
    factory.close()


@pytest.fixture
def planet(mysqld_factory: MysqldFactory) -> Iterator[World]:
    """A CA, certificates, and servers that are made from them for one test."""
    with world(mysqld_factory) as found:
        yield found


@pytest.fixture(scope="module")
def module_planet(module_factory: MysqldFactory) -> Iterator[World]:
    """The same for all tests of a module."""
    with world(module_factory) as found:
        yield found


@pytest.fixture
async def city(planet: World) -> AsyncIterator[City]:
    """A Cluster without Pods, and nobody in it yet."""
    found = City(planet)
    yield found
    await found.exits.aclose()


@pytest.fixture(scope="module")
def volume(mysqld_session: MysqldFactory) -> Iterator[Path]:
    """A volume initialised once; every test runs on a copy."""
    with initialised(mysqld_session) as made:
        yield made


@pytest.fixture
async def pod(mysqld_factory: MysqldFactory, volume: Path) -> AsyncIterator[Pod]:
    """An instance manager that has not been started, on a copy of the volume, and its API server."""
    async with founded(mysqld_factory, volume) as found:
        yield found
