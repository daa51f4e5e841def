"""A node: containerd, kubelet and kube-proxy in a network namespace, with a cgroup and a disk of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.bed import binaries, cgroups, mounts, network, pause, render, shell
from tests.bed.config import Node, Paths
from tests.bed.kubeapi import KubeApi, collection, condition
from tests.bed.load import import_archives
from tests.bed.processes import Table

_PROCESSES = ("kubelet", "kube-proxy", "containerd")


@dataclass(frozen=True)
class Programs:
    """The cache folders that hold what a node runs."""

    containerd: Path
    kubernetes: Path
    series: str

    @classmethod
    def ensure(cls, series: str) -> Programs:
        return cls(binaries.ensure(binaries.CONTAINERD), binaries.ensure(binaries.kubernetes(series)), series)


def _start(table: Table, node: Node, name: str, argv: Sequence[str | Path], first_in_path: Path) -> bool:
    environment = dict(os.environ) | {"PATH": f"{first_in_path}:{os.environ['PATH']}"}
    command = network.inside(node, cgroups.joining(node.cgroup, argv))
    return table.start(f"{node.name}.{name}", command, node.paths.log / f"{node.name}.{name}.log", environment)


def start_runtime(table: Table, node: Node, nodes: Sequence[Node], programs: Programs) -> None:
    """Network, cgroup, configuration and containerd with the sandbox image; needs no API server yet.

    What runs already stays. A containerd that lives in an earlier network namespace of the node is ended first,
    together with everything it started.
    """
    running = table.running(f"{node.name}.containerd")
    if running is not None and not (node.netns_path.exists() and network.holds(node, running.pid)):
        stop(table, node)
    network.ensure_node(node, nodes)
    cgroups.create(node.cgroup)
    for folder in (node.root / "cni", node.runtime, node.root / "kubelet"):
        folder.mkdir(parents=True, exist_ok=True)
    configuration = node.root / "containerd.toml"
    shell.write(configuration, render.containerd(node))
    shell.write(node.root / "cni" / "10-bed.conflist", json.dumps(render.cni(node)))
    # The shim found first in PATH is the one started: it has to match the containerd that was built.
    containerd = programs.containerd / "containerd"
    _start(table, node, "containerd", [containerd, "--config", configuration], programs.containerd)
    shell.wait_for(f"containerd of {node.name}", lambda: _answers(node.socket), timeout=30)
    import_archives(node, [pause.archive()], programs.containerd / "ctr")


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(address))
        except OSError:
            return False
    return True


def start_kubelet(table: Table, node: Node, programs: Programs) -> datetime | None:
    """The kubelet and kube-proxy; the API server has to answer. Returns when the kubelet was started, if it was."""
    kubelet_file, proxy_file = node.root / "kubelet.json", node.root / "kube-proxy.json"
    shell.write(kubelet_file, json.dumps(render.kubelet(node, programs.series), indent=2))
    shell.write(proxy_file, json.dumps(render.kube_proxy(node), indent=2))
    kubelet: list[str | Path] = [
        programs.kubernetes / "kubelet",
        f"--config={kubelet_file}",
        f"--kubeconfig={node.paths.etc / f'{node.name}.kubeconfig'}",
        f"--root-dir={node.root / 'kubelet'}",
        f"--cert-dir={node.root / 'kubelet-pki'}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels=topology.kubernetes.io/zone=zone-{node.number}",
    ]
    now = datetime.now(UTC)
    started = _start(table, node, "kubelet", kubelet, programs.containerd)
    proxy: list[str | Path] = [programs.kubernetes / "kube-proxy", f"--config={proxy_file}"]
    _start(table, node, "kube-proxy", proxy, programs.kubernetes)
    return now if started else None


def is_ready(api: KubeApi, node: Node, since: datetime | None) -> bool:
    """Whether the node is Ready, and by the word of the kubelet that was started at `since`, not of an earlier one."""
    objects = [each for each in api.items(collection("Node")) if each["metadata"]["name"] == node.name]
    if not objects or not condition(objects[0], "Ready"):
        return False
    if since is None:
        return True
    leases = api.items(collection("Lease", "kube-node-lease"))
    renewed = [each["spec"]["renewTime"] for each in leases if each["metadata"]["name"] == node.name]
    return bool(renewed) and datetime.fromisoformat(renewed[0]) > since


def wait_ready(paths: Paths, started: Mapping[Node, datetime | None], *, timeout: float = 60) -> None:
    """Waits until all these nodes are Ready; see `is_ready`."""
    with KubeApi(paths) as api:
        for node, since in started.items():
            shell.wait_for(f"a Ready {node.name}", partial(is_ready, api, node, since), timeout=timeout, every=0.2)


def stop(table: Table, node: Node) -> None:
    """Power off: every process of the node ends, its mounts and its network are gone; its disk stays.

    The kubelet goes first, because it would restart what dies.
    """
    for name in _PROCESSES:
        table.stop(f"{node.name}.{name}")
    cgroups.kill(node.cgroup)
    mounts.unmount_below(node.root)
    mounts.unmount_below(node.runtime)
    network.remove_node(node)
    cgroups.remove(node.cgroup)
    shutil.rmtree(node.runtime, ignore_errors=True)


def is_running(table: Table, node: Node) -> bool:
    return all(table.running(f"{node.name}.{name}") for name in _PROCESSES)
