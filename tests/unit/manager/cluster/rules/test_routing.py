"""Labels that Services select by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cnmysql import names
from cnmysql.protocol.report import Problem
from manager.actions import Emit, PatchOwned
from manager.cluster.outcome import Continue
from manager.cluster.rules import routing
from manager.cluster.snapshot import Snapshot
from tests.unit.manager.snapshots import pod, pod_uid, ready, says, silent, status

OTHER = {"epoch": 2, "kind": "reopen", "from": "db-1", "to": "db-2"}


def patches(s: Snapshot) -> dict[str, dict[str, str]]:
    outcome = routing.decide(s)
    assert isinstance(outcome, Continue)
    found = {}
    for action in outcome.actions:
        assert isinstance(action, PatchOwned)
        assert action.uid == pod_uid(s, action.target.name)
        labels = action.patch["metadata"]["labels"]
        found[action.target.name] = {k.removeprefix(names.PREFIX): v for k, v in labels.items()}
    return found


def labelled(s: Snapshot, instance: str, role: str) -> Snapshot:
    return pod(s, instance, {"metadata": {"labels": {names.LABEL_ROLE: role}}})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s, {}),
        (lambda s: labelled(s, "db-1", "replica"), {"db-1": {"role": "primary"}}),
        (lambda s: says(labelled(s, "db-1", "replica"), "db-1", open=False), {}),
        (lambda s: silent(labelled(s, "db-1", "replica"), "db-1"), {}),
        (lambda s: says(s, "db-1", open=False), {}),
        (lambda s: silent(s, "db-1", "db-2", "db-3"), {}),
        (lambda s: labelled(s, "db-2", "primary"), {"db-2": {"role": "replica"}}),
        (lambda s: status(s, epoch=2, roleChange=OTHER), {"db-1": {"role": "replica"}}),
        (lambda s: says(s, "db-2", errant="u:1"), {"db-2": {"routable": "false"}}),
        (
            lambda s: says(s, "db-2", problem=Problem(reason="Diverged", message="m")),
            {"db-2": {"routable": "false"}},
        ),
        (lambda s: silent(pod(s, "db-2", {"metadata": {"labels": {names.LABEL_ROUTABLE: "false"}}}), "db-2"), {}),
        (
            lambda s: pod(s, "db-2", {"metadata": {"labels": {names.LABEL_ROUTABLE: "false"}}}),
            {"db-2": {"routable": "true"}},
        ),
        (lambda s: pod(labelled(s, "db-2", "primary"), "db-1", None), {"db-2": {"role": "replica"}}),
    ],
)
def test_labels(change: Callable[[Snapshot], Snapshot], expected: dict[str, dict[str, str]]) -> None:
    assert patches(change(ready(3))) == expected


def test_a_pod_that_only_carries_our_labels_loses_them() -> None:
    stranger = {"metadata": {"name": "copy", "uid": "u-copy", "labels": {
        names.LABEL_CLUSTER: "db", names.LABEL_ROLE: "primary", names.LABEL_ROUTABLE: "true", "app": "shop",
    }}}  # fmt: skip
    outcome = routing.decide(replace(ready(3), strangers=(stranger,)))
    assert isinstance(outcome, Continue)
    patch, event = outcome.actions
    assert isinstance(patch, PatchOwned) and isinstance(event, Emit)
    assert (patch.target.name, patch.uid) == ("copy", "u-copy")
    assert patch.patch == {"metadata": {"labels": {names.LABEL_ROLE: None, names.LABEL_ROUTABLE: None}}}
    assert event.warning and "copy" in event.message
    harmless = {"metadata": {"name": "job", "uid": "u-job", "labels": {names.LABEL_CLUSTER: "db"}}}
    assert not routing.decide(replace(ready(3), strangers=(harmless,))).actions
