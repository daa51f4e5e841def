"""Accounts of MySQL's and of the API's, made once."""

from __future__ import annotations

import pytest

from manager.actions import Action, Apply, CreateOnce
from manager.cluster.outcome import Continue
from manager.cluster.rules import identity
from tests.unit.manager.snapshots import new, objects, ready, spec


def made(actions: tuple[Action, ...]) -> list[str]:
    found = []
    for action in actions:
        assert isinstance(action, Apply | CreateOnce)
        found.append(f"{action.target.resource.kind} {action.target.name}")
    return found


def test_a_new_cluster_gets_everything_at_once() -> None:
    outcome = identity.decide(new())
    assert isinstance(outcome, Continue)
    assert set(made(outcome.actions)) == {
        *(f"Secret db-{n}" for n in ("control", "backup", "root", "app")),
        *(f"ServiceAccount db-{i}-instance" for i in (1, 2, 3)),
        "Role db-instance",
        "RoleBinding db-instance",
    }


def test_passwords_are_asked_for_and_never_decided_here() -> None:
    outcome = identity.decide(new())
    assert isinstance(outcome, Continue)
    asked = {
        a.target.name: a.body["stringData"]
        for a in outcome.actions
        if isinstance(a, CreateOnce) and a.passwords == ("password",) and a.body["type"] == "Opaque"
    }
    assert asked == {
        "db-control": {"username": "cnmysql_control"},
        "db-backup": {"username": "cnmysql_backup"},
        "db-root": {"username": "root"},
        "db-app": {"username": "app"},
    }


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"rootPasswordSecret": {"name": "mine"}}, "Secret db-root"),
        ({"bootstrap": {"initdb": {"secret": {"name": "mine"}}}}, "Secret db-app"),
        ({"bootstrap": {"initdb": {"database": "", "owner": ""}}}, "Secret db-app"),
    ],
)
def test_secrets_of_the_user_are_not_generated(changes: dict[str, object], absent: str) -> None:
    outcome = identity.decide(spec(new(), **changes))
    assert isinstance(outcome, Continue)
    assert absent not in made(outcome.actions)


def test_at_rest_nothing_is_written() -> None:
    assert identity.decide(ready()) == Continue()


def test_an_existing_password_is_never_written_again() -> None:
    s = objects(ready(), "secrets", db_root={"data": {"password": "changed"}})
    assert identity.decide(s) == Continue()


def test_a_change_somebody_made_is_undone_and_what_they_added_is_left() -> None:
    added = objects(ready(), "roles", db_instance={"metadata": {"annotations": {"theirs": "x"}}})
    assert identity.decide(added) == Continue()
    changed = objects(ready(), "roles", db_instance={"rules": []})
    assert made(identity.decide(changed).actions) == ["Role db-instance"]
