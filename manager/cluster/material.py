"""Which Secret plays which part in the TLS of a Cluster: the user's, or one that is generated.

Everything that users take into their Pods lies in Secrets of ours with fixed names. What a user brings is copied there
once it has been judged good (`manager.cluster.faults`), so bad material never reaches a running server, and a switch
between own and generated material changes no Pod.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from cnmysql import names
from cnmysql.api.cluster import CertificatesConfiguration
from cnmysql.pki.inspect import KeyState, blocks, issued_by
from manager.cluster.desired import Desired
from manager.cluster.snapshot import CertManager, Known, Snapshot, UserSecret


class Side(Enum):
    """Which bundle a certificate is checked against: that for servers, or that for clients."""

    SERVER = "server"
    CLIENT = "client"


class Part(Enum):
    """What a leaf is for."""

    OPERATOR = "operator"
    REPLICATION = "replication"
    SERVER = "server"
    PEER = "peer"


FIELD = {
    Part.OPERATOR: "spec.certificates.operatorTLSSecret",
    Part.REPLICATION: "spec.certificates.replicationTLSSecret",
    Part.SERVER: "spec.certificates.serverTLSSecret",
    Part.PEER: "spec.certificates.clientCASecret",
}
"""The field that names the Secret; peers have none of their own, they follow from a client CA that cannot sign."""


@dataclass(frozen=True)
class Leaf:
    """A certificate in use. `source`: the user's Secret it comes from, empty for one that is generated."""

    part: Part
    side: Side
    secret: str
    certificate: str
    instance: str = ""
    source: str = ""


@dataclass(frozen=True)
class Authority:
    """A CA. `field` is empty for the generated one."""

    side: Side
    secret: str
    field: str = ""

    @property
    def supplied(self) -> bool:
        return bool(self.field)


@dataclass(frozen=True)
class Parts:
    """Who signs for each side, and every leaf."""

    server: Authority
    client: Authority
    leaves: tuple[Leaf, ...]

    def authority(self, side: Side) -> Authority:
        return self.server if side is Side.SERVER else self.client

    def generated(self, side: Side) -> tuple[Leaf, ...]:
        """Leaves of this side that have to be signed."""
        return tuple(leaf for leaf in self.leaves if leaf.side is side and not leaf.source)

    @property
    def own_authority(self) -> bool:
        """A CA has to be generated."""
        return not self.server.supplied

    @property
    def kept(self) -> tuple[Leaf, ...]:
        """Leaves that lie in a Secret of ours, generated or copied from the user's."""
        return tuple(leaf for leaf in self.leaves if leaf.source != leaf.secret)


def parts(s: Snapshot, d: Desired) -> Parts:
    """By the spec, and by whether the user's client CA has a key to sign the certificates of peers with."""
    given = d.spec.certificates
    server, client = authorities(s.name, given)
    return Parts(server, client, tuple(_leaves(s, d, client)))


def authorities(cluster: str, given: CertificatesConfiguration) -> tuple[Authority, Authority]:
    """The CA of servers and that of clients; a client CA that is not named is the server CA."""
    generated = names.secret_ca(cluster)
    server_field, client_field = "spec.certificates.serverCASecret", "spec.certificates.clientCASecret"
    server = Authority(Side.SERVER, given.server_ca_secret or generated, server_field if given.server_ca_secret else "")
    if given.client_ca_secret:
        return server, Authority(Side.CLIENT, given.client_ca_secret, client_field)
    return server, Authority(Side.CLIENT, server.secret, server.field)


def _leaves(s: Snapshot, d: Desired, client: Authority) -> Iterator[Leaf]:
    c, given = s.name, d.spec.certificates
    yield Leaf(
        Part.OPERATOR,
        Side.CLIENT,
        names.secret_client_tls(c),
        names.certificate_client(c),
        source=given.operator_tls_secret or "",
    )
    yield Leaf(
        Part.REPLICATION,
        Side.CLIENT,
        names.secret_replication_tls(c),
        names.certificate_replication(c),
        source=given.replication_tls_secret or "",
    )
    own_peers = _cannot_sign(s, client)
    for i in d.present:
        yield Leaf(
            Part.SERVER,
            Side.SERVER,
            names.secret_server_tls(i),
            names.certificate_server(i),
            i,
            given.server_tls_secret or "",
        )
        peer = names.secret_peer_tls(i)
        yield Leaf(Part.PEER, Side.CLIENT, peer, names.certificate_peer(i), i, peer if own_peers else "")


def _cannot_sign(s: Snapshot, client: Authority) -> bool:
    """Peers then show what the user puts in place for each instance."""
    if client.supplied and s.cert_manager is CertManager.ABSENT:
        return True
    found = s.user_secrets.get(client.secret) if client.supplied else None
    return found is not None and found.tls is not None and found.tls.key is KeyState.ABSENT


def named(given: CertificatesConfiguration) -> tuple[str, ...]:
    """Secrets the spec names for certificates."""
    found = (
        given.server_ca_secret,
        given.server_tls_secret,
        given.client_ca_secret,
        given.replication_tls_secret,
        given.operator_tls_secret,
    )
    return tuple(dict.fromkeys(name for name in found if name))


def referenced(s: Snapshot, d: Desired) -> tuple[str, ...]:
    """All Secrets with certificates that are not ours and have to be followed."""
    direct = [leaf.source for leaf in parts(s, d).leaves if leaf.source and leaf.part is Part.PEER]
    return tuple(dict.fromkeys((*named(d.spec.certificates), *direct)))


def user_secret(s: Snapshot, name: str) -> UserSecret:
    return s.user_secrets.get(name, UserSecret(Known.UNKNOWN))


def live(s: Snapshot, leaf: Leaf) -> tuple[str, ...]:
    """The certificate (and chain) that is mounted or used now, leaf first; empty when there is none."""
    if leaf.source == leaf.secret:
        return supplied_chain(s, leaf)
    data = s.objects.secrets.get(leaf.secret, {}).get("data") or {}
    return blocks(str(data.get("tls.crt") or "")) if data.get("tls.key") else ()


def supplied_chain(s: Snapshot, leaf: Leaf) -> tuple[str, ...]:
    """What the user's Secret holds for this leaf, good or not."""
    tls = user_secret(s, leaf.source).tls
    return tls.certificate if tls is not None else ()


def bundle(s: Snapshot, authority: Authority) -> tuple[str, ...]:
    """CA certificates to trust: ca.crt, or tls.crt where there is none. Empty while it is not there."""
    if authority.supplied:
        tls = user_secret(s, authority.secret).tls
        return (tls.authority or tls.certificate) if tls is not None else ()
    data = s.objects.secrets.get(authority.secret, {}).get("data") or {}
    return blocks(str(data.get("ca.crt") or data.get("tls.crt") or ""))


def signer(s: Snapshot, authority: Authority) -> str:
    """The CA certificate that generated leaves are signed by; empty while there is none."""
    if authority.supplied:
        tls = user_secret(s, authority.secret).tls
        return tls.certificate[0] if tls is not None and tls.certificate and tls.key is KeyState.MATCHES else ""
    data = s.objects.secrets.get(authority.secret, {}).get("data") or {}
    found = blocks(str(data.get("tls.crt") or "")) if data.get("tls.key") else ()
    return found[0] if found else ""


def is_current(s: Snapshot, p: Parts, leaf: Leaf) -> bool:
    """What is in use is what ought to be: the user's present one, or one signed by the present CA.

    While the CA cannot be seen, what is in use counts as current: nothing is replaced on a guess.
    """
    used = live(s, leaf)
    if leaf.source:
        wanted = supplied_chain(s, leaf)
        return not wanted or used == wanted
    by = signer(s, p.authority(leaf.side))
    return not by or (bool(used) and issued_by(used[0], by))
