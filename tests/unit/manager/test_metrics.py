"""Gauges follow a Cluster and go with it."""

from __future__ import annotations

from cnmysql.metrics import render
from manager.cluster.plan import plan
from manager.metrics import ManagerMetrics
from tests.unit.manager.snapshots import ready, silent, status


def lines(metrics: ManagerMetrics) -> set[str]:
    text = render(metrics.registry).decode()
    return {line for line in text.splitlines() if line.startswith("cnmysql_cluster")}


def test_gauges() -> None:
    metrics, labels = ManagerMetrics(), 'cluster="db",namespace="shop"'
    metrics.planned("shop/db", ready(), plan(ready()))
    assert lines(metrics) == {
        f"cnmysql_cluster_instances_ready{{{labels}}} 3.0",
        f"cnmysql_cluster_instances{{{labels}}} 3.0",
        f"cnmysql_cluster_epoch{{{labels}}} 1.0",
        f'cnmysql_cluster_phase{{{labels},phase="Ready"}} 1.0',
    }
    lost = silent(ready(), "db-2")
    metrics.planned("shop/db", lost, plan(lost))
    assert [line for line in lines(metrics) if "phase" in line] == [
        f'cnmysql_cluster_phase{{{labels},phase="Degraded"}} 1.0'
    ]
    metrics.planned("shop/db", None, None)
    assert lines(metrics) == set()
    metrics.planned("shop/db", None, None)


def test_ends_of_certificates_come_and_go() -> None:
    metrics = ManagerMetrics()
    s = ready(1)
    metrics.planned("shop/db", s, plan(s))
    text = render(metrics.registry).decode()
    assert 'cnmysql_certificate_expiration_timestamp_seconds{cluster="db",namespace="shop",secret="db-ca"} 2.0' in text
    fewer = status(s, certificates={"expirations": {"db-ca": None}})
    metrics.planned("shop/db", fewer, plan(fewer))
    text = render(metrics.registry).decode()
    assert 'secret="db-ca"' not in text
    assert 'secret="db-client-tls"' in text
    metrics.planned("shop/db", None, None)
    assert "secret=" not in render(metrics.registry).decode()
