"""Pods of nobody in particular that try to open connections, under the restricted Pod Security Standard."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from cnmysql import names
from tests.support.kube import Json, Kube, Ran, eventually, ready

_SILENCE_SECONDS = 2


class Door(enum.Enum):
    """How a port answers: somebody listens, nobody does, or the network says nothing."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"


@dataclass(frozen=True)
class Visitor:
    """A running Pod with a shell and a MySQL client in it."""

    kube: Kube
    ns: str
    name: str

    @property
    def address(self) -> str:
        return str(self.kube.get("Pod", self.ns, self.name)["status"]["podIP"])

    def knock(self, address: str, port: int) -> Door:
        """Open one TCP connection."""
        return knock(self.kube, (self.ns, self.name, "visitor"), address, port)

    def mysql(self, host: str, user: str, password: str, sql: str) -> Ran:
        """Statements over the network; the password reaches the client by its standard input."""
        client = 'read -r MYSQL_PWD; export MYSQL_PWD; exec mysql --no-defaults -h "$1" -u "$2" -BN -e "$3"'
        return self.kube.exec(
            self.ns, self.name, "timeout", "20", "bash", "-c", client, "bash", host, user, sql,
            container="visitor", stdin=f"{password}\n",
        )  # fmt: skip


def knock(kube: Kube, inside: tuple[str, str, str], address: str, port: int) -> Door:
    """Open one TCP connection from inside any container (namespace, Pod, container) that has bash."""
    ns, pod, container = inside
    connect = f": </dev/tcp/{address}/{port}"
    done = kube.exec(ns, pod, "timeout", str(_SILENCE_SECONDS), "bash", "-c", connect, container=container)
    if done.code == 0:
        return Door.OPEN
    assert done.code == 124 or "refused" in done.err, done.err
    return Door.SILENT if done.code == 124 else Door.REFUSED


def visitor(kube: Kube, ns: str, name: str, labels: Mapping[str, str]) -> Visitor:
    """Create such a Pod; `wait` for it before use."""
    kube.create("Pod", ns, _body(name, labels))
    return Visitor(kube, ns, name)


def wait(*visitors: Visitor) -> None:
    for each in visitors:
        eventually(lambda: ready(each.kube.get("Pod", each.ns, each.name)), 60, f"Pod {each.name}")  # noqa: B023


def _body(name: str, labels: Mapping[str, str]) -> Json:
    return {
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "visitor",
                    "image": names.DEFAULT_MYSQL_IMAGE,
                    "command": ["sleep", "infinity"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
