"""The Prometheus side of queues, controllers and informers: metric families made once per registry."""

from __future__ import annotations

from cnmysql.metrics import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class KubeMetrics:
    """The families. `queue(name)` and `controller(name)` give what WorkQueue and Controller report to."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.depth = Gauge("cnmysql_workqueue_depth", "Keys waiting for a worker.", ["name"], registry=registry)
        self.adds = Counter("cnmysql_workqueue_adds", "Keys added.", ["name"], registry=registry)
        self.retries = Counter("cnmysql_workqueue_retries", "Keys added with backoff.", ["name"], registry=registry)
        self.waited = Histogram(
            "cnmysql_workqueue_queue_duration_seconds",
            "Time from the add of a key to the start of its work.",
            ["name"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.worked = Histogram(
            "cnmysql_workqueue_work_duration_seconds",
            "Time a worker had a key.",
            ["name"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.reconciles = Counter(
            "cnmysql_controller_reconciles",
            "Reconciles by outcome (done, retry, conflict, terminal, failed).",
            ["controller", "outcome"],
            registry=registry,
        )

    def queue(self, name: str) -> QueueReport:
        return QueueReport(self, name)

    def controller(self, name: str) -> ControllerReport:
        return ControllerReport(self, name)


class QueueReport:
    """`workqueue.QueueMetrics` for one queue."""

    def __init__(self, families: KubeMetrics, name: str) -> None:
        self._depth = families.depth.labels(name)
        self._adds = families.adds.labels(name)
        self._retries = families.retries.labels(name)
        self._waited = families.waited.labels(name)
        self._worked = families.worked.labels(name)

    def depth(self, waiting: int) -> None:
        self._depth.set(waiting)

    def added(self) -> None:
        self._adds.inc()

    def retried(self) -> None:
        self._retries.inc()

    def started(self, waited: float) -> None:
        self._waited.observe(waited)

    def finished(self, worked: float) -> None:
        self._worked.observe(worked)


class ControllerReport:
    """`controller.ControllerMetrics` for one controller."""

    def __init__(self, families: KubeMetrics, name: str) -> None:
        self._families = families
        self._name = name

    def reconciled(self, outcome: str) -> None:
        self._families.reconciles.labels(self._name, outcome).inc()
