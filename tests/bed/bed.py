"""The whole bed: up, down, status. Each may be repeated, and picks up whatever an interrupted run left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.bed import (
    addons,
    apiserver,
    binaries,
    cgroups,
    controlplane,
    facts,
    mounts,
    network,
    node,
    packages,
    pause,
    s3,
    shell,
)
from tests.bed.config import (
    CGROUP,
    DEFAULT_NODES,
    MAX_NODES,
    RUNTIME,
    BedError,
    Paths,
    kubernetes_series,
)
from tests.bed.processes import Table, boot_id
from tests.bed.storage.disks import Disks, ensure_loop_devices

_LOCK = RUNTIME.with_suffix(".lock")
_OWNER = RUNTIME / "owner"


def table_of(paths: Paths) -> Table:
    return Table(paths.run)


def why_not() -> str | None:
    """Why this machine cannot host the bed, and the way round it; None when it can."""
    if sys.platform != "linux":
        return "the bed needs Linux; name a cluster with KUBECONFIG=..."
    if os.geteuid() != 0:
        return "the bed needs root (network namespaces, mounts); run as root or name a cluster with KUBECONFIG=..."
    if not shutil.which("go"):
        return "the bed builds Kubernetes with Go, which is not installed; or name a cluster with KUBECONFIG=..."
    return None


def require_machine() -> None:
    """Raises BedError where the bed cannot run."""
    if reason := why_not():
        raise BedError(reason)


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """One command at a time on this machine; waits for the other one."""
    with _LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            shell.say("another command works on the bed; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build() -> node.Programs:
    """What the bed is started with, built where it is missing; the first time takes minutes and says how far it is."""
    require_machine()
    with shell.stage("Debian packages"):
        packages.ensure()
    with shell.stage("programs"):
        programs = node.Programs.ensure(kubernetes_series())
        for go_set in (binaries.ETCD, binaries.COREDNS, binaries.CERT_MANAGER):
            binaries.ensure(go_set)
        binaries.cert_manager_crds()
        binaries.seaweedfs()
        pause.archive()
    return programs


def up(count: int | None) -> None:
    """Brings everything up that is not: builds, starts, heals, thaws, and waits until it serves.

    Without a count a present bed keeps the nodes it has, and a new one gets three.
    """
    if count is not None and not 1 <= count <= MAX_NODES:
        raise BedError(f"the bed can have 1 to {MAX_NODES} nodes")
    begin = time.monotonic()
    programs = build()
    with exclusive():
        paths = Paths.of_checkout()
        _take_over(paths)
        _settle(paths, programs.series, count)
        _start(paths, programs)
    shell.say(f"up after {time.monotonic() - begin:.1f} s; export KUBECONFIG={paths.kubeconfig}")


def _other_owner(paths: Paths) -> Path | None:
    """The folder of the bed on this machine when it is another checkout's."""
    owner = Path(_OWNER.read_text()) if _OWNER.exists() else paths.root
    return None if owner == paths.root else owner


def _take_over(paths: Paths) -> None:
    """Ends the bed of another checkout, if there is one: the machine has room for one."""
    other = _other_owner(paths)
    if other is not None:
        shell.say(f"ending the bed of {other}")
        _clear(Paths(other))
    RUNTIME.mkdir(parents=True, exist_ok=True)
    _OWNER.write_text(str(paths.root))


def _settle(paths: Paths, series: str, count: int | None) -> None:
    """A new bed starts with nothing of an earlier one; a present one may get more nodes, and nothing else.

    A bed does not outlive a restart of the machine: etcd, which never syncs its files, may have lost some.
    """
    present = facts.read(paths)
    if present is None or present.boot != boot_id():
        with shell.stage("clearing what was left"):
            _clear(paths)
            shutil.rmtree(paths.log, ignore_errors=True)
        RUNTIME.mkdir(parents=True, exist_ok=True)
        _OWNER.write_text(str(paths.root))
        facts.write(paths, facts.Facts(series, count or DEFAULT_NODES, boot_id()))
        return
    if present.kubernetes != series or present.nodes > (count or present.nodes):
        raise BedError(
            f"a bed of {present.nodes} nodes with Kubernetes {present.kubernetes} is there; "
            "run `python -m tests.bed down` first"
        )
    facts.write(paths, replace(present, nodes=count or present.nodes))


def _start(paths: Paths, programs: node.Programs) -> None:
    table, nodes = table_of(paths), facts.nodes_of(paths)
    with shell.stage("certificates, network, disks"):
        controlplane.prepare(paths, nodes, programs.kubernetes)
        network.ensure_host()
        ensure_loop_devices()
        Disks(paths.volumes).mount_all()
    with ThreadPoolExecutor() as pool:
        runtimes = [pool.submit(node.start_runtime, table, each, nodes, programs) for each in nodes]
        with shell.stage("API server"):
            controlplane.start_apiserver(table, paths, programs.kubernetes)
        controlplane.start_managers(table, paths, programs.kubernetes)
        with shell.stage("container runtimes"):
            for runtime in runtimes:
                runtime.result()
        started = {each: node.start_kubelet(table, each, programs) for each in nodes}
        with shell.stage("add-ons"):
            addons.start(table, paths)
            s3.start(table, paths)
        with shell.stage(f"{len(nodes)} Ready nodes"):
            node.wait_ready(paths, started)
        with shell.stage("DNS, cert-manager, S3"):
            addons.wait(table, paths)
            s3.wait(table, paths)


def down() -> None:
    """Ends and removes everything but the logs; fine when nothing is there. Leaves another checkout's bed alone."""
    require_machine()
    paths = Paths.of_checkout()
    with exclusive(), shell.stage("down"):
        other = _other_owner(paths)
        if other is None:
            _clear(paths)
        else:
            shell.say(f"the bed on this machine is that of {other}; nothing to end here")


def _clear(paths: Paths) -> None:
    """Removes everything but the logs. The facts go first: what an interrupted one leaves is never taken for a bed."""
    paths.facts.unlink(missing_ok=True)
    table = table_of(paths)
    for name in table.names():
        table.stop(name)
    # Shims and containers, and whatever a run killed half-way started without recording it.
    cgroups.kill(CGROUP)
    for each in facts.make_nodes(paths, MAX_NODES):
        mounts.unmount_below(each.root)
        network.remove_node(each)
    Disks(paths.volumes).remove_all()
    mounts.unmount_below(paths.root)
    mounts.unmount_below(RUNTIME)
    network.remove_host()
    cgroups.remove(CGROUP)
    for folder in (paths.root / "nodes", paths.data, paths.run, paths.etc, paths.pki, paths.bin, RUNTIME):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (paths.kubeconfig, paths.s3_env):
        file.unlink(missing_ok=True)


def status() -> tuple[str, bool]:
    """A line per part, and whether all of it is well."""
    paths = Paths.of_checkout()
    present = facts.read(paths)
    if present is None:
        return "no bed\n", False
    table = table_of(paths)
    checks = {name: table.running(name) is not None for name in table.names()}
    for each in facts.nodes_of(paths):
        checks[f"{each.name} plugged in"] = network.is_plugged(each)
    checks["API server ready"] = apiserver.is_ready(controlplane.endpoint(paths))
    checks["DNS ready"] = addons.dns_is_ready()
    checks["S3 answers"] = s3.answers()
    text = f"Kubernetes {present.kubernetes}, {present.nodes} nodes, {paths.kubeconfig}\n"
    text += "".join(f"{'ok    ' if well else 'BROKEN'} {name}\n" for name, well in checks.items())
    return text, all(checks.values())
