"""Condition CertificatesValid: what is wrong with certificates, what ends soon, what a rotation waits for. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cnmysql import names
from cnmysql.clock import rfc3339
from cnmysql.pki import inspect
from manager.actions import Emit
from manager.cluster import facts, rotation
from manager.cluster.desired import Desired, desired
from manager.cluster.faults import judge
from manager.cluster.material import Parts, bundle, live, named, parts, user_secret
from manager.cluster.snapshot import Malformed, Snapshot

WARN_BEFORE: Final = timedelta(days=7)
_SOON: Final = timedelta(seconds=1)


@dataclass(frozen=True)
class Validity:
    """`ends`: end of validity by Secret. `wake_after`: seconds until the judgement may change by time alone."""

    holds: bool = True
    reason: str = "Valid"
    message: str = ""
    ends: dict[str, datetime] = field(default_factory=dict)
    wake_after: float | None = None


def assess(s: Snapshot) -> Validity | None:
    """None while nothing can be said: a spec that cannot be read, or Secrets that have not been read yet."""
    if isinstance(s.spec, Malformed):
        return None
    d = desired(s)
    p = parts(s, d)
    v = judge(s, d, p)
    if v.waiting:
        return None
    ends = dict(_ends(s, d, p))
    wake = _next_change(s, ends)
    if v.faults:
        first = v.faults[0]
        return Validity(False, first.reason, "; ".join(f.message for f in v.faults), ends, wake)
    late = [f"{secret} at {rfc3339(end)}" for secret, end in sorted(ends.items()) if end - s.now <= WARN_BEFORE]
    if late:
        return Validity(False, names.REASON_CERTIFICATE_EXPIRING, f"certificates end: {', '.join(late)}", ends, wake)
    waiting = rotation.decide(s, p, v).waiting
    if waiting:
        return Validity(True, "Rotating", f"waiting for {waiting}", ends, wake)
    return Validity(ends=ends, wake_after=wake)


def events(s: Snapshot, now: Validity) -> tuple[Emit, ...]:
    """A Warning when the condition turns false or says something else than before."""
    before = facts.stored_condition(s, names.CONDITION_CERTIFICATES)
    if now.holds or (before.get("reason"), before.get("message")) == (now.reason, now.message):
        return ()
    expiring = now.reason == names.REASON_CERTIFICATE_EXPIRING
    reason = names.REASON_CERTIFICATE_EXPIRING if expiring else names.REASON_INVALID_CERTIFICATE
    return (Emit(reason, now.message, warning=True),)


def _ends(s: Snapshot, d: Desired, p: Parts) -> Iterator[tuple[str, datetime]]:
    """Every Secret in use: the user's by its own name, else ours."""
    for authority in (p.server, p.client):
        found = _earliest(bundle(s, authority)[:1])
        if found is not None:
            yield authority.secret, found
    for leaf in p.leaves:
        found = _earliest(live(s, leaf)[:1])
        if found is not None:
            yield leaf.secret, found
    for name in named(d.spec.certificates):
        tls = user_secret(s, name).tls
        found = _earliest(tls.certificate[:1]) if tls is not None else None
        if found is not None:
            yield name, found


def _earliest(blocks: tuple[str, ...]) -> datetime | None:
    read = [c for block in blocks if (c := inspect.parsed(block)) is not None]
    return min((c.not_valid_after_utc for c in read), default=None)


def _next_change(s: Snapshot, ends: dict[str, datetime]) -> float | None:
    turns = [at for end in ends.values() for at in (end - WARN_BEFORE, end)]
    for name in s.user_secrets:
        tls = user_secret(s, name).tls
        read = [c for block in (tls.certificate + tls.authority if tls else ()) if (c := inspect.parsed(block))]
        turns += [at for c in read for at in (c.not_valid_before_utc, c.not_valid_after_utc)]
    ahead = [at for at in turns if at > s.now]
    return (min(ahead) - s.now + _SOON).total_seconds() if ahead else None


def status(s: Snapshot, now: Validity | None) -> dict[str, Any]:
    """`status.certificates`: which Secrets are in use and until when."""
    if isinstance(s.spec, Malformed):
        return dict(s.status.get("certificates") or {})
    p = parts(s, desired(s))
    given = s.spec.certificates
    found = {
        "serverCASecret": p.server.secret,
        "serverTLSSecret": given.server_tls_secret,
        "clientCASecret": p.client.secret,
        "replicationTLSSecret": given.replication_tls_secret or names.secret_replication_tls(s.name),
        "operatorTLSSecret": given.operator_tls_secret or names.secret_client_tls(s.name),
        "serverAltDNSNames": list(given.server_alt_dns_names),
        "expirations": dict(sorted((secret, rfc3339(end)) for secret, end in now.ends.items()))
        if now is not None
        else (s.status.get("certificates") or {}).get("expirations"),
    }
    return {k: v for k, v in found.items() if v}
