"""cert-manager in memory: a CA for each CA Secret, leaves with the subjects and names that Certificates ask for.

What is made depends only on how often it was made before, so two worlds that did the same hold the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cnmysql import names
from cnmysql.clock import rfc3339
from cnmysql.pki.inspect import KeyState, blocks, parsed
from manager.cluster.snapshot import Known, TlsMaterial, UserSecret
from tests.support.certs import Authority, Leaf

Json = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
_ISSUER = "cert-manager.io/issuer-name"
_CERTIFICATE = "cert-manager.io/certificate-name"


def authority(name: str, generation: int = 0) -> Authority:
    """The n-th CA of this common name."""
    return _authority(name, generation)


@cache
def _authority(name: str, generation: int) -> Authority:
    return Authority(name, now=START)


@cache
def leaf(ca: Authority, cn: str = "", o: str = "", *, dns: tuple[str, ...] = (), server: bool, nth: int = 0) -> Leaf:
    """The n-th leaf of this subject."""
    return ca.issue(cn, o=o, dns=dns, server=server, client=not server)


def brought(pair: Leaf | Authority, revision: int = 1, ca: Authority | None = None) -> UserSecret:
    """What the operator knows of a user's Secret with this pair, of the right type."""
    certificate = pair.pem if isinstance(pair, Authority) else pair.certificate
    above = pair if isinstance(pair, Authority) else ca
    found = blocks(above.pem.decode()) if above is not None else ()
    tls = TlsMaterial("kubernetes.io/tls", blocks(certificate.decode()), found, KeyState.MATCHES)
    return UserSecret(Known.PRESENT, frozenset({"tls.crt", "tls.key", "ca.crt"}), str(revision), tls)


def ca_only(ca: Authority) -> UserSecret:
    """A CA without its key."""
    tls = TlsMaterial("Opaque", (), blocks(ca.pem.decode()))
    return UserSecret(Known.PRESENT, frozenset({"ca.crt"}), "1", tls)


@dataclass
class Issuing:
    """`user`: CAs the user brought, by Secret. `again` counts how often a Certificate was filled."""

    user: dict[str, Authority] = field(default_factory=dict)
    generation: int = 0
    again: dict[str, int] = field(default_factory=dict)

    def filled(self, cluster: str, objects: dict[str, dict[str, Json]]) -> dict[str, Json]:
        """Secrets as they are after one round; only those that change."""
        changed: dict[str, Json] = {}
        for name, certificate in objects["certificates"].items():
            secret = objects["secrets"].get(certificate["spec"]["secretName"])
            assert secret is not None, "a Certificate before its Secret"
            issuer = certificate["spec"]["issuerRef"]["name"]
            meta = secret["metadata"]
            noted = (meta.get("annotations") or {}).get(_ISSUER)
            asked = any(c["type"] == "Issuing" for c in certificate.get("status", {}).get("conditions", ()))
            if secret["data"].get("tls.crt") and noted == issuer and not asked:
                continue
            data = self._made(cluster, objects, certificate)
            if data is None:
                continue
            self.again[name] = self.again.get(name, 0) + 1
            if asked:
                certificate["status"]["conditions"] = []
            certificate.setdefault("status", {})["notAfter"] = _end(data["tls.crt"])
            template = certificate["spec"]["secretTemplate"]["annotations"]
            notes = {**(meta.get("annotations") or {}), **template, _ISSUER: issuer, _CERTIFICATE: name}
            noted_meta = {**meta, "annotations": notes}
            changed[secret["metadata"]["name"]] = {**secret, "metadata": noted_meta, "data": data}
        return changed

    def _made(self, cluster: str, objects: dict[str, dict[str, Json]], certificate: Json) -> Json | None:
        spec = certificate["spec"]
        if spec.get("isCA"):
            ca = authority(spec["commonName"], self.generation)
            return {"tls.crt": ca.pem.decode(), "tls.key": f"hash-{self.generation}", "ca.crt": ca.pem.decode()}
        signer = objects["issuers"][spec["issuerRef"]["name"]]["spec"]["ca"]["secretName"]
        if signer == names.secret_ca(cluster):
            if not (objects["secrets"].get(signer) or {}).get("data", {}).get("tls.crt"):
                return None
            ca = authority(f"{cluster}.ca.cnmysql", self.generation)
        elif signer in self.user:
            ca = self.user[signer]
        else:
            return None
        nth = self.again.get(certificate["metadata"]["name"], 0)
        made = leaf(
            ca,
            spec.get("commonName", ""),
            (spec.get("subject") or {}).get("organizations", [""])[0],
            dns=tuple(spec.get("dnsNames", ())),
            server="server auth" in spec["usages"],
            nth=nth,
        )
        return {"tls.crt": made.certificate.decode(), "tls.key": f"hash-{nth}", "ca.crt": ca.pem.decode()}


def _end(pem: str) -> str:
    certificate = parsed(blocks(pem)[0])
    assert certificate is not None
    return rfc3339(certificate.not_valid_after_utc)
