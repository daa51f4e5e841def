"""Node configuration: nothing shared between nodes, and the switches this kind of machine needs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.bed import render
from tests.bed.config import MAX_NODES, PAUSE_IMAGE, Node, Paths

PATHS = Paths(Path("/checkout/.bed"))
NODES = [Node(number, PATHS) for number in range(1, MAX_NODES + 1)]


@pytest.mark.parametrize("attribute", ["name", "netns", "veth", "address", "pod_cidr", "cgroup", "root", "socket"])
def test_nodes_share_nothing(attribute: str) -> None:
    assert len({getattr(node, attribute) for node in NODES}) == len(NODES)


def test_interface_names_fit_the_kernel() -> None:
    assert all(len(node.veth) <= 15 for node in NODES)


def test_containerd_configuration_is_valid_and_pins_the_sandbox() -> None:
    document = tomllib.loads(render.containerd(NODES[0]))
    assert document["version"] == 3
    images = document["plugins"]["io.containerd.cri.v1.images"]
    assert images["pinned_images"] == {"sandbox": PAUSE_IMAGE}
    assert document["grpc"]["address"] == str(NODES[0].socket)
    assert document["plugins"]["io.containerd.cri.v1.runtime"]["netns_mounts_under_state_dir"] is True


def test_pods_are_routed_and_never_masqueraded() -> None:
    (plugin,) = render.cni(NODES[1])["plugins"]
    assert plugin["type"] == "ptp"
    assert plugin["ipMasq"] is False
    assert plugin["ipam"]["ranges"] == [[{"subnet": NODES[1].pod_cidr}]]


def test_kubelet_restarts_crashed_containers_within_a_second_on_every_series() -> None:
    for series in ("1.34", "1.37"):
        assert render.kubelet(NODES[0], series)["crashLoopBackOff"] == {"maxContainerRestartPeriod": "1s"}
    assert render.kubelet(NODES[0], "1.34")["featureGates"]["KubeletCrashLoopBackOffMax"] is True


def test_kubelet_tolerates_cgroup_v1_where_the_field_exists() -> None:
    assert render.kubelet(NODES[0], "1.37")["failCgroupV1"] is False
    assert "failCgroupV1" not in render.kubelet(NODES[0], "1.34")


def test_documents_are_plain_json() -> None:
    for document in (render.kubelet(NODES[0], "1.37"), render.kube_proxy(NODES[0]), render.cni(NODES[0])):
        assert json.loads(json.dumps(document)) == document
