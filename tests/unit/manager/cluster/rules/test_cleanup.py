"""What is left of removed instances."""

from __future__ import annotations

from manager.actions import Delete
from manager.cluster.outcome import Continue
from manager.cluster.rules import cleanup
from manager.cluster.snapshot import Snapshot
from tests.unit.manager.snapshots import pod, ready, spec


def deleted(s: Snapshot) -> list[str]:
    found = []
    for action in cleanup.decide(s).actions:
        assert isinstance(action, Delete)
        assert action.uid.startswith("uid-")
        found.append(f"{action.target.resource.kind} {action.target.name}")
    return found


def test_at_rest() -> None:
    assert cleanup.decide(ready()) == Continue()


def test_nothing_goes_while_the_pod_is_there() -> None:
    assert deleted(spec(ready(), instances=2)) == []


def test_everything_but_the_volume_goes_after_the_pod_certificates_first() -> None:
    assert deleted(pod(spec(ready(), instances=2), "db-3", None)) == [
        "Certificate db-3-server",
        "Certificate db-3-peer",
        "Secret db-3-server-tls",
        "Secret db-3-peer-tls",
        "Service db-3",
        "ConfigMap db-3-config",
        "ServiceAccount db-3-instance",
    ]
