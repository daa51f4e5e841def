"""How trust and certificates move from one CA to the next without a connection lost. Pure: the step is what is seen.

The order, of which nothing is remembered anywhere but in the objects themselves:

1. the new CA is added to `<c>-trust`, beside the old one;
2. every instance reports that it has loaded that bundle;
3. if the new replication certificate has other names, the account is relaxed to any certificate of the client CA, and
   every instance reports that;
4. leaves are replaced: signed anew, or copied from the user's Secret;
5. every instance reports the new ones loaded; receivers have connected with theirs;
6. the account is bound to the new names;
7. the old CA is dropped when no certificate in use needs it.

An instance that is silent holds up 2 to 7, not itself: the Secrets it mounts when it comes back fit the bundle it
mounts with them, and until it has said so the old CA stays. One without a Pod on a node holds up nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography import x509

from cnmysql import names
from cnmysql.pki import inspect
from cnmysql.pki.fingerprint import bundle_fingerprint
from cnmysql.pki.identity import one_line
from cnmysql.protocol.report import InstanceStatus, TLSReport
from manager.cluster import facts
from manager.cluster.faults import Verdict
from manager.cluster.material import Leaf, Part, Parts, Side, bundle, is_current, live, signer, supplied_chain
from manager.cluster.snapshot import Json, Snapshot

RELAXED: Final[Json] = {"require": "x509"}
"""How the account is bound while its certificate changes names: to any certificate of the client CA."""
_KEY: Final = {Side.SERVER: names.TRUST_SERVER_CA_KEY, Side.CLIENT: names.TRUST_CLIENT_CA_KEY}


@dataclass(frozen=True)
class Rotation:
    """What trust should be now, which Secrets may get another certificate now, and what is being waited for."""

    server: tuple[str, ...]
    client: tuple[str, ...]
    replication: Json | None
    replaceable: frozenset[str]
    waiting: str = ""

    def bundle(self, side: Side) -> tuple[str, ...]:
        return self.server if side is Side.SERVER else self.client


def decide(s: Snapshot, p: Parts, v: Verdict) -> Rotation:
    """The step from what is stored and reported now."""
    return Rotation(
        server=_trust(s, p, v, Side.SERVER),
        client=_trust(s, p, v, Side.CLIENT),
        replication=_binding(s, p, v),
        replaceable=frozenset(leaf.secret for leaf in p.leaves if _replaceable(s, p, v, leaf)),
        waiting=_waiting(s, p, v),
    )


# --- trust


def stored(s: Snapshot, side: Side) -> tuple[str, ...]:
    """The bundle that `<c>-trust` holds."""
    return inspect.blocks(_data(s).get(_KEY[side], ""), inspect.MAX_TRUSTED)


def _data(s: Snapshot) -> dict[str, str]:
    return s.objects.config_maps.get(names.trust_config_map(s.name), {}).get("data") or {}


def _current(s: Snapshot, p: Parts, v: Verdict, side: Side) -> tuple[str, ...]:
    """CA certificates to trust by the present Secret; empty while that is not there or not good."""
    authority = p.authority(side)
    return () if v.blames(authority.secret) else bundle(s, authority)


def _trust(s: Snapshot, p: Parts, v: Verdict, side: Side) -> tuple[str, ...]:
    """The present CA first, then former ones for as long as a certificate in use leads to them.

    A CA for which there is no room beside the former ones has to wait: none of these is given up on a guess.
    """
    current, former = _current(s, p, v, side), stored(s, side)
    if not current:
        return former
    if _settled(s, p, current, side):
        return current
    both = (*current, *(block for block in former if block not in current))
    return both if inspect.blocks(inspect.joined(both), inspect.MAX_TRUSTED) == both else former


def _settled(s: Snapshot, p: Parts, current: tuple[str, ...], side: Side) -> bool:
    """Every certificate of this side leads to the present CA, and is the one that is loaded."""
    leaves = [leaf for leaf in p.leaves if leaf.side is side]
    leads = all(inspect.trusted(live(s, leaf), current) for leaf in leaves if live(s, leaf))
    return leads and not _unloaded(s, leaves)


# --- what instances have confirmed


def _audience(s: Snapshot) -> list[str]:
    """Instances whose Pod has a node: each has to be heard. The others will mount what is there by then."""
    pods = s.objects.pods
    return [i for i in facts.pods_of(s) if pods[i]["spec"].get("nodeName") and not facts.pod_ended(pods[i])]


def _disagree(s: Snapshot, agrees: Callable[[InstanceStatus], bool]) -> list[str]:
    """Instances that do not report this."""
    return [i for i in _audience(s) if (r := facts.fresh_report(s, i)) is None or not agrees(r)]


def _distrusting(s: Snapshot, side: Side) -> list[str]:
    """Instances that have not loaded the stored bundle of this side."""
    want = _named(inspect.joined(stored(s, side)))
    return _disagree(s, lambda r: r.tls is not None and _loaded_bundle(r.tls, side) == want)


def _loaded_bundle(tls: TLSReport, side: Side) -> str:
    return tls.server_ca if side is Side.SERVER else tls.client_ca


def _unloaded(s: Snapshot, leaves: list[Leaf]) -> list[str]:
    """Instances that have not loaded one of these certificates as it is now."""
    return _disagree(s, lambda r: r.tls is not None and all(_has(s, r, r.tls, leaf) for leaf in leaves))


def _has(s: Snapshot, r: InstanceStatus, tls: TLSReport, leaf: Leaf) -> bool:
    if leaf.part is Part.OPERATOR or leaf.instance not in ("", r.instance_name):
        return True
    loaded = {Part.SERVER: tls.server, Part.PEER: tls.peer, Part.REPLICATION: tls.replication}[leaf.part]
    used = live(s, leaf)
    return not used or loaded == inspect.fingerprint(used[0])


@lru_cache(maxsize=1024)
def _named(text: str) -> str:
    try:
        return bundle_fingerprint(text.encode())
    except ValueError:
        return ""


# --- leaves


def is_stale(s: Snapshot, p: Parts, v: Verdict, leaf: Leaf) -> bool:
    """Another certificate than the one in use ought to be, and can be had."""
    return bool(live(s, leaf)) and not _blamed(p, v, leaf) and not is_current(s, p, leaf)


def _blamed(p: Parts, v: Verdict, leaf: Leaf) -> bool:
    return v.blames(leaf.source or p.authority(leaf.side).secret)


def _replaceable(s: Snapshot, p: Parts, v: Verdict, leaf: Leaf) -> bool:
    """Another certificate may take this one's place now."""
    if _blamed(p, v, leaf):
        return False
    if not live(s, leaf) or _broken(s, leaf):
        return True
    current = _current(s, p, v, leaf.side)
    known = bool(current) and set(current) <= set(stored(s, leaf.side))
    if not known or (not _same_root(s, leaf) and _distrusting(s, leaf.side)):
        return False
    return leaf.part is not Part.REPLICATION or _same_names(s, p, v, leaf) or not _unrelaxed(s)


def _same_root(s: Snapshot, leaf: Leaf) -> bool:
    """What the user brings leads to the root that the one in use leads to: whoever accepts this accepts that."""
    used, coming = live(s, leaf), supplied_chain(s, leaf) if leaf.source else ()
    roots = [root for root in stored(s, leaf.side) if inspect.trusted(used, (root,))]
    return any(inspect.trusted(coming, (root,)) for root in roots)


def _broken(s: Snapshot, leaf: Leaf) -> bool:
    """Nobody accepts it any more, so there is nothing to protect; waiting for what it blocks would be for ever."""
    used = live(s, leaf)
    certificate = inspect.parsed(used[0])
    late = certificate is None or bool(inspect.validity_fault(certificate, s.now))
    return late or not inspect.trusted(used, stored(s, leaf.side))


# --- the replication account


def _binding(s: Snapshot, p: Parts, v: Verdict) -> Json | None:
    """What `replication.json` should say: bound to the names of the certificate in use, relaxed while they change."""
    leaf = next(leaf for leaf in p.leaves if leaf.part is Part.REPLICATION)
    now = _stored_binding(s)
    used = live(s, leaf)
    if not used:
        return now
    held = _bound(used[0])
    if held is None or not _same_names(s, p, v, leaf):
        return RELAXED
    if now is None or now == held:
        return held
    if now != RELAXED:
        return RELAXED
    return RELAXED if _unloaded(s, [leaf]) else held


def _stored_binding(s: Snapshot) -> Json | None:
    text = _data(s).get(names.TRUST_REPLICATION_KEY)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


@lru_cache(maxsize=1024)
def _names(block: str) -> tuple[str, str] | None:
    certificate = inspect.parsed(block)
    if certificate is None:
        return None
    try:
        return one_line(certificate.subject), one_line(certificate.issuer)
    except ValueError:
        return None


def _bound(block: str) -> Json | None:
    found = _names(block)
    return {"subject": found[0], "issuer": found[1]} if found is not None and all(found) else None


def _same_names(s: Snapshot, p: Parts, v: Verdict, leaf: Leaf) -> bool:
    """The certificate that is to come has the names of the one in use, so the account may stay bound to them."""
    used = live(s, leaf)
    if not is_stale(s, p, v, leaf):
        return True
    if leaf.source:
        return _names(supplied_chain(s, leaf)[0]) == _names(used[0])
    ca = inspect.parsed(signer(s, p.authority(leaf.side)))
    subject = f"/O={s.namespace}/CN={names.replication_cn(s.name)}"
    return ca is not None and (subject, _line(ca)) == _names(used[0])


def _line(ca: x509.Certificate) -> str:
    try:
        return one_line(ca.subject)
    except ValueError:
        return ""


def _unrelaxed(s: Snapshot) -> list[str]:
    """Instances on which the account still asks for certain names."""
    if _stored_binding(s) != RELAXED:
        return _audience(s)
    return _disagree(s, lambda r: r.replication_require == RELAXED["require"])


# --- for people


def _waiting(s: Snapshot, p: Parts, v: Verdict) -> str:
    """What a change of CA or certificate waits for; empty at rest."""
    stale = [leaf for leaf in p.leaves if is_stale(s, p, v, leaf)]
    for side in Side:
        if not set(_current(s, p, v, side)) <= set(_trust(s, p, v, side)):
            return (
                f"room among the trusted {side.value} CAs: {inspect.MAX_TRUSTED} certificates at most; name one that "
                "is trusted already until every instance has loaded its certificates and the former ones are dropped"
            )
        if any(leaf.side is side for leaf in stale) and (silent := _distrusting(s, side)):
            return f"{', '.join(silent)} to trust the new {side.value} CA"
    renamed = any(leaf.part is Part.REPLICATION and not _same_names(s, p, v, leaf) for leaf in stale)
    if renamed and (silent := _unrelaxed(s)):
        return f"{', '.join(silent)} to accept both replication certificates"
    if stale:
        return f"new certificates in {', '.join(leaf.secret for leaf in stale)}"
    former = [side for side in Side if set(stored(s, side)) - set(_current(s, p, v, side) or stored(s, side))]
    if former or _stored_binding(s) == RELAXED:
        late = _unloaded(s, list(p.leaves))
        return f"{', '.join(late) or 'every instance'} to load new certificates; the former CA is trusted until then"
    return ""
