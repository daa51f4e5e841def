"""The walls of `spec.networkPolicy`, tried with real connections from real Pods. In order: the last test opens them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cnmysql import names
from tests.bed.deploy import DEPLOY
from tests.support import visitors
from tests.support.cluster import Cluster, fresh_namespace
from tests.support.kube import Json, Kube, eventually
from tests.support.visitors import Door, Visitor, knock, visitor

SHOP = {"podSelector": {"matchLabels": {"app": "shop"}}}
PROMETHEUS = {"podSelector": {"matchLabels": {"app": "prometheus"}}}
CLOSED_TO_VISITORS = (names.PORT_CONTROL, names.PORT_HEALTH, names.PORT_METRICS)


@dataclass(frozen=True)
class Town:
    """A Cluster behind walls, and those who would like in: one that calls itself part of the Cluster (`stranger`), one
    that is labelled as the shop (`elsewhere`) and one as the operator (`impostor`), both in another namespace."""

    cluster: Cluster
    shop: Visitor
    stranger: Visitor
    prometheus: Visitor
    elsewhere: Visitor
    impostor: Visitor

    @property
    def addresses(self) -> list[str]:
        return [self.cluster.address(i) for i in self.cluster.status["instanceNames"]]

    def sql(self, service: str, text: str) -> str:
        """As the application, from the shop, through a Service."""
        login = self.cluster.app
        done = self.shop.mysql(f"{self.cluster.name}-{service}", login.user, login.password, text)
        assert done.code == 0, done.err
        return done.out.strip()


@pytest.fixture(scope="module")
def town(kube: Kube) -> Iterator[Town]:
    with kube.namespace(fresh_namespace("walls")) as ns, kube.namespace(fresh_namespace("walls-outside")) as outside:
        walls = {"enabled": True, "clients": [SHOP], "metrics": [PROMETHEUS]}
        cluster = Cluster(kube, ns, "db").create(3, networkPolicy=walls)
        shop, prometheus = (visitor(kube, ns, app, {"app": app}) for app in ("shop", "prometheus"))
        stranger = visitor(kube, ns, "stranger", {"app": "stranger", names.LABEL_CLUSTER: "db"})
        elsewhere = visitor(kube, outside, "shop", {"app": "shop"})
        impostor = visitor(kube, outside, "operator", names.operator_labels())
        visitors.wait(shop, stranger, prometheus, elsewhere, impostor)
        yield Town(cluster.wait_ready(3, 240), shop, stranger, prometheus, elsewhere, impostor)


def test_behind_walls_it_becomes_ready_replicates_and_serves_its_clients(town: Town) -> None:
    assert town.cluster.kube.find("NetworkPolicy", town.cluster.ns, names.network_policy("db"))
    town.sql("rw", "CREATE TABLE app.t (a INT PRIMARY KEY); INSERT INTO app.t VALUES (7)")
    town.cluster.wait_caught_up()
    assert town.sql("ro", "SELECT a FROM app.t") == "7"


def test_nobody_else_reaches_mysql(town: Town) -> None:
    for address in town.addresses:
        assert town.shop.knock(address, names.PORT_MYSQL) is Door.OPEN
        for other in (town.stranger, town.prometheus, town.elsewhere, town.impostor):
            assert other.knock(address, names.PORT_MYSQL) is Door.SILENT, other.name


def test_nobody_but_operator_and_peers_reaches_the_other_ports(town: Town) -> None:
    address, peer = town.addresses[:2]
    for port in CLOSED_TO_VISITORS:
        assert town.shop.knock(address, port) is Door.SILENT, port
        assert town.stranger.knock(address, port) is Door.SILENT, port
    assert town.prometheus.knock(address, names.PORT_METRICS) is not Door.SILENT
    assert town.prometheus.knock(address, names.PORT_CONTROL) is Door.SILENT
    assert _from_instance(town, peer, names.PORT_CONTROL) is Door.OPEN
    assert _from_instance(town, peer, names.PORT_HEALTH) is Door.SILENT


def test_who_only_wears_the_operators_labels_is_nobody(town: Town) -> None:
    """The true one is where its namespace is, and gets through all the same."""
    for address in town.addresses:
        assert town.impostor.knock(address, names.PORT_CONTROL) is Door.SILENT
    pod = _operators(town.cluster.kube)[0]
    wanted = names.operator_labels()
    worn = town.cluster.kube.get("Pod", town.impostor.ns, town.impostor.name)["metadata"]["labels"]
    assert {k: worn[k] for k in wanted} == {k: pod["metadata"]["labels"][k] for k in wanted} == wanted
    assert _operator_reaches(town.cluster.kube, town.addresses[0], names.PORT_CONTROL)


def test_probes_and_the_operator_come_through_also_with_the_operators_own_walls(kube: Kube, town: Town) -> None:
    """New connections of both: of the kubelet, because the new process has to become Ready; of the operator, because
    the Cluster becomes Ready only by what the instance tells it."""
    replica = town.cluster.replicas[0]
    before = _restarts(town, replica)
    policies = str(DEPLOY / "network-policy" / "egress")
    assert kube.kubectl("apply", "-k", policies).code == 0
    try:
        node = _node_without_operator(kube)
        eventually(lambda: _operator_reaches(kube, node, 10250) is False, 20, "the operator's own walls to stand")
        town.cluster.manager(replica).kill()
        eventually(lambda: _restarts(town, replica) > before, 60, "the manager to be started again")
        town.cluster.wait_ready(3, 120)
        town.sql("rw", "INSERT INTO app.t VALUES (8)")
        town.cluster.wait_caught_up()
    finally:
        assert kube.kubectl("delete", "-k", policies).code == 0


def test_of_the_operator_only_metrics_can_be_reached(kube: Kube, town: Town) -> None:
    address = _operators(kube)[0]["status"]["podIP"]
    assert town.shop.knock(address, names.PORT_OPERATOR_METRICS) is Door.OPEN
    assert town.shop.knock(address, 8081) is Door.SILENT


def test_an_instance_reaches_nothing_else_until_the_spec_adds_it(kube: Kube, town: Town) -> None:
    address, port = _operators(kube)[0]["status"]["podIP"], names.PORT_OPERATOR_METRICS
    assert _from_instance(town, address, port) is Door.SILENT
    added = {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": names.operator_labels()}}]}
    town.cluster.patch({"spec": {"networkPolicy": {"extraEgress": [{**added, "ports": [{"port": port}]}]}}})
    eventually(lambda: _from_instance(town, address, port) is Door.OPEN, 20, "the added way out")


def test_without_walls_everybody_reaches_everything(town: Town) -> None:
    town.cluster.patch({"spec": {"networkPolicy": {"enabled": False}}})
    town.cluster.kube.wait_gone("NetworkPolicy", town.cluster.ns, names.network_policy("db"))
    address = town.addresses[0]
    for port in (names.PORT_MYSQL, names.PORT_CONTROL, names.PORT_HEALTH):
        eventually(lambda: town.elsewhere.knock(address, port) is Door.OPEN, 20, f"port {port} to be open")  # noqa: B023
    town.cluster.wait_ready(3)


def _from_instance(town: Town, address: str, port: int) -> Door:
    cluster = town.cluster
    inside = (cluster.ns, cluster.status["instanceNames"][0], names.CONTAINER_MYSQL)
    return knock(cluster.kube, inside, address, port)


def _restarts(town: Town, instance: str) -> int:
    (container,) = town.cluster.pod(instance)["status"]["containerStatuses"]
    return int(container["restartCount"])


def _operators(kube: Kube) -> list[Json]:
    selector = ",".join(f"{k}={v}" for k, v in names.operator_labels().items())
    return kube.list("Pod", names.OPERATOR_NAMESPACE, selector)


def _node_without_operator(kube: Kube) -> str:
    """Address of a node; a Pod always reaches its own."""
    taken = {pod["spec"]["nodeName"] for pod in _operators(kube)[:1]}
    node = next(n for n in kube.list("Node") if n["metadata"]["name"] not in taken)
    return str(next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"))


def _operator_reaches(kube: Kube, address: str, port: int) -> bool:
    """The operator's image has no shell, but Python."""
    connect = f"import socket; socket.create_connection(({address!r}, {port}), 2)"
    pod = _operators(kube)[0]["metadata"]["name"]
    done = kube.exec(names.OPERATOR_NAMESPACE, pod, "/operator/bin/python3", "-c", connect, container="manager")
    assert done.code == 0 or "TimeoutError" in done.err, done.err
    return done.code == 0
