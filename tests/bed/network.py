"""Network of the bed: a bridge on the host, and one network namespace per node with a cable to it.

No node has a default route, and the host refuses the Pod and Service ranges it has no node for: nothing sent
inside the bed can leave the machine. The host reaches Pods directly; Service addresses work inside Pods only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tests.bed import shell
from tests.bed.config import BRIDGE, BRIDGE_MAC, HOST_ADDRESS, POD_NETWORK, SERVICE_NETWORK, Node


def _has_link(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def inside(node: Node, argv: Sequence[str | Path]) -> list[str]:
    """The command that runs `argv` in a node's network.

    Not `ip netns exec`: that gives the command its own /sys, in which the kubelet finds no cgroups.
    """
    return ["nsenter", f"--net={node.netns_path}", *(str(part) for part in argv)]


def ensure_host() -> None:
    """The bridge and the refused ranges; fine when they exist."""
    if not _has_link(BRIDGE):
        shell.run(["ip", "link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge"])
    shell.run(["ip", "addr", "replace", f"{HOST_ADDRESS}/24", "dev", BRIDGE])
    shell.run(["ip", "link", "set", BRIDGE, "up"])
    for network in (POD_NETWORK, SERVICE_NETWORK):
        shell.run(["ip", "route", "replace", "unreachable", network])


def ensure_node(node: Node, nodes: Sequence[Node]) -> None:
    """The node's namespace, cable, address and routes to the other nodes' Pods; repairs what is missing."""
    if not node.netns_path.exists():
        shell.run(["ip", "netns", "add", node.netns])
    in_node = ["ip", "-n", node.netns]
    if not _has_link(node.veth):
        shell.run(["ip", "link", "add", node.veth, "type", "veth", "peer", "name", "eth0", "netns", node.netns])
    shell.run(["ip", "link", "set", node.veth, "master", BRIDGE, "up"])
    shell.run([*in_node, "link", "set", "lo", "up"])
    shell.run([*in_node, "addr", "replace", f"{node.address}/24", "dev", "eth0"])
    shell.run([*in_node, "link", "set", "eth0", "up"])
    shell.run(inside(node, ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]))
    for other in nodes:
        if other != node:
            shell.run([*in_node, "route", "replace", other.pod_cidr, "via", other.address])
    shell.run(["ip", "route", "replace", node.pod_cidr, "via", node.address])


def remove_node(node: Node) -> None:
    """Unplugs and forgets the node's namespace. Addresses of its Pods stop answering at once, without a refusal."""
    if _has_link(node.veth):
        shell.run(["ip", "link", "del", node.veth])
    if node.netns_path.exists():
        shell.run(["ip", "netns", "del", node.netns])


def remove_host() -> None:
    if _has_link(BRIDGE):
        shell.run(["ip", "link", "del", BRIDGE])
    for network in (POD_NETWORK, SERVICE_NETWORK):
        shell.succeeds(["ip", "route", "del", "unreachable", network])


def is_plugged(node: Node) -> bool:
    """Whether the cable is there and up (that is, not cut)."""
    try:
        flags = int(Path("/sys/class/net", node.veth, "flags").read_text(), 16)
    except FileNotFoundError:
        return False
    return bool(flags & 1)


def plug(node: Node, *, up: bool) -> None:
    """Cuts a node off from everything, or heals it. Its processes notice nothing but silence."""
    shell.run(["ip", "link", "set", node.veth, "up" if up else "down"])


def holds(node: Node, pid: int) -> bool:
    """Whether a process lives in the node's present namespace, not in an earlier one of the same name."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino == os.stat(node.netns_path).st_ino
    except FileNotFoundError:
        return False
