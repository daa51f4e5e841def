"""Secrets with passwords that the user brings. Pure: where they are named, and whether they can be used.

A volume is first filled with the passwords they hold, so nothing is built without them. Whatever runs mounts none of
them: there they only say which password to change to.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnmysql import names
from cnmysql.api.cluster import ClusterSpec
from manager.cluster.snapshot import Known, Snapshot


@dataclass(frozen=True)
class Unusable:
    """`reason` is empty while the Secret has not been read, so nothing is known about it."""

    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}" if self.reason else self.message


def user_secrets(spec: ClusterSpec) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """(field of the spec, name, keys it must have)."""
    found: list[tuple[str, str, tuple[str, ...]]] = []
    if spec.root_password_secret is not None:
        found.append(("spec.rootPasswordSecret", spec.root_password_secret.name, ("password",)))
    if spec.bootstrap.initdb.secret is not None:
        found.append(("spec.bootstrap.initdb.secret", spec.bootstrap.initdb.secret.name, ("username", "password")))
    return tuple(found)


def unusable(s: Snapshot, spec: ClusterSpec) -> Unusable | None:
    """The first one that cannot be used as it is."""
    for field, name, keys in user_secrets(spec):
        known = s.user_secrets.get(name)
        if known is None or known.state is Known.UNKNOWN:
            return Unusable("", f"reading Secret {name} ({field})")
        needs = " and ".join(keys)
        if known.state is Known.MISSING:
            text = f"{field} names Secret {name}, which does not exist; create it with key {needs}"
            return Unusable(names.ACCOUNTS_MISSING, text)
        missing = [key for key in keys if key not in known.keys]
        if missing:
            text = f"{field}: Secret {name} lacks {' and '.join(missing)}; it must have {needs}"
            return Unusable(names.ACCOUNTS_INCOMPLETE, text)
    return None
