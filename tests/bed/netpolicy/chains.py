"""The guards of one node as two iptables chains of ours, each passed by every packet that enters or leaves a Pod.

A chain answers RETURN for what is allowed, so that the next one is asked too, and DROP for the rest. Probes are sent
by the node itself and pass neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.bed.netpolicy.plan import Allow, Direction, Guard

CHAINS: dict[Direction, str] = {"Egress": "BED-EGRESS", "Ingress": "BED-INGRESS"}
JUMPS = (("FORWARD", "BED-INGRESS"), ("FORWARD", "BED-EGRESS"), ("INPUT", "BED-EGRESS"))
"""(chain of the kernel, chain of ours). INPUT: what a Pod says to its own node."""


def script(guards: Sequence[Guard]) -> str:
    """Input of `iptables-restore --noflush`: both chains, made or replaced in one step."""
    lines = ["*filter", *(f":{chain} - [0:0]" for chain in CHAINS.values())]
    lines += [f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN" for chain in CHAINS.values()]
    for guard in guards:
        lines += _of(guard)
    return "\n".join((*lines, "COMMIT", ""))


def _of(guard: Guard) -> Iterator[str]:
    chain = CHAINS[guard.direction]
    own, other = ("-d", "-s") if guard.direction == "Ingress" else ("-s", "-d")
    for allow in guard.allows:
        yield f"-A {chain} {own} {guard.address}/32 {other} {allow.network}{_ports(allow)} -j RETURN"
    yield f"-A {chain} {own} {guard.address}/32 -j DROP"


def _ports(allow: Allow) -> str:
    protocol = f" -p {allow.protocol.lower()}" if allow.protocol else ""
    return f"{protocol} --dport {allow.first}:{allow.last}" if allow.last else protocol
