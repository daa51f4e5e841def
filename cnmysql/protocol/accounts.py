"""What the operator sends an instance about passwords that no database Pod mounts: root's and the application's.

The password itself is never sent: the instance gets the form in which mysqld keeps it, which lets nobody log in. It is
a `Secret` on both sides all the same, so that no log, repr or error shows it; what cannot be understood is refused
without being quoted. The wire form is JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from cnmysql.log import Secret
from cnmysql.mysql import digest

ROOT: Final = "root"
OWNER: Final = "owner"
MAX_REVISION: Final = 200
MAX_STORED: Final = 200
MAX_USER: Final = 32


@dataclass(frozen=True)
class RootOrder:
    """Root's password as mysqld stores it; `remote`: root may log in over the network too. `revision` names what was
    ordered."""

    revision: str
    stored: Secret
    remote: bool


@dataclass(frozen=True)
class OwnerOrder:
    """The password of the application's owner."""

    revision: str
    user: str
    stored: Secret


@dataclass(frozen=True)
class AccountsOrder:
    """Body of `POST /accounts`; at least one of the two."""

    root: RootOrder | None = None
    owner: OwnerOrder | None = None

    def to_json(self) -> bytes:
        """The wire form, stored passwords included: for the connection only."""
        body: dict[str, Any] = {}
        if self.root is not None:
            root = self.root
            body[ROOT] = {"revision": root.revision, "stored": root.stored.reveal(), "remote": root.remote}
        if self.owner is not None:
            owner = self.owner
            body[OWNER] = {"revision": owner.revision, "user": owner.user, "stored": owner.stored.reveal()}
        return orjson.dumps(body)


def root_revision(secret: str, *, remote: bool) -> str:
    """Revision of an order about root: of its Secret, and whether root may come over the network."""
    return f"{secret}+remote" if remote else secret


def parse(body: Any) -> AccountsOrder:
    """An order from decoded JSON. Raises ValueError that names the field and quotes nothing."""
    if not isinstance(body, dict) or not body or not body.keys() <= {ROOT, OWNER}:
        raise ValueError(f"the body must be an object with {ROOT}, {OWNER} or both")
    return AccountsOrder(
        root=_root(body[ROOT]) if ROOT in body else None,
        owner=_owner(body[OWNER]) if OWNER in body else None,
    )


def _root(body: Any) -> RootOrder:
    if not isinstance(body, dict) or not isinstance(body.get("remote"), bool):
        raise ValueError(f"{ROOT}.remote must be true or false")
    return RootOrder(_text(body, ROOT, "revision", MAX_REVISION), _stored(body, ROOT), body["remote"])


def _owner(body: Any) -> OwnerOrder:
    return OwnerOrder(
        _text(body, OWNER, "revision", MAX_REVISION), _text(body, OWNER, "user", MAX_USER), _stored(body, OWNER)
    )


def _stored(body: Any, order: str) -> Secret:
    text = _text(body, order, "stored", MAX_STORED)
    if not digest.well_formed(text):
        raise ValueError(f"{order}.stored is not the stored form of a password")
    return Secret(text)


def _text(body: Any, order: str, field: str, longest: int) -> str:
    value = body.get(field) if isinstance(body, dict) else None
    if not isinstance(value, str) or not 1 <= len(value) <= longest or "\0" in value:
        raise ValueError(f"{order}.{field} must be a text of 1 to {longest} characters without NUL")
    return value
