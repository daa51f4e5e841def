"""What the operator tells Prometheus about itself and its Clusters."""

from __future__ import annotations

from cnmysql.clock import parse_rfc3339
from cnmysql.kube.metrics import KubeMetrics
from cnmysql.metrics import CollectorRegistry, Gauge
from manager.actions import Plan
from manager.cluster.snapshot import Snapshot


class ManagerMetrics:
    """All families in one registry. Gauges of a Cluster go when the Cluster goes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.kube = KubeMetrics(self.registry)
        self.leading = Gauge("cnmysql_leader", "1 while this process leads.", registry=self.registry)
        labels = ["namespace", "cluster"]
        self._ready = Gauge("cnmysql_cluster_instances_ready", "Ready instances.", labels, registry=self.registry)
        self._wanted = Gauge("cnmysql_cluster_instances", "Instances that have a Pod.", labels, registry=self.registry)
        self._epoch = Gauge("cnmysql_cluster_epoch", "Number of role changes so far.", labels, registry=self.registry)
        self._phase = Gauge(
            "cnmysql_cluster_phase", "1 for the phase the Cluster is in.", [*labels, "phase"], registry=self.registry
        )
        self._phases: dict[tuple[str, str], str] = {}
        self._ends = Gauge(
            "cnmysql_certificate_expiration_timestamp_seconds",
            "End of validity of a certificate in use, by Secret.",
            [*labels, "secret"],
            registry=self.registry,
        )
        self._secrets: dict[tuple[str, str], set[str]] = {}

    def planned(self, key: str, snapshot: Snapshot | None, plan: Plan | None) -> None:
        """Take over what a pass has found; None when the Cluster is gone."""
        namespace, _, name = key.partition("/")
        labels = (namespace, name)
        self._certificates(labels, snapshot)
        before = self._phases.pop(labels, None)
        if snapshot is None or plan is None:
            if before is not None:
                self._phase.remove(*labels, before)
                for family in (self._ready, self._wanted, self._epoch):
                    family.remove(*labels)
            return
        phase = plan.phase or before or str(snapshot.status.get("phase") or "Pending")
        if before is not None and before != phase:
            self._phase.remove(*labels, before)
        self._phases[labels] = phase
        self._phase.labels(*labels, phase).set(1)
        self._ready.labels(*labels).set(int(snapshot.status.get("readyInstances") or 0))
        self._wanted.labels(*labels).set(len(snapshot.objects.pods))
        self._epoch.labels(*labels).set(snapshot.record.epoch)

    def _certificates(self, labels: tuple[str, str], snapshot: Snapshot | None) -> None:
        """As the status has them; a Secret that is used no longer goes."""
        status = snapshot.status if snapshot is not None else {}
        ends: dict[str, str] = (status.get("certificates") or {}).get("expirations") or {}
        for secret in self._secrets.pop(labels, set()) - ends.keys():
            self._ends.remove(*labels, secret)
        if ends:
            self._secrets[labels] = set(ends)
        for secret, end in ends.items():
            self._ends.labels(*labels, secret).set(parse_rfc3339(end).timestamp())
