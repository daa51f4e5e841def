"""Our own accounts as a table: where each may log in, how, and what it may do, by server version. Pure.

Administrators of ours (control, backup, metrics) exist only for the socket and loopback; names are never resolved, so
each of the two ways in is an account of its own. `cnmysql_repl` has no password: the certificate it must show is bound
by subject and issuer. CONNECTION_ADMIN lets it fetch the tail of a server in offline mode; SYSTEM_USER keeps an
account with CREATE USER from altering any of ours.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cnmysql import names
from cnmysql.log import Secret
from cnmysql.mysql import digest
from cnmysql.mysql.sql import Statement, quote_account, quote_identifier, quote_secret, quote_string
from cnmysql.mysql.version import Version

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1")
ANY_HOST: Final = "%"
EVERYWHERE: Final = "*.*"

DYNAMIC_SINCE: Final[Mapping[str, Version]] = {
    "BACKUP_ADMIN": Version(8, 0, 0),
    "CONNECTION_ADMIN": Version(8, 0, 0),
    "SYSTEM_USER": Version(8, 0, 16),
    "CLONE_ADMIN": Version(8, 0, 17),
    "SHOW_ROUTINE": Version(8, 0, 20),
    "XA_RECOVER_ADMIN": Version(8, 0, 0),
    "RESOURCE_GROUP_ADMIN": Version(8, 0, 0),
    "RESOURCE_GROUP_USER": Version(8, 0, 0),
}
"""Dynamic privileges we grant by name, and from when they exist."""

# Named, so that a default plugin or policy the user sets does not decide how our accounts log in.
PLUGIN_NAME: Final = "caching_sha2_password"
PLUGIN: Final = f"IDENTIFIED WITH {PLUGIN_NAME}"
# The Secret decides the password: a server-wide lifetime would lock us out one day, a history would refuse to set
# the same one again.
POLICY: Final = (
    "PASSWORD EXPIRE NEVER PASSWORD HISTORY 0 PASSWORD REUSE INTERVAL 0 DAY PASSWORD REQUIRE CURRENT OPTIONAL "
    "ACCOUNT UNLOCK"
)
UNLIMITED: Final = 10000
"""Instead of the server's max_user_connections, which a user may set for the applications."""


@dataclass(frozen=True)
class ReplicationIdentity:
    """The certificate cnmysql_repl must show, both names in OpenSSL's one-line form (`/O=ns/CN=db-replication`)."""

    subject: str
    issuer: str

    def __post_init__(self) -> None:
        for name in (self.subject, self.issuer):
            if not name.startswith("/"):
                raise ValueError(f"{name!r} is not a distinguished name in one-line form")


@dataclass(frozen=True)
class Grant:
    """One privilege on one target, as SHOW GRANTS names both (upper case; `*.*`, `` `schema`.* ``)."""

    privilege: str
    target: str = EVERYWHERE


@dataclass(frozen=True)
class Account:
    """One account of ours as it has to be. `everything`: all privileges this server has, with grant option."""

    user: str
    host: str
    password: Secret
    require: str
    limit: int
    grants: frozenset[Grant] = frozenset()
    everything: bool = False

    @property
    def name(self) -> str:
        return quote_account(self.user, self.host)

    @property
    def terms(self) -> str:
        """All of the account but its password and its privileges."""
        return f"REQUIRE {self.require} WITH MAX_USER_CONNECTIONS {self.limit} {POLICY}"


@dataclass(frozen=True)
class Passwords:
    """What the accounts with a password log in with."""

    control: Secret
    backup: Secret

    @property
    def metrics(self) -> Secret:
        return metrics_password(self.control)


def metrics_password(control: Secret) -> Secret:
    """The password of cnmysql_metrics: kept nowhere, known to whoever knows that of cnmysql_control.

    An account without a password, or with auth_socket, would let in every process that reaches the socket.
    """
    mac = hmac.digest(control.reveal().encode(), names.ACCOUNT_METRICS.encode(), "sha256")
    return Secret(base64.urlsafe_b64encode(mac).decode()[:32])


def unusable(password: Secret) -> str:
    """Why a password must not be given to an account of ours that people do not use; empty when it may.

    Without one anybody gets in; characters that do not print get lost on the way through files and shells.
    """
    text = password.reveal()
    if not text:
        return "it is empty"
    if len(text.encode(errors="replace")) > digest.MAX_PASSWORD:
        return f"it is longer than {digest.MAX_PASSWORD} bytes"
    if not text.isprintable():
        return "it has characters that do not print"
    return ""


def control(password: Secret) -> tuple[Account, ...]:
    """cnmysql_control: everything, locally."""
    return tuple(
        Account(names.ACCOUNT_CONTROL, host, password, "NONE", UNLIMITED, everything=True) for host in LOCAL_HOSTS
    )


def replication(version: Version, identity: ReplicationIdentity | None) -> Account:
    """cnmysql_repl: streams, clones, bound to a certificate. `None` relaxes it to any certificate of the client CA.

    The relaxed form is for the time in which certificates are being replaced, never longer.
    """
    if identity is None:
        require = "X509"
    else:
        require = f"SUBJECT {quote_string(identity.subject)} AND ISSUER {quote_string(identity.issuer)}"
    privileges = ("REPLICATION SLAVE", "BACKUP_ADMIN", "CONNECTION_ADMIN", "SYSTEM_USER")
    return Account(
        names.ACCOUNT_REPLICATION, ANY_HOST, Secret(""), require, UNLIMITED, _global(privileges, version)
    )  # fmt: skip


def backup(version: Version, password: Secret) -> Account:
    """cnmysql_backup: what a physical backup reads and locks, by the socket, ten sessions at most."""
    privileges = (
        "RELOAD", "PROCESS", "LOCK TABLES", "REPLICATION CLIENT", "BACKUP_ADMIN", "CONNECTION_ADMIN", "SYSTEM_USER",
    )  # fmt: skip
    tables = ("log_status", "keyring_component_status", "replication_group_members")
    read = frozenset(
        Grant("SELECT", f"{quote_identifier('performance_schema')}.{quote_identifier(table)}") for table in tables
    )
    return Account(names.ACCOUNT_BACKUP, LOCAL_HOSTS[0], password, "NONE", 10, _global(privileges, version) | read)


def metrics(version: Version, password: Secret) -> Account:
    """cnmysql_metrics: reads counters by the socket, five sessions at most; no data, no account."""
    privileges = _global(("PROCESS", "REPLICATION CLIENT", "SYSTEM_USER"), version)
    read = frozenset({Grant("SELECT", f"{quote_identifier('performance_schema')}.*")})
    return Account(names.ACCOUNT_METRICS, LOCAL_HOSTS[0], password, "NONE", 5, privileges | read)


def table(version: Version, passwords: Passwords, identity: ReplicationIdentity | None) -> tuple[Account, ...]:
    """Every account of ours."""
    return (
        *control(passwords.control),
        replication(version, identity),
        backup(version, passwords.backup),
        metrics(version, passwords.metrics),
    )


def statements(accounts: tuple[Account, ...]) -> tuple[Statement, ...]:
    """Create each account, or bring an existing one to the same state: IF NOT EXISTS alone changes nothing (3163)."""
    return tuple(statement for account in accounts for statement in (*_present(account), *grants(account)))


def _present(account: Account) -> tuple[Statement, ...]:
    proof, secrets = identified(account)
    text = f"{account.name} {proof} {account.terms}"
    return (Statement(f"CREATE USER IF NOT EXISTS {text}", secrets), Statement(f"ALTER USER {text}", secrets))


def identified(account: Account) -> tuple[str, tuple[Secret, ...]]:
    """How the account logs in, and the secrets in that text: the stored form, which no password policy can refuse."""
    if not account.password:
        return f"{PLUGIN} AS ''", ()
    stored = digest.derived(account.password, account.name)
    return f"{PLUGIN} AS {quote_secret(stored)}", (stored,)


def grants(account: Account) -> tuple[Statement, ...]:
    """All it shall hold."""
    if account.everything:
        return (Statement(f"GRANT ALL PRIVILEGES ON {EVERYWHERE} TO {account.name} WITH GRANT OPTION"),)
    return grant(account, account.grants)


def grant(account: Account, wanted: frozenset[Grant]) -> tuple[Statement, ...]:
    """One statement for each target."""
    return tuple(
        Statement(f"GRANT {', '.join(privileges)} ON {target} TO {account.name}")
        for target, privileges in _by_target(wanted)
    )


def revoke(account: Account, surplus: frozenset[Grant]) -> tuple[Statement, ...]:
    """One statement for each target."""
    return tuple(
        Statement(f"REVOKE {', '.join(privileges)} ON {target} FROM {account.name}")
        for target, privileges in _by_target(surplus)
    )


def _by_target(wanted: frozenset[Grant]) -> list[tuple[str, list[str]]]:
    targets = sorted({grant.target for grant in wanted})
    return [(target, sorted(g.privilege for g in wanted if g.target == target)) for target in targets]


def known(privileges: tuple[str, ...], version: Version) -> tuple[str, ...]:
    """Those that this version has."""
    return tuple(p for p in privileges if version >= DYNAMIC_SINCE.get(p, version))


def _global(privileges: tuple[str, ...], version: Version) -> frozenset[Grant]:
    return frozenset(Grant(privilege) for privilege in known(privileges, version))
