"""The database Pod: what it mounts, what it may do, what makes it be replaced."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cnmysql import names
from cnmysql.api.cluster import ClusterSpec
from instance import settings as instance
from manager.cluster.render.meta import Owner
from manager.cluster.render.pods import PodInput, merge, pod, template_hash

OWNER = Owner("db", "shop", "u1")


def given(**spec: Any) -> PodInput:
    return PodInput(
        owner=OWNER,
        spec=ClusterSpec.model_validate({"storage": {"size": "1Gi"}, **spec}),
        instance="db-1",
        operator_image="operator:1",
        image="mysql:9.7",
        mysql_version="9.7.0",
        static_config="hash",
        mounted_revision="revision",
        restart_token="",
        root_secret="db-root",
        app_secret="db-app",
    )


def rendered(*, initialise: bool = True, **spec: Any) -> dict[str, Any]:
    return pod(given(**spec), initialise=initialise)


def containers(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    spec = body["spec"]
    return {c["name"]: c for c in (*spec["initContainers"], *spec["containers"])}


def test_the_instance_understands_every_flag_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    body = rendered(
        bootstrap={
            "initdb": {"database": "shop", "owner": "me", "characterSet": "utf8mb4", "collation": "utf8mb4_bin"}
        },
        enableSuperuserAccess=True,
        maxStopDelay=100,
    )
    found = containers(body)
    assert found["bootstrap"]["command"][:2] == ["/controller/manager", "instance"]
    told = instance.parse(found["bootstrap"]["command"][2:], {"POD_UID": "x"})
    assert (told.mode, told.database, told.owner, told.enable_superuser_access) == ("initdb", "shop", "me", True)
    assert (told.cluster, told.namespace, told.instance, told.cluster_uid) == ("db", "shop", "db-1", "u1")
    told = instance.parse(found["mysql"]["command"][2:], {"POD_UID": "x"})
    assert (told.mode, told.stop_delay, told.smart_shutdown_timeout, told.log_level) == ("run", 100, 50, "info")
    told = instance.parse(containers(rendered(initialise=False))["bootstrap"]["command"][2:], {})
    assert told.mode == "join"


def test_no_application_database_is_said_and_not_left_out() -> None:
    command = containers(rendered(bootstrap={"initdb": {"database": "", "owner": ""}}))["bootstrap"]["command"]
    told = instance.parse(command[2:], {})
    assert (told.database, told.owner) == ("", "")


def test_restricted_by_default_and_the_user_wins_field_by_field() -> None:
    body = rendered()
    assert body["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1001,
        "runAsGroup": 1001,
        "fsGroup": 1001,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in containers(body).values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    body = rendered(podSecurityContext={"runAsUser": 27}, securityContext={"capabilities": {"add": ["SYS_NICE"]}})
    assert body["spec"]["securityContext"]["runAsUser"] == 27
    assert body["spec"]["securityContext"]["fsGroup"] == 1001
    capabilities = containers(body)["mysql"]["securityContext"]["capabilities"]
    assert capabilities == {"drop": ["ALL"], "add": ["SYS_NICE"]}


@pytest.mark.parametrize("initialise", [True, False])
def test_no_secret_reaches_an_environment_and_no_mount_is_a_sub_path(initialise: bool) -> None:
    body = rendered(initialise=initialise)
    assert "subPath" not in json.dumps(body)
    for container in containers(body).values():
        assert "secretKeyRef" not in json.dumps(container.get("env", []))


def sources(body: dict[str, Any]) -> set[str]:
    found = set()
    for volume in body["spec"]["volumes"]:
        if "secret" in volume:
            found.add(volume["secret"]["secretName"])
        projected = volume.get("projected", {}).get("sources", ())
        found |= {source["secret"]["name"] for source in projected if "secret" in source}
    return found


def test_only_the_secrets_an_instance_needs_are_mounted() -> None:
    always = {"db-1-server-tls", "db-1-peer-tls", "db-replication-tls", "db-control", "db-backup"}
    assert sources(rendered(initialise=False)) == always
    assert sources(rendered(initialise=True)) == always | {"db-root", "db-app"}
    mounts = [m["name"] for m in containers(rendered())["mysql"]["volumeMounts"]]
    assert "bootstrap-credentials" not in mounts


def test_nothing_of_a_spec_is_replaced_by_the_value_of_a_variable() -> None:
    """The kubelet reads $(NAME) in a command; $$ stands for one $."""
    spec = {"initdb": {"database": "$(MYSQL_VERSION)", "owner": "a$$(POD_UID)$"}}
    command = containers(rendered(bootstrap=spec))["bootstrap"]["command"]
    assert "--database=$$(MYSQL_VERSION)" in command
    assert "--owner=a$$$$(POD_UID)$$" in command


@pytest.mark.parametrize(
    ("initialise", "users"), [(True, {"mysql"}), (False, {"mysql", "bootstrap"})], ids=["initdb", "join"]
)
def test_a_short_lived_token_is_mounted_only_where_it_is_used(initialise: bool, users: set[str]) -> None:
    body = rendered(initialise=initialise)
    assert body["spec"]["automountServiceAccountToken"] is False
    (volume,) = (v for v in body["spec"]["volumes"] if v["name"] == "api-token")
    token, authority = volume["projected"]["sources"]
    assert token["serviceAccountToken"]["expirationSeconds"] <= 3600
    assert authority["configMap"]["name"] == "kube-root-ca.crt"
    for name, container in containers(body).items():
        mounted = {m["mountPath"] for m in container["volumeMounts"] if m["name"] == "api-token"}
        assert mounted == ({names.TOKEN_DIR} if name in users else set())
        assert names.TOKEN_DIR not in {m["mountPath"] for m in container["volumeMounts"]} - mounted


def test_every_mount_has_its_volume_and_the_other_way_round() -> None:
    body = rendered()
    mounted = {m["name"] for c in containers(body).values() for m in c["volumeMounts"]}
    assert mounted == {v["name"] for v in body["spec"]["volumes"]}


@pytest.mark.parametrize(
    ("spec", "least"), [({}, 3600), ({"maxStartDelay": 61}, 61), ({"maxStartDelay": 86400}, 86400)]
)
def test_probes_leave_a_start_its_time(spec: dict[str, Any], least: int) -> None:
    probe = containers(rendered(**spec))["mysql"]["startupProbe"]
    assert least <= probe["periodSeconds"] * probe["failureThreshold"] < least + probe["periodSeconds"]
    assert probe["httpGet"] == {"path": "/startupz", "port": "health"}


def test_stopping_has_its_time() -> None:
    assert rendered(maxStopDelay=77)["spec"]["terminationGracePeriodSeconds"] == 77


def test_instances_keep_apart_by_default() -> None:
    (term,) = rendered()["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"] == {
        "labelSelector": {"matchLabels": {names.LABEL_CLUSTER: "db"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    required = rendered(affinity={"podAntiAffinityType": "required", "topologyKey": "zone"})["spec"]["affinity"]
    (term,) = required["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "zone"
    assert "affinity" not in rendered(affinity={"enablePodAntiAffinity": False})["spec"]


def test_additional_terms_are_added() -> None:
    extra = {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "z"}}]
    }
    found = rendered(affinity={"additionalPodAntiAffinity": extra, "nodeSelector": {"disk": "ssd"}})
    terms = found["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [t["weight"] for t in terms] == [100, 1]
    assert found["spec"]["nodeSelector"] == {"disk": "ssd"}


def test_passed_through() -> None:
    body = rendered(
        imagePullSecrets=[{"name": "pull"}],
        imagePullPolicy="Always",
        priorityClassName="high",
        schedulerName="mine",
        resources={"limits": {"memory": "1Gi"}},
        env=[{"name": "TZ", "value": "UTC"}],
        envFrom=[{"configMapRef": {"name": "more"}}],
        topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    )
    spec = body["spec"]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert (spec["priorityClassName"], spec["schedulerName"]) == ("high", "mine")
    assert spec["topologySpreadConstraints"][0]["topologyKey"] == "zone"
    assert all(c["resources"] == {"limits": {"memory": "1Gi"}} for c in containers(body).values())
    main = containers(body)["mysql"]
    assert main["env"][-1] == {"name": "TZ", "value": "UTC"}
    assert main["envFrom"] == [{"configMapRef": {"name": "more"}}]
    assert main["imagePullPolicy"] == "Always"


@pytest.mark.parametrize("initialise", [True, False])
def test_adopting_is_told_to_the_init_container_alone_and_leaves_no_trace_in_the_hash(*, initialise: bool) -> None:
    body = pod(given(), initialise=initialise, adopt_from="first,other")
    found = containers(body)
    told = instance.parse(found["bootstrap"]["command"][2:], {})
    assert (told.mode, told.adopt_from) == ("initdb" if initialise else "join", ("first", "other"))
    assert (told.database, told.owner) == ("app", "app")
    assert instance.parse(found["mysql"]["command"][2:], {}).adopt_from == ()
    users = {n for n, c in found.items() for m in c["volumeMounts"] if m["name"] == "bootstrap-credentials"}
    assert users == {"bootstrap"}
    [volume] = [v for v in body["spec"]["volumes"] if v["name"] == "bootstrap-credentials"]
    assert all(source["secret"]["optional"] for source in volume["projected"]["sources"])
    plain = pod(given(), initialise=initialise)
    assert body["metadata"] == plain["metadata"]
    assert body["spec"]["containers"] == plain["spec"]["containers"]


def test_the_hash_covers_what_needs_a_new_pod_and_nothing_else() -> None:
    base = given()
    assert template_hash(base) == template_hash(replace(base, operator_image="operator:2"))
    assert template_hash(base) == template_hash(replace(base, mounted_revision="other"))
    assert template_hash(base) == template_hash(replace(base, owner=Owner("db", "shop", "u1", {"a": "b"})))
    for changed in (
        replace(base, image="mysql:9.7.1"),
        replace(base, static_config="other"),
        replace(base, restart_token="now"),
        given(env=[{"name": "A", "value": "b"}]),
    ):
        assert template_hash(base) != template_hash(changed)


def test_merge() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": None}) == {"a": {"b": 9, "c": 2}, "d": None}
    assert merge({"a": 1}, None) == {"a": 1}
