"""Certificates and kubeconfigs of the bed: made once per bed, valid for a year, never leaving its folder."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = datetime.timedelta(days=365)


@dataclass(frozen=True)
class Leaf:
    """One certificate to make: the file name, who it is for, and the names it answers to."""

    file: str
    common_name: str
    organization: str = ""
    names: Sequence[str] = ()


def _subject(common_name: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """A certificate authority in a folder: `<name>.crt` and `<name>.key`, made on first use."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        certificate_file, key_file = folder / f"{name}.crt", folder / f"{name}.key"
        if not certificate_file.exists():
            self._make(name, certificate_file, key_file)
        self._certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def _make(self, name: str, certificate_file: Path, key_file: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        builder = _builder(subject, subject, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(authority=True), critical=True)
        key_file.write_bytes(_key_pem(key))
        key_file.chmod(0o600)
        signed = builder.sign(key, hashes.SHA256())
        certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, leaf: Leaf) -> None:
        """Writes `<file>.crt` and `<file>.key` unless they are there."""
        certificate_file, key_file = self._folder / f"{leaf.file}.crt", self._folder / f"{leaf.file}.key"
        if certificate_file.exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(leaf.common_name, leaf.organization), self._certificate.subject, key.public_key())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if leaf.names:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName([_alternative(name) for name in leaf.names])
            builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(_usage(authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        key_file.write_bytes(_key_pem(key))
        key_file.chmod(0o600)
        signed = builder.sign(self._key, hashes.SHA256())
        certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    # An hour back: the clock of whoever checks may be behind ours.
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + _VALID)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def service_account_keys(folder: Path) -> None:
    """The pair that signs and checks service account tokens: `sa.key`, `sa.pub`."""
    private, public = folder / "sa.key", folder / "sa.pub"
    if public.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    private.write_bytes(_key_pem(key))
    private.chmod(0o600)
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def kubeconfig(folder: Path, identity: str, server: str) -> str:
    """A kubeconfig (JSON is YAML) with the certificates inside, so that it works from anywhere on the machine."""

    def data(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": data("ca.crt")}
    user = {"client-certificate-data": data(f"{identity}.crt"), "client-key-data": data(f"{identity}.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bed", "cluster": cluster}],
        "users": [{"name": identity, "user": user}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": identity}}],
        "current-context": "bed",
    }
    return json.dumps(document, indent=2) + "\n"
