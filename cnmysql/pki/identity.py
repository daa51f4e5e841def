"""Who a certificate is: identities read from a verified peer certificate, and subjects as MySQL compares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from cnmysql import names
from cnmysql.protocol.endpoints import Caller

PEER_ORGANIZATION = "cnmysql-peer"
"""O of a peer certificate; its SAN names the one instance it stands for."""

_SHORT = {
    NameOID.COMMON_NAME: "CN",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.STREET_ADDRESS: "street",
    NameOID.POSTAL_CODE: "postalCode",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "emailAddress",
}


@dataclass(frozen=True)
class Identity:
    """`name` is the instance for a peer, empty for the operator."""

    caller: Caller
    name: str = ""


def identify(peercert: Mapping[str, Any], *, cluster: str, namespace: str) -> Identity | None:
    """The identity of a verified client certificate as `ssl.SSLSocket.getpeercert()` gives it, or None.

    The operator is known by its common name; a peer by its organisation and the DNS name of an instance of
    exactly this Cluster. Verification against the client CA has already happened in the handshake.
    """
    subject: dict[str, list[str]] = {}
    for rdn in peercert.get("subject", ()):
        for key, value in rdn:
            subject.setdefault(key, []).append(value)
    if subject.get("commonName") == [names.OPERATOR_CN] and "organizationName" not in subject:
        return Identity(Caller.OPERATOR)
    if subject.get("organizationName") != [PEER_ORGANIZATION]:
        return None
    hosts = [value for kind, value in peercert.get("subjectAltName", ()) if kind == "DNS"]
    if len(hosts) != 1:
        return None
    instance = hosts[0].removesuffix(f".{namespace}.svc")
    if instance == hosts[0] or not names.is_instance_of(instance, cluster):
        return None
    return Identity(Caller.PEER, instance)


def one_line(name: x509.Name) -> str:
    """A distinguished name in OpenSSL's one-line form (`/O=ns/CN=db`), which REQUIRE SUBJECT and ISSUER compare.

    Order is that of the certificate (X509_NAME_oneline(3)). Raises ValueError for attributes without a known
    short name or with characters the form cannot carry unescaped.
    """
    parts = []
    for attribute in name:
        short = _SHORT.get(attribute.oid)
        value = attribute.value if isinstance(attribute.value, str) else attribute.value.decode("ascii")
        if short is None:
            raise ValueError(f"attribute {attribute.oid.dotted_string} has no short name")
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"{short} holds characters that MySQL's comparison cannot express")
        parts.append(f"/{short}={value}")
    return "".join(parts)


def subject_and_issuer(pem: bytes) -> tuple[str, str]:
    """Subject and issuer of the first certificate of a PEM text, both in one-line form."""
    certificate = x509.load_pem_x509_certificates(pem)[0]
    return one_line(certificate.subject), one_line(certificate.issuer)
