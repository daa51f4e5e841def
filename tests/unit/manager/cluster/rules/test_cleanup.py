"""What is left of removed instances."""

from __future__ import annotations

import pytest

from manager.actions import Delete
from manager.cluster.outcome import Continue
from manager.cluster.rules import cleanup
from manager.cluster.snapshot import Snapshot
from tests.support.merge_patch import merge_patch
from tests.unit.manager.snapshots import objects, pod, ready, spec


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


OF_ONE = {
    "certificates": "db-3-server",
    "secrets": "db-3-server-tls",
    "services": "db-3",
    "config_maps": "db-3-config",
    "service_accounts": "db-3-instance",
}


def scaled_down() -> Snapshot:
    return pod(spec(ready(), instances=2), "db-3", None)


@pytest.mark.parametrize("field", OF_ONE)
def test_what_only_carries_the_labels_stays(field: str) -> None:
    """A copy that somebody made keeps the labels: without the owner, or with it and under another name."""
    name = OF_ONE[field]
    before = deleted(scaled_down())
    live = getattr(ready().objects, field)[name]
    copied = objects(scaled_down(), field, my_copy=merge_patch(live, {"metadata": {"name": "my-copy"}}))
    assert deleted(copied) == before
    disowned = objects(scaled_down(), field, **{name: {"metadata": {"ownerReferences": None}}})
    assert [d for d in before if not d.endswith(f" {name}")] == deleted(disowned)
    assert len(deleted(disowned)) == len(before) - 1
