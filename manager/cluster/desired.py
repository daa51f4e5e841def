"""What the spec asks for, resolved once per pass: owner, members, image and version, names of user Secrets, my.cnf."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from cnmysql import names
from cnmysql.api.cluster import ClusterSpec
from cnmysql.mysql import mycnf
from cnmysql.mysql.version import Version
from manager.cluster import facts
from manager.cluster.image import in_force, version_of
from manager.cluster.quantity import parse_quantity
from manager.cluster.render.meta import Owner, digest
from manager.cluster.render.mounts import mounted_secrets
from manager.cluster.render.pods import PodInput
from manager.cluster.render.volumes import requested_size
from manager.cluster.snapshot import Malformed, Snapshot


@dataclass(frozen=True)
class Desired:
    """`members`: the instances wanted; `present`: those and the ones whose Pod has not gone yet.
    `image`: what the instances run, which is not what the spec asks for while that is refused."""

    owner: Owner
    spec: ClusterSpec
    members: tuple[str, ...]
    present: tuple[str, ...]
    image: str
    version: Version
    root_secret: str
    app_secret: str


def desired(s: Snapshot) -> Desired:
    """Only for a snapshot whose spec could be read; the validation rule comes first."""
    spec = s.spec
    assert not isinstance(spec, Malformed)
    members = facts.wanted(s, spec.instances)
    extra = [i for i in facts.pods_of(s) if i not in members]
    image = in_force(s, spec.image_name)
    return Desired(
        owner=owner_of(s, spec),
        spec=spec,
        members=members,
        present=(*members, *extra),
        image=image,
        version=version_of(s, image),
        root_secret=root_secret(s, spec),
        app_secret=app_secret(s, spec),
    )


def owner_of(s: Snapshot, spec: ClusterSpec) -> Owner:
    inherited = spec.inherited_metadata
    return Owner(s.name, s.namespace, s.uid, dict(inherited.labels), dict(inherited.annotations))


def root_secret(s: Snapshot, spec: ClusterSpec) -> str:
    reference = spec.root_password_secret
    return reference.name if reference is not None else names.secret_root(s.name)


def app_secret(s: Snapshot, spec: ClusterSpec) -> str:
    reference = spec.bootstrap.initdb.secret
    return reference.name if reference is not None else names.secret_app(s.name)


@dataclass(frozen=True)
class Config:
    """my.cnf of an instance; `static_hash` covers only what needs a restart of mysqld."""

    text: str
    static_hash: str


def config(d: Desired, instance: str) -> Config:
    """Raises ValueError for parameters that the validation rule refuses."""
    limits: Mapping[str, Any] = d.spec.resources.get("limits") or {}
    return _config(
        version=d.version,
        instance=instance,
        binlog_format=d.spec.mysql.binlog_format,
        parameters=tuple(sorted(d.spec.mysql.parameters.items())),
        memory=int(parse_quantity(str(limits["memory"]))) if "memory" in limits else None,
        cpu=max(1, math.ceil(parse_quantity(str(limits["cpu"])))) if "cpu" in limits else None,
        volume=int(parse_quantity(requested_size(d.spec.storage))),
    )


@lru_cache(maxsize=1024)
def _config(
    *,
    version: Version,
    instance: str,
    binlog_format: str,
    parameters: tuple[tuple[str, str], ...],
    memory: int | None,
    cpu: int | None,
    volume: int,
) -> Config:
    given = mycnf.MyCnfInput(
        version=version,
        ordinal=names.ordinal(instance),
        report_host=instance,
        parameters=dict(parameters),
        binlog_format=binlog_format,
        memory_limit=memory,
        cpu=cpu,
        volume_size=volume,
    )
    text = mycnf.render(given)
    return Config(text, digest(mycnf.static_part(text, version))[:32])


def pod_input(s: Snapshot, d: Desired, instance: str) -> PodInput:
    given = PodInput(
        owner=d.owner,
        spec=d.spec,
        instance=instance,
        operator_image=s.operator_image,
        image=d.image,
        mysql_version=str(d.version),
        static_config=config(d, instance).static_hash,
        mounted_revision="",
        restart_token=s.annotations.get(names.ANN_RESTART, ""),
        root_secret=d.root_secret,
        app_secret=d.app_secret,
    )
    return replace(given, mounted_revision=mounted_revision(s, given))


def mounted_revision(s: Snapshot, given: PodInput) -> str:
    """Changes when the content of anything the Pod mounts changes."""
    mounted = mounted_secrets(s.name, given.instance)
    secrets = {n: s.objects.secrets.get(n, {}).get("data") or _brought(s, n) for n in mounted}
    maps = (names.config_map(given.instance), names.trust_config_map(s.name))
    return digest([secrets, {n: s.objects.config_maps.get(n, {}).get("data") for n in maps}])[:32]


def _brought(s: Snapshot, name: str) -> tuple[str, ...] | None:
    """A mounted Secret that is not ours."""
    found = s.user_secrets.get(name)
    return found.tls.certificate if found is not None and found.tls is not None else None
