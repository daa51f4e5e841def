"""What mysqld says of its accounts. Every read is bounded; raises Unreachable or SqlError."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnmysql import names
from cnmysql.mysql.conn import Connection
from cnmysql.mysql.internal import EVERYWHERE, LOCAL_HOSTS, Grant
from cnmysql.mysql.read import READ_SECONDS
from cnmysql.mysql.sql import Statement, quote_account, quote_set, quote_string

_ROLE_OR_PROXY = re.compile(r"GRANT (?:PROXY ON |[`'\"])")
_GRANT = re.compile(r"GRANT (.+?) ON ((?:\*|`(?:[^`]|``)*`)\.(?:\*|`(?:[^`]|``)*`)) TO .+?( WITH GRANT OPTION)?", re.S)


@dataclass(frozen=True)
class Observed:
    """One account as it is. `stored`: the password's stored form. `second`: an earlier password still works too."""

    user: str
    host: str
    plugin: str
    stored: str = field(repr=False)
    second: bool
    require: str
    """As in CREATE USER: NONE, SSL, X509 or `SUBJECT '...' AND ISSUER '...'`."""
    subject: str
    issuer: str
    limit: int
    locked: bool
    expired: bool
    grants: frozenset[Grant] = frozenset()
    grant_option: bool = False


async def accounts(conn: Connection, users: tuple[str, ...], *, timeout: float = READ_SECONDS) -> tuple[Observed, ...]:
    """Every account with one of these user names, with what it holds: one round trip, and one for each account."""
    found = await conn.execute(_of(users), timeout=timeout)
    observed = []
    for row in found.dicts():
        lines = await conn.execute(
            Statement(f"SHOW GRANTS FOR {quote_account(row['User'], row['Host'])}"), timeout=timeout
        )
        observed.append(_observed(row, tuple(str(line[0]) for line in lines.rows)))
    return tuple(observed)


async def privileges(conn: Connection, *, timeout: float = READ_SECONDS) -> frozenset[str]:
    """Every privilege of `*.*` that this server knows, as SHOW GRANTS names them."""
    rows = (await conn.execute(Statement("SHOW PRIVILEGES"), timeout=timeout)).rows
    return frozenset(str(row[0]).upper() for row in rows) - _NOT_GRANTED


_NOT_GRANTED = frozenset({"USAGE", "PROXY", "GRANT OPTION"})


def _of(users: tuple[str, ...]) -> Statement:
    return Statement(
        "SELECT User, Host, plugin, authentication_string, ssl_type, x509_subject, x509_issuer, "  # noqa: S608 - quoted
        "max_user_connections, account_locked, password_expired='Y' AS expired, "
        "User_attributes->>'$.additional_password' IS NOT NULL AS second "
        f"FROM mysql.user WHERE User IN {quote_set(users)} ORDER BY 1, 2"
    )


def _observed(row: Mapping[str, Any], lines: tuple[str, ...]) -> Observed:
    held, option = _held(lines)
    return Observed(
        user=row["User"],
        host=row["Host"],
        plugin=row["plugin"],
        stored=_text(row["authentication_string"]),
        second=bool(row["second"]),
        require=_require(row["ssl_type"], _text(row["x509_subject"]), _text(row["x509_issuer"])),
        subject=_text(row["x509_subject"]),
        issuer=_text(row["x509_issuer"]),
        limit=int(row["max_user_connections"]),
        locked=row["account_locked"] == "Y",
        expired=bool(row["expired"]),
        grants=held,
        grant_option=option,
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value or "")


def _require(kind: str, subject: str, issuer: str) -> str:
    if kind != "SPECIFIED":
        return {"": "NONE", "ANY": "SSL"}.get(kind, kind)
    named = (("SUBJECT", subject), ("ISSUER", issuer))
    return " AND ".join(f"{word} {quote_string(name)}" for word, name in named if name)


def _held(lines: tuple[str, ...]) -> tuple[frozenset[Grant], bool]:
    """Privileges of SHOW GRANTS; whether the one on everything carries the grant option."""
    held: set[Grant] = set()
    option = False
    for line in lines:
        found = None if _ROLE_OR_PROXY.match(line) else _GRANT.fullmatch(line)
        if found is None:
            continue
        held |= {Grant(p.strip(), found[2]) for p in found[1].split(",") if p.strip() != "USAGE"}
        option = option or (found[2] == EVERYWHERE and found[3] is not None)
    return frozenset(held), option


# Accounts that hold the right themselves, then accounts a holder was granted to as a role, at any depth.
_BYPASSING = Statement(
    "WITH RECURSIVE holder (user, host) AS ("
    "SELECT User, Host FROM mysql.user WHERE Super_priv='Y' "
    "UNION SELECT USER, HOST FROM mysql.global_grants WHERE PRIV='CONNECTION_ADMIN' "
    "UNION SELECT r.TO_USER, r.TO_HOST FROM mysql.role_edges r "
    "JOIN holder h ON r.FROM_USER=h.user AND r.FROM_HOST=h.host) "
    "SELECT DISTINCT h.user, h.host, u.account_locked, @@GLOBAL.mandatory_roles FROM holder h "
    "JOIN mysql.user u ON u.User=h.user AND u.Host=h.host ORDER BY 1, 2"
)


async def bypassing_accounts(conn: Connection, *, timeout: float = READ_SECONDS) -> tuple[str, ...]:
    """Accounts reachable from the network that offline mode does not stop, as `user@host`: holders of
    CONNECTION_ADMIN or SUPER, directly or through a role, other than cnmysql_repl. `*@*` stands for everybody, when
    a mandatory role holds it. While there is one, only the death of mysqld closes the server."""
    rows = (await conn.execute(_BYPASSING, timeout=timeout)).rows
    found = []
    for user, host, locked, mandatory in rows:
        if user in {role.split("@")[0].strip("`'\" ") for role in str(mandatory or "").split(",")}:
            found.append("*@*")
        if locked == "N" and host not in (*LOCAL_HOSTS, "::1") and (user, host) != (names.ACCOUNT_REPLICATION, "%"):
            found.append(f"{user}@{host}")
    return tuple(found)


async def anonymous_hosts(conn: Connection, *, timeout: float = READ_SECONDS) -> tuple[str, ...]:
    """Hosts of accounts without a user name."""
    rows = (await conn.execute(Statement("SELECT Host FROM mysql.user WHERE User=''"), timeout=timeout)).rows
    return tuple(str(row[0]) for row in rows)


async def internal_accounts(conn: Connection, *, timeout: float = READ_SECONDS) -> tuple[tuple[str, str], ...]:
    """User and host of every account with a name of ours, those of an earlier release included."""
    found = Statement(r"SELECT User, Host FROM mysql.user WHERE User LIKE 'cnmysql\_%'")
    rows = (await conn.execute(found, timeout=timeout)).rows
    return tuple((str(user), str(host)) for user, host in rows)
