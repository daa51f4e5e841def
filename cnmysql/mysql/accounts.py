"""The users' accounts we make (root, the application's owner), and all accounts of a new database. Pure.

`root@%` exists only on request and cannot write to a closed server, change what a server does, or change any account,
privilege or system table. See `remote_root`. Our own accounts are in `internal`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cnmysql import names
from cnmysql.log import Secret
from cnmysql.mysql import internal as own
from cnmysql.mysql import statements
from cnmysql.mysql.internal import (
    ANY_HOST,
    EVERYWHERE,
    LOCAL_HOSTS,
    PLUGIN,
    POLICY,
    Passwords,
    ReplicationIdentity,
    known,
)
from cnmysql.mysql.sql import Statement, quote_account, quote_schema_target, quote_secret
from cnmysql.mysql.version import Version

REMOTE_ROOT_GLOBAL: Final = (
    "PROCESS",
    "SHOW DATABASES",
    "REPLICATION CLIENT",
    "CREATE USER",
    "CREATE TABLESPACE",
    "SHOW_ROUTINE",
    "XA_RECOVER_ADMIN",
    "RESOURCE_GROUP_ADMIN",
    "RESOURCE_GROUP_USER",
)
"""Global privileges of root@%: an allow list, so a privilege a later version brings is not given away unseen.

Left out because each defeats a closed server or our accounts: SUPER, SHUTDOWN, CONNECTION_ADMIN,
SYSTEM_VARIABLES_ADMIN, PERSIST_RO_VARIABLES_ADMIN, SERVICE_CONNECTION_ADMIN, SYSTEM_USER, GRANT OPTION, ROLE_ADMIN,
SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER, REPLICATION SLAVE, the replication and group
replication administrators, BINLOG_ADMIN, CLONE_ADMIN, BACKUP_ADMIN, FILE, the encryption and redo log
administrators, AUTHENTICATION_POLICY_ADMIN and SENSITIVE_VARIABLES_OBSERVER. Left out because a replica would get
transactions of its own: RELOAD and the FLUSH_ privileges (FLUSH is logged even on a read-only server),
SESSION_VARIABLES_ADMIN (sql_log_bin, gtid_next) and OPTIMIZE_LOCAL_TABLE. CREATE USER includes making and dropping
roles, but not granting them.
"""


@dataclass(frozen=True)
class Stored:
    """A password in the form the server keeps it in (`cnmysql.mysql.digest`), for whoever must not learn it."""

    value: Secret


Password = Secret | Stored


def _ensure(user: str, host: str, password: Password) -> list[Statement]:
    """Create the account, or bring an existing one to the same state: IF NOT EXISTS alone changes nothing (3163)."""
    text = f"{quote_account(user, host)} {_by_password(password)} {POLICY}"
    secrets = _secrets(password)
    return [Statement(f"CREATE USER IF NOT EXISTS {text}", secrets), Statement(f"ALTER USER {text}", secrets)]


def _grant(privileges: tuple[str, ...], target: str, account: str, *, grant_option: bool = False) -> Statement:
    option = " WITH GRANT OPTION" if grant_option else ""
    return Statement(f"GRANT {', '.join(privileges)} ON {target} TO {account}{option}")


def _identified(password: Password) -> str:
    if isinstance(password, Stored):
        return f"{PLUGIN} AS {quote_secret(password.value)}"
    return f"{PLUGIN} BY {quote_secret(password)}"


def _secrets(password: Password) -> tuple[Secret, ...]:
    return (password.value if isinstance(password, Stored) else password,)


def _by_password(password: Password) -> str:
    return f"{_identified(password)} REQUIRE NONE"


def set_password(user: str, host: str, password: Password) -> Statement:
    """An existing account gets this password; all else of it stays. 1396: there is no such account."""
    return Statement(f"ALTER USER {quote_account(user, host)} {_identified(password)}", _secrets(password))


def _usable(user: str, host: str, password: Password) -> Statement:
    """As `set_password`, and no policy, lock or age of a password keeps it out."""
    return Statement(f"{set_password(user, host, password).text} {POLICY}", _secrets(password))


def application_owner(
    owner: str, schema: str, password: Secret, *, partial_revokes: bool = False
) -> tuple[Statement, ...]:
    """The application's account: everything on its schema, nothing else."""
    account = quote_account(owner, ANY_HOST)
    return (
        *_ensure(owner, ANY_HOST, password),
        _grant(("ALL PRIVILEGES",), quote_schema_target(schema, partial_revokes=partial_revokes), account),
    )


def local_root(password: Secret) -> Statement:
    """root@localhost, made by the server's own initialisation, gets its password. Send it last: a crash before it
    leaves a directory that is recognisably unfinished."""
    return _usable(names.ACCOUNT_ROOT, LOCAL_HOSTS[0], password)


def remote_root(version: Version, password: Password, *, partial_revokes: bool) -> tuple[Statement, ...]:
    """root@%: administers schemas and accounts over the network, without the means to undo what keeps data safe.

    Data privileges are granted per schema, never globally, because a global grant includes `mysql`. Without
    partial_revokes the schema pattern `%` covers every schema, present and future, and the entry of a named schema
    wins over it ("Access Control, Stage 2": the most specific row is the one used): that makes `mysql`,
    `performance_schema` and `sys` read-only. With partial_revokes=ON patterns are literal names, and there a global
    grant with revokes on the system schemas says the same. The server's setting decides which form is right.
    The account is locked until it is complete: one that was left half-made lets nobody in and is recognised.
    """
    account = quote_account(names.ACCOUNT_ROOT, ANY_HOST)
    found = [
        Statement(f"CREATE USER IF NOT EXISTS {account} {_by_password(password)} ACCOUNT LOCK", _secrets(password)),
        # From nothing, so that an account that exists already ends with exactly these rights.
        Statement(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}"),
        _grant(known(REMOTE_ROOT_GLOBAL, version), EVERYWHERE, account),
    ]
    if partial_revokes:
        found.append(_grant(_SCHEMA_PRIVILEGES, EVERYWHERE, account))
        for schema, kept in _SYSTEM_SCHEMA_RIGHTS.items():
            given = _PERFORMANCE_SCHEMA_PRIVILEGES if schema == "performance_schema" else _SCHEMA_PRIVILEGES
            revoked = ", ".join(p for p in given if p not in kept)
            found.append(Statement(f"REVOKE {revoked} ON {schema}.* FROM {account}"))
    else:
        found.append(_grant(("ALL PRIVILEGES",), "`%`.*", account))
        for schema, kept in _SYSTEM_SCHEMA_RIGHTS.items():
            found.append(_grant(kept, quote_schema_target(schema), account))
    return (*found, _usable(names.ACCOUNT_ROOT, ANY_HOST, password))


_SCHEMA_PRIVILEGES: Final = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EVENT",
    "TRIGGER",
)
_SYSTEM_SCHEMA_RIGHTS: Final[Mapping[str, tuple[str, ...]]] = {
    "mysql": ("SELECT", "SHOW VIEW"),
    "performance_schema": ("SELECT",),
    "sys": ("SELECT", "SHOW VIEW", "EXECUTE"),
}
# The others cannot be held there, and taking them away is error 1044.
_PERFORMANCE_SCHEMA_PRIVILEGES: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "DROP", "LOCK TABLES")


def drop_remote_root() -> Statement:
    """What turning superuser access off sends."""
    return statements.drop_account(names.ACCOUNT_ROOT, ANY_HOST)


def drop_anonymous(host: str) -> Statement:
    """Remove one account without a user name; `cnmysql.mysql.read.anonymous_hosts` finds them."""
    return statements.drop_account("", host)


@dataclass(frozen=True)
class Bootstrap:
    """What a new database's accounts and schema are made of. `remote_root` None: no root over the network."""

    version: Version
    root: Secret
    control: Secret
    backup: Secret
    identity: ReplicationIdentity
    schema: str
    owner: str
    app: Secret
    charset: str | None = None
    collation: str | None = None
    remote_root: Secret | None = None
    partial_revokes: bool = False


def internal_accounts(b: Bootstrap) -> tuple[Statement, ...]:
    """Our own accounts, first."""
    return own.statements(own.table(b.version, Passwords(b.control, b.backup), b.identity))


def application(b: Bootstrap) -> tuple[Statement, ...]:
    """The application's schema and its owner. Statements of the user's own follow, with the schema as default."""
    return (
        statements.create_schema(b.schema, b.charset, b.collation),
        *application_owner(b.owner, b.schema, b.app, partial_revokes=b.partial_revokes),
        statements.use(b.schema),
    )


def adopted(b: Bootstrap, present: Iterable[tuple[str, str]]) -> tuple[Statement, ...]:
    """What makes the accounts of a former Cluster's data this one's, whatever they were. Send it without binary log.

    Every account that carries one of our names is made anew, so that none keeps a right or a host of an earlier
    release; root over the network goes when it is not asked for, because its password is the former Cluster's. The
    users' accounts and all data stay. `present`: the accounts with our names that exist. Schemas are not created: the
    data is taken as it is.
    """
    root = quote_account(names.ACCOUNT_ROOT, LOCAL_HOSTS[0])
    owner: tuple[Statement, ...] = ()
    if b.owner and b.schema:
        owner = application_owner(b.owner, b.schema, b.app, partial_revokes=b.partial_revokes)
    remote = remote_root(b.version, b.remote_root, partial_revokes=b.partial_revokes) if b.remote_root else ()
    return (
        *_ensure(names.ACCOUNT_ROOT, LOCAL_HOSTS[0], b.root),
        _grant(("ALL PRIVILEGES",), EVERYWHERE, root, grant_option=True),
        *(statements.drop_account(user, host) for user, host in present),
        *internal_accounts(b),
        *(remote or (drop_remote_root(),)),
        *owner,
    )


def final(b: Bootstrap) -> tuple[Statement, ...]:
    """After the user's statements: root over the network when asked for, and last root's own password."""
    remote = remote_root(b.version, b.remote_root, partial_revokes=b.partial_revokes) if b.remote_root else ()
    return (*remote, local_root(b.root))
