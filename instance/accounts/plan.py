"""Which statements bring the accounts of the local server to what they have to be. Pure.

Every statement is sent without the binary log, on every instance by its own manager: an account never travels as a
transaction. Whatever is interrupted between two steps is found and finished by the next plan: no step relies on an
earlier one having been part of the same attempt. The password of cnmysql_control changes in three of them, and after
each of them the one before or the new one lets us in:

1. the new one becomes the first, the one in force stays as the second;
2. a login with the new one succeeds;
3. the second is discarded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cnmysql import names
from cnmysql.log import Secret
from cnmysql.mysql import accounts, internal
from cnmysql.mysql.accounts import Stored
from cnmysql.mysql.digest import matches
from cnmysql.mysql.internal import ANY_HOST, EVERYWHERE, LOCAL_HOSTS, PLUGIN_NAME, Account
from cnmysql.mysql.read_accounts import Observed
from cnmysql.mysql.sql import Statement, quote_account
from cnmysql.mysql.version import Version
from cnmysql.protocol.accounts import OWNER, OwnerOrder, RootOrder

OUR_NAMES: Final = (
    names.ACCOUNT_CONTROL,
    names.ACCOUNT_REPLICATION,
    names.ACCOUNT_BACKUP,
    names.ACCOUNT_METRICS,
)


@dataclass(frozen=True)
class Wanted:
    """How the accounts have to be. `root` and `owner` None: the operator has said nothing about them yet."""

    table: tuple[Account, ...]
    root: RootOrder | None = None
    owner: OwnerOrder | None = None


@dataclass(frozen=True)
class Seen:
    """How the server has them. `privileges`: all it knows. `accounts`: those with a name of ours, root, the owner."""

    version: Version
    partial_revokes: bool
    privileges: frozenset[str]
    accounts: tuple[Observed, ...]

    def find(self, user: str, host: str) -> Observed | None:
        return next((a for a in self.accounts if (a.user, a.host) == (user, host)), None)


@dataclass(frozen=True)
class Send:
    """Statements in this order. `what` names the account and what changes, for people."""

    what: str
    statements: tuple[Statement, ...]

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Prove:
    """cnmysql_control must be able to log in with this password before anything else is done."""

    password: Secret

    def __str__(self) -> str:
        return f"{names.ACCOUNT_CONTROL}: log in with the new password"


Step = Send | Prove


@dataclass(frozen=True)
class Plan:
    """Steps in order. `problems`: what no statement of ours may change, by the name of the order."""

    steps: tuple[Step, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


def plan(wanted: Wanted, seen: Seen) -> Plan:
    """Ours first, and of those the one we log in with; then what the operator asked for."""
    steps: list[Step] = []
    steps += _control([a for a in wanted.table if a.user == names.ACCOUNT_CONTROL], seen)
    for account in wanted.table:
        if account.user != names.ACCOUNT_CONTROL:
            steps += _password(account, seen)
    for account in wanted.table:
        steps += _terms(account, seen)
    steps += _strangers(wanted.table, seen)
    problems: dict[str, str] = {}
    if wanted.root is not None:
        steps += _root(wanted.root, seen)
    if wanted.owner is not None:
        found = _owner(wanted.owner, seen)
        if isinstance(found, str):
            problems[OWNER] = found
        else:
            steps += found
    return Plan(tuple(steps), problems)


def _control(found: list[Account], seen: Seen) -> Iterable[Step]:
    """The password of the account this very session is logged in with."""
    changed = [a for a in found if (o := seen.find(a.user, a.host)) is not None and not _has_password(o, a.password)]
    if changed:
        yield Send(f"{names.ACCOUNT_CONTROL}: new password", (_retaining(changed, seen),))
        yield Prove(changed[0].password)
    second = [a for a in found if a in changed or ((o := seen.find(a.user, a.host)) is not None and o.second)]
    if second:
        text = ", ".join(f"{account.name} DISCARD OLD PASSWORD" for account in second)
        yield Send(f"{names.ACCOUNT_CONTROL}: former password discarded", (Statement(f"ALTER USER {text}"),))


def _retaining(changed: list[Account], seen: Seen) -> Statement:
    """One statement for both ways in: it takes effect for both or for none."""
    parts: list[str] = []
    secrets: set[Secret] = set()
    for account in changed:
        observed = seen.find(account.user, account.host)
        # What is stored by another plugin, or not at all, cannot stay as the second password.
        keep = observed is not None and observed.plugin == PLUGIN_NAME and observed.stored
        retain = " RETAIN CURRENT PASSWORD" if keep else ""
        proof, hidden = internal.identified(account)
        parts.append(f"{account.name} {proof}{retain}")
        secrets.update(hidden)
    return Statement(f"ALTER USER {', '.join(parts)}", tuple(secrets))


def _password(account: Account, seen: Seen) -> Iterable[Step]:
    """No earlier password stays: nobody but us logs in with these."""
    observed = seen.find(account.user, account.host)
    if observed is None or (_has_password(observed, account.password) and not observed.second):
        return
    proof, secrets = internal.identified(account)
    discard = (Statement(f"ALTER USER {account.name} DISCARD OLD PASSWORD"),) if observed.second else ()
    sent = Statement(f"ALTER USER {account.name} {proof}", secrets)
    yield Send(f"{account.user}: new password", (sent, *discard))


def _terms(account: Account, seen: Seen) -> Iterable[Step]:
    """Everything but the password: which certificate, how many sessions, which privileges."""
    observed = seen.find(account.user, account.host)
    if observed is None:
        yield Send(f"{account.user}: created", internal.statements((account,)))
        return
    if (observed.require, observed.limit) != (account.require, account.limit) or observed.locked or observed.expired:
        yield Send(f"{account.user}: new terms", (Statement(f"ALTER USER {account.name} {account.terms}"),))
    if account.everything:
        missing = seen.privileges - {g.privilege for g in observed.grants if g.target == EVERYWHERE}
        if missing or not observed.grant_option:
            yield Send(f"{account.user}: all privileges", internal.grants(account))
        return
    lacking, surplus = account.grants - observed.grants, observed.grants - account.grants
    if lacking:
        yield Send(f"{account.user}: missing privileges", internal.grant(account, lacking))
    if surplus:
        yield Send(f"{account.user}: surplus privileges revoked", internal.revoke(account, surplus))
    if observed.grant_option:
        option = Statement(f"REVOKE GRANT OPTION ON {EVERYWHERE} FROM {account.name}")
        yield Send(f"{account.user}: grant option revoked", (option,))


def _strangers(table: tuple[Account, ...], seen: Seen) -> Iterable[Step]:
    """An account with one of our names and another host is a way in that nobody asked for."""
    ours = {(a.user, a.host) for a in table}
    for observed in seen.accounts:
        if observed.user in OUR_NAMES and (observed.user, observed.host) not in ours:
            drop = Statement(f"DROP USER IF EXISTS {quote_account(observed.user, observed.host)}")
            yield Send(f"{observed.user}@{observed.host}: dropped", (drop,))


def _root(order: RootOrder, seen: Seen) -> Iterable[Step]:
    local = seen.find(names.ACCOUNT_ROOT, LOCAL_HOSTS[0])
    if local is not None and _stale(local, order.stored):
        yield Send("root: new password", _fresh(names.ACCOUNT_ROOT, LOCAL_HOSTS[0], order.stored, local))
    remote = seen.find(names.ACCOUNT_ROOT, ANY_HOST)
    if not order.remote:
        if remote is not None:
            yield Send("root over the network: dropped", (accounts.drop_remote_root(),))
    elif remote is None or remote.locked:
        made = accounts.remote_root(seen.version, Stored(order.stored), partial_revokes=seen.partial_revokes)
        yield Send("root over the network: created", made)
    elif _stale(remote, order.stored):
        yield Send("root over the network: new password", _fresh(names.ACCOUNT_ROOT, ANY_HOST, order.stored, remote))


def _owner(order: OwnerOrder, seen: Seen) -> list[Step] | str:
    """Only an account that is there gets the password: whoever dropped it meant to."""
    observed = seen.find(order.user, ANY_HOST)
    if observed is None:
        return f"the application's account {order.user}@{ANY_HOST} does not exist"
    if not _stale(observed, order.stored):
        return []
    return [Send(f"{order.user}: new password", _fresh(order.user, ANY_HOST, order.stored, observed))]


def _stale(observed: Observed, stored: Secret) -> bool:
    """The operator derives the stored form from the password, so the same password is the same text."""
    return observed.second or observed.plugin != PLUGIN_NAME or observed.stored != stored.reveal()


def _fresh(user: str, host: str, stored: Secret, observed: Observed) -> tuple[Statement, ...]:
    """The new password, and no earlier one beside it."""
    found = (accounts.set_password(user, host, Stored(stored)),)
    if not observed.second:
        return found
    return (*found, Statement(f"ALTER USER {quote_account(user, host)} DISCARD OLD PASSWORD"))


def _has_password(observed: Observed, password: Secret) -> bool:
    return observed.plugin == PLUGIN_NAME and matches(password, observed.stored)
