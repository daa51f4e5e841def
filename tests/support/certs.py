"""Certificates for tests: a CA that signs leaves with any subject, names, usages and dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


def _name(cn: str = "", o: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o)] if o else []
    return x509.Name([*attributes, *([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])])


_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _key_pem(key: _Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass(frozen=True)
class Leaf:
    certificate: bytes
    key: bytes

    def write(self, directory: Path) -> Path:
        """tls.crt and tls.key, replaced atomically as the kubelet does for a mounted Secret."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in (("tls.crt", self.certificate), ("tls.key", self.key)):
            fresh = directory / f".{name}.new"
            fresh.write_bytes(content)
            fresh.rename(directory / name)
        return directory


class Authority:
    """A self-signed CA. `now`: the moment it and its leaves are made at; `ca` False: it says that it is none."""

    def __init__(
        self,
        cn: str = "test-ca",
        *,
        ca: bool = True,
        now: datetime | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> None:
        self._key: _Key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(cn)
        self._now = now
        now = now or datetime.now(UTC)
        self._ski = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or now - _DAY)
            .not_valid_after(not_after or now + 3650 * _DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=ca,
                    crl_sign=ca,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(self._ski, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @classmethod
    def of(cls, certificate: bytes, key: bytes) -> Authority:
        """Somebody's CA whose signing key fell into our hands."""
        stolen = cls()
        stolen._certificate = x509.load_pem_x509_certificate(certificate)
        loaded = serialization.load_pem_private_key(key, None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
        stolen._key, stolen._name = loaded, stolen._certificate.subject
        # Not every CA names its key by the same hash of it.
        stolen._ski = stolen._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return stolen

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return _key_pem(self._key)

    def issue(
        self,
        cn: str = "",
        *,
        o: str = "",
        dns: tuple[str, ...] = (),
        addresses: tuple[str, ...] = (),
        server: bool = True,
        client: bool = True,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Leaf:
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._now or datetime.now(UTC)
        usages = [
            u for u, on in ((ExtendedKeyUsageOID.SERVER_AUTH, server), (ExtendedKeyUsageOID.CLIENT_AUTH, client)) if on
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(cn, o))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or now - _DAY)
            .not_valid_after(not_after or now + 90 * _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._ski), critical=False)
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        names = [*(x509.DNSName(n) for n in dns), *(x509.IPAddress(ip_address(a)) for a in addresses)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Leaf(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))
