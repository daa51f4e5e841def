"""Our accounts by server version: where from, how, and exactly which privileges."""

from __future__ import annotations

import pytest

from cnmysql.log import Secret
from cnmysql.mysql import internal
from cnmysql.mysql.internal import Grant, Passwords, ReplicationIdentity
from cnmysql.mysql.version import FLOOR, SERIES, Version

IDENTITY = ReplicationIdentity("/O=shop/CN=db-replication", "/CN=db-ca")
PASSWORDS = Passwords(Secret("control"), Secret("backup"))
VERSIONS = (FLOOR, Version(8, 0, 30), Version(8, 0, 46), *(Version.parse(f"{s}.0") for s in SERIES if s != "8.0"))
PERFORMANCE = "`performance_schema`"

EXPECTED = {
    "cnmysql_repl": {"REPLICATION SLAVE", "BACKUP_ADMIN", "CONNECTION_ADMIN", "SYSTEM_USER"},
    "cnmysql_backup": {
        "RELOAD", "PROCESS", "LOCK TABLES", "REPLICATION CLIENT", "BACKUP_ADMIN", "CONNECTION_ADMIN", "SYSTEM_USER",
    },
    "cnmysql_metrics": {"PROCESS", "REPLICATION CLIENT", "SYSTEM_USER"},
}  # fmt: skip
TABLES = {
    "cnmysql_repl": set(),
    "cnmysql_backup": {
        Grant("SELECT", f"{PERFORMANCE}.`{table}`")
        for table in ("log_status", "keyring_component_status", "replication_group_members")
    },
    "cnmysql_metrics": {Grant("SELECT", f"{PERFORMANCE}.*")},
}


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_every_account_holds_exactly_this(version: Version) -> None:
    for account in internal.table(version, PASSWORDS, IDENTITY):
        if account.user == "cnmysql_control":
            assert account.everything and account.host in internal.LOCAL_HOSTS
            continue
        held = {Grant(privilege) for privilege in EXPECTED[account.user]} | TABLES[account.user]
        assert account.grants == held, account.user
        assert (account.host == "%") is (account.user == "cnmysql_repl")


def test_a_server_older_than_a_privilege_is_not_asked_for_it() -> None:
    grants = internal.replication(Version(8, 0, 15), IDENTITY).grants
    assert Grant("SYSTEM_USER") not in grants and Grant("BACKUP_ADMIN") in grants


def test_only_the_certificate_account_has_no_password() -> None:
    for account in internal.table(FLOOR, PASSWORDS, None):
        assert bool(account.password) is (account.user != "cnmysql_repl")
        assert (account.require == "X509") is (account.user == "cnmysql_repl")


def test_the_metrics_password_follows_the_control_password_and_is_no_other_one() -> None:
    first, second = internal.metrics_password(Secret("a")), internal.metrics_password(Secret("b"))
    assert first == internal.metrics_password(Secret("a")) != second
    assert len(first.reveal()) == 32 and first.reveal() != "a"


@pytest.mark.parametrize(
    ("password", "why"),
    [("", "empty"), ("x" * 257, "longer"), ("a\nb", "print"), ("a\0b", "print"), ("é" * 129, "longer"), ("ok é€", "")],
)
def test_what_cannot_be_a_password_of_ours(password: str, why: str) -> None:
    found = internal.unusable(Secret(password))
    assert (why in found) if why else not found
