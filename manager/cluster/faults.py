"""What is wrong with the certificates a user brings. Pure: judged on their text and on what their keys are to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from cnmysql import names
from cnmysql.pki import inspect
from cnmysql.pki.identity import identify, one_line
from cnmysql.pki.inspect import KeyState
from cnmysql.protocol.endpoints import Caller
from manager.cluster.desired import Desired
from manager.cluster.material import FIELD, Authority, Leaf, Part, Parts, Side, bundle, user_secret
from manager.cluster.snapshot import Known, Snapshot, TlsMaterial

_TLS = "kubernetes.io/tls"
_UNREADABLE = f"tls.key cannot be read; it must be an unencrypted private key in PEM form, {inspect.ALGORITHMS}"


@dataclass(frozen=True)
class Fault:
    """`secret` cannot be used as it is; the message names it, the field and what to do."""

    reason: str
    secret: str
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


@dataclass(frozen=True)
class Verdict:
    """`waiting`: a Secret not read yet, so nothing is known about it."""

    faults: tuple[Fault, ...] = ()
    waiting: str = ""

    def blames(self, secret: str) -> bool:
        return any(fault.secret == secret for fault in self.faults)


def judge(s: Snapshot, d: Desired, p: Parts) -> Verdict:
    """Every fault of what the spec names, authorities first: a leaf is judged against its CA only if that is good."""
    faults: dict[str, Fault] = {}
    for name in dict.fromkeys(
        (p.server.secret if p.server.supplied else "", p.client.secret if p.client.supplied else "")
    ):
        if name and user_secret(s, name).state is Known.UNKNOWN:
            return Verdict(waiting=name)
    for authority in (p.server, p.client):
        if authority.supplied and authority.secret not in faults:
            fault = _authority(s, p, authority)
            if fault is not None:
                faults[authority.secret] = fault
    judged: set[tuple[Part, str]] = set()
    for leaf in p.leaves:
        # What all instances show is judged for all of them at once.
        if not leaf.source or leaf.source in faults or (leaf.part, leaf.source) in judged:
            continue
        judged.add((leaf.part, leaf.source))
        if user_secret(s, leaf.source).state is Known.UNKNOWN:
            return Verdict(tuple(faults.values()), waiting=leaf.source)
        fault = _leaf(s, d, p, leaf, authority_ok=p.authority(leaf.side).secret not in faults)
        if fault is not None:
            faults[leaf.source] = fault
    return Verdict(tuple(faults.values()))


# --- authorities


def _authority(s: Snapshot, p: Parts, authority: Authority) -> Fault | None:
    found = user_secret(s, authority.secret)
    if found.state is Known.MISSING or found.tls is None:
        return _fault(authority.field, authority.secret, "does not exist; create it with key ca.crt")
    tls = found.tls
    why = _authority_text(s.now, found.keys, tls)
    if why:
        return _fault(authority.field, authority.secret, why)
    return _signing(s, p, authority, tls)


def _authority_text(now: datetime, keys: frozenset[str], tls: TlsMaterial) -> str:
    if tls.type not in (_TLS, "Opaque"):
        return f"has type {tls.type}; it must be {_TLS} or Opaque"
    key = "ca.crt" if "ca.crt" in keys else "tls.crt"
    if key not in keys:
        return "lacks ca.crt; it must hold the CA's certificate"
    if tls.excess:
        return tls.excess
    given = tls.authority if key == "ca.crt" else tls.certificate
    if not given:
        return f"{key} holds no certificate in PEM form"
    if why := next(filter(None, map(inspect.unusable, given)), ""):
        return f"{key} {why}"
    certificates = [c for block in given if (c := inspect.parsed(block)) is not None]
    if not all(inspect.is_authority(c) for c in certificates):
        return f"{key} holds a certificate that is not a CA (basic constraints CA:TRUE, key usage keyCertSign)"
    late = [why for c in certificates if (why := inspect.validity_fault(c, now))]
    if len(late) == len(certificates):
        return f"{key} {late[0]}"
    if not any(inspect.trusted((block,), given) for block in given):
        return f"{key} does not reach a self-signed CA; add the root it leads to"
    return ""


def _signing(s: Snapshot, p: Parts, authority: Authority, tls: TlsMaterial) -> Fault | None:
    """The key is needed only when a leaf has to be signed with it."""
    sides = [side for side in Side if p.authority(side).secret == authority.secret]
    wanted = [leaf for side in sides for leaf in p.generated(side)]
    missing = _missing_peers(s, p) if Side.CLIENT in sides else []
    if not wanted and not missing:
        return None
    if not tls.certificate or tls.key is KeyState.ABSENT:
        return _cannot_sign(authority, wanted, missing)
    why = _signing_text(s.now, tls)
    return _fault(authority.field, authority.secret, why) if why else None


def _missing_peers(s: Snapshot, p: Parts) -> list[Leaf]:
    own = [leaf for leaf in p.leaves if leaf.part is Part.PEER and leaf.source]
    return [leaf for leaf in own if user_secret(s, leaf.source).state is Known.MISSING]


def _cannot_sign(authority: Authority, wanted: list[Leaf], missing: list[Leaf]) -> Fault:
    reason = "ServerCACannotSign" if any(leaf.side is Side.SERVER for leaf in wanted) else "ClientCACannotSign"
    supply = [FIELD[leaf.part] for leaf in wanted if leaf.part is not Part.PEER]
    supply += [f"Secret {leaf.source}" for leaf in missing]
    supply += ["the Secrets <instance>-peer-tls"] if any(leaf.part is Part.PEER for leaf in wanted) else []
    text = (
        f"{authority.field}: Secret {authority.secret} has no tls.crt and tls.key, so nothing can be signed with it; "
        f"add both, or supply {', '.join(dict.fromkeys(supply))}"
    )
    return Fault(reason, authority.secret, text)


def _signing_text(now: datetime, tls: TlsMaterial) -> str:
    if tls.key is KeyState.UNREADABLE:
        return _UNREADABLE
    if tls.key is KeyState.FOREIGN:
        return "tls.key does not belong to tls.crt"
    certificate = inspect.parsed(tls.certificate[0])
    if certificate is None:
        return f"tls.crt {inspect.unusable(tls.certificate[0])}"
    if not inspect.is_authority(certificate):
        return "tls.crt is not a CA, so certificates signed with it would be refused"
    if why := inspect.validity_fault(certificate, now):
        return f"tls.crt {why}"
    if not inspect.trusted(tls.certificate, tls.authority or tls.certificate):
        return "tls.crt is not one of the CAs in ca.crt and not issued by one of them"
    return ""


# --- leaves


def _leaf(s: Snapshot, d: Desired, p: Parts, leaf: Leaf, *, authority_ok: bool) -> Fault | None:
    field, found = FIELD[leaf.part], user_secret(s, leaf.source)
    if found.state is Known.MISSING or found.tls is None:
        return _fault(field, leaf.source, f"does not exist; create it with type {_TLS}, tls.crt and tls.key")
    why = _pair_text(found.keys, found.tls)
    certificate = inspect.parsed(found.tls.certificate[0]) if not why else None
    if certificate is not None:
        why = _content_text(s, d, leaf, certificate)
    if not why and authority_ok and not inspect.trusted(found.tls.certificate, bundle(s, p.authority(leaf.side))):
        why = _stranger(p.authority(leaf.side))
    return _fault(field, leaf.source, why) if why else None


def _pair_text(keys: frozenset[str], tls: TlsMaterial) -> str:
    if tls.type != _TLS:
        return f"has type {tls.type}; it must be {_TLS}"
    missing = [key for key in ("tls.crt", "tls.key") if key not in keys]
    if missing:
        return f"lacks {' and '.join(missing)}"
    if tls.excess:
        return tls.excess
    if not tls.certificate:
        return "tls.crt holds no certificate in PEM form"
    if why := next(filter(None, map(inspect.unusable, tls.certificate)), ""):
        return f"tls.crt {why}"
    if tls.key is KeyState.UNREADABLE:
        return _UNREADABLE
    if tls.key is not KeyState.MATCHES:
        return "tls.key does not belong to tls.crt"
    return ""


def _content_text(s: Snapshot, d: Desired, leaf: Leaf, certificate: x509.Certificate) -> str:
    if why := inspect.validity_fault(certificate, s.now):
        return f"tls.crt {why}"
    # Pods mount it with its key: with a CA's key a broken-into instance would sign itself whatever it likes.
    if inspect.is_authority(certificate):
        return "tls.crt is a CA; bring a certificate issued with it (basic constraints CA:FALSE)"
    usage, word = (
        (inspect.SERVER_AUTH, "serverAuth") if leaf.side is Side.SERVER else (inspect.CLIENT_AUTH, "clientAuth")
    )
    if not inspect.usable_for(certificate, usage):
        return f"tls.crt lacks the extended key usage {word}"
    if leaf.part is Part.SERVER:
        hosts = [names.instance_host(i, s.namespace) for i in d.present]
        open_ = inspect.uncovered(certificate, hosts)
        if open_:
            return f"tls.crt has no DNS name for {', '.join(open_)}"
    return _identity_text(s, leaf, certificate)


def _identity_text(s: Snapshot, leaf: Leaf, certificate: x509.Certificate) -> str:
    """Operator and peers are known by name; nothing else in a Pod may pass for one of them."""
    who = identify(inspect.identity_parts(certificate), cluster=s.name, namespace=s.namespace)
    if leaf.part is Part.OPERATOR:
        good = who is not None and who.caller is Caller.OPERATOR
        return "" if good else f"tls.crt must have the common name {names.OPERATOR_CN} and no organisation"
    if leaf.part is Part.PEER:
        good = who is not None and who.caller is Caller.PEER and who.name == leaf.instance
        host = names.instance_host(leaf.instance, s.namespace)
        return "" if good else f"tls.crt must have the organisation cnmysql-peer and the one DNS name {host}"
    if who is not None and inspect.usable_for(certificate, inspect.CLIENT_AUTH):
        return f"tls.crt would be accepted as the {who.caller.value} of this Cluster; give it another subject"
    return _comparable(certificate) if leaf.part is Part.REPLICATION else ""


def _comparable(certificate: x509.Certificate) -> str:
    """MySQL binds the account to subject and issuer as text."""
    for kind, name in (("subject", certificate.subject), ("issuer", certificate.issuer)):
        try:
            text = one_line(name)
        except ValueError as error:
            return f"tls.crt: MySQL cannot compare its {kind}: {error}"
        if not text:
            return f"tls.crt has an empty {kind}, which MySQL cannot bind an account to"
    return ""


def _stranger(authority: Authority) -> str:
    if authority.supplied:
        return f"tls.crt was not issued by the CA in Secret {authority.secret} ({authority.field})"
    field = "serverCASecret" if authority.side is Side.SERVER else "clientCASecret"
    return f"tls.crt was not issued by the generated CA; name its own in spec.certificates.{field}"


def _fault(field: str, secret: str, why: str) -> Fault:
    return Fault(names.REASON_INVALID_CERTIFICATE, secret, f"{field}: Secret {secret} {why}")
