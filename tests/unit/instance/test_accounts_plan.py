"""What is sent to bring accounts to what they have to be, and that nothing is when they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cnmysql.log import Secret
from cnmysql.mysql import internal
from cnmysql.mysql.digest import derived, make
from cnmysql.mysql.internal import Account, Grant, Passwords, ReplicationIdentity
from cnmysql.mysql.read_accounts import Observed
from cnmysql.mysql.version import SERIES, Version
from cnmysql.protocol.accounts import OwnerOrder, RootOrder
from instance.accounts.plan import Plan, Prove, Seen, Send, Wanted, plan

OLD, NEW = Secret("old-secret"), Secret("new-secret")
BACKUP = Secret("backup-secret")
IDENTITY = ReplicationIdentity("/O=shop/CN=db-replication", "/CN=db-ca")
SALT = "AbCdEfGhIjKlMnOpQrSt"
EVERY = frozenset({"SELECT", "SUPER", "SYSTEM_USER"})
NINE = Version(9, 7, 4)


def stored(password: Secret) -> str:
    return make(password, SALT) if password else ""


def as_wanted(account: Account) -> Observed:
    """The account as a server shows it that has everything."""
    grants = frozenset(Grant(p) for p in EVERY) if account.everything else account.grants
    return Observed(
        account.user, account.host, "caching_sha2_password", stored(account.password), False, account.require,
        "", "", account.limit, False, False, grants, account.everything,
    )  # fmt: skip


def other(user: str, host: str, password: Secret, **changes: object) -> Observed:
    found = Observed(user, host, "caching_sha2_password", stored(password), False, "NONE", "", "", 0, False, False)
    return replace(found, **changes)  # type: ignore[arg-type]


def table(control: Secret = OLD, version: Version = NINE) -> tuple[Account, ...]:
    return internal.table(version, Passwords(control, BACKUP), IDENTITY)


def seen(*more: Observed, control: Secret = OLD, version: Version = NINE) -> Seen:
    return Seen(version, False, EVERY, (*(as_wanted(a) for a in table(control, version)), *more))


def changed(found: Seen, user: str, **changes: object) -> Seen:
    """The same server with something else about the accounts of this user."""
    accounts = tuple(replace(a, **changes) if a.user == user else a for a in found.accounts)  # type: ignore[arg-type]
    return replace(found, accounts=accounts)


def texts(found: Plan) -> list[str]:
    return [s.text for step in found.steps if isinstance(step, Send) for s in step.statements]


@pytest.mark.parametrize("series", SERIES)
def test_nothing_is_sent_to_a_server_that_has_it_all(series: str) -> None:
    version = Version.parse(f"{series}.22" if series == "8.0" else f"{series}.0")
    assert plan(Wanted(table(version=version)), seen(version=version)) == Plan()


def test_the_control_password_changes_in_three_steps_and_for_both_ways_in_at_once() -> None:
    wanted = Wanted(internal.table(NINE, Passwords(NEW, BACKUP), IDENTITY))
    first, second, third, *rest = plan(wanted, seen()).steps
    assert isinstance(first, Send) and second == Prove(NEW) and isinstance(third, Send)
    (retain,) = first.statements
    assert retain.text.count("RETAIN CURRENT PASSWORD") == 2 and retain.secret
    assert [s.text for s in third.statements] == [
        "ALTER USER 'cnmysql_control'@'localhost' DISCARD OLD PASSWORD, "
        "'cnmysql_control'@'127.0.0.1' DISCARD OLD PASSWORD"
    ]
    # The password of the metrics account follows that of control.
    assert [step.what for step in rest if isinstance(step, Send)] == ["cnmysql_metrics: new password"]


def test_a_change_that_died_before_the_former_password_was_discarded_is_finished() -> None:
    found = changed(seen(), "cnmysql_control", second=True)
    assert texts(plan(Wanted(table()), found))[0].endswith("DISCARD OLD PASSWORD")
    assert len(plan(Wanted(table()), found).steps) == 1


def test_a_password_of_another_plugin_cannot_be_retained() -> None:
    found = changed(seen(), "cnmysql_control", plugin="mysql_native_password", stored="*94BDCEBE19083CE2A1F959FD02F9")
    (first, *_) = texts(plan(Wanted(table()), found))
    assert "RETAIN" not in first and "IDENTIFIED WITH caching_sha2_password" in first


@pytest.mark.parametrize("user", ["cnmysql_backup", "cnmysql_metrics"])
def test_accounts_nobody_else_uses_keep_no_former_password(user: str) -> None:
    found = changed(seen(), user, stored=stored(Secret("other")), second=True)
    first, second = texts(plan(Wanted(table()), found))
    assert "RETAIN" not in first and second.endswith("DISCARD OLD PASSWORD")


@pytest.mark.parametrize(
    ("user", "changes", "expected"),
    [
        ("cnmysql_repl", {"require": "X509"}, "REQUIRE SUBJECT '/O=shop/CN=db-replication' AND ISSUER '/CN=db-ca'"),
        ("cnmysql_repl", {"locked": True}, "ACCOUNT UNLOCK"),
        ("cnmysql_repl", {"stored": stored(Secret("x"))}, "IDENTIFIED WITH caching_sha2_password AS ''"),
        ("cnmysql_backup", {"limit": 0}, "WITH MAX_USER_CONNECTIONS 10"),
        ("cnmysql_backup", {"expired": True}, "PASSWORD EXPIRE NEVER"),
        ("cnmysql_metrics", {"grants": frozenset()}, "GRANT PROCESS, REPLICATION CLIENT, SYSTEM_USER ON *.* TO"),
        ("cnmysql_metrics", {"grant_option": True}, "REVOKE GRANT OPTION ON *.* FROM 'cnmysql_metrics'@'localhost'"),
        ("cnmysql_control", {"grants": frozenset({Grant("SELECT")})}, "GRANT ALL PRIVILEGES ON *.* TO"),
        ("cnmysql_control", {"grant_option": False}, "WITH GRANT OPTION"),
    ],
)
def test_what_differs_is_put_right(user: str, changes: dict[str, object], expected: str) -> None:
    assert expected in " ".join(texts(plan(Wanted(table()), changed(seen(), user, **changes))))


def test_what_is_held_beyond_need_is_taken_away() -> None:
    found = seen()
    backup = next(a for a in found.accounts if a.user == "cnmysql_backup")
    found = changed(found, "cnmysql_backup", grants=backup.grants | {Grant("FILE"), Grant("SELECT", "`app`.*")})
    assert texts(plan(Wanted(table()), found)) == [
        "REVOKE FILE ON *.* FROM 'cnmysql_backup'@'localhost'",
        "REVOKE SELECT ON `app`.* FROM 'cnmysql_backup'@'localhost'",
    ]


def test_an_account_that_is_missing_is_created_and_a_strangers_way_in_is_dropped() -> None:
    found = seen(other("cnmysql_control", "%", OLD), other("cnmysql_repl", "10.%", Secret("")))
    found = replace(found, accounts=tuple(a for a in found.accounts if a.user != "cnmysql_metrics"))
    sent = texts(plan(Wanted(table()), found))
    assert sent[0].startswith("CREATE USER IF NOT EXISTS 'cnmysql_metrics'@'localhost'")
    assert sent[-2:] == ["DROP USER IF EXISTS 'cnmysql_control'@'%'", "DROP USER IF EXISTS 'cnmysql_repl'@'10.%'"]


def test_users_accounts_are_nobodys_business_without_an_order() -> None:
    found = seen(other("root", "localhost", OLD), other("root", "%", OLD), other("app", "%", OLD))
    assert plan(Wanted(table()), found) == Plan()


@pytest.mark.parametrize(
    ("remote", "present", "expected"),
    [
        (False, None, ["ALTER USER 'root'@'localhost'"]),
        (False, {}, ["ALTER USER 'root'@'localhost'", "DROP USER IF EXISTS 'root'@'%'"]),
        (True, {}, ["ALTER USER 'root'@'localhost'", "ALTER USER 'root'@'%'"]),
        (True, None, ["ALTER USER 'root'@'localhost'", "CREATE USER IF NOT EXISTS 'root'@'%'"]),
        (True, {"locked": True}, ["ALTER USER 'root'@'localhost'", "CREATE USER IF NOT EXISTS 'root'@'%'"]),
    ],
)
def test_root_follows_its_order(remote: bool, present: dict[str, object] | None, expected: list[str]) -> None:
    found = seen(other("root", "localhost", OLD))
    if present is not None:
        found = replace(found, accounts=(*found.accounts, other("root", "%", OLD, **present)))
    sent = texts(plan(Wanted(table(), RootOrder("1", derived(NEW, "root"), remote)), found))
    for text, start in zip(sent, expected, strict=False):
        assert text.startswith(start)
    assert len(sent) >= len(expected)


def test_an_owner_gets_the_password_and_nothing_else_of_it_changes() -> None:
    form = derived(NEW, "app").reveal()
    wanted = Wanted(table(), owner=OwnerOrder("1", "app", Secret(form)))
    assert texts(plan(wanted, seen(other("app", "%", OLD)))) == [
        f"ALTER USER 'app'@'%' IDENTIFIED WITH caching_sha2_password AS '{form}'"
    ]
    assert plan(wanted, seen(other("app", "%", NEW, stored=form))) == Plan()
    assert len(texts(plan(wanted, seen(other("app", "%", NEW, stored=form, second=True))))) == 2


def test_an_owner_that_is_not_there_is_a_problem_and_no_statement() -> None:
    found = plan(Wanted(table(), owner=OwnerOrder("1", "app", derived(NEW, "app"))), seen(other("app", "10.%", OLD)))
    assert found.steps == () and "app@% does not exist" in found.problems["owner"]


def test_every_statement_with_a_password_says_so() -> None:
    root_form, owner_form = derived(NEW, "root"), derived(NEW, "app")
    wanted = Wanted(
        internal.table(NINE, Passwords(NEW, Secret("b-secret")), IDENTITY),
        RootOrder("1", root_form, True),
        OwnerOrder("1", "app", owner_form),
    )
    found = seen(other("root", "localhost", OLD), other("app", "%", OLD))
    for step in plan(wanted, found).steps:
        if isinstance(step, Send):
            for statement in step.statements:
                for password in (NEW, Secret("b-secret"), root_form, owner_form):
                    assert statement.secret or password.reveal() not in statement.text
                    assert password.reveal() not in repr(statement)


def test_a_step_is_named_in_words_where_people_read_it() -> None:
    found = plan(Wanted(table(NEW)), seen())
    assert {type(step) for step in found.steps} == {Send, Prove}
    for step in found.steps:
        assert str(step).startswith("cnmysql_"), step
        assert "Statement" not in str(step) and "Secret" not in str(step)
