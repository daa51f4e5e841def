"""Which passwords are handed to whom, and what people are told about accounts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cnmysql import names
from cnmysql.protocol.report import AccountsReport
from manager.actions import Emit, OrderAccounts
from manager.cluster import status as status_rule
from manager.cluster.outcome import Continue
from manager.cluster.rules import accounts
from manager.cluster.snapshot import Known, Malformed, Snapshot, UserSecret
from tests.unit.manager.snapshots import objects, pod, ready, says, silent, spec, status


def version(s: Snapshot, secret: str) -> str:
    return str(s.objects.secrets[secret]["metadata"]["resourceVersion"])


def kept(s: Snapshot, **changes: Any) -> Snapshot:
    """Every instance has carried out what there is to carry out, with other words in its report."""
    done = {"root": version(s, "db-root"), "owner": version(s, "db-app")}
    report = AccountsReport(**{"orders": done, "settled": True, **changes})
    for instance in ("db-1", "db-2", "db-3"):
        s = says(s, instance, accounts=report)
    return s


def orders(s: Snapshot) -> list[OrderAccounts]:
    outcome = accounts.decide(s)
    assert isinstance(outcome, Continue)
    return [a for a in outcome.actions if isinstance(a, OrderAccounts)]


def warnings(s: Snapshot) -> list[Emit]:
    outcome = accounts.decide(s)
    assert isinstance(outcome, Continue)
    return [a for a in outcome.actions if isinstance(a, Emit)]


def test_at_rest_nothing_is_ordered() -> None:
    assert accounts.decide(kept(ready())) == Continue()


def test_an_instance_that_has_done_nothing_gets_both() -> None:
    s = says(kept(ready()), "db-2", accounts=AccountsReport())
    (order,) = orders(s)
    assert (order.instance, order.remote) == ("db-2", False)
    assert order.root is not None and (order.root.secret, order.root.user) == ("db-root", "root")
    assert order.owner is not None and (order.owner.secret, order.owner.user) == ("db-app", "app")


def test_a_changed_secret_goes_to_every_instance_and_the_other_one_stays() -> None:
    s = objects(kept(ready()), "secrets", db_app={"metadata": {"resourceVersion": "9999"}})
    found = orders(s)
    assert [o.instance for o in found] == ["db-1", "db-2", "db-3"]
    assert all(o.root is None and o.owner is not None and o.owner.revision == "9999" for o in found)


def test_superuser_access_is_an_order_and_no_restart() -> None:
    s = spec(kept(ready()), enableSuperuserAccess=True)
    found = orders(s)
    assert len(found) == 3 and all(o.remote and o.root is not None and o.owner is None for o in found)
    done = {"root": f"{version(s, 'db-root')}+remote", "owner": version(s, "db-app")}
    assert orders(kept(s, orders=done)) == []
    off = spec(kept(s, orders=done), enableSuperuserAccess=False)
    assert all(not o.remote and o.root is not None for o in orders(off)) and len(orders(off)) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda s: silent(s, "db-1", "db-2", "db-3"),
        lambda s: says(s, "db-1", accounts=None),
        lambda s: pod(s, "db-1", {"status": {"podIP": None}}),
        lambda s: objects(s, "secrets", db_root={"data": {"password": ""}}, db_app={"data": {"password": None}}),
        lambda s: objects(s, "secrets", db_root=None, db_app=None),
        lambda s: replace(s, spec=Malformed("x")),
    ],
)
def test_nothing_is_ordered_of_who_cannot_be_asked_or_from_what_is_not_there(change: Any) -> None:
    s = says(kept(ready()), "db-1", accounts=AccountsReport())
    assert orders(change(s)) == []


def test_a_users_secret_is_ordered_when_it_is_known() -> None:
    s = spec(kept(ready()), rootPasswordSecret={"name": "mine"})
    assert orders(s) == []
    known = UserSecret(Known.PRESENT, frozenset({"password"}), "77")
    found = orders(replace(s, user_secrets={"mine": known}))
    assert [o.root.secret for o in found if o.root is not None] == ["mine"] * 3
    assert orders(replace(s, user_secrets={"mine": replace(known, keys=frozenset({"other"}))})) == []


def condition(s: Snapshot) -> dict[str, Any]:
    shown = status_rule._conditions(s, "Ready", "", {names.CONDITION_ACCOUNTS: accounts.condition(s)})
    (found,) = [c for c in shown if c["type"] == names.CONDITION_ACCOUNTS]
    return dict(found)


def test_the_condition_tells_the_worst_first() -> None:
    s = kept(ready())
    assert (condition(s)["status"], condition(s)["reason"]) == ("True", names.ACCOUNTS_IN_ORDER)
    s = objects(s, "secrets", db_app={"metadata": {"resourceVersion": "9999"}})
    assert condition(s)["reason"] == names.ACCOUNTS_CHANGING
    s = says(s, "db-2", accounts=AccountsReport(problem="the control password cannot be used"))
    assert condition(s)["reason"] == names.ACCOUNTS_PENDING
    assert condition(s)["message"] == "db-2: the control password cannot be used"
    s = says(s, "db-1", accounts=AccountsReport(bypassing=("eve@%",)))
    assert (condition(s)["status"], condition(s)["reason"]) == ("False", names.ACCOUNTS_BYPASS)
    assert "eve@% may write to a server that is being closed" in condition(s)["message"]


def test_a_secret_of_the_users_that_went_is_told_of_and_nothing_else_is() -> None:
    s = spec(kept(ready()), rootPasswordSecret={"name": "mine"})
    assert condition(s)["status"] == "True", "it has not been read yet"
    s = replace(s, user_secrets={"mine": UserSecret(Known.MISSING)})
    assert (condition(s)["status"], condition(s)["reason"]) == ("False", names.ACCOUNTS_MISSING)
    assert condition(s)["message"].startswith("spec.rootPasswordSecret names Secret mine, which does not exist; create")
    assert condition(s)["message"].endswith("until then the password in force stays")
    assert [(w.reason, w.warning) for w in warnings(s)] == [(names.ACCOUNTS_MISSING, True)]
    assert warnings(status(s, conditions=[condition(s)])) == []
    assert orders(s) == []
    s = replace(s, user_secrets={"mine": UserSecret(Known.PRESENT, frozenset({"other"}))})
    assert condition(s)["reason"] == names.ACCOUNTS_INCOMPLETE
    before_data = status(s, currentPrimary=None, primaryUUIDs=None)
    assert condition(before_data)["status"] == "True", "the validation rule speaks of it, as phase Blocked"


def test_a_warning_is_given_once() -> None:
    s = kept(ready(), bypassing=("eve@%",))
    (warning,) = warnings(s)
    assert warning.warning and warning.reason == names.ACCOUNTS_BYPASS
    assert warnings(status(s, conditions=[condition(s)])) == []


def test_a_change_under_way_is_no_reason_to_warn() -> None:
    s = objects(kept(ready()), "secrets", db_app={"metadata": {"resourceVersion": "9999"}})
    assert warnings(s) == []


def test_without_a_word_about_accounts_there_is_no_condition() -> None:
    assert accounts.condition(ready()) is None
