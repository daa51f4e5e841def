"""The API server's audit log: who asked for what, and what was refused although nobody had taken the right away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cnmysql import names
from tests.support.kube import ATTACKER

_ACCOUNT = "system:serviceaccount:"
_RIGHTS = frozenset({"clusterroles", "clusterrolebindings", "roles", "rolebindings", "serviceaccounts"})
_OURS = frozenset({f"{names.PRODUCT}-manager-role", f"{names.PRODUCT}-manager-rolebinding", names.OPERATOR_NAME})
_ENDING = "because it is being terminated"
_NOT_ORDERED = "is not ordered to open"
_OBEYING_SECONDS = 5.0
_API_SERVER = "system:apiserver"
_STARTING_SECONDS = 5.0
_WRITES = frozenset({"create", "patch", "update", "delete"})
_TOLD = _RIGHTS | {"namespaces", "clusters", "clusters/status"}
"""What tells, when it was written, that a later refusal is in order."""


@dataclass(frozen=True)
class Request:
    """One finished request. `resource` has its subresource after a slash; `at` is RFC 3339 and sorts as text."""

    at: str
    user: str
    agent: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    message: str

    @property
    def account(self) -> tuple[str, str]:
        """Namespace and name of the ServiceAccount; two empty texts for anybody else."""
        if not self.user.startswith(_ACCOUNT):
            return "", ""
        namespace, _, name = self.user.removeprefix(_ACCOUNT).partition(":")
        return namespace, name

    @property
    def by_operator(self) -> bool:
        return self.account[1] == names.OPERATOR_NAME

    @property
    def instance(self) -> str:
        """Name of the instance whose account asked; empty when it was none."""
        name = self.account[1]
        instance = name.removesuffix(names.service_account(""))
        return instance if name != instance and instance.rpartition("-")[2].isdigit() else ""

    @property
    def wrote(self) -> bool:
        """Whether it changed something."""
        return self.verb in _WRITES and self.code < 300

    @property
    def moment(self) -> float:
        """Seconds since 1970."""
        return datetime.fromisoformat(self.at).timestamp()

    @property
    def uses(self) -> Iterator[tuple[str, str, str]]:
        """(group, resource, verb) the caller had to hold. An apply that makes an object needs `create` as well."""
        yield self.group, self.resource, self.verb
        if self.verb == "patch" and self.code == 201:
            yield self.group, self.resource, "create"


def read(log: Path, since: str, namespace: str = "") -> list[Request]:
    """Requests since then, oldest first, of our accounts and about any object; rotated files included.

    `namespace`: only those about objects in it.
    """
    about = f'"namespace":"{namespace}"'.encode() if namespace else b""
    files = sorted(log.parent.glob(f"{log.stem}-*{log.suffix}"), key=lambda f: f.stat().st_mtime)
    found = {}
    for file in [*files, log]:
        with file.open("rb") as lines:
            for line in lines:
                known = b'"system:serviceaccount:' in line or b'"resource":"' in line
                if known and about in line and line.endswith(b"\n"):
                    event = json.loads(line)
                    if event["requestReceivedTimestamp"] >= since and "responseStatus" in event:
                        found[event["auditID"]] = _request(event)
    return sorted(found.values(), key=lambda r: r.at)


def _request(event: Mapping[str, Any]) -> Request:
    ref = event.get("objectRef") or {}
    status = event["responseStatus"]
    resource = "/".join(p for p in (ref.get("resource", ""), ref.get("subresource", "")) if p)
    return Request(
        at=event["requestReceivedTimestamp"],
        user=event["user"].get("username", ""),
        agent=event.get("userAgent", ""),
        verb=event["verb"],
        group=ref.get("apiGroup", ""),
        resource=resource,
        namespace=ref.get("namespace", ""),
        name=ref.get("name", ""),
        code=int(status.get("code", 0)),
        message=status.get("message", ""),
    )


def now() -> str:
    """As `read` takes it; of use where the API server has the clock of this machine."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def written(requests: Iterable[Request], resource: str, name: str) -> float:
    """When an object was first written, in seconds since 1970."""
    return min(r.moment for r in requests if (r.resource, r.name) == (resource, name) and r.wrote)


def refusals(requests: Sequence[Request]) -> list[Request]:
    """What was refused to the operator and the instances themselves, while they had every right.

    Not what somebody tried with their tokens, not what they ask for in the moments after their Cluster, their
    namespace or the installation was deleted (rights go before those who used them have stopped), not an opening whose
    order ended while the instance was obeying it (to refuse that is what the policy is for), and not what an API server
    that has just started refuses to everybody: it answers before it has read who has which rights.
    """
    starts = [r.moment for r in requests if _is_a_start(r)]
    found: list[Request] = []
    done: list[Request] = []
    for r in requests:
        if r.wrote and r.resource in _TOLD:
            done.append(r)
        ours = r.agent != ATTACKER and (r.by_operator or r.instance)
        if not ours or r.code != 403 or _lost_rights(r, done) or _lost_order(r, done):
            continue
        if not any(abs(start - r.moment) <= _STARTING_SECONDS for start in starts):
            found.append(r)
    return found


def _is_a_start(r: Request) -> bool:
    """Once in its life the API server lists the roles to add those that it brings itself."""
    return (r.user, r.verb, r.resource) == (_API_SERVER, "list", "clusterroles")


def _lost_order(r: Request, done: Sequence[Request]) -> bool:
    if not r.instance or _NOT_ORDERED not in r.message:
        return False
    cluster = (r.namespace, r.instance.rpartition("-")[0])
    told = [b for b in done if b.resource == "clusters/status" and (b.namespace, b.name) == cluster]
    return bool(told) and r.moment - told[-1].moment <= _OBEYING_SECONDS


def _lost_rights(r: Request, done: Sequence[Request]) -> bool:
    if _is_gone(b for b in done if b.resource == "namespaces" and b.name == r.namespace):
        return True
    if r.by_operator:
        return _ENDING in r.message or _is_gone(b for b in done if b.resource in _RIGHTS and b.name in _OURS)
    cluster = (r.account[0], r.instance.rpartition("-")[0])
    # Not only while it is gone: the Pods of a former Cluster go on for a while beside one of the same name.
    return any(b.verb == "delete" and b.resource == "clusters" and (b.namespace, b.name) == cluster for b in done)


def _is_gone(done: Iterable[Request]) -> bool:
    """Whether the last that happened to any of these objects is that it was deleted."""
    last = {(b.resource, b.namespace, b.name): b.verb for b in done}
    return "delete" in last.values()
