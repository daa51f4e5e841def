"""Password Secrets. The password itself is filled in by the executor, so that deciding stays free of chance."""

from __future__ import annotations

from cnmysql import names
from manager.cluster.render.meta import Json, Owner, metadata


def password(owner: Owner, name: str, username: str) -> Json:
    """A Secret with a user name; key `password` is generated when it is created and never written again."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata(owner, name),
        "stringData": {"username": username},
    }


def accounts(owner: Owner, app_owner: str | None, *, root: bool) -> tuple[Json, ...]:
    """Secrets we generate: control and backup always, root and application unless the user brings them."""
    wanted = [
        (names.secret_control(owner.name), names.ACCOUNT_CONTROL),
        (names.secret_backup(owner.name), names.ACCOUNT_BACKUP),
    ]
    if root:
        wanted.append((names.secret_root(owner.name), names.ACCOUNT_ROOT))
    if app_owner is not None:
        wanted.append((names.secret_app(owner.name), app_owner))
    return tuple(password(owner, name, username) for name, username in wanted)
