"""etcd and kube-apiserver: their command lines, and a way to run ONLY these two.

The second half serves tests that need a real API server and no nodes (tests/kube). It needs no root, uses free
ports on 127.0.0.1, and may run beside the bed and beside other copies of itself:

    with apiserver.run_only(folder) as kubeconfig: ...            # in Python; everything ends with the block
    python -m tests.bed apiserver-only [--directory FOLDER]       # prints the kubeconfig's path, runs until Ctrl-C

Endpoints of the `kubernetes` Service are not kept there, because a loopback address cannot be one.
There are no controllers: nothing garbage-collects, finishes namespaces, or makes service accounts. Admission of
service accounts is off there, so Pods can be created without one.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bed import binaries, pki, shell
from tests.bed.config import API_SERVICE_ADDRESS, SERVICE_NETWORK, BedError, kubernetes_series
from tests.support.ports import free_port

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True)
class Endpoint:
    """Where one pair of etcd and kube-apiserver listens, and where its files are."""

    address: str
    port: int
    etcd_port: int
    etcd_peer_port: int
    pki: Path
    data: Path
    audit_log: Path
    audit_policy: Path

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"


def etcd_arguments(at: Endpoint) -> list[str]:
    """No fsync: a killed process loses nothing (the page cache stays), and a lost machine loses the bed anyway."""
    client, peer = f"http://127.0.0.1:{at.etcd_port}", f"http://127.0.0.1:{at.etcd_peer_port}"
    return [
        f"--data-dir={at.data / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_arguments(at: Endpoint) -> list[str]:
    keys = at.pki
    return [
        f"--etcd-servers=http://127.0.0.1:{at.etcd_port}",
        f"--bind-address={at.address}",
        f"--secure-port={at.port}",
        f"--client-ca-file={keys / 'ca.crt'}",
        f"--tls-cert-file={keys / 'apiserver.crt'}",
        f"--tls-private-key-file={keys / 'apiserver.key'}",
        f"--service-account-key-file={keys / 'sa.pub'}",
        f"--service-account-signing-key-file={keys / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--kubelet-client-certificate={keys / 'kubelet-client.crt'}",
        f"--kubelet-client-key={keys / 'kubelet-client.key'}",
        f"--kubelet-certificate-authority={keys / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={keys / 'front-ca.crt'}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={keys / 'front-proxy.crt'}",
        f"--proxy-client-key-file={keys / 'front-proxy.key'}",
        "--enable-aggregator-routing=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--allow-privileged=true",
        f"--audit-policy-file={at.audit_policy}",
        f"--audit-log-path={at.audit_log}",
        "--audit-log-maxsize=1000",
        "--audit-log-maxbackup=2",
    ]


def write_files(at: Endpoint) -> pki.Authority:
    """Certificates, keys and the audit policy; nothing that exists is touched. Returns the CA for further leaves."""
    authority = pki.Authority(at.pki, "ca")
    service = "kubernetes.default.svc"
    names = ["kubernetes", "kubernetes.default", service, f"{service}.cluster.local", "localhost"]
    names += sorted({"127.0.0.1", at.address, API_SERVICE_ADDRESS})
    authority.issue(pki.Leaf("apiserver", "kube-apiserver", names=names))
    authority.issue(pki.Leaf("admin", "admin", organization="system:masters"))
    authority.issue(pki.Leaf("kubelet-client", "apiserver-kubelet-client", organization="system:masters"))
    pki.Authority(at.pki, "front-ca").issue(pki.Leaf("front-proxy", "front-proxy"))
    pki.service_account_keys(at.pki)
    shell.write(at.audit_policy, json.dumps(AUDIT_POLICY))
    at.audit_log.parent.mkdir(parents=True, exist_ok=True)
    at.data.mkdir(parents=True, exist_ok=True)
    return authority


def is_ready(at: Endpoint) -> bool:
    """Whether /readyz answers 200; False while the server is starting, frozen or gone."""
    context = ssl.create_default_context(cafile=str(at.pki / "ca.crt"))
    context.load_cert_chain(at.pki / "admin.crt", at.pki / "admin.key")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(f"{at.url}/readyz", timeout=2) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def build() -> tuple[Path, Path, Path]:
    """etcd, kube-apiserver and kubectl, built where they are missing, which takes minutes."""
    etcd = binaries.ensure(binaries.ETCD) / "etcd"
    kubernetes = binaries.ensure(binaries.kubernetes(kubernetes_series()), ["kube-apiserver", "kubectl"])
    return etcd, kubernetes / "kube-apiserver", kubernetes / "kubectl"


@contextlib.contextmanager
def run_only(folder: Path, *, timeout: float = 60) -> Iterator[Path]:
    """Runs etcd and kube-apiserver inside `folder` for the length of the block; yields an admin kubeconfig.

    Both die with the thread that entered the block, even by kill -9. Raises BedError when the API server is not
    ready within `timeout` seconds; its log is `<folder>/log/kube-apiserver.log`.
    """
    etcd, server, _kubectl = build()
    port, etcd_port, peer_port = free_port(), free_port(), free_port()
    folder = folder.absolute()
    at = Endpoint(
        "127.0.0.1", port, etcd_port, peer_port,
        folder / "pki", folder / "data", folder / "log" / "audit.log", folder / "etc" / "audit.json",
    )  # fmt: skip
    write_files(at)
    kubeconfig = folder / "kubeconfig"
    shell.write(kubeconfig, pki.kubeconfig(at.pki, "admin", at.url), mode=0o600)
    with (
        _child([str(etcd), *etcd_arguments(at)], folder / "log" / "etcd.log"),
        _child(
            [
                str(server),
                *apiserver_arguments(at),
                "--endpoint-reconciler-type=none",
                "--disable-admission-plugins=ServiceAccount",
            ],
            folder / "log" / "kube-apiserver.log",
        ) as process,
    ):
        deadline = time.monotonic() + timeout
        while not is_ready(at):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BedError(f"kube-apiserver did not become ready; see {folder / 'log'}")
            time.sleep(0.1)
        yield kubeconfig


@contextlib.contextmanager
def _child(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        # Not SIGTERM: a graceful API server lingers for as long as watches are open.
        process.kill()
        process.wait(timeout=10)
