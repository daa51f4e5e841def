"""What a database Pod mounts: its volumes, where a container sees them, and which Secrets of ours are among them."""

from __future__ import annotations

from typing import Final

from cnmysql import names
from manager.cluster.render.meta import Json

_READ_GROUP: Final = 0o440
_TOKEN_SECONDS: Final = 3600
"""Life of an API token; the kubelet brings a new one when four fifths of it have passed."""


def _read_only(name: str, path: str) -> Json:
    """Whole directories: a subPath mount would never change."""
    return {"name": name, "mountPath": path, "readOnly": True}


def _writable(name: str, path: str) -> Json:
    return {"name": name, "mountPath": path}


TREE_TARGET: Final = _writable("scratch", names.CONTROLLER_DIR)
"""Where the runtime tree is copied to; afterwards it is mounted read-only."""
API_TOKEN: Final = _read_only("api-token", names.TOKEN_DIR)
BOOTSTRAP_CREDENTIALS: Final = _read_only(
    "bootstrap-credentials", names.CREDENTIALS_DIR + names.CREDENTIALS_BOOTSTRAP_SUFFIX
)


def always() -> list[Json]:
    """Mounts of every container that runs the instance manager."""
    return [
        _read_only("scratch", names.CONTROLLER_DIR),
        _writable("data", names.VOLUME_DIR),
        _writable("run", names.RUN_DIR),
        _writable("tmp", names.TMP_DIR),
        _read_only("config", names.CONFIG_DIR),
        _read_only("server-tls", names.TLS_SERVER_DIR),
        _read_only("trust", names.TLS_TRUST_DIR),
        _read_only("replication-tls", names.TLS_REPLICATION_DIR),
        _read_only("peer-tls", names.TLS_PEER_DIR),
        _read_only("credentials", names.CREDENTIALS_DIR),
    ]


def mounted_secrets(cluster: str, instance: str) -> tuple[str, ...]:
    """Secrets of ours that the running containers read."""
    return (
        names.secret_server_tls(instance),
        names.secret_peer_tls(instance),
        names.secret_replication_tls(cluster),
        names.secret_control(cluster),
        names.secret_backup(cluster),
    )


def volumes(cluster: str, instance: str) -> list[Json]:
    """Volumes of every Pod."""
    return [
        {"name": "scratch", "emptyDir": {}},
        {"name": "data", "persistentVolumeClaim": {"claimName": instance}},
        {"name": "run", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "config", "configMap": {"name": names.config_map(instance), "defaultMode": _READ_GROUP}},
        _secret("server-tls", names.secret_server_tls(instance)),
        {"name": "trust", "configMap": {"name": names.trust_config_map(cluster), "defaultMode": _READ_GROUP}},
        _secret("replication-tls", names.secret_replication_tls(cluster)),
        _secret("peer-tls", names.secret_peer_tls(instance)),
        _projected(
            "credentials",
            _source(names.secret_control(cluster), ("password", "control/password")),
            _source(names.secret_backup(cluster), ("password", "backup/password")),
        ),
        _projected(
            API_TOKEN["name"],
            {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}},
            {"configMap": {"name": names.ROOT_CA_CONFIG_MAP, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        ),
    ]


def bootstrap_credentials(root_secret: str, app_secret: str | None) -> Json:
    """The volume only the init container sees. `app_secret` is None when the application has no account.

    They are there when the Pod is made. A node that restarts runs the init container again, which finds a complete
    directory and reads none of them: a Secret the user has removed since must not keep the Pod from its data.
    """
    sources = [_source(root_secret, ("password", "root/password"))]
    if app_secret is not None:
        sources.append(_source(app_secret, ("username", "app/username"), ("password", "app/password")))
    return _projected(BOOTSTRAP_CREDENTIALS["name"], *({"secret": {**s["secret"], "optional": True}} for s in sources))


def _secret(volume: str, secret: str) -> Json:
    return {"name": volume, "secret": {"secretName": secret, "defaultMode": _READ_GROUP}}


def _source(secret: str, *items: tuple[str, str]) -> Json:
    return {"secret": {"name": secret, "items": [{"key": key, "path": path} for key, path in items]}}


def _projected(volume: str, *sources: Json) -> Json:
    return {"name": volume, "projected": {"sources": list(sources), "defaultMode": _READ_GROUP}}
