"""Account statements by version; what the accounts can and cannot do is in tests/mysql/test_accounts.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cnmysql.log import Secret
from cnmysql.mysql import accounts, internal
from cnmysql.mysql.accounts import Bootstrap
from cnmysql.mysql.internal import ReplicationIdentity
from cnmysql.mysql.sql import Statement
from cnmysql.mysql.version import Version

IDENTITY = ReplicationIdentity("/O=shop/CN=db-replication", "/CN=db-ca")
BOOTSTRAP = Bootstrap(
    version=Version(9, 7, 4),
    root=Secret("root-secret"),
    control=Secret("control-secret"),
    backup=Secret("backup-secret"),
    identity=IDENTITY,
    schema="my_app",
    owner="app",
    app=Secret("app-secret"),
)


def text(statements: tuple[Statement, ...]) -> str:
    return ";\n".join(statement.text for statement in statements)


def everything(b: Bootstrap) -> tuple[Statement, ...]:
    return (*accounts.internal_accounts(b), *accounts.application(b), *accounts.final(b))


def test_every_password_is_marked_as_secret() -> None:
    for statement in everything(replace(BOOTSTRAP, remote_root=Secret("remote-secret"))):
        assert "-secret" not in statement.text or statement.secret
        assert "-secret" not in repr(statement)
        assert ("IDENTIFIED" in statement.text) is (statement.secret or "AS ''" in statement.text)
        assert "$A$" not in repr(statement)


def test_no_statement_about_ours_carries_a_password() -> None:
    """The form mysqld stores does: no policy for passwords refuses it."""
    found = text(accounts.internal_accounts(BOOTSTRAP))
    assert "-secret" not in found and internal.metrics_password(BOOTSTRAP.control).reveal() not in found
    assert found.count("AS '$A$005$") == 8


def test_creating_is_followed_by_altering_to_the_same_state() -> None:
    statements = everything(BOOTSTRAP)
    created = [s.text for s in statements if s.text.startswith("CREATE USER IF NOT EXISTS ")]
    altered = {s.text.removeprefix("ALTER USER ") for s in statements if s.text.startswith("ALTER USER ")}
    assert len(created) == 6
    assert {c.removeprefix("CREATE USER IF NOT EXISTS ") for c in created} <= altered


def test_root_over_the_network_is_locked_until_it_is_complete() -> None:
    found = accounts.remote_root(Version(9, 7, 4), Secret("x"), partial_revokes=False)
    assert found[0].text.endswith("ACCOUNT LOCK")
    assert "ACCOUNT UNLOCK" not in text(found[:-1])
    assert found[-1].text.endswith("ACCOUNT UNLOCK")


def test_administrators_are_local() -> None:
    assert "'cnmysql_control'@'%'" not in text(everything(BOOTSTRAP))
    assert "'cnmysql_backup'@'%'" not in text(everything(BOOTSTRAP))
    for host in ("localhost", "127.0.0.1"):
        assert f"GRANT ALL PRIVILEGES ON *.* TO 'cnmysql_control'@'{host}' WITH GRANT OPTION" in text(
            internal.statements(internal.control(Secret("x")))
        )


def test_replication_is_bound_to_one_certificate() -> None:
    bound = text(internal.statements((internal.replication(Version(9, 7, 4), IDENTITY),)))
    assert "REQUIRE SUBJECT '/O=shop/CN=db-replication' AND ISSUER '/CN=db-ca'" in bound
    assert "IDENTIFIED WITH caching_sha2_password AS ''" in bound
    assert "REQUIRE X509 " in text(internal.statements((internal.replication(Version(9, 7, 4), None),)))
    with pytest.raises(ValueError, match="one-line form"):
        ReplicationIdentity("CN=db", "/CN=ca")


def test_privileges_follow_the_version() -> None:
    assert "CLONE_ADMIN" not in text(internal.statements((internal.replication(Version(9, 7, 4), IDENTITY),)))
    old = Version(8, 0, 15)
    assert "SYSTEM_USER" not in text(internal.statements((internal.backup(old, Secret("x")),)))
    assert "SHOW_ROUTINE" not in text(accounts.remote_root(Version(8, 0, 19), Secret("x"), partial_revokes=False))
    assert "SHOW_ROUTINE" in text(accounts.remote_root(Version(8, 0, 20), Secret("x"), partial_revokes=False))


def test_the_owner_gets_exactly_its_schema() -> None:
    grants = [s.text for s in accounts.application(BOOTSTRAP) if s.text.startswith("GRANT")]
    assert grants == ["GRANT ALL PRIVILEGES ON `my\\_app`.* TO 'app'@'%'"]


def test_schema_options_are_words() -> None:
    (created, *_) = accounts.application(replace(BOOTSTRAP, charset="utf8mb4", collation="utf8mb4_bin"))
    assert created.text == "CREATE DATABASE IF NOT EXISTS `my_app` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    with pytest.raises(ValueError, match="not the name of a character set"):
        accounts.application(replace(BOOTSTRAP, charset="utf8mb4; DROP DATABASE mysql"))


def test_adopted_data_keeps_no_account_of_ours_as_it_was() -> None:
    found = [s.text for s in accounts.adopted(BOOTSTRAP, [("cnmysql_repl", "%"), ("cnmysql_old", "10.%")])]
    for former in ("'cnmysql_repl'@'%'", "'cnmysql_old'@'10.%'"):
        assert f"DROP USER IF EXISTS {former}" in found
    ours = [s.text for s in accounts.internal_accounts(BOOTSTRAP)]
    assert found.index("DROP USER IF EXISTS 'cnmysql_repl'@'%'") < found.index(ours[0])
    assert set(ours) <= set(found)
    assert accounts.drop_remote_root().text in found
    assert not any(text.startswith(("CREATE DATABASE", "USE ")) for text in found)


@pytest.mark.parametrize("asked", [replace(BOOTSTRAP, owner=""), replace(BOOTSTRAP, schema="")])
def test_adoption_sets_an_owner_only_where_one_is_asked_for(asked: Bootstrap) -> None:
    assert "'app'@'%'" in text(accounts.adopted(BOOTSTRAP, ()))
    assert "'app'@'%'" not in text(accounts.adopted(asked, ()))


def test_adoption_makes_root_over_the_network_anew_when_it_is_asked_for() -> None:
    found = text(accounts.adopted(replace(BOOTSTRAP, remote_root=Secret("remote-secret")), ()))
    assert "ALTER USER 'root'@'%'" in found
    assert accounts.drop_remote_root().text not in found


def test_local_roots_password_comes_last() -> None:
    last = everything(replace(BOOTSTRAP, remote_root=Secret("remote-secret")))[-1]
    assert last.text.startswith("ALTER USER 'root'@'localhost'")


@pytest.mark.parametrize("partial_revokes", [False, True])
def test_remote_root_never_gets_more_than_the_list(partial_revokes: bool) -> None:
    found = accounts.remote_root(Version(9, 7, 4), Secret("x"), partial_revokes=partial_revokes)
    granted = " ".join(s.text for s in found if s.text.startswith("GRANT"))
    for forbidden in (
        "SUPER",
        "SHUTDOWN",
        "RELOAD",
        "FILE",
        "CONNECTION_ADMIN",
        "SYSTEM_",
        "GRANT OPTION",
        "ROLE",
        "DEFINER",
        "REPLICATION SLAVE",
        "_ADMIN ON",
        "BACKUP_ADMIN",
        "FLUSH",
        "SESSION_VARIABLES",
    ):
        assert forbidden not in granted.replace("SHOW_ROUTINE", ""), forbidden
    assert ("ALL PRIVILEGES ON `%`.*" in granted) is not partial_revokes
