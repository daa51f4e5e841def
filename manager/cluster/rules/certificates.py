"""Is there a certificate for every connection, signed or brought, and does everybody trust the one who signed it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cnmysql import names
from cnmysql.clock import rfc3339
from manager.actions import Action, CopyPair, Delete, PatchOwned, Reissue
from manager.cluster import facts, rotation
from manager.cluster.desired import Desired, desired
from manager.cluster.faults import Verdict, judge
from manager.cluster.material import Leaf, Part, Parts, Side, bundle, live, named, parts, signer, user_secret
from manager.cluster.outcome import Continue, Hold, Notice, Outcome, Stop
from manager.cluster.render import certificates, configmaps
from manager.cluster.render.meta import Json, reference
from manager.cluster.rotation import Rotation
from manager.cluster.rules.common import apply_all, create_missing, store, target
from manager.cluster.snapshot import CertManager, Known, Snapshot

_LOOK_AGAIN: Final = 2.0
"""An API that appears brings no object with it, so nothing would wake us."""


@dataclass(frozen=True)
class _Case:
    """What is judged in this pass, together."""

    s: Snapshot
    d: Desired
    p: Parts
    v: Verdict
    r: Rotation

    def stale(self, leaf: Leaf) -> bool:
        return rotation.is_stale(self.s, self.p, self.v, leaf)

    def replaceable(self, leaf: Leaf) -> bool:
        return leaf.secret in self.r.replaceable


def decide(s: Snapshot) -> Outcome:
    """Bad or missing material stops a Cluster that does not run yet; one that runs goes on with what it has, and only
    the Pod that would mount what is missing waits (`mountable`)."""
    d = desired(s)
    p = parts(s, d)
    v = judge(s, d, p)
    running = facts.runs(s)
    if v.waiting:
        return Continue() if running else _reading(s, v)
    blocked = _taken(s, p) or _without_cert_manager(s, p)
    if blocked is not None and not running:
        return Hold(blocked)
    if v.faults and not running:
        return Hold(Notice(str(v.faults[0]), names.PHASE_BLOCKED))
    r = rotation.decide(s, p, v)
    # The authority comes first: it is issued while the rest is made.
    actions = [*_authority(s, d, p, v), *_leaves(_Case(s, d, p, v, r)), *_owned_again(s, d)]
    empty = _unfilled(s, p)
    finding_out = Notice("finding out whether cert-manager is installed", wake_after=_LOOK_AGAIN)
    if empty and s.cert_manager is CertManager.UNKNOWN and not running:
        return Stop(finding_out, tuple(actions))
    actions += _trust(s, d, r)
    if not r.waiting and not empty and not v.faults:
        actions += _unwanted(s, p)
    if not empty:
        return Continue(tuple(actions), blocked)
    if s.cert_manager is CertManager.UNKNOWN:
        return Continue(tuple(actions), finding_out)
    return Continue(tuple(actions), blocked or Notice(f"waiting for the certificate in Secret {empty[0]}"))


def mountable(s: Snapshot, instance: str) -> bool:
    """True when every certificate is there that a Pod of this instance mounts or is checked against."""
    own = [leaf for leaf in parts(s, desired(s)).leaves if leaf.instance in ("", instance)]
    trust = s.objects.config_maps.get(names.trust_config_map(s.name), {}).get("data") or {}
    known = all(trust.get(key) for key in (names.TRUST_SERVER_CA_KEY, names.TRUST_CLIENT_CA_KEY))
    return known and all(live(s, leaf) for leaf in own)


def _reading(s: Snapshot, v: Verdict) -> Hold:
    """A matter of milliseconds: what people see stays as it is."""
    before = str(s.status.get("phaseReason") or f"reading Secret {v.waiting}")
    return Hold(Notice(before, str(s.status.get("phase") or "")))


def _unfilled(s: Snapshot, p: Parts) -> list[str]:
    """Secrets that are still to be filled, by cert-manager or, where it is not installed, by the user."""
    found = []
    if p.own_authority and not bundle(s, p.server if not p.server.supplied else p.client):
        found.append(names.secret_ca(s.name))
    for leaf in p.leaves:
        missing = leaf.source == leaf.secret and user_secret(s, leaf.source).state is Known.MISSING
        if missing or (not leaf.source and not live(s, leaf)):
            found.append(leaf.secret)
    return found


# --- authorities


def _issuers(d: Desired, p: Parts) -> Iterator[Json]:
    """One issuer for each CA that has to sign something."""
    c = d.owner.name
    if p.own_authority:
        yield certificates.selfsigned(d.owner)
    if p.generated(Side.SERVER) or (p.generated(Side.CLIENT) and p.client.secret == p.server.secret):
        yield certificates.ca_issuer(d.owner, names.issuer_ca(c), p.server.secret)
    if p.generated(Side.CLIENT) and p.client.secret != p.server.secret:
        yield certificates.ca_issuer(d.owner, names.issuer_client_ca(c), p.client.secret)


def _authority(s: Snapshot, d: Desired, p: Parts, v: Verdict) -> list[Action]:
    """An issuer keeps the CA it has while the one that ought to take its place is no good."""
    if s.cert_manager is not CertManager.PRESENT:
        return []
    own = p.own_authority
    issuers = [body for body in _issuers(d, p) if not v.blames(body["spec"].get("ca", {}).get("secretName", ""))]
    secret = [certificates.empty_secret(d.owner, names.secret_ca(s.name))] if own else []
    return [
        *create_missing(s, "secrets", secret),
        *apply_all(s, "issuers", issuers),
        *apply_all(s, "certificates", [certificates.authority(d.owner)] if own else []),
    ]


# --- leaves


def _leaves(case: _Case) -> list[Action]:
    """Each Secret before what fills it, so that it carries our labels and our owner."""
    s, d, leaves = case.s, case.d, case.p.leaves
    present = s.cert_manager is CertManager.PRESENT
    ours = [leaf for leaf in case.p.kept if leaf.source or present]
    bodies = (certificates.empty_secret(d.owner, leaf.secret, leaf.instance) for leaf in ours)
    actions = create_missing(s, "secrets", bodies)
    for leaf in leaves:
        if leaf.source:
            actions += _supplied(case, leaf)
        elif present:
            actions += _generated(case, leaf)
    return actions


def _supplied(case: _Case, leaf: Leaf) -> list[Action]:
    """The Certificate goes before the copy, or cert-manager would write over it."""
    s, stale = case.s, case.stale(leaf)
    missing = not live(s, leaf)
    if case.v.blames(leaf.source) or ((missing or stale) and not case.replaceable(leaf)) or _overwritten(s, leaf):
        return []
    actions = _gone(s, "certificates", leaf.certificate, f"Secret {leaf.source} is used instead")
    if leaf.source != leaf.secret and (missing or stale):
        meta = s.objects.secrets.get(leaf.secret, {}).get("metadata") or {}
        forget = tuple(key for key in meta.get("annotations") or () if key.startswith(certificates.ANNOTATIONS))
        revision = user_secret(s, leaf.source).revision
        actions.append(CopyPair(target(s, "secrets", leaf.secret), leaf.source, revision, forget))
    return actions


def _overwritten(s: Snapshot, leaf: Leaf) -> bool:
    """A Certificate that is not ours to delete would fill the Secret again and again."""
    found = store(s, "certificates").get(leaf.certificate)
    return bool(leaf.source) and found is not None and not facts.owned(found, s.uid)


def _taken(s: Snapshot, p: Parts) -> Notice | None:
    for leaf in p.kept:
        if _overwritten(s, leaf):
            reason = (
                f"NameTaken: Certificate {leaf.certificate} does not belong to this Cluster and would overwrite Secret "
                f"{leaf.secret} with something else than Secret {leaf.source}; delete it"
            )
            return Notice(reason, names.PHASE_BLOCKED)
    return None


def _generated(case: _Case, leaf: Leaf) -> list[Action]:
    """A certificate of another CA than the present one is replaced only when everybody is ready for it.

    While the CA is still being made nobody can tell, and a Certificate asked for now would be filled as soon as it is.
    """
    s, stale = case.s, case.stale(leaf)
    unsure = bool(live(s, leaf)) and not signer(s, case.p.authority(leaf.side))
    if unsure or (stale and not case.replaceable(leaf)):
        return []
    actions = apply_all(s, "certificates", [_body(case.d, case.p, leaf)])
    certificate = store(s, "certificates").get(leaf.certificate)
    if stale and not actions and certificate is not None and not certificates.is_issuing(certificate):
        why = "the CA that signs it has changed"
        status = certificates.issuing(certificate, rfc3339(s.now), why)
        version = str(certificate["metadata"]["resourceVersion"])
        actions.append(Reissue(target(s, "certificates", leaf.certificate), version, status, why))
    return actions


def _body(d: Desired, p: Parts, leaf: Leaf) -> Json:
    own = leaf.side is Side.CLIENT and p.client.secret != p.server.secret
    issuer = names.issuer_client_ca(d.owner.name) if own else names.issuer_ca(d.owner.name)
    match leaf.part:
        case Part.OPERATOR:
            return certificates.client(d.owner, issuer)
        case Part.REPLICATION:
            return certificates.replication(d.owner, issuer)
        case Part.SERVER:
            alt_names = tuple(d.spec.certificates.server_alt_dns_names)
            return certificates.server(d.owner, issuer, leaf.instance, alt_names)
        case Part.PEER:
            return certificates.peer(d.owner, issuer, leaf.instance)


def _owned_again(s: Snapshot, d: Desired) -> list[Action]:
    """Somebody deleted a Secret, and cert-manager was faster than we to make it anew."""
    actions: list[Action] = []
    for name, secret in store(s, "secrets").items():
        if certificates.made_for(secret) == s.uid and not facts.terminating(secret):
            # A list is replaced whole, so only the version that was read may be written.
            version = str(secret["metadata"]["resourceVersion"])
            changed = {"resourceVersion": version, "ownerReferences": [reference(d.owner)]}
            actions.append(PatchOwned(target(s, "secrets", name), facts.uid(secret), {"metadata": changed}))
    return actions


# --- trust, and what is left over


def _trust(s: Snapshot, d: Desired, r: Rotation) -> list[Action]:
    if not r.server or not r.client:
        return []
    return apply_all(s, "config_maps", [configmaps.trust(d.owner, r.server, r.client, r.replication)])


def _unwanted(s: Snapshot, p: Parts) -> list[Action]:
    """A generated CA that nothing needs any more goes with its key."""
    d = desired(s)
    kept = {body["metadata"]["name"] for body in _issuers(d, p)}
    ours = {f(s.name) for f in (names.issuer_selfsigned, names.issuer_ca, names.issuer_client_ca)}
    actions = [
        action for name in sorted(ours - kept) for action in _gone(s, "issuers", name, "nothing is signed by it")
    ]
    if not p.own_authority:
        actions += _gone(s, "certificates", names.certificate_ca(s.name), "the user brings the CAs")
        if names.secret_ca(s.name) not in named(d.spec.certificates):
            actions += _gone(s, "secrets", names.secret_ca(s.name), "the user brings the CAs")
    return actions


def _gone(s: Snapshot, field: str, name: str, why: str) -> list[Action]:
    found = store(s, field).get(name)
    if found is None or facts.terminating(found) or not facts.owned(found, s.uid):
        return []
    return [Delete(target(s, field, name), facts.uid(found), why)]


def _without_cert_manager(s: Snapshot, p: Parts) -> Notice | None:
    empty = _unfilled(s, p) if s.cert_manager is CertManager.ABSENT else []
    if not empty:
        return None
    fields = [a.field or f"spec.certificates.{a.side.value}CASecret" for a in (p.server, p.client) if not a.supplied]
    fields += [f"spec.certificates.{field}" for field, part in _FIELDS if any(_is(leaf, part) for leaf in p.leaves)]
    peers = sorted({leaf.secret for leaf in p.leaves if leaf.part is Part.PEER and leaf.secret in empty})
    also = f" and the Secrets {', '.join(peers)} (see docs/certificates.md)" if peers else ""
    reason = (
        "CertManagerMissing: the API server does not know cert-manager.io/v1. Either install cert-manager, or supply "
        f"{', '.join(dict.fromkeys(fields)) or 'the certificates of peers'}{also}"
    )
    return Notice(reason, names.PHASE_BLOCKED, wake_after=_LOOK_AGAIN)


_FIELDS: Final = (
    ("serverTLSSecret", Part.SERVER),
    ("replicationTLSSecret", Part.REPLICATION),
    ("operatorTLSSecret", Part.OPERATOR),
)


def _is(leaf: Leaf, part: Part) -> bool:
    return leaf.part is part and not leaf.source
