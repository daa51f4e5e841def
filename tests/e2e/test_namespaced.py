"""The operator of one namespace: a Role is enough for it, and its metrics go to a certificate instead of a token."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cnmysql import names
from tests.bed import deploy
from tests.support.certs import Authority, Leaf
from tests.support.cluster import Cluster, fresh_namespace
from tests.support.kube import Json, Kube, eventually, ready

OVERLAY = deploy.DEPLOY / "overlays" / "namespaced" / "operator"
HOST = "metrics.example"


def operators(kube: Kube, ns: str) -> list[Json]:
    return kube.list("Pod", ns, ",".join(f"{k}={v}" for k, v in names.operator_labels().items()))


def scrape(address: str, context: ssl.SSLContext, token: str = "", host: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"https://{address}:{names.PORT_OPERATOR_METRICS}/metrics"
    with httpx.Client(verify=context, trust_env=False, timeout=10) as client:
        answer = client.get(url, headers=headers, extensions={"sni_hostname": host} if host else {})
    return answer.status_code, answer.text


def token_of(kube: Kube, ns: str, account: str) -> str:
    kube.create("ServiceAccount", ns, {"metadata": {"name": account}})
    made = kube.request("POST", kube.path("ServiceAccount", ns, account, "token"), json={"spec": {}})
    return str(made["status"]["token"])


def test_cluster_wide_the_api_server_says_who_reads_metrics(kube: Kube, namespace: str) -> None:
    reader, stranger = (token_of(kube, namespace, name) for name in ("reader", "stranger"))
    binding = {
        "metadata": {"name": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cnmysql-metrics-reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    kube.request("POST", bindings, json=binding)
    try:
        address = operators(kube, names.OPERATOR_NAMESPACE)[0]["status"]["podIP"]
        context = ssl._create_unverified_context()  # it made its certificate itself, in memory
        eventually(lambda: scrape(address, context, reader)[0] == 200, 70, "the reader to be let in")
        assert "cnmysql_" in scrape(address, context, reader)[1]
        assert scrape(address, context, stranger)[0] == 403
        assert scrape(address, context)[0] == 401
    finally:
        kube.request("DELETE", f"{bindings}/{namespace}")


@pytest.fixture
def at_rest(kube: Kube) -> Iterator[None]:
    """The cluster-wide operator does nothing meanwhile: two that look after the same Clusters would disturb both."""
    with deploy.at_rest(kube):
        yield


def _available(kube: Kube, ns: str) -> bool:
    deployment = kube.get("Deployment", ns, names.OPERATOR_NAME)
    return ready(deployment, "Available") and deployment["status"].get("readyReplicas") == 2


def _install(kube: Kube, ns: str, folder: Path) -> None:
    """As somebody would who names a namespace of their own."""
    relative = "/".join([".."] * len(folder.resolve().parts[1:]) + [str(OVERLAY).lstrip("/")])
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"namespace: {ns}\nresources:\n  - {relative}\n"
    )
    done = kube.kubectl("apply", "-k", str(folder))
    assert done.code == 0, done.err
    eventually(lambda: _available(kube, ns), 120, "the namespaced operator to be available", tolerate=True)


def _mount(kube: Kube, ns: str, authority: Authority) -> None:
    leaf = authority.issue("metrics", dns=(HOST,), client=False)
    data = {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": authority.pem}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    secret = {"metadata": {"name": "metrics-server-cert"}, "type": "kubernetes.io/tls", "data": encoded}
    kube.create("Secret", ns, secret)


def _context(authority: Authority, leaf: Leaf, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.check_hostname = False  # asked by address; the name is in the handshake
    leaf.write(folder)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


@pytest.mark.usefixtures("at_rest")
def test_with_a_role_alone_a_cluster_becomes_ready_and_metrics_go_to_a_certificate(kube: Kube, tmp_path: Path) -> None:
    authority = Authority()
    with kube.namespace(fresh_namespace("one-namespace")) as ns, kube.namespace(fresh_namespace("not-its")) as other:
        _mount(kube, ns, authority)
        _install(kube, ns, tmp_path)
        bindings = kube.request("GET", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings")["items"]
        assert ns not in {s.get("namespace") for b in bindings for s in b.get("subjects") or ()}
        Cluster(kube, other, "db").create(1)
        cluster = Cluster(kube, ns, "db").create(1).wait_ready(1, 120)
        cluster.wait_sql("db-1", "SELECT 1", "1")
        assert "phase" not in Cluster(kube, other, "db").status

        address = operators(kube, ns)[0]["status"]["podIP"]
        reader = _context(authority, authority.issue(names.METRICS_READER_CN), tmp_path / "reader")
        code, text = scrape(address, reader, host=HOST)
        assert (code, "cnmysql_" in text) == (200, True)
        somebody = _context(authority, authority.issue("somebody"), tmp_path / "somebody")
        assert scrape(address, somebody, host=HOST)[0] == 403
        nobody = ssl.create_default_context(cadata=authority.pem.decode())
        nobody.check_hostname = False
        with pytest.raises(httpx.TransportError):
            scrape(address, nobody, host=HOST)
        cluster.delete()
        Cluster(kube, other, "db").delete()
