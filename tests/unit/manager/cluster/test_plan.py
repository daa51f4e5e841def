"""The order of the rules, and what a hold, a stop and a step of roles do to the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manager.actions import Commit, Emit, PatchOwned, PatchStatus
from manager.cluster.plan import RULES, plan
from tests.unit.manager.snapshots import lease, pod, ready, says, silent, spec

BAD = {"parameters": {"gtid_mode": "OFF"}}


def test_every_row_says_why_it_is_where_it_is() -> None:
    assert len({row.name for row in RULES}) == len(RULES)
    assert all(row.why for row in RULES)


def test_what_guards_running_databases_comes_before_what_changes_them() -> None:
    order = [row.name for row in RULES]
    assert [row.name for row in RULES if row.guards] == ["deletion", "roles", "routing", "accounts"]
    assert order.index("roles") < order.index("instances")
    assert order.index("volumes") < order.index("instances") < order.index("rollout")
    assert order.index("identity") < order.index("instances")


def test_at_rest_the_plan_is_empty_and_wakes_nobody_until_a_certificate_is_near_its_end() -> None:
    found = plan(ready())
    assert (found.actions, found.phase) == ((), "Ready")
    assert found.wake_after is not None
    assert found.wake_after > 80 * 86400


def test_the_same_snapshot_gives_the_same_plan() -> None:
    s = spec(pod(ready(), "db-2", None), instances=5)
    assert plan(s) == plan(s)


def test_a_step_of_roles_is_carried_out_alone() -> None:
    s = says(lease(ready(), ""), "db-1", open=False, closed=True)
    s = spec(s, instances=5, inheritedMetadata={"labels": {"a": "b"}})
    assert [type(a) for a in plan(s).actions] == [Commit, Emit]


def test_under_a_bad_spec_roles_and_labels_are_still_looked_after() -> None:
    bad = spec(ready(), mysql=BAD, inheritedMetadata={"labels": {"a": "b"}}, instances=9)
    closed = says(lease(bad, ""), "db-1", open=False, closed=True)
    assert isinstance(plan(closed).actions[0], Commit)
    diverged = says(bad, "db-2", errant="u:1")
    assert [type(a) for a in plan(diverged).actions] == [PatchOwned, PatchStatus, Emit]


@pytest.mark.parametrize("fresh", [True, False])
def test_without_fresh_leadership_no_role_is_decided(fresh: bool) -> None:
    s = replace(says(lease(ready(), ""), "db-1", open=False, closed=True), leader_fresh=fresh)
    assert any(isinstance(a, Commit) for a in plan(s).actions) == fresh


def test_a_silent_primary_changes_no_role() -> None:
    assert not any(isinstance(a, Commit) for a in plan(silent(ready(), "db-1", "db-2", "db-3")).actions)
