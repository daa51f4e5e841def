"""The control plane: etcd, API server, controller manager and scheduler, on the bridge's address of the host."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from tests.bed import apiserver, binaries, cgroups, pki, shell
from tests.bed.config import (
    API_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    HOST_ADDRESS,
    POD_NETWORK,
    SERVICE_NETWORK,
    BedError,
    Node,
    Paths,
)
from tests.bed.processes import Table, send

APISERVER = "kube-apiserver"
CONTROLLERS = "kube-controller-manager"
_MANAGERS = (CONTROLLERS, "kube-scheduler")


def endpoint(paths: Paths) -> apiserver.Endpoint:
    return apiserver.Endpoint(
        HOST_ADDRESS,
        API_PORT,
        ETCD_PORT,
        ETCD_PEER_PORT,
        paths.pki,
        paths.data,
        paths.log / "audit.log",
        paths.etc / "audit.json",
    )


def prepare(paths: Paths, nodes: Sequence[Node], kubernetes: Path) -> None:
    """Certificates, kubeconfigs and the client tools; what exists stays as it is."""
    at = endpoint(paths)
    authority = apiserver.write_files(at)
    for name in (*_MANAGERS, "kube-proxy"):
        authority.issue(pki.Leaf(name, f"system:{name}"))
    for node in nodes:
        names = (node.name, node.address)
        authority.issue(pki.Leaf(node.name, f"system:node:{node.name}", "system:nodes", names))
    for name in (*_MANAGERS, "kube-proxy", *(node.name for node in nodes)):
        shell.write(paths.etc / f"{name}.kubeconfig", pki.kubeconfig(paths.pki, name, at.url), mode=0o600)
    shell.write(paths.kubeconfig, pki.kubeconfig(paths.pki, "admin", at.url), mode=0o600)
    paths.bin.mkdir(parents=True, exist_ok=True)
    link = paths.bin / "kubectl"
    link.unlink(missing_ok=True)
    link.symlink_to(kubernetes / "kubectl")


def launch(table: Table, paths: Paths, name: str, argv: Sequence[str | Path]) -> bool:
    """Starts a host process of the bed; says whether it had to."""
    return table.start(name, cgroups.joining(cgroups.CONTROL, argv), paths.log / f"{name}.log")


def start_apiserver(table: Table, paths: Paths, kubernetes: Path, *, timeout: float = 60) -> None:
    """Starts (or thaws) etcd and the API server and waits until it is ready."""
    at = endpoint(paths)
    etcd = binaries.ensure(binaries.ETCD) / "etcd"
    launch(table, paths, "etcd", [etcd, *apiserver.etcd_arguments(at)])
    launch(table, paths, APISERVER, [kubernetes / APISERVER, *apiserver.apiserver_arguments(at)])
    thaw(table)

    def is_ready() -> bool:
        for name in ("etcd", APISERVER):
            if table.running(name) is None:
                raise BedError(f"{name} ended; see {paths.log / f'{name}.log'}")
        return apiserver.is_ready(at)

    shell.wait_for("a ready API server", is_ready, timeout=timeout)


def start_managers(table: Table, paths: Paths, kubernetes: Path) -> None:
    """Controller manager (started or thawed) and scheduler. A node counts as lost 20 s after its last sign of life."""
    keys = paths.pki
    launch(
        table,
        paths,
        CONTROLLERS,
        [
            kubernetes / CONTROLLERS,
            f"--kubeconfig={paths.etc / 'kube-controller-manager.kubeconfig'}",
            f"--service-account-private-key-file={keys / 'sa.key'}",
            f"--root-ca-file={keys / 'ca.crt'}",
            "--use-service-account-credentials",
            f"--cluster-signing-cert-file={keys / 'ca.crt'}",
            f"--cluster-signing-key-file={keys / 'ca.key'}",
            f"--cluster-cidr={POD_NETWORK}",
            "--allocate-node-cidrs=false",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--leader-elect=false",
            f"--bind-address={HOST_ADDRESS}",
            "--node-monitor-grace-period=20s",
        ],
    )
    thaw_controllers(table)
    launch(
        table,
        paths,
        "kube-scheduler",
        [
            kubernetes / "kube-scheduler",
            f"--kubeconfig={paths.etc / 'kube-scheduler.kubeconfig'}",
            "--leader-elect=false",
            f"--bind-address={HOST_ADDRESS}",
        ],
    )


def stop_apiserver(table: Table) -> None:
    """kill -9: a graceful one lingers for as long as watches are open, and its port stays taken."""
    table.stop(APISERVER)


def freeze(table: Table) -> None:
    """SIGSTOP: connections stay open and nothing answers. Raises BedError when it is not running."""
    _freeze(table, APISERVER)


def thaw(table: Table) -> None:
    _thaw(table, APISERVER)


def freeze_controllers(table: Table) -> None:
    """SIGSTOP. Raises BedError when they are not running."""
    _freeze(table, CONTROLLERS)


def thaw_controllers(table: Table) -> None:
    _thaw(table, CONTROLLERS)


def _freeze(table: Table, name: str) -> None:
    record = table.running(name)
    if record is None:
        raise BedError(f"{name} is not running")
    send(record, signal.SIGSTOP)


def _thaw(table: Table, name: str) -> None:
    record = table.running(name)
    if record is not None:
        send(record, signal.SIGCONT)
