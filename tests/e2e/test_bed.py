"""The bed keeps its word: it heals what was killed, its faults begin and end, and nothing sent inside it leaves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cnmysql import names
from tests.bed.config import API_PORT, HOST_ADDRESS, S3_PORT, Paths
from tests.bed.facts import nodes_of
from tests.support import bed, visitors
from tests.support.kube import ApiError, Kube, eventually
from tests.support.visitors import Door, Visitor

OUTSIDE, OUTSIDE_PORT = "203.0.113.2", 8080
KUBELET_PORT = 10250
VICTIMS = ("coredns", "kube-scheduler", "node-2.kubelet", "node-3.kube-proxy", "netpolicy", "s3")


@pytest.fixture
def paths(kubeconfig: object) -> Paths:
    if os.environ.get("CNMYSQL_TEST_KUBECONFIG"):
        pytest.skip("a cluster of somebody's own is no bed")
    return Paths.of_checkout()


@pytest.fixture
def guest(kube: Kube, namespace: str) -> Visitor:
    made = visitors.visitor(kube, namespace, "guest", {})
    visitors.wait(made)
    return made


def knock(address: str, port: int) -> Door:
    """From the host."""
    try:
        socket.create_connection((address, port), 1.0).close()
    except TimeoutError:
        return Door.SILENT
    except OSError:
        return Door.REFUSED
    return Door.OPEN


def pids(paths: Paths) -> dict[str, int]:
    """A record is written while somebody may be looking."""
    found = {file.stem: file.read_text().split() for file in paths.run.glob("*.pid")}
    return {name: int(words[0]) for name, words in found.items() if words}


def operators_are_well(kube: Kube) -> bool:
    found = kube.get("Deployment", names.OPERATOR_NAMESPACE, names.OPERATOR_NAME)
    return bool(found["status"].get("readyReplicas") == found["spec"]["replicas"])


def test_up_starts_what_was_killed_and_nothing_else(paths: Paths) -> None:
    before = pids(paths)
    for victim in VICTIMS:
        os.kill(before[victim], signal.SIGKILL)
    with pytest.raises(AssertionError) as told:
        bed.verb("status")
    assert all(f"BROKEN {victim}\n" in str(told.value) for victim in VICTIMS), told.value
    bed.verb("up")
    after = pids(paths)
    assert {name for name in before if after[name] != before[name]} == set(VICTIMS)
    assert "BROKEN" not in bed.verb("status")
    bed.verb("up")
    assert pids(paths) == after, "there was nothing to do"


def command(pid: int | str) -> bytes:
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes()
    except OSError:
        return b""


def test_an_up_that_was_killed_and_two_at_once_end_in_one_bed(paths: Paths) -> None:
    before = pids(paths)
    for victim in VICTIMS:
        os.kill(before[victim], signal.SIGKILL)
    up = [sys.executable, "-m", "tests.bed", "up"]
    with subprocess.Popen(up, cwd=bed.CHECKOUT, stdout=subprocess.DEVNULL) as first:
        eventually(lambda: pids(paths) != before, 60, "it to start the first of them", every=0.01)
        first.kill()
    both = [subprocess.Popen(up, cwd=bed.CHECKOUT, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [each.wait(120) for each in both] == [0, 0]
    assert "BROKEN" not in bed.verb("status")
    wanted = Counter(command(pid) for pid in pids(paths).values())
    running = Counter(command(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    assert {line: count for line, count in running.items() if line in wanted} == wanted, "none of them runs twice"


def test_up_heals_a_bed_of_which_nothing_runs(kube: Kube, paths: Paths) -> None:
    """Containers outlive their runtime; the API server comes back with everything that was in it."""
    there = {item["metadata"]["uid"] for item in kube.list("Namespace")}
    for pid in pids(paths).values():
        os.kill(pid, signal.SIGKILL)
    bed.verb("up", timeout=300)
    assert "BROKEN" not in bed.verb("status")
    assert there <= {item["metadata"]["uid"] for item in kube.list("Namespace")}
    eventually(lambda: operators_are_well(kube), 120, "the operators to be well again", tolerate=True)


def test_a_node_that_is_cut_off_falls_silent(paths: Paths) -> None:
    node = nodes_of(paths)[-1]
    assert knock(node.address, KUBELET_PORT) is Door.OPEN
    with bed.node_cut(node.name):
        assert knock(node.address, KUBELET_PORT) is not Door.OPEN
        with pytest.raises(AssertionError, match=f"BROKEN {node.name} plugged in"):
            bed.verb("status")
    assert knock(node.address, KUBELET_PORT) is Door.OPEN


def test_a_pod_that_is_cut_off_reaches_nobody_and_lives(paths: Paths, guest: Visitor) -> None:
    name = f"{guest.ns}/{guest.name}"
    assert guest.knock(HOST_ADDRESS, API_PORT) is guest.knock(HOST_ADDRESS, S3_PORT) is Door.OPEN
    bed.verb("pod", "cut", name, "--apiserver-only")
    assert guest.knock(HOST_ADDRESS, API_PORT) is Door.SILENT
    assert guest.knock(HOST_ADDRESS, S3_PORT) is Door.OPEN
    bed.verb("pod", "cut", name)
    assert guest.knock(HOST_ADDRESS, S3_PORT) is Door.SILENT
    bed.verb("pod", "heal", name)
    assert guest.knock(HOST_ADDRESS, API_PORT) is guest.knock(HOST_ADDRESS, S3_PORT) is Door.OPEN


@contextmanager
def somebody_outside() -> Iterator[None]:
    """A server beyond the host that the host itself can reach."""
    where, cable = "bed-outside", "veth-outside"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    with ExitStack() as stack:
        ip("netns", "add", where)
        stack.callback(ip, "netns", "del", where)
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", where)
        ip("addr", "add", "203.0.113.1/24", "dev", cable)
        ip("link", "set", cable, "up")
        ip("-n", where, "addr", "add", f"{OUTSIDE}/24", "dev", "eth0")
        ip("-n", where, "link", "set", "eth0", "up")
        # An answer finds its way back, so that only the bed's own walls can be what holds a Pod.
        ip("-n", where, "route", "add", "default", "via", "203.0.113.1")
        serve = ["ip", "netns", "exec", where, "python3", "-m", "http.server", str(OUTSIDE_PORT)]
        server = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(server.wait)
        stack.callback(server.kill)
        eventually(lambda: knock(OUTSIDE, OUTSIDE_PORT) is Door.OPEN, 20, "the server outside to answer the host")
        yield


def test_nothing_leaves_the_bed(kube: Kube, paths: Paths, guest: Visitor) -> None:
    connect = ["timeout", "2", "bash", "-c", f": </dev/tcp/{OUTSIDE}/{OUTSIDE_PORT}"]
    with somebody_outside():
        assert kube.exec(guest.ns, guest.name, *connect, container="visitor").code != 0
        for node in nodes_of(paths):
            done = subprocess.run(["nsenter", f"--net={node.netns_path}", *connect], capture_output=True, check=False)
            assert done.returncode != 0, node.name


def test_the_object_store_stops_fails_and_comes_back(paths: Paths) -> None:
    def answer() -> int:
        try:
            with urllib.request.urlopen(f"http://{HOST_ADDRESS}:{S3_PORT}/", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    well = answer()
    assert well < 500
    bed.verb("s3", "stop")
    with pytest.raises(urllib.error.URLError):
        answer()
    bed.verb("s3", "fail")
    assert answer() == 500
    bed.verb("s3", "start")
    assert answer() == well


def test_the_api_server_stops_and_comes_back(kube: Kube, paths: Paths) -> None:
    bed.verb("apiserver", "stop")
    assert knock(HOST_ADDRESS, API_PORT) is Door.REFUSED
    bed.verb("apiserver", "start")
    eventually(lambda: operators_are_well(kube), 90, "the operators to be well again", tolerate=True)
    with pytest.raises(ApiError):
        kube.get("Namespace", None, "nobody-made-this")
