"""Do all accounts exist that the Pods use: the passwords of MySQL's, and the instances' own in the API?"""

from __future__ import annotations

from cnmysql import names
from manager.actions import Action
from manager.cluster.desired import Desired, desired
from manager.cluster.outcome import Continue, Outcome
from manager.cluster.render import rbac, secrets
from manager.cluster.render.meta import Json
from manager.cluster.rules import certificates
from manager.cluster.rules.common import apply_all, create_missing
from manager.cluster.snapshot import Snapshot


def decide(s: Snapshot) -> Outcome:
    """Everything is asked for at once; Pods wait until what they mount is there."""
    d = desired(s)
    return Continue((*_accounts(s, d), *_permissions(s, d)))


def _accounts(s: Snapshot, d: Desired) -> list[Action]:
    return create_missing(s, "secrets", passwords(d), ("password",))


def passwords(d: Desired) -> tuple[Json, ...]:
    """The Secrets with passwords that the user does not bring."""
    initdb = d.spec.bootstrap.initdb
    return secrets.accounts(
        d.owner,
        initdb.owner if initdb.owner and initdb.secret is None else None,
        root=d.spec.root_password_secret is None,
    )


def _permissions(s: Snapshot, d: Desired) -> list[Action]:
    template = d.spec.service_account_template.metadata
    accounts = (rbac.service_account(d.owner, i, template.labels, template.annotations) for i in d.present)
    return [
        *apply_all(s, "service_accounts", accounts),
        *apply_all(s, "roles", (rbac.role(d.owner),)),
        *apply_all(s, "role_bindings", (rbac.role_binding(d.owner, sorted(d.present, key=names.ordinal)),)),
    ]


def mountable(s: Snapshot, instance: str) -> bool:
    """True when everything is there that a Pod of this instance mounts or is checked against."""
    mounted = (names.secret_control(s.name), names.secret_backup(s.name))
    return certificates.mountable(s, instance) and all(name in s.objects.secrets for name in mounted)
