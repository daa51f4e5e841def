"""After everything else: what the operator and the instances asked the API server for, by its own audit log.

Every right they hold was used, or is marked as held for others, and nothing they asked for was refused. A test that
calls with one of their tokens does so by `Kube.with_token`, which says so in the log.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from cnmysql.api.rbac import GRANTS
from cnmysql.kube.httpbase import USER_AGENT
from manager.cluster.render import rbac
from manager.cluster.render.meta import Owner
from tests.e2e.conftest import RUN_STARTED
from tests.support import audit, bed
from tests.support.audit import Request
from tests.support.kube import ATTACKER

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def requests(request: pytest.FixtureRequest, kubeconfig: Path) -> list[Request]:
    """Of the whole run: a part of it cannot show that a right is not needed."""
    if not bed.audited(kubeconfig):
        pytest.skip("the audit log of this cluster cannot be read from here")
    every = {path.resolve() for path in HERE.glob("test_*.py")}
    ran = {item.path.resolve() for item in request.session.items}
    chosen = request.config.getoption("keyword") or request.config.getoption("markexpr")
    if (chosen or not every <= ran) and os.environ.get("CI") != "true":
        pytest.skip("only a part of the tests ran")
    return audit.read(bed.AUDIT_LOG, RUN_STARTED)


def _used(requests: Sequence[Request]) -> set[tuple[str, str, str]]:
    return {use for r in requests if r.agent != ATTACKER for use in r.uses}


def test_the_operator_used_every_right_that_is_not_held_for_others(requests: list[Request]) -> None:
    used = _used([r for r in requests if r.by_operator])
    assert used, "the audit log was read at the wrong place"
    granted = {(g.group, g.resource, verb): g.why for g in GRANTS for verb in g.verbs}
    assert {right: why for right, why in granted.items() if right not in used} == {}


def test_the_instances_used_every_right_they_have(requests: list[Request]) -> None:
    used = _used([r for r in requests if r.instance])
    rules = rbac.role(Owner("db", "shop", "u"))["rules"]
    granted = {(rule["apiGroups"][0], rule["resources"][0], verb) for rule in rules for verb in rule["verbs"]}
    assert granted - used == set()


def test_nothing_was_refused_to_them(requests: list[Request]) -> None:
    found = {
        f"{r.account[0]}:{r.account[1]} {r.verb} {r.resource} {r.namespace}/{r.name}: {r.message}": r.at
        for r in audit.refusals(requests)
    }
    assert found == {}


def test_nobody_called_with_their_accounts_but_they_themselves(requests: list[Request]) -> None:
    agents = {r.agent for r in requests if r.by_operator or r.instance}
    assert agents <= {USER_AGENT, ATTACKER}
    assert {ATTACKER, USER_AGENT} <= agents, "the attacks left no trace"
