"""Gathers a snapshot from the informers' stores and the status streams. Reads only what is already here."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from cnmysql import names
from cnmysql.api.cluster import ClusterSpec, parse_spec
from cnmysql.clock import Clock
from cnmysql.errors import Invalid
from cnmysql.kube.informer import Informer
from manager.cluster.facts import owned
from manager.cluster.kinds import CERT_MANAGER, OWNED
from manager.cluster.render.certificates import made_for
from manager.cluster.snapshot import (
    CertManager,
    Departed,
    Json,
    Malformed,
    Objects,
    Observation,
    Snapshot,
    UserSecret,
    record,
)

INDEX: Final = "cluster"
LEADER_FRESH_SECONDS: Final = 10.0
_DEPARTED_SECONDS: Final = 600.0
_TLS: Final = "kubernetes.io/tls"


def by_cluster(obj: Json) -> list[str]:
    """Index value: namespace and Cluster by the label."""
    meta = obj["metadata"]
    cluster = (meta.get("labels") or {}).get(names.LABEL_CLUSTER)
    return [f"{meta['namespace']}/{cluster}"] if cluster else []


def shorten_secret(obj: Json) -> Json:
    """Keep certificates; of everything else only a hash: the cache holds no password and no private key."""

    data: dict[str, Any] = {}
    for key, value in (obj.get("data") or {}).items():
        if not value:
            data[key] = ""
        elif obj.get("type") == _TLS and key in {"ca.crt", "tls.crt"}:
            data[key] = base64.b64decode(value).decode("ascii", "replace")
        else:
            data[key] = hashlib.sha256(str(value).encode()).hexdigest()
    return {**obj, "data": data}


class Reports(Protocol):
    """The status streams as observation reads them."""

    def of(self, key: str) -> Mapping[str, Observation]:
        """Last word of each instance of the Cluster `namespace/name`."""


class References(Protocol):
    """User Secrets as observation reads them."""

    def secrets(self, key: str) -> Mapping[str, UserSecret]: ...


class Departures:
    """Pods that left the API server recently, by uid: their last state may prove that a container ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pods: dict[str, tuple[str, Departed]] = {}

    def add(self, pod: Json) -> None:
        now = self._clock.monotonic()
        self._pods = {uid: entry for uid, entry in self._pods.items() if now - entry[1].at < _DEPARTED_SECONDS}
        for key in by_cluster(pod):
            self._pods[str(pod["metadata"]["uid"])] = (key, Departed(pod, now))

    def of(self, key: str) -> Mapping[str, Departed]:
        return {uid: departed for uid, (owner, departed) in self._pods.items() if owner == key}


class Observer:
    """Everything `observe` looks at. `informers`: by field of `Objects`; `clusters`: the Clusters themselves."""

    def __init__(
        self,
        *,
        clock: Clock,
        clusters: Informer,
        informers: Mapping[str, Informer],
        reports: Reports,
        references: References,
        departed: Departures,
        leader_fresh: Callable[[], bool],
        operator_image: str,
        operator_namespace: str,
        tree_digest: str,
    ) -> None:
        self._clock = clock
        self._clusters = clusters
        self._informers = informers
        self._reports = reports
        self._references = references
        self._departed = departed
        self._leader_fresh = leader_fresh
        self._operator_image = operator_image
        self._operator_namespace = operator_namespace
        self._tree_digest = tree_digest
        self._written: dict[str, Json] = {}

    def wrote(self, cluster: Json) -> None:
        """A Cluster as our own write returned it; it counts until the informer has caught up."""
        meta = cluster["metadata"]
        self._written[f"{meta['namespace']}/{meta['name']}"] = cluster

    def cluster(self, key: str) -> Json | None:
        """The newest version of the Cluster that we have seen."""
        seen = self._clusters.get(key)
        written = self._written.get(key)
        if seen is None or written is None or written["metadata"]["uid"] != seen["metadata"]["uid"]:
            self._written.pop(key, None)
            return seen
        if int(written["metadata"]["resourceVersion"]) <= int(seen["metadata"]["resourceVersion"]):
            del self._written[key]
            return seen
        return written

    def observe(self, key: str) -> Snapshot | None:
        """The snapshot, or None when there is no such Cluster."""
        cluster = self.cluster(key)
        if cluster is None:
            return None
        objects, leftovers, strangers = self._objects(key, cluster["metadata"]["uid"])
        return Snapshot(
            now=self._clock.now(),
            clock=self._clock.monotonic(),
            leader_fresh=self._leader_fresh(),
            operator_image=self._operator_image,
            operator_namespace=self._operator_namespace,
            tree_digest=self._tree_digest,
            cluster=cluster,
            spec=read_spec(cluster),
            record=record(cluster.get("status") or {}),
            objects=objects,
            observations=self._reports.of(key),
            user_secrets=self._references.secrets(key),
            cert_manager=self._cert_manager(),
            departed=self._departed.of(key),
            leftovers=leftovers,
            strangers=strangers,
        )

    def _objects(self, key: str, uid: str) -> tuple[Objects, tuple[tuple[str, Json], ...], tuple[Json, ...]]:
        found: dict[str, dict[str, Json]] = {}
        leftovers: list[tuple[str, Json]] = []
        strangers: list[Json] = []
        for field, informer in self._informers.items():
            found[field] = {}
            for obj in informer.by_index(INDEX, key):
                if of_former(obj, uid):
                    leftovers.append((OWNED[field].kind, obj))
                elif field == "pods" and not owned(obj, uid):
                    strangers.append(obj)
                else:
                    found[field][obj["metadata"]["name"]] = obj
        return Objects(**found), tuple(leftovers), tuple(strangers)

    def remains(self, key: str) -> list[Json]:
        """Of a Cluster that is gone: Secrets that the garbage collector took before their Certificates, so that
        cert-manager made them once more, with no owner to go with. None while a Certificate is there to do it again.
        """
        if self._informers["certificates"].by_index(INDEX, key):
            return []
        return [secret for secret in self._informers["secrets"].by_index(INDEX, key) if made_for(secret)]

    def _cert_manager(self) -> CertManager:
        informers = [self._informers[field] for field in CERT_MANAGER]
        if any(i.absent for i in informers):
            return CertManager.ABSENT
        return CertManager.PRESENT if all(i.synced for i in informers) else CertManager.UNKNOWN


def of_former(obj: Json, uid: str) -> bool:
    """Of a Cluster of this name that is gone: its owner has another uid, or it was made for one with another."""
    owners = [o for o in obj["metadata"].get("ownerReferences") or () if o.get("kind") == "Cluster"]
    if owners:
        return all(o.get("uid") != uid for o in owners)
    return made_for(obj) not in ("", uid)


def read_spec(cluster: Json) -> ClusterSpec | Malformed:
    """The spec, or what is wrong with a stored one (its schema may be older than ours)."""
    try:
        return parse_spec(cluster)
    except Invalid as error:
        return Malformed(f"{error.message}; correct these fields")
