"""What a cluster has besides Kubernetes itself: DNS, cert-manager, a storage class with its provisioner, and somebody
who enforces network policies."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from tests.bed import binaries, cgroups, shell
from tests.bed.config import (
    CHECKOUT,
    DNS_SERVICE_ADDRESS,
    HOST_ADDRESS,
    PROVISIONER,
    STORAGE_CLASS,
    BedError,
    Paths,
)
from tests.bed.controlplane import launch
from tests.bed.kubeapi import KubeApi, condition, path_of
from tests.bed.processes import Table

_DNS_READY_PORT = 8181
_DNS_PORTS = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]


def corefile(kubeconfig: Path) -> str:
    """No forwarding: a name outside the cluster does not exist.

    It has to be said so. Refused, it would be a temporary failure to whoever asks, worth asking again.
    """
    return f"""cluster.local in-addr.arpa {{
    bind {HOST_ADDRESS}
    errors
    ready {HOST_ADDRESS}:{_DNS_READY_PORT}
    kubernetes {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
    cache 5
}}
. {{
    bind {HOST_ADDRESS}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
        authority "{{{{ .Zone }}}} 60 IN SOA ns.bed. bed. 1 60 60 60 60"
    }}
}}
"""


def objects() -> list[dict[str, Any]]:
    """What is applied at every `up`."""
    labels = {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cert-manager"}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
            "spec": {"clusterIP": DNS_SERVICE_ADDRESS, "ports": _DNS_PORTS},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns-bed",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [HOST_ADDRESS], "conditions": {"ready": True}}],
            "ports": _DNS_PORTS,
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
        },
    ]


def start(table: Table, paths: Paths) -> None:
    """Applies the objects and starts the processes; the API server has to answer. Does not wait for readiness."""
    with KubeApi(paths) as api:
        for document in objects():
            api.apply(document)
        _start_own(table, paths, "provisioner", "tests.bed.storage")
        _start_own(table, paths, "netpolicy", "tests.bed.netpolicy")
        file = paths.etc / "Corefile"
        shell.write(file, corefile(paths.kubeconfig))
        launch(table, paths, "coredns", [binaries.ensure(binaries.COREDNS) / "coredns", "-conf", file])
        definitions = binaries.cert_manager_crds()
        for definition in definitions:
            api.apply(definition)
        for definition in definitions:
            where = path_of(definition)
            shell.wait_for(where, partial(_is_established, api, where), timeout=20)
    manager = binaries.ensure(binaries.CERT_MANAGER) / "cert-manager"
    launch(table, paths, "cert-manager", [manager, "--kubeconfig", paths.kubeconfig])


def _is_established(api: KubeApi, where: str) -> bool:
    return condition(api.get(where), "Established")


def _start_own(table: Table, paths: Paths, name: str, module: str) -> None:
    """A background process that is part of the bed's own code."""
    environment = dict(os.environ) | {"PYTHONPATH": str(CHECKOUT)}
    command = cgroups.joining(cgroups.CONTROL, [sys.executable, "-m", module])
    table.start(name, command, paths.log / f"{name}.log", environment)


def dns_is_ready() -> bool:
    """Whether CoreDNS has seen the cluster's Services."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST_ADDRESS}:{_DNS_READY_PORT}/ready", timeout=1) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def wait(table: Table, paths: Paths) -> None:
    """Waits until DNS answers; raises BedError when one of the processes has ended."""
    shell.wait_for("cluster DNS", dns_is_ready, timeout=20)
    for name in ("coredns", "cert-manager", "provisioner", "netpolicy"):
        if table.running(name) is None:
            raise BedError(f"{name} ended; see {paths.log / f'{name}.log'}")
