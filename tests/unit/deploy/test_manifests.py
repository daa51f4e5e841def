"""The hand-written manifests agree with the names in the code and with what the cluster demands of a Pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cnmysql import names
from cnmysql.api.cluster import parse
from manager.settings import parse as settings

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


def _load(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())


@pytest.fixture
def deployment() -> Any:
    return _load("manager/deployment.yaml")


def test_names(deployment: Any) -> None:
    assert deployment["metadata"]["name"] == names.OPERATOR_NAME
    assert {_load(f"manager/{f}.yaml")["metadata"]["namespace"] for f in ("deployment", "metrics-service")} == {
        names.OPERATOR_NAMESPACE
    }
    assert _load("manager/namespace.yaml")["metadata"]["name"] == names.OPERATOR_NAMESPACE
    assert _load("manager/service-account.yaml")["metadata"]["name"] == names.OPERATOR_NAME
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == names.OPERATOR_NAME


def test_the_pod_is_restricted(deployment: Any) -> None:
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    enforced = _load("manager/namespace.yaml")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"


def test_a_short_lived_token_is_mounted_and_no_default_one(deployment: Any) -> None:
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert _load("manager/service-account.yaml")["automountServiceAccountToken"] is False
    (sources,) = (v["projected"]["sources"] for v in pod["volumes"] if v["name"] == "api-token")
    assert sources[0]["serviceAccountToken"]["expirationSeconds"] <= 3600
    assert sources[1]["configMap"]["name"] == names.ROOT_CA_CONFIG_MAP
    assert {m["mountPath"] for m in pod["containers"][0]["volumeMounts"]} == {"/tmp", names.TOKEN_DIR}


def test_environment_and_ports_are_those_the_program_reads(deployment: Any) -> None:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    values = {e["name"]: e.get("value", "x") for e in container["env"]}
    read = settings([], values)
    assert read.operator_image == container["image"] == names.DEFAULT_OPERATOR_IMAGE
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert ports == {"health": read.health_port, "metrics": read.metrics_port}
    assert {container[f"{p}Probe"]["httpGet"]["path"] for p in ("liveness", "readiness")} == {"/healthz", "/readyz"}
    assert deployment["spec"]["replicas"] == 2


def test_the_metrics_service_finds_the_pods(deployment: Any) -> None:
    service = _load("manager/metrics-service.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_network_policies_know_the_labels_and_ports_of_both_programs(deployment: Any) -> None:
    ingress, egress = _load("network-policy/ingress.yaml"), _load("network-policy/egress/egress.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for found in (ingress, egress):
        assert found["spec"]["podSelector"]["matchLabels"] == names.operator_labels()
        assert found["metadata"]["namespace"] == names.OPERATOR_NAMESPACE
    assert names.operator_labels().items() <= labels.items()
    assert [p["port"] for r in ingress["spec"]["ingress"] for p in r["ports"]] == [names.PORT_OPERATOR_METRICS]
    instances = egress["spec"]["egress"][-1]
    assert instances["ports"] == [{"protocol": "TCP", "port": names.PORT_CONTROL}]
    (term,) = instances["to"][0]["podSelector"]["matchExpressions"]
    assert term == {"key": names.LABEL_CLUSTER, "operator": "Exists"}


def test_the_namespaced_operator_is_given_its_metrics_certificates_where_it_looks_for_them() -> None:
    patches = _load("overlays/namespaced/operator/kustomization.yaml")["patches"]
    (patch,) = (p for p in patches if p["target"]["kind"] == "Deployment")
    added = {step["path"].rsplit("/", 2)[1]: step["value"] for step in yaml.safe_load(patch["patch"])}
    assert added["env"]["name"] == "WATCH_NAMESPACE"
    assert added["volumeMounts"]["mountPath"] == names.METRICS_CERTS_DIR
    assert added["volumeMounts"]["name"] == added["volumes"]["name"]
    assert added["volumes"]["secret"]["optional"] is True


@pytest.mark.parametrize("overlay", ["cluster-wide", "namespaced", "namespaced/operator"])
def test_overlays_name_only_siblings(overlay: str) -> None:
    """An overlay that refers to the folder it is used from is a cycle."""
    for resource in _load(f"overlays/{overlay}/kustomization.yaml")["resources"]:
        folder = (DEPLOY / "overlays" / overlay / resource).resolve()
        assert (folder / "kustomization.yaml").is_file()
        assert folder != DEPLOY


@pytest.mark.parametrize("path", sorted((DEPLOY / "samples").glob("*.yaml")), ids=lambda path: path.stem)
def test_samples_can_be_read(path: Path) -> None:
    found = yaml.safe_load(path.read_text())
    assert found["apiVersion"] == names.API_VERSION
    assert parse(found).spec.storage.size


def test_the_smallest_sample_is_small() -> None:
    assert _load("samples/cluster.yaml")["spec"] == {"instances": 3, "storage": {"size": "1Gi"}}
