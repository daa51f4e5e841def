"""Which specs hold every change, and what people are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manager.actions import Emit
from manager.cluster.desired import desired
from manager.cluster.outcome import Continue, Hold
from manager.cluster.rules import validation
from manager.cluster.snapshot import Known, Malformed, Snapshot, UserSecret
from tests.unit.manager.snapshots import new, objects, ready, spec, status


def held(s: Snapshot) -> str:
    outcome = validation.decide(s)
    assert isinstance(outcome, Hold), outcome
    assert outcome.actions == ()
    return f"{outcome.notice.phase}|{outcome.notice.reason}"


@pytest.mark.parametrize(
    ("s", "expected"),
    [
        (spec(ready(), storage={"size": None}), "Blocked|InvalidStorage: spec.storage.size is missing"),
        (spec(ready(), storage={"size": "many"}), "Blocked|InvalidStorage"),
        (
            spec(ready(), resources={"limits": {"memory": "1e999999"}}),
            "Blocked|InvalidResources: spec.resources.limits.memory: '1e999999' is not a quantity; write",
        ),
        (spec(ready(), resources={"limits": {"cpu": "1e2.5"}}), "Blocked|InvalidResources: spec.resources.limits.cpu:"),
        (spec(new(), imageName="mysql:5.7"), "Blocked|UnsupportedVersion: spec.imageName mysql:5.7: MySQL 5.7.0"),
        (
            spec(status(ready(), image=None), imageName="mysql:5.7"),
            "Blocked|UnsupportedVersion: spec.imageName mysql:5.7: MySQL 5.7.0",
        ),
        (
            spec(status(ready(), image="mysql:5.7"), imageName="mysql:5.7"),
            "Blocked|UnsupportedVersion: spec.imageName mysql:5.7: MySQL 5.7.0",
        ),
        (
            objects(spec(new(), storage={"size": "512Mi"}), "volumes", db_1=ready().objects.volumes["db-1"]),
            "Blocked|ShrinkUnsupported: spec.storage.size 512Mi is smaller than the 1Gi of volume db-1",
        ),
        (
            spec(new(), bootstrap={"initdb": {"database": "a\\b"}}),
            "Blocked|InvalidDatabase: spec.bootstrap.initdb.database a\\b: a schema that is granted on must not hold",
        ),
        (
            spec(ready(), mysql={"parameters": {"gtid_mode": "OFF"}}),
            "Blocked|InvalidParameter: mysql.parameters: 'gtid_mode'",
        ),
        (replace(ready(), spec=Malformed("spec.instances: is a word")), "Blocked|InvalidSpec: spec.instances"),
    ],
)
def test_refused(s: Snapshot, expected: str) -> None:
    assert held(s).startswith(expected)


@pytest.mark.parametrize(
    ("s", "expected"),
    [
        (spec(ready(), storage={"size": "512Mi"}), "ShrinkUnsupported: spec.storage.size 512Mi is smaller"),
        (spec(ready(), imageName="mysql:5.7"), "UnsupportedVersion: spec.imageName mysql:5.7: MySQL 5.7.0"),
        (spec(ready(), imageName="mysql:8.4"), "UpgradeRefused: spec.imageName mysql:8.4: downgrade"),
        (
            spec(status(ready(), image="mysql:8.4"), imageName="mysql:9.7"),
            "UpgradeRefused: spec.imageName mysql:9.7 changes the series from 8.4 to 9.7",
        ),
    ],
)
def test_what_is_refused_on_a_running_cluster_is_said_and_not_done(s: Snapshot, expected: str) -> None:
    outcome = validation.decide(s)
    assert isinstance(outcome, Continue)
    assert outcome.notice is not None
    assert f"{outcome.notice.phase}|{outcome.notice.reason}".startswith(f"Blocked|{expected}")
    assert desired(s).image == (s.status["image"] if s.status["image"] == "mysql:8.4" else ready().status["image"])


@pytest.mark.parametrize(
    "s",
    [
        ready(),
        new(),
        spec(ready(), storage={"size": "2Gi"}),
        spec(ready(), resources={"limits": {"memory": "1Gi", "cpu": 2}}),
        spec(ready(), imageName="mysql:9.7.9"),
        spec(ready(), imageName="registry.example.com/mysql@sha256:" + "0" * 64),
        spec(ready(), mysql={"parameters": {"max_connections": "200"}}),
        objects(
            spec(ready(), storage={"size": "2Gi"}),
            "volumes",
            db_1={
                "metadata": {"annotations": {"mysql.cloudnative-mysql.io/cluster-uid": "other"}},
                "spec": {"resources": {"requests": {"storage": "9Gi"}}},
            },
        ),
    ],
)
def test_accepted(s: Snapshot) -> None:
    assert isinstance(validation.decide(s), Continue)


ROOT = spec(new(), rootPasswordSecret={"name": "mine"})
APP = spec(new(), bootstrap={"initdb": {"secret": {"name": "mine"}}})


@pytest.mark.parametrize(
    ("s", "secret", "expected"),
    [
        (ROOT, None, "|reading Secret mine (spec.rootPasswordSecret)"),
        (ROOT, UserSecret(Known.UNKNOWN), "|reading Secret mine (spec.rootPasswordSecret)"),
        (
            ROOT,
            UserSecret(Known.MISSING),
            "Blocked|SecretMissing: spec.rootPasswordSecret names Secret mine, which does not exist; "
            "create it with key password",
        ),
        (
            APP,
            UserSecret(Known.PRESENT, frozenset({"password"})),
            "Blocked|SecretIncomplete: spec.bootstrap.initdb.secret: Secret mine lacks username; "
            "it must have username and password",
        ),
    ],
)
def test_user_secrets_are_needed_before_the_first_start(s: Snapshot, secret: UserSecret | None, expected: str) -> None:
    known = {} if secret is None else {"mine": secret}
    assert held(replace(s, user_secrets=known)) == expected


@pytest.mark.parametrize(
    "secret", [UserSecret(Known.MISSING), UserSecret(Known.UNKNOWN), UserSecret(Known.PRESENT, frozenset({"other"}))]
)
def test_what_only_the_first_start_needs_holds_nothing_once_there_is_data(secret: UserSecret) -> None:
    for field in ({"rootPasswordSecret": {"name": "mine"}}, {"bootstrap": {"initdb": {"secret": {"name": "mine"}}}}):
        assert validation.decide(replace(spec(ready(), **field), user_secrets={"mine": secret})) == Continue()
    assert validation.decide(spec(ready(), bootstrap={"initdb": {"database": "a\\b"}})) == Continue()


def test_while_a_secret_is_read_what_people_see_stays() -> None:
    s = status(spec(new(), rootPasswordSecret={"name": "mine"}), phase="Blocked", phaseReason="as before")
    assert held(s) == "Blocked|as before"


def test_complete_user_secrets_are_accepted() -> None:
    s = replace(APP, user_secrets={"mine": UserSecret(Known.PRESENT, frozenset({"username", "password"}))})
    assert isinstance(validation.decide(s), Continue)


def test_warnings_are_told_once_per_generation() -> None:
    s = spec(ready(), mysql={"parameters": {"slave_parallel_workers": "2"}})
    outcome = validation.decide(s)
    assert isinstance(outcome, Continue)
    (event,) = outcome.actions
    assert isinstance(event, Emit)
    assert (event.reason, event.warning) == ("DeprecatedParameter", True)
    assert validation.decide(status(s, observedGeneration=s.generation)) == Continue()
