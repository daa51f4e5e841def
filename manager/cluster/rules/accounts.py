"""Has every instance the passwords of the Secrets that no Pod mounts, and are its accounts in order?

Root's and the application's passwords are handed to each instance over its control API. What it has carried out is in
its report, by revision of the Secret, so nothing about it is remembered here.
"""

from __future__ import annotations

from cnmysql import names
from cnmysql.protocol.accounts import OWNER, ROOT, root_revision
from manager.actions import Action, Emit, OrderAccounts, PasswordSource
from manager.cluster import facts
from manager.cluster.brought import unusable
from manager.cluster.desired import Desired, desired
from manager.cluster.outcome import Condition, Continue, Outcome
from manager.cluster.snapshot import Known, Malformed, Snapshot


def decide(s: Snapshot) -> Outcome:
    """Orders that are due, and a Warning when something about the accounts has come to need people."""
    if isinstance(s.spec, Malformed):
        return Continue()
    return Continue((*_orders(s, desired(s)), *_warning(s)))


def _orders(s: Snapshot, d: Desired) -> list[Action]:
    remote = d.spec.enable_superuser_access
    root = _source(s, d.root_secret, names.ACCOUNT_ROOT, own=d.spec.root_password_secret is None)
    initdb = d.spec.bootstrap.initdb
    owner = _source(s, d.app_secret, initdb.owner, own=initdb.secret is None) if initdb.owner else None
    actions: list[Action] = []
    for instance, done in _reported(s):
        due_root = root if root is not None and done.get(ROOT) != root_revision(root.revision, remote=remote) else None
        due_owner = owner if owner is not None and done.get(OWNER) != owner.revision else None
        pod = s.objects.pods[instance]
        address = str((pod.get("status") or {}).get("podIP") or "")
        if address and (due_root or due_owner):
            actions.append(OrderAccounts(instance, facts.uid(pod), address, due_root, due_owner, remote))
    return actions


def _reported(s: Snapshot) -> list[tuple[str, dict[str, str]]]:
    """Instances whose server runs and that know of orders, and the revisions they have carried out."""
    found = []
    for instance in facts.pods_of(s):
        report = facts.fresh_report(s, instance)
        if report is not None and report.accounts is not None and report.mysqld.state == "running":
            found.append((instance, dict(report.accounts.orders)))
    return found


def _source(s: Snapshot, name: str, user: str, *, own: bool) -> PasswordSource | None:
    """None while the Secret is not there or has no password: the rule that makes it and the condition speak of that."""
    if own:
        secret = s.objects.secrets.get(name)
        if secret is None or not (secret.get("data") or {}).get("password"):
            return None
        return PasswordSource(name, str(secret["metadata"]["resourceVersion"]), user)
    known = s.user_secrets.get(name)
    if known is None or known.state is not Known.PRESENT or "password" not in known.keys:
        return None
    return PasswordSource(name, known.revision, user)


def condition(s: Snapshot) -> Condition | None:
    """AccountsInOrder, by what the instances say; None while none of them says anything."""
    reports = [(i, r.accounts) for i in facts.pods_of(s) if (r := facts.fresh_report(s, i)) is not None]
    known = [(i, accounts) for i, accounts in reports if accounts is not None]
    if not known:
        return None
    bypassing = sorted({account for _, accounts in known for account in accounts.bypassing})
    if bypassing:
        return Condition(
            False,
            names.ACCOUNTS_BYPASS,
            f"{', '.join(bypassing)} may write to a server that is being closed, so closing it kills mysqld; take "
            "SUPER and CONNECTION_ADMIN from these accounts",
        )
    problems = [f"{i}: {accounts.problem}" for i, accounts in known if accounts.problem]
    if problems:
        return Condition(False, names.ACCOUNTS_PENDING, "; ".join(problems))
    if secret := _unusable(s):
        return secret
    if not isinstance(s.spec, Malformed) and (due := _orders(s, desired(s))):
        waiting = ", ".join(a.instance for a in due if isinstance(a, OrderAccounts))
        return Condition(False, names.ACCOUNTS_CHANGING, f"passwords are being changed on {waiting}")
    return Condition(True, names.ACCOUNTS_IN_ORDER, "")


def _unusable(s: Snapshot) -> Condition | None:
    """A Secret of the user's that went or lost a key after the first start: nothing that runs reads it."""
    secret = None if isinstance(s.spec, Malformed) or not s.record.has_history else unusable(s, s.spec)
    if secret is None or not secret.reason:
        return None
    return Condition(False, secret.reason, f"{secret.message}; until then the password in force stays")


def _warning(s: Snapshot) -> tuple[Action, ...]:
    """Once for each message; a change of passwords that is under way is no reason to warn."""
    found = condition(s)
    if found is None or found.holds or found.reason == names.ACCOUNTS_CHANGING:
        return ()
    if facts.stored_condition(s, names.CONDITION_ACCOUNTS).get("message") == found.message:
        return ()
    return (Emit(found.reason, found.message, warning=True),)
