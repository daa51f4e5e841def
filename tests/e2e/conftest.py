"""A real Kubernetes with the operator deployed, shared by the whole run; each test has a namespace of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bed import bed, deploy
from tests.support.cluster import Cluster, fresh_namespace
from tests.support.kube import Kube

RUN_STARTED = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
OUTERMOST_SECONDS = 900
SOAK = os.environ.get("CNMYSQL_SOAK") == "1"


def seeds(in_ci: int, in_soak: int) -> list[int]:
    """Seeds of a random-kill test: few and fixed normally, all of them under `make soak`."""
    return list(range(1, (in_soak if SOAK else in_ci) + 1))


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    given = os.environ.get("CNMYSQL_TEST_KUBECONFIG")
    if given:
        return Path(given)
    if reason := bed.why_not():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the bed cannot run here: {reason}")
        pytest.skip(reason)
    return deploy.ensure()


@pytest.fixture(scope="session")
def kube(kubeconfig: Path) -> Iterator[Kube]:
    client = Kube(kubeconfig, deploy.kubectl())
    yield client
    client.close()


@pytest.fixture
def namespace(kube: Kube, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace enforcing the restricted Pod Security Standard."""
    prefix = request.node.originalname.removeprefix("test_").replace("_", "-")[:30].rstrip("-")
    with kube.namespace(fresh_namespace(prefix)) as name:
        yield name


@pytest.fixture
def make_cluster(kube: Kube, namespace: str) -> Callable[[str], Cluster]:
    """A Cluster handle in the test's own namespace; nothing is created yet."""

    def make(name: str = "db") -> Cluster:
        return Cluster(kube, namespace, name)

    return make


@pytest.fixture(scope="module")
def trio(kube: Kube, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A Ready three-instance Cluster shared by the tests of one module."""
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")[:30]
    with kube.namespace(fresh_namespace(f"trio-{module}")) as ns:
        yield Cluster(kube, ns, "db").create(3).wait_ready(3, 240)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every wait in here has a bound of its own that says what was waited for; this one only ends a test that hangs.

    The one in pyproject.toml is meant for tests that start no Pod.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(OUTERMOST_SECONDS))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """On a failure, add what the operator logged last: the reason is usually there."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed and call.when == "call" and "kube" in getattr(item, "fixturenames", ()):
        client: Kube = item.funcargs["kube"]  # type: ignore[attr-defined]
        report.sections.append(("operator log", deploy.operator_log(client)[-6000:]))
        sys.stdout.flush()
