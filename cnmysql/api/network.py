"""`spec.networkPolicy`: its types, and what they may say. Refused here is what the API server would refuse later, when
the policy is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import Field

from cnmysql.api import core
from cnmysql.api.base import Default, Json, Limits, Model, Schema
from cnmysql.api.rules import Case, Rule

ANYWHERE: Final = "0.0.0.0/0"


def _closed(required: tuple[str, ...] = (), **properties: core.Node) -> core.Node:
    """An object with these fields and no others: where an overlooked spelling mistake would open a door."""
    node: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        node["required"] = list(required)
    return node


_CIDR: Final[core.Node] = {"type": "string", "minLength": 1, "maxLength": 64}
_TERM: Final = _closed(("key", "operator"), key=core.STRING, operator=core.STRING, values=core.STRINGS)
_SELECTOR: Final = _closed(matchLabels=core.STRING_MAP, matchExpressions=core.array(_TERM))
_IP_BLOCK: Final = _closed(("cidr",), **{"cidr": _CIDR, "except": {**core.array(_CIDR), "maxItems": 32}})
_PEER: Final = _closed(podSelector=_SELECTOR, namespaceSelector=_SELECTOR, ipBlock=_IP_BLOCK)
_PORT: Final = _closed(
    protocol=core.enum("TCP", "UDP", "SCTP"),
    port={"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
    endPort=core.INT32,
)
_EGRESS: Final = _closed(to={**core.array(_PEER), "maxItems": 32}, ports={**core.array(_PORT), "maxItems": 64})


class NetworkPolicyConfiguration(Model):
    """Who may open connections to the instances, and to whom they may. Enforced by the network of the cluster."""

    enabled: bool = Field(
        default=False,
        description="Make a NetworkPolicy for the instances: nothing but what is listed here, and what the operator"
        " and the instances need among themselves.",
    )
    clients: Annotated[list[Annotated[Json, Schema(_PEER)]], Limits(max_items=32)] = Field(
        default_factory=list,
        description="Who may reach MySQL (3306), each a networking/v1 NetworkPolicyPeer; nobody when empty.",
    )
    metrics: Annotated[list[Annotated[Json, Schema(_PEER)]], Limits(max_items=32)] = Field(
        default_factory=list,
        description="Who may reach the metrics (9187), each a NetworkPolicyPeer; nobody when empty.",
    )
    extra_egress: Annotated[list[Annotated[Json, Schema(_EGRESS)]], Limits(max_items=32)] = Field(
        default_factory=list,
        description="What the instances may reach besides DNS, the API server and each other, each a"
        " NetworkPolicyEgressRule.",
    )
    api_server_cidrs: Annotated[
        list[str], Limits(min_items=1, max_items=32, item_min_length=1, item_max_length=64), Default([ANYWHERE])
    ] = Field(
        default_factory=lambda: [ANYWHERE],
        alias="apiServerCIDRs",
        description="Where the API server may be; its ports 443 and 6443 are reachable there. No label selects it.",
    )


_AT: Final = "spec.networkPolicy"
_POD: Final = {"podSelector": {"matchLabels": {"app": "shop"}}}


def _block(cidr: str, *excepted: str) -> Json:
    return {"ipBlock": {"cidr": cidr, "except": list(excepted)}}


def _peer_rules(field: str, groups: str, wrap: Callable[[Json], Json]) -> tuple[Rule, Rule]:
    """What the API server would refuse in the policy made from these peers. `groups`: CEL, a list of lists of them."""

    def case(peer: Json, shows: str = "") -> Case:
        return Case({"networkPolicy": {field: [wrap(peer)]}}, shows=shows)

    at = f"{_AT}.{field}"
    bad = (
        "has(p.ipBlock) && !(isCIDR(p.ipBlock.cidr) && p.ipBlock.?except.orValue([]).all(e, isCIDR(e)"
        " && cidr(p.ipBlock.cidr).containsCIDR(e) && cidr(e).prefixLength() > cidr(p.ipBlock.cidr).prefixLength()))"
    )
    return (
        Rule(
            at="",
            field=at,
            cel=f"{groups}.all(g, g.all(p, has(p.ipBlock) != (has(p.podSelector) || has(p.namespaceSelector))))",
            says=f"'{at}: a peer is either an ipBlock or a selection of Pods'",
            remedy="give each peer ipBlock alone, or podSelector, namespaceSelector or both",
            accept=(case(_block("10.0.0.0/8")), case({**_POD, "namespaceSelector": {}})),
            reject=(case({}, shows="either"), case({**_POD, **_block("10.0.0.0/8")}, shows="or a selection")),
        ),
        Rule(
            at="",
            field=at,
            cel=f"{groups}.all(g, g.all(p, !({bad})))",
            says=f"'{at}: ' + {groups}.map(g, g.filter(p, {bad}).map(p, p.ipBlock.cidr + ' except '"
            " + p.ipBlock.?except.orValue([]).join(', ')).join('; ')).filter(t, t != '').join('; ')"
            " + ' is not a range of addresses'",
            remedy="write ranges as 10.1.0.0/16; those under except are smaller and within it",
            accept=(case(_block("10.0.0.0/8", "10.1.0.0/16")), case(_block("fd00::/8"))),
            reject=(
                case(_block("10.0.0.0"), shows="10.0.0.0"),
                case(_block("10.0.0.0/8", "192.168.0.0/16"), shows="192.168.0.0/16"),
                case(_block("10.0.0.0/16", "10.0.0.0/16"), shows="except 10.0.0.0/16"),
            ),
        ),
    )


def _given(field: str) -> str:
    """CEL: a list of `spec.networkPolicy`."""
    return f"object.spec.?networkPolicy.?{field}.orValue([])"


_SERVERS: Final = _given("apiServerCIDRs")

RULES: Final[tuple[Rule, ...]] = (
    *_peer_rules("clients", f"[{_given('clients')}]", lambda peer: peer),
    *_peer_rules("metrics", f"[{_given('metrics')}]", lambda peer: peer),
    *_peer_rules("extraEgress", f"{_given('extraEgress')}.map(r, r.?to.orValue([]))", lambda peer: {"to": [peer]}),
    Rule(
        at="",
        field=f"{_AT}.apiServerCIDRs",
        cel=f"{_SERVERS}.all(c, isCIDR(c))",
        says=f"'{_AT}.apiServerCIDRs: ' + {_SERVERS}.filter(c, !isCIDR(c)).join(', ') + ' is not a range of addresses'",
        remedy="write a range such as 10.88.0.1/32",
        accept=(Case({"networkPolicy": {"apiServerCIDRs": ["10.88.0.1/32", "::/0"]}}),),
        reject=(
            Case({"networkPolicy": {"apiServerCIDRs": ["10.88.0.1"]}}, shows="10.88.0.1"),
            Case(
                {"networkPolicy": {"apiServerCIDRs": ["0.0.0.0/0", "kubernetes.default"]}}, shows="kubernetes.default"
            ),
        ),
    ),
)
"""In the admission policy: the cost of calculating with ranges is over the budget of a CRD."""
