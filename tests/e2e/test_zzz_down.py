"""The last of all: the bed goes without a trace, and comes again from what is cached."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bed import deploy
from tests.bed.config import BRIDGE, CGROUP, MAX_NODES, RUNTIME, Paths
from tests.bed.facts import make_nodes
from tests.support import bed


def in_the_beds_cgroups(pid: str) -> bool:
    try:
        return f"/{CGROUP}/" in Path("/proc", pid, "cgroup").read_text()
    except OSError:
        return False


def traces(paths: Paths) -> list[str]:
    """What there is of the bed: processes, mounts, interfaces, network namespaces, the kubeconfig."""
    found = [f"process {entry.name}" for entry in Path("/proc").glob("[0-9]*") if in_the_beds_cgroups(entry.name)]
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    found += [mount for mount in mounts if mount.startswith((str(paths.root), str(RUNTIME)))]
    nodes = make_nodes(paths, MAX_NODES)
    links = [BRIDGE, *(node.veth for node in nodes)]
    found += [link for link in links if Path("/sys/class/net", link).exists()]
    found += [str(path) for path in (paths.kubeconfig, *(node.netns_path for node in nodes)) if path.exists()]
    return found


def test_down_leaves_nothing_and_up_needs_no_build(kubeconfig: object) -> None:
    if os.environ.get("CNMYSQL_TEST_KUBECONFIG"):
        pytest.skip("a cluster of somebody's own is no bed")
    paths = Paths.of_checkout()
    assert traces(paths)
    bed.verb("down")
    assert traces(paths) == []
    bed.verb("down")
    assert paths.log.is_dir(), "the logs stay"
    told = bed.verb("up")
    assert "building" not in told
    assert "BROKEN" not in bed.verb("status")
    deploy.ensure()
