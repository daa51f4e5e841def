"""ConfigMaps: the instance's my.cnf, and the CA bundles everybody checks certificates against."""

from __future__ import annotations

import json
from dataclasses import dataclass

from cnmysql import names
from cnmysql.pki.inspect import joined
from manager.cluster.render.meta import Json, Owner, metadata


@dataclass(frozen=True)
class Files:
    """`start`: what mysqld is started from; `live`: what the running server is brought to."""

    start: str
    live: str


def config(owner: Owner, instance: str, files: Files, post_init_sql: tuple[str, ...], role: str) -> Json:
    """Configuration of one instance; `post_init_sql` is not empty only for the one that is initialised."""
    data = {names.CONFIG_KEY: files.start, names.LIVE_CONFIG_KEY: files.live}
    if post_init_sql:
        data[names.POST_INIT_KEY] = json.dumps(list(post_init_sql))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, names.config_map(instance), instance=instance, role=role),
        "data": data,
    }


def trust(owner: Owner, server_ca: tuple[str, ...], client_ca: tuple[str, ...], replication: Json | None) -> Json:
    """The bundles Pods mount instead of a CA Secret, which would hold the signing key.

    `replication`: what the replication account has to be bound to; every instance brings its own account to it.
    """
    data = {names.TRUST_SERVER_CA_KEY: joined(server_ca), names.TRUST_CLIENT_CA_KEY: joined(client_ca)}
    if replication is not None:
        data[names.TRUST_REPLICATION_KEY] = json.dumps(replication, sort_keys=True)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, names.trust_config_map(owner.name)),
        "data": data,
    }
