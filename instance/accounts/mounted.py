"""How our accounts have to be by what is mounted: passwords, the replication certificate, the trust."""

from __future__ import annotations

import json

from cnmysql.errors import Refused
from cnmysql.log import Secret
from cnmysql.mysql import internal
from cnmysql.mysql.internal import Passwords, ReplicationIdentity
from cnmysql.mysql.version import Version
from cnmysql.pki.identity import subject_and_issuer
from instance.accounts.login import unreadable
from instance.accounts.plan import Wanted
from instance.settings import Paths


def wanted(paths: Paths, version: Version) -> Wanted:
    """The table for this server. Blocks: use a thread.

    Raises Refused for a password that cannot be used, OSError or ValueError for a certificate or an order about the
    replication account that is not there or cannot be understood.
    """
    passwords = Passwords(_password(paths, "control"), _password(paths, "backup"))
    for account, password in (("control", passwords.control), ("backup", passwords.backup)):
        if why := internal.unusable(password):
            raise Refused(f"the password in the {account} Secret cannot be used: {why}")
    return Wanted(internal.table(version, passwords, _identity(paths)))


def _password(paths: Paths, account: str) -> Secret:
    try:
        return paths.password(account)
    except (OSError, ValueError) as error:
        raise Refused(f"the password in the {account} Secret cannot be used: {unreadable(error)}") from None


def _identity(paths: Paths) -> ReplicationIdentity | None:
    """What cnmysql_repl has to be bound to; None: any certificate of the client CA."""
    try:
        ordered = json.loads(paths.replication_require.read_text())
    except FileNotFoundError:
        return ReplicationIdentity(*subject_and_issuer(paths.replication_tls.certificate.read_bytes()))
    if ordered == {"require": "x509"}:
        return None
    if not isinstance(ordered, dict) or not all(isinstance(ordered.get(k), str) for k in ("subject", "issuer")):
        raise ValueError(f"{paths.replication_require.name} names neither x509 nor a subject and an issuer")
    return ReplicationIdentity(ordered["subject"], ordered["issuer"])
