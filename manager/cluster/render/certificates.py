"""cert-manager objects: a CA of the Cluster's own and the leaves it signs.

The CA lives 10 years and keeps its key: with cert-manager's defaults the first renewal would make a new key
without reissuing the leaves. Leaves live 90 days and get a new key at each renewal, 30 days before the end.
"""

from __future__ import annotations

from typing import Final

from cnmysql import names
from cnmysql.pki.identity import PEER_ORGANIZATION
from manager.cluster.render.meta import Json, Owner, metadata

_API: Final = "cert-manager.io/v1"
_CA_DURATION: Final = "87600h0m0s"
_LEAF_DURATION: Final = "2160h0m0s"
_LEAF_RENEW_BEFORE: Final = "720h0m0s"
_MAX_CN: Final = 64
_ISSUING: Final = "Issuing"
ANNOTATIONS: Final = "cert-manager.io/"
"""Prefix of what cert-manager notes on a Secret it has filled."""
CERT_MANAGER: Final = "cert-manager"
"""What the names of its controllers begin with, as field managers."""
CERTIFICATE_NAME: Final = f"{ANNOTATIONS}certificate-name"


def selfsigned(owner: Owner) -> Json:
    """The issuer that makes the CA."""
    return _issuer_body(owner, names.issuer_selfsigned(owner.name), {"selfSigned": {}})


def ca_issuer(owner: Owner, name: str, secret: str) -> Json:
    """A CA as an issuer; `secret` holds its certificate and key."""
    return _issuer_body(owner, name, {"ca": {"secretName": secret}})


def _issuer_body(owner: Owner, name: str, spec: Json) -> Json:
    return {"apiVersion": _API, "kind": "Issuer", "metadata": metadata(owner, name), "spec": spec}


def authority(owner: Owner) -> Json:
    """Certificate of the CA."""
    common_name = f"{owner.name}.ca.cnmysql"
    spec: Json = {
        "isCA": True,
        "commonName": common_name[:_MAX_CN],
        "secretName": names.secret_ca(owner.name),
        "duration": _CA_DURATION,
        "renewBefore": _LEAF_RENEW_BEFORE,
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Never"},
        "usages": ["digital signature", "cert sign", "crl sign"],
        "issuerRef": _issuer(names.issuer_selfsigned(owner.name)),
    }
    return _certificate(owner, names.certificate_ca(owner.name), "", spec)


def client(owner: Owner, issuer: str) -> Json:
    """The operator's identity towards instance managers."""
    return _leaf(
        owner,
        issuer,
        names.certificate_client(owner.name),
        {
            "commonName": names.OPERATOR_CN,
            "usages": ["digital signature", "client auth"],
            "secretName": names.secret_client_tls(owner.name),
        },
    )


def replication(owner: Owner, issuer: str) -> Json:
    """Identity of cnmysql_repl: replication and clone connections between servers."""
    return _leaf(
        owner,
        issuer,
        names.certificate_replication(owner.name),
        {
            "secretName": names.secret_replication_tls(owner.name),
            "commonName": names.replication_cn(owner.name),
            "subject": {"organizations": [owner.namespace]},
            "usages": ["digital signature", "client auth"],
        },
    )


def server(owner: Owner, issuer: str, instance: str, alt_names: tuple[str, ...]) -> Json:
    """Server certificate of one instance; names only, because a common name may be too long."""
    wanted = (*names.server_alt_names(owner.name, instance, owner.namespace), *alt_names)
    return _leaf(
        owner,
        issuer,
        names.certificate_server(instance),
        {
            "secretName": names.secret_server_tls(instance),
            "dnsNames": list(dict.fromkeys(wanted)),
            "usages": ["digital signature", "server auth"],
        },
        instance,
    )


def peer(owner: Owner, issuer: str, instance: str) -> Json:
    """Identity of one instance towards the instance managers of its own Cluster."""
    return _leaf(
        owner,
        issuer,
        names.certificate_peer(instance),
        {
            "secretName": names.secret_peer_tls(instance),
            "subject": {"organizations": [PEER_ORGANIZATION]},
            "dnsNames": [names.instance_host(instance, owner.namespace)],
            "usages": ["digital signature", "client auth"],
        },
        instance,
    )


def empty_secret(owner: Owner, name: str, instance: str = "") -> Json:
    """The Secret a Certificate fills, made by us first so that it has labels and an owner and ends with the Cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": metadata(owner, name, instance=instance),
        "data": {"tls.crt": "", "tls.key": ""},
    }


def issuing(live: Json, now: str, why: str) -> Json:
    """Status that makes cert-manager issue a live Certificate anew, as its own renew command writes it."""
    meta, conditions = live["metadata"], (live.get("status") or {}).get("conditions") or []
    asked = {
        "type": _ISSUING,
        "status": "True",
        "reason": "AuthorityChanged",
        "message": why,
        "observedGeneration": meta.get("generation", 0),
        "lastTransitionTime": now,
    }
    return {"conditions": [*(c for c in conditions if c["type"] != _ISSUING), asked]}


def is_issuing(live: Json) -> bool:
    conditions = (live.get("status") or {}).get("conditions") or ()
    return any(c["type"] == _ISSUING and c["status"] == "True" for c in conditions)


def _leaf(owner: Owner, issuer: str, name: str, spec: Json, instance: str = "") -> Json:
    return _certificate(
        owner,
        name,
        instance,
        {
            **spec,
            "duration": _LEAF_DURATION,
            "renewBefore": _LEAF_RENEW_BEFORE,
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "issuerRef": _issuer(issuer),
        },
    )


def _issuer(name: str) -> Json:
    return {"name": name, "kind": "Issuer", "group": "cert-manager.io"}


def _certificate(owner: Owner, name: str, instance: str, spec: Json) -> Json:
    return {
        "apiVersion": _API,
        "kind": "Certificate",
        "metadata": metadata(owner, name, instance=instance),
        "spec": {**spec, "secretTemplate": _origin(owner, instance)},
    }


def _origin(owner: Owner, instance: str) -> Json:
    """What cert-manager notes on a Secret it makes itself, because ours has gone: whose it is."""
    labels = names.labels(owner.name) | ({names.LABEL_INSTANCE: instance} if instance else {})
    return {"labels": labels, "annotations": {names.ANN_CLUSTER_UID: owner.uid}}


def made_for(secret: Json) -> str:
    """Uid of the Cluster whose Certificate had cert-manager make this Secret from nothing, which leaves it without an
    owner; empty for every other Secret, a copy of one under another name included."""
    meta = secret["metadata"]
    notes = meta.get("annotations") or {}
    filled = _filled(meta.get("labels") or {}).get(str(notes.get(CERTIFICATE_NAME, "")))
    by_cert_manager = filled == meta["name"] and not meta.get("ownerReferences")
    return str(notes.get(names.ANN_CLUSTER_UID, "")) if by_cert_manager else ""


def _filled(labels: Json) -> dict[str, str]:
    """The Secret that each Certificate fills, of the Cluster and the instance that the labels name."""
    c, i = str(labels.get(names.LABEL_CLUSTER, "")), str(labels.get(names.LABEL_INSTANCE, ""))
    shared = {
        names.certificate_ca(c): names.secret_ca(c),
        names.certificate_client(c): names.secret_client_tls(c),
        names.certificate_replication(c): names.secret_replication_tls(c),
    }
    own = {
        names.certificate_server(i): names.secret_server_tls(i),
        names.certificate_peer(i): names.secret_peer_tls(i),
    }
    return shared | own if names.is_instance_of(i, c) else shared
