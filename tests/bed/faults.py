"""Faults, and their ends. Tests call these functions; the command line has a verb for each.

All speak of the bed of this checkout and raise BedError when it is not there.
"""

from __future__ import annotations

from tests.bed import bed, controlplane, facts, network, node, s3, shell
from tests.bed.config import API_PORT, HOST_ADDRESS, BedError, Node, Paths
from tests.bed.kubeapi import KubeApi

_TO_API = ("-d", HOST_ADDRESS, "-p", "tcp", "--dport", str(API_PORT))


def _node(number: int) -> Node:
    nodes = facts.nodes_of(Paths.of_checkout())
    if not 1 <= number <= len(nodes):
        raise BedError(f"there is no node {number}; the bed has nodes 1 to {len(nodes)}")
    return nodes[number - 1]


def _programs() -> node.Programs:
    present = facts.read(Paths.of_checkout())
    if present is None:
        raise BedError("there is no bed here")
    return node.Programs.ensure(present.kubernetes)


def node_stop(number: int) -> None:
    """Power off: all its processes die at once, its addresses fall silent; its disks stay."""
    with bed.exclusive():
        node.stop(bed.table_of(Paths.of_checkout()), _node(number))


def node_start(number: int, *, timeout: float = 60) -> None:
    """Power on; returns when the node is Ready. Its Pods come back with the volumes they had."""
    paths, chosen, programs = Paths.of_checkout(), _node(number), _programs()
    table = bed.table_of(paths)
    with bed.exclusive():
        node.start_runtime(table, chosen, facts.nodes_of(paths), programs)
        started = node.start_kubelet(table, chosen, programs)
    node.wait_ready(paths, {chosen: started}, timeout=timeout)


def node_cut(number: int, *, apiserver_only: bool = False) -> None:
    """Cuts a node off from everything, or it and its Pods from the API server only. Nothing is refused: silence."""
    chosen = _node(number)
    if apiserver_only:
        for chain in ("OUTPUT", "FORWARD"):
            _drop(chosen, chain, (*_TO_API, *_comment(chosen.name)))
    else:
        network.plug(chosen, up=False)


def node_heal(number: int) -> None:
    """Ends both kinds of cut of a node."""
    chosen = _node(number)
    network.plug(chosen, up=True)
    _allow(chosen, chosen.name)


def pod_cut(name: str, *, apiserver_only: bool = False) -> None:
    """Cuts one Pod off from everything beyond its node's kubelet, or from the API server only.

    `name` is NAMESPACE/NAME, or NAME alone when only one Pod of the bed is called so. The Pod's probes by the
    kubelet go on working. A cut goes by the Pod's present address: a new Pod of that name is not cut.
    """
    chosen, label, address = _find_pod(name)
    comment = _comment(label)
    if apiserver_only:
        _drop(chosen, "FORWARD", ("-s", address, *_TO_API, *comment))
    else:
        _drop(chosen, "FORWARD", ("-s", address, *comment))
        _drop(chosen, "FORWARD", ("-d", address, *comment))


def pod_heal(name: str) -> None:
    """Ends the cuts of a Pod, also of one that is gone."""
    for each in facts.nodes_of(Paths.of_checkout()):
        if each.netns_path.exists():
            _allow(each, name)


def apiserver_freeze() -> None:
    controlplane.freeze(bed.table_of(Paths.of_checkout()))


def apiserver_thaw() -> None:
    controlplane.thaw(bed.table_of(Paths.of_checkout()))


def apiserver_stop() -> None:
    with bed.exclusive():
        controlplane.stop_apiserver(bed.table_of(Paths.of_checkout()))


def apiserver_start() -> None:
    """Returns when it is ready."""
    programs = _programs()
    with bed.exclusive():
        paths = Paths.of_checkout()
        controlplane.start_apiserver(bed.table_of(paths), paths, programs.kubernetes)


def s3_stop() -> None:
    with bed.exclusive():
        s3.stop(bed.table_of(Paths.of_checkout()))


def s3_start() -> None:
    """Returns when it answers again."""
    facts.nodes_of(Paths.of_checkout())
    with bed.exclusive():
        paths = Paths.of_checkout()
        s3.start(bed.table_of(paths), paths)
    s3.wait(bed.table_of(paths), paths)


def s3_fail() -> None:
    """Every request gets status 500 until `s3_start`."""
    with bed.exclusive():
        paths = Paths.of_checkout()
        s3.fail(bed.table_of(paths), paths)


def _find_pod(name: str) -> tuple[Node, str, str]:
    """Node, NAMESPACE/NAME and address of a Pod. Raises BedError unless exactly one matches and has an address."""
    with KubeApi(Paths.of_checkout()) as api:
        pods = api.items("/api/v1/pods")
    found = {}
    for pod in pods:
        label = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if name in (label, pod["metadata"]["name"]) and "podIP" in pod.get("status", {}):
            found[label] = pod
    if len(found) != 1:
        raise BedError(f"{name}: {len(found)} running Pods have this name: {', '.join(found) or 'none'}")
    label, pod = found.popitem()
    nodes = {each.name: each for each in facts.nodes_of(Paths.of_checkout())}
    return nodes[pod["spec"]["nodeName"]], label, pod["status"]["podIP"]


def _comment(label: str) -> tuple[str, ...]:
    return ("-m", "comment", "--comment", f"bed-cut:{label}")


def _drop(where: Node, chain: str, match: tuple[str, ...]) -> None:
    rule = (chain, *match, "-j", "DROP")
    if not shell.succeeds(network.inside(where, ["iptables", "-w", "-C", *rule])):
        shell.run(network.inside(where, ["iptables", "-w", "-I", *rule]))


def cut_rules(listing: str, name: str) -> list[list[str]]:
    """The rules (as printed by `iptables -S`) that cut `name`, as arguments that delete them. Pure."""
    rules = [line.replace('"', "").split() for line in listing.splitlines()]
    marks = {f"bed-cut:{name}"}

    def concerns(rule: list[str]) -> bool:
        return any(word in marks or (word.startswith("bed-cut:") and word.endswith(f"/{name}")) for word in rule)

    return [["-D", *rule[1:]] for rule in rules if rule[:1] == ["-A"] and concerns(rule)]


def _allow(where: Node, name: str) -> None:
    listing = shell.run(network.inside(where, ["iptables", "-w", "-S"]))
    for arguments in cut_rules(listing, name):
        shell.run(network.inside(where, ["iptables", "-w", *arguments]))


def controllers_freeze() -> None:
    """Nothing is garbage-collected, no namespace ends, no Deployment moves, until `controllers_thaw`."""
    controlplane.freeze_controllers(bed.table_of(Paths.of_checkout()))


def controllers_thaw() -> None:
    controlplane.thaw_controllers(bed.table_of(Paths.of_checkout()))


VERBS = {
    ("controllers", "freeze"): controllers_freeze,
    ("controllers", "thaw"): controllers_thaw,
    ("apiserver", "freeze"): apiserver_freeze,
    ("apiserver", "thaw"): apiserver_thaw,
    ("apiserver", "stop"): apiserver_stop,
    ("apiserver", "start"): apiserver_start,
    ("s3", "stop"): s3_stop,
    ("s3", "start"): s3_start,
    ("s3", "fail"): s3_fail,
}
